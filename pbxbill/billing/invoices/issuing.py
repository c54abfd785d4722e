"""Issues drafts: number, date, what the wallet has paid, the one entry, and the document for ever.

All of it is one transaction. Rows are locked in this order: the draft, wallets, number sequence. An invoice
that is issued is never changed; a credit note corrects it.

The entry of an invoice holds, on the issuer's books: what is due as receivable; as revenue, or deferred
revenue, what the invoice itself collects; the tax that no charge has taken yet; and what of the due amount
the wallet owes, as invoiced: with it the wallet's debt is receivable and no longer unbilled. The wallet
itself moves only by what rounding to whole coins leaves over.

What a wallet gave for a line that was removed from the draft, or corrected to less, is given back to it
first, by an entry of its own, which is on the invoice with the line's other entries.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.billed import Billed, billed_account
from pbxbill.billing.invoices.documents import build_document, document_to_json
from pbxbill.billing.invoices.drafting import taxes_from_json
from pbxbill.billing.invoices.gathering import books_of
from pbxbill.billing.invoices.numbering import next_number
from pbxbill.billing.invoices.standing import (
    ASKING,
    STANDING,
    happened,
    locked_invoice,
    locked_wallet,
    named,
    postings,
    said,
)
from pbxbill.billing.invoices.wallet_funds import Split, SplitLine, funds_for, split
from pbxbill.billing.period import day_start_us, local_date
from pbxbill.billing.subscriptions.giving_back import locked_charges, taken_back
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.events import Moved, PostEntry
from pbxbill.errors import InputRefused
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.money import minor_step
from pbxbill.store.accounts import open_wallet
from pbxbill.store.billing_models import ChargeRow
from pbxbill.store.driver import driver_within
from pbxbill.store.invoice_models import InvoiceEntryRow, InvoiceLineRow, InvoiceRow
from pbxbill.store.models import AccountRow

INVOICE, GIVEN_BACK = "invoice", "given-back"
"""Kinds of journal entries."""
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Issued:
    """A draft is an invoice now."""

    invoice_id: int
    number: str
    total: int
    due: int


@dataclass(frozen=True, slots=True)
class AlreadyIssued:
    """It had been issued before; nothing changed."""

    invoice_id: int
    number: str


@dataclass(frozen=True, slots=True)
class NotIssued:
    """The draft stays a draft."""

    reason: str


class _Line(NamedTuple):
    id: int
    collection: str
    origin: str
    net_exact: int
    tax_exact: int
    taxes: str
    ledger_code: str
    charge_id: int | None

    @property
    def for_split(self) -> SplitLine:
        from_wallet = self.collection == "wallet"
        return SplitLine(from_wallet, self.net_exact, self.tax_exact, taxes_from_json(self.taxes))


_LINES = select(
    InvoiceLineRow.id,
    InvoiceLineRow.collection,
    InvoiceLineRow.origin,
    InvoiceLineRow.net_exact,
    InvoiceLineRow.tax_exact,
    InvoiceLineRow.taxes,
    InvoiceLineRow.ledger_code,
    InvoiceLineRow.charge_id,
)
_TAX_POSTED = text(
    "SELECT CAST(COALESCE(-SUM(p.amount), 0) AS BIGINT) FROM invoice_entries i "
    "JOIN postings p ON p.entry_id = i.entry_id JOIN ledger_accounts l ON l.id = p.ledger_account_id "
    "AND l.code = 'tax:payable' AND l.issuer_id = :issuer AND l.unit = :unit WHERE i.invoice_id = :id"
)


def issue(
    session: Session, books: Bookkeeper, invoice_id: int, now_us: int, by: str = ""
) -> Issued | AlreadyIssued | NotIssued:
    """Make an invoice of a draft. InputRefused for what is none; books.announce() after the commit."""
    row = locked_invoice(session, invoice_id)
    if row.kind not in ASKING:
        raise InputRefused(f"{named(row)} asks for no money: there is nothing to issue")
    if row.state in STANDING:
        return AlreadyIssued(row.id, row.number or "")
    if row.state != "draft":
        raise InputRefused(f"draft {row.id} is {row.state}")
    billed = billed_account(session, row.account_id, row.unit)
    found = [_Line(*values) for values in session.execute(_LINES.where(InvoiceLineRow.invoice_id == row.id))]
    lines = [line for line in found if line.origin != "removed"]
    if not lines:
        return NotIssued("the draft has no lines: add one, or discard it")
    if books_of(session, row.account_id, row.unit) is None:
        open_wallet(session, session.get_one(AccountRow, row.account_id), row.unit)
    _give_back(session, books, row.id, billed, found, now_us)
    advance = _in_advance(session, lines)
    met = _met(session, row, lines, minor_step(billed.unit))
    entry_id = _post(session, books, row, met, _income(session, row, found, advance), now_us)
    _collect_charges(session, lines, advance, entry_id)
    row.entry_id = entry_id
    row.issued_us = now_us
    row.due_us = _due_us(now_us, billed)
    row.from_wallet, row.due, row.open, row.open_wallet = met.from_wallet, met.due, met.due, met.open_wallet
    row.state = "issued" if met.due else "paid"
    session.flush()
    document = build_document(session, row)
    # Whoever issues for the same issuer waits from here on until this is committed.
    number = next_number(session, row.issuer_id, row.kind, now_us, billed.zone)
    row.number, row.snapshot = number, document_to_json(replace(document, number=number))
    happened(session, row.id, "issued", f"{number} over {said(row.total, billed.unit)}", at_us=now_us, by=by)
    session.flush()
    return Issued(row.id, number, row.total, row.due)


def _due_us(now_us: int, billed: Billed) -> int:
    """The end of the last local day on which a payment is in time."""
    last = local_date(now_us + billed.payment_days * DAY_US, billed.zone)
    return (
        day_start_us(
            local_date(day_start_us(last, billed.zone) + 36 * 3_600_000_000, billed.zone), billed.zone
        )
        - 1
    )


def _met(session: Session, row: InvoiceRow, lines: Sequence[_Line], minor: int) -> Split:
    """What the wallet has paid of the total, with the wallet locked until the end of the transaction."""
    locked_wallet(session, row.account_id, row.unit)
    of_books = books_of(session, row.account_id, row.unit)
    assert of_books is not None
    return split(row.total, [line.for_split for line in lines], funds_for(session, row, of_books), minor)


def _income(
    session: Session, row: InvoiceRow, found: Sequence[_Line], advance: set[int]
) -> list[tuple[LedgerCode, int]]:
    """Revenue and tax that no charge has posted."""
    lines = [line for line in found if line.origin != "removed"]
    parts = _revenue(lines, advance)
    parts.append((LedgerCode.TAX_PAYABLE, sum(line.tax_exact for line in lines) - row.tax))
    inside = _inclusive(session, row, found)
    if inside:  # it was taken as revenue, since the tariff knew of no tax
        parts += [(LedgerCode.REVENUE_USAGE, inside), (LedgerCode.TAX_PAYABLE, -inside)]
    return parts


def _post(
    session: Session,
    books: Bookkeeper,
    row: InvoiceRow,
    met: Split,
    income: Sequence[tuple[LedgerCode, int]],
    now_us: int,
) -> str:
    """The invoice's one entry."""
    parts = [(LedgerCode.RECEIVABLE, met.due), *income, (LedgerCode.INVOICED, -met.open_wallet)]
    parts.append((LedgerCode.ROUNDING, met.into_wallet - sum(part for _, part in parts)))
    command = PostEntry(
        f"invoice:{row.id}",
        row.account_id,
        row.unit,
        met.into_wallet,
        postings(*parts) or ((LedgerCode.RECEIVABLE, 0),),
        INVOICE,
        now_us,
        owed=True,
    )
    (outcome,) = books.post(session, [command])
    if not isinstance(outcome, Moved):
        raise InputRefused(f"invoice {row.id} cannot be posted: {outcome.reason}")
    return outcome.entry_id


