"""Writes bundles and who has them, and reads how much of their present windows is left."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused
from pbxbill.money import MAX_AMOUNT
from pbxbill.rating.band_checks import zone_of
from pbxbill.rating.bundle import AccountBundle, Bundle, Measure, Window, open_window, window_of
from pbxbill.rating.cycles import CYCLES
from pbxbill.rating.number_plan import KINDS
from pbxbill.store.accounts import bump_catalogue, issuer_or_operator
from pbxbill.store.catalogue_models import AccountBundleRow, BundleRow, CounterRow, DestinationRow
from pbxbill.store.models import AccountRow

MEASURES = tuple(measure.value for measure in Measure)
MAX_ROLLOVER_CYCLES = 120
MAX_INCREMENT_S = 86_400

BUNDLE_COLUMNS = (
    "id, name, measure, pieces, destinations, cycle, zone, shared, rollover_cycles, priority, "
    "initial_increment_s, following_increment_s, fee_owed"
)
ACCOUNT_BUNDLE_COLUMNS = "id, account_id, bundle_id, from_us, to_us"
"""For those who read the tables by statement; the first go into bundle_from_columns()."""


@dataclass(frozen=True, slots=True)
class NewBundle:
    """A bundle to be written; see rating.bundle.Bundle."""

    name: str
    measure: str
    pieces: int
    destinations: tuple[str, ...] = ()
    cycle: str = "month"
    zone: str = "UTC"
    shared: bool = False
    rollover_cycles: int = 0
    priority: int = 0
    initial_increment_s: int = 1
    following_increment_s: int = 1
    fee_owed: bool = False
    issuer_id: int | None = None
    """Whose it is; None: the operator's."""

    def __post_init__(self) -> None:
        if not (self.name.isprintable() and 0 < len(self.name) <= 64):
            raise InputRefused("a bundle's name has 1 to 64 printable characters")
        if self.measure not in MEASURES:
            raise InputRefused(f"measure {self.measure!r}: use one of {', '.join(MEASURES)}")
        if not 0 < self.pieces <= MAX_AMOUNT // (MAX_ROLLOVER_CYCLES + 1):
            raise InputRefused("a bundle has at least one piece, and no more than can be counted")
        if self.cycle not in CYCLES:
            raise InputRefused(f"cycle {self.cycle!r}: use one of {', '.join(CYCLES)}")
        if not 0 <= self.rollover_cycles <= MAX_ROLLOVER_CYCLES:
            raise InputRefused(f"unused pieces roll over for 0 to {MAX_ROLLOVER_CYCLES} cycles")
        if not -(10**6) <= self.priority <= 10**6:
            raise InputRefused("a priority lies between -1,000,000 and 1,000,000")
        for increment_s in (self.initial_increment_s, self.following_increment_s):
            if not 1 <= increment_s <= MAX_INCREMENT_S:
                raise InputRefused(f"an increment has 1 to {MAX_INCREMENT_S} seconds or pieces")
        if any("\n" in name or not name.strip() for name in self.destinations):
            raise InputRefused("a destination's name is one line, and not empty")
        zone_of(self.zone)


@dataclass(frozen=True, slots=True)
class BundleState:
    """A bundle that serves an account, and its window at a moment."""

    held: AccountBundle
    owner: str
    """Code of the account that has it: this one, or one above that shares it."""
    window: Window
    used: int
    reserved: int
    """By live calls."""

    @property
    def left(self) -> int:
        """Pieces that nobody used or holds."""
        return self.window.allowed - self.used - self.reserved


def add_bundle(session: Session, new: NewBundle) -> BundleRow:
    """Write a bundle; InputRefused if there is one of that name, or a destination is unknown."""
    owner_id = issuer_or_operator(session, new.issuer_id)
    known = select(BundleRow.id).where(BundleRow.issuer_id == owner_id, BundleRow.name == new.name)
    if session.scalar(known) is not None:
        raise InputRefused(f"bundle {new.name!r} exists already; what accounts have is never changed")
    _check_destinations(session, new.destinations)
    columns = {name: getattr(new, name) for name in NewBundle.__slots__}
    row = BundleRow(**columns | {"destinations": "\n".join(new.destinations), "issuer_id": owner_id})
    session.add(row)
    session.flush()
    bump_catalogue(session)
    return row


def _check_destinations(session: Session, wanted: tuple[str, ...]) -> None:
    # A name that nothing matches would make the bundle serve no call, and nobody would see why.
    for name in wanted:
        plain = name.removeprefix("+")
        known = plain.isdigit() or name.casefold().replace("-", "_") in KINDS
        query = select(DestinationRow.id).where(func.lower(DestinationRow.name) == name.lower())
        if not known and session.scalar(query) is None:
            raise InputRefused(
                f"no destination {name[:40]!r}; write a known one, digits, or a class: {', '.join(KINDS)}"
            )


def bundle_by_name(session: Session, name: str, issuer_id: int | None = None) -> BundleRow:
    """A bundle of an issuer, the operator unless said; InputRefused if he has none of that name."""
    owner_id = issuer_or_operator(session, issuer_id)
    row = session.scalar(select(BundleRow).where(BundleRow.issuer_id == owner_id, BundleRow.name == name))
    if row is None:
        raise InputRefused(f"no bundle {name!r}; `pbxbill bundles list` shows them")
    return row


