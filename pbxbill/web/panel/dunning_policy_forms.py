"""The form of a dunning policy: its terms as fields and rows, made into the facts that its TOML has."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from flask_babel import gettext, lazy_gettext
from wtforms import BooleanField, Form, SelectField, TextAreaField
from wtforms.validators import Length, Optional

from pbxbill.billing.dunning.dunning_catalogue import MAX_NAME_LENGTH
from pbxbill.billing.dunning.dunning_policy import (
    MAX_DAYS,
    MAX_LEVELS,
    MAX_QUIET_DAYS,
    MAX_WORDS,
    Action,
    After,
    DunningPolicy,
    LevelNotice,
)
from pbxbill.billing.dunning.dunning_text import PLACEHOLDERS, WEEKDAYS
from pbxbill.errors import TermRefused
from pbxbill.money import Unit
from pbxbill.web.editions import EditionField
from pbxbill.web.fields import (
    ChecksField,
    CountField,
    DayField,
    LineField,
    NumberField,
    PanelForm,
    at_most,
    required,
)
from pbxbill.web.formatting import reader_locale
from pbxbill.web.panel.asking import TermsForm
from pbxbill.web.panel.terms_forms import amounts_field, amounts_of, fill_amounts, unit_choices
from pbxbill.web.rows import RowsField

MOST_LANGUAGES = 20
_LEAP_YEAR = 2024
"""Days of every year are shown in it: it has all of them."""
ACTIONS = (
    (Action.REMIND.value, lazy_gettext("nothing but the notice")),
    (Action.FEE.value, lazy_gettext("charge a fee")),
    (Action.BAR_OUTGOING.value, lazy_gettext("bar outgoing calls")),
    (Action.SUSPEND.value, lazy_gettext("suspend the account")),
    (Action.TERMINATE.value, lazy_gettext("end the account")),
    (Action.COLLECTION.value, lazy_gettext("hand the invoice to collection")),
)
AFTERS = (
    (After.DUE.value, lazy_gettext("after it was due")),
    (After.LEVEL.value, lazy_gettext("after the level before")),
)
NOTICES = (
    (LevelNotice.DUNNING.value, lazy_gettext("a dunning letter")),
    (LevelNotice.OVERDUE.value, lazy_gettext("a friendly reminder")),
    (LevelNotice.NONE.value, lazy_gettext("no notice")),
)


def weekday_choices() -> list[tuple[str, str]]:
    """The days of the week as dunning names them, from Monday on."""
    return [(x, weekday_name(number)) for number, x in enumerate(WEEKDAYS)]


def weekday_name(number: int) -> str:
    """A day of the week in the reader's language, Monday is 0."""
    return str(reader_locale().days["stand-alone"]["wide"][number])


class WordsRow(Form):
    """What a level says in one language."""

    language = LineField(
        lazy_gettext("Language"), [at_most(5)], description=lazy_gettext("As in en or pt-BR.")
    )
    text = TextAreaField(
        lazy_gettext("Words"),
        [required(), Length(max=MAX_WORDS)],
        description=lazy_gettext(
            "Put into the notice. %(names)s in braces are filled in, as in {number}.",
            names=", ".join(PLACEHOLDERS),
        ),
        render_kw={"rows": 3},
    )


class LevelRow(Form):
    """One level."""

    days = CountField(lazy_gettext("Days"), [required()], most=MAX_DAYS)
    after = SelectField(lazy_gettext("Counted"), choices=AFTERS, default=After.LEVEL.value)
    action = SelectField(lazy_gettext("What is done"), choices=ACTIONS)
    penalty = SelectField(
        lazy_gettext("Penalty class of the fee"),
        description=lazy_gettext("Where a fee is charged, and only there."),
    )
    notice = SelectField(lazy_gettext("The account gets"), choices=NOTICES)
    words = RowsField(
        WordsRow,
        lazy_gettext("Own words"),
        item=lazy_gettext("Words"),
        add=lazy_gettext("Add words"),
        most=MOST_LANGUAGES,
        by="language",
    )


class QuietDayRow(Form):
    """A day on which nothing is done."""

    day = DayField(lazy_gettext("Day"))
    yearly = BooleanField(lazy_gettext("Every year"))