def _revenue(lines: Sequence[_Line], advance: set[int]) -> list[tuple[LedgerCode, int]]:
    """What the invoice itself collects: earned, or to be earned while the service is given."""
    return [
        (
            LedgerCode.DEFERRED if line.charge_id in advance else LedgerCode(line.ledger_code),
            -line.net_exact,
        )
        for line in lines
        if line.collection == "invoice"
    ]


def _in_advance(session: Session, lines: Sequence[_Line]) -> set[int]:
    """Charges that the invoice collects of service that begins when they are made.

    What is paid in arrears is made at its end.
    """
    ids = [x.charge_id for x in lines if x.collection == "invoice" and x.charge_id is not None]
    if not ids:
        return set()
    query = select(ChargeRow.id).where(
        ChargeRow.id.in_(ids), ChargeRow.to_us.is_not(None), ChargeRow.at_us <= ChargeRow.from_us
    )
    return set(session.scalars(query))


def _inclusive(session: Session, row: InvoiceRow, found: Sequence[_Line]) -> int:
    """Tax that lies inside what the wallet gave and was not posted as tax.

    Below zero where a line was removed: what is given back for it took tax back that never was posted.
    """
    given = [line for line in found if line.collection == "wallet"]
    if not any(line.tax_exact and any(tax.inclusive for tax in line.for_split.taxes) for line in given):
        return 0
    posted = session.execute(_TAX_POSTED, {"id": row.id, "issuer": row.issuer_id, "unit": row.unit})
    return sum(line.tax_exact for line in given if line.origin != "removed") - int(posted.scalar_one())


