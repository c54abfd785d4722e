"""Whether a template can be used: filled in with sample documents of every kind and language, and set once.

What cannot be used is said with the line and the reason; what can, but not as it was meant (a property that
is unknown), as notes.
"""

import re

from pbxbill.billing.render.html import check_template, style_before
from pbxbill.billing.render.logo import Logo
from pbxbill.billing.render.pdf import render_sheets
from pbxbill.billing.render.sample import sample_document, sample_documents
from pbxbill.billing.render.sandbox import TemplateFault
from pbxbill.billing.render.template import Template, checked_template
from pbxbill.billing.render.texts import LANGUAGES
from pbxbill.billing.render.typesetting import Sheets
from pbxbill.errors import InputRefused

FAULT_MAX_CHARACTERS = 500

_PLACE = re.compile(r" at (\d+):(\d+)")


def fault_of(template: Template, logo: Logo | None) -> str:
    """Why a template cannot be used, with the line where it has one; empty: it can."""
    try:
        checked_template(template)
        for language in dict.fromkeys((*LANGUAGES, *template.texts)):
            check_template(template, sample_documents(language))
        if template.own or logo is not None:
            sheets = render_sheets(sample_document(), template, logo)
            refuse_fetching(template, sheets)
    except InputRefused as fault:
        return str(fault)[:FAULT_MAX_CHARACTERS]
    return ""


def refuse_fetching(template: Template, sheets: Sheets) -> None:
    """TemplateFault if it wants something from the net or the disk."""
    if not sheets.refused:
        return
    url = sheets.refused[0].removeprefix("asset:")
    for where, text in (("html", template.html), ("css", template.css)):
        for number, line in enumerate(text.splitlines(), start=1):
            if url in line:
                raise TemplateFault(f"{where} wants {url[:120]}, but nothing is fetched; {_INSTEAD}", number)
    raise TemplateFault(f"it wants {url[:120]}, but nothing is fetched; {_INSTEAD}")


_INSTEAD = "use {{ logo }} for the logo, and the fonts Source Sans and Source Serif"


def notes_on(template: Template, sheets: Sheets) -> tuple[str, ...]:
    """What the layout could not do as the template's css says, with its own lines."""
    before = style_before(template).count("\n")

    def own_line(place: re.Match[str]) -> str:
        line = int(place[1]) - before
        return f" at line {line}" if line > 0 else f" at line {place[1]}"

    return tuple(_PLACE.sub(own_line, warning) for warning in sheets.warnings)