def bundle_of_issuer(session: Session, issuer_id: int | None, name: str) -> BundleRow:
    """What an issuer gives under a name: his own bundle, else the operator's of that name."""
    own = select(BundleRow).where(BundleRow.issuer_id == issuer_id, BundleRow.name == name)
    return session.scalar(own) or bundle_by_name(session, name)


def give_bundle(
    session: Session, account: AccountRow, bundle: BundleRow, from_us: int, to_us: int | None = None
) -> AccountBundleRow:
    """Let an account have a bundle from a moment on; twice gives twice the pieces."""
    if account.parent_id is None:
        raise InputRefused("the operator is charged for nothing; give bundles to resellers and customers")
    if to_us is not None and to_us <= from_us:
        raise InputRefused("a bundle must end after it begins")
    is_first = session.scalar(select(AccountBundleRow.id).limit(1)) is None
    row = AccountBundleRow(account_id=account.id, bundle_id=bundle.id, from_us=from_us, to_us=to_us)
    session.add(row)
    session.flush()
    if is_first:  # engines remember only whether any account has one; who has which, each batch reads
        bump_catalogue(session)
    return row


def take_bundle(session: Session, account: AccountRow, bundle: BundleRow, at_us: int) -> AccountBundleRow:
    """End an account's bundle at a moment, the one given last; live calls keep what they hold."""
    row = session.scalar(
        select(AccountBundleRow)
        .where(
            AccountBundleRow.account_id == account.id,
            AccountBundleRow.bundle_id == bundle.id,
            (AccountBundleRow.to_us.is_(None)) | (AccountBundleRow.to_us > at_us),
        )
        .order_by(AccountBundleRow.from_us.desc(), AccountBundleRow.id.desc())
        .limit(1)
    )
    if row is None:
        raise InputRefused(f"account {account.code} does not have bundle {bundle.name!r} then")
    row.to_us = max(at_us, row.from_us)
    session.flush()
    return row


def all_bundles(session: Session, issuer_id: int) -> list[tuple[BundleRow, int]]:
    """Every bundle of an issuer, by name, and how often accounts have got it."""
    given = (
        select(AccountBundleRow.bundle_id, func.count().label("count"))
        .group_by(AccountBundleRow.bundle_id)
        .subquery()
    )
    query = (
        select(BundleRow, func.coalesce(given.c.count, 0))
        .outerjoin(given, given.c.bundle_id == BundleRow.id)
        .where(BundleRow.issuer_id == issuer_id)
        .order_by(BundleRow.name)
    )
    return [(row, count) for row, count in session.execute(query)]


def bundle_of(row: BundleRow) -> Bundle:
    """A bundle as rating knows it."""
    return bundle_from_columns([getattr(row, name.strip()) for name in BUNDLE_COLUMNS.split(",")])


def bundle_from_columns(columns: Sequence[Any]) -> Bundle:
    """A bundle as rating knows it, of BUNDLE_COLUMNS."""
    id, name, measure, pieces, destinations, cycle, zone, shared, *rest = columns
    rollover_cycles, priority, initial_s, following_s, fee_owed = rest
    return Bundle(
        id=id,
        name=name,
        measure=Measure(measure),
        pieces=pieces,
        destinations=tuple(destinations.split("\n")) if destinations else (),
        cycle=cycle,
        zone=zone,
        shared=bool(shared),
        rollover_cycles=rollover_cycles,
        priority=priority,
        initial_increment_s=initial_s,
        following_increment_s=following_s,
        fee_owed=bool(fee_owed),
    )


def bundles_serving(session: Session, account: AccountRow, at_us: int) -> list[BundleState]:
    """The bundles that serve an account at a moment, its own and shared ones of those above."""
    chain = [account.id, *(int(part) for part in account.path.split("/") if part)]
    query = (
        select(AccountBundleRow, BundleRow, AccountRow.code)
        .join(BundleRow, BundleRow.id == AccountBundleRow.bundle_id)
        .join(AccountRow, AccountRow.id == AccountBundleRow.account_id)
        .where(AccountBundleRow.account_id.in_(chain))
        .where((AccountBundleRow.account_id == account.id) | BundleRow.shared)
        .order_by(BundleRow.priority.desc(), AccountBundleRow.id)
    )
    found = []
    for row, bundle, owner in session.execute(query):
        held = AccountBundle(row.id, row.account_id, bundle_of(bundle), row.from_us, row.to_us)
        if held.held_at(at_us):
            found.append(_state(session, held, owner, at_us))
    return found


def _state(session: Session, held: AccountBundle, owner: str, at_us: int) -> BundleState:
    from_us = window_of(held, at_us)[0]
    last = session.scalar(
        select(CounterRow)
        .where(
            CounterRow.kind == "bundle",
            CounterRow.ref_id == held.id,
            CounterRow.account_id == held.account_id,
            CounterRow.window_from_us <= from_us,
        )
        .order_by(CounterRow.window_from_us.desc())
        .limit(1)
    )
    if last is None:
        return BundleState(held, owner, open_window(held, at_us, None), 0, 0)
    if last.window_from_us == from_us:
        window = Window(last.window_from_us, last.window_to_us, last.allowed)
        return BundleState(held, owner, window, last.used, last.reserved)
    unused = last.allowed - last.used - last.reserved
    return BundleState(held, owner, open_window(held, at_us, (last.window_from_us, unused)), 0, 0)
