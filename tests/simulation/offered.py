"""A random operator for one run of the site: some of everything that can be offered, and moments to try.

The moments are those at which something ends: a band, a day, a month, an hour that comes twice or never.
"""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo

from pbxbill.charging.events import FailurePolicy
from pbxbill.charging.limits import LimitKind
from pbxbill.charging.state import ChargedAccount
from pbxbill.clock import SECOND_US
from pbxbill.rating.band_checks import checked
from pbxbill.rating.bands import BandCalendar, BandRule
from pbxbill.rating.bundle import Measure
from pbxbill.rating.tariff import CycleStepKind, CycleSteps, MarkUp, Step, TaxMode
from tests.small_operator import BTC, EUR, USD, YEN, SmallOperator, eur, price

ZONE = "Europe/Berlin"
EDGES = (
    "2026-03-29T01:00",  # the clock goes from 2 to 3
    "2026-10-25T00:00",  # the hour that comes twice begins
    "2026-10-25T01:00",  # and comes again
    "2026-03-31T22:00",  # a month ends
    "2026-06-17T22:00",  # a day does
    "2026-06-17T16:00",
)
EDGE_WITHIN_S = 500
BANDS = ("dear", "cheap", "odd")
DAY_S = 86_400


def a_moment(chance: Random) -> int:
    """When the run begins, some minutes before something ends."""
    edge = datetime.fromisoformat(chance.choice(EDGES)).replace(tzinfo=UTC)
    return int(edge.timestamp()) * SECOND_US - chance.randrange(EDGE_WITHIN_S) * SECOND_US


def calendar(chance: Random, now_us: int) -> BandCalendar:
    """Short bands one after the other around the run, with gaps where the rate's own price holds."""
    local = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now_us)
    local = local.astimezone(ZoneInfo(ZONE))
    begin_s = local.hour * 3600 + local.minute * 60 + local.second
    cuts = sorted({(begin_s + chance.randrange(1200)) % DAY_S for _ in range(chance.randrange(2, 7))})
    rules = [
        BandRule(chance.choice(BANDS), from_s=from_s, to_s=to_s)
        for from_s, to_s in pairwise(cuts)
        if chance.random() < 0.8
    ]
    rules.append(BandRule("dear", from_s=12 * 3600, to_s=0, priority=-1))
    return checked(BandCalendar(1, "test", ZONE, tuple(rules)))


