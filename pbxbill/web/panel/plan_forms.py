"""The form of a plan: what it costs and how, made into the facts that a plan's TOML has."""

from collections.abc import Mapping
from typing import Any, ClassVar

from flask_babel import gettext, lazy_gettext
from wtforms import BooleanField, Form, RadioField, SelectField, SelectMultipleField

from pbxbill.billing.charge import Collection
from pbxbill.billing.proration import Proration
from pbxbill.billing.subscriptions.plan import facts_of_plan
from pbxbill.billing.subscriptions.plan_terms import (
    Anchoring,
    ChangeAt,
    ChargeType,
    FeeKind,
    PlanKind,
    PlanTerms,
    Renewal,
    TermUnit,
    Timing,
    Unpaid,
)
from pbxbill.errors import InputRefused, refused_at
from pbxbill.money import Unit
from pbxbill.rating.cycles import CYCLES
from pbxbill.web.editions import EditionField
from pbxbill.web.fields import (
    CountField,
    DayField,
    LineField,
    PanelForm,
    UnitField,
    at_most,
    plain_number,
    required,
)
from pbxbill.web.rows import RowsField
from pbxbill.web.words import word_of

MOST_CHARGES = 50


class ChargeForm(Form):
    """One charge; a row without a name is none."""

    places: ClassVar[Mapping[tuple[str, ...], tuple[str, ...]]] = {("steps",): ("price",)}

    name = LineField(lazy_gettext("Charge"), [at_most(40)])
    price = LineField(lazy_gettext("Price"), [at_most(200)])
    type = SelectField(
        lazy_gettext("Due"),
        choices=[
            (ChargeType.RECURRING.value, lazy_gettext("every period")),
            (ChargeType.SET_UP.value, lazy_gettext("once, set-up")),
            (ChargeType.ONE_TIME.value, lazy_gettext("once")),
        ],
    )
    quantity = SelectField(
        lazy_gettext("For"),
        choices=[("counted", lazy_gettext("each piece")), ("flat", lazy_gettext("all together"))],
    )
    product_class = LineField(lazy_gettext("Taxed as"), [at_most(32)])


