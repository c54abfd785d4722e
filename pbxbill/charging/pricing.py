"""What a level of a call owes and can pay: its rate, its bundles and cycle steps, its wallets, its caps.

Most levels have one wallet in their tariff's unit and nothing else; then Rated.terms is None, and what
they owe is one call of the rater. The others carry LevelTerms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pbxbill.charging.state import ChargedAccount, Wallet
from pbxbill.clock import SECOND_US
from pbxbill.ledger.reservation import ReservationLevel, ReservedCount
from pbxbill.money import Unit
from pbxbill.rating.allotment import Allotment
from pbxbill.rating.bundle import counted_once
from pbxbill.rating.exchange import ExchangeRate, Source, allocate, to_wallet, total_worth
from pbxbill.rating.mark_up import calendar_of, marked_up
from pbxbill.rating.rater import Charge, affordable, charge, charge_total, increment_end
from pbxbill.rating.tariff import Opening, Rate, Tariff

RINGING_US = 300_000_000
"""Before the answer nobody knows in which band it will be: that of any moment this far ahead may come."""


NOTHING_TAKEN: Mapping[int, int] = {}


class PayingWallet(NamedTuple):
    """One wallet that a level takes from."""

    wallet: Wallet
    unit: Unit
    exchange: ExchangeRate | None = None
    """Between the tariff's unit and the wallet's; None: they are the same."""


class Cap(NamedTuple):
    """Most that the level may spend on this call, in the tariff's unit."""

    most: int
    counter_id: int | None = None
    """The counter of a spending limit, on which the call holds what it reserves; None: only a bound."""


@dataclass(frozen=True, slots=True)
class LevelTerms:
    """What only some levels have."""

    wallets: tuple[PayingWallet, ...]
    """In the order in which a charge takes from them."""
    allotments: tuple[Allotment, ...] = ()
    caps: tuple[Cap, ...] = ()


class Leaving(NamedTuple):
    """What must leave a wallet although calls have reserved it."""

    wallet_id: int
    amount: int
    taken: Mapping[int, int] = NOTHING_TAKEN
    """By wallet, what other calls reserve instead that had to let go of theirs before."""


class Rated(NamedTuple):
    """One level of an account chain with the terms that a call is charged by."""

    account: ChargedAccount
    wallet: Wallet
    """The first that pays."""
    tariff: Tariff
    rate: Rate
    terms: LevelTerms | None = None
    opening: Opening | None = None
    """Of a new call, where neither the rate nor the level has terms."""

    def funds(self, held: Sequence[ReservationLevel] = ()) -> int:
        """What the call may cost at most, with what it has reserved already, in the tariff's unit."""
        if self.terms is None:
            return max(0, self.wallet.available) + (held[0].reserved if held else 0)
        worth = total_worth(self.tariff.unit, self._sources(held))
        return max(0, min([worth, *(cap.most for cap in self.terms.caps)]))

    def worth(self) -> int:
        """What its wallets could pay now, whatever limits say, in the tariff's unit."""
        if self.terms is None:
            return self.wallet.available
        return total_worth(self.tariff.unit, self._sources(()))

    def is_capped(self) -> bool:
        """Whether a limit leaves the call less than its wallets do."""
        return self.terms is not None and any(
            cap.most < total_worth(self.tariff.unit, self._sources(())) for cap in self.terms.caps
        )

    def funds_without(self, leaving: Leaving, held: Sequence[ReservationLevel]) -> int:
        """The same if a wallet gives all that is free in it to others, and so much of what is reserved."""
        if self.terms is None:
            return max(0, held[0].reserved - leaving.amount)
        worth = total_worth(self.tariff.unit, self._sources_without(leaving, held, 0))
        return max(0, min([worth, *(cap.most for cap in self.terms.caps)]))

    def lasts_us(self, funds: int, limit_s: int, starts_us: Sequence[int]) -> int:
        """How long the call can last on funds, whichever of these moments it is answered at."""
        known = self.opening
        if known is not None and funds >= known.longest_total and limit_s <= self.tariff.max_call_s:
            return limit_s * SECOND_US
        if self.rate.terms is None and self.terms is None:
            return affordable(self.rate, self.tariff, funds, limit_s)
        return min(
            [
                affordable(self.rate, self.tariff, funds, limit_s, start_us, self.allotments)
                for start_us in starts_us
            ]
        )

    def costs(self, duration_us: int, starts_us: Sequence[int]) -> int:
        """The most that this much call time costs, whichever of these moments it is answered at."""
        if self.opening is not None and duration_us == self.opening.slice_us:
            return self.opening.slice_total
        if self.rate.terms is None and self.terms is None:
            return charge_total(self.rate, self.tariff, duration_us)
        return max([self.charge(duration_us, start_us).total for start_us in starts_us])

    def charge(self, duration_us: int, start_us: int) -> Charge:
        """What it costs, answered at start_us."""
        return charge(self.rate, self.tariff, duration_us, start_us, self.allotments)

    def slice_end(self, start_us: int) -> int:
        """The end of the increment that the first slice of the call ends in."""
        if self.opening is not None:
            return self.opening.slice_us
        return self.increment_end(self.tariff.slice_s * SECOND_US, start_us)

    def increment_end(self, duration_us: int, start_us: int) -> int:
        """The end of the increment that a duration falls in."""
        if self.rate.terms is None and self.terms is None:
            return increment_end(self.rate, duration_us)
        return increment_end(self.rate, duration_us, self.tariff, start_us, self.allotments)

    @property
    def allotments(self) -> tuple[Allotment, ...]:
        """Of bundles and cycle steps."""
        return () if self.terms is None else self.terms.allotments

    def reserve(
        self,
        level: int,
        duration_us: int,
        starts_us: Sequence[int],
        held: Sequence[ReservationLevel] = (),
        leaving: Leaving | None = None,
    ) -> tuple[list[ReservationLevel], list[ReservedCount]]:
        """What the wallets and counters of a level with terms earmark for so much call time."""
        assert self.terms is not None
        charges = [self.charge(duration_us, start_us) for start_us in starts_us]
        total = max([x.total for x in charges])
        sources = self._sources(held) if leaving is None else self._sources_without(leaving, held, total)
        shares = allocate(total, self.tariff.unit, sources).taken
        lines = [
            self.line(level, number, paying.wallet, paying.exchange, share.amount)
            for number, (paying, share) in enumerate(zip(self.terms.wallets, shares, strict=True))
        ]
        pieces = [max(taken) for taken in zip(*(x.taken for x in charges), strict=True)]
        counts = [
            ReservedCount(level, allotment.counter_id, taken)
            for allotment, taken in zip(self.allotments, pieces, strict=True)
        ]
        counts += [
            ReservedCount(level, cap.counter_id, total)
            for cap in self.terms.caps
            if cap.counter_id is not None
        ]
        return lines, counts

    def _sources(
        self, held: Sequence[ReservationLevel], taken: Mapping[int, int] = NOTHING_TAKEN
    ) -> list[Source]:
        assert self.terms is not None
        reserved = {line.wallet_id: line.reserved for line in held}
        return [
            Source(
                unit,
                max(0, wallet.available - taken.get(wallet.id, 0)) + reserved.get(wallet.id, 0),
                exchange,
            )
            for wallet, unit, exchange in self.terms.wallets
        ]

    def _sources_without(self, leaving: Leaving, held: Sequence[ReservationLevel], owed: int) -> list[Source]:
        # What the other wallets cannot pay of what is owed stays in the one that funds leave.
        sources = self._sources(held, leaving.taken)
        unit = self.tariff.unit
        others = [
            source for source, line in zip(sources, held, strict=True) if line.wallet_id != leaving.wallet_id
        ]
        missing = max(0, owed - total_worth(unit, others))
        for number, line in enumerate(held):
            if line.wallet_id == leaving.wallet_id:
                source = sources[number]
                needed = min(line.reserved, to_wallet(missing, source.rate, unit, source.unit))
                sources[number] = source._replace(funds=max(line.reserved - leaving.amount, needed, 0))
        return sources

    def line(
        self, level: int, line: int, wallet: Wallet, exchange: ExchangeRate | None, reserved: int
    ) -> ReservationLevel:
        """What one wallet of the level earmarks."""
        return ReservationLevel(
            level,
            self.account.id,
            wallet.id,
            self.account.issuer_id,
            self.tariff.version_id,
            self.rate.id,
            reserved,
            line,
            None if exchange is None else exchange.id,
        )