class Offered:
    """Sets up the operator of one run."""

    def __init__(self, operator: SmallOperator, chance: Random) -> None:
        self.operator = operator
        self.chance = chance

    def some(self, likely: float = 0.5) -> bool:
        return self.chance.random() < likely

    def table(self, factor: int) -> str:
        """Rates with what this run has of terms; factor: the price in hundredths."""
        chance = self.chance
        lines = []
        for prefix, increments in (("49", "1/1"), ("33", "60/60"), ("1", "30/6"), ("7700", "60/60")):
            dear = factor * (10 if prefix == "7700" else chance.choice((1, 3, 5)))
            line = (
                f"{prefix} name{prefix} 0.{dear:02}" if dear < 100 else f"{prefix} name{prefix} {dear / 100}"
            )
            fee, minimum = chance.choice(("0", "0", "0.05")), chance.choice(("0", "0", "0.11"))
            line += f" fee {fee} min {minimum} {increments}"
            if self.some(0.2):
                line += " free 7"
            if self.some(0.3):
                line += f" step {chance.randrange(1, 200)} 0.{chance.randrange(1, 60):02}"
            for band in BANDS if self.some() else ():
                fee = chance.choice(("0", "0", "0.07"))
                each, by = chance.randrange(1, 90), chance.choice(("1/1", "60/60", "30/6"))
                line += f" band {band} 0.{each:02} {fee} {by}"
            if self.some(0.2):
                line += f" max 0.{chance.randrange(20, 90)}" + chance.choice(("", " ends"))
            lines.append(line)
        return "\n".join([*lines, "800 Freephone 0 fee 0 min 0 1/1"])

    def cycle_steps(self) -> CycleSteps | None:
        if not self.some(0.3):
            return None
        kind = self.chance.choice(list(CycleStepKind))
        widths = sorted({self.chance.randrange(1, 900) for _ in range(self.chance.randrange(3))})
        prices = sorted((self.chance.randrange(0, 60) for _ in range(len(widths) + 1)), reverse=True)
        if kind is CycleStepKind.GRADUATED:
            self.chance.shuffle(prices)
        steps = [
            Step(from_s, price(f"0.{each:02}")) for from_s, each in zip((0, *widths), prices, strict=True)
        ]
        return CycleSteps(kind, self.chance.choice(("day", "month")), ZONE, tuple(steps))

    def tariff(self, factor: int, *, may_mark_up: bool) -> int:
        chance = self.chance
        mode = chance.choice(list(TaxMode))
        calendar_ = calendar(chance, self.operator.now_us) if self.some(0.6) else None
        mark_up = None
        if may_mark_up and self.some(0.3):
            mark_up = MarkUp(
                chance.choice((0, 200_000, 333_333)), price(chance.choice(("0", "0.01"))), 10_000
            )
        return self.operator.tariff(
            "" if mark_up is not None else self.table(factor),
            mode,
            0 if mode is TaxMode.NONE else 190_000,
            slice_s=chance.choice((30, 60)),
            max_call_s=chance.choice((200, 14_400)),
            calendar=calendar_,
            mark_up=mark_up,
            cycle_steps=self.cycle_steps(),
        )

    def accounts(self) -> list[ChargedAccount]:
        """Customers below two resellers, one account by itself, one that is open, one that is watched."""
        operator, chance = self.operator, self.chance
        for to_unit, rate in ((USD, "1.10"), (BTC, "0.000013"), (YEN, "163.7")):
            operator.exchange(EUR, to_unit, rate)
        wholesale, middle, retail = (
            self.tariff(2, may_mark_up=False),
            self.tariff(5, may_mark_up=True),
            self.tariff(9, may_mark_up=True),
        )
        single = self.tariff(9, may_mark_up=False)
        poor = str(chance.choice(("0.30", "0.777777", "2", "5")))
        carrier = operator.account(
            "carrier", tariff=wholesale, funds=poor, limit="1", wallet_order=self.order()
        )
        reseller = operator.account("reseller", tariff=middle, funds=poor, limit="1", below=carrier)
        accounts = [
            operator.account("prepaid", tariff=single, funds=poor, wallet_order=self.order()),
            operator.account("customer", tariff=retail, funds="2", below=reseller, wallet_order=self.order()),
            operator.account("other", tariff=retail, funds="0.50", limit="1", below=reseller),
            operator.account("open", tariff=single, limit="1", policy=FailurePolicy.OPEN, allowance="0.70"),
            reseller,
        ]
        if self.some(0.2):
            accounts.append(operator.account("watched", tariff=single, funds="0.20", shadow=True))
        for account in [carrier, *accounts]:
            for unit in (USD, BTC, YEN) if account.wallet_order else ():
                if self.some():
                    funds = {"USD": "0.40", "BTC": "0.00000700", "JPY": "31"}[unit.code]
                    operator.open_wallet(account, unit, funds=funds)
        for account in [carrier, *accounts]:
            if self.some(0.3):
                self.give(account)
            if self.some(0.2):
                self.limit(account)
        return accounts

    def order(self) -> str | None:
        """Which wallets pay."""
        return self.chance.choice(("USD,EUR", "JPY,BTC,EUR", "EUR,USD")) if self.some(0.3) else None

    def give(self, account: ChargedAccount) -> None:
        """Some included seconds or calls, perhaps since long ago."""
        chance = self.chance
        bundle = self.operator.bundle(
            chance.choice((1, 45, 100, 600)),
            chance.choice((Measure.SECONDS, Measure.SECONDS, Measure.CALLS)),
            destinations=chance.choice(((), (), ("49", "33"))),
            cycle=chance.choice(("day", "month")),
            zone=ZONE,
            shared=self.some(),
            rollover_cycles=chance.choice((0, 0, 1, 2)),
            priority=chance.randrange(3),
            initial_increment_s=chance.choice((1, 1, 60)),
            following_increment_s=chance.choice((1, 1, 30)),
            fee_owed=self.some(0.3),
        )
        ago_us = chance.choice((0, 0, 40)) * DAY_S * SECOND_US
        self.operator.give(account, bundle, self.operator.now_us - ago_us)

    def limit(self, account: ChargedAccount) -> None:
        """Any kind of limit."""
        chance, limit = self.chance, self.operator.limit
        match chance.randrange(7):
            case 0 | 1:
                limit(account, LimitKind.SIMULTANEOUS_CALLS, chance.randrange(4), at_endpoint=self.some(0.2))
            case 2 | 3:
                window, value = chance.choice(("hour", "day", "month")), chance.randrange(1, eur("2"))
                limit(account, LimitKind.SPEND, value, unit="EUR", window=window, zone=ZONE)
            case 4:
                limit(account, LimitKind.CALL_COST, chance.randrange(1, eur("1")), unit="EUR")
            case 5:
                limit(account, LimitKind.CALL_LENGTH, chance.randrange(1, 300))
            case _:
                limit(account, LimitKind.CALL_RATE, chance.randrange(1, 3), window_s=30)
                limit(account, LimitKind.SHORT_CALLS, 2, window_s=120, shorter_s=20, suspends=self.some())

    def change(self, account: ChargedAccount) -> None:
        """Give or take a bundle, set or remove a limit, suspend the account or not any more."""
        chance, operator = self.chance, self.operator
        given = [held for held in operator.state.bundles.get(account.id, ()) if held.held_at(operator.now_us)]
        limits = operator.state.limits.get(account.id, [])
        match chance.randrange(5):
            case 0:
                self.give(account)
            case 1:
                self.limit(account)
            case 2 if given:
                operator.take(chance.choice(given))
            case 3 if limits:
                operator.unlimit(chance.choice(limits))
            case 4:
                operator.suspend(account, chance.choice(("active", "suspended")))
            case _:
                pass
