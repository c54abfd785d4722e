"""Lists as files: CSV row by row as it is sent, XLSX in a temporary file. Amounts and moments are plain.

A file is for programs: amounts are exact decimals with a point and their unit in a column of its own, moments
are ISO 8601 in the reader's zone.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from tempfile import TemporaryFile
from typing import Any, NoReturn

from flask import Response, abort, stream_with_context
from flask_babel import gettext
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font

from pbxbill.errors import InputRefused
from pbxbill.listing.listing import (
    Asked,
    Column,
    ColumnKind,
    FilterRefused,
    Listing,
    every,
    is_longer,
    page_of,
)
from pbxbill.money import format_amount, to_decimal
from pbxbill.web.audit_words import action_text
from pbxbill.web.formatting import reader_zone, unit_known
from pbxbill.web.front import Front
from pbxbill.web.refusals import told
from pbxbill.web.words import word_of

MAX_XLSX_ROWS = 100_000
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What programs take for a formula at the beginning of a cell."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_CHUNK_BYTES = 64 * 1024


def csv_file(front: Front, listing: Listing, asked: Asked) -> Response:
    """All rows that the filters leave, streamed."""
    _refuse_what_is_refused(front, listing, asked)
    columns = _file_columns(listing)

    def lines() -> Iterator[str]:
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow([heading for heading, *_ in columns])
        with front.reading() as session:
            for row in every(session, listing, front.scope, asked):
                writer.writerow([harmless(_text(row, *x[1:])) for x in columns])
                if out.tell() > _CHUNK_BYTES:
                    yield out.getvalue()
                    out.seek(0)
                    out.truncate()
        yield out.getvalue()

    return Response(stream_with_context(lines()), mimetype="text/csv", headers=_attachment(listing, "csv"))


def xlsx_file(front: Front, listing: Listing, asked: Asked) -> Response:
    """The same as a workbook; up to MAX_XLSX_ROWS rows."""
    _refuse_what_is_refused(front, listing, asked)
    with front.reading() as session:
        if is_longer(session, listing, front.scope, asked, MAX_XLSX_ROWS):
            _refuse_length()
    columns = _file_columns(listing)
    book = Workbook(write_only=True)
    sheet = book.create_sheet(gettext(listing.title)[:31])
    heads = []
    for heading, *_ in columns:
        head = WriteOnlyCell(sheet, heading)
        head.font = Font(bold=True)
        heads.append(head)
    sheet.append(heads)
    with front.reading() as session:
        for number, row in enumerate(every(session, listing, front.scope, asked)):
            if number >= MAX_XLSX_ROWS:
                _refuse_length()  # they came meanwhile
            sheet.append([_xlsx_value(row, *x[1:]) for x in columns])
    file = TemporaryFile()  # noqa: SIM115  # closed when it is sent, or when nobody waits for it any more
    book.save(file)
    file.seek(0)

    def chunks() -> Iterator[bytes]:
        with file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk

    response = Response(chunks(), mimetype=_XLSX, headers=_attachment(listing, "xlsx"))
    response.call_on_close(file.close)
    return response


def _refuse_length() -> NoReturn:
    abort(413, gettext("More rows than a workbook holds well: narrow the list, or take it as CSV."))


def harmless(text: str) -> str:
    """A cell that no program runs as a formula; numbers stay numbers."""
    if text.startswith(FORMULA) and not _is_number(text):
        return f"'{text}"
    return text


def _is_number(text: str) -> bool:
    digits = text[1:].replace(".", "", 1)
    return text[0] == "-" and digits.isascii() and digits.isdigit()


def _refuse_what_is_refused(front: Front, listing: Listing, asked: Asked) -> None:
    """A file that has begun cannot say any more what is wrong."""
    try:
        with front.reading() as session:
            page_of(session, listing, front.scope, Asked(asked.filters, asked.order, size=1, zone=asked.zone))
    except (FilterRefused, InputRefused) as error:
        abort(400, str(error))


def _file_columns(listing: Listing) -> list[tuple[str, Column, bool]]:
    """Heading, column, and whether it is the column of an amount's unit."""
    columns = []
    units: set[str] = set()
    for column in listing.columns:
        columns.append((gettext(column.heading), column, False))
        if column.kind is ColumnKind.MONEY and column.unit not in units:
            units.add(column.unit)
            columns.append((gettext("Unit"), column, True))
    return columns


def _text(row: Mapping[str, Any], column: Column, is_unit: bool) -> str:
    value = _value(row, column, is_unit)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, bool):
        return str(gettext("yes") if value else gettext("no"))
    if column.kind is ColumnKind.MONEY and not is_unit and value is not None:
        return format_amount(row[column.key], unit_known(row[column.unit]))
    return "" if value is None else str(value)


def _xlsx_value(row: Mapping[str, Any], column: Column, is_unit: bool) -> Any:
    value = _value(row, column, is_unit)
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, str):
        # A workbook knows formulas by their cell's type: a text stays one.
        return harmless("".join(x for x in value if x.isprintable()))
    return value


def _value(row: Mapping[str, Any], column: Column, is_unit: bool) -> Any:
    if is_unit:
        return row.get(column.unit)
    value = row.get(column.key)
    if value is None:
        return None
    match column.kind:
        case ColumnKind.MONEY:
            unit = row.get(column.unit)
            return None if unit is None else to_decimal(value, unit_known(unit).scale)
        case ColumnKind.MOMENT | ColumnKind.DAY:
            at = (_EPOCH + timedelta(microseconds=value)).astimezone(reader_zone())
            return at.date().isoformat() if column.kind is ColumnKind.DAY else at
        case ColumnKind.STATE:
            return word_of(value)
        case ColumnKind.SENTENCE:
            return told(value)
        case ColumnKind.ACTION:
            return action_text(value)
        case ColumnKind.PPM:
            return Decimal(value).scaleb(-4)
        case _:
            return value


def _attachment(listing: Listing, ending: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{listing.name}.{ending}"'}
