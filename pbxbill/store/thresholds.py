"""Thresholds of wallets as they are kept: which of them the charging path listens for.

A wallet listens for its highest threshold that is not reached: tell_below. What falls below it leaves a mark,
and the job that reads marks (billing/payments/balance_marks.py) says what the wallet listens for next.
"""

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, select, text
from sqlalchemy.orm import Session

from pbxbill.money import Unit, minor_step
from pbxbill.store.models import WalletRow
from pbxbill.store.notice_models import BalanceThresholdRow, DefaultThresholdRow

NOTICE, DEFAULT, AUTO_TOP_UP = "notice", "default", "auto_top_up"
"""Purposes of thresholds."""

_EDGE = "CASE WHEN t.below < :step THEN :step ELSE t.below END"
_HIGHEST = f"SELECT MAX({_EDGE}) FROM balance_thresholds t WHERE t.wallet_id = wallets.id"  # noqa: S608 ours
_ARM = text(
    f"UPDATE wallets SET tell_from = ({_HIGHEST}), "  # noqa: S608 ours
    f"tell_below = ({_HIGHEST} AND t.reached_us IS NULL) WHERE id IN :ids"
).bindparams(bindparam("ids", expanding=True))


def edge(below: int, unit: Unit) -> int:
    """With less than this a threshold is reached. Used up (0) is what has no coin left: what calls leave of
    it buys nothing."""
    return max(below, minor_step(unit))


def available(wallet: WalletRow) -> int:
    """What a wallet can still spend."""
    return wallet.posted - wallet.reserved + wallet.credit_limit


def arm(session: Session, wallet_ids: Sequence[int], unit: Unit) -> None:
    """Let wallets in a unit, which the caller has locked, listen for their highest threshold not reached."""
    session.flush()
    session.execute(_ARM, {"ids": list(wallet_ids), "step": minor_step(unit)})
    for row in session.identity_map.values():
        if isinstance(row, WalletRow):  # they were changed past it
            session.expire(row, ["tell_below", "tell_from"])


def defaults_of(session: Session, issuer_id: int, unit: str) -> list[int]:
    """The thresholds of an issuer's customers who have none of their own, the highest first."""
    query = select(DefaultThresholdRow.below).where(
        DefaultThresholdRow.issuer_id == issuer_id, DefaultThresholdRow.unit == unit
    )
    return list(session.scalars(query.order_by(DefaultThresholdRow.below.desc())))


def all_defaults_of(session: Session, issuer_id: int) -> dict[str, list[int]]:
    """The same of each unit that has some."""
    query = select(DefaultThresholdRow).where(DefaultThresholdRow.issuer_id == issuer_id)
    found: dict[str, list[int]] = {}
    for row in session.scalars(query.order_by(DefaultThresholdRow.unit, DefaultThresholdRow.below.desc())):
        found.setdefault(row.unit, []).append(row.below)
    return found


def take_thresholds(  # whose, what for, and which
    session: Session,
    wallets: Sequence[WalletRow],
    purpose: str,
    amounts: Sequence[int],
    unit: Unit,
    now_us: int,
) -> None:
    """Give locked wallets in a unit these thresholds for a purpose, and no other ones.

    One that a wallet is below already is reached: it is told of when the wallet falls below it the next time.
    """
    wallet_ids = [wallet.id for wallet in wallets]
    held: dict[tuple[int, int], BalanceThresholdRow] = {
        (row.wallet_id, row.below): row
        for row in session.scalars(
            select(BalanceThresholdRow).where(
                BalanceThresholdRow.wallet_id.in_(wallet_ids), BalanceThresholdRow.purpose == purpose
            )
        )
    }
    gone = [row.id for row in held.values() if row.below not in amounts]
    if gone:
        session.execute(delete(BalanceThresholdRow).where(BalanceThresholdRow.id.in_(gone)))
    for wallet in wallets:
        for below in dict.fromkeys(amounts):
            if (wallet.id, below) not in held:
                reached_us = now_us if available(wallet) < edge(below, unit) else None
                session.add(
                    BalanceThresholdRow(
                        wallet_id=wallet.id, purpose=purpose, below=below, reached_us=reached_us
                    )
                )
    arm(session, wallet_ids, unit)
