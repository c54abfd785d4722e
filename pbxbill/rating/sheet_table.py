"""The rows of a rate sheet as cells, from CSV or XLSX (sheet_xlsx), one by one and in bounded memory.

A file from outside may be cut, compressed beyond reason, or have lines without an end: nothing is
held but one row, except the shared texts of an XLSX file, whose size is limited.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import BinaryIO, NamedTuple, Protocol

from pbxbill.errors import InputRefused
from pbxbill.rating.sheet_guard import unguarded
from pbxbill.rating.sheet_profile import HeaderRefused, Layout, Profile, layout_of

MAX_LINE_BYTES = 65_536
MAX_ROWS = 5_000_000
MAX_QUOTED_LINES = 10
"""Lines that one quoted cell may spread over; a quote left open spoils its own line only."""
FIRST_ROWS = 6
"""Shown of a sheet whose header is not understood, from the likely one on."""
HEADER_WITHIN = 50
"""Rows among which the header is looked for: titles and addresses often stand above it."""
MAX_COLUMNS = 200
DELIMITERS = (",", ";", "\t", "|")
UTF8_MARK = b"\xef\xbb\xbf"

Cell = str | Decimal | datetime
"""A number or a moment only where an XLSX file says that it is one."""


class Record(NamedTuple):
    """One row as it stands in the file; with a fault, its cells are only for people to look at."""

    line: int
    cells: Sequence[Cell]
    fault: str | None = None


class Table(Protocol):
    """A sheet whose header was found."""

    layout: Layout
    delimiter: str
    encoding: str
    described: str
    """How the file is written, for people."""
    epoch_1904: bool
    unended: int
    """Line of a last row that has no line end; 0: there is none."""

    def records(self) -> Iterator[Record]:
        """Every row below the header that is not blank, in the order of the file."""


def open_table(stream: BinaryIO, profile: Profile) -> Table:
    """The table of a file; InputRefused if it is none, or has no header that can be understood."""
    start = stream.read(8)
    stream.seek(0)
    if start.startswith(b"PK"):
        from pbxbill.rating.sheet_xlsx import XlsxTable

        return XlsxTable(stream, profile)
    if start.startswith(b"\xd0\xcf\x11\xe0"):
        raise InputRefused("this is an old Excel file (XLS) or one with a password; save it as XLSX or CSV")
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputRefused("line 1 is not UTF-8 but UTF-16; save the file as CSV in UTF-8")
    return CsvTable(stream, profile)


class CsvTable:
    """A text file with a delimiter."""

    epoch_1904 = False

    def __init__(self, stream: BinaryIO, profile: Profile) -> None:
        self._stream = stream
        self.unended = 0
        self.encoding, how = _encoding(stream, profile)
        self.layout, self.delimiter, self._header_line = self._find_header(profile)
        shown = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "pipe"}[self.delimiter]
        self.described = f"CSV, {shown}, {self.encoding}{how}, header in line {self._header_line}"

    def records(self) -> Iterator[Record]:
        """Every row below the header, once."""
        for record in self._all(self.delimiter):
            if record.line > self._header_line:
                yield record

    def _find_header(self, profile: Profile) -> tuple[Layout, str, int]:
        found = BestHeader()
        for delimiter in (profile.delimiter,) if profile.delimiter else DELIMITERS:
            for record in islice(self._all(delimiter), HEADER_WITHIN):
                if record.fault is None:
                    layout = found.tried(record, profile)
                    if layout is not None:
                        return layout, delimiter, self._line
                else:
                    found.fault(record)
        raise found.refusal()

    def _all(self, delimiter: str) -> Iterator[Record]:
        self._stream.seek(0)
        self._line = 0
        pushed: list[bytes] = []
        while raw := pushed.pop() if pushed else self._stream.readline(MAX_LINE_BYTES + 1):
            self._line += 1
            if self._line > MAX_ROWS:
                raise InputRefused(f"the rate sheet has more than {MAX_ROWS} lines; split it")
            if self._line == 1:
                raw = raw.removeprefix(UTF8_MARK)
            if len(raw) > MAX_LINE_BYTES:
                yield self._too_long(raw)
                continue
            if raw.isspace() or not raw.strip(b";,\t| \r\n"):
                continue
            if not raw.endswith((b"\n", b"\r")):
                self.unended = self._line
            yield self._record(raw, delimiter, pushed)

    def _too_long(self, raw: bytes) -> Record:
        text = raw.decode(self.encoding, "replace").rstrip("\r\n")
        piece = raw
        while piece and not piece.endswith(b"\n"):
            piece = self._stream.readline(MAX_LINE_BYTES)
        reason = f"the line is longer than {MAX_LINE_BYTES} bytes; it is cut here"
        return Record(self._line, (text,), reason)

    def _record(self, raw: bytes, delimiter: str, pushed: list[bytes]) -> Record:
        line = self._line
        try:
            text = raw.decode(self.encoding).rstrip("\r\n")
        except UnicodeDecodeError as error:
            text = raw.decode("latin-1").rstrip("\r\n")  # most likely what was meant; a person looks at it
            reason = (
                f"byte 0x{raw[error.start]:02x} is not {self.encoding.upper()}; save the file as UTF-8 "
                "or say its encoding (--encoding windows-1252)"
            )
            return Record(line, _split_leniently(text, delimiter), reason)
        if '"' not in text:
            return Record(line, [unguarded(cell.strip()) for cell in text.split(delimiter)])
        try:
            return Record(line, _split(text, delimiter))
        except csv.Error as error:
            joined = self._over_lines(text, delimiter, pushed)
            if joined is not None:
                return Record(line, joined)
            return Record(line, (text,), f"the quotes are broken ({error})")

    def _over_lines(self, text: str, delimiter: str, pushed: list[bytes]) -> list[str] | None:
        # A quoted cell may hold line ends. What does not close soon was no such cell: its lines go back.
        wanted = len(self.layout.names) if hasattr(self, "layout") else None
        taken: list[bytes] = []
        for _ in range(MAX_QUOTED_LINES):
            raw = pushed.pop() if pushed else self._stream.readline(MAX_LINE_BYTES + 1)
            if not raw:
                break
            taken.append(raw)
            text += "\n" + raw.decode(self.encoding, "replace").rstrip("\r\n")
            if len(text) > MAX_LINE_BYTES:
                break
            try:
                cells = _split(text, delimiter)
            except csv.Error:
                continue
            if wanted is None or len(cells) == wanted:
                self._line += len(taken)
                return [" ".join(cell.split()) for cell in cells]
            break
        pushed.extend(reversed(taken))
        return None


class BestHeader:
    """Looks at rows until one is a header; else says what the most likely one lacks."""

    def __init__(self) -> None:
        self._nearest: tuple[int, HeaderRefused] | None = None
        self._rows: list[tuple[int, list[str]]] = []
        """Of the way to read the file that is tried; another begins at the first line again."""
        self._rows_of_nearest = self._rows

    def tried(self, record: Record, profile: Profile) -> Layout | None:
        names = [cell.strip() if isinstance(cell, str) else "" for cell in record.cells]
        if self._rows and record.line <= self._rows[-1][0]:
            self._rows = []
        if len(names) > MAX_COLUMNS:
            why = f"line {record.line} has more than {MAX_COLUMNS} columns"
            self._keep(0, HeaderRefused(why))
            return None
        self._rows.append((record.line, [str(cell).strip() for cell in record.cells]))
        while names and not names[-1]:
            names.pop()
        try:
            return layout_of(names, profile)
        except HeaderRefused as refusal:
            # The widest row of words is most likely the header that was meant.
            words = sum(1 for name in names if re.search(r"[^\W\d]{2}", name))
            why = f"line {record.line}: {refusal.why}"
            self._keep(words, HeaderRefused(why, refusal.by_command, refusal.names, record.line))
            return None

    def fault(self, record: Record) -> None:
        why = f"line {record.line}: {record.fault}"
        self._keep(0, HeaderRefused(why))

    def _keep(self, words: int, refusal: HeaderRefused) -> None:
        if self._nearest is None or words > self._nearest[0]:
            self._nearest, self._rows_of_nearest = (words, refusal), self._rows

    def refusal(self) -> InputRefused:
        if self._nearest is None:
            return InputRefused("the rate sheet is empty")
        nearest = self._nearest[1]
        why = f"no header was found in the first {HEADER_WITHIN} rows; {nearest.why}"
        refused = HeaderRefused(why, nearest.by_command, nearest.names, nearest.row)
        rows = [cells for line, cells in self._rows_of_nearest if line >= nearest.row]
        refused.first = rows[:FIRST_ROWS]
        return refused


def _encoding(stream: BinaryIO, profile: Profile) -> tuple[str, str]:
    """The encoding of a text file and, if it was told from the text, that it was."""
    stream.seek(0)
    if stream.read(3) == UTF8_MARK:
        return "utf-8", ""
    if profile.encoding is not None:
        return profile.encoding, ""
    stream.seek(0)
    foreign = False
    while raw := stream.readline(MAX_LINE_BYTES):
        if raw.isascii() or (len(raw) == MAX_LINE_BYTES and not raw.endswith(b"\n")):
            continue
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError:
            foreign = True
            try:
                raw.decode("windows-1252")
            except UnicodeDecodeError:
                return "utf-8", ""
        else:
            return "utf-8", ""  # lines of another encoding are refused one by one
    return ("windows-1252", " (guessed: it is not UTF-8)") if foreign else ("utf-8", "")


def _split(text: str, delimiter: str) -> list[str]:
    # One record alone, so that a quote left open spoils one row and not all that follow.
    rows = list(csv.reader([text], delimiter=delimiter, strict=True, skipinitialspace=True))
    return [unguarded(cell.strip()) for cell in rows[0]] if rows else []


def _split_leniently(text: str, delimiter: str) -> list[str]:
    try:
        return _split(text, delimiter)
    except csv.Error:
        return [text]
