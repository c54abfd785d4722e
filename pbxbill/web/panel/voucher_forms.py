"""Forms of vouchers."""

from flask_babel import lazy_gettext
from wtforms import SelectField
from wtforms.validators import Optional

from pbxbill.billing.codes.voucher_batches import MOST_VALIDITY_DAYS
from pbxbill.billing.codes.voucher_codes import FEWEST_DIGITS, MOST_DIGITS
from pbxbill.billing.codes.voucher_sheet import LANGUAGE_NAMES
from pbxbill.web.fields import (
    AmountField,
    CountField,
    DayField,
    LineField,
    PanelForm,
    UnitField,
    at_most,
    required,
)
from pbxbill.web.languages import language_of_request

MOST_HERE = 2_000
"""Vouchers of a batch that a page makes while somebody waits; larger ones the command line makes."""


class BatchForm(PanelForm):
    """A new batch."""

    name = LineField(lazy_gettext("Name"), [required(), at_most(64)])
    count = CountField(
        lazy_gettext("Number of vouchers"),
        [required()],
        least=1,
        most=MOST_HERE,
        description=lazy_gettext("Up to 2,000 here; `pbxbill vouchers make` on the server makes any number."),
    )
    amount = AmountField(lazy_gettext("Value of each"), [required()], least=1, bare=True)
    unit = UnitField(lazy_gettext("Currency"))
    from_day = DayField(lazy_gettext("Valid from"), description=lazy_gettext("Empty: at once."))
    to_day = DayField(
        lazy_gettext("Valid to"), description=lazy_gettext("The last day. Empty: without an end.")
    )
    validity_days = CountField(
        lazy_gettext("Prolongs validity by days"),
        least=1,
        most=MOST_VALIDITY_DAYS,
        description=lazy_gettext("Of the account that redeems it. Empty: as its life-cycle policy says."),
    )
    digits = CountField(
        lazy_gettext("Digits of a code"),
        [required()],
        least=FEWEST_DIGITS,
        most=MOST_DIGITS,
        default=FEWEST_DIGITS,
    )


class CodesForm(PanelForm):
    """How the codes are handed out."""

    form = SelectField(
        lazy_gettext("As"),
        choices=[
            ("csv", lazy_gettext("a table (CSV)")),
            ("cards", lazy_gettext("cards to be cut out (PDF), with the table")),
        ],
    )
    language = SelectField(
        lazy_gettext("Language of the cards"),
        choices=list(LANGUAGE_NAMES.items()),
        default=language_of_request,
    )
    note = LineField(
        lazy_gettext("A line on each card"),
        [Optional(), at_most(80)],
        description=lazy_gettext("Where to redeem it, say."),
    )


class SerialsForm(PanelForm):
    """Some vouchers of a batch, or all."""

    first = CountField(
        lazy_gettext("From serial"), least=1, description=lazy_gettext("Empty: the whole batch.")
    )
    last = CountField(lazy_gettext("To serial"), least=1, description=lazy_gettext("Empty: that one alone."))


class RedeemForm(PanelForm):
    """A voucher that somebody brings."""

    code = LineField(
        lazy_gettext("Code"),
        [required(), at_most(64)],
        render_kw={"autocomplete": "off", "inputmode": "numeric"},
    )
