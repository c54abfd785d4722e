"""Redeeming a voucher: its value comes into the wallet, once, whoever else tries the code at that moment.

Only customers of the batch's own issuer can: the value is booked in the books of whoever sold it. Who types
what is no code of ours, is told no more than that, and is counted (guessing.py); who holds a real code hears
why it is worth nothing, which neither counts as a guess nor forgives any.
"""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from pbxbill.billing.codes.code_hashing import Purpose, hashed
from pbxbill.billing.codes.guessing import GuessKind, Locked, failed, guarded, succeeded
from pbxbill.billing.codes.voucher_codes import read
from pbxbill.billing.invoices.standing import post
from pbxbill.billing.payments.funds_received import funds_received
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.events import PostEntry
from pbxbill.charging.status import AccountStatus
from pbxbill.errors import InputRefused
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.store.models import AccountRow, WalletRow
from pbxbill.store.payment_models import VoucherBatchRow, VoucherRow

VOUCHER = "voucher"
"""The kind of its journal entry."""
CHANNELS = ("cli", "api", "panel", "telephone")


class WhyNot(StrEnum):
    """Why a code brought nothing."""

    MISTYPED = "mistyped"
    """It can be nobody's code: a digit is wrong or missing. Not counted as a guess."""
    UNKNOWN = "unknown"
    """Counted. All that a guesser ever hears."""
    LOCKED = "locked"
    """Too many wrong ones: it was not looked at."""
    USED = "used"
    USED_BY_YOU = "used_by_you"
    """By this very account, before."""
    BLOCKED = "blocked"
    NOT_YET = "not_yet"
    EXPIRED = "expired"
    OTHER_ISSUER = "other_issuer"
    WRONG_UNIT = "wrong_unit"
    """The account has no wallet in its unit."""
    ACCOUNT_CLOSED = "account_closed"


TOLD = {
    WhyNot.MISTYPED: "a digit of the code is wrong or missing: look at it again",
    WhyNot.UNKNOWN: "this is no code of ours",
    WhyNot.LOCKED: "too many wrong codes; wait before you try again",
    WhyNot.USED: "this voucher has been used",
    WhyNot.USED_BY_YOU: "this voucher has been used before, by this account",
    WhyNot.BLOCKED: "this voucher is blocked: ask who sold it",
    WhyNot.NOT_YET: "this voucher is not valid yet",
    WhyNot.EXPIRED: "this voucher has expired",
    WhyNot.OTHER_ISSUER: "this voucher is for customers of another seller",
    WhyNot.WRONG_UNIT: "the account has no wallet in this voucher's currency",
    WhyNot.ACCOUNT_CLOSED: "the account is closed",
}
"""For people."""


@dataclass(frozen=True, slots=True)
class Redeemed:
    """The value is in the wallet."""

    batch: str
    serial: int
    unit: str
    amount: int
    entry_id: str
    available: int
    """What the wallet may spend now."""
    validity_days: int | None


@dataclass(frozen=True, slots=True)
class NotRedeemed:
    """Nothing moved."""

    why: WhyNot
    until_us: int | None = None
    """Of a lock-out: until when nothing is looked at."""


def redeem(  # noqa: PLR0913  # one parameter per fact
    session: Session,
    books: Bookkeeper,
    account: AccountRow,
    code: str,
    *,
    channel: str,
    now_us: int,
    caller: str = "",
    by: str = "",
) -> Redeemed | NotRedeemed:
    """Put a voucher's value into the account's wallet. Commit whatever comes back: wrong tries are counted.

    caller: the number that a telephone call came from; wrong tries count for it as well.
    """
    if channel not in CHANNELS:
        raise InputRefused(f"channel {channel[:20]!r}: use one of {', '.join(CHANNELS)}")
    digits = read(code)
    if digits is None:
        return NotRedeemed(WhyNot.MISTYPED)
    if account.status == AccountStatus.TERMINATED:
        return NotRedeemed(WhyNot.ACCOUNT_CLOSED)
    counted = [(GuessKind.VOUCHER_ACCOUNT, str(account.id))]
    if caller:
        counted.append((GuessKind.VOUCHER_CALLER, caller))
    locked = [found for kind, subject in counted if (found := guarded(session, kind, subject, now_us))]
    if locked:
        return _locked(locked)
    code_hash = hashed(session, digits, Purpose.VOUCHER)
    voucher = session.scalar(
        select(VoucherRow).where(VoucherRow.code_hash == code_hash).execution_options(populate_existing=True)
    )
    if voucher is None:
        for kind, subject in counted:
            failed(session, kind, subject, now_us)
        return NotRedeemed(WhyNot.UNKNOWN)
    outcome = _redeem(session, books, account, voucher, channel=channel, who=caller or by, now_us=now_us)
    if isinstance(outcome, Redeemed):
        for kind, subject in counted:
            succeeded(session, kind, subject)
    return outcome


