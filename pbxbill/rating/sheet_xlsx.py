"""The rows of a worksheet as cells: the first that has a header, or the one that a profile names."""

import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, BinaryIO
from xml.etree.ElementTree import Element, ParseError, iterparse
from xml.parsers.expat import ExpatError

from openpyxl.reader.excel import ExcelReader
from openpyxl.styles.stylesheet import apply_stylesheet
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from openpyxl.worksheet._reader import DATA_TAG, FORMULA_TAG, ROW_TAG, WorkSheetParser

from pbxbill.errors import InputRefused
from pbxbill.rating.sheet_archive import SafeArchive
from pbxbill.rating.sheet_guard import unguarded
from pbxbill.rating.sheet_profile import Profile
from pbxbill.rating.sheet_table import HEADER_WITHIN, MAX_COLUMNS, BestHeader, Cell, Record

_DAMAGE = (
    *(
        zipfile.BadZipFile,
        zlib.error,
        ParseError,
        ExpatError,
        EOFError,
        OSError,
        RuntimeError,
        NotImplementedError,
    ),
    *(LookupError, ValueError, TypeError, AttributeError, OverflowError),
)


class XlsxTable:
    """The first worksheet of an XLSX file that has a header, or the one that the profile names."""

    delimiter = ","
    encoding = "utf-8"
    unended = 0

    def __init__(self, stream: BinaryIO, profile: Profile) -> None:
        self._book = _Book(stream)
        self.epoch_1904 = self._book.epoch_1904
        found = BestHeader()
        names = [name for name, _ in self._book.worksheets]
        if profile.sheet is not None and profile.sheet not in names:
            shown = ", ".join(repr(name[:40]) for name in names[:20])
            raise InputRefused(f"the file has no worksheet {profile.sheet[:40]!r}; there are: {shown}")
        for name, part in self._book.worksheets:
            if profile.sheet in (None, name):
                for record in islice(self._book.records(part), HEADER_WITHIN):
                    layout = found.tried(record, profile)
                    if layout is not None:
                        self.layout, self._part, self._header_line = layout, part, record.line
                        self.described = f"XLSX, worksheet {name!r}, header in row {record.line}"
                        return
        raise found.refusal()

    def records(self) -> Iterator[Record]:
        """Every row below the header, once."""
        width = len(self.layout.names)
        for record in self._book.records(self._part):
            if record.line <= self._header_line:
                continue
            cells = list(record.cells[:width])
            rest = [cell for cell in record.cells[width:] if cell != ""]
            if rest:
                reason = f"the row has {width + len(rest)} cells, the header {width}"
                yield Record(record.line, record.cells, reason)
                continue
            cells += [""] * (width - len(cells))  # a worksheet leaves out empty cells at the end
            yield Record(record.line, cells, record.fault)


class _Book:
    """What openpyxl's own steps make of a workbook, without those that rates do not need.

    load_workbook() would also read properties, themes, chart sheets and, to learn their size, worksheets.
    """

    def __init__(self, stream: BinaryIO) -> None:
        archive = _read(lambda: SafeArchive(stream))
        self._archive: SafeArchive = archive
        if "[Content_Types].xml" not in archive.namelist():
            raise InputRefused("this is a ZIP file and no XLSX; unpack it and import the rate sheet in it")
        self._reader = _read(lambda: ExcelReader(stream, read_only=True, keep_links=False))
        self._reader.archive = archive
        steps: tuple[Callable[[], Any], ...] = (
            *(self._reader.read_manifest, self._reader.read_strings, self._reader.read_workbook),
            lambda: apply_stylesheet(archive, self._reader.wb),
        )
        for step in steps:
            _read(step)
        self._book: Any = self._reader.wb
        self.epoch_1904 = self._book.epoch == CALENDAR_MAC_1904
        parts: list[tuple[Any, Any]] = _read(lambda: list(self._reader.parser.find_sheets()))
        known = set(archive.namelist())
        self.worksheets: list[tuple[str, str]] = [
            (sheet.name, rel.target)
            for sheet, rel in parts
            if rel.target in known and "chartsheet" not in rel.Type
        ]
        """Name and part of each."""

    def records(self, part: str) -> Iterator[Record]:
        """Every row of a worksheet that is not blank."""
        with _read(lambda: self._archive.worksheet(part)) as source:
            parser = _RowParser(
                source,
                self._reader.shared_strings,
                epoch=self._book.epoch,
                date_formats=self._book._date_formats,
                timedelta_formats=self._book._timedelta_formats,
            )
            rows = parser.rows()
            while (row := _read(lambda: next(rows, None))) is not None:
                line, cells = row
                record = _record(line, cells)
                if record is not None:
                    yield record


class _RowParser(WorkSheetParser):
    """openpyxl's understanding of rows and cells, of which nothing is kept once a row is read.

    Its own parse() keeps every row's element, height and shared formula, and reads all else of a worksheet.
    """

    def rows(self) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """Every row with its number."""
        data: Element | None = None
        # Declared entities, the danger of this parser, are refused before it sees them: sheet_archive.
        for event, element in iterparse(self.source, ("start", "end")):  # noqa: S314
            if event == "start":
                if element.tag == DATA_TAG:
                    data = element
            elif element.tag == ROW_TAG:
                row: tuple[int, list[dict[str, Any]]] = self.parse_row(element)
                self.row_dimensions.clear()
                element.clear()
                if data is not None:
                    data.clear()
                yield row

    def parse_formula(self, element: Any) -> str:
        """A formula is refused, whatever it is; it is only shown."""
        return f"={element.findtext(FORMULA_TAG) or '...'}"


def _record(line: int, found: list[dict[str, Any]]) -> Record | None:
    values: list[Any] = []
    for cell in found:
        value = cell["value"]
        if value is None or value == "":
            continue
        # One column too many is enough to say so.
        at = min(cell["column"], MAX_COLUMNS + 1)
        values.extend([None] * (at - len(values)))
        values[at - 1] = value
    if not values:
        return None
    fault = None
    cells: list[Cell] = []
    for value in values:
        made, wrong = _xlsx_cell(value)
        cells.append(made)
        fault = fault or wrong
    return Record(line, cells, fault)


def _xlsx_cell(value: Any) -> tuple[Cell, str | None]:
    match value:
        case None:
            return "", None
        case str():
            if value[:1] == "=" and len(value) > 1:
                wrong = f"a cell holds the formula {value[:40]}; paste the column as values"
                return value, wrong
            return unguarded(" ".join(value.split())), None
        case bool():
            return str(value), None
        case datetime():
            return value, None
        case date():
            return datetime.combine(value, time()), None
        case time() | timedelta():
            return str(value), f"a cell holds the time of day {value}; set the column's format to text"
        case int():
            return Decimal(value), None
        case _ if type(value).__name__ == "float":
            # The shortest digits that make this binary fraction: what was typed, not what is stored.
            return Decimal(repr(value)), None
        case _:
            return str(value)[:100], "a cell holds a formula; paste the column as values"


def _read(step: Callable[[], Any]) -> Any:
    # What a damaged or hostile file makes the libraries raise, said once and in a sentence.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and extensions that are not read
            return step()
    except _DAMAGE as error:
        raise _damaged(error) from None


def _damaged(error: Exception) -> InputRefused:
    return InputRefused(
        f"the XLSX file cannot be read: it is cut, damaged or none ({str(error)[:80]!r}); "
        "open it in a spreadsheet, save it anew, or get it again; nothing was imported"
    )