def reserve_levels(
    levels: Sequence[tuple[Rated, Sequence[ReservationLevel]]],
    duration_us: int,
    starts_us: Sequence[int],
    leaving: Leaving | None = None,
) -> tuple[tuple[ReservationLevel, ...], tuple[ReservedCount, ...]]:
    """What so much call time earmarks at every level; with the lines that each holds already."""
    lines: list[ReservationLevel] = []
    counts: list[ReservedCount] = []
    for number, (rated, held) in enumerate(levels):
        level = held[0].level if held else number
        if rated.terms is None:
            reserved = rated.costs(duration_us, starts_us)
            lines.append(rated.line(level, 0, rated.wallet, None, reserved))
        else:
            own_lines, own_counts = rated.reserve(level, duration_us, starts_us, held, leaving)
            lines += own_lines
            counts += own_counts
    return tuple(lines), _counted_once(counts) if counts else ()


def _counted_once(counts: list[ReservedCount]) -> tuple[ReservedCount, ...]:
    # A counter that gives nothing is not named: its row may never be written.
    named = [count for count in counts if count.reserved]
    added = counted_once([(count.counter_id, count.reserved) for count in named])
    return tuple([count._replace(reserved=own) for count, own in zip(named, added, strict=True)])


def starts_us(levels: Sequence[Rated], at_us: int) -> tuple[int, ...]:
    """Moments at which a call that is asked for now may be answered, as far as they differ in price."""
    edges: list[int] = []
    for rated in levels:
        calendar = None if rated.rate.terms is None else calendar_of(rated.rate, rated.tariff)
        if calendar is not None:
            edges += [moment for moment, _ in calendar.edges(at_us, at_us + RINGING_US)]
    return tuple(sorted({at_us, *edges})) if edges else (at_us,)


def with_mark_ups(levels: Sequence[tuple[Tariff, Rate]]) -> list[tuple[Tariff, Rate]]:
    """The levels of a chain, the caller's first, each rate made from the one above if it is a mark-up."""
    made: list[tuple[Tariff, Rate]] = []
    for tariff, rate in reversed(levels):
        own = rate
        if tariff.mark_up is not None and made:
            above, above_rate = made[-1]
            own = marked_up(above_rate, tariff.mark_up, above)
        made.append((tariff, own))
    return made[::-1]
