"""Makes deferred revenue revenue as time passes: what was charged in advance and has been served since.

One entry holds what a batch of charges earned in one month, of one issuer and unit; `earnings` says which
charge brought how much of it. The charges' own columns move in the same transaction, with their rows locked:
so however often, late or at once it is asked for, everything is earned once. An entry carries the last moment
of its month, and so belongs to that month's books.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Engine, case, func, insert, select
from sqlalchemy.orm import Session

from pbxbill.billing.books.earning import DeferredCharge, Earning, earnings, month_start_us
from pbxbill.billing.charge import income_of
from pbxbill.billing.invoices.standing import postings
from pbxbill.billing.period import Period, day_start_us, local_date
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.events import Moved, PostEntry
from pbxbill.errors import check
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.store.billing_models import ChargeRow, IssuerRow
from pbxbill.store.driver import driver_within
from pbxbill.store.earning_models import EarningRow
from pbxbill.store.engine import transaction
from pbxbill.store.models import AccountRow, JournalEntryRow

EARNED = "earned"
"""Kind of the journal entries."""
DEFAULT_ZONE = "UTC"
"""Of an issuer that has not said his."""
BATCH = 500
"""Charges of one transaction."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a batch has done."""

    charges: int
    """That were earned in part or in full."""
    entries: int
    amounts: tuple[tuple[int, str, int], ...]
    """Issuer, unit, and what became revenue."""
    next_id: int | None
    """Where the next batch begins; None: all is done."""


class _Waiting(NamedTuple):
    """A charge as it is read, locked."""

    id: int
    account_id: int
    issuer_id: int
    unit: str
    kind: str
    gives_back: str
    zone: str
    charge: DeferredCharge


class _Entry(NamedTuple):
    """Which entry an amount belongs to."""

    issuer_id: int
    unit: str
    month: str
    at_us: int


class _Share(NamedTuple):
    """What a charge brings to an entry."""

    waiting: _Waiting
    amount: int


def recognise(  # noqa: PLR0913  # one parameter per fact
    session: Session,
    books: Bookkeeper,
    until_us: int,
    now_us: int,
    issuer_id: int | None = None,
    *,
    by_day: bool = False,
    first_id: int = 0,
    most: int = BATCH,
) -> Recognised:
    """Book what is earned until a moment and not booked yet, of one batch of charges.

    Of months that are over, unless by_day: then of all days that are over. The issuer's zone says when.
    """
    bounds_us = _bounds(session, min(until_us, now_us), by_day=by_day)
    rows = _waiting(session, bounds_us, issuer_id, first_id, most)
    entries: dict[_Entry, list[_Share]] = {}
    reached: list[tuple[int, int, int]] = []
    for row in rows:
        own_us = bounds_us[row.zone]
        found = list(earnings(row.charge, own_us, row.zone))
        for earning in found:
            entries.setdefault(_entry_of(row, earning), []).append(_Share(row, earning.amount))
        reached.append((row.charge.earned + sum(earning.amount for earning in found), own_us, row.id))
    if entries:
        _book(session, books, entries)
    if reached:
        driver = driver_within(session)
        driver.update(ChargeRow.__table__, ("id",), ("earned", "earned_to_us"), reached)  # type: ignore[arg-type]
        session.expire_all()
    next_id = rows[-1].id + 1 if len(rows) == most else None
    charges = {share.waiting.id for shares in entries.values() for share in shares}
    return Recognised(len(charges), len(entries), _amounts(entries), next_id)


def recognise_all(
    database: Engine,
    books: Bookkeeper,
    until_us: int,
    now_us: int,
    issuer_id: int | None = None,
    *,
    by_day: bool = False,
) -> Iterator[Recognised]:
    """All batches, each a transaction of its own; what is done stays done."""
    next_id: int | None = 0
    while next_id is not None:
        with transaction(database) as session:
            done = recognise(session, books, until_us, now_us, issuer_id, by_day=by_day, first_id=next_id)
        yield done
        next_id = done.next_id


def _bounds(session: Session, until_us: int, *, by_day: bool) -> dict[str, int]:
    """Until when something is earned, by the zones of issuers."""
    zones = {DEFAULT_ZONE, *session.scalars(select(IssuerRow.zone).distinct())}
    if by_day:
        return {zone: day_start_us(local_date(until_us, zone), zone) for zone in sorted(zones)}
    return {zone: month_start_us(until_us, zone) for zone in sorted(zones)}


