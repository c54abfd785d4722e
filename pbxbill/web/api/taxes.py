"""Tax rates of the key's account, and accounts that are exempt."""

from typing import Annotated, Any

from pydantic import Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.taxes.tax_rates import (
    NewExemption,
    NewTaxRate,
    add_exemption,
    add_tax_rate,
    end_exemption,
    end_tax_rate,
)
from pbxbill.listing.taxes import tax_exemptions, tax_rates
from pbxbill.rating.tariff_text import percent_ppm
from pbxbill.store.billing_models import TaxExemptionRow, TaxRateRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Line, Sent, left_out
from pbxbill.web.api.listed import declare_item, declare_list
from pbxbill.web.api.objects import SentMoment, at_us, billed_account, conflicts, field, found
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import needs

TAG = "Taxes"
Text = Annotated[Line, StringConstraints(max_length=200)]
Name = Annotated[Line, StringConstraints(min_length=1, max_length=64)]


class RatePath(Sent):
    """A tax rate, by its id."""

    rate_id: Id


class ExemptionPath(Sent):
    """An exemption, by its id."""

    exemption_id: Id


class NewRate(Sent):
    """A tax rate."""

    name: Name = Field(examples=["VAT"])
    percent: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,3}(\.[0-9]{1,4})?$")]
    begins: SentMoment = left_out("Default: now.")
    ends: SentMoment = left_out("Default: never.")
    category: Annotated[str, StringConstraints(pattern="^[A-Z]{1,2}$")] = Field(
        default="S", description="Of EN 16931: S, Z, E, AE, G, O."
    )
    country: Annotated[str, StringConstraints(pattern="^([A-Z]{2})?$")] = ""
    region: Annotated[Line, StringConstraints(max_length=64)] = ""
    product_class: Annotated[str, StringConstraints(pattern="^([a-z][a-z0-9_]{0,31})?$")] = Field(
        default="", description="Empty: all."
    )
    compound: bool = Field(default=False, description="On the price with the taxes before it.")
    inclusive: bool = Field(default=False, description="Inside prices.")
    position: Annotated[int, Field(ge=0, le=1000)] = 0
    reason: Text = Field(default="", description="Printed, where the rate is zero.")


class End(Sent):
    """When it ends."""

    ends: SentMoment


class NewExemptionBody(Sent):
    """Why an account pays no tax."""

    reason: Annotated[Line, StringConstraints(min_length=1, max_length=200)] = Field(description="Printed.")
    tax_name: Annotated[Line, StringConstraints(max_length=64)] = Field(
        default="", description="Empty: none at all."
    )
    certificate: Text = ""
    begins: SentMoment = left_out("Default: now.")
    ends: SentMoment = left_out("Default: never.")


def taxes(api: Api) -> None:
    """Rates and exemptions."""
    front = api.front
    rates = declare_list(api, "/tax-rates", tax_rates(front.clock), TAG)
    declare_item(api, "/tax-rates/<int:rate_id>", rates, TAG, "get_tax_rate", "One tax rate.")
    exempt = declare_list(api, "/tax-exemptions", tax_exemptions(front.clock), TAG)

    @api.post("/tax-rates", rates.item, TAG)
    @needs(Permission.INVOICES_WRITE)
    def add_rate(body: NewRate) -> Answer:
        """Add a tax rate. Drafts that are reckoned from now on have it."""
        sent: Any = body
        with api.writing("tax.add", body.name) as change:
            new = NewTaxRate(
                body.name,
                percent_ppm(body.percent, "a rate"),
                at_us(sent.begins, change.now_us) or 0,
                at_us(sent.ends),
                body.category,
                body.country,
                body.region,
                body.product_class,
                body.compound,
                body.inclusive,
                body.position,
                body.reason,
            )
            row = add_tax_rate(change.session, front.scope.account_id, new)
            return change.done(rates.shown(change.session, front.scope, row.id), 201)

    @api.post("/tax-rates/<int:rate_id>/end", rates.item, TAG)
    @needs(Permission.INVOICES_WRITE)
    def end_rate(path: RatePath, body: End) -> Answer:
        """Let a tax rate end. 409: it ended before."""

        def seen(session: Session) -> TaxRateRow:
            return found(session, TaxRateRow, path.rate_id, front.scope.issued(TaxRateRow.issuer_id))

        with front.reading() as session:
            name = seen(session).name
        with api.writing("tax.end", name) as change:
            seen(change.session)
            with conflicts():
                end_tax_rate(change.session, front.scope.account_id, path.rate_id, at_us(body.ends) or 0)
            return change.done(rates.shown(change.session, front.scope, path.rate_id), 201)

    @api.post("/accounts/<int:account_id>/tax-exemptions", exempt.item, TAG)
    @needs(Permission.INVOICES_WRITE)
    def exempt_account(path: AccountPath, body: NewExemptionBody) -> Answer:
        """Have an account pay no tax, or not this one."""
        sent: Any = body
        with front.reading() as session:
            code = billed_account(front, session, path.account_id).code
        with api.writing("tax.exempt", code, account_id=path.account_id) as change:
            billed_account(front, change.session, path.account_id)
            begins_us = at_us(sent.begins, change.now_us) or 0
            new = NewExemption(body.reason, begins_us, at_us(sent.ends), body.tax_name, body.certificate)
            with field("tax_name"):
                row = add_exemption(change.session, path.account_id, new)
            return change.done(exempt.shown(change.session, front.scope, row.id), 201)

    @api.post("/tax-exemptions/<int:exemption_id>/end", exempt.item, TAG)
    @needs(Permission.INVOICES_WRITE)
    def end_account_exemption(path: ExemptionPath, body: End) -> Answer:
        """Let an exemption end. 409: it ended before."""
        query = select(TaxExemptionRow).where(front.scope.among(TaxExemptionRow.account_id))
        with front.reading() as session:
            row = session.scalar(query.where(TaxExemptionRow.id == path.exemption_id))
            account_id = 0 if row is None else row.account_id
            code = billed_account(front, session, account_id).code
        with api.writing("tax.end-exemption", code, account_id=account_id) as change:
            now = change.session.get_one(TaxExemptionRow, path.exemption_id)
            with conflicts():
                end_exemption(change.session, now.account_id, now.tax_name, at_us(body.ends) or 0)
            return change.done(exempt.shown(change.session, front.scope, path.exemption_id), 201)
