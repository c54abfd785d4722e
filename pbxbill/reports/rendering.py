"""Writes a report as a file: CSV, XLSX, DOCX, PDF, HTML, in the reader's language and zone.

CSV and XLSX are for programs and spreadsheets: exact numbers, real dates, nothing that a spreadsheet would
run. The others are for people: figures and dates as their language writes them, what was asked for above the
table, numbered pages. PDFs are set in the process with limits that others' invoice templates are set in.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from unicodedata import category
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal
from markupsafe import Markup, escape

from pbxbill.billing.render.formatting import duration
from pbxbill.errors import InputRefused
from pbxbill.listing.listing import N_, Column, ColumnKind
from pbxbill.money import Unit, format_amount, to_decimal
from pbxbill.rating.sheet_guard import guarded
from pbxbill.reports.charted import Charted, charts_of
from pbxbill.reports.drawing import WIDTH, legend_of
from pbxbill.reports.making import Making, ReportStopped, Stage
from pbxbill.reports.reader import Reader, count_text, percent_text
from pbxbill.reports.report import Report, Table

FORMATS = ("csv", "xlsx", "docx", "pdf", "html")
MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pdf": "application/pdf",
    "html": "text/html; charset=utf-8",
}
MOST_ROWS = {"docx": 5_000, "pdf": 20_000, "html": 50_000}
PDF_TIMEOUT_S = 300
_RIGHT = frozenset(
    {
        ColumnKind.MONEY,
        ColumnKind.COUNT,
        ColumnKind.SECONDS,
        ColumnKind.PPM,
        ColumnKind.MOMENT,
        ColumnKind.DAY,
    }
)
UNIT = Column("unit", N_("Unit"), ColumnKind.CODE)
TOTAL = N_("Total")
CUT = N_("There are more rows than these; totals are of all of them.")
EMPTY = N_("There is nothing to show for these days and filters.")
PAGE = N_("Page")
MADE = N_("Made on")


@dataclass(frozen=True, slots=True)
class Sheet:
    """A report, and what it is headed by."""

    report: Report
    table: Table
    seller: str
    """Who it is of."""
    facts: tuple[tuple[str, str], ...] = ()
    """What was asked for: label in English, value."""
    colour: str = ""
    """#rrggbb of his brand; empty: the usual one."""
    making: Making = field(default_factory=Making, compare=False)


def render(sheet: Sheet, kind: str, reader: Reader) -> bytes:
    """The report as a file."""
    if kind not in FORMATS:
        raise InputRefused(f"{kind[:20]!r} is none of: {', '.join(FORMATS)}")
    most = MOST_ROWS.get(kind)
    if most is not None and len(sheet.table.rows) > most:
        raise InputRefused(f"more than {most:,} rows are too many for {kind}: take csv or xlsx, or narrow it")
    return {"csv": _csv, "xlsx": _xlsx, "docx": _docx, "pdf": _pdf, "html": _html}[kind](sheet, reader)


def columns_of(table: Table) -> tuple[Column, ...]:
    """The columns of a file: with the unit, where there are amounts."""
    has_money = any(column.kind is ColumnKind.MONEY for column in table.columns)
    return (*table.columns, UNIT) if has_money else table.columns


def shown(row: Mapping[str, Any], column: Column, reader: Reader) -> str:
    """A cell for people."""
    value = row.get(column.key)
    if value is None:
        return ""
    match column.kind:
        case ColumnKind.MONEY:
            unit = reader.units.get(row.get(column.unit) or "")
            return "" if unit is None else _amount(value, unit, reader.locale)
        case ColumnKind.COUNT:
            return count_text(value, reader.locale)
        case ColumnKind.SECONDS:
            return duration(value)
        case ColumnKind.PPM:
            return percent_text(value, reader.locale)
        case ColumnKind.MOMENT:
            return _moment(value, reader)
        case ColumnKind.DAY:
            return str(format_date(reader.at(value).date(), "medium", locale=reader.locale))
        case ColumnKind.STATE:
            return state_text(str(value), reader)
        case _:
            return _clean(str(value))


def state_text(value: str, reader: Reader) -> str:
    """A state or a kind in words."""
    return reader.translate(value.replace("_", " ").capitalize())


def _amount(amount: int, unit: Unit, locale: Locale) -> str:
    pattern = "#,##0" + (f".{'0' * unit.digits}{'#' * (unit.scale - unit.digits)}" if unit.scale else "")
    text = format_decimal(to_decimal(amount, unit.scale), pattern, locale, decimal_quantization=False)
    return str(text).replace("-", "\u2212")


def _moment(at_us: int, reader: Reader) -> str:
    zone = ZoneInfo(reader.zone)
    return str(format_datetime(reader.at(at_us), "short", tzinfo=zone, locale=reader.locale))