def _locked(locked: list[Locked]) -> NotRedeemed:
    return NotRedeemed(WhyNot.LOCKED, max(found.until_us for found in locked))


def _redeem(  # noqa: PLR0913  # one parameter per fact
    session: Session,
    books: Bookkeeper,
    account: AccountRow,
    voucher: VoucherRow,
    *,
    channel: str,
    who: str,
    now_us: int,
) -> Redeemed | NotRedeemed:
    # Shared: redemptions do not wait for each other, and who blocks the batch waits for those under way.
    batch = session.scalars(
        select(VoucherBatchRow)
        .where(VoucherBatchRow.id == voucher.batch_id)
        .with_for_update(read=True)
        .execution_options(populate_existing=True)
    ).one()
    why = _worthless(session, account, batch, now_us)
    if why is not None:
        return NotRedeemed(why)
    taken = update(VoucherRow).where(VoucherRow.id == voucher.id, VoucherRow.state == "new")
    taken = taken.values(
        state="redeemed", account_id=account.id, redeemed_us=now_us, channel=channel, by=who[:64]
    )
    # Of all that try it at this moment the database lets one change the row; the others wait, and find none.
    done = session.execute(taken.execution_options(synchronize_session=False))
    session.refresh(voucher)
    if done.rowcount != 1:  # type: ignore[attr-defined]  # of an UPDATE it has one
        return NotRedeemed(_gone(voucher, account))
    moved = post(
        session,
        books,
        PostEntry(
            f"{VOUCHER}:{voucher.id}",
            account.id,
            batch.unit,
            batch.value,
            ((LedgerCode.VOUCHERS, batch.value),),
            VOUCHER,
            now_us,
            f"{VOUCHER}: {batch.name} {voucher.serial}",
        ),
    )
    voucher.entry_id = moved.entry_id
    session.flush()
    funds_received(
        session,
        books,
        account,
        unit=batch.unit,
        amount=batch.value,
        entry_id=moved.entry_id,
        cause="voucher",
        now_us=now_us,
        validity_days=batch.validity_days,
    )
    return Redeemed(
        batch.name,
        voucher.serial,
        batch.unit,
        batch.value,
        moved.entry_id,
        moved.available,
        batch.validity_days,
    )


def _worthless(session: Session, account: AccountRow, batch: VoucherBatchRow, now_us: int) -> WhyNot | None:
    if account.parent_id != batch.issuer_id:
        return WhyNot.OTHER_ISSUER
    if batch.state == "blocked":
        return WhyNot.BLOCKED
    if batch.state == "making" or now_us < batch.from_us:
        return WhyNot.NOT_YET
    if batch.to_us is not None and now_us > batch.to_us:
        return WhyNot.EXPIRED
    wallet = select(WalletRow.id).where(WalletRow.account_id == account.id, WalletRow.unit == batch.unit)
    return WhyNot.WRONG_UNIT if session.scalar(wallet) is None else None


def _gone(voucher: VoucherRow, account: AccountRow) -> WhyNot:
    if voucher.state == "blocked":
        return WhyNot.BLOCKED
    return WhyNot.USED_BY_YOU if voucher.account_id == account.id else WhyNot.USED