class PlanForm(PanelForm):
    """A plan's terms."""

    places: ClassVar[Mapping[tuple[str, ...], tuple[str, ...]]] = {
        ("charge",): ("charges",),
        ("term", "amount"): ("fee_amount",),
        ("term", "share"): ("fee_amount",),
        ("term", "fee"): ("fee",),
        ("term", "product_class"): ("fee_class",),
        ("term",): ("term_length",),
    }

    name = LineField(lazy_gettext("Name"), [required(), at_most(64)])
    kind = RadioField(
        lazy_gettext("What it is for"),
        choices=[
            (PlanKind.SERVICE.value, lazy_gettext("a service")),
            (PlanKind.DID.value, lazy_gettext("a telephone number")),
        ],
        default=PlanKind.SERVICE.value,
    )
    unit = UnitField(lazy_gettext("Unit"))
    charges = RowsField(
        ChargeForm,
        lazy_gettext("Charges"),
        description=lazy_gettext(
            "A price is for one piece: 9.90, or by quantity: 1:4 11:3 costs 4 for each up to ten and 3 for "
            "each from the eleventh."
        ),
        item=lazy_gettext("Charge"),
        add=lazy_gettext("Add a charge"),
        least=1,
        most=MOST_CHARGES,
        by="name",
        inline=True,
    )
    cycle = SelectField(
        lazy_gettext("Period"), choices=lambda: [(x, word_of(x)) for x in CYCLES], default="month"
    )
    every = CountField(lazy_gettext("How many of them"), least=1, most=366, default=1)
    anchor = SelectField(
        lazy_gettext("Periods begin"),
        choices=[
            (Anchoring.SIGN_UP.value, lazy_gettext("on the day of the first paid one")),
            (Anchoring.INVOICE_DAY.value, lazy_gettext("on the day the account is invoiced")),
            (Anchoring.FIXED_DAY.value, lazy_gettext("on this day:")),
        ],
    )
    fixed_day = DayField(lazy_gettext("Day"))
    timing = SelectField(
        lazy_gettext("A period is charged"),
        choices=[
            (Timing.ADVANCE.value, lazy_gettext("when it begins")),
            (Timing.ARREARS.value, lazy_gettext("when it has ended")),
        ],
    )
    proration = SelectField(
        lazy_gettext("Parts of periods"),
        choices=[
            (Proration.DAY.value, lazy_gettext("by days")),
            (Proration.SECOND.value, lazy_gettext("by seconds")),
            (Proration.NONE.value, lazy_gettext("cost as whole ones")),
        ],
    )
    collection = SelectField(
        lazy_gettext("Charges are"),
        choices=[
            (Collection.WALLET.value, lazy_gettext("taken from the wallet")),
            (Collection.INVOICE.value, lazy_gettext("asked for on the invoice")),
        ],
    )
    change = SelectField(
        lazy_gettext("A change takes effect"),
        choices=[
            (ChangeAt.NOW.value, lazy_gettext("at once")),
            (ChangeAt.CYCLE_END.value, lazy_gettext("with the next period")),
        ],
    )
    set_up_on_change = BooleanField(lazy_gettext("Who changes to it pays its set-up, too"))
    minimum_spend = LineField(
        lazy_gettext("Least usage in a period"),
        [at_most(30)],
        description=lazy_gettext("Without tax; what is missing is charged. Empty: none."),
    )
    trial_days = CountField(lazy_gettext("Days of trial"), most=366, default=0)
    renewal = SelectField(
        lazy_gettext("When its term is over"),
        choices=[
            (Renewal.CYCLE.value, lazy_gettext("it goes on from period to period")),
            (Renewal.TERM.value, lazy_gettext("it goes on for another term")),
            (Renewal.ENDS.value, lazy_gettext("it ends")),
        ],
    )
    unpaid = SelectField(
        lazy_gettext("While a wallet cannot pay"),
        choices=[
            (Unpaid.BAR.value, lazy_gettext("there is no service")),
            (Unpaid.KEEP.value, lazy_gettext("it goes on, owed")),
        ],
    )
    remind_days_before = CountField(lazy_gettext("Days before its end to remind"), most=366, default=0)
    bundles = SelectMultipleField(lazy_gettext("Bundles"), default=[])
    tariff = SelectField(lazy_gettext("Tariff"), description=lazy_gettext("By which calls are charged."))
    inbound_tariff = SelectField(lazy_gettext("Tariff of calls to its numbers"))
    term_length = CountField(lazy_gettext("Minimum term"), most=240, description=lazy_gettext("Empty: none."))
    term_of = SelectField(
        lazy_gettext("in"),
        choices=[
            (TermUnit.MONTHS.value, lazy_gettext("months")),
            (TermUnit.CYCLES.value, lazy_gettext("periods")),
        ],
    )
    fee = SelectField(
        lazy_gettext("Leaving early costs"),
        choices=[
            ("", lazy_gettext("nothing")),
            (FeeKind.FIXED.value, lazy_gettext("an amount")),
            (FeeKind.SLIDING.value, lazy_gettext("an amount that falls day by day")),
            (FeeKind.REMAINING.value, lazy_gettext("a share of what remains, in percent")),
        ],
        default="",
    )
    fee_amount = LineField(lazy_gettext("How much"), [at_most(30)])
    fee_class = LineField(
        lazy_gettext("The fee is taxed as"), [at_most(32)], description=lazy_gettext("Empty: as a fee.")
    )
    edition = EditionField()


_CHOICES = (
    "kind",
    "unit",
    "cycle",
    "anchor",
    "timing",
    "proration",
    "collection",
    "change",
    "renewal",
    "unpaid",
)
_COUNTS = {"every": 1, "trial_days": 0, "remind_days_before": 0}


