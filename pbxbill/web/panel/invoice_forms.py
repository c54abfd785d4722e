"""Forms of invoices, drafts and quotes."""

from typing import Any

from flask_babel import gettext, lazy_gettext
from sqlalchemy.orm import Session
from wtforms import BooleanField, RadioField, SelectField, TextAreaField
from wtforms.validators import Length

from pbxbill.billing.account_terms import money_units
from pbxbill.billing.charge import QUANTITY_SCALE, ChargeKind
from pbxbill.billing.invoices.billed import is_currency
from pbxbill.billing.invoices.draft_editing import ADDABLE
from pbxbill.billing.subscriptions.charges_by_hand import KINDS as CHARGE_KINDS
from pbxbill.money import Unit
from pbxbill.web.editions import EditionField
from pbxbill.web.fields import (
    AccountField,
    AmountField,
    CountField,
    DayField,
    LineField,
    PanelForm,
    UnitField,
    at_most,
    required,
)
from pbxbill.web.words import word_of

QUANTITY = Unit("", QUANTITY_SCALE, 0)
MAX_REASON = 300
QUOTED_LINES = 6


class QuantityField(AmountField):
    """How many, up to six digits after the point."""

    def __init__(self, label: Any = None, validators: Any = None, **more: Any) -> None:
        super().__init__(label, validators, **more)
        self.unit = QUANTITY


class ReasonField(LineField):
    """Why; kept with what is done."""

    def __init__(self, label: Any = None, validators: Any = None, **more: Any) -> None:
        super().__init__(
            label or lazy_gettext("Reason"), validators or [required(), at_most(MAX_REASON)], **more
        )


class PlainForm(PanelForm):
    """Asks whether it is meant."""


class ReasonForm(PanelForm):
    """Asks why."""

    reason = ReasonField(description=lazy_gettext("It is kept with the document."))


class NewDraftForm(PanelForm):
    """An empty draft, outside of periods."""

    account = AccountField(lazy_gettext("Account"), [required(), at_most(64)])
    unit = UnitField(lazy_gettext("Currency"))


class LineForm(PanelForm):
    """A line that is added by hand."""

    description = LineField(lazy_gettext("Description"), [required(), at_most(300)])
    price = AmountField(
        lazy_gettext("Price for one, without tax"),
        [required()],
        description=lazy_gettext("Below zero it is a discount."),
    )
    quantity = QuantityField(lazy_gettext("Quantity"), [required()], default=10**QUANTITY_SCALE)
    kind = SelectField(
        lazy_gettext("Kind"),
        choices=lambda: [(x.value, word_of(x.value)) for x in ADDABLE],
        default=ChargeKind.ONE_TIME.value,
    )
    product_class = LineField(
        lazy_gettext("Product class"),
        [required(), at_most(32)],
        default="service",
        description=lazy_gettext("What taxes it falls under."),
    )
    reason = ReasonField()


class CorrectionForm(PanelForm):
    """What a line should say."""

    description = LineField(lazy_gettext("Description"), [required(), at_most(300)])
    net = AmountField(lazy_gettext("Amount without tax"), [required()])
    reason = ReasonField()
    edition = EditionField()


class CreditForm(PanelForm):
    """What a credit note gives back."""

    what = RadioField(
        lazy_gettext("What is given back"),
        choices=[
            ("whole", lazy_gettext("All that is left of it: the invoice is cancelled")),
            ("amount", lazy_gettext("An amount, spread over its lines and taxes")),
            ("lines", lazy_gettext("The lines chosen below")),
        ],
        default="amount",
    )
    amount = AmountField(lazy_gettext("Amount with tax"))
    reason = ReasonField(description=lazy_gettext("It is printed on the credit note."))


class DebitForm(PanelForm):
    """What an invoice asked too little for."""

    description = LineField(lazy_gettext("Description"), [required(), at_most(300)])
    price = AmountField(lazy_gettext("Price for one, without tax"), [required()])
    quantity = QuantityField(lazy_gettext("Quantity"), [required()], default=10**QUANTITY_SCALE)
    product_class = LineField(
        lazy_gettext("Product class"),
        [required(), at_most(32)],
        default="service",
        description=lazy_gettext("What taxes it falls under."),
    )
    reason = ReasonField(description=lazy_gettext("It is printed on the debit note."))


class WriteOffForm(PanelForm):
    """What is given up."""

    amount = AmountField(
        lazy_gettext("Amount"), description=lazy_gettext("Left empty: all that is open of it.")
    )
    reason = ReasonField()


class SendForm(PanelForm):
    """To whom."""

    to = LineField(
        lazy_gettext("To these addresses instead"),
        [at_most(500)],
        description=lazy_gettext(
            "With commas between. Left empty, the account's own addresses get it, once."
        ),
    )


class QuoteForm(PanelForm):
    """An offer: lines, or a plan."""

    account = AccountField(lazy_gettext("Account"), [required(), at_most(64)])
    until = DayField(
        lazy_gettext("Valid until"), [required()], description=lazy_gettext("Its last day, whole.")
    )
    unit = UnitField(lazy_gettext("Currency of the lines"))
    plan = SelectField(
        lazy_gettext("A plan"),
        description=lazy_gettext("Accepted, it becomes a subscription. Else write lines below."),
    )
    plan_quantity = CountField(lazy_gettext("How many of the plan"), least=1, most=1_000_000, default=1)
    note = TextAreaField(lazy_gettext("Note"), [Length(max=1000)], render_kw={"rows": 3})


class AcceptForm(PanelForm):
    """How an offer is taken up."""

    issue_now = BooleanField(
        lazy_gettext("Issue the invoice at once"),
        description=lazy_gettext("Else it is a draft, to be looked at first. A plan becomes a subscription."),
    )


class ChargeForm(PanelForm):
    """A charge by hand."""

    account = AccountField(lazy_gettext("Account"), [required(), at_most(64)])
    unit = UnitField(lazy_gettext("Currency"))
    description = LineField(
        lazy_gettext("Description"),
        [required(), at_most(200)],
        description=lazy_gettext("As the customer reads it."),
    )
    kind = SelectField(
        lazy_gettext("Kind"),
        choices=lambda: [(x.value, _charge_word(x)) for x in CHARGE_KINDS],
        default=ChargeKind.ONE_TIME.value,
    )
    price = AmountField(lazy_gettext("Price for one, without tax"), [required()], bare=True)
    quantity = QuantityField(lazy_gettext("Quantity"), [required()], default=10**QUANTITY_SCALE)
    product_class = LineField(lazy_gettext("Product class"), [required(), at_most(32)], default="service")
    wallet = BooleanField(
        lazy_gettext("Take it from the wallet now"),
        description=lazy_gettext("Else the next invoice asks for it."),
    )
    reason = ReasonField()


def _charge_word(kind: ChargeKind) -> str:
    return gettext("given back") if kind is ChargeKind.CREDIT else word_of(kind.value)


def currencies(session: Session, form: Any, name: str = "unit") -> dict[str, Unit]:
    """Give a form the currencies that documents can be made out in."""
    found = {x.code: x for x in money_units(session) if is_currency(x)}
    form[name].choices = [(x, x) for x in found]
    return found
