"""Documents as HTML: a template filled in with a document, for a browser, or for typesetting.py to set."""

import re
from datetime import date
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from pbxbill.billing.invoices.document import Document, DocumentLine
from pbxbill.billing.render.formatting import Formatting, duration, grouped_iban
from pbxbill.billing.render.logo import Logo
from pbxbill.billing.render.payment_code import payment_code
from pbxbill.billing.render.sandbox import CompiledTemplate, Sandbox
from pbxbill.billing.render.template import BUILT_IN, Template
from pbxbill.billing.render.texts import texts_of
from pbxbill.errors import check

FONT_FILES = {
    "Source Sans": (("SourceSansPro-Regular", 400), ("SourceSansPro-Semibold", 600)),
    "Source Serif": (("SourceSerifPro-Regular", 400), ("SourceSerifPro-Semibold", 600)),
}
FONT_PACKAGES = {"SourceSansPro": "font_source_sans_pro", "SourceSerifPro": "font_source_serif_pro"}
"""The packages that bring their files, which are under the SIL Open Font License."""
FAMILIES = {
    "sans": '"Source Sans", "DejaVu Sans", sans-serif',
    "serif": '"Source Serif", "DejaVu Serif", serif',
}
LOGO_URL = "asset:logo"
LONG_WORD_CHARACTERS = 30
_BUILT_IN_FOLDER = Path(__file__).parent / "builtin"
_NOTHING_FROM_ELSEWHERE = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:; form-action 'none'; "
    "base-uri 'none'"
)
"""What a browser that shows a preview may do with a template that somebody wrote: draw it."""
_NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def font_file(name: str) -> Path:
    """Where the file of a font is."""
    package = find_spec(FONT_PACKAGES[name.partition("-")[0]])
    check(package is not None and package.origin is not None, "the font {} is not installed", name)
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "files" / f"{name}.ttf"


def render_html(document: Document, template: Template = BUILT_IN, logo: Logo | None = None) -> str:
    """The document as one HTML file that needs and runs nothing else; TemplateFault if the template fails."""
    body = filled_body(document, template, logo.data_uri if logo else "")
    style = style_sheet(template).replace("</", "<\\/")
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_NOTHING_FROM_ELSEWHERE}">'
    return page(document, body, f"{policy}\n<style>\n{style}\n</style>")


def page(document: Document, body: str, head: str = "") -> str:
    """A whole HTML text around a body."""
    texts = texts_of(document.language, {})
    title = _for_metadata(
        " ".join(part for part in (texts[f"kind_{document.kind}"], document.number) if part)
    )
    seller = _for_metadata(document.seller.name)
    issued = document.issued_on.isoformat()
    return f"""<!doctype html>
<html lang="{escape(document.language)}">
<head>
<meta charset="utf-8">
{head}
<title>{escape(title)}</title>
<meta name="author" content="{escape(seller)}">
<meta name="description" content="{escape(f"{seller}: {title}")}">
<meta name="generator" content="pbxbill">
<meta name="dcterms.created" content="{issued}">
<meta name="dcterms.modified" content="{issued}">
</head>
<body class="kind-{document.kind}">
{body}
</body>
</html>
"""


def _for_metadata(text: str) -> str:
    """The PDF keeps it as XML, which holds no control characters."""
    return _NOT_IN_XML.sub("\ufffd", text)


def filled_body(document: Document, template: Template, logo_url: str) -> str:
    """The body that the template makes of the document."""
    formatting = Formatting(document.language, document.unit)
    texts = texts_of(document.language, template.texts)
    values: dict[str, Any] = {
        "document": document,
        "seller": document.seller,
        "buyer": document.buyer,
        "t": texts,
        "layout": template.layout,
        "colours": template.colours,
        "logo": logo_url,
        "payment_code": payment_code(document) if template.layout.show_payment_code else Markup(),
        "long_words": any(_has_long_word(f"{line.description} {line.detail}") for line in document.lines),
        "call_digits": formatting.digits([call.total for call in document.calls]),
        "calls_total": sum(call.total for call in document.calls),
    }
    return _compiled(template.html).filled(values, _formats(formatting, texts))


def _has_long_word(text: str) -> bool:
    """Whether a word may be wider than its column; breaking any word anywhere takes much longer to set."""
    return any(len(word) > LONG_WORD_CHARACTERS for word in text.split())


def _formats(formatting: Formatting, texts: dict[str, str]) -> dict[str, Any]:
    def measured(line: DocumentLine) -> str:
        number = formatting.quantity(line.quantity, line.measure)
        name = texts.get(f"measure_{line.measure}", "")
        if abs(line.quantity) == 1_000_000:
            name = texts.get(f"measure_{line.measure}_one", name)
        return f"{number}\u00a0{name}" if name else number

    def period(first: date | None, last: date | None) -> str:
        if first is None or last is None or first == last:
            return formatting.day(first or last)
        return formatting.period(first, last)

    return {
        "amount": formatting.amount,
        "money": formatting.money,
        "percent": formatting.percent,
        "number": formatting.number,
        "date": formatting.day,
        "moment": formatting.moment,
        "country": formatting.country,
        "period": period,
        "measured": measured,
        "duration": duration,
        "iban": grouped_iban,
    }


def check_template(template: Template, documents: tuple[Document, ...]) -> None:
    """Fill the template in with these documents; TemplateFault says the first line that fails, and why."""
    for document in documents:
        filled_body(document, template, LOGO_URL)


@cache
def _sandbox() -> Sandbox:
    return Sandbox()


@cache
def built_in_html() -> str:
    """The template that issuers without an own one use, and may start theirs from."""
    return (_BUILT_IN_FOLDER / "document.html").read_text("utf-8")


@cache
def built_in_css() -> str:
    """Its style sheet."""
    return (_BUILT_IN_FOLDER / "document.css").read_text("utf-8")


@lru_cache(maxsize=64)
def _compiled(html: str) -> CompiledTemplate:
    return CompiledTemplate(html or built_in_html(), _sandbox())


def style_sheet(template: Template) -> str:
    """Variables, the built-in rules unless the template's html is its own, and the template's rules."""
    return f"{style_before(template)}{template.css}"


def style_before(template: Template) -> str:
    """What stands before the template's own rules."""
    colours = template.colours
    # @page knows no variables of the document, so that what it needs is written out.
    variables = f""":root {{
  --accent: {colours.accent}; --text: {colours.text}; --muted: {colours.muted}; --line: {colours.line};
  --tint: {_tint(colours.accent, 93)}; --mark: {_tint(colours.accent, 90)};
  --font: {FAMILIES[template.font]}; --logo-height: {template.layout.logo_height_mm}mm;
}}
@page {{ size: {template.layout.page_size}; font-family: {FAMILIES[template.font]}; color: {colours.muted} }}
"""
    rules = "" if template.html else built_in_css()
    return f"{variables}{rules}\n"


def rules_of_paper() -> str:
    """By which typesetting finds the fonts that we bring, and makes images as PDF/A wants them."""
    faces = "\n".join(
        f'@font-face {{ font-family: "{family}"; font-weight: {weight}; src: url(asset:font/{file}) }}'
        for family, files in FONT_FILES.items()
        for file, weight in files
    )
    # ISO 19005-3, 6.2.8: no image is to be interpolated.
    return f"{faces}\n* {{ image-rendering: pixelated !important }}"


def _tint(colour: str, white_percent: int) -> str:
    """A colour mixed with white."""
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(
        f"{(part * (100 - white_percent) + 255 * white_percent) // 100:02x}" for part in parts
    )
