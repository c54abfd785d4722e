"""What readers of small CSV sheets share: lines of bounded length, text, cells, refused rows written.

A row that cannot be used comes out with its line and a reason, is written to a sheet of its own, corrected
there, and read again.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, Protocol, TextIO

from pbxbill.rating.sheet_guard import guarded, unguarded

MAX_LINE_BYTES = 4096
REFUSAL_COLUMNS = ("refused_line", "refused_reason")


class RefusedRow(Protocol):
    """A row that cannot be used."""

    @property
    def line(self) -> int:
        """Where it stands."""
        ...

    @property
    def reason(self) -> str:
        """Why not."""
        ...

    @property
    def cells(self) -> tuple[str, ...]:
        """As they were written."""
        ...


def lines_of(stream: BinaryIO) -> Iterator[bytes]:
    """Its lines; one that is too long comes out cut, one byte too long, and the rest of it is passed over."""
    while line := stream.readline(MAX_LINE_BYTES + 1):
        yield line
        while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            line = stream.readline(MAX_LINE_BYTES + 1)
            if len(line) <= MAX_LINE_BYTES:
                break


def text_of(raw: bytes) -> str | None:
    """A line's text; None if it is too long, or not UTF-8."""
    if len(raw) > MAX_LINE_BYTES:
        return None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def cells_of(text: str, delimiter: str) -> list[str]:
    """A line's cells, without the guard of those that begin like a formula."""
    cells = next(csv.reader([text.rstrip("\r\n")], delimiter=delimiter), [])
    return [unguarded(cell) for cell in cells]


def write_refused(stream: TextIO, columns: Sequence[str], rows: Iterable[RefusedRow], delimiter: str) -> None:
    """Write rows that were refused, with line and reason, under the columns of their sheet."""
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    kept = [at for at, name in enumerate(columns) if name not in REFUSAL_COLUMNS]
    writer.writerow([*REFUSAL_COLUMNS, *(guarded(columns[at]) for at in kept)])
    for row in rows:
        own = [row.cells[at] for at in kept] if len(row.cells) == len(columns) else row.cells
        writer.writerow([row.line, guarded(row.reason), *map(guarded, own)])
