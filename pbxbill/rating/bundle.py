"""Bundles: pieces that an account has included per cycle, which of them serve a charge, what rolls over.

How many pieces are used and held stands in counters, one per bundle of an account and window. A window
is the cycle that the call's request falls in, in the bundle's zone, month cycles from the day since
which the account has the bundle. The first window gives all pieces, however short it is.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pbxbill.rating.allotment import Allotment
from pbxbill.rating.cycles import cycle_of


class Measure(StrEnum):
    """What a bundle counts."""

    SECONDS = "seconds"
    CALLS = "calls"
    """One piece pays a whole call, however long."""
    MESSAGES = "messages"
    BYTES = "bytes"
    ITEMS = "items"


CALL_MEASURES = frozenset({Measure.SECONDS, Measure.CALLS})

Matches = Callable[[tuple[str, ...]], bool]
"""Whether the destination called is one of these names or classes."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Included pieces per cycle; never changed once accounts have it."""

    id: int
    name: str
    measure: Measure
    pieces: int
    """Granted per cycle."""
    destinations: tuple[str, ...] = ()
    """Names or classes; empty: all."""
    cycle: str = "month"
    zone: str = "UTC"
    shared: bool = False
    """The accounts below use it too."""
    rollover_cycles: int = 0
    """For how many more cycles unused pieces stay; 0: they lapse with their own."""
    priority: int = 0
    """Consumed from the highest."""
    initial_increment_s: int = 1
    following_increment_s: int = 1
    fee_owed: bool = False
    """The connection fee is owed although the bundle pays the whole call."""


class AccountBundle(NamedTuple):
    """That an account has a bundle."""

    id: int
    account_id: int
    bundle: Bundle
    from_us: int
    to_us: int | None = None
    """Not from this moment on; None: for ever."""

    def held_at(self, at_us: int) -> bool:
        """Whether the account has it at a moment."""
        return self.from_us <= at_us and (self.to_us is None or at_us < self.to_us)


class Window(NamedTuple):
    """One cycle of an account's bundle: what its counter row is made with."""

    from_us: int
    to_us: int
    allowed: int


def window_of(held: AccountBundle, at_us: int) -> tuple[int, int]:
    """The cycle that a moment falls in."""
    return cycle_of(held.bundle.cycle, held.bundle.zone, at_us, held.from_us)


def usable(
    held: Iterable[AccountBundle],
    account_id: int,
    at_us: int,
    matches: Matches,
    measures: frozenset[Measure] = CALL_MEASURES,
    kept: Container[int] = (),
) -> list[AccountBundle]:
    """Bundles that may pay a charge of an account, in the order in which they are consumed.

    `held` are those of the account and of all accounts above it. Its own ones serve it, and shared ones
    of those above: the highest priority first, then what lapses soonest, then the one it has had longest.
    `kept` are the ids of those whose pieces the call holds already: it keeps them, whatever became of them.
    """
    found = [
        (-x.bundle.priority, _lapses_us(x, at_us), x.id, x)
        for x in held
        if (x.account_id == account_id or x.bundle.shared)
        and (
            x.id in kept
            or (
                x.bundle.measure in measures
                and x.held_at(at_us)
                and (not x.bundle.destinations or matches(x.bundle.destinations))
            )
        )
    ]
    return [x for _, _, _, x in sorted(found, key=lambda y: y[:3])]


def _lapses_us(held: AccountBundle, at_us: int) -> int:
    end_us = window_of(held, at_us)[1]
    return end_us if held.to_us is None else min(end_us, held.to_us)


def allowed_in_window(bundle: Bundle, unused_of_earlier_windows: Sequence[int | None]) -> int:
    """Pieces that a window starts with: its own, and what rolls over from the windows before it.

    Unused pieces at the end of each earlier window, the oldest first; None where nobody asked for any:
    all that the window allowed was left. Older pieces are consumed first, so what is left at the end of
    a window is the newest: all of the last cycles' pieces that may still roll over, and nothing older.
    """
    most = bundle.rollover_cycles * bundle.pieces
    allowed = bundle.pieces
    for unused in unused_of_earlier_windows:
        left = allowed if unused is None else unused
        allowed = bundle.pieces + max(0, min(left, most))
    return allowed


def open_window(held: AccountBundle, at_us: int, last: tuple[int, int] | None) -> Window:
    """The window of a moment, for a counter that is not there yet.

    `last` is (start of the window, unused pieces) of the newest counter before it, None if there is none.
    Pieces that a live call holds across the end of a window count as used: they do not roll over.
    """
    bundle = held.bundle
    from_us, to_us = window_of(held, at_us)
    unused: list[int | None] = []
    start_us = from_us
    # After as many idle windows as pieces stay, no older one makes a difference.
    while start_us > held.from_us and len(unused) < bundle.rollover_cycles:
        start_us = window_of(held, start_us - 1)[0]
        if last is not None and start_us <= last[0]:
            unused.append(last[1])
            break
        unused.append(None)
    return Window(from_us, to_us, allowed_in_window(bundle, unused[::-1]))


def allotment(held: AccountBundle, counter_id: int, available: int) -> Allotment:
    """What a call may take from a bundle, as the rater wants it."""
    bundle = held.bundle
    return Allotment(
        counter_id,
        max(0, available),
        bundle.initial_increment_s,
        bundle.following_increment_s,
        fee_owed=bundle.fee_owed,
        whole_call=bundle.measure is Measure.CALLS,
    )


def counted_once(pieces_of_levels: Iterable[tuple[int, int]]) -> list[int]:
    """What each (counter, pieces) of a call's levels, the lowest first, adds to its counter.

    A shared bundle that pays for the caller's account and for the account that has it is one bundle: a
    minute of the call is one minute of it, counted at the lowest level that uses it.
    """
    counted: dict[int, int] = {}
    added: list[int] = []
    for counter_id, pieces in pieces_of_levels:
        before = counted.get(counter_id, 0)
        added.append(max(0, pieces - before))
        counted[counter_id] = max(before, pieces)
    return added
