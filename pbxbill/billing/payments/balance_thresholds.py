"""Thresholds of wallets: below which funds an account is told, or its wallet filled.

An account's own ones for notices replace its issuer's, which all other customers have. What "below" means is
in store/thresholds.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.standing import locked_wallet
from pbxbill.errors import InputRefused
from pbxbill.money import MAX_AMOUNT
from pbxbill.store.accounts import unit_of
from pbxbill.store.engine import transaction
from pbxbill.store.models import AccountRow, WalletRow
from pbxbill.store.notice_models import BalanceThresholdRow, DefaultThresholdRow
from pbxbill.store.thresholds import AUTO_TOP_UP, DEFAULT, NOTICE, defaults_of, take_thresholds

MOST_THRESHOLDS = 10
WALLETS_TOGETHER = 100
"""Wallets that one transaction of set_defaults locks: calls wait for it."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """One of a wallet's."""

    purpose: str
    below: int
    reached_us: int | None
    """Since when the wallet has been below; None: it is not."""


def set_thresholds(
    session: Session, wallet: WalletRow, purpose: str, amounts: Sequence[int], now_us: int
) -> None:
    """Give a wallet its own thresholds; none: those of its issuer, where they are for notices.

    Those that it is below already are not told of now.
    """
    unit = unit_of(session, wallet.unit)
    chosen = _checked(amounts, most=1 if purpose == AUTO_TOP_UP else MOST_THRESHOLDS)
    wallet = locked_wallet(session, wallet.account_id, wallet.unit)
    take_thresholds(session, [wallet], purpose, chosen, unit, now_us)
    if purpose == NOTICE:
        issuer_id = session.get_one(AccountRow, wallet.account_id).parent_id
        defaults = [] if chosen or issuer_id is None else defaults_of(session, issuer_id, wallet.unit)
        take_thresholds(session, [wallet], DEFAULT, defaults, unit, now_us)


def thresholds_of(session: Session, wallet_id: int) -> list[Threshold]:
    """What a wallet listens for, the highest first."""
    rows = session.scalars(
        select(BalanceThresholdRow)
        .where(BalanceThresholdRow.wallet_id == wallet_id)
        .order_by(BalanceThresholdRow.below.desc(), BalanceThresholdRow.purpose)
    )
    return [Threshold(row.purpose, row.below, row.reached_us) for row in rows]


def set_defaults(  # one parameter per fact
    database: Engine,
    issuer_id: int,
    unit_code: str,
    amounts: Sequence[int],
    now_us: int,
    *,
    tell: Callable[[int], None] = lambda done: None,
) -> int:
    """Change the thresholds of an issuer's customers who have none of their own; how many wallets there are.

    New accounts begin with them. If it is interrupted, what is left to do is done by the same command.
    """
    with transaction(database) as session:
        write_defaults(session, issuer_id, unit_code, amounts)
    return spread_defaults(database, issuer_id, unit_code, now_us, tell=tell)


def write_defaults(session: Session, issuer_id: int, unit_code: str, amounts: Sequence[int]) -> list[int]:
    """Say what new wallets of an issuer's customers begin with; spread_defaults() tells those there are."""
    chosen = _checked(amounts, most=MOST_THRESHOLDS)
    unit = unit_of(session, unit_code)
    own = DefaultThresholdRow.issuer_id == issuer_id, DefaultThresholdRow.unit == unit.code
    session.execute(delete(DefaultThresholdRow).where(*own))
    session.add_all(DefaultThresholdRow(issuer_id=issuer_id, unit=unit.code, below=x) for x in chosen)
    session.flush()
    return chosen


def spread_defaults(
    database: Engine,
    issuer_id: int,
    unit_code: str,
    now_us: int,
    *,
    tell: Callable[[int], None] = lambda done: None,
) -> int:
    """Let the wallets of an issuer's customers, who have none of their own, listen for the issuer's."""
    with transaction(database) as session:
        unit = unit_of(session, unit_code)
        chosen = defaults_of(session, issuer_id, unit_code)
    done = last_id = 0
    while True:
        with transaction(database) as session:
            wallets = session.scalars(
                select(WalletRow)
                .join(AccountRow, AccountRow.id == WalletRow.account_id)
                .where(
                    AccountRow.parent_id == issuer_id,
                    WalletRow.unit == unit.code,
                    WalletRow.id > last_id,
                    ~select(BalanceThresholdRow.id)
                    .where(
                        BalanceThresholdRow.wallet_id == WalletRow.id, BalanceThresholdRow.purpose == NOTICE
                    )
                    .exists(),
                )
                .order_by(WalletRow.id)
                .limit(WALLETS_TOGETHER)
                .with_for_update(of=WalletRow)
            ).all()
            if not wallets:
                return done
            take_thresholds(session, wallets, DEFAULT, chosen, unit, now_us)
            done += len(wallets)
            last_id = wallets[-1].id
        tell(done)


def _checked(amounts: Sequence[int], most: int) -> list[int]:
    chosen = sorted(set(amounts), reverse=True)
    if len(chosen) > most:
        raise InputRefused(f"a wallet has up to {most} thresholds")
    if any(not 0 <= amount <= MAX_AMOUNT for amount in chosen):
        raise InputRefused("a threshold is 0 or more; 0 is told of when nothing is left")
    return chosen
