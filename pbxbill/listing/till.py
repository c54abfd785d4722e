"""What somebody took at the counter in a day: his receipts, what was taken back of them, and the vouchers
that he sold, with sums by method. In the till is what was cash.

What is taken back lowers the till of who took it, on the day on which it is taken back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    String,
    case,
    false,
    func,
    literal,
    literal_column,
    null,
    select,
    true,
    union_all,
)
from sqlalchemy.orm import Session, aliased

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.listing.listing import (
    N_,
    Asked,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Listing,
    Order,
    Rows,
    at_least,
    below,
    equals,
    narrowed,
    page_of,
)
from pbxbill.listing.payment_methods import CASH, METHODS, method_of
from pbxbill.listing.wallet_entries import beside_calls
from pbxbill.store.invoice_models import InvoiceEventRow, InvoiceRow
from pbxbill.store.models import AccountRow, JournalEntryRow
from pbxbill.store.payment_models import VoucherBatchRow

MAX_SHOWN = 200
TILL = "till "
"""What names of batches begin with that are sold as they are made."""
RECEIVED, TAKEN_BACK, SOLD = "received", "taken_back", "sold"
_AT: Any = literal_column("till.at_us", BigInteger)
_ID: Any = literal_column("till.id", String)
_BY: Any = literal_column("till.taken_by", String)
_METHOD: Any = literal_column("till.method", String)


def _rows(_session: Session, scope: Scope) -> Rows:
    lines = union_all(_received(scope), _taken_back(scope), _sold(scope)).subquery("till")
    return select(*lines.c)


def _received(scope: Scope) -> Any:
    back = aliased(JournalEntryRow)
    return (
        select(
            InvoiceRow.entry_id.label("id"),
            literal(RECEIVED).label("what"),
            InvoiceRow.issued_us.label("at_us"),
            InvoiceRow.number.label("number"),
            AccountRow.code.label("account"),
            AccountRow.name.label("name"),
            JournalEntryRow.memo.label("memo"),
            method_of(JournalEntryRow.memo).label("method"),
            literal(1, BigInteger).label("count"),
            InvoiceRow.total.label("amount"),
            InvoiceRow.unit.label("unit"),
            InvoiceEventRow.by.label("taken_by"),
            case((back.id.is_(None), false()), else_=true()).label("is_taken_back"),
        )
        .join(AccountRow, AccountRow.id == InvoiceRow.account_id)
        .join(JournalEntryRow, JournalEntryRow.id == InvoiceRow.entry_id)
        .join(InvoiceEventRow, InvoiceEventRow.invoice_id == InvoiceRow.id)
        .outerjoin(back, back.reverses_id == JournalEntryRow.id)
        .where(
            InvoiceRow.kind == "receipt",
            InvoiceEventRow.kind == "issued",
            scope.among(InvoiceRow.account_id),
        )
    )


def _taken_back(scope: Scope) -> Any:
    back = aliased(JournalEntryRow)
    return (
        select(
            back.id,
            literal(TAKEN_BACK),
            back.at_us,
            InvoiceRow.number,
            AccountRow.code,
            AccountRow.name,
            back.memo,
            method_of(JournalEntryRow.memo),
            literal(1, BigInteger),
            -InvoiceRow.total,
            InvoiceRow.unit,
            InvoiceEventRow.by,
            false(),
        )
        .join(JournalEntryRow, JournalEntryRow.id == back.reverses_id)
        # Receipts are found by this key alone.
        .join(InvoiceRow, InvoiceRow.period_key == literal("receipt:") + back.reverses_id)
        .join(AccountRow, AccountRow.id == InvoiceRow.account_id)
        .join(InvoiceEventRow, InvoiceEventRow.invoice_id == InvoiceRow.id)
        .where(
            beside_calls(back),
            InvoiceRow.kind == "receipt",
            InvoiceEventRow.kind == "issued",
            scope.among(InvoiceRow.account_id),
        )
    )


def _sold(scope: Scope) -> Any:
    batch = VoucherBatchRow
    return select(
        batch.name,
        literal(SOLD),
        batch.created_us,
        null(),
        null(),
        null(),
        batch.name,
        literal(CASH),
        batch.count,
        batch.count * batch.value,
        batch.unit,
        batch.by,
        false(),
    ).where(scope.issued(batch.issuer_id), batch.name.startswith(TILL), batch.state != "making")


TILL_LINES = Listing(
    name="till",
    title=N_("Till"),
    permission=Permission.PAYMENTS_TAKE,
    columns=(
        Column("at_us", N_("When"), ColumnKind.MOMENT),
        Column("taken_by", N_("By"), ColumnKind.CODE),
        Column("what", N_("What"), ColumnKind.STATE),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("name", N_("Name")),
        Column("number", N_("Receipt"), ColumnKind.CODE),
        Column("method", N_("How"), ColumnKind.STATE),
        Column("memo", N_("How, and its reference")),
        Column("amount", N_("Amount"), ColumnKind.MONEY),
    ),
    rows=_rows,
    orders=(
        Order("newest", N_("Newest first"), _AT, _ID, descending=True),
        Order("oldest", N_("Oldest first"), _AT, _ID),
    ),
    filters=(
        Filter("by", N_("By"), equals(_BY)),
        Filter("method", N_("How"), equals(_METHOD), FilterKind.CHOICE, METHODS),
        Filter("from", N_("From"), at_least(_AT), FilterKind.DAY),
        Filter("to", N_("To"), below(_AT), FilterKind.DAY, next_day=True),
    ),
)


@dataclass(frozen=True, slots=True)
class Day:
    """All of it."""

    lines: list[Mapping[str, Any]]
    """The newest: columns of TILL_LINES, and count, id, is_taken_back."""
    is_cut: bool
    """There are more lines; sums are of all of them."""
    by_method: dict[tuple[str, str], int]
    """By unit and method, without what was taken back."""

    @property
    def sums(self) -> dict[str, int]:
        """What should be in the till, by unit: cash."""
        return {unit: amount for (unit, method), amount in self.by_method.items() if method == CASH}

    @property
    def beside(self) -> list[tuple[str, str, int]]:
        """What was taken otherwise: unit, method, amount."""
        return [(*key, amount) for key, amount in self.by_method.items() if key[1] != CASH]


def asked_of_day(by: str, day: str, zone: str) -> Asked:
    """What somebody took on a day, YYYY-MM-DD, as the listing is asked for it."""
    return Asked({"by": by[:64], "from": day, "to": day}, zone=zone, size=MAX_SHOWN)


def day_of_till(session: Session, scope: Scope, by: str, day: str, zone: str) -> Day:
    """What somebody took on a day, the newest first."""
    asked = asked_of_day(by, day, zone)
    page = page_of(session, TILL_LINES, scope, asked)
    every = narrowed(session, TILL_LINES, scope, asked).subquery()
    sums = (
        select(every.c.unit, every.c.method, func.sum(every.c.amount))
        .group_by(every.c.unit, every.c.method)
        .order_by(every.c.unit, every.c.method)
    )
    by_method = {(unit, method): int(amount) for unit, method, amount in session.execute(sums)}
    return Day(list(page.rows), bool(page.after), by_method)


def who_took(session: Session, scope: Scope, day: str, zone: str) -> list[str]:
    """Everybody who took something on a day."""
    asked = Asked({"from": day, "to": day}, zone=zone)
    every = narrowed(session, TILL_LINES, scope, asked).subquery()
    query = select(every.c.taken_by).where(every.c.taken_by != "").distinct().order_by(every.c.taken_by)
    return list(session.scalars(query))
