"""The parts of an XLSX file, each within bounds: a megabyte that unpacks to thousands is refused, not read.

What the archive says of its own sizes is checked before anything is unpacked, and since it may be wrong all
is counted again while it is: bytes, rows, columns, the texts and elements of a row. A part is parsed twice,
here without keeping anything and then by openpyxl, which keeps a whole row, and a whole part but a worksheet.
"""

import os
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple, Self
from xml.parsers import expat

from pbxbill.errors import InputRefused

MAX_SHEET_BYTES = 2 * 2**30
MAX_TEXTS_BYTES = 256 * 2**20
MAX_PART_BYTES = 16 * 2**20
"""Unpacked sizes of a worksheet, of the texts that worksheets share, and of any other part that is read."""
MAX_RATIO = 250
"""Unpacked to packed size; a worksheet of a million equal rows has about 100, and nothing more than 1032."""
RATIO_FROM_BYTES = 8 * 2**20
"""Less than this may be packed as well as it likes."""
MAX_SHEET_ROWS = 1_048_576
MAX_SHEET_COLUMNS = 16_384
"""What a worksheet has at most by its own format."""
MAX_EMPTY_ROWS = 100_000
"""In a row: some programs write one for each row that somebody once set a format for."""
MAX_CELL_LENGTH = 65_536
MAX_ROW_LENGTH = 2**20
MAX_ROW_ELEMENTS = 150_000
MAX_SHARED_TEXTS = 4_000_000
MAX_PART_ELEMENTS = 250_000
MAX_TOKEN_BYTES = 2**20
"""A tag, comment or the like; the parser holds it as a whole."""
CHUNK_BYTES = 65_536


class _Kind(NamedTuple):
    """What bounds one kind of part."""

    max_bytes: int
    counter: Callable[[str], "_Elements"]


class SafeArchive(zipfile.ZipFile):
    """An XLSX file from outside; openpyxl reads it through read() and open()."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        size = stream.seek(0, os.SEEK_END)
        for member in self.infolist():
            limit = max(MAX_SHEET_BYTES, MAX_TEXTS_BYTES)
            if member.file_size > limit:
                raise _too_large(member.filename, member.file_size, limit)
            _check_ratio(member.filename, member.file_size, min(member.compress_size, size))
        self._size = size

    def read(self, name: str | zipfile.ZipInfo, *_: Any, **__: Any) -> bytes:
        """A part that openpyxl takes as a whole."""
        with self._part(name, _Kind(MAX_PART_BYTES, _Elements)) as part:
            return part.read()

    def open(self, name: str | zipfile.ZipInfo, *_: Any, **__: Any) -> "_Part":  # type: ignore[override]
        """The shared texts, which is all that openpyxl reads piece by piece beside worksheets."""
        return self._part(name, _Kind(MAX_TEXTS_BYTES, _SharedTexts))

    def worksheet(self, name: str) -> "_Part":
        """A worksheet, to be parsed as it is read."""
        return self._part(name, _Kind(MAX_SHEET_BYTES, _Rows))

    def _part(self, name: str | zipfile.ZipInfo, kind: _Kind) -> "_Part":
        member = name if isinstance(name, zipfile.ZipInfo) else self.getinfo(name)
        if member.file_size > kind.max_bytes:
            raise _too_large(member.filename, member.file_size, kind.max_bytes)
        packed = min(member.compress_size, self._size)
        return _Part(super().open(member), member.filename, packed, kind)


def _too_large(name: str, size: int, limit: int) -> InputRefused:
    return InputRefused(
        f"{name[:60]} in the XLSX file unpacks to {size} bytes, more than {limit}; save the rate sheet as CSV"
    )


def _check_ratio(name: str, size: int, packed: int) -> None:
    if size > RATIO_FROM_BYTES and size > MAX_RATIO * max(packed, 1):
        raise InputRefused(
            f"{name[:60]} in the XLSX file unpacks to more than {MAX_RATIO} times its size; that is no rate "
            "sheet. If it is, save it as CSV"
        )


class _Part:
    """One part being unpacked: every byte is counted and parsed before it is handed on."""

    def __init__(self, member: Any, name: str, packed: int, kind: _Kind) -> None:
        self._member = member
        self._name = name
        self._packed = packed
        self._max_bytes = kind.max_bytes
        self._seen = 0
        self._elements = kind.counter(name)

    def read(self, size: int = -1) -> bytes:
        """So many bytes at most; all that is left if size is negative."""
        if size >= 0:
            return self._read(size)
        pieces = []
        while piece := self._read(CHUNK_BYTES):
            pieces.append(piece)
        return b"".join(pieces)

    def _read(self, size: int) -> bytes:
        # Never all at once: zipfile would unpack whatever there is before it looks at the size it was told.
        piece: bytes = self._member.read(min(size, CHUNK_BYTES))
        self._seen += len(piece)
        if self._seen > self._max_bytes:
            raise _too_large(self._name, self._seen, self._max_bytes)
        _check_ratio(self._name, self._seen, self._packed)
        self._elements.feed(piece)
        return piece

    def close(self) -> None:
        """Close the part, not the archive."""
        self._member.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Elements:
    """Counts the elements of a part as they pass."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._count = 0
        self._said = 0
        """Bytes since the parser last said something."""

    def feed(self, piece: bytes) -> None:
        """Look at the next bytes; InputRefused if they are too much of something."""
        self._said += len(piece)
        self._parser.Parse(piece, False)
        if self._said > MAX_TOKEN_BYTES:
            raise self._refused(f"holds a tag or comment longer than {MAX_TOKEN_BYTES} bytes")

    def _start(self, _tag: str, _attributes: dict[str, str]) -> None:
        self._said = 0
        self._count += 1
        if self._count > MAX_PART_ELEMENTS:
            raise self._refused(f"has more than {MAX_PART_ELEMENTS} elements")

    def _text(self, _text: str) -> None:
        self._said = 0

    def _doctype(self, *_: object) -> None:
        raise self._refused("declares entities, which a spreadsheet never does")

    def _refused(self, what: str) -> InputRefused:
        return InputRefused(
            f"{self._name[:60]} in the XLSX file {what}; that is no rate sheet. If it is, save it as CSV"
        )


