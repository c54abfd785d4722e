"""Bundles, steps, limits and wallets on databases: restarts, changes in the middle of calls, windows."""

from dataclasses import replace

import pytest

from pbxbill.charging.events import (
    Adjust,
    Answer,
    Authorize,
    Command,
    Denied,
    Direction,
    Extend,
    Extended,
    Granted,
    Moved,
    Settle,
    Settled,
    TopUp,
    Void,
)
from pbxbill.clock import ManualClock
from pbxbill.ids import new_id
from pbxbill.rating.tariff import CycleStepKind, CycleSteps, Step
from pbxbill.store.accounts import account_by_code, add_endpoint
from pbxbill.store.bundles import NewBundle, bundle_by_name, take_bundle
from pbxbill.store.limits import NewLimit, remove_limit
from pbxbill.store.tariffs import NewTariff, add_tariff_version
from tests.small_operator import eur, minutes, seconds
from tests.store.billed_accounts import CLOCK, FRANCE, GERMANY, BilledAccounts, open_accounts
from tests.store.every_term import open_every_term, price
from tests.store.offers_written import DAY_US, counter, ended, engine_of, give, limit, written


@pytest.fixture
def accounts(accounts: BilledAccounts) -> BilledAccounts:
    """alice, below a reseller, has 50 EUR."""
    accounts.top_up("alice", "50")
    return accounts


# --- restarts -------------------------------------------------------------------------------------


def test_a_call_goes_on_by_its_rows_alone(database_url: str) -> None:
    """Each command meets an engine that has never heard of the call."""
    accounts = open_every_term(database_url)
    give(accounts, "reseller", NewBundle("shared", "seconds", 50, shared=True))
    begun_us = CLOCK.now_us()
    for code in ("alice", "dave", "vera"):
        request = accounts.request(code)
        id = request.session_id
        commands: list[Command] = [
            request,
            Answer(id, begun_us, "leg", "gw"),
            Extend(id, minutes(3), begun_us),
            Settle(id, begun_us, begun_us + seconds(170), 16),
        ]
        outcomes = []
        for command in commands:
            with accounts.engine() as engine:
                outcomes.append(engine.execute(command))
            assert accounts.problems() == []
        outcome = outcomes[-1]
        assert isinstance(outcome, Settled)
        assert outcome.uncollected == 0
    assert sorted(counter(accounts, "bundle")) == [(50, 50, 0), (100, 100, 0)]
    levels = accounts.select("SELECT level, line FROM call_charges ORDER BY session_id, level, line")
    assert len(levels) == 5
    assert accounts.select("SELECT gateway, billable_s FROM call_costs") == [("gw", 170)] * 3


# --- changes in the middle ------------------------------------------------------------------------


def test_a_bundle_that_is_given_in_a_call_serves_the_next(accounts: BilledAccounts) -> None:
    with accounts.engine() as engine:
        before = accounts.call(engine, "alice")
        begun_us = CLOCK.now_us()
        give(accounts, "alice", NewBundle("gift", "seconds", 600), CLOCK.now_us())
        with accounts.engine() as other:
            after = accounts.call(other, "alice")
        engine.execute(Extend(before.session_id, minutes(2), begun_us))
        assert ended(engine, before, begun_us, 120).total == eur("0.2856")
        assert ended(engine, after, CLOCK.now_us(), 60).total == 0
    assert counter(accounts, "bundle") == [(600, 60, 0)]
    assert accounts.problems() == []


def test_a_bundle_that_is_taken_in_a_call_serves_it_to_the_end(accounts: BilledAccounts) -> None:
    give(accounts, "alice", NewBundle("gift", "seconds", 600))
    with accounts.engine() as engine:
        before = accounts.call(engine, "alice")
        begun_us = CLOCK.now_us()
        with written(accounts) as session:
            account, bundle = account_by_code(session, "alice"), bundle_by_name(session, "gift")
            take_bundle(session, account, bundle, CLOCK.now_us())
        with accounts.engine() as other:
            after = accounts.call(other, "alice")
            other.execute(Extend(before.session_id, minutes(2), begun_us))
            assert ended(other, after, CLOCK.now_us(), 60).total == eur("0.1428")
        assert ended(engine, before, begun_us, 120).total == 0
    assert accounts.problems() == []


def test_a_limit_that_is_set_in_a_call_ends_what_it_may_still_cost(accounts: BilledAccounts) -> None:
    with accounts.engine() as engine:
        granted = accounts.call(engine, "alice")
        begun_us = CLOCK.now_us()
        limit(accounts, "alice", NewLimit("spend", eur("0.20"), "EUR", "month"))
        with accounts.engine() as other:
            extended = other.execute(Extend(granted.session_id, minutes(2), begun_us))
            assert isinstance(extended, Extended)
            assert (extended.granted_us, extended.final) == (seconds(84), True)
            assert isinstance(other.execute(accounts.request("alice")), Denied)
        assert ended(engine, granted, begun_us, 84).total == eur("0.19992")
    assert counter(accounts, "spend") == [(0, eur("0.19992"), 0)]
    assert accounts.problems() == []


