"""Lists of what an account sees of itself: those of the panel without what is others', and its own."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.clock import Clock
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.listing.calls import CALLS
from pbxbill.listing.cards import CARDS
from pbxbill.listing.gateway_payments import GATEWAY_PAYMENTS
from pbxbill.listing.invoices import UNSEEN
from pbxbill.listing.invoices import invoices as all_invoices
from pbxbill.listing.listing import (
    N_,
    Asked,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Listing,
    Looked,
    Order,
    Rows,
    at_least,
    begins,
    below,
    contains,
    equals,
)
from pbxbill.listing.wallet_entries import (
    beside_calls,
    entries_beside_calls,
    moved_or_paid,
    wallets_and_size,
)
from pbxbill.store.billing_models import DidRow, PlanRow, PlanVersionRow, SubscriptionRow
from pbxbill.store.invoice_models import InvoiceEventRow, InvoiceRow, MessageRow
from pbxbill.store.models import JournalEntryRow, LedgerAccountRow, PostingRow

OTHERS = {
    "net",
    "from_us",
    "to_us",
    "account",
    "name",
    "switch",
    "call_id",
    "hangup_cause",
    "cause",
    "reseller",
    "issuer",
    "cycle",
    "group",
    "step",
    "dunning_step",
    "run",
    "created_us",
}
"""Columns and filters of calls and invoices that tell an account nothing of itself."""
PAYMENT_KINDS = (
    "top-up",
    "payment",
    "voucher",
    "refund",
    "charge-back",
    "reversal",
    "transfer",
    "adjustment",
)
_CAME_FROM = (LedgerCode.CASH, LedgerCode.VOUCHERS, LedgerCode.TRANSFER, LedgerCode.ADJUSTMENT)


def _of_oneself(listing: Listing, name: str, others: Collection[str] = OTHERS) -> Listing:
    return replace(
        listing,
        name=name,
        permission=Permission.OWN_READ,
        columns=tuple(x for x in listing.columns if x.key not in others),
        filters=tuple(x for x in listing.filters if x.key not in others),
    )


OWN_CALLS = replace(_of_oneself(CALLS, "my-calls"), title=N_("Calls"))


def own_live_calls(live: Listing) -> Listing:
    """Live calls of an account, as it sees them. live: those of everybody, priced."""
    return _of_oneself(live, "my-live-calls", {"account", "reseller", "switch", "call_id"})


OWN_CARDS = _of_oneself(CARDS, "my-calling-cards", {"account"})
OWN_GATEWAY_PAYMENTS = _of_oneself(GATEWAY_PAYMENTS, "my-gateway-payments", {"account", "by"})


def own_invoices(clock: Clock) -> Listing:
    """Invoices, notes and receipts of an account, as it sees them: of what it never sees no filter tells."""
    made = _of_oneself(all_invoices(clock), "my-invoices")
    seen = (
        replace(x, choices=tuple(y for y in x.choices if y[0] not in UNSEEN)) if x.key == "status" else x
        for x in made.filters
    )
    columns = (replace(x, wide=False) if x.key == "disputed" else x for x in made.columns)
    return replace(made, columns=tuple(columns), filters=tuple(seen))


def _payments(session: Session, scope: Scope) -> Rows:
    came = (
        select(func.coalesce(func.sum(PostingRow.amount), 0))
        .join(LedgerAccountRow, LedgerAccountRow.id == PostingRow.ledger_account_id)
        .where(PostingRow.entry_id == JournalEntryRow.id)
        .where(LedgerAccountRow.code.in_([str(x) for x in _CAME_FROM]))
        .scalar_subquery()
    )
    return select(
        JournalEntryRow.id.label("id"),
        JournalEntryRow.at_us.label("at_us"),
        JournalEntryRow.kind.label("kind"),
        JournalEntryRow.memo.label("memo"),
        came.label("amount"),
        JournalEntryRow.unit.label("unit"),
    ).where(
        beside_calls(JournalEntryRow),
        JournalEntryRow.kind.in_(PAYMENT_KINDS),
        moved_or_paid(wallets_and_size(session, scope.account_id)),
    )


def _looked(session: Session, scope: Scope, _asked: Asked) -> Looked | None:
    return entries_beside_calls() if wallets_and_size(session, scope.account_id).are_busy else None


def _receipts(session: Session, rows: list[dict[str, Any]]) -> None:
    keys = {f"receipt:{row['id']}": row for row in rows}
    found = session.execute(
        select(InvoiceRow.period_key, InvoiceRow.id, InvoiceRow.number).where(InvoiceRow.period_key.in_(keys))
    )
    for row in rows:
        row |= {"receipt": None, "receipt_id": None, "amount": int(row["amount"])}
    for key, id, number in found:
        keys[str(key)] |= {"receipt": number, "receipt_id": id}


OWN_PAYMENTS = Listing(
    name="my-payments",
    title=N_("Payments"),
    permission=Permission.OWN_READ,
    columns=(
        Column("at_us", N_("When"), ColumnKind.MOMENT),
        Column("kind", N_("What"), ColumnKind.STATE),
        Column("memo", N_("Note"), wide=True),
        Column("receipt", N_("Receipt"), ColumnKind.CODE, wide=True),
        Column("amount", N_("Amount"), ColumnKind.MONEY),
    ),
    rows=_payments,
    orders=(
        Order("newest", N_("Newest first"), JournalEntryRow.id, JournalEntryRow.id, descending=True),
        Order("oldest", N_("Oldest first"), JournalEntryRow.id, JournalEntryRow.id),
    ),
    filters=(
        Filter(
            "kind",
            N_("What"),
            equals(JournalEntryRow.kind),
            FilterKind.CHOICE,
            tuple((x, x.capitalize()) for x in PAYMENT_KINDS),
        ),
        Filter("q", N_("Note"), contains(JournalEntryRow.memo)),
        Filter("from", N_("From"), at_least(JournalEntryRow.at_us), FilterKind.DAY),
        Filter("to", N_("To"), below(JournalEntryRow.at_us), FilterKind.DAY, next_day=True),
    ),
    finish=_receipts,
    candidates=_looked,
)
"""What came in and went back, of wallets and of invoices; what calls cost is in the list of calls."""


def _numbers(_session: Session, scope: Scope) -> Rows:
    return (
        select(
            DidRow.id.label("id"),
            DidRow.number.label("number"),
            DidRow.country.label("country"),
            PlanRow.name.label("plan"),
        )
        .outerjoin(SubscriptionRow, SubscriptionRow.id == DidRow.subscription_id)
        .outerjoin(PlanVersionRow, PlanVersionRow.id == SubscriptionRow.plan_version_id)
        .outerjoin(PlanRow, PlanRow.id == PlanVersionRow.plan_id)
        .where(DidRow.state == "assigned", scope.among(DidRow.account_id))
    )


OWN_NUMBERS = Listing(
    name="my-numbers",
    title=N_("Numbers"),
    permission=Permission.OWN_READ,
    columns=(
        Column("number", N_("Number"), ColumnKind.CODE),
        Column("country", N_("Country"), ColumnKind.CODE),
        Column("plan", N_("Plan")),
    ),
    rows=_numbers,
    orders=(Order("number", N_("Number"), DidRow.number, DidRow.id),),
    filters=(Filter("number", N_("Number begins with"), begins(DidRow.number)),),
)


def _subscriptions(_session: Session, scope: Scope) -> Rows:
    return (
        select(
            SubscriptionRow.id.label("id"),
            PlanRow.name.label("plan"),
            SubscriptionRow.quantity.label("quantity"),
            SubscriptionRow.state.label("state"),
            SubscriptionRow.started_us.label("started_us"),
            SubscriptionRow.term_ends_us.label("term_ends_us"),
            SubscriptionRow.ends_us.label("ends_us"),
        )
        .join(PlanVersionRow, PlanVersionRow.id == SubscriptionRow.plan_version_id)
        .join(PlanRow, PlanRow.id == PlanVersionRow.plan_id)
        .where(scope.among(SubscriptionRow.account_id))
    )


OWN_SUBSCRIPTIONS = Listing(
    name="my-plans",
    title=N_("Plans"),
    permission=Permission.OWN_READ,
    columns=(
        Column("plan", N_("Plan")),
        Column("quantity", N_("Quantity"), ColumnKind.COUNT),
        Column("state", N_("State"), ColumnKind.STATE),
        Column("started_us", N_("Since"), ColumnKind.DAY),
        Column("term_ends_us", N_("Agreed until"), ColumnKind.DAY, wide=True),
        Column("ends_us", N_("Ends"), ColumnKind.DAY),
    ),
    rows=_subscriptions,
    orders=(
        Order("newest", N_("Newest first"), SubscriptionRow.id, SubscriptionRow.id, descending=True),
        Order("plan", N_("Plan"), PlanRow.name, SubscriptionRow.id),
    ),
    filters=(
        Filter("q", N_("Plan"), contains(PlanRow.name)),
        Filter(
            "state",
            N_("State"),
            equals(SubscriptionRow.state),
            FilterKind.CHOICE,
            tuple((x, x.capitalize()) for x in ("trial", "active", "paused", "unpaid", "ended")),
        ),
    ),
)


def _disputes(_session: Session, scope: Scope) -> Rows:
    begun = (
        select(func.min(InvoiceEventRow.at_us))
        .where(InvoiceEventRow.invoice_id == InvoiceRow.id, InvoiceEventRow.kind == "disputed")
        .scalar_subquery()
    )
    return (
        select(
            InvoiceRow.id.label("id"),
            InvoiceRow.number.label("number"),
            InvoiceRow.issued_us.label("issued_us"),
            begun.label("begun_us"),
            InvoiceRow.disputed_us.label("disputed_us"),
            InvoiceRow.disputed.label("disputed"),
            InvoiceRow.open.label("open"),
            InvoiceRow.unit.label("unit"),
        )
        .where(scope.among(InvoiceRow.account_id), InvoiceRow.state.not_in(UNSEEN))
        .where(
            select(InvoiceEventRow.id)
            .where(InvoiceEventRow.invoice_id == InvoiceRow.id, InvoiceEventRow.kind == "disputed")
            .exists()
        )
    )


def _disputes_told(_session: Session, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["state"] = "closed" if row["disputed_us"] is None else "open"


OWN_DISPUTES = Listing(
    name="my-disputes",
    title=N_("Disputes"),
    permission=Permission.OWN_READ,
    columns=(
        Column("number", N_("Invoice"), ColumnKind.CODE),
        Column("state", N_("State"), ColumnKind.STATE),
        Column("begun_us", N_("Since"), ColumnKind.DAY),
        Column("issued_us", N_("Issued"), ColumnKind.DAY, wide=True),
        Column("disputed", N_("Disputed"), ColumnKind.MONEY),
        Column("open", N_("Open"), ColumnKind.MONEY, wide=True),
    ),
    rows=_disputes,
    orders=(Order("newest", N_("Newest first"), InvoiceRow.id, InvoiceRow.id, descending=True),),
    filters=(
        Filter("number", N_("Number begins"), begins(InvoiceRow.number)),
        Filter(
            "state",
            N_("State"),
            lambda query, state: query.where(
                InvoiceRow.disputed_us.is_not(None) if state == "open" else InvoiceRow.disputed_us.is_(None)
            ),
            FilterKind.CHOICE,
            (("open", N_("Open")), ("closed", N_("Closed"))),
        ),
    ),
    finish=_disputes_told,
)


def _messages(_session: Session, scope: Scope) -> Rows:
    return select(
        MessageRow.id.label("id"),
        MessageRow.created_us.label("created_us"),
        MessageRow.subject.label("subject"),
        MessageRow.recipient.label("recipient"),
        MessageRow.state.label("state"),
    ).where(scope.among(MessageRow.account_id), MessageRow.channel == "mail")


OWN_MESSAGES = Listing(
    name="my-messages",
    title=N_("Messages to you"),
    permission=Permission.OWN_READ,
    columns=(
        Column("subject", N_("About")),
        Column("created_us", N_("When"), ColumnKind.MOMENT),
        Column("recipient", N_("To"), wide=True),
        Column("state", N_("State"), ColumnKind.STATE),
    ),
    rows=_messages,
    orders=(Order("newest", N_("Newest first"), MessageRow.id, MessageRow.id, descending=True),),
    filters=(
        Filter("q", N_("About"), contains(MessageRow.subject)),
        Filter("from", N_("From"), at_least(MessageRow.created_us), FilterKind.DAY),
        Filter("to", N_("To"), below(MessageRow.created_us), FilterKind.DAY, next_day=True),
    ),
)
