"""Finds tariffs that take another tax than their buyers owe, before and after they did.

A tariff's own tax is the same for whoever calls by it: it fits prepaid retail in one country. A buyer who
owes none (reverse charge, export, an exemption) would pay it call by call, and his invoice would show both.
"""

from collections.abc import Sequence

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.draft_lines import USAGE_CLASS, DraftLine
from pbxbill.billing.invoices.standing import happened
from pbxbill.billing.profiles import tax_buyer_of
from pbxbill.billing.taxes.tax import percent
from pbxbill.billing.taxes.tax_rules import TaxTable
from pbxbill.store.invoice_models import InvoiceEventRow
from pbxbill.store.models import AccountRow

TAX_CONFLICT = "tax-conflict"
"""The kind of event of a draft."""
_DRAFTING = ("drafted", "recalculated", TAX_CONFLICT)

_TAXED_TARIFFS = text(
    "SELECT t.name, v.tax_ppm FROM tariffs t JOIN tariff_versions v ON v.tariff_id = t.id "
    "WHERE v.tax_mode <> 'none' AND v.tax_ppm > 0 "
    "AND v.number = (SELECT MAX(n.number) FROM tariff_versions n WHERE n.tariff_id = t.id) AND t.id IN ("
    "SELECT tariff_id FROM accounts WHERE id = :account_id "
    "UNION SELECT inbound_tariff_id FROM accounts WHERE id = :account_id "
    "UNION SELECT tariff_id FROM service_tariffs WHERE account_id = :account_id "
    "UNION SELECT tariff_id FROM endpoints WHERE account_id = :account_id) ORDER BY t.name"
)


def tax_conflict(session: Session, account_id: int, at_us: int) -> str:
    """That tariffs of an account (of its calls, DIDs and services) take another tax than its issuer's rules
    say for its usage at a moment, in a sentence; empty where they do not, and for the operator.
    """
    account = session.get_one(AccountRow, account_id)
    if account.parent_id is None:
        return ""
    session.flush()
    tariffs = session.execute(_TAXED_TARIFFS, {"account_id": account_id}).all()
    if not tariffs:
        return ""
    table, buyer = TaxTable.load(session, account.parent_id), tax_buyer_of(session, account_id)
    found = [(name, ppm, table.conflict(ppm, buyer, USAGE_CLASS, at_us)) for name, ppm in tariffs]
    taking = [f"tariff {name} takes {percent(ppm)} % tax itself" for name, ppm, owed in found if owed]
    if not taking:
        return ""
    owed = next(owed for _, _, owed in found if owed)
    return (
        f"{' and '.join(taking)}, but for {account.code} {owed}; "
        "use a tariff without tax, and the invoice taxes its usage"
    )


def say_conflict(
    session: Session, invoice_id: int, lines: Sequence[DraftLine], at_us: int, by: str = ""
) -> str:
    """Write an event for a draft on which tax was taken that the buyer does not owe; what it says."""
    told = next((line.tax_conflict for line in lines if line.tax_conflict), "")
    if told:
        happened(session, invoice_id, TAX_CONFLICT, told, at_us=at_us, by=by)
    return told


def conflict_of(session: Session, invoice_id: int) -> str:
    """What say_conflict said when a draft was last reckoned."""
    query = (
        select(InvoiceEventRow.kind, InvoiceEventRow.detail)
        .where(InvoiceEventRow.invoice_id == invoice_id, InvoiceEventRow.kind.in_(_DRAFTING))
        .order_by(InvoiceEventRow.id.desc())
    )
    last = session.execute(query.limit(1)).one_or_none()
    return last.detail if last is not None and last.kind == TAX_CONFLICT else ""


def review_of(invoice_id: int, conflict: str) -> str:
    """Why a draft is not issued by itself, for people."""
    how = f"`pbxbill invoices issue {invoice_id}` issues it as it is"
    return f"draft {invoice_id} waits for review: {conflict}; {how}"
