"""What somebody took at the counter in a day: his receipts and the vouchers that he sold, with their sums."""

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from pbxbill.access.actor import Scope
from pbxbill.store.invoice_models import InvoiceEventRow, InvoiceRow
from pbxbill.store.models import AccountRow, JournalEntryRow
from pbxbill.store.payment_models import VoucherBatchRow

MAX_SHOWN = 500
TILL = "till "
"""What names of batches begin with that are sold as they are made."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Money that was received."""

    entry_id: str
    receipt: str
    account: str
    name: str
    at_us: int
    amount: int
    unit: str
    how: str
    taken_back: bool


@dataclass(frozen=True, slots=True)
class Sold:
    """Vouchers that were sold together."""

    batch: str
    at_us: int
    count: int
    value: int
    unit: str

    @property
    def amount(self) -> int:
        """What they cost together."""
        return self.count * self.value


@dataclass(frozen=True, slots=True)
class Day:
    """All of it."""

    taken: tuple[Taken, ...]
    sold: tuple[Sold, ...]

    @property
    def sums(self) -> dict[str, int]:
        """What should be in the till, by unit: without what was taken back."""
        sums: dict[str, int] = defaultdict(int)
        for one in self.taken:
            sums[one.unit] += 0 if one.taken_back else one.amount
        for batch in self.sold:
            sums[batch.unit] += batch.amount
        return dict(sorted(sums.items()))


def day_of_till(session: Session, scope: Scope, by: str, from_us: int, to_us: int) -> Day:
    """What somebody took from a moment until before another, the newest first."""
    back = aliased(JournalEntryRow)
    receipts = (
        select(InvoiceRow, AccountRow.code, AccountRow.name, JournalEntryRow.memo, back.id)
        .join(AccountRow, AccountRow.id == InvoiceRow.account_id)
        .join(JournalEntryRow, JournalEntryRow.id == InvoiceRow.entry_id)
        .outerjoin(back, back.reverses_id == JournalEntryRow.id)
        .where(
            InvoiceRow.kind == "receipt",
            InvoiceRow.issued_us >= from_us,
            InvoiceRow.issued_us < to_us,
            scope.among(InvoiceRow.account_id),
            select(InvoiceEventRow.id)
            .where(
                InvoiceEventRow.invoice_id == InvoiceRow.id,
                InvoiceEventRow.kind == "issued",
                InvoiceEventRow.by == by[:64],
            )
            .exists(),
        )
        .order_by(InvoiceRow.id.desc())
        .limit(MAX_SHOWN)
    )
    batches = (
        select(VoucherBatchRow)
        .where(
            scope.issued(VoucherBatchRow.issuer_id),
            VoucherBatchRow.by == by[:64],
            VoucherBatchRow.name.startswith(TILL),
            VoucherBatchRow.state == "active",
            VoucherBatchRow.created_us >= from_us,
            VoucherBatchRow.created_us < to_us,
        )
        .order_by(VoucherBatchRow.id.desc())
        .limit(MAX_SHOWN)
    )
    return Day(
        tuple(
            Taken(
                row.entry_id or "",
                row.number or "",
                code,
                name,
                row.issued_us or 0,
                row.total,
                row.unit,
                memo,
                reversed_by is not None,
            )
            for row, code, name, memo, reversed_by in session.execute(receipts)
        ),
        tuple(Sold(x.name, x.created_us, x.count, x.value, x.unit) for x in session.scalars(batches)),
    )
