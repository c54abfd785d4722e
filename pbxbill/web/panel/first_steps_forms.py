"""The forms of the first steps: each asks for what cannot be done without."""

from typing import Any

from flask_babel import gettext, lazy_gettext
from wtforms import BooleanField, SelectField
from wtforms.validators import ValidationError

from pbxbill.billing.identifiers import checked_bic, checked_email, checked_iban
from pbxbill.rating.tariff import TaxMode
from pbxbill.store.units import UNIT_KINDS, checked_unit
from pbxbill.web.editions import EditionField
from pbxbill.web.fields import (
    AmountField,
    CountField,
    CountryField,
    LineField,
    PanelForm,
    PercentField,
    UnitField,
    ZoneField,
    at_most,
    checked,
    required,
)
from pbxbill.web.panel.issuer_forms import vat_id_of_country


def _checked_currency(code: str) -> None:
    kind = UNIT_KINDS["currency"]
    checked_unit(code, kind.scale, kind.digits)


class CompanyForm(PanelForm):
    """Who sells."""

    legal_name = LineField(lazy_gettext("Name of the company"), [required(), at_most()])
    street = LineField(lazy_gettext("Street"), [required(), at_most()])
    postal_code = LineField(lazy_gettext("Postal code"), [at_most(20)])
    city = LineField(lazy_gettext("City"), [required(), at_most()])
    country = CountryField(lazy_gettext("Country"), [required()])
    vat_id = LineField(lazy_gettext("VAT id"), [at_most(20), vat_id_of_country])
    email = LineField(lazy_gettext("E-mail"), [at_most(), checked(checked_email)])
    phone = LineField(lazy_gettext("Telephone"), [at_most(40)])
    iban = LineField(
        lazy_gettext("IBAN"),
        [at_most(42), checked(checked_iban)],
        description=lazy_gettext("Invoices say that they are paid to this account."),
    )
    bic = LineField(lazy_gettext("BIC"), [at_most(11), checked(checked_bic)])
    currency = LineField(
        lazy_gettext("Another currency"),
        [at_most(3), checked(_checked_currency)],
        description=lazy_gettext(
            "Three letters, as in USD: you can sell in it as well. Empty if the one you have is enough."
        ),
    )
    edition = EditionField()


class TaxForm(PanelForm):
    """By which clock, and with which tax."""

    zone = ZoneField(
        lazy_gettext("Time zone"), description=lazy_gettext("Days and months of invoices begin by its clock.")
    )
    payment_days = CountField(lazy_gettext("Days to pay an invoice"), [required()], most=3650)
    tax = LineField(lazy_gettext("Name of the tax"), [at_most(40)], default="VAT")
    percent = PercentField(
        lazy_gettext("Tax rate in percent"),
        description=lazy_gettext("Empty: no tax, or it is set up later."),
    )
    own_zone = BooleanField(lazy_gettext("Show me times and days by this clock as well"), default=True)
    edition = EditionField()


class DeckForm(PanelForm):
    """Sample rates."""

    name = LineField(lazy_gettext("Name of the deck"), [required(), at_most(64)], default="sample")
    unit = UnitField(lazy_gettext("Currency"))


class TariffForm(PanelForm):
    """By which rates somebody is charged."""

    name = LineField(lazy_gettext("Name"), [required(), at_most(64)], default="standard")
    deck = SelectField(lazy_gettext("Rate deck"))
    tax_mode = SelectField(
        lazy_gettext("Tax"),
        choices=[
            (TaxMode.NONE.value, lazy_gettext("none, or added on invoices")),
            (TaxMode.EXCLUSIVE.value, lazy_gettext("added to the prices")),
            (TaxMode.INCLUSIVE.value, lazy_gettext("included in the prices")),
        ],
    )
    tax = PercentField(lazy_gettext("Tax rate in percent"))


def _limited(form: Any, field: Any) -> None:
    """Without a limit nobody can call who pays afterwards."""
    if form.mode.data == "postpaid" and not field.data and not field.errors:
        raise ValidationError(gettext("Say how far the account may go: without a limit it cannot call."))


class AccountForm(PanelForm):
    """Whoever calls first."""

    code = LineField(
        lazy_gettext("Customer number"),
        [required(), at_most(64)],
        description=lazy_gettext("As in 1001; it is on invoices."),
    )
    name = LineField(lazy_gettext("Name"), [required(), at_most()])
    sip = LineField(
        lazy_gettext("SIP account on the switch"),
        [required(), at_most(64)],
        description=lazy_gettext("What the switch says who calls: the account code of his telephone."),
    )
    mode = SelectField(
        lazy_gettext("Pays"),
        choices=[
            ("prepaid", lazy_gettext("before he calls")),
            ("postpaid", lazy_gettext("by invoice, afterwards")),
        ],
    )
    tariff = SelectField(lazy_gettext("Tariff"))
    unit = UnitField(lazy_gettext("Currency"))
    amount = AmountField(
        lazy_gettext("First funds"),
        least=0,
        bare=True,
        description=lazy_gettext("A prepaid account calls with what it has."),
    )
    limit = AmountField(
        lazy_gettext("Credit limit"),
        [_limited],
        least=0,
        bare=True,
        description=lazy_gettext("Who pays afterwards calls for so much until an invoice is paid."),
    )


class TryForm(PanelForm):
    """A call that nobody makes."""

    account = LineField(lazy_gettext("Customer number"), [required(), at_most(64)])
    number = LineField(
        lazy_gettext("Number as it is dialled"), [required(), at_most(40)], render_kw={"inputmode": "tel"}
    )
    minutes = CountField(lazy_gettext("Minutes"), [required()], least=1, most=240, default=3)
