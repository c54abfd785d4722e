"""Fields of forms that people of every section fill in, and how a refusal of the domain becomes a form's.

Every form is a PanelForm. Its fields keep what was entered; what cannot be read is told beside the field.
`with refusals(form, "limit"):` around a use case turns InputRefused into an error of that field, or of the
form where no field is named; it says afterwards whether anything was refused:

    with refusals(form) as refused, front.changing(...) as change:
        ...
    if not refused:
        return redirect(...)
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from babel import Locale
from flask import g, url_for
from flask_babel import gettext, lazy_gettext
from flask_wtf import FlaskForm
from wtforms import Field, SelectField, SelectMultipleField, StringField
from wtforms.validators import InputRequired, Length, Optional, ValidationError
from wtforms.widgets import CheckboxInput, ListWidget, TextInput

from pbxbill.billing.period import day_start_us
from pbxbill.errors import InputRefused, TermRefused
from pbxbill.money import Unit, format_amount, parse_amount, to_decimal
from pbxbill.rating.tariff_text import percent_ppm
from pbxbill.web.editions import Difference, Stale
from pbxbill.web.formatting import day_of, reader_locale
from pbxbill.web.languages import LANGUAGES
from pbxbill.web.refusals import told
from pbxbill.web.rows import refuse

MAX_LINE_LENGTH = 200
_MICROSECONDS = 1_000_000
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_LONGEST_NUMBER = 30
_ALL_PPM = 1_000_000
_GROUPED = re.compile(r"[+-]?[1-9][0-9]{0,2}(\.[0-9]{3})+")


class PanelForm(FlaskForm):  # type: ignore[misc]  # flask_wtf has no types
    """What every form has."""

    changed_meanwhile: tuple[Difference, ...] = ()
    """What another changed since this form was shown; see editions.py."""

    @property
    def data_entered(self) -> dict[str, Any]:
        """Values of the fields, without what only protects the form."""
        return {name: value for name, value in self.data.items() if name not in ("csrf_token", "edition")}


@dataclass(slots=True)
class Refusals:
    """Whether something was refused."""

    messages: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.messages)


@contextmanager
def refusals(form: PanelForm, name: str = "") -> Iterator[Refusals]:
    """Make InputRefused an error of a field, or of the form; what was entered is kept."""
    refused = Refusals()
    try:
        yield refused
    except Stale as error:
        refused.messages.append(str(error))  # the form says more than a message could
    except InputRefused as error:
        message = sentence(str(error))
        refused.messages.append(message)
        if isinstance(error, TermRefused) and refuse(form, error.place, message):
            return
        if name and name in form:
            form[name].errors = [*form[name].errors, message]
        else:
            form.form_errors.append(message)


def sentence(message: str) -> str:
    """A refusal as a sentence of a page, in its language; what tells of commands is for terminals alone."""
    message = told(message)
    parts = [x for x in message.split("; ") if "`pbxbill" not in x]
    text = "; ".join(parts) or message
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")


def required() -> InputRequired:
    """The field must say something."""
    return InputRequired(lazy_gettext("Please fill this in."))


def at_most(length: int = MAX_LINE_LENGTH) -> Length:
    """The field may say so much."""
    return Length(max=length, message=lazy_gettext("Up to %(max)d characters."))


def checked(check: Callable[[str], object]) -> Callable[[Any, Any], None]:
    """The domain takes the field: what it refuses is told there, with all else that is wrong in the form."""

    def validate(_form: Any, field: Any) -> None:
        try:
            if field.data:
                check(field.data)
        except InputRefused as error:
            raise ValidationError(sentence(str(error))) from None

    return validate


class LineField(StringField):
    """A line of text, without spaces at its ends."""

    def process_formdata(self, valuelist: list[Any]) -> None:
        super().process_formdata(valuelist)
        if self.data is not None:
            self.data = " ".join(self.data.split())

    def pre_validate(self, _form: Any) -> None:
        if self.data and not self.data.isprintable():
            raise ValidationError(gettext("Only printable characters."))


class _ReadField(Field):
    """A field that people write as text and that means something else."""

    widget = TextInput()

    def process_formdata(self, valuelist: list[Any]) -> None:
        written = str(valuelist[0]).strip() if valuelist else ""
        self.data = None
        if not written:
            return
        try:
            self.data = self.read(written)
        except InputRefused as error:
            raise ValueError(sentence(str(error))) from None

    def _value(self) -> str:
        if self.raw_data:
            return str(self.raw_data[0])
        return "" if self.data is None else self.shown(self.data)

    def read(self, written: str) -> Any:
        """What was meant; InputRefused if that cannot be known."""
        raise NotImplementedError

    def shown(self, value: Any) -> str:
        """As it is written."""
        return str(value)


class AmountField(_ReadField):
    """An amount in a unit, exactly. Set unit before the form is validated: form.limit.unit = unit."""

    def __init__(self, label: Any = None, validators: Any = None, **more: Any) -> None:
        """least: the smallest amount; bare: the unit is chosen in a field of its own."""
        self.least: int | None = more.pop("least", None)
        self.is_bare: bool = more.pop("bare", False)
        super().__init__(label, validators or [Optional()], **more)
        self.unit: Unit | None = None
        self.render_kw = {"inputmode": "decimal", "autocomplete": "off", **(self.render_kw or {})}

    @property
    def unit_code(self) -> str:
        """What stands beside the field."""
        return self.unit.code if self.unit is not None and not self.is_bare else ""

    def process_formdata(self, valuelist: list[Any]) -> None:  # noqa: ARG002  # WTForms calls it
        # The unit is known once the view has looked it up: reading waits for validation.
        self.data = None

    def pre_validate(self, _form: Any) -> None:
        written = str(self.raw_data[0]).strip() if self.raw_data else ""
        if not written or self.unit is None:
            return
        try:
            self.data = self.read(written)
        except InputRefused as error:
            raise ValidationError(sentence(str(error))) from None

    def read(self, written: str) -> int:
        if self.unit is None:
            raise InputRefused(gettext("choose a unit first"))
        amount = parse_amount(plain_number(written), self.unit)
        if self.least == 1 and amount < 1:
            raise InputRefused(gettext("more than zero"))
        if self.least is not None and amount < self.least:
            raise InputRefused(gettext("at least %(least)s", least=format_amount(self.least, self.unit)))
        return amount

    def shown(self, value: int) -> str:
        if self.unit is None:
            return ""
        return format_amount(value, self.unit).replace(".", reader_locale().number_symbols["latn"]["decimal"])


def plain_number(written: str) -> str:
    """A number as the reader's language writes it, with a point: 1 234,50 in French is 1234.50.

    Where the decimal sign is a comma, a point counts as one too, unless it may be meant to group thousands.
    """
    symbols = reader_locale().number_symbols["latn"]
    text = written.replace("\u202f", "").replace("\xa0", "").replace(" ", "").replace("−", "-")
    if symbols["decimal"] == ",":
        if "," not in text and _GROUPED.fullmatch(text):
            raise InputRefused(
                gettext("%(text)s can be read in two ways: write 1234 or 1,234", text=repr(written[:40]))
            )
        return text.replace(".", "").replace(",", ".") if "," in text else text
    whole, point, part = text.partition(".")
    groups = whole.lstrip("+-").split(",")
    # 12,50 in English is more likely twelve and a half than a mistyped 1250: it is refused, not guessed.
    if len(groups) > 1 and len(groups[0]) <= 3 and all(len(x) == 3 for x in groups[1:]):
        whole = whole.replace(",", "")
    return f"{whole}{point}{part}"


class NumberField(_ReadField):
    """A decimal number, exactly. Its data is text with a point, which the domain reads."""

    def __init__(self, label: Any = None, validators: Any = None, **more: Any) -> None:
        super().__init__(label, validators or [Optional()], **more)
        self.render_kw = {"inputmode": "decimal", "autocomplete": "off", **(self.render_kw or {})}

    def read(self, written: str) -> str:
        text = plain_number(written)
        if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
            raise InputRefused(gettext("%(text)s is not a number", text=repr(written[:40])))
        return text

    def shown(self, value: str) -> str:
        return str(value).replace(".", reader_locale().number_symbols["latn"]["decimal"])


class PercentField(_ReadField):
    """A percentage from 0 to 100, exactly. Its data is in millionths."""

    def __init__(self, label: Any = None, validators: Any = None, **more: Any) -> None:
        super().__init__(label, validators or [Optional()], **more)
        self.render_kw = {"inputmode": "decimal", "autocomplete": "off", **(self.render_kw or {})}

    def read(self, written: str) -> int:
        value = percent_ppm(plain_number(written.removesuffix("%").strip()), gettext("a percentage"))
        if not 0 <= value <= _ALL_PPM:
            raise InputRefused(gettext("from 0 to 100"))
        return value

    def shown(self, value: int) -> str:
        text = f"{to_decimal(value, 4).normalize():f}"
        return text.replace(".", reader_locale().number_symbols["latn"]["decimal"])


class ChecksField(SelectMultipleField):
    """Boxes to be ticked."""

    widget = ListWidget(prefix_label=False)
    option_widget = CheckboxInput()


class CountField(_ReadField):
    """A whole number within bounds."""

    def __init__(self, label: Any = None, validators: Any = None, **more: Any) -> None:
        self.least: int = more.pop("least", 0)
        self.most: int = more.pop("most", 2**31 - 1)
        super().__init__(label, validators or [Optional()], **more)
        self.render_kw = {"inputmode": "numeric", "autocomplete": "off", **(self.render_kw or {})}

    def read(self, written: str) -> int:
        sign, digits = (-1, written[1:]) if written.startswith("-") else (1, written)
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
            raise InputRefused(gettext("%(text)s is not a whole number", text=repr(written[:40])))
        value = sign * int(digits)
        if not self.least <= value <= self.most:
            raise InputRefused(gettext("from %(least)d to %(most)d", least=self.least, most=self.most))
        return value


class DayField(_ReadField):
    """A day. Its data is a date; day_start_us() of the reader's zone makes a moment of it."""

    widget = TextInput()

    def __init__(self, label: Any = None, validators: Any = None, **more: Any) -> None:
        super().__init__(label, validators or [Optional()], **more)
        self.widget = TextInput(input_type="date")

    def read(self, written: str) -> date:
        try:
            return date.fromisoformat(written)
        except ValueError:
            raise InputRefused(
                gettext("%(text)s is not a day; write it as 2026-01-31", text=repr(written[:40]))
            ) from None

    def start_us(self) -> int | None:
        """When the day begins for the reader."""
        return None if self.data is None else day_start_us(self.data, _zone())

    def shown(self, value: Any) -> str:
        return (day_of(value) if isinstance(value, int) else value).isoformat()