def _clean(text: str) -> str:
    """Without control characters, which no file may hold."""
    return "".join(c if c.isprintable() or category(c) == "Zs" else "\ufffd" for c in text)


def _title(sheet: Sheet, reader: Reader) -> str:
    return f"{reader.translate(sheet.report.title)} · {sheet.seller}"


def _facts(sheet: Sheet, reader: Reader) -> list[tuple[str, str]]:
    made = _moment(reader.now_us, reader)
    return [
        *((reader.translate(label), _clean(value)) for label, value in sheet.facts),
        (reader.translate(MADE), f"{made} ({reader.zone})"),
    ]


def _notes(table: Table, reader: Reader) -> list[str]:
    said = (*((CUT,) if table.is_cut else ()), *((EMPTY,) if not table.rows else ()), *table.notes)
    return [reader.translate(x) for x in said]


def _csv(sheet: Sheet, reader: Reader) -> bytes:
    columns = columns_of(sheet.table)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([guarded(reader.translate(x.heading)) for x in columns])
    for row in sheet.making.written(sheet.table.rows):
        writer.writerow([guarded(_plain(row, column, reader)) for column in columns])
    return out.getvalue().encode("utf-8-sig")


def _plain(row: Mapping[str, Any], column: Column, reader: Reader) -> str:
    value = row.get(column.key)
    if value is None:
        return ""
    match column.kind:
        case ColumnKind.MONEY:
            unit = reader.units.get(row.get(column.unit) or "")
            return "" if unit is None else format_amount(value, unit)
        case ColumnKind.PPM:
            return f"{Decimal(value).scaleb(-6):f}"
        case ColumnKind.MOMENT:
            return reader.at(value).isoformat(timespec="seconds")
        case ColumnKind.DAY:
            return reader.at(value).date().isoformat()
        case _:
            return _clean(str(value))


def _xlsx(sheet: Sheet, reader: Reader) -> bytes:
    from openpyxl import Workbook
    from openpyxl.utils import get_column_letter

    columns = columns_of(sheet.table)
    book = Workbook(write_only=True)
    page = book.create_sheet(_clean(reader.translate(sheet.report.title))[:31].translate(_NOT_IN_NAMES))
    facts = _facts(sheet, reader)
    page.freeze_panes = f"A{len(facts) + 4}"
    for number, column in enumerate(columns, 1):
        width = 28 if column.kind is ColumnKind.TEXT else 16
        page.column_dimensions[get_column_letter(number)].width = width
    page.oddFooter.center.text = "&P / &N"
    page.page_setup.orientation = "landscape"

    cell = partial(_cell, page)

    def line(row: Mapping[str, Any], *, bold: bool = False) -> list[Any]:
        return [cell(*_spreadsheet(row, column, reader), bold=bold) for column in columns]

    page.append([cell(_title(sheet, reader), bold=True)])
    for label, value in facts:
        page.append([cell(label), cell(value)])
    page.append([])
    page.append([cell(reader.translate(x.heading), bold=True, right=x.kind in _RIGHT) for x in columns])
    try:
        for row in sheet.making.written(sheet.table.rows):
            page.append(line(row))
    except ReportStopped:
        book.save(io.BytesIO())  # which drops the file that rows are in meanwhile
        raise
    for total in sheet.table.totals:
        made = line(total, bold=True)
        if made[0].value is None:
            made[0] = cell(reader.translate(TOTAL), bold=True)
        page.append(made)
    for note in _notes(sheet.table, reader):
        page.append([cell(note)])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _cell(page: Any, value: Any, number_format: str = "", *, bold: bool = False, right: bool = False) -> Any:
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Alignment, Font

    made = WriteOnlyCell(page, value)
    if isinstance(value, str):
        made.data_type = "s"  # what begins with = is a text too
    if number_format:
        made.number_format = number_format
    if bold:
        made.font = Font(bold=True)
    if right:
        made.alignment = Alignment(horizontal="right")
    return made


_NOT_IN_NAMES = {ord(c): " " for c in "[]:*?/\\"}


def _spreadsheet(row: Mapping[str, Any], column: Column, reader: Reader) -> tuple[Any, str]:
    """A value that a spreadsheet reckons with, and how it is shown."""
    value = row.get(column.key)
    if value is None:
        return None, ""
    match column.kind:
        case ColumnKind.MONEY:
            unit = reader.units.get(row.get(column.unit) or "")
            if unit is None:
                return None, ""
            digits = f".{'0' * unit.digits}" if unit.digits else ""
            return to_decimal(value, unit.scale), f"#,##0{digits}"
        case ColumnKind.COUNT:
            return value, "#,##0"
        case ColumnKind.SECONDS:
            return timedelta(seconds=value), "[h]:mm:ss"
        case ColumnKind.PPM:
            return Decimal(value).scaleb(-6), "0.0%"
        case ColumnKind.MOMENT:
            return reader.at(value).replace(tzinfo=None), "yyyy-mm-dd hh:mm"
        case ColumnKind.DAY:
            return reader.at(value).date(), "yyyy-mm-dd"
        case _:
            return shown(row, column, reader), ""


