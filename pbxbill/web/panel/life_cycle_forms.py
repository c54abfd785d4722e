"""The form of a life-cycle policy: its terms as fields and rows, made into the facts that its TOML has."""

from collections.abc import Mapping
from typing import Any, ClassVar

from flask_babel import gettext, lazy_gettext
from wtforms import BooleanField, Form, SelectField

from pbxbill.billing.life_cycle.life_cycle_catalogue import MAX_NAME_LENGTH
from pbxbill.billing.life_cycle.life_cycle_policy import (
    MAX_ALERTS,
    MAX_DAYS,
    MODES,
    Extends,
    LifeCyclePolicy,
)
from pbxbill.billing.life_cycle.life_cycle_text import STAGES
from pbxbill.money import Unit
from pbxbill.web.editions import EditionField
from pbxbill.web.fields import ChecksField, CountField, LineField, NumberField, PanelForm, at_most, required
from pbxbill.web.panel.asking import TermsForm
from pbxbill.web.panel.terms_forms import amounts_field, amounts_of, fill_amounts, named, unit_choices
from pbxbill.web.rows import RowsField

EXTENDS = (
    (Extends.TODAY.value, lazy_gettext("from its own day")),
    (Extends.END.value, lazy_gettext("from the end of what is left")),
)
_SIMPLE = ("stop", "modes", "brake", "brake_accounts")
_NAME = lazy_gettext("Name")
_STANDARD = lazy_gettext("The standard one")
_STANDARD_HINT = lazy_gettext("Of all customers of its modes for whom nothing else is said.")
_NO_STAGE = lazy_gettext("Days after its time was over. Empty: no such stage.")


def _stages() -> list[tuple[str, str]]:
    return named(STAGES)


def _forfeits() -> list[tuple[str, str]]:
    return [("", gettext("no stage: what is left stays")), *_stages()]


def _modes() -> list[tuple[str, str]]:
    return named(MODES)


class AlertRow(Form):
    """How long before a stage the account is told."""

    days = CountField(lazy_gettext("Days before"), [required()], least=1, most=MAX_DAYS)


class PolicyForm(PanelForm):
    """A policy, field by field."""

    places: ClassVar[Mapping[tuple[str, ...], tuple[str, ...]]] = {
        ("validity", "days"): ("validity_days",),
        ("validity", "minimum"): ("minimum",),
        ("validity",): (),
        ("inactivity", "days"): ("inactivity_days",),
        ("stages",): (),
        ("return",): ("returns",),
    }

    name = LineField(_NAME, [required(), at_most(MAX_NAME_LENGTH)])
    standard = BooleanField(_STANDARD, description=_STANDARD_HINT)
    modes = ChecksField(lazy_gettext("For accounts that are"), choices=_modes, default=["prepaid"])
    validity_days = CountField(
        lazy_gettext("A top-up is valid for days"),
        least=1,
        most=MAX_DAYS,
        description=lazy_gettext("Whole days after its own. Empty: for ever."),
    )
    extends = SelectField(lazy_gettext("They count"), choices=EXTENDS)
    minimum = amounts_field(
        lazy_gettext("Small top-ups"), lazy_gettext("A smaller top-up than this prolongs nothing.")
    )
    inactivity_days = CountField(
        lazy_gettext("Its time is over after days without use"),
        least=1,
        most=MAX_DAYS,
        description=lazy_gettext("Without a call and without money. Empty: it may be silent."),
    )
    no_outgoing = CountField(lazy_gettext("No outgoing calls"), most=MAX_DAYS, description=_NO_STAGE)
    suspended = CountField(lazy_gettext("Suspended"), most=MAX_DAYS, description=_NO_STAGE)
    inactive = CountField(lazy_gettext("Inactive"), most=MAX_DAYS, description=_NO_STAGE)
    terminated = CountField(lazy_gettext("Terminated"), most=MAX_DAYS, description=_NO_STAGE)
    alerts = RowsField(
        AlertRow,
        lazy_gettext("The account is told ahead"),
        description=lazy_gettext("So many days before each stage. No row: not at all."),
        item=lazy_gettext("Notice"),
        add=lazy_gettext("Add a notice"),
        most=MAX_ALERTS,
        by="days",
        inline=True,
    )
    returns = ChecksField(lazy_gettext("A top-up brings back from"), choices=_stages, default=[])
    forfeit = SelectField(lazy_gettext("What is left in wallets is forfeited at"), choices=_forfeits)
    stop = SelectField(lazy_gettext("On its stop date an account is"), choices=_stages)
    brake = NumberField(
        lazy_gettext("Brake, in percent"),
        [required()],
        default="10",
        description=lazy_gettext("Of its accounts so many may come to a worse stage in a run."),
    )
    brake_accounts = CountField(
        lazy_gettext("Always allowed"),
        [required()],
        default=3,
        description=lazy_gettext("So many accounts may, however few there are."),
    )
    edition = EditionField()