class _SharedTexts(_Elements):
    """The texts that cells refer to."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._texts = 0
        self._length = 0

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag.endswith("si"):
            self._texts += 1
            self._length = self._count = 0
            if self._texts > MAX_SHARED_TEXTS:
                raise self._refused(f"holds more than {MAX_SHARED_TEXTS} texts")
        super()._start(tag, attributes)

    def _text(self, text: str) -> None:
        self._said = 0
        self._length += len(text)
        if self._length > MAX_CELL_LENGTH:
            raise self._refused(f"holds a cell longer than {MAX_CELL_LENGTH} characters")


class _Rows(_Elements):
    """The rows of a worksheet; what stands behind the last one counts as part of it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._rows = self._number = 0
        self._empty = -1  # what stands above the first row is none
        self._columns = self._cell_length = self._row_length = 0
        self._is_filled = False

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._said = 0
        self._count += 1
        if tag == "c" or tag.endswith(":c"):
            self._columns += 1
            self._cell_length = 0
            if self._columns > MAX_SHEET_COLUMNS:
                raise self._refused(f"has more than {MAX_SHEET_COLUMNS} columns in row {self._number}")
        elif tag == "row" or tag.endswith(":row"):
            self._next_row(attributes.get("r", ""))
        elif self._columns:
            self._is_filled = True
        if self._count > MAX_ROW_ELEMENTS:
            raise self._refused(f"has more than {MAX_ROW_ELEMENTS} elements in or behind row {self._number}")

    def _next_row(self, number: str) -> None:
        self._rows += 1
        # A number that is none is openpyxl's to refuse.
        self._number = int(number) if number.isdecimal() and len(number) < 12 else self._number + 1
        if max(self._rows, self._number) > MAX_SHEET_ROWS:
            raise self._refused(f"has more than {MAX_SHEET_ROWS} rows")
        self._empty = 0 if self._is_filled else self._empty + 1
        if self._empty > MAX_EMPTY_ROWS:
            raise self._refused(
                f"has more than {MAX_EMPTY_ROWS} empty rows one after the other above row {self._number}; "
                "delete them"
            )
        self._count = self._columns = self._cell_length = self._row_length = 0
        self._is_filled = False

    def _text(self, text: str) -> None:
        self._said = 0
        self._cell_length += len(text)
        self._row_length += len(text)
        if self._cell_length > MAX_CELL_LENGTH:
            raise self._refused(
                f"holds a cell longer than {MAX_CELL_LENGTH} characters in row {self._number}"
            )
        if self._row_length > MAX_ROW_LENGTH:
            raise self._refused(f"holds more than {MAX_ROW_LENGTH} characters in row {self._number}")
