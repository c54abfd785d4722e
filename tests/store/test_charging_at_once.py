"""Two engines at once on one bundle, one spending limit, one simultaneous limit; and batches of anything."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import (
    Adjust,
    Answer,
    Authorize,
    Command,
    DenialReason,
    Denied,
    Direction,
    Expire,
    Extend,
    Granted,
    Settle,
    SettleOffline,
    Void,
)
from pbxbill.ids import new_id
from pbxbill.store.bundles import NewBundle
from pbxbill.store.limits import NewLimit
from tests.small_operator import eur, minutes
from tests.store.billed_accounts import CLOCK, GERMANY, BilledAccounts
from tests.store.every_term import open_every_term
from tests.store.offers_written import DAY_US, at_once, counter, ended, give, limit, two_engines


@pytest.fixture
def accounts(accounts: BilledAccounts) -> BilledAccounts:
    """alice, below a reseller, has 50 EUR."""
    accounts.top_up("alice", "50")
    return accounts


def test_two_engines_give_away_no_piece_of_a_bundle_twice(accounts: BilledAccounts) -> None:
    give(accounts, "reseller", NewBundle("shared", "seconds", 200, shared=True))
    granted: list[Granted] = []

    def call(engine: ChargingEngine, number: int) -> None:
        for _ in range(2):
            outcome = engine.execute(accounts.request("alice"))
            assert isinstance(outcome, Granted)
            granted.append(outcome)

    with two_engines(accounts) as engines:
        at_once(engines, call)
        assert counter(accounts, "bundle") == [(200, 0, 200)]
        assert accounts.problems() == []

        def finish(engine: ChargingEngine, number: int) -> None:
            for each in granted[number::6]:
                ended(engine, each, CLOCK.now_us(), 30)

        at_once(engines, finish)
    ((allowed, used, reserved),) = counter(accounts, "bundle")
    assert (allowed, reserved) == (200, 0)
    assert used <= 200
    assert accounts.problems() == []


def test_two_engines_exceed_no_spending_limit(accounts: BilledAccounts) -> None:
    limit(accounts, "alice", NewLimit("spend", eur("0.50"), "EUR", "month"))
    denied: list[DenialReason] = []

    def call(engine: ChargingEngine, number: int) -> None:
        outcome = engine.execute(accounts.request("alice"))
        if isinstance(outcome, Denied):
            denied.append(outcome.reason)
            return
        assert isinstance(outcome, Granted)
        engine.execute(Extend(outcome.session_id, minutes(3), CLOCK.now_us()))

    with two_engines(accounts) as engines:
        at_once(engines, call, threads=8)
    assert set(denied) == {DenialReason.SPENDING_LIMIT}
    ((_, used, reserved),) = counter(accounts, "spend")
    assert used == 0
    assert eur("0.49") < reserved <= eur("0.50")
    assert accounts.problems() == []


def test_two_engines_let_no_call_too_many_through(accounts: BilledAccounts) -> None:
    limit(accounts, "reseller", NewLimit("simultaneous_calls", 3))
    granted: list[Granted] = []

    def call(engine: ChargingEngine, number: int) -> None:
        for _ in range(2):
            outcome = engine.execute(accounts.request("alice"))
            if isinstance(outcome, Granted):
                granted.append(outcome)

    with two_engines(accounts) as engines:
        at_once(engines, call)
        assert len(granted) == 3
        engines[0].execute(Void(granted[0].session_id, CLOCK.now_us(), 17))
        assert isinstance(engines[1].execute(accounts.request("alice")), Granted)
        assert isinstance(engines[0].execute(accounts.request("alice")), Denied)
    assert accounts.problems() == []


def test_any_commands_on_two_engines_leave_everything_sound(database_url: str) -> None:
    accounts = open_every_term(database_url)
    give(
        accounts, "reseller", NewBundle("shared", "seconds", 700, shared=True, priority=-1, rollover_cycles=1)
    )
    limit(accounts, "reseller", NewLimit("simultaneous_calls", 12))
    limit(accounts, "dave", NewLimit("short_calls", 3, window_s=60, shorter_s=5))
    begun_us = CLOCK.now_us()

    def calls(engine: ChargingEngine, number: int) -> None:
        chance = Random(number)
        for _ in range(12):
            code = chance.choice(("alice", "alice", "dave", "vera"))
            request = accounts.request(code)
            if isinstance(engine.execute(request), Denied):
                continue
            for command in _some_commands(request, chance):
                engine.execute(command)

    with two_engines(accounts) as engines:
        at_once(engines, calls)
        assert accounts.problems() == []
        for (session_id,) in accounts.select("SELECT session_id FROM reservations WHERE state = 'answered'"):
            engines[0].execute(Expire(session_id, begun_us))
    assert accounts.problems() == []
    assert accounts.select("SELECT COUNT(*) FROM call_charges")[0][0] > 50


def _some_commands(request: Authorize, chance: Random) -> Iterator[Command]:
    id, at_us = request.session_id, request.at_us
    lasts_us = chance.randrange(200 * 1_000_000)
    yield Answer(id, at_us, "leg", "gw")
    for until in range(2, 2 + lasts_us // minutes(1)):
        yield Extend(id, minutes(until), at_us)
    match chance.randrange(6):
        case 0:
            yield Void(id, at_us, 17)
        case 1:
            yield Expire(id, at_us, at_us + lasts_us)
        case 2:
            pass  # it goes on
        case _:
            yield Settle(id, at_us, at_us + lasts_us, 16)
    if chance.random() < 0.2:
        passed = Authorize(new_id(), "s1", "x", Direction.OUTBOUND, GERMANY, "", at_us, request.account_code)
        yield SettleOffline(passed, at_us, at_us + lasts_us, 16)


@pytest.mark.parametrize("seed", range(3))
def test_batches_of_any_commands_leave_everything_sound(database_url: str, seed: int) -> None:
    accounts = open_every_term(database_url)
    chance, now_us = Random(seed), CLOCK.now_us()
    since_us = now_us - 3 * DAY_US
    give(accounts, "reseller", NewBundle("shared", "seconds", 700, shared=True, cycle="day"), since_us)
    give(accounts, "dave", NewBundle("calls", "calls", 3, cycle="day", fee_owed=True), since_us)
    limit(accounts, "reseller", NewLimit("simultaneous_calls", 12))
    limit(accounts, "reseller", NewLimit("spend", eur("6"), "EUR", "hour"))
    limit(accounts, "dave", NewLimit("short_calls", 3, window_s=60, shorter_s=5))
    limit(accounts, "vera", NewLimit("call_cost", eur("0.1"), "EUR"))
    limit(accounts, "vera", NewLimit("call_rate", 5))
    told = _mixed([list(_any_call(accounts, chance, now_us)) for _ in range(60)], chance)
    with two_engines(accounts) as engines:
        while told:
            size = chance.randrange(1, 60)
            batch, told = told[:size], told[size:]
            # A few at once may meet in two engines; more of them in one are decided in one transaction.
            engine = chance.choice(engines)
            for future in [engine.submit(command) for command in batch]:
                future.result(20)
            assert accounts.problems() == []
        open_calls = "SELECT session_id FROM reservations WHERE state IN ('reserved', 'answered')"
        for (session_id,) in accounts.select(open_calls):
            engines[0].execute(Expire(session_id, now_us))
    assert accounts.problems() == []


def _any_call(accounts: BilledAccounts, chance: Random, now_us: int) -> Iterator[Command]:
    """A call of some time today or yesterday, perhaps watched, perhaps for help, perhaps with money moved."""
    code = chance.choice(("alice", "alice", "dave", "vera"))
    ago_us = chance.randrange(20 * 3_600_000_000) if chance.random() < 0.3 else chance.randrange(10_000_000)
    number = "112" if chance.random() < 0.05 else GERMANY
    watched = chance.random() < 0.1
    request = replace(accounts.request(code, number), at_us=now_us - ago_us, shadow=watched)
    yield request
    yield from _some_commands(request, chance)
    if chance.random() < 0.2:
        amount = chance.randrange(-400_000, 900_000) or 1
        yield Adjust(new_id(), accounts.ids["alice"], chance.choice(("USD", "EUR")), amount, now_us)


def _mixed(streams: list[list[Command]], chance: Random) -> list[Command]:
    """All commands, each call's own in their order."""
    told: list[Command] = []
    while streams:
        chosen = chance.choice(streams)
        told.append(chosen.pop(0))
        if not chosen:
            streams.remove(chosen)
    return told