class PolicyTextForm(TermsForm):
    """The same as text."""

    name = LineField(_NAME, [required(), at_most(MAX_NAME_LENGTH)])
    standard = BooleanField(_STANDARD, description=_STANDARD_HINT)
    edition = EditionField()


def give_choices(form: PolicyForm, units: Mapping[str, Unit]) -> None:
    """What there is to choose from."""
    form.minimum.offer(unit=unit_choices(units))


def facts_of(form: PolicyForm) -> dict[str, Any]:
    """What policy_from_facts() takes."""
    facts: dict[str, Any] = {key: form[key].data for key in _SIMPLE}
    facts["alerts"] = [x.days.data for x in form.alerts.rows]
    facts["return"] = form.returns.data
    if form.forfeit.data:
        facts["forfeit"] = form.forfeit.data
    minimum = amounts_of(form.minimum)
    if form.validity_days.data is not None:
        facts["validity"] = {
            "days": form.validity_days.data,
            "extends": form.extends.data,
            "minimum": minimum,
        }
    if form.inactivity_days.data is not None:
        facts["inactivity"] = {"days": form.inactivity_days.data}
    days = {str(x): form[x].data for x in STAGES}
    return facts | {"stages": {key: x for key, x in days.items() if x is not None}}


def fill(form: PolicyForm, facts: dict[str, Any]) -> None:
    """Show terms as they are."""
    for key in _SIMPLE:
        if key in facts:
            form[key].data = facts[key]
    for days in facts["alerts"]:
        form.alerts.append_entry({"days": days})
    form.returns.data, form.forfeit.data = facts["return"], facts.get("forfeit", "")
    validity = facts.get("validity", {})
    form.validity_days.data = validity.get("days")
    form.extends.data = validity.get("extends", Extends.TODAY.value)
    fill_amounts(form.minimum, validity.get("minimum", {}))
    form.inactivity_days.data = facts.get("inactivity", {}).get("days")
    for stage, days in facts["stages"].items():
        form[stage].data = days


def shown(facts: dict[str, Any], version: int) -> dict[str, str]:
    """The terms by their fields, as text, for two people who change them at once."""
    validity = facts.get("validity", {})
    known = {
        **{key: facts[key] for key in _SIMPLE},
        "alerts": facts["alerts"],
        "returns": facts["return"],
        "forfeit": facts.get("forfeit", ""),
        "validity_days": validity.get("days", ""),
        "extends": validity.get("extends", ""),
        "minimum": validity.get("minimum", ""),
        "inactivity_days": facts.get("inactivity", {}).get("days", ""),
        **{str(x): facts["stages"].get(x, "") for x in STAGES},
        gettext("Version"): version,
    }
    return {key: str(value) for key, value in known.items()}


def steps_of(policy: LifeCyclePolicy) -> list[tuple[int, str]]:
    """What becomes of an account whose time is over: days after that, and the stage it comes to."""
    return [(x.days, x.status.value) for x in policy.stages]
