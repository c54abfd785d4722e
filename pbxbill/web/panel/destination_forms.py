"""The forms of destinations and dialling rules."""

from typing import Any

from flask_babel import lazy_gettext
from flask_wtf.file import FileField, FileRequired
from wtforms import BooleanField, HiddenField, SelectField, TextAreaField
from wtforms.validators import Length, Optional

from pbxbill.rating.destination import DiallingRule
from pbxbill.rating.number_plan import KINDS
from pbxbill.web.editions import EditionField, as_text
from pbxbill.web.fields import CountryField, LineField, PanelForm, at_most, required
from pbxbill.web.words import word_of

MAX_LIST_LENGTH = 200_000


class DestinationForm(PanelForm):
    """A destination with its prefixes."""

    edition = EditionField()
    name = LineField(lazy_gettext("Name"), [required(), at_most(100)])
    kind = SelectField(lazy_gettext("Class"), choices=lambda: [(x, word_of(x)) for x in KINDS])
    prefixes = TextAreaField(
        lazy_gettext("Prefixes"),
        [required(), Length(max=MAX_LIST_LENGTH)],
        description=lazy_gettext(
            "With the country's code, without zeros before it: 4915 4916. Of several destinations the one "
            "with the longest prefix has a number."
        ),
        render_kw={"rows": 6},
    )


class DestinationImportForm(PanelForm):
    """A list of destinations."""

    file = FileField(
        lazy_gettext("List of destinations"),
        [FileRequired(lazy_gettext("Choose a file."))],
        description=lazy_gettext("CSV with the columns name, class and prefixes."),
    )
    keep = BooleanField(lazy_gettext("Keep the destinations that the list does not name"), default=True)


class AgreedForm(PanelForm):
    """A list that was looked at."""

    text = HiddenField()
    keep = HiddenField()


class RuleForm(PanelForm):
    """How accounts dial."""

    edition = EditionField()
    name = LineField(lazy_gettext("Name"), [required(), at_most(64)])
    region = CountryField(
        lazy_gettext("Country"),
        [required()],
        description=lazy_gettext("Its prefixes and emergency numbers hold, unless you say otherwise here."),
    )
    international_prefixes = LineField(
        lazy_gettext("Before numbers abroad"),
        [Optional(), at_most(100)],
        description=lazy_gettext("Instead of the country's, for example 00. Several with spaces between."),
    )
    national_prefix = LineField(lazy_gettext("Before national numbers"), [Optional(), at_most(15)])
    area_code = LineField(
        lazy_gettext("Area code"),
        [Optional(), at_most(15)],
        description=lazy_gettext("Numbers without a prefix are local ones of this area."),
    )
    technical_prefix = LineField(
        lazy_gettext("Technical prefix"),
        [Optional(), at_most(20)],
        description=lazy_gettext("Digits that are taken off first."),
    )
    short_codes = TextAreaField(
        lazy_gettext("Short codes"),
        [Optional(), Length(max=20_000)],
        description=lazy_gettext("One per line: 77=493012345, or 115 alone to leave it as it is."),
        render_kw={"rows": 3},
    )
    emergency_numbers = LineField(
        lazy_gettext("More emergency numbers"),
        [Optional(), at_most(500)],
        description=lazy_gettext("Beside the country's, with spaces between. They always pass and are free."),
    )


class TryForm(PanelForm):
    """A number, as somebody dials it."""

    class Meta:
        csrf = False

    number = LineField(lazy_gettext("Dialled"), [required(), at_most(40)])


def facts_of(form: RuleForm) -> dict[str, Any]:
    """What rule_from_facts() takes."""
    facts: dict[str, Any] = {"region": form.region.data}
    for key in ("international_prefixes", "emergency_numbers"):
        if form[key].data:
            facts[key] = form[key].data.split()
    for key in ("national_prefix", "area_code", "technical_prefix"):
        if form[key].data:
            facts[key] = form[key].data
    codes = [x.partition("=") for x in (form.short_codes.data or "").split()]
    if codes:
        facts["short_codes"] = {code.strip(): number.strip() for code, _, number in codes}
    return facts


def rule_shown(rule: DiallingRule) -> dict[str, str]:
    """What a form shows of a rule, as text."""
    form = RuleForm(formdata=None)
    del form.name
    fill_rule(form, rule)
    return as_text(form.data_entered)


def fill_rule(form: RuleForm, rule: DiallingRule) -> None:
    """Show a rule as it is."""
    form.region.data = rule.region
    form.international_prefixes.data = " ".join(rule.international_prefixes)
    form.national_prefix.data = rule.national_prefix or ""
    form.area_code.data, form.technical_prefix.data = rule.area_code, rule.technical_prefix
    form.short_codes.data = "\n".join(f"{code}={number}" for code, number in rule.short_codes)
    form.emergency_numbers.data = " ".join(rule.emergency_numbers)
