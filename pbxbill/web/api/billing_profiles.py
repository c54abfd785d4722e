"""How accounts are billed: how often, with which documents, where to, and by which tax."""

from dataclasses import asdict, replace
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.account_terms import paying_unit
from pbxbill.billing.parties import MAX_PAYMENT_DAYS, template_id_of
from pbxbill.billing.period import MOST_OF_A_CYCLE
from pbxbill.billing.profiles import (
    CALL_LISTS,
    FORMATS,
    INVOICINGS,
    MAX_EMAILS,
    MAX_GROUP_LENGTH,
    MAX_ORDER_LENGTH,
    profile_of,
    set_profile,
)
from pbxbill.billing.taxes.tax_conflicts import tax_conflict
from pbxbill.billing.taxes.tax_rules import TaxTreatment
from pbxbill.store.invoice_models import TemplateRow
from pbxbill.store.models import AccountRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Line, Money, Sent, SentMoney, left_out, money
from pbxbill.web.api.objects import SentDay, billed_account, field, wrong
from pbxbill.web.api.parties import TAG
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import needs

Address = Annotated[str, StringConstraints(min_length=3, max_length=254)]


class BillingProfile(BaseModel):
    """How an account is billed; null and empty: as its seller says."""

    invoicing: str = Field(description="draft: somebody looks at it first; issue: at once; none.")
    cycle: str
    every: int
    anchor: str | None = Field(description="Periods begin on days like it; null: its first day.")
    zone: str
    language: str
    formats: list[str]
    emails: list[str]
    template: str | None
    purchase_order: str
    payment_days: int | None
    call_list: str
    previous_balance: bool
    tax_treatment: str
    minimum_total: Money | None = Field(description="Below it nothing is invoiced; it waits. null: none.")
    group_name: str = Field(description="Billing runs and dunning may go by it.")
    tax_conflict: str = Field(description="Where its tariffs take another tax than this says.")


class ProfileChange(Sent):
    """What to change; what is left out stays. It counts from what is not billed yet."""

    invoicing: Literal[INVOICINGS] = left_out()  # type: ignore[valid-type]  # made of what there is
    cycle: Literal[tuple(MOST_OF_A_CYCLE)] = left_out()  # type: ignore[valid-type]  # the same
    every: Annotated[int, Field(ge=1, le=1000)] = left_out("So many cycles are a period.")
    anchor: SentDay | None = left_out("null: its first day.")
    zone: Annotated[Line, StringConstraints(max_length=64)] = left_out("Of its periods. Empty: its seller's.")
    language: Annotated[str, StringConstraints(pattern="^([a-z]{2}(-[A-Z]{2})?)?$")] = left_out(
        "Of its documents. Empty: the account's."
    )
    formats: Annotated[
        list[Literal[FORMATS]],  # type: ignore[valid-type]  # the same
        Field(max_length=len(FORMATS)),
    ] = left_out()
    emails: Annotated[list[Address], Field(max_length=MAX_EMAILS)] = left_out("Empty: that of its address.")
    template: Annotated[Line, StringConstraints(min_length=1, max_length=64)] | None = left_out(
        "By name, of who bills it; null: its seller's."
    )
    purchase_order: Annotated[Line, StringConstraints(max_length=MAX_ORDER_LENGTH)] = left_out("Printed.")
    payment_days: Annotated[int, Field(ge=0, le=MAX_PAYMENT_DAYS)] | None = left_out("null: its seller's.")
    call_list: Literal[CALL_LISTS] = left_out()  # type: ignore[valid-type]  # the same
    previous_balance: bool = left_out("Shown.")
    tax_treatment: Literal[tuple(TaxTreatment)] = left_out()  # type: ignore[valid-type]  # the same
    minimum_total: SentMoney = left_out("In what its calls are paid in.")
    group_name: Annotated[Line, StringConstraints(max_length=MAX_GROUP_LENGTH)] = left_out()


def billing_profiles(api: Api) -> None:
    """Profiles of accounts that the key's account bills."""
    front = api.front

    @api.get("/accounts/<int:account_id>/billing-profile", BillingProfile, TAG, moving=("tax_conflict",))
    @needs(Permission.INVOICES_READ)
    def get_billing_profile(path: AccountPath) -> BillingProfile:
        """How an account is billed."""
        with front.reading() as session:
            account = billed_account(front, session, path.account_id)
            return _shown(session, account, front.clock.now_us())

    @api.patch("/accounts/<int:account_id>/billing-profile", BillingProfile, TAG)
    @needs(Permission.INVOICES_WRITE)
    def change_billing_profile(path: AccountPath, body: ProfileChange) -> Answer:
        """Change how an account is billed, from what is not billed yet."""
        with front.reading() as session:
            code = billed_account(front, session, path.account_id).code
        with api.writing("billing.change", code, account_id=path.account_id) as change:
            session = change.session
            account = billed_account(front, session, path.account_id)
            before = profile_of(session, account.id).terms
            set_profile(session, account.id, replace(before, **_changes(session, account, body)))
            return change.done(_shown(session, account, change.now_us))


def _changes(session: Session, account: AccountRow, body: ProfileChange) -> dict[str, Any]:
    sent: Any = body
    facts: dict[str, Any] = sent.model_dump(include=sent.model_fields_set)
    if facts.get("anchor") is not None:
        facts["anchor"] = date.fromisoformat(facts["anchor"])
    if "formats" in facts:
        facts["formats"] = tuple(x for x in FORMATS if x in facts["formats"])
    if "emails" in facts:
        facts["emails"] = tuple(facts["emails"])
    if "tax_treatment" in facts:
        facts["tax_treatment"] = TaxTreatment(facts["tax_treatment"])
    if "template" in facts:
        with field("template"):
            name = facts.pop("template") or ""
            facts["template_id"] = template_id_of(session, account.parent_id or 0, name)
    if "minimum_total" in facts:
        with field("minimum_total"):
            amount, unit = sent.minimum_total.of(session)
        if unit != paying_unit(session, account) or amount < 0:
            raise wrong("minimum_total", "is 0 or more, in what the account's calls are paid in")
        facts["minimum_total"] = amount
    return facts


def _shown(session: Session, account: AccountRow, now_us: int) -> BillingProfile:
    session.flush()
    facts = asdict(profile_of(session, account.id).terms)
    template_id, minimum = facts.pop("template_id"), facts.pop("minimum_total")
    unit = paying_unit(session, account)
    template = None if template_id is None else session.get(TemplateRow, template_id)
    return BillingProfile(
        **facts
        | {
            "anchor": None if facts["anchor"] is None else facts["anchor"].isoformat(),
            "tax_treatment": facts["tax_treatment"].value,
            "template": None if template is None else template.name,
            "minimum_total": money(minimum, unit) if minimum and unit is not None else None,
            "tax_conflict": tax_conflict(session, account.id, now_us),
        },
    )
