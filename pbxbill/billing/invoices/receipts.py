"""Receipts for money received: a document for a top-up or payment whose payer wants one, once per entry."""

from dataclasses import dataclass

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from pbxbill.billing.charge import ONE, Collection
from pbxbill.billing.invoices.billed import billed_account, is_currency
from pbxbill.billing.invoices.documents import keep_snapshot
from pbxbill.billing.invoices.gathering import gathered_to
from pbxbill.billing.invoices.line_words import ENGLISH, Facts, facts_to_json
from pbxbill.billing.invoices.numbering import next_number
from pbxbill.billing.invoices.standing import happened
from pbxbill.errors import InputRefused
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.store.invoice_models import InvoiceLineRow, InvoiceRow

_RECEIVED = text(
    "SELECT e.kind, e.unit, e.memo, COALESCE((SELECT l.holder_id FROM postings p JOIN ledger_accounts l "
    "ON l.id = p.ledger_account_id AND l.code = 'wallet' WHERE p.entry_id = e.id), (SELECT MIN(v.account_id) "
    "FROM allocations x JOIN invoices v ON v.id = x.invoice_id WHERE x.entry_id = e.id)), "
    "(SELECT CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) FROM postings p JOIN ledger_accounts l "
    "ON l.id = p.ledger_account_id AND l.code = 'cash' WHERE p.entry_id = e.id) "
    "FROM journal_entries e WHERE e.id = :entry_id"
)
_RECEIPTS = ("top-up", "payment")
_BROUGHT = (
    "SELECT e.id FROM journal_entries e WHERE e.unit = :unit AND e.kind IN ('top-up', 'payment') "
    "AND e.id IN ("
    "SELECT p.entry_id FROM postings p JOIN wallets w ON w.ledger_account_id = p.ledger_account_id "
    "WHERE w.account_id = :account_id AND w.unit = :unit UNION "
    "SELECT x.entry_id FROM allocations x JOIN invoices i ON i.id = x.invoice_id "
    "WHERE i.account_id = :account_id AND i.unit = :unit) "
    "AND EXISTS (SELECT 1 FROM postings c JOIN ledger_accounts l ON l.id = c.ledger_account_id "
    "WHERE c.entry_id = e.id AND l.code = 'cash' AND c.amount > 0) "
    "AND NOT EXISTS (SELECT 1 FROM journal_entries r WHERE r.reverses_id = e.id)"
)
_LAST = text(f"{_BROUGHT} ORDER BY e.id DESC LIMIT 1")
_UNRECEIPTED = text(
    _BROUGHT + " AND NOT EXISTS (SELECT 1 FROM invoices v WHERE v.period_key = 'receipt:' || e.id) "  # noqa: S608
    "ORDER BY e.id"
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt, made now or before."""

    invoice_id: int
    number: str
    total: int
    repeated: bool = False


def unreceipted(session: Session, account_id: int, unit: str, *, only_last: bool = False) -> list[str]:
    """Entries of top-ups and payments that stand and have no receipt yet, oldest first.

    only_last: the last one instead, whether it has one or not.
    """
    query = _LAST if only_last else _UNRECEIPTED
    return list(session.scalars(query, {"account_id": account_id, "unit": unit}))


def issue_receipt(session: Session, entry_id: str, now_us: int, by: str = "") -> Receipt:
    """The receipt for a top-up or a payment; InputRefused for an entry that brought no money in."""
    found = session.execute(_RECEIVED, {"entry_id": entry_id}).one_or_none()
    if found is None:
        raise InputRefused(f"there is no journal entry {entry_id[:40]!r}")
    kind, unit, memo, account_id, amount = found
    if kind not in _RECEIPTS or amount <= 0 or account_id is None:
        raise InputRefused(f"entry {entry_id} is of kind {kind}: receipts are for top-ups and payments")
    billed = billed_account(session, account_id, unit)
    if not is_currency(billed.unit):
        raise InputRefused(f"{unit} is no currency: no receipt is made out in it")
    gathered_to(session, account_id, unit, lock=True)  # two at once make one
    key = f"receipt:{entry_id}"
    made = session.scalar(select(InvoiceRow).where(InvoiceRow.period_key == key))
    if made is not None:
        return Receipt(made.id, made.number or "", made.total, repeated=True)
    row = InvoiceRow(
        issuer_id=billed.issuer_id,
        account_id=account_id,
        kind="receipt",
        state="issued",
        unit=unit,
        period_key=key,
        created_us=now_us,
        issued_us=now_us,
        net=amount,
        tax=0,
        total=amount,
        from_wallet=amount,
        due=0,
        open=0,
        open_wallet=0,
        entry_id=entry_id,
        dunning_step=0,
    )
    session.add(row)
    session.flush()
    facts: Facts = {"of": "received", "kind": kind, "memo": memo}
    session.add(
        InvoiceLineRow(
            invoice_id=row.id,
            position=1,
            kind=kind.replace("-", "_"),
            product_class="",
            description=ENGLISH.description(facts),
            told=facts_to_json(facts),
            quantity=ONE,
            measure="items",
            unit_price=amount,
            net_exact=amount,
            tax_exact=0,
            net=amount,
            taxes="[]",
            collection=Collection.INVOICE.value,
            ledger_code=LedgerCode.CASH.value,
            credited=0,
            origin="reckoned",
            reason="",
        )
    )
    row.number = next_number(session, row.issuer_id, row.kind, now_us, billed.zone)
    keep_snapshot(session, row)
    happened(session, row.id, "issued", row.number, at_us=now_us, by=by)
    session.flush()
    return Receipt(row.id, row.number, row.total)
