"""A template: what an issuer may change about the look of its documents. Frozen, and kept as JSON."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from pbxbill.errors import InputRefused

HTML_MAX_CHARACTERS = 200_000
CSS_MAX_CHARACTERS = 200_000
TEXT_MAX_CHARACTERS = 2_000
TEXTS_MAX = 200

FONTS = ("sans", "serif")
LOGO_POSITIONS = ("left", "right", "centre")
PAGE_SIZES = ("A4", "Letter")
CALL_COLUMNS = ("started_at", "caller", "called", "destination", "duration", "amount")

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?")
_KEY = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True, slots=True)
class Colours:
    """As #rrggbb."""

    accent: str = "#1f4e79"
    """Of the heading, the rules of tables and what must be paid."""
    text: str = "#1b1f24"
    muted: str = "#66707b"
    """Of labels and details."""
    line: str = "#d9dee4"
    """Between the rows of tables."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What of the built-in template is shown where."""

    page_size: str = "A4"
    logo_position: str = "left"
    logo_height_mm: int = 16
    show_quantity: bool = True
    """Columns of quantity and unit price."""
    show_tax_column: bool = True
    show_bank: bool = True
    show_payment_code: bool = True
    """The QR code that banking applications read, on invoices in euros."""
    call_columns: tuple[str, ...] = CALL_COLUMNS


@dataclass(frozen=True, slots=True)
class Template:
    """Everything that shapes a document, apart from the logo, which is bytes and kept beside it."""

    html: str = ""
    """Jinja text of the page's body; empty: the built-in one."""
    css: str = ""
    """Added after the built-in style sheet; with own html it stands alone."""
    font: str = "sans"
    colours: Colours = field(default_factory=Colours)
    layout: Layout = field(default_factory=Layout)
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By language and name: in place of the built-in texts, or beside them."""

    @property
    def own(self) -> bool:
        """Whether it brings markup or style of its own, which is not to be trusted."""
        return bool(self.html or self.css)


BUILT_IN = Template()


def checked_template(template: Template) -> Template:
    """The template, if its options can be used; InputRefused says which cannot. Rendering checks its html."""
    for name, limit in (("html", HTML_MAX_CHARACTERS), ("css", CSS_MAX_CHARACTERS)):
        if len(getattr(template, name)) > limit:
            raise InputRefused(f"the template's {name} is longer than {limit} characters")
    _one_of("font", template.font, FONTS)
    _one_of("page_size", template.layout.page_size, PAGE_SIZES)
    _one_of("logo_position", template.layout.logo_position, LOGO_POSITIONS)
    if not 5 <= template.layout.logo_height_mm <= 40:
        raise InputRefused("logo_height_mm must be from 5 to 40")
    for column in template.layout.call_columns:
        _one_of("a column of call_columns", column, CALL_COLUMNS)
    if not template.layout.call_columns or len(set(template.layout.call_columns)) != len(
        template.layout.call_columns
    ):
        raise InputRefused("call_columns must name at least one column, and none twice")
    for part in fields(template.colours):
        value = getattr(template.colours, part.name)
        if not _COLOUR.fullmatch(value):
            raise InputRefused(f"colour {part.name} is {value[:20]!r}; write it like #1f4e79")
    _check_texts(template.texts)
    return template


def _one_of(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputRefused(f"{what} is {value[:40]!r}; it can be {', '.join(allowed)}")


def _check_texts(texts: Mapping[str, Mapping[str, str]]) -> None:
    for language, named in texts.items():
        if not _LANGUAGE.fullmatch(language):
            raise InputRefused(f"{language[:20]!r} is no language; write it like de or de-AT")
        if len(named) > TEXTS_MAX:
            raise InputRefused(f"more than {TEXTS_MAX} texts in {language}")
        for key, text in named.items():
            if not _KEY.fullmatch(key):
                raise InputRefused(f"{key[:40]!r} is no name of a text: small letters, digits and _")
            if len(text) > TEXT_MAX_CHARACTERS:
                raise InputRefused(f"text {key} ({language}) is longer than {TEXT_MAX_CHARACTERS} characters")


def template_to_json(template: Template) -> str:
    """As it is kept."""
    return json.dumps(asdict(template), ensure_ascii=False, sort_keys=True)


def template_from_json(text: str) -> Template:
    """One that was kept; fields that later releases add take their defaults."""
    return template_from_mapping(json.loads(text))


def template_from_mapping(content: Any) -> Template:
    """From a file that a person wrote, or from JSON; InputRefused names what is wrong."""
    if not isinstance(content, dict):
        raise InputRefused("a template must be a table of names and values")
    _known("template", content, tuple(part.name for part in fields(Template)))
    given = {name: _text(name, content[name]) for name in ("html", "css", "font") if name in content}
    made = replace(
        BUILT_IN,
        **given,
        colours=Colours(**_strings("colours", content.get("colours", {}), Colours)),
        layout=_layout(content.get("layout", {})),
        texts=_texts(content.get("texts", {})),
    )
    return checked_template(made)


def _known(where: str, content: dict[str, Any], names: tuple[str, ...]) -> None:
    unknown = sorted(set(content) - set(names))
    if unknown:
        raise InputRefused(f"{where} has no {unknown[0]!r}; it can have {', '.join(names)}")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputRefused(f"{name} must be a text")
    return value


def _strings(where: str, content: Any, kind: type[Colours]) -> dict[str, str]:
    if not isinstance(content, dict):
        raise InputRefused(f"{where} must be a table")
    _known(where, content, tuple(part.name for part in fields(kind)))
    return {name: _text(name, value) for name, value in content.items()}


def _layout(content: Any) -> Layout:
    if not isinstance(content, dict):
        raise InputRefused("layout must be a table")
    defaults = asdict(Layout())
    _known("layout", content, tuple(defaults))
    given: dict[str, Any] = {}
    for name, value in content.items():
        if name == "call_columns":
            if not isinstance(value, list) or not all(isinstance(column, str) for column in value):
                raise InputRefused("call_columns must be a list of names")
            given[name] = tuple(value)
        elif type(value) is not type(defaults[name]):
            raise InputRefused(f"{name} must be like {json.dumps(defaults[name])}")
        else:
            given[name] = value
    return Layout(**given)


def _texts(content: Any) -> dict[str, dict[str, str]]:
    if not isinstance(content, dict) or not all(isinstance(named, dict) for named in content.values()):
        raise InputRefused("texts must be a table for each language, like [texts.de]")
    return {
        str(language): {str(key): _text(f"text {key}", text) for key, text in named.items()}
        for language, named in content.items()
    }
