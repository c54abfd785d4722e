"""Quotes: offers with a number and a last day, accepted, refused or expired; they move no money.

One that is accepted becomes a draft with its lines, at its prices and taxes, to be reviewed, or issued at
once; an offer of a plan becomes a subscription to the version that was offered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.charge import ONE, REVENUE, ChargeKind, checked_product_class
from pbxbill.billing.invoices.billed import RunMemory, billed_account, is_currency
from pbxbill.billing.invoices.documents import build_document, document_from_json, document_to_json
from pbxbill.billing.invoices.drafting import (
    live_lines,
    new_draft,
    reckon_totals,
    taxes_to_json,
)
from pbxbill.billing.invoices.issuing import Issued, NotIssued, issue
from pbxbill.billing.invoices.numbering import next_number
from pbxbill.billing.invoices.standing import happened, locked_invoice, named, reason_given, said
from pbxbill.billing.parties import issuer_of
from pbxbill.billing.period import day_start_us
from pbxbill.billing.subscriptions.plan_catalogue import PlanVersion, version_by_id
from pbxbill.billing.subscriptions.plan_terms import PlanKind
from pbxbill.billing.taxes.tax import AppliedTax, taxed
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.errors import InputRefused
from pbxbill.money import MAX_AMOUNT, half_up
from pbxbill.store.invoice_models import InvoiceLineRow, InvoiceRow
from pbxbill.store.models import AccountRow

MAX_LINES = 200
MAX_NOTE = 1000
MAX_VALID_US = 3 * 366 * 86_400_000_000
PLAN_VERSION, QUANTITY = "plan_version_id", "quantity"
"""What the document of a plan's quote remembers."""


@dataclass(frozen=True, slots=True)
class QuoteLine:
    """Something that is offered."""

    description: str
    unit_price: int
    """For one, in the unit's steps."""
    quantity: int = ONE
    """In millionths."""
    kind: ChargeKind = ChargeKind.ONE_TIME
    product_class: str = "service"


@dataclass(frozen=True, slots=True)
class NewQuote:
    """An offer."""

    unit: str
    lines: tuple[QuoteLine, ...]
    valid_until_us: int
    note: str = ""
    plan_version_id: int | None = None
    quantity: int = 1
    """Of the plan."""


@dataclass(frozen=True, slots=True)
class Offered:
    """An open quote."""

    quote_id: int
    number: str
    total: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of it."""

    quote_id: int
    invoice_id: int | None = None
    number: str = ""
    """Of the invoice, once it is issued."""
    subscription_id: int | None = None
    repeated: bool = False
    """It had been accepted before: nothing changed."""


def seller_of(session: Session, account: AccountRow) -> AccountRow:
    """Who offers something to an account; InputRefused of the operator, whom nobody offers anything."""
    if account.parent_id is None:
        raise InputRefused("nothing is offered to the operator")
    return session.get_one(AccountRow, account.parent_id)


def end_of_validity(session: Session, account: AccountRow, last: date) -> int:
    """The last moment of a quote's last day, which is whole where its issuer is."""
    zone = issuer_of(session, seller_of(session, account).id).zone
    return day_start_us(last + timedelta(days=1), zone) - 1


def plan_quote(version: PlanVersion, quantity: int, valid_until_us: int, note: str = "") -> NewQuote:
    """What a plan costs at first: set-up and one-time charges, and the first whole period."""
    terms = version.terms
    if terms.kind is PlanKind.DID:
        raise InputRefused(f"plan {version.name} is for DIDs, which are assigned: offer its price as a line")
    lines = [
        QuoteLine(
            f"{version.name}: {charge.name}", part.unit_price, part.quantity * ONE, kind, charge.product_class
        )
        for charge in terms.charges
        for kind in (terms.charge_kind(charge),)
        for part in charge.parts(quantity)
    ]
    return NewQuote(terms.unit, tuple(lines), valid_until_us, note, version.id, quantity)


def offer(session: Session, account: AccountRow, new: NewQuote, now_us: int, by: str = "") -> Offered:
    """Write a quote, numbered and unchangeable, that can be accepted until its last moment."""
    if not now_us < new.valid_until_us <= now_us + MAX_VALID_US:
        raise InputRefused("a quote is valid until a moment to come, within three years")
    if not 0 < len(new.lines) <= MAX_LINES:
        raise InputRefused(f"a quote has 1 to {MAX_LINES} lines")
    if len(new.note) > MAX_NOTE or not all(line.isprintable() for line in new.note.splitlines()):
        raise InputRefused(f"a note has up to {MAX_NOTE} printable characters")
    billed = billed_account(session, account.id, new.unit)
    if not is_currency(billed.unit):
        raise InputRefused(f"{new.unit} is no currency: no quote is made out in it")
    row = new_draft(session, account.id, new.unit, now_us, by)
    row.kind, row.due_us, row.note = "quote", new.valid_until_us, new.note
    taxes = RunMemory().taxes_of(session, billed)
    for position, line in enumerate(new.lines, 1):
        session.add(_line_row(row.id, position, line, taxes.at(line.product_class, now_us)))
    reckon_totals(session, row, billed)
    row.state, row.issued_us = "open", now_us
    row.number = next_number(session, row.issuer_id, "quote", now_us, billed.zone)
    session.flush()
    document = build_document(session, row)
    if new.plan_version_id is not None:
        extra = {PLAN_VERSION: str(new.plan_version_id), QUANTITY: str(new.quantity)}
        document = replace(document, extra=extra)
    row.snapshot = document_to_json(document)
    happened(session, row.id, "offered", f"over {said(row.total, billed.unit)}", at_us=now_us, by=by)
    session.flush()
    return Offered(row.id, row.number, row.total)


