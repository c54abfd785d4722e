"""Forms of accounts: open, change, bar, wallets, endpoints, limits, notes."""

from typing import Any

from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from wtforms import BooleanField, SelectField, TextAreaField
from wtforms.validators import Length, Optional

from pbxbill.access.actor import Actor, Scope
from pbxbill.access.permissions import Permission
from pbxbill.billing.account_terms import ANNOUNCEMENTS, money_units
from pbxbill.charging.status import AccountStatus
from pbxbill.money import Unit
from pbxbill.store.accounts import ACCOUNT_KINDS, ACCOUNT_MODES, ENDPOINT_KINDS
from pbxbill.store.catalogue_models import DiallingRuleRow
from pbxbill.store.limits import NEEDS, WINDOWS
from pbxbill.store.models import TariffRow
from pbxbill.web.editions import EditionField
from pbxbill.web.fields import (
    AccountField,
    AmountField,
    CountField,
    DayField,
    LanguageField,
    LineField,
    PanelForm,
    UnitField,
    ZoneField,
    at_most,
    required,
)
from pbxbill.web.words import word_of

SUSPENDING = (AccountStatus.NO_OUTGOING, AccountStatus.SUSPENDED, AccountStatus.INACTIVE)
OPERATORS_TERMS = ("failure_policy", "offline_allowance", "shadow")
_YES_NO_TARIFF = (
    ("", lazy_gettext("as the tariff says")),
    ("yes", lazy_gettext("yes")),
    ("no", lazy_gettext("no")),
)


def worded(values: Any) -> list[tuple[str, str]]:
    """Choices, called as on every page."""
    return [(str(x), word_of(str(x))) for x in values]


class TermsForm(PanelForm):
    """What can be said of an account when it is opened and afterwards."""

    name = LineField(lazy_gettext("Name"), [required(), at_most()])
    mode = SelectField(lazy_gettext("Pays"), choices=lambda: worded(ACCOUNT_MODES))
    tariff = SelectField(
        lazy_gettext("Tariff"), coerce=int, description=lazy_gettext("What its calls are charged by.")
    )
    inbound_tariff = SelectField(
        lazy_gettext("Tariff of calls to its numbers"),
        coerce=int,
        description=lazy_gettext("Without one they are free."),
    )
    language = LanguageField(
        lazy_gettext("Language"), description=lazy_gettext("Of what it is told and sent.")
    )
    failure_policy = SelectField(
        lazy_gettext("When nobody can authorize a call"),
        choices=[
            ("closed", lazy_gettext("the call is refused")),
            ("open", lazy_gettext("the call passes, up to the allowance")),
        ],
    )
    offline_allowance = AmountField(
        lazy_gettext("Allowance of calls that nobody could authorize"),
        least=0,
        description=lazy_gettext("The most that may be charged beyond its limit for them."),
    )
    dialling_rule = SelectField(
        lazy_gettext("How it dials"),
        coerce=int,
    )
    shadow = BooleanField(
        lazy_gettext("Only watch"),
        description=lazy_gettext("Its calls are charged, and nobody is cut or denied."),
    )


class OpenForm(TermsForm):
    """A new account."""

    code = LineField(
        lazy_gettext("Code"),
        [required(), at_most(64)],
        description=lazy_gettext("Short and without spaces; it stays. Often the customer number."),
    )
    kind = SelectField(lazy_gettext("Kind"), choices=lambda: worded(reversed(ACCOUNT_KINDS)))
    parent = AccountField(
        lazy_gettext("Below the reseller"), description=lazy_gettext("Empty: it is your own customer.")
    )
    unit = UnitField(lazy_gettext("Wallet in"))
    credit_limit = AmountField(
        lazy_gettext("Credit limit"),
        least=0,
        bare=True,
        description=lazy_gettext("How far below zero the wallet may go. Empty: not at all."),
    )
    sip = LineField(
        lazy_gettext("SIP account"),
        [Optional(), at_most(64)],
        description=lazy_gettext("The account code that the switch sends with its calls."),
    )
    opened = DayField(
        lazy_gettext("Billed since"), description=lazy_gettext("Empty: today. Not a day to come.")
    )


class ChangeForm(TermsForm):
    """An account that is there."""

    edition = EditionField()
    minimum_balance = AmountField(
        lazy_gettext("Minimum balance"),
        least=0,
        description=lazy_gettext("With less to spend no call to the outside begins. Empty: no such floor."),
    )
    wallet_order = LineField(
        lazy_gettext("Wallets that pay, in order"),
        [Optional(), at_most()],
        description=lazy_gettext("Units with commas between. Empty: the one in the tariff's unit alone."),
    )
    announce_balance = SelectField(lazy_gettext("Announce the balance"), choices=_YES_NO_TARIFF)
    announce_minutes = SelectField(lazy_gettext("Announce the minutes"), choices=_YES_NO_TARIFF)
    announce_warning = SelectField(lazy_gettext("Warn before the end"), choices=_YES_NO_TARIFF)
    announce_denial = SelectField(lazy_gettext("Say why a call is denied"), choices=_YES_NO_TARIFF)


class SuspendForm(PanelForm):
    """Bar an account."""

    status = SelectField(
        lazy_gettext("What is barred"),
        default="suspended",
        choices=[
            ("no_outgoing", lazy_gettext("calls to the outside")),
            ("suspended", lazy_gettext("all calls")),
            ("inactive", lazy_gettext("all calls, and recurring charges rest")),
        ],
    )
    reason = LineField(
        lazy_gettext("Reason"),
        [required(), at_most()],
        description=lazy_gettext("Kept, and told the account."),
    )
    cut = BooleanField(
        lazy_gettext("End calls that are up"),
        description=lazy_gettext("They end with the slice they have, within a minute or so."),
    )