class PolicyForm(PanelForm):
    """A policy, field by field."""

    name = LineField(lazy_gettext("Name"), [required(), at_most(MAX_NAME_LENGTH)])
    standard = BooleanField(
        lazy_gettext("The standard one"),
        description=lazy_gettext("Of all accounts for whom nothing else is said."),
    )
    groups = LineField(
        lazy_gettext("Of the groups"),
        [Optional(), at_most(1_000)],
        description=lazy_gettext("Of billing profiles, with commas between."),
    )
    level = RowsField(
        LevelRow,
        lazy_gettext("Levels"),
        description=lazy_gettext("What is done about an invoice that is not paid, one after the other."),
        item=lazy_gettext("Level"),
        add=lazy_gettext("Add a level"),
        most=MAX_LEVELS,
    )
    hour = CountField(
        lazy_gettext("Nothing is done before"),
        [required()],
        most=22,
        default=8,
        description=lazy_gettext("The hour of the account's day, 0 to 22."),
    )
    quiet_weekdays = ChecksField(lazy_gettext("Nothing is done on"), choices=weekday_choices, default=[])
    quiet_holidays = BooleanField(lazy_gettext("Nor on public holidays of your country"))
    quiet_days = RowsField(
        QuietDayRow,
        lazy_gettext("Further days on which nothing is done"),
        item=lazy_gettext("Day"),
        add=lazy_gettext("Add a day"),
        most=MAX_QUIET_DAYS // 2,
        by="day",
        inline=True,
    )
    minimum = amounts_field(
        lazy_gettext("Small amounts"),
        lazy_gettext("An invoice of which less is overdue is left alone."),
    )
    penalty = SelectField(
        lazy_gettext("Penalty class of overdue invoices"),
        description=lazy_gettext("Charged whatever the levels do, interest for example."),
    )
    promise_days = CountField(
        lazy_gettext("Promises to pay, days ahead"), [required()], most=MAX_DAYS, default=14
    )
    brake = NumberField(
        lazy_gettext("Brake, in percent"),
        [required()],
        default="10",
        description=lazy_gettext("Of its accounts so many may lose service within a day."),
    )
    brake_accounts = CountField(
        lazy_gettext("Always allowed"),
        [required()],
        default=3,
        description=lazy_gettext("So many accounts may lose service, however few there are."),
    )
    edition = EditionField()


class PolicyTextForm(TermsForm):
    """The same as text."""

    name = LineField(lazy_gettext("Name"), [required(), at_most(MAX_NAME_LENGTH)])
    standard = BooleanField(
        lazy_gettext("The standard one"),
        description=lazy_gettext("Of all accounts for whom nothing else is said."),
    )
    groups = LineField(
        lazy_gettext("Of the groups"),
        [Optional(), at_most(1_000)],
        description=lazy_gettext("Of billing profiles, with commas between."),
    )
    edition = EditionField()


_SIMPLE = ("hour", "quiet_weekdays", "quiet_holidays", "promise_days", "brake", "brake_accounts")


def give_choices(form: PolicyForm, units: Mapping[str, Unit], penalties: list[str]) -> None:
    """What there is to choose from."""
    classes = [("", gettext("none")), *((x, x) for x in penalties)]
    form.penalty.choices = classes
    form.level.offer(penalty=classes)
    form.minimum.offer(unit=unit_choices(units))


def facts_of(form: PolicyForm) -> dict[str, Any]:
    """What policy_from_facts() takes."""
    facts: dict[str, Any] = {key: form[key].data for key in _SIMPLE}
    facts["quiet_days"] = [
        f"{x.day.data:%m-%d}" if x.yearly.data else x.day.data for x in form.quiet_days.rows
    ]
    facts["minimum"] = amounts_of(form.minimum)
    if form.penalty.data:
        facts["penalty"] = form.penalty.data
    facts["level"] = [_level(x, number) for number, x in enumerate(form.level.rows, 1)]
    return facts


def _level(row: Any, number: int) -> dict[str, Any]:
    facts = {key: row[key].data for key in ("days", "after", "action", "notice")}
    if row.penalty.data:
        facts["penalty"] = row.penalty.data
    words: dict[str, str] = {}
    for said in row.words.rows:
        language = said.language.data
        if language in words:
            raise TermRefused(
                gettext("%(language)s stands twice.", language=language), "level", number, "words", language
            )
        words[language] = (said.text.data or "").replace("\r\n", "\n")
    return facts | {"words": words}


def fill(form: PolicyForm, facts: dict[str, Any]) -> None:
    """Show terms as they are."""
    for key in _SIMPLE:
        if key in facts:
            form[key].data = facts[key]
    form.penalty.data = facts.get("penalty", "")
    fill_amounts(form.minimum, facts.get("minimum", {}))
    for day in facts.get("quiet_days", []):
        yearly = not isinstance(day, date)
        shown = date.fromisoformat(f"{_LEAP_YEAR}-{day}") if yearly else day
        form.quiet_days.append_entry({"day": shown, "yearly": yearly})
    for level in facts.get("level", []):
        words = [{"language": key, "text": text} for key, text in level.get("words", {}).items()]
        defaults = {"after": After.DUE.value, "notice": LevelNotice.DUNNING.value}
        form.level.append_entry(defaults | level | {"words": words})


def shown(facts: dict[str, Any], version: int) -> dict[str, str]:
    """The terms by their fields, as text, for two people who change them at once."""
    levels = [f"{x['days']} {x.get('after', 'due')} {x.get('action', '')}" for x in facts.get("level", [])]
    known = {key: str(facts.get(key, "")) for key in (*_SIMPLE, "minimum", "penalty")}
    known["quiet_days"] = ", ".join(str(x) for x in facts.get("quiet_days", []))
    return known | {"level": "; ".join(levels), gettext("Version"): str(version)}


def steps_of(policy: DunningPolicy) -> list[tuple[int, str, str]]:
    """What becomes of an unpaid invoice: days after it was due, what is done, what the account gets."""
    does, tells = dict(ACTIONS), dict(NOTICES)
    return [
        (policy.days_after_due(number), str(does[x.action.value]), str(tells[x.notice.value]))
        for number, x in enumerate(policy.levels, 1)
    ]
