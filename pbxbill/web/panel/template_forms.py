"""The form of the template designer, made into a template and back."""

import json
from dataclasses import asdict, fields
from typing import Any

from flask_babel import lazy_gettext
from flask_wtf.file import FileField
from wtforms import BooleanField, SelectField, SelectMultipleField, TextAreaField
from wtforms.validators import Length
from wtforms.widgets import CheckboxInput, ListWidget, TextInput

from pbxbill.billing.render.logo import LOGO_MAX_BYTES, Logo, checked_logo
from pbxbill.billing.render.sample import SAMPLES
from pbxbill.billing.render.template import (
    CALL_COLUMNS,
    CSS_MAX_CHARACTERS,
    FONTS,
    HTML_MAX_CHARACTERS,
    LOGO_POSITIONS,
    PAGE_SIZES,
    Colours,
    Layout,
    Template,
    template_from_mapping,
)
from pbxbill.errors import InputRefused
from pbxbill.listing.listing import N_
from pbxbill.web.editions import EditionField
from pbxbill.web.fields import CountField, LanguageField, LineField, PanelForm, at_most, required
from pbxbill.web.words import word_of
from pbxbill.written_toml import TOMLDecodeError, read_toml

COLOURS = tuple(x.name for x in fields(Colours))
SHOWN = ("show_quantity", "show_tax_column", "show_bank", "show_payment_code")
_CODE = {"rows": 16, "spellcheck": "false", "class": "form-control code-area", "autocapitalize": "none"}
WORDS = {
    "sans": N_("without serifs"),
    "serif": N_("with serifs"),
    "left": N_("left"),
    "right": N_("right"),
    "centre": N_("in the middle"),
    "started_at": N_("When"),
    "caller": N_("Caller"),
    "called": N_("Called"),
    "destination": N_("Destination"),
    "duration": N_("Duration"),
    "amount": N_("Amount"),
    "long-invoice": N_("a long invoice"),
    "paid-invoice": N_("a paid invoice"),
}


class Checks(SelectMultipleField):
    """Boxes to be ticked."""

    widget = ListWidget(prefix_label=False)
    option_widget = CheckboxInput()


class ColourField(LineField):
    """#rrggbb, chosen from a palette."""

    widget = TextInput(input_type="color")


def _choices(values: tuple[str, ...]) -> Any:
    from flask_babel import gettext

    return lambda: [(x, gettext(WORDS[x]) if x in WORDS else word_of(x)) for x in values]


class TemplateForm(PanelForm):
    """A template, and with which sample it is tried."""

    name = LineField(lazy_gettext("Name"), [at_most(64)])
    font = SelectField(lazy_gettext("Type"), choices=_choices(FONTS))
    accent = ColourField(lazy_gettext("Headings and rules"))
    text = ColourField(lazy_gettext("Text"))
    muted = ColourField(lazy_gettext("Labels"))
    line = ColourField(lazy_gettext("Lines"))
    page_size = SelectField(lazy_gettext("Paper"), choices=[(x, x) for x in PAGE_SIZES])
    logo = FileField(lazy_gettext("Logo"), description=lazy_gettext("PNG, JPEG or SVG, up to 1 MB."))
    without_logo = BooleanField(lazy_gettext("Take the logo away"))
    logo_position = SelectField(lazy_gettext("Where the logo stands"), choices=_choices(LOGO_POSITIONS))
    logo_height_mm = CountField(lazy_gettext("Its height in millimetres"), [required()], least=5, most=40)
    show_quantity = BooleanField(lazy_gettext("Columns of quantity and price"))
    show_tax_column = BooleanField(lazy_gettext("A column of tax"))
    show_bank = BooleanField(lazy_gettext("The bank"))
    show_payment_code = BooleanField(lazy_gettext("A payment code that banking applications read"))
    call_columns = Checks(lazy_gettext("Columns of the list of calls"), choices=_choices(CALL_COLUMNS))
    texts = TextAreaField(
        lazy_gettext("Own words"),
        [Length(max=100_000)],
        description=lazy_gettext('By language, in place of ours: [en], and below it kind_invoice = "Bill".'),
        render_kw={**_CODE, "rows": 6},
    )
    html = TextAreaField(
        lazy_gettext("Own HTML"),
        [Length(max=HTML_MAX_CHARACTERS)],
        description=lazy_gettext("Left empty: ours."),
        render_kw=_CODE,
    )
    css = TextAreaField(
        lazy_gettext("Own CSS"),
        [Length(max=CSS_MAX_CHARACTERS)],
        description=lazy_gettext("After ours; with own HTML it stands alone."),
        render_kw=_CODE,
    )
    sample = SelectField(lazy_gettext("Shown with"), choices=_choices(SAMPLES))
    sample_language = LanguageField(lazy_gettext("In"))
    edition = EditionField()


def shown(template: Template) -> dict[str, Any]:
    """What the form shows of a template."""
    layout = asdict(template.layout)
    return {
        "font": template.font,
        **asdict(template.colours),
        **{name: layout[name] for name in ("page_size", "logo_position", "logo_height_mm", *SHOWN)},
        "call_columns": list(template.layout.call_columns),
        "texts": _written(template.texts),
        "html": template.html,
        "css": template.css,
    }


def _written(texts: Any) -> str:
    """Own words as TOML: its strings are JSON's, as far as we write them."""
    lines = []
    for language, named in texts.items():
        lines += ["", f'["{language}"]' if "-" in language else f"[{language}]"]
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in named.items()]
    return "\n".join(lines).strip()


def template_of(form: TemplateForm) -> Template:
    """The template that a form says; InputRefused where it makes none."""
    try:
        texts = read_toml(_plain(form.texts.data))
    except TOMLDecodeError as fault:
        raise InputRefused(f"own words: {fault}") from None
    layout: dict[str, Any] = {name: bool(form[name].data) for name in SHOWN}
    layout |= {
        "page_size": form.page_size.data,
        "logo_position": form.logo_position.data,
        "logo_height_mm": form.logo_height_mm.data or Layout().logo_height_mm,
        "call_columns": [x for x in CALL_COLUMNS if x in (form.call_columns.data or ())],
    }
    return template_from_mapping(
        {
            "html": _plain(form.html.data),
            "css": _plain(form.css.data),
            "font": form.font.data,
            "colours": {name: form[name].data or "" for name in COLOURS},
            "layout": layout,
            "texts": texts,
        }
    )


def _plain(text: str | None) -> str:
    """As it was written: forms end lines with CR LF, and a text that is only blank is none."""
    found = (text or "").replace("\r\n", "\n")
    return found if found.strip() else ""


def logo_of(form: TemplateForm, before: Logo | None) -> Logo | None:
    """The logo that a form brings, or leaves."""
    if form.without_logo.data:
        return None
    sent = form.logo.data
    if sent is None or not getattr(sent, "filename", ""):
        return before
    return checked_logo(sent.read(LOGO_MAX_BYTES + 1))