def _line_row(quote_id: int, position: int, line: QuoteLine, taxes: Sequence[AppliedTax]) -> InvoiceLineRow:
    if not line.description.strip() or not line.description.isprintable() or len(line.description) > 300:
        raise InputRefused("a line is described in 1 to 300 printable characters")
    if line.quantity <= 0 or abs(line.unit_price) > MAX_AMOUNT // 1000:
        raise InputRefused(f"{line.description[:40]!r}: a quantity is above zero, and a price within reason")
    price = half_up(line.unit_price * line.quantity, ONE)
    net = taxed(price, taxes).net if any(tax.inclusive for tax in taxes) else price
    return InvoiceLineRow(
        invoice_id=quote_id,
        position=position,
        kind=line.kind.value,
        product_class=checked_product_class(line.product_class),
        description=line.description,
        quantity=line.quantity,
        measure="items",
        unit_price=line.unit_price if net == price else None,
        net_exact=net,
        tax_exact=0,
        net=0,
        taxes=taxes_to_json(taxes),
        collection="invoice",
        ledger_code=REVENUE[line.kind].value,
        origin="added",
        reason="",
    )


def accept(
    session: Session,
    books: Bookkeeper,
    quote_id: int,
    now_us: int,
    by: str = "",
    *,
    issue_now: bool = False,
) -> Accepted:
    """Take an offer up: a plan is subscribed to, anything else becomes a draft, or an invoice at once."""
    row = _locked_quote(session, quote_id)
    if row.state == "accepted":
        return _accepted_before(session, row)
    _refuse_unless_open(row, now_us)
    row.state = "accepted"
    happened(session, row.id, "accepted", "", at_us=now_us, by=by)
    extra = document_from_json(row.snapshot).extra if row.snapshot is not None else {}
    if PLAN_VERSION in extra:
        subscription_id = _subscribe(session, books, row, extra, now_us, by)
        detail = f"subscription {subscription_id}"
        happened(session, row.id, "subscribed", detail, at_us=now_us, by=by)
        session.flush()
        return Accepted(row.id, subscription_id=subscription_id)
    draft_id = _draft_of(session, row, now_us, by)
    number = ""
    if issue_now:
        outcome = issue(session, books, draft_id, now_us, by)
        if isinstance(outcome, NotIssued):
            raise InputRefused(outcome.reason)
        number = outcome.number if isinstance(outcome, Issued) else ""
    session.flush()
    return Accepted(quote_id, draft_id, number)


def refuse(session: Session, quote_id: int, reason: str, now_us: int, by: str = "") -> None:
    """The account does not want it."""
    row = _locked_quote(session, quote_id)
    _refuse_unless_open(row, now_us)
    row.state = "refused"
    happened(session, row.id, "refused", reason_given(reason), at_us=now_us, by=by)
    session.flush()


def expire(session: Session, now_us: int, *, at_most: int = 500) -> int:
    """Close quotes whose last moment is over; how many. Until then they cannot be accepted either."""
    rows = session.scalars(
        select(InvoiceRow)
        .where(InvoiceRow.state == "open", InvoiceRow.kind == "quote", InvoiceRow.due_us <= now_us)
        .order_by(InvoiceRow.id)
        .limit(at_most)
        .with_for_update(skip_locked=True)
    ).all()
    for row in rows:
        row.state = "expired"
        happened(session, row.id, "expired", "", at_us=now_us, by="")
    session.flush()
    return len(rows)


def _locked_quote(session: Session, quote_id: int) -> InvoiceRow:
    row = locked_invoice(session, quote_id)
    if row.kind != "quote":
        raise InputRefused(f"{named(row)} is no quote")
    return row


def _refuse_unless_open(row: InvoiceRow, now_us: int) -> None:
    if row.state == "open" and row.due_us is not None and row.due_us <= now_us:
        raise InputRefused(f"{named(row)} is expired; make a new one")
    if row.state != "open":
        raise InputRefused(f"{named(row)} is {row.state} already")


def _accepted_before(session: Session, row: InvoiceRow) -> Accepted:
    made = session.scalar(
        select(InvoiceRow).where(InvoiceRow.corrects_id == row.id, InvoiceRow.kind == "invoice")
    )
    if made is None:
        return Accepted(row.id, repeated=True)
    return Accepted(row.id, made.id, made.number or "", repeated=True)


def _draft_of(session: Session, quote: InvoiceRow, now_us: int, by: str) -> int:
    billed = billed_account(session, quote.account_id, quote.unit)
    draft = new_draft(session, quote.account_id, quote.unit, now_us, by)
    draft.corrects_id, draft.note = quote.id, quote.note
    draft.purchase_order = quote.purchase_order or draft.purchase_order
    copied = (
        "position",
        "kind",
        "product_class",
        "description",
        "told",
        "quantity",
        "measure",
        "unit_price",
        "net_exact",
        "tax_exact",
        "net",
        "taxes",
        "collection",
        "ledger_code",
    )
    reason = f"from {named(quote)}"
    for line in live_lines(session, quote.id):
        values = {name: getattr(line, name) for name in copied}
        session.add(InvoiceLineRow(invoice_id=draft.id, origin="added", reason=reason, **values))
    reckon_totals(session, draft, billed)
    return draft.id


def _subscribe(
    session: Session, books: Bookkeeper, quote: InvoiceRow, extra: dict[str, str], now_us: int, by: str
) -> int:
    from pbxbill.billing.subscriptions.subscribing import NewSubscription, subscribe

    account = session.get_one(AccountRow, quote.account_id)
    version = version_by_id(session, int(extra[PLAN_VERSION]))
    new = NewSubscription(version, int(extra[QUANTITY]), by=by, reason=f"quote {quote.number}")
    return subscribe(session, books, account, new, now_us).subscribed.row.id
