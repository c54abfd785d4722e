"""Forms of who issues documents, how they are numbered, and how accounts are billed."""

from typing import Any

from flask_babel import gettext, lazy_gettext
from wtforms import BooleanField, SelectField
from wtforms.validators import Length

from pbxbill.billing.identifiers import checked_bic, checked_email, checked_iban, checked_vat_id
from pbxbill.billing.invoices.totals import TaxRounding
from pbxbill.billing.parties import (
    MAX_PAYMENT_DAYS,
    MAX_QUARANTINE_DAYS,
)
from pbxbill.billing.period import MOST_OF_A_CYCLE
from pbxbill.billing.profiles import CALL_LISTS, FORMATS, INVOICINGS
from pbxbill.billing.taxes.tax_rules import TaxTreatment
from pbxbill.listing.listing import N_
from pbxbill.web.editions import EditionField
from pbxbill.web.fields import (
    AmountField,
    CountField,
    CountryField,
    DayField,
    LineField,
    PanelForm,
    ZoneField,
    at_most,
    checked,
    required,
)
from pbxbill.web.panel.template_forms import Checks
from pbxbill.web.words import word_of

WORDS = {
    "draft": N_("drafts that somebody looks at"),
    "issue": N_("invoices that are issued at once"),
    "none": N_("no invoices"),
    "annex": N_("on the invoice"),
    "file": N_("in a file of its own"),
    "automatic": N_("as the rates and its address say"),
    "reverse_charge": N_("reverse charge: the customer owes it"),
    "export": N_("export: none is due"),
    "invoice": N_("once for each tax of the invoice"),
    "line": N_("on each line"),
}


def said(value: str) -> str:
    return gettext(WORDS[value]) if value in WORDS else word_of(value)


def vat_id_of_country(form: Any, field: Any) -> None:
    """A VAT id belongs to the country that the form says."""
    checked(lambda text: checked_vat_id(text, form.country.data or ""))(form, field)


class PartyForm(PanelForm):
    """Who somebody is in law, and where."""

    legal_name = LineField(lazy_gettext("Legal name"), [required(), at_most(200)])
    street = LineField(lazy_gettext("Street"), [at_most(200)])
    extra = LineField(lazy_gettext("Second line of the address"), [at_most(200)])
    postal_code = LineField(lazy_gettext("Postal code"), [at_most(32)])
    city = LineField(lazy_gettext("City"), [at_most(100)])
    region = LineField(lazy_gettext("State or province"), [at_most(64)])
    country = CountryField(lazy_gettext("Country"), description=lazy_gettext("Taxes go by it."))
    vat_id = LineField(lazy_gettext("VAT id"), [at_most(32), vat_id_of_country])
    registration_id = LineField(lazy_gettext("Company number"), [at_most(64)])
    contact = LineField(lazy_gettext("Whom to ask"), [at_most(100)])
    email = LineField(lazy_gettext("E-mail"), [at_most(254), checked(checked_email)])
    phone = LineField(lazy_gettext("Telephone"), [at_most(40)])
    website = LineField(lazy_gettext("Website"), [at_most(200)])
    bank_name = LineField(lazy_gettext("Bank"), [at_most(100)])
    iban = LineField("IBAN", [at_most(42), checked(checked_iban)])
    bic = LineField("BIC", [at_most(11), checked(checked_bic)])
    edition = EditionField()


class TermsForm(PanelForm):
    """How documents are made from now on."""

    zone = ZoneField(
        lazy_gettext("Time zone"),
        description=lazy_gettext("Of dates on documents and of the numbers' years."),
    )
    tax_rounding = SelectField(
        lazy_gettext("Tax is rounded"), choices=lambda: [(x.value, said(x.value)) for x in TaxRounding]
    )
    payment_days = CountField(lazy_gettext("Days to pay"), [required()], most=MAX_PAYMENT_DAYS)
    payment_terms = LineField(
        lazy_gettext("Payment terms"), [at_most(500)], description=lazy_gettext("Printed on invoices.")
    )
    did_quarantine_days = CountField(
        lazy_gettext("Days that a number rests"),
        [required()],
        most=MAX_QUARANTINE_DAYS,
        description=lazy_gettext("Until somebody else gets it."),
    )
    support_numbers = LineField(
        lazy_gettext("Support numbers"),
        [at_most(2000)],
        description=lazy_gettext("Customers reach them however suspended they are; with commas between."),
    )
    edition = EditionField()


class NumberForm(PanelForm):
    """How documents of a kind are numbered."""

    prefix = LineField(
        lazy_gettext("Before the count"),
        [at_most(24)],
        description=lazy_gettext("May hold {year}, as INV-{year}-."),
    )
    padding = CountField(lazy_gettext("Least digits of the count"), [required()], least=1, most=12)
    yearly = BooleanField(lazy_gettext("Each year begins with 1"))
    following = CountField(
        lazy_gettext("The first number's count"),
        least=1,
        most=10**12,
        description=lazy_gettext("To go on after another system's numbers; only before there is a number."),
    )
    edition = EditionField()


class BillingForm(PanelForm):
    """How an account is billed."""

    invoicing = SelectField(lazy_gettext("It gets"), choices=lambda: [(x, said(x)) for x in INVOICINGS])
    cycle = SelectField(
        lazy_gettext("Billed by the"), choices=lambda: [(x, word_of(x)) for x in MOST_OF_A_CYCLE]
    )
    every = CountField(lazy_gettext("So many of them are a period"), [required()], least=1, most=1000)
    anchor = DayField(
        lazy_gettext("Periods begin on days like"),
        description=lazy_gettext("Left empty: the account's first day."),
    )
    zone = ZoneField(
        lazy_gettext("Time zone of its periods"), [], description=lazy_gettext("Left empty: the issuer's.")
    )
    language = SelectField(lazy_gettext("Language of its documents"))
    formats = Checks(lazy_gettext("It gets the files"), choices=[(x, x.upper()) for x in FORMATS])
    emails = LineField(
        lazy_gettext("Documents go to"),
        [Length(max=2000)],
        description=lazy_gettext("With commas between. Left empty: the e-mail of its address."),
    )
    template = SelectField(lazy_gettext("Template"))
    purchase_order = LineField(
        lazy_gettext("Purchase order"), [at_most(64)], description=lazy_gettext("Printed.")
    )
    payment_days = CountField(
        lazy_gettext("Days to pay"),
        most=MAX_PAYMENT_DAYS,
        description=lazy_gettext("Left empty: the issuer's."),
    )
    call_list = SelectField(
        lazy_gettext("Its calls are listed"), choices=lambda: [(x, said(x)) for x in CALL_LISTS]
    )
    previous_balance = BooleanField(lazy_gettext("Show the balance before"))
    tax_treatment = SelectField(
        lazy_gettext("Taxes"), choices=lambda: [(x.value, said(x.value)) for x in TaxTreatment]
    )
    minimum_total = AmountField(
        lazy_gettext("Least total"),
        least=0,
        description=lazy_gettext("Below it nothing is invoiced; it waits for the next period."),
    )
    group_name = LineField(
        lazy_gettext("Group"),
        [at_most(64)],
        description=lazy_gettext("Billing runs and dunning may go by it."),
    )
    edition = EditionField()
