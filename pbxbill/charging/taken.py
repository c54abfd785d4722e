"""What calls took of bundles and cycle steps, as the rater wants it: their charges can be reckoned again.

A call is given exactly the pieces that it took, in the order in which it took them. A bundle that served
several levels of a call was counted once, at the lowest: at a level above it, what lies below counts too.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pbxbill.charging.counters import STEPS_OF_A_TARIFF, Counter, CounterKind
from pbxbill.money import Unit
from pbxbill.rating.allotment import UNLIMITED, Allotment
from pbxbill.rating.bundle import AccountBundle, Bundle, allotment
from pbxbill.rating.exchange import ExchangeRate, to_wallet, worth
from pbxbill.rating.tariff import Tariff
from pbxbill.store.bundles import ACCOUNT_BUNDLE_COLUMNS
from pbxbill.store.driver import Driver

_HELD = (
    "SELECT h.session_id, h.level, h.reserved, h.used, k.id, k.kind, k.account_id, k.ref_id, "
    "k.window_from_us, k.window_to_us, k.allowed, k.used, k.reserved FROM reserved_counts h "
    "JOIN counters k ON k.id = h.counter_id WHERE h.session_id {any_text} "
    "ORDER BY h.session_id, h.level, k.id"
)
_BUNDLES = f"SELECT {ACCOUNT_BUNDLE_COLUMNS} FROM account_bundles WHERE id {{any_int}}"  # noqa: S608 names are ours


class Held(NamedTuple):
    """What a level of a call holds of a counter, or took of it."""

    level: int
    reserved: int
    used: int
    counter: Counter
    """As it stands now."""


class Piece(NamedTuple):
    """One allotment of a level, and what it comes from."""

    allotment: Allotment
    counter: Counter
    bundle: Bundle | None
    """None: a cycle step."""


class TakenPieces:
    """What some calls hold or took."""

    def __init__(self, driver: Driver, bundles: Mapping[int, Bundle], session_ids: Sequence[str]) -> None:
        self.by_session: dict[str, list[Held]] = {}
        for session_id, level, reserved, used, *counter in driver.select(_HELD, session_ids):
            held = Held(level, reserved, used, Counter(*counter))
            self.by_session.setdefault(session_id, []).append(held)
        ids = {
            held.counter.ref_id
            for found in self.by_session.values()
            for held in found
            if held.counter.kind == CounterKind.BUNDLE
        }
        self.limit_ids = {row[0] for row in driver.select("SELECT id FROM limits")}
        self._bundles = {
            id: AccountBundle(id, account_id, bundles[bundle_id], from_us, to_us)
            for id, account_id, bundle_id, from_us, to_us in (
                driver.select(_BUNDLES, sorted(ids)) if ids else ()
            )
        }

    def of(self, session_id: str, level: int) -> list[Held]:
        """Everything that a level holds or took, limits included."""
        return [held for held in self.by_session.get(session_id, ()) if held.level == level]

    def pieces(
        self, session_id: str, level: int, tariff: Tariff, *, live: bool = False, within_free: bool = False
    ) -> list[Piece]:
        """The allotments of a level in their order. live: what it holds, else what it took.

        within_free: no piece was needed, and yet who would have paid decides on the connection fee.
        """
        below: dict[int, int] = {}
        found: list[tuple[tuple[int, int, int], Piece]] = []
        for held in self.by_session.get(session_id, ()):
            if held.level > level:
                continue
            counter = held.counter
            below[counter.id] = below.get(counter.id, 0) + (held.reserved if live else held.used)
            if held.level < level:
                continue
            available = UNLIMITED if within_free else below[counter.id]
            if counter.kind == CounterKind.BUNDLE and counter.ref_id in self._bundles:
                own = self._bundles[counter.ref_id]
                lapses_us = (
                    counter.window_to_us if own.to_us is None else min(counter.window_to_us, own.to_us)
                )
                piece = Piece(allotment(own, counter.id, available), counter, own.bundle)
                found.append(((-own.bundle.priority, lapses_us, own.id), piece))
            elif counter.kind == CounterKind.STEPS and tariff.cycle_steps is not None:
                number = step_number(counter, tariff)
                if 0 <= number < len(tariff.cycle_steps.steps):
                    price = tariff.cycle_steps.steps[number].price_per_min
                    step = Allotment(counter.id, available, price_per_min=price)
                    found.append(((UNLIMITED, 0, number), Piece(step, counter, None)))
        return [piece for _, piece in sorted(found, key=lambda x: x[0])]


def step_number(counter: Counter, tariff: Tariff) -> int:
    """Which of a tariff's cycle steps a counter counts."""
    return counter.ref_id - tariff.tariff_id * STEPS_OF_A_TARIFF


class Share(NamedTuple):
    """What one wallet gave, in its unit."""

    amount: int
    unit: Unit
    exchange: ExchangeRate | None


def unpaid(owed: int, tariff_unit: Unit, shares: Iterable[Share]) -> int:
    """What shares leave of what is owed, in the tariff's unit, as allocate() pays: each covers all that
    is left, or what it is worth."""
    left = owed
    for amount, unit, exchange in shares:
        if amount == to_wallet(left, exchange, tariff_unit, unit):
            left = 0
        else:
            left -= worth(amount, exchange, tariff_unit, unit)
    return left