def _give_back(
    session: Session,
    books: Bookkeeper,
    invoice_id: int,
    billed: Billed,
    lines: Sequence[_Line],
    now_us: int,
) -> None:
    """Return what the wallet gave for lines that people removed, or corrected to less."""
    changed = [x for x in lines if x.collection == "wallet" and x.origin in {"removed", "corrected"}]
    if not changed:
        return
    # A corrected line stands for a part of the one that was removed: what is left of both is given back.
    sums: dict[tuple[int | None, LedgerCode], int] = {}
    tax = 0
    for line in changed:
        sign = 1 if line.origin == "removed" else -1
        key = line.charge_id, LedgerCode(line.ledger_code)
        sums[key] = sums.get(key, 0) + sign * line.net_exact
        tax += sign * line.tax_exact
    charges = locked_charges(session, (id for id, _ in sums))
    parts = [(LedgerCode.TAX_PAYABLE, tax)]
    for (id, income), exact in sums.items():
        parts += taken_back(None if id is None else charges[id], income, exact)
    session.flush()
    moving = postings(*parts)
    if not moving:
        return
    amount = sum(part for _, part in moving)
    memo = "lines removed from the invoice, or corrected"
    command = PostEntry(
        f"invoice:{invoice_id}:given-back",
        billed.account_id,
        billed.unit.code,
        amount,
        moving,
        GIVEN_BACK,
        now_us,
        memo,
        owed=True,
    )
    (outcome,) = books.post(session, [command])
    if not isinstance(outcome, Moved):
        raise InputRefused(f"what was removed from draft {invoice_id} cannot be given back: {outcome.reason}")
    claim = [(outcome.entry_id, invoice_id, changed[0].id)]
    columns = ("entry_id", "invoice_id", "line_id")
    driver_within(session).insert(InvoiceEntryRow.__table__, columns, claim)  # type: ignore[arg-type]


def _collect_charges(session: Session, lines: Sequence[_Line], advance: set[int], entry_id: str) -> None:
    """The charges that the invoice collects are posted with it."""
    rows = [
        (entry_id, line.net_exact if line.charge_id in advance else 0, line.charge_id)
        for line in lines
        if line.collection == "invoice" and line.charge_id is not None
    ]
    if rows:
        driver = driver_within(session)
        driver.update(ChargeRow.__table__, ("id",), ("entry_id", "deferred"), rows)  # type: ignore[arg-type]
