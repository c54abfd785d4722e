"""Forms of money: taken, put to invoices, moved, taken back, given back."""

from flask_babel import lazy_gettext
from wtforms import BooleanField, SelectField
from wtforms.validators import Optional

from pbxbill.web.fields import AccountField, AmountField, LineField, PanelForm, UnitField, at_most, required
from pbxbill.web.panel.asking import OnceField, ReasonForm

METHODS = (
    ("cash", lazy_gettext("cash")),
    ("bank", lazy_gettext("bank transfer")),
    ("cheque", lazy_gettext("cheque")),
    ("card", lazy_gettext("card")),
)


PURPOSES = (
    ("wallet", lazy_gettext("top-up: all of it into the wallet")),
    ("invoices", lazy_gettext("invoices that are open, the oldest first; the rest into the wallet")),
)
OF_INVOICE = "invoice:"
"""A purpose that begins so names one, by its id."""


class TakeForm(PanelForm):
    """Money that came in."""

    amount = AmountField(lazy_gettext("Amount"), [required()], least=1, bare=True)
    unit = UnitField(lazy_gettext("Unit"))
    purpose = SelectField(lazy_gettext("What it is for"))
    method = SelectField(lazy_gettext("How it was paid"), choices=list(METHODS))
    reference = LineField(
        lazy_gettext("Reference"),
        [Optional(), at_most(150)],
        description=lazy_gettext("What the bank calls it, or the number of your receipt book."),
    )
    receipt = BooleanField(lazy_gettext("Make a receipt"), default=True)
    key = OnceField()


class FromWalletForm(PanelForm):
    """Funds of a wallet that go to invoices."""

    unit = UnitField(lazy_gettext("Unit"))
    amount = AmountField(
        lazy_gettext("Amount"),
        least=1,
        bare=True,
        description=lazy_gettext("Empty: as much as there is, up to what is open."),
    )


class TransferForm(PanelForm):
    """Funds that move from one wallet to another."""

    taker = AccountField(lazy_gettext("To the account"), [required()])
    amount = AmountField(lazy_gettext("Amount"), [required()], least=1, bare=True)
    unit = UnitField(lazy_gettext("Unit"))
    reason = LineField(
        lazy_gettext("Reason"), [required(), at_most()], description=lazy_gettext("Both accounts see it.")
    )
    key = OnceField()


class AdjustForm(PanelForm):
    """What a wallet gets or loses without money having come or gone."""

    way = SelectField(
        lazy_gettext("What to do"),
        choices=[
            ("in", lazy_gettext("Put into the wallet")),
            ("out", lazy_gettext("Take out of the wallet")),
        ],
    )
    amount = AmountField(lazy_gettext("Amount"), [required()], least=1, bare=True)
    unit = UnitField(lazy_gettext("Unit"))
    reason = LineField(
        lazy_gettext("Reason"), [required(), at_most()], description=lazy_gettext("The account sees it.")
    )
    key = OnceField()


class ReverseForm(ReasonForm):
    """A top-up or payment that was wrong."""

    owed = BooleanField(
        lazy_gettext("Take back what is spent already as well"),
        description=lazy_gettext("The account then owes it."),
    )


class WriteOffForm(ReasonForm):
    """A debt that is given up."""

    amount = AmountField(
        lazy_gettext("Amount"), least=1, description=lazy_gettext("Empty: all that is open.")
    )


class RefundForm(ReasonForm):
    """Money that goes back through the gateway that it came by."""

    amount = AmountField(
        lazy_gettext("Amount"), least=1, description=lazy_gettext("Empty: all that has not gone back yet.")
    )
    reopen = BooleanField(
        lazy_gettext("Open the invoices again that it paid"),
        description=lazy_gettext("All of it goes back then."),
    )


class AcceptForm(PanelForm):
    """A held payment that is taken as it came."""

    reference = LineField(
        lazy_gettext("Its reference at the gateway"),
        [Optional(), at_most(128)],
        description=lazy_gettext("Only for one that the gateway never told of and that you found there."),
    )


class StartForm(PanelForm):
    """A payment that the account makes on a gateway's page."""

    amount = AmountField(lazy_gettext("Amount"), [required()], least=1, bare=True)
    unit = UnitField(lazy_gettext("Unit"))
    purpose = SelectField(
        lazy_gettext("What it is for"),
        choices=[
            ("top_up", lazy_gettext("top-up")),
            ("invoice", lazy_gettext("what is due, the oldest first")),
        ],
    )
    gateway = SelectField(lazy_gettext("Gateway"))
