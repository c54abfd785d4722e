"""The file that a batch's codes are written to: the only place where they are ever found.

Codes stand in the file, on the disk, before their hashes are in the database. So a batch whose making was cut
off goes on from its file: what the database lacks is taken from there, and a half line at its end is dropped.
"""

import csv
import fcntl
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from pbxbill.billing.codes.voucher_codes import grouped, read
from pbxbill.errors import InputRefused
from pbxbill.rating.sheet_guard import guarded, unguarded

COLUMNS = ("batch", "serial", "code", "value", "unit", "valid_from", "valid_to")
_OWNER_ONLY = 0o600


class Printed(NamedTuple):
    """One voucher as it is sold."""

    serial: int
    code: str


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """What every line of a file says."""

    batch: str
    value: str
    unit: str
    valid_from: str
    valid_to: str

    def line(self, voucher: Printed) -> tuple[str, ...]:
        """A line's cells."""
        code = grouped(voucher.code)
        return (self.batch, str(voucher.serial), code, self.value, self.unit, self.valid_from, self.valid_to)


class VoucherFile:
    """A file of codes, open for one process alone. Only its owner may read it."""

    def __init__(self, path: Path, facts: BatchFacts, *, new: bool) -> None:
        """new: it must not exist yet. Else it may: an interrupted making goes on in it."""
        self.path = path
        self._facts = facts
        flags = os.O_RDWR | os.O_CREAT | (os.O_EXCL if new else 0)
        try:
            self._file: IO[bytes] = os.fdopen(os.open(path, flags, _OWNER_ONLY), "r+b")
        except FileExistsError:
            raise InputRefused(f"{path} exists already: choose another name, it would be lost") from None
        except OSError as fault:
            raise InputRefused(f"{path} cannot be written: {fault.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise InputRefused(f"another process is writing {path}") from None
        try:
            self._mend()
        except InputRefused:
            self._file.close()
            raise

    def _mend(self) -> None:
        """Drop a half line at the end; write the head where there is none."""
        end = 0
        self._file.seek(0)
        for line in self._file:
            if line.endswith(b"\n"):
                end += len(line)
        if end == 0:
            self._file.truncate(0)
            self._write([COLUMNS])
            return
        self._file.truncate(end)
        for voucher in self.vouchers():
            if voucher.serial != 1:
                raise InputRefused(f"{self.path} does not begin with serial 1")
            break

    def vouchers(self) -> Iterator[Printed]:
        """Those in the file, in their order; InputRefused where it is of another batch."""
        self._file.seek(0)
        # No cell holds a line's end, so that each line is one of the file.
        for number, row in enumerate(csv.reader(line.decode(errors="replace") for line in self._file)):
            cells = [unguarded(cell) for cell in row]
            if number == 0:
                if tuple(cells) != COLUMNS:
                    raise InputRefused(f"{self.path} is no file of vouchers")
                continue
            voucher = _voucher(cells)
            if voucher is None or tuple(cells) != self._facts.line(voucher):
                raise InputRefused(f"{self.path}, line {number + 1}: this is of another batch, or changed")
            yield voucher

    def append(self, vouchers: Iterable[Printed]) -> None:
        """Write codes down; they are on the disk when this returns."""
        self._write([self._facts.line(voucher) for voucher in vouchers])

    def _write(self, lines: Iterable[tuple[str, ...]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([guarded(cell) for cell in line] for line in lines)
        self._file.seek(0, os.SEEK_END)
        self._file.write(text.getvalue().encode())
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of it."""
        self._file.close()


def _voucher(cells: list[str]) -> Printed | None:
    code = read(cells[2]) if len(cells) == len(COLUMNS) else None
    return Printed(int(cells[1]), code) if code and cells[1].isdigit() else None


def read_file(path: Path) -> tuple[BatchFacts, list[Printed]]:
    """A finished file, to be set as a PDF once more."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = [[unguarded(cell) for cell in row] for row in csv.reader(file)]
    except (OSError, UnicodeDecodeError) as fault:
        raise InputRefused(f"{path} cannot be read: {fault}") from None
    if len(lines) < 2 or tuple(lines[0]) != COLUMNS or any(_voucher(line) is None for line in lines[1:]):
        raise InputRefused(f"{path} is no file of vouchers")
    first = lines[1]
    facts = BatchFacts(first[0], first[3], first[4], first[5], first[6])
    return facts, [voucher for line in lines[1:] if (voucher := _voucher(line))]