def _body(sheet: Sheet, reader: Reader) -> Iterator[Markup]:
    """The report as HTML, without head."""
    columns = columns_of(sheet.table)
    yield Markup("<h1>{}</h1><dl>").format(_title(sheet, reader))
    for label, value in _facts(sheet, reader):
        yield Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(label, value)
    yield Markup("</dl>")
    for note in _notes(sheet.table, reader):
        yield Markup("<p>{}</p>").format(note)
    yield from _figures(sheet, reader)
    yield Markup("<table><thead><tr>")
    for column in columns:
        yield Markup("<th{}>{}</th>").format(_side(column), reader.translate(column.heading))
    yield Markup("</tr></thead><tbody>")
    for row in sheet.making.written(sheet.table.rows):
        yield _tr(row, columns, reader)
    yield Markup('</tbody><tbody class="totals">')
    for total in sheet.table.totals:
        first = {columns[0].key: reader.translate(TOTAL)} if total.get(columns[0].key) is None else {}
        head = Column(columns[0].key, columns[0].heading) if first else columns[0]
        yield _tr({**total, **first}, (head, *columns[1:]), reader)
    yield Markup("</tbody></table>")


def _figures(sheet: Sheet, reader: Reader) -> Iterator[Markup]:
    """The charts that the page has, each with its rules: PDFs read those inside of a picture alone."""
    title = reader.translate(sheet.report.title)
    rules = _RULES_OF_CHARTS.replace("ACCENT", sheet.colour or _ACCENT)
    for one in charts_of(sheet.table, title, reader, lambda value: state_text(value, reader)):
        yield _figure(one, rules, reader)


def _figure(one: Charted, rules: str, reader: Reader) -> Markup:
    told = reader.translate(N_("Chart: %(title)s. The figures are in the table below it."))
    return Markup(
        '<figure><figcaption>{}</figcaption><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" '
        'role="img" aria-label="{}"><style>{}</style>{}</svg>{}</figure>'
    ).format(
        one.heading,
        WIDTH,
        one.picture.height,
        told % {"title": one.heading},
        Markup(rules),  # noqa: S704 rules of ours, and a colour that was checked
        one.picture.drawn,
        legend_of(one.series),
    )


def _tr(row: Mapping[str, Any], columns: tuple[Column, ...], reader: Reader) -> Markup:
    cells = Markup("").join(
        Markup("<td{}>{}</td>").format(_side(column), shown(row, column, reader)) for column in columns
    )
    return Markup("<tr>{}</tr>").format(cells)


def _side(column: Column) -> Markup:
    return Markup(' class="right"') if column.kind in _RIGHT else Markup("")


_ACCENT = "#1d5fa8"
_COLOURS = ("ACCENT", "#c2782a", "#4a8f6b", "#8a5a9e", "#5f6b76", "#a8485a")
_RULES_OF_CHARTS = (
    'text { font-family: "Source Sans", "Source Sans Pro", sans-serif; font-size: 12px; fill: #5b6875 } '
    ".grid { stroke: #d5dbe1; stroke-width: 1 } .axis { stroke: #8b97a3; stroke-width: 1 } "
    ".line { fill: none; stroke-width: 2 } "
) + " ".join(
    f".bar.series-{n}, .dot.series-{n} {{ fill: {x} }} .line.series-{n} {{ stroke: {x} }}"
    for n, x in enumerate(_COLOURS, 1)
)
_CSS = """
body { font-family: "Source Sans", "Source Sans Pro", sans-serif; font-size: 9pt; color: #1c2733 }
h1 { font-size: 16pt; font-weight: 600; margin: 0 0 3mm }
dl { margin: 0 0 4mm } dl div { display: inline-block; margin-right: 8mm }
dt, dd { display: inline; margin: 0 }
dt { color: #5b6875; margin-right: 1.5mm } p { color: #5b6875; margin: 0 0 2mm }
table { width: 100%; border-collapse: collapse } thead { display: table-header-group }
th { text-align: left; font-weight: 600; border-bottom: 0.4mm solid #1c2733 }
th, td { padding: 1mm 1.5mm; vertical-align: top } td { border-bottom: 0.1mm solid #d5dbe1 }
.right { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
.totals td { font-weight: 600; border-bottom: none; border-top: 0.2mm solid #1c2733 }
tr { break-inside: avoid }
figure { display: inline-block; vertical-align: top; width: 46%; margin: 0 3% 4mm 0; break-inside: avoid }
figcaption { font-weight: 600; margin-bottom: 1.5mm } figure svg { display: block; width: 100%; height: auto }
.legend { margin: 1mm 0 0; padding: 0; list-style: none; color: #5b6875 }
.legend li { display: inline-block; margin-right: 5mm }
.legend li::before { content: ""; display: inline-block; width: 2mm; height: 2mm; margin-right: 1.5mm }
""" + "\n".join(f".legend .series-{n}::before {{ background: {x} }}" for n, x in enumerate(_COLOURS, 1))


