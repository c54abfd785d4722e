"""Accounts are opened and changed here, for command line, panel and API: one check for all of them.

What a person wrote is read by whoever asked him; here stand amounts in steps of their unit, ids and None.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from pbxbill.access.audit import tell_change
from pbxbill.billing.subscriptions.did_inventory import check_not_in_inventory
from pbxbill.billing.taxes.tax_conflicts import tax_conflict
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.events import Moved, Refused, SetCreditLimit
from pbxbill.errors import InputRefused, TermRefused, check, refused_at
from pbxbill.money import Unit, format_amount
from pbxbill.store.accounts import (
    ACCOUNT_MODES,
    MAX_NAME_LENGTH,
    NewAccount,
    add_endpoint,
    default_failure_policy,
    open_account,
    open_wallet,
    set_wallet_order,
    unit_of,
)
from pbxbill.store.exchange import pairs_without_rate
from pbxbill.store.models import AccountRow, EndpointRow, TariffVersionRow, UnitRow, WalletRow
from pbxbill.store.points_units import is_points_unit, refuse_points

OFFLINE_ALLOWANCE = 10
"""Of the wallet's unit, where the failure policy is open and nobody said another."""
FAILURE_POLICIES = ("closed", "open")
ANNOUNCEMENTS = ("announce_balance", "announce_minutes", "announce_warning", "announce_denial")
CHANGEABLE = frozenset(
    {
        "name", "mode", "tariff_id", "inbound_tariff_id", "language", "failure_policy", "offline_allowance",
        "minimum_balance", "dialling_rule_id", "wallet_order", "shadow", *ANNOUNCEMENTS,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Opening:
    """An account with its first wallet, and what tells the switch whose call it is."""

    new: NewAccount
    unit: str
    """Of the wallet that may have a credit limit; one is opened in each unit of new.wallet_order besides."""
    credit_limit: int = 0
    endpoints: tuple[tuple[str, str], ...] = ()
    """Kinds and values."""


@dataclass(frozen=True, slots=True)
class Concerns:
    """What is allowed about an account, and yet not what somebody wants."""

    without_tariff: bool
    """It cannot call."""
    without_credit: bool
    """It pays afterwards, may go nowhere below zero, and has nothing: it cannot call either."""
    nobody_passes: bool
    """Its failure policy is open, and its offline allowance lets no call pass all the same."""
    without_exchange: tuple[tuple[str, str], ...]
    """From a tariff's unit to that of a wallet, which pays nothing as long as no rate is known."""
    tax: str
    """What of its taxes contradicts its tariff; empty: nothing."""


def open_with_wallets(
    session: Session, opening: Opening, now_us: int, opened_us: int | None = None
) -> AccountRow:
    """Open an account, its wallets and endpoints; opened_us: since when it is billed, if not from now on."""
    new = opening.new
    if new.wallet_order and opening.unit not in new.wallet_order:
        raise InputRefused(f"the wallet order must name {opening.unit}, the wallet's unit, too")
    if opened_us is not None and opened_us > now_us:
        raise TermRefused("that day is to come; an account is opened now, or was", "opened")
    account = open_account(session, new, now_us if opened_us is None else opened_us)
    open_wallet(session, account, opening.unit, opening.credit_limit)
    for other in new.wallet_order:
        if other != opening.unit:
            open_wallet(session, account, other)
    for kind, value in opening.endpoints:
        with refused_at(kind):
            identify(session, account, kind, value)
    return account


def concerns_of(session: Session, account: AccountRow, now_us: int) -> Concerns:
    """What to say after an account was opened or changed."""
    return Concerns(
        without_tariff=account.tariff_id is None,
        without_credit=_is_without_credit(session, account),
        nobody_passes=account.failure_policy == "open" and account.offline_allowance == 0,
        without_exchange=tuple(pairs_without_rate(session, account, now_us)),
        tax=tax_conflict(session, account.id, now_us),
    )


def _is_without_credit(session: Session, account: AccountRow) -> bool:
    money = [x for x in wallets_of(session, account.id) if not is_points_unit(session, x.unit)]
    is_stuck = account.mode == "postpaid" and not account.shadow
    return is_stuck and bool(money) and all(x.posted + x.credit_limit <= 0 for x in money)


def change_account(session: Session, account: AccountRow, changes: Mapping[str, Any]) -> None:
    """Change what CHANGEABLE names; calls that are up keep the terms they began with."""
    check(changes.keys() <= CHANGEABLE, "an account has no {}", changes.keys() - CHANGEABLE)
    if account.parent_id is None:
        raise InputRefused("the operator is not an account that calls are charged to")
    _check_changes(changes)
    if "wallet_order" in changes:
        set_wallet_order(session, account, tuple(changes["wallet_order"]))
    for name, value in changes.items():
        if name != "wallet_order":
            setattr(account, name, value)
    session.flush()


def _check_changes(changes: Mapping[str, Any]) -> None:
    name = changes.get("name")
    if name is not None and not (name.isprintable() and name.strip() and len(name) <= MAX_NAME_LENGTH):
        raise InputRefused(f"an account's name has 1 to {MAX_NAME_LENGTH} printable characters")
    for key, known in (("mode", ACCOUNT_MODES), ("failure_policy", FAILURE_POLICIES)):
        if changes.get(key, known[0]) not in known:
            raise InputRefused(f"{key.replace('_', ' ')}: use one of {', '.join(known)}")
    if changes.get("offline_allowance", 0) < 0:
        raise InputRefused("an offline allowance is the most that unauthorized calls may cost: 0 or more")
    if (changes.get("minimum_balance") or 0) < 0:
        raise InputRefused(
            "a minimum balance is what must be there to spend, credit limit included: 0 or more, or none"
        )


def offline_allowance(policy: str | None, mode: str, unit: Unit) -> int:
    """How much the calls of an account may cost that nobody could authorize, unless it is said."""
    is_open = (policy or default_failure_policy(mode)) == "open"
    return OFFLINE_ALLOWANCE * 10**unit.scale if is_open else 0


def identify(
    session: Session, account: AccountRow, kind: str, value: str, tech_prefix: str = ""
) -> EndpointRow:
    """Let a SIP account code, an IP, a caller ID or a DID say whose call it is."""
    check_not_in_inventory(session, kind, value)
    return add_endpoint(session, account, kind, value, tech_prefix)


def identify_no_more(
    session: Session, account: AccountRow, kind: str, value: str, tech_prefix: str = ""
) -> None:
    """Take an endpoint from an account."""
    check_not_in_inventory(session, kind, value)
    gone = session.execute(
        delete(EndpointRow).where(
            EndpointRow.account_id == account.id,
            EndpointRow.kind == kind,
            EndpointRow.value == value,
            EndpointRow.tech_prefix == tech_prefix,
        )
    )
    if gone.rowcount == 0:  # type: ignore[attr-defined]
        raise InputRefused(f"{kind} {value!r} does not identify account {account.code}")


def set_credit_limit(
    session: Session, books: Bookkeeper, account: AccountRow, unit: Unit, *, limit: int, now_us: int
) -> Moved:
    """Say how far below zero a wallet may go; live calls follow. InputRefused where it is in use."""
    refuse_points(session, unit.code)
    if limit < 0:
        raise InputRefused("a credit limit says how far below zero the wallet may go: 0 or more")
    kept = session.execute(
        select(WalletRow.id, WalletRow.credit_limit).where(
            WalletRow.account_id == account.id, WalletRow.unit == unit.code
        )
    ).first()
    (outcome,) = books.post(session, [SetCreditLimit(account.id, unit.code, limit, now_us)])
    if isinstance(outcome, Refused):
        least = "" if outcome.most is None else f" (lowest now: {format_amount(outcome.most, unit)})"
        raise InputRefused(f"{outcome.reason.split(';')[0]}{least}")
    if kept is not None:
        tell_change(session, "wallets", [kept[0]], {"credit_limit": kept[1]}, {"credit_limit": limit})
    return outcome


def unit_of_tariff(session: Session, tariff_id: int | None) -> str | None:
    """What the newest version of a tariff charges in; None without a tariff."""
    return session.scalar(
        select(TariffVersionRow.unit)
        .where(TariffVersionRow.tariff_id == tariff_id)
        .order_by(TariffVersionRow.number.desc())
        .limit(1)
    )


def money_units(session: Session) -> list[Unit]:
    """Units that wallets may be opened in by hand: all but points, which have programmes of their own."""
    rows = session.scalars(select(UnitRow).order_by(UnitRow.code))
    return [Unit(x.code, x.scale, x.digits) for x in rows if not is_points_unit(session, x.code)]


def wallets_of(session: Session, account_id: int) -> list[WalletRow]:
    """The wallets of an account, by their units; as they are in the database."""
    query = select(WalletRow).where(WalletRow.account_id == account_id).order_by(WalletRow.unit)
    return list(session.scalars(query.execution_options(populate_existing=True)))


def paying_unit(session: Session, account: AccountRow) -> Unit | None:
    """What amounts of an account's terms are in: the tariff's unit, else its first wallet's."""
    code = unit_of_tariff(session, account.tariff_id)
    if code is None:
        wallets = wallets_of(session, account.id)
        code = wallets[0].unit if wallets else None
    return unit_of(session, code) if code is not None else None
