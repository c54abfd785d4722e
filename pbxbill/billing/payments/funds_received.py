"""What follows once money has come in, whichever way: by a top-up, a payment, a voucher or a transfer.

Called by whoever brought it in, in the same transaction and once per entry: not again for a repeated one.
"""

from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.life_cycle.life_cycle import prolong
from pbxbill.billing.notices.noticing import Fact, Money, NoticeKind, tell
from pbxbill.billing.points.points_earning import earn_by_top_up
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.store.models import AccountRow, JournalEntryRow, WalletRow

Cause = Literal["top_up", "payment", "voucher", "transfer"]


def funds_received(  # noqa: PLR0913  # one parameter per fact
    session: Session,
    books: Bookkeeper,
    account: AccountRow,
    *,
    unit: str,
    amount: int,
    entry_id: str,
    cause: Cause,
    now_us: int,
    validity_days: int | None = None,
) -> None:
    """Prolong the account's validity, let it earn its points, and tell it.

    amount: all that was received, whether it went to invoices or into the wallet. validity_days: by how many
    days the validity is prolonged; None: as the account's life-cycle says.
    """
    prolong(session, account.id, unit=unit, amount=amount, now_us=now_us, validity_days=validity_days)
    earn_by_top_up(session, books, account, unit=unit, amount=amount, entry_id=entry_id, now_us=now_us)
    memo = session.scalars(select(JournalEntryRow.memo).where(JournalEntryRow.id == entry_id)).one()
    posted = session.scalar(
        select(WalletRow.posted).where(WalletRow.account_id == account.id, WalletRow.unit == unit)
    )
    facts: dict[str, Fact] = {"amount": Money(amount, unit), "balance": Money(posted or 0, unit)}
    method, _, reference = memo.partition(": ")
    if method:  # what somebody wrote by hand may have no such part
        facts["method"] = method
    if reference:
        facts["reference"] = reference
    kind = NoticeKind.PAYMENT if cause == "payment" else NoticeKind.TOP_UP
    tell(session, account.id, kind, key=entry_id, facts=facts, now_us=now_us)