def _html(sheet: Sheet, reader: Reader, style: str = _CSS) -> bytes:
    title = escape(_title(sheet, reader))
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    if style:
        head += f"<style>{_in_colour(style, sheet)}</style>"
    lang = escape(reader.language.replace("_", "-"))
    body = "".join(_body(sheet, reader))
    return f'<!doctype html><html lang="{lang}"><head>{head}</head><body>{body}</body></html>'.encode()


def _in_colour(style: str, sheet: Sheet) -> str:
    return style.replace("ACCENT", sheet.colour or _ACCENT)


def _pdf(sheet: Sheet, reader: Reader) -> bytes:
    from pbxbill.billing.render.typesetting import Job
    from pbxbill.billing.render.worker import Isolated

    page = _quoted(reader.translate(PAGE))
    paper = (
        "@page { size: A4 landscape; margin: 14mm 12mm 16mm; @bottom-right { "
        f'content: "{page} " counter(page) " / " counter(pages); font-size: 8pt; color: #5b6875 }} }}'
    )
    html = _html(sheet, reader, "").decode()
    made_on = reader.at(reader.now_us).date().isoformat()
    job = Job(html, paper + _in_colour(_CSS, sheet), created_on=made_on)
    sheet.making.tell(Stage.SETTING)
    with closing(Isolated()) as setter, sheet.making.ended_by(setter.kill):
        return setter.set(job, PDF_TIMEOUT_S).pdf


def _quoted(text: str) -> str:
    return text.replace("\\", "").replace('"', "").replace("\n", " ")


def _docx(sheet: Sheet, reader: Reader) -> bytes:
    from docx import Document
    from docx.enum.section import WD_ORIENT
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn
    from docx.shared import Pt

    columns = columns_of(sheet.table)
    paper = Document()
    paper.core_properties.title = _clean(_title(sheet, reader))
    section = paper.sections[0]
    section.orientation = WD_ORIENT.LANDSCAPE
    section.page_width, section.page_height = section.page_height, section.page_width
    paper.styles["Normal"].font.size = Pt(9)
    paper.add_heading(_title(sheet, reader), 1)
    for label, value in _facts(sheet, reader):
        paper.add_paragraph(f"{label}: {value}").paragraph_format.space_after = Pt(0)
    for note in _notes(sheet.table, reader):
        paper.add_paragraph(note)

    lines = [[reader.translate(x.heading) for x in columns]]
    lines += [[shown(row, x, reader) for x in columns] for row in sheet.table.rows]
    for total in sheet.table.totals:
        made = [shown(total, x, reader) for x in columns]
        lines.append([made[0] or reader.translate(TOTAL), *made[1:]])
    table = paper.add_table(rows=0, cols=len(columns), style="Light List Accent 1")
    last = len(lines) - len(sheet.table.totals)
    for number, line in enumerate(sheet.making.written(lines)):
        # Asking a row for its cells once: python-docx looks at the whole row each time.
        for cell, text, column in zip(table.add_row().cells, line, columns, strict=True):
            paragraph = cell.paragraphs[0]
            run = paragraph.add_run(_clean(text))
            run.font.size = Pt(8)
            run.bold = number == 0 or number >= last
            if column.kind in _RIGHT:
                paragraph.alignment = WD_ALIGN_PARAGRAPH.RIGHT
    heading = OxmlElement("w:tblHeader")
    heading.set(qn("w:val"), "true")
    table.rows[0]._tr.get_or_add_trPr().append(heading)

    footer = section.footer.paragraphs[0]
    footer.alignment = WD_ALIGN_PARAGRAPH.RIGHT
    footer.add_run(f"{reader.translate(PAGE)} ")
    for instruction in ("PAGE", "NUMPAGES"):
        begun = OxmlElement("w:fldSimple")
        begun.set(qn("w:instr"), instruction)
        footer._p.append(begun)
        if instruction == "PAGE":
            footer.add_run(" / ")
    out = io.BytesIO()
    paper.save(out)
    return out.getvalue()