def facts_of(form: PlanForm) -> dict[str, Any]:
    """What plan_from_facts() takes; InputRefused where a price cannot be read."""
    facts: dict[str, Any] = {key: form[key].data for key in _CHOICES if form[key].data}
    facts |= {key: default if form[key].data is None else form[key].data for key, default in _COUNTS.items()}
    facts |= {
        "set_up_on_change": form.set_up_on_change.data,
        "bundles": form.bundles.data,
        "charge": [_charge(x, number, str(form.kind.data)) for number, x in enumerate(form.charges.rows, 1)],
    }
    if form.anchor.data == Anchoring.FIXED_DAY.value and form.fixed_day.data is not None:
        facts["fixed_day"] = form.fixed_day.data
    if form.minimum_spend.data:
        facts["minimum_spend"] = plain_number(form.minimum_spend.data)
    facts |= {key: form[key].data for key in ("tariff", "inbound_tariff") if form[key].data}
    if form.term_length.data:
        facts["term"] = {form.term_of.data: form.term_length.data} | _fee(form)
    for row in form.charges:
        if row.form.price.data and not row.form.name.data:
            raise InputRefused(gettext("the charge of %(price)s needs a name", price=row.form.price.data))
    return facts


def _charge(row: Any, number: int, kind: str) -> dict[str, Any]:
    written = (row.price.data or "").strip()
    facts: dict[str, Any] = {"name": row.name.data, "type": row.type.data}
    facts |= {"quantity": row.quantity.data, "product_class": row.product_class.data or kind}
    steps = []
    with refused_at("charge", number, "price"):
        if ":" not in written:
            return facts | {"price": plain_number(written or "0")}
        for piece in written.split():
            begins, _, price = piece.partition(":")
            if not (begins.isascii() and begins.isdigit() and len(begins) <= 9):
                raise InputRefused(gettext("%(text)s is no step; write 1:4 11:3", text=repr(piece[:40])))
            steps.append({"from": int(begins), "price": plain_number(price)})
    return facts | {"steps": steps}


def _fee(form: PlanForm) -> dict[str, Any]:
    if not form.fee.data:
        return {}
    key = "share" if form.fee.data == FeeKind.REMAINING.value else "amount"
    with refused_at("term", key):
        amount = plain_number(form.fee_amount.data or "0")
    known = {"product_class": form.fee_class.data} if form.fee_class.data else {}
    return {"fee": form.fee.data, key: amount} | known


def fill(form: PlanForm, name: str, terms: PlanTerms, unit: Unit) -> None:
    """Show terms as they are."""
    facts = facts_of_plan(terms, unit)
    form.name.data = name
    for key in (*_CHOICES, *_COUNTS, "set_up_on_change", "bundles"):
        form[key].data = facts[key]
    form.minimum_spend.data = facts["minimum_spend"] if terms.minimum_spend else ""
    form.fixed_day.data = facts.get("fixed_day")
    form.tariff.data, form.inbound_tariff.data = terms.tariff, terms.inbound_tariff
    term = dict(facts.get("term", {}))
    if terms.term is not None:
        form.term_length.data, form.term_of.data = terms.term.length, terms.term.of.value
        form.fee.data = term.get("fee", "")
        form.fee_amount.data = term.get("amount", term.get("share", ""))
        form.fee_class.data = term.get("product_class", "")
    for at, charge in enumerate(facts["charge"]):
        if at >= len(form.charges):
            form.charges.append_entry()
        row = form.charges[at].form
        row.name.data, row.type.data, row.quantity.data = charge["name"], charge["type"], charge["quantity"]
        row.product_class.data = charge["product_class"]
        row.price.data = charge.get("price") or " ".join(f"{x['from']}:{x['price']}" for x in charge["steps"])


def shown(terms: PlanTerms, unit: Unit) -> dict[str, str]:
    """The terms as text, for two people who change them at once."""
    return {key: str(value) for key, value in facts_of_plan(terms, unit).items()}