@pytest.mark.parametrize("others", [False, True])
def test_a_limit_that_is_removed_in_a_call_lets_it_go_on(accounts: BilledAccounts, others: bool) -> None:
    limit_id = limit(accounts, "alice", NewLimit("spend", eur("0.20"), "EUR", "month"))
    if others:
        limit(accounts, "bob", NewLimit("call_length", 1))
    with accounts.engine() as engine:
        granted = accounts.call(engine, "alice")
        begun_us = CLOCK.now_us()
        with written(accounts) as session:
            remove_limit(session, account_by_code(session, "alice"), limit_id)
        with accounts.engine() as other:
            for until in (2, 3):
                extended = other.execute(Extend(granted.session_id, minutes(until), begun_us))
                assert isinstance(extended, Extended)
                assert extended.granted_us == minutes(until)
            assert ended(other, granted, begun_us, 180).total == eur("0.4284")
    assert accounts.problems() == []


def test_an_engine_whose_catalogue_is_a_moment_old_settles_what_another_granted(database_url: str) -> None:
    """Its clock stands still, so that it never looks for news by itself."""
    accounts = open_accounts(database_url)
    with engine_of(accounts, ManualClock(CLOCK.now_us())) as old:
        old.execute(TopUp("money", accounts.ids["alice"], "EUR", eur("5"), CLOCK.now_us()))
        give(accounts, "alice", NewBundle("gift", "seconds", 100))
        limit(accounts, "alice", NewLimit("spend", eur("1"), "EUR", "month"))
        with accounts.engine() as new:
            granted = accounts.call(new, "alice")
            begun_us = CLOCK.now_us()
        old.execute(Answer(granted.session_id, begun_us, "leg"))
        old.execute(Extend(granted.session_id, minutes(2), begun_us))
        assert ended(old, granted, begun_us, 120).total == eur("0.0476")
    assert counter(accounts, "bundle") == [(100, 100, 0)]
    assert accounts.problems() == []


# --- who pays -------------------------------------------------------------------------------------


def test_a_call_that_only_the_reseller_pays_for_counts_for_him_after_a_restart(
    accounts: BilledAccounts,
) -> None:
    give(accounts, "reseller", NewBundle("inbound", "seconds", 90))
    limit(accounts, "reseller", NewLimit("simultaneous_calls", 1))
    limit(accounts, "alice", NewLimit("short_calls", 2, window_s=600, shorter_s=200))
    with written(accounts) as session:
        reseller = account_by_code(session, "reseller")
        reseller.inbound_tariff_id = reseller.tariff_id
        add_endpoint(session, account_by_code(session, "alice"), "did", "4930111")
    now_us = CLOCK.now_us()
    request = Authorize(new_id(), "s1", "in", Direction.INBOUND, "4930111", "33123", now_us, did="4930111")
    with accounts.engine() as engine:
        granted = engine.execute(request)
        assert isinstance(granted, Granted)
    with accounts.engine() as engine:
        engine.execute(Answer(granted.session_id, now_us, "leg"))
        engine.execute(Extend(granted.session_id, minutes(2), now_us))
        help_ = engine.execute(accounts.request("alice", "112"))
        assert isinstance(help_, Granted)
    with accounts.engine() as engine:
        futures = [
            engine.submit(Settle(session_id, now_us, now_us + seconds(120), 16))
            for session_id in (granted.session_id, help_.session_id)
        ]
        assert all(isinstance(future.result(10), Settled) for future in futures)
        after = accounts.call(engine, "alice")
        ended(engine, after, now_us, 10)
    assert accounts.wallet("reseller") == (-eur("0.03") - eur("0.01"), 0, 0)
    assert counter(accounts, "bundle") == [(90, 90, 0)]
    assert accounts.problems() == []


def test_what_is_withdrawn_from_one_wallet_another_reserves_instead(database_url: str) -> None:
    accounts = open_every_term(database_url)
    with accounts.engine() as engine:
        engine.execute(TopUp("dollars", accounts.ids["alice"], "USD", eur("2"), CLOCK.now_us()))
        granted = accounts.call(engine, "alice")
        begun_us = CLOCK.now_us()
        engine.execute(Answer(granted.session_id, begun_us, "leg"))
        engine.execute(Extend(granted.session_id, minutes(10), begun_us))
        assert accounts.select("SELECT reserved > 0 FROM wallets WHERE unit = 'USD'")[0][0]
        moved = engine.execute(Adjust("back", accounts.ids["alice"], "USD", -eur("2"), CLOCK.now_us()))
        assert isinstance(moved, Moved), moved
        assert accounts.problems() == []
        ended(engine, granted, begun_us, 600)
    assert accounts.problems() == []


# --- windows --------------------------------------------------------------------------------------