def _waiting(
    session: Session, bounds_us: Mapping[str, int], issuer_id: int | None, first_id: int, most: int
) -> list[_Waiting]:
    """Charges that something has been earned of since, locked; in the order of their ids."""
    zone = func.coalesce(IssuerRow.zone, DEFAULT_ZONE)
    bound = case(dict(bounds_us), value=zone)
    query = (
        select(
            ChargeRow.id,
            ChargeRow.account_id,
            AccountRow.parent_id,
            ChargeRow.unit,
            ChargeRow.kind,
            ChargeRow.gives_back,
            zone,
            ChargeRow.deferred,
            ChargeRow.earned,
            ChargeRow.from_us,
            ChargeRow.to_us,
            JournalEntryRow.at_us,
            ChargeRow.earned_to_us,
        )
        .join(AccountRow, AccountRow.id == ChargeRow.account_id)
        .join(JournalEntryRow, JournalEntryRow.id == ChargeRow.entry_id)
        .outerjoin(IssuerRow, IssuerRow.account_id == AccountRow.parent_id)
        .where(
            ChargeRow.deferred != ChargeRow.earned,
            ChargeRow.id >= first_id,
            func.coalesce(ChargeRow.earned_to_us, 0) < bound,
            func.coalesce(ChargeRow.from_us, 0) < bound,
            JournalEntryRow.at_us < bound,
        )
        .order_by(ChargeRow.id)
        .limit(most)
        # Who holds one writes a note of it: its turn comes with the next run.
        .with_for_update(of=ChargeRow, skip_locked=True)
    )
    if issuer_id is not None:
        query = query.where(AccountRow.parent_id == issuer_id)
    return [
        _Waiting(id, account_id, issuer or 0, unit, kind, back, own_zone, _deferred(*rest))
        for id, account_id, issuer, unit, kind, back, own_zone, *rest in session.execute(query)
    ]


def _deferred(  # one parameter per column
    deferred: int,
    earned: int,
    from_us: int | None,
    to_us: int | None,
    posted_us: int,
    earned_to_us: int | None,
) -> DeferredCharge:
    service = Period(posted_us, posted_us) if from_us is None or to_us is None else Period(from_us, to_us)
    return DeferredCharge(deferred, earned, service, posted_us, earned_to_us)


def _entry_of(row: _Waiting, earning: Earning) -> _Entry:
    return _Entry(row.issuer_id, row.unit, earning.month, earning.at_us)


def _book(session: Session, books: Bookkeeper, entries: dict[_Entry, list[_Share]]) -> None:
    commands = [_command(entry, shares) for entry, shares in entries.items()]
    rows = []
    for (entry, shares), outcome in zip(entries.items(), books.post(session, commands), strict=True):
        check(isinstance(outcome, Moved), "what was earned in {} cannot be booked", entry.month)
        assert isinstance(outcome, Moved)
        rows += [
            {
                "charge_id": share.waiting.id,
                "entry_id": outcome.entry_id,
                "month": entry.month,
                "amount": share.amount,
            }
            for share in shares
        ]
    session.execute(insert(EarningRow), rows)


def _command(entry: _Entry, shares: list[_Share]) -> PostEntry:
    parts = [(income_of(share.waiting.kind, share.waiting.gives_back), -share.amount) for share in shares]
    total = sum(share.amount for share in shares)
    charges = "1 charge" if len(shares) == 1 else f"{len(shares)} charges"
    return PostEntry(
        # The first charge was earned up to this moment by no other entry: its row is locked and says so.
        f"{EARNED}:{entry.issuer_id}:{entry.unit}:{entry.at_us}:{shares[0].waiting.id}:"
        f"{shares[0].waiting.charge.earned}",
        shares[0].waiting.account_id,  # whose issuer's books these are; no wallet moves
        entry.unit,
        0,
        postings((LedgerCode.DEFERRED, total), *parts) or ((LedgerCode.DEFERRED, 0),),
        EARNED,
        entry.at_us,
        f"earned in {entry.month}: {charges}",
    )


def _amounts(entries: dict[_Entry, list[_Share]]) -> tuple[tuple[int, str, int], ...]:
    sums: dict[tuple[int, str], int] = {}
    for entry, shares in entries.items():
        key = entry.issuer_id, entry.unit
        sums[key] = sums.get(key, 0) + sum(share.amount for share in shares)
    return tuple((*key, amount) for key, amount in sums.items())