class TerminateForm(PanelForm):
    """Close an account for good."""

    reason = LineField(
        lazy_gettext("Reason"),
        [required(), at_most()],
        description=lazy_gettext("Kept, and told the account."),
    )
    code = LineField(
        lazy_gettext("The account's code"),
        [required()],
        description=lazy_gettext("Type it, so that it is the right one."),
    )


class WalletForm(PanelForm):
    """One more wallet."""

    unit = UnitField(lazy_gettext("Unit"))
    credit_limit = AmountField(
        lazy_gettext("Credit limit"),
        least=0,
        bare=True,
        description=lazy_gettext("How far below zero the wallet may go. Empty: not at all."),
    )


class LimitOfWalletForm(PanelForm):
    """How far below zero a wallet may go."""

    edition = EditionField()
    credit_limit = AmountField(
        lazy_gettext("Credit limit"),
        [required()],
        least=0,
        description=lazy_gettext("Live calls follow within a second."),
    )


class EndpointForm(PanelForm):
    """What tells the switch whose call it is."""

    kind = SelectField(lazy_gettext("Kind"), choices=lambda: worded(ENDPOINT_KINDS))
    value = LineField(lazy_gettext("Value"), [required(), at_most(64)])
    tech_prefix = LineField(
        lazy_gettext("Technical prefix"),
        [Optional(), at_most(16)],
        description=lazy_gettext("Digits before the number that tell it from others at the same address."),
    )


class LimitForm(PanelForm):
    """A limit before dialling."""

    kind = SelectField(lazy_gettext("Limit"), choices=lambda: worded(NEEDS))
    value = CountField(
        lazy_gettext("Calls or seconds"),
        description=lazy_gettext("How many at most; of the length of a call: seconds."),
        most=2**53,
    )
    amount = AmountField(
        lazy_gettext("Amount"), least=0, description=lazy_gettext("Of spending and of the cost of a call.")
    )
    window = SelectField(
        lazy_gettext("Spending per"), choices=lambda: [("", "–"), *((x, _window(x)) for x in WINDOWS)]
    )
    zone = ZoneField(lazy_gettext("Days and months of"), [Optional()])
    window_s = CountField(lazy_gettext("Within seconds"), most=7 * 86_400)
    shorter_s = CountField(lazy_gettext("Short is below seconds"), most=3_600)
    destinations = LineField(
        lazy_gettext("Destinations or countries"),
        [Optional(), at_most(1_000)],
        description=lazy_gettext(
            "Prefixes, classes or names with commas between; countries by their two letters."
        ),
    )
    suspends = BooleanField(lazy_gettext("Whoever reaches it is suspended"))


class NoteForm(PanelForm):
    """What somebody wants to remember."""

    text = TextAreaField(
        lazy_gettext("Note"),
        [required(), Length(max=4_000)],
        render_kw={"rows": 4},
        description=lazy_gettext("The account does not see it."),
    )


def _window(value: str) -> str:
    return str({"hour": gettext("hour"), "day": gettext("day"), "month": gettext("month")}[value])


def leave_to_operator(form: TermsForm, scope: Scope) -> None:
    """Calls that nobody authorizes or cuts cost whoever owns the switch: only he lets them pass."""
    if not scope.is_everything:
        for name in OPERATORS_TERMS:
            del form[name]


def leave_credit(form: Any, actor: Actor) -> None:
    """Credit is given by whoever may change a limit later; others open without it."""
    if not actor.may(Permission.PAYMENTS_CORRECT):
        del form.credit_limit


def credit_of(form: Any) -> int:
    """What a form gives."""
    return (form.credit_limit.data or 0) if "credit_limit" in form else 0


def give_choices(session: Session, form: TermsForm, issuer_id: int, operator_id: int) -> None:
    """Tariffs of the issuer and of whoever acts, and the dialling rules."""
    rows = session.execute(
        select(TariffRow.id, TariffRow.name)
        .where(TariffRow.issuer_id.in_((issuer_id, operator_id)))
        .order_by(TariffRow.name, TariffRow.id)
    )
    tariffs = [(id, name) for id, name in rows]
    form.tariff.choices = [(0, gettext("none yet: it cannot call")), *tariffs]
    form.inbound_tariff.choices = [(0, gettext("none: they are free")), *tariffs]
    rules = session.execute(select(DiallingRuleRow.id, DiallingRuleRow.name).order_by(DiallingRuleRow.name))
    form.dialling_rule.choices = [(0, gettext("as the account above")), *((id, name) for id, name in rules)]


def unit_choices(session: Session, form: Any) -> dict[str, Unit]:
    """Units that a wallet can be opened in; the form's amount is in the one that is chosen."""
    units = {x.code: x for x in money_units(session)}
    form.unit.choices = [(x, x) for x in units]
    if "credit_limit" in form:
        form.credit_limit.unit = units.get(form.unit.data) or next(iter(units.values()), None)
    return units


def chosen(value: bool | None) -> str:
    """Yes, no or as the tariff says, as a field has it."""
    return {True: "yes", False: "no", None: ""}[value]


def announcements(form: ChangeForm) -> dict[str, bool | None]:
    """The same, as the account has it."""
    meant = {"yes": True, "no": False, "": None}
    return {name: meant[form[name].data] for name in ANNOUNCEMENTS}