def test_unused_pieces_roll_over_into_the_next_day_and_not_into_the_one_after(
    accounts: BilledAccounts,
) -> None:
    day_us = CLOCK.now_us() // DAY_US * DAY_US
    give(accounts, "alice", NewBundle("daily", "seconds", 100, cycle="day", rollover_cycles=1), day_us)
    with accounts.engine() as engine:

        def call(day: int, second: int) -> tuple[Granted, int]:
            request = accounts.request("alice")
            at_us = day_us + day * DAY_US + seconds(second)
            moved = Authorize(request.session_id, "s1", "c", Direction.OUTBOUND, GERMANY, "", at_us, "alice")
            granted = engine.execute(moved)
            assert isinstance(granted, Granted)
            return granted, at_us

        early, early_us = call(0, 100)
        ended(engine, early, early_us, 40)
        late, late_us = call(0, 86_390)
        over, over_us = call(1, 5)
        assert counter(accounts, "bundle") == [(100, 40, 60), (100, 0, 60)]
        ended(engine, late, late_us, 30)
        ended(engine, over, over_us, 60)
        third, third_us = call(2, 5)
        assert counter(accounts, "bundle") == [(100, 70, 0), (100, 60, 0), (140, 0, 60)]
        engine.execute(Extend(third.session_id, minutes(3), third_us))
        assert ended(engine, third, third_us, 150).total == eur("0.0238")
    assert accounts.problems() == []


@pytest.mark.parametrize("kind", list(CycleStepKind))
def test_a_call_ends_by_the_steps_it_began_with(database_url: str, kind: CycleStepKind) -> None:
    accounts = open_every_term(database_url)
    code = "dave" if kind is CycleStepKind.GRADUATED else "vera"
    with accounts.engine() as engine:
        begun_us = CLOCK.now_us()
        first, second = accounts.call(engine, code, GERMANY), accounts.call(engine, code, GERMANY)
        for granted in (first, second):
            engine.execute(Extend(granted.session_id, minutes(2), begun_us))
        ended(engine, first, begun_us, 125)
        assert accounts.problems() == []
        with written(accounts) as session:
            account = account_by_code(session, code)
            account.tariff_id = account_by_code(session, "reseller").tariff_id
    with accounts.engine() as engine:
        engine.execute(Extend(second.session_id, minutes(3), begun_us))
        ended(engine, second, begun_us, 105)
    # 120 and 100 billed seconds: 100 at 0.12 a minute and 120 at 0.06, or all of them at 0.06.
    posted = "0.32" if kind is CycleStepKind.GRADUATED else "0.22"
    assert accounts.select(f"SELECT posted FROM wallets WHERE account_id = {accounts.ids[code]}") == [
        (-eur(posted),)
    ]
    assert accounts.problems() == []


def at_the_first(accounts: BilledAccounts, code: str) -> Authorize:
    """A call on the first day of a month, in whose first moment a day begins too."""
    return replace(accounts.request(code), at_us=1_793_491_200_000_000 + seconds(3600))


def test_a_cycle_that_becomes_shorter_on_its_first_day_counts_anew(database_url: str) -> None:
    accounts = open_every_term(database_url)
    for cycle in ("day", "week", "month"):
        with accounts.engine() as engine:
            request = at_the_first(accounts, "dave")
            granted = engine.execute(request)
            assert isinstance(granted, Granted)
            ended(engine, granted, request.at_us, 65)
            with written(accounts) as session:
                steps = CycleSteps(CycleStepKind.GRADUATED, cycle, "UTC", (Step(0, price("0.30")),))
                add_tariff_version(session, NewTariff("graduated", "flat", cycle_steps=steps), 0)
    assert accounts.problems() == []


def test_a_new_limit_does_not_go_on_with_the_sum_of_a_removed_one(accounts: BilledAccounts) -> None:
    with accounts.engine() as engine:
        request = at_the_first(accounts, "alice")
        month_id = limit(accounts, "alice", NewLimit("spend", eur("1"), "EUR", "month"))
        with accounts.engine() as other:
            granted = other.execute(request)
            assert isinstance(granted, Granted)
        ended(engine, granted, request.at_us, 60)
        with written(accounts) as session:
            remove_limit(session, account_by_code(session, "alice"), month_id)
        assert limit(accounts, "alice", NewLimit("spend", eur("0.15"), "EUR", "day")) > month_id
    with accounts.engine() as engine:
        again = at_the_first(accounts, "alice")
        assert isinstance(engine.execute(again), Granted)
        engine.execute(Void(again.session_id, again.at_us, 17))
    assert accounts.problems() == []


def test_france_is_none_of_germanys_bundle(accounts: BilledAccounts) -> None:
    give(accounts, "alice", NewBundle("Germany", "seconds", 600, destinations=("49",)))
    with accounts.engine() as engine:
        paid, free = accounts.call(engine, "alice", FRANCE), accounts.call(engine, "alice", GERMANY)
        assert ended(engine, paid, CLOCK.now_us(), 60).total == eur("0.4165")
        assert ended(engine, free, CLOCK.now_us(), 60).total == 0
    assert accounts.problems() == []