class MomentField(_ReadField):
    """A day and a time of the reader's zone. Its data is in microseconds."""

    def __init__(self, label: Any = None, validators: Any = None, **more: Any) -> None:
        super().__init__(label, validators or [Optional()], **more)
        self.widget = TextInput(input_type="datetime-local")
        self.render_kw = {"step": "1", **(self.render_kw or {})}

    def read(self, written: str) -> int:
        try:
            local = datetime.fromisoformat(written)
        except ValueError:
            raise InputRefused(
                gettext("%(text)s is not a moment; write it as 2026-01-31T08:30", text=repr(written[:40]))
            ) from None
        if local.tzinfo is None:
            local = local.replace(tzinfo=ZoneInfo(_zone()))
        since = local.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400 + since.seconds) * _MICROSECONDS + since.microseconds

    def shown(self, value: int) -> str:
        at = datetime.fromtimestamp(value // _MICROSECONDS, ZoneInfo(_zone()))
        return at.strftime("%Y-%m-%dT%H:%M:%S")


class AccountField(LineField):
    """An account by its code; codes are suggested as one types. The view looks it up in its scope."""

    options: tuple[tuple[str, str], ...] = ()

    @property
    def list_id(self) -> str:
        """Of the list of suggestions."""
        return f"{self.id}-known"

    def __call__(self, **more: Any) -> Any:
        return super().__call__(
            list=self.list_id,
            autocomplete="off",
            autocapitalize="none",
            **{"data-suggest": url_for("accounts.suggested")},
            **more,
        )


class ZoneField(LineField):
    """A zone of the tz database, chosen by typing."""

    def __init__(self, label: Any = None, validators: Any = None, **more: Any) -> None:
        super().__init__(label, [required()] if validators is None else validators, **more)

    @property
    def list_id(self) -> str:
        """Of the list of zones."""
        return f"{self.id}-known"

    @property
    def options(self) -> list[tuple[str, str]]:
        """All zones that people live in."""
        return [(x, "") for x in sorted(available_timezones()) if "/" in x and not x.startswith("Etc/")]

    def __call__(self, **more: Any) -> Any:
        return super().__call__(list=self.list_id, autocomplete="off", **more)

    def pre_validate(self, form: Any) -> None:
        super().pre_validate(form)
        if self.data and self.data not in available_timezones():
            raise ValidationError(
                gettext("There is no zone %(name)s; an example is Europe/Berlin.", name=self.data)
            )


class LanguageField(SelectField):
    """A language that we speak."""

    def __init__(self, label: Any = None, validators: Any = None, **more: Any) -> None:
        super().__init__(label, validators, choices=list(LANGUAGES.items()), **more)


class CountryField(SelectField):
    """A country, by its name in the reader's language; its two letters are kept."""

    def __init__(self, label: Any = None, validators: Any = None, **more: Any) -> None:
        super().__init__(label, validators, choices=_countries, **more)


class UnitField(SelectField):
    """A unit; the view gives its choices: form.unit.choices = units_of(session)."""

    def __init__(self, label: Any = None, validators: Any = None, **more: Any) -> None:
        super().__init__(label, validators, choices=[], validate_choice=True, **more)


def _countries() -> list[tuple[str, str]]:
    territories: dict[str, str] = dict(Locale.parse(reader_locale().language).territories)
    known = [(code, name) for code, name in territories.items() if len(code) == 2 and code.isalpha()]
    unreal = {"EU", "EZ", "UN", "XA", "XB", "ZZ", "QO"}
    return [("", "–"), *sorted(((c, n) for c, n in known if c not in unreal), key=lambda pair: pair[1])]


def _zone() -> str:
    actor = g.get("actor")
    return actor.zone if actor is not None else "UTC"
