"""The charging engine on a real database: durable, idempotent, and unimpressed by what it is fed."""

import threading
from concurrent.futures import Future

import pytest

from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import (
    Adjust,
    Answer,
    Authorize,
    Closed,
    Command,
    DenialReason,
    Denied,
    Direction,
    Expire,
    Extend,
    Extended,
    Granted,
    Moved,
    Outcome,
    SetCreditLimit,
    Settle,
    Settled,
    SettleOffline,
    TopUp,
    UnknownSession,
    Void,
    Voided,
)
from pbxbill.errors import DuplicateKey, EngineBusy, InvariantBroken
from pbxbill.ids import new_id
from pbxbill.store.decks import add_deck_version
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine, transaction
from tests.small_operator import eur, seconds
from tests.store.billed_accounts import (
    CLOCK,
    FRANCE,
    GERMANY,
    MINUTE_US,
    BilledAccounts,
    open_accounts,
    rate,
)


def top_up(
    engine: ChargingEngine, accounts: BilledAccounts, code: str, amount: str, key: str = ""
) -> Outcome:
    command = TopUp(key or new_id(), accounts.ids[code], "EUR", eur(amount), CLOCK.now_us())
    return engine.execute(command)


def test_a_call_from_request_to_record(accounts: BilledAccounts) -> None:
    with accounts.engine() as engine:
        top_up(engine, accounts, "alice", "1")
        granted = accounts.call(engine, "alice")
        assert (granted.granted_us, granted.destination) == (MINUTE_US, "Germany")
        assert accounts.wallet("alice") == (eur("1"), eur("0.1428"), 0)
        answered_us = CLOCK.now_us()
        engine.execute(Answer(granted.session_id, answered_us, "leg"))
        extended = engine.execute(Extend(granted.session_id, 2 * MINUTE_US, answered_us))
        assert isinstance(extended, Extended)
        assert extended.granted_us == 2 * MINUTE_US
        settled = engine.execute(Settle(granted.session_id, answered_us, answered_us + seconds(90), 16))
    assert isinstance(settled, Settled)
    assert (settled.total, settled.uncollected) == (eur("0.2142"), 0)
    assert settled.available == eur("1") - settled.total
    assert accounts.wallet("alice") == (settled.available, 0, 0)
    assert accounts.wallet("reseller") == (-eur("0.09"), 0, 0)
    ((billed_us, evidence),) = accounts.select("SELECT billed_us, evidence FROM cdrs")
    assert (billed_us, evidence) == (seconds(90), "event")
    assert accounts.problems() == []


def test_everything_may_be_sent_twice_even_to_another_engine(accounts: BilledAccounts) -> None:
    now_us = CLOCK.now_us()
    talk, ring, denied = (accounts.request("alice") for _ in range(3))
    story: list[Command] = [
        TopUp("payment", accounts.ids["alice"], "EUR", eur("5"), now_us),
        Adjust("goodwill", accounts.ids["alice"], "EUR", eur("-1"), now_us),
        SetCreditLimit(accounts.ids["alice"], "EUR", eur("2"), now_us),
        talk,
        ring,
        accounts.request("alice", "999", denied.session_id),
        Answer(talk.session_id, now_us, "leg"),
        Extend(talk.session_id, 5 * MINUTE_US, now_us),
        Settle(talk.session_id, now_us, now_us + 3 * MINUTE_US, 16),
        Void(ring.session_id, now_us, 19),
        SettleOffline(accounts.request("carol"), now_us, now_us + MINUTE_US, 16),
    ]
    ending = story[8:]
    with accounts.engine() as engine:
        first = [engine.execute(command) for command in story]
    before = accounts.select("SELECT COUNT(*), SUM(amount * amount) FROM postings")
    with accounts.engine() as engine:
        again = [engine.execute(command) for command in story]
    assert accounts.select("SELECT COUNT(*), SUM(amount * amount) FROM postings") == before
    for earlier, later in zip(first[-len(ending) :], again[-len(ending) :], strict=True):
        assert type(earlier) is type(later)
        if isinstance(earlier, Settled) and isinstance(later, Settled):
            assert (later.total, later.billed_us) == (earlier.total, earlier.billed_us)
    assert isinstance(again[0], Moved)
    assert isinstance(first[0], Moved)
    assert again[0].entry_id == first[0].entry_id
    assert again[5] == first[5]
    assert again[6:8] == [Closed(talk.session_id), Closed(talk.session_id)]
    assert accounts.problems() == []


def test_a_repeated_request_is_answered_though_its_endpoint_is_gone(accounts: BilledAccounts) -> None:
    """Reconciliation takes a call up by asking for it again, with nothing but its session."""
    with accounts.engine() as engine:
        top_up(engine, accounts, "bob", "5")
        request = accounts.request("bob", FRANCE)
        first = engine.execute(request)
        bare = Authorize(request.session_id, "s1", "", Direction.OUTBOUND, "", "", request.at_us)
        again = engine.execute(bare)
    assert isinstance(first, Granted)
    assert isinstance(again, Granted)
    assert (again.granted_us, again.wallet_ids, again.available) == (
        first.granted_us,
        first.wallet_ids,
        first.available,
    )


def test_commands_about_nothing_change_nothing(accounts: BilledAccounts) -> None:
    with accounts.engine() as engine:
        for command in (Answer("f" * 32, 1, "leg"), Extend("f" * 32, 1, 1), Settle("f" * 32, 1, 2, 16)):
            assert engine.execute(command) == UnknownSession("f" * 32)
        assert engine.execute(Expire("f" * 32, 1)) == UnknownSession("f" * 32)


def test_a_key_that_comes_with_another_amount_is_a_fault(accounts: BilledAccounts) -> None:
    with accounts.engine() as engine:
        top_up(engine, accounts, "bob", "5", "key")
        for code, amount in (("bob", "6"), ("hot", "5")):
            with pytest.raises(DuplicateKey):
                top_up(engine, accounts, code, amount, "key")
    assert accounts.wallet("bob")[0] == eur("5")
    assert accounts.wallet("hot")[0] == 0


# --- bad input ----------------------------------------------------------------------------------

HOSTILE = {
    "long": "9" * 5_000,
    "NUL": "20\x0001",
    "newlines": "493012\r\nvariable_x: 1",
    "percent": "4930%0aX",
    "half of a character": "\ud800",
    "quotes": "'; DROP TABLE wallets; --",
    "other digits": "٤٩٣٠",
    "emoji": "☎️" * 60,
    "empty": "",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_whatever_a_caller_sends_is_a_denial_with_a_record(accounts: BilledAccounts, text: str) -> None:
    with accounts.engine() as engine:
        top_up(engine, accounts, "bob", "5")
        for request in (
            Authorize(new_id(), "s1", text, Direction.OUTBOUND, text, text, 1, account_code="bob"),
            Authorize(new_id(), "s1", "c", Direction.OUTBOUND, GERMANY, text, 1, account_code=text),
            Authorize(new_id(), "s1", "c", Direction.OUTBOUND, GERMANY, text, 1, "", text, text),
            Authorize(new_id(), "s1", "c", Direction.INBOUND, GERMANY, text, 1, did=text),
        ):
            outcome = engine.execute(request)
            assert isinstance(outcome, Denied)
            assert outcome.reason in {DenialReason.RATING_FAILED, DenialReason.USER_UNKNOWN}
        granted = accounts.call(engine, "bob")
        engine.execute(Answer(granted.session_id, CLOCK.now_us(), text))
    assert accounts.select("SELECT COUNT(*) FROM cdrs") == [(4,)]
    assert accounts.problems() == []


def test_a_command_that_cannot_be_done_fails_alone(accounts: BilledAccounts) -> None:
    """It shares its transaction with good ones, which must neither fail nor count twice."""
    with accounts.engine() as engine:
        top_up(engine, accounts, "bob", "50")
        good = [accounts.request("bob") for _ in range(20)]
        poison = Answer(good[0].session_id, 2**70, "leg")  # no column holds that moment
        futures: list[Future[Outcome]] = [engine.submit(request) for request in good]
        bad = [engine.submit(poison) for _ in range(2)]
        futures += [engine.submit(request) for request in good]
        assert all(isinstance(future.result(20), Granted) for future in futures)
        for future in bad:
            with pytest.raises(Exception, match=r"(?i)range|large|overflow"):
                future.result(20)
        assert isinstance(engine.execute(Void(good[0].session_id, 1, 16)), Voided)
    assert accounts.select("SELECT COUNT(*) FROM reservations") == [(20,)]
    assert accounts.problems() == []


def test_an_engine_may_start_before_anything_is_set_up(database_url: str) -> None:
    nothing = BilledAccounts(database_url)
    with nothing.engine() as engine:
        outcome = engine.execute(nothing.request("bob"))
        assert isinstance(outcome, Denied)
        assert outcome.reason is DenialReason.USER_UNKNOWN
        accounts = open_accounts(database_url)
        assert isinstance(top_up_when_known(engine, accounts), Moved)
        accounts.call(engine, "bob")


def top_up_when_known(engine: ChargingEngine, accounts: BilledAccounts) -> Outcome:
    """The engine looks a few times a second for what was set up."""
    end_us = CLOCK.monotonic_us() + seconds(5)
    while True:
        try:
            return top_up(engine, accounts, "bob", "5")
        except InvariantBroken:
            if CLOCK.monotonic_us() > end_us:
                raise


# --- the worker ---------------------------------------------------------------------------------


def test_a_listener_that_fails_stops_no_charging(accounts: BilledAccounts) -> None:
    def broken(wallet_ids: frozenset[int]) -> None:
        raise RuntimeError("the listener is broken")

    engine = ChargingEngine(lambda: connect(accounts.url), CLOCK, broken)
    engine.start()
    try:
        for _ in range(2):
            assert isinstance(top_up(engine, accounts, "bob", "1"), Moved)
    finally:
        engine.stop()
    assert accounts.wallet("bob")[0] == eur("2")


def test_a_caller_who_stops_waiting_stops_no_charging(accounts: BilledAccounts) -> None:
    with accounts.engine() as engine:
        futures = [
            engine.submit(TopUp(str(n), accounts.ids["bob"], "EUR", 1, CLOCK.now_us())) for n in range(50)
        ]
        for future in futures:
            future.cancel()
        assert isinstance(top_up(engine, accounts, "bob", "1"), Moved)
    assert accounts.wallet("bob")[0] == eur("1") + 50


def test_what_is_queued_is_done_before_the_engine_stops(accounts: BilledAccounts) -> None:
    with accounts.engine() as engine:
        futures = [
            engine.submit(TopUp(str(n), accounts.ids["bob"], "EUR", 1, CLOCK.now_us())) for n in range(300)
        ]
    assert all(isinstance(future.result(0), Moved) for future in futures)
    late = engine.submit(TopUp("late", accounts.ids["bob"], "EUR", 1, CLOCK.now_us()))
    with pytest.raises(EngineBusy):
        late.result(0)
    assert accounts.wallet("bob")[0] == 300


def test_a_full_queue_takes_no_call_and_every_end_of_one(accounts: BilledAccounts) -> None:
    """Whoever asks can be told at once that it is too much; what has happened has to be charged."""
    engine = ChargingEngine(lambda: connect(accounts.url), CLOCK)  # nothing takes from its queue
    request = accounts.request("bob")
    asked = [engine.submit(request, 60_000) for _ in range(20_000)]
    assert not asked[-1].done()
    with pytest.raises(EngineBusy, match="20000 commands are waiting"):
        engine.submit(request, 60_000).result(0)
    assert engine.waiting == 20_000
    ended = engine.submit(Settle(request.session_id, 1, 2, 16))
    assert not ended.done()
    assert engine.waiting == 20_001
    engine.stop()


def test_a_transaction_holds_at_most_500_commands(accounts: BilledAccounts) -> None:
    """What is locked by a batch waits for all of it."""
    engine = ChargingEngine(lambda: connect(accounts.url), CLOCK)
    futures = [
        engine.submit(TopUp(str(n), accounts.ids["bob"], "EUR", 1, CLOCK.now_us())) for n in range(1200)
    ]
    engine.start()
    try:
        assert all(isinstance(future.result(60), Moved) for future in futures)
    finally:
        engine.stop()
    assert (engine.commands, engine.batches) == (1200, 3)


def test_one_request_told_to_two_engines_at_once_is_one_call(accounts: BilledAccounts) -> None:
    with accounts.engine() as one, accounts.engine() as other:
        top_up(one, accounts, "bob", "50")
        requests = [accounts.request(code, number) for code in ("bob", "nobody") for number in (GERMANY, "1")]
        for _ in range(10):
            start = threading.Barrier(2)
            again = [accounts.request(r.account_code, r.dialled) for r in requests]
            answers: list[list[Outcome]] = [[], []]

            def ask(engine: ChargingEngine, into: list[Outcome], asked: list[Authorize] = again) -> None:
                start.wait()  # noqa: B023 both threads end before the next round
                into += [engine.execute(request) for request in asked]

            threads = [
                threading.Thread(target=ask, args=pair) for pair in zip((one, other), answers, strict=True)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            assert [type(x) for x in answers[0]] == [type(x) for x in answers[1]] == [Granted, *[Denied] * 3]
    assert accounts.select("SELECT COUNT(*) FROM reservations") == [(10,)]
    assert accounts.select("SELECT COUNT(*) FROM cdrs") == [(30,)]
    assert accounts.problems() == []


def test_one_key_used_by_two_engines_at_once_counts_once(accounts: BilledAccounts) -> None:
    """For two accounts, so that no wallet's lock lets one wait for the other."""
    with accounts.engine() as one, accounts.engine() as other:
        for n in range(20):
            futures = [
                engine.submit(TopUp(f"key-{n}", accounts.ids[code], "EUR", 7, CLOCK.now_us()))
                for engine, code in ((one, "bob"), (other, "hot"))
            ]
            faults = [future.exception(30) for future in futures]
            assert sorted(type(fault).__name__ for fault in faults) == ["DuplicateKey", "NoneType"]
    assert accounts.wallet("bob")[0] + accounts.wallet("hot")[0] == 20 * 7


def test_new_prices_count_for_the_next_call(accounts: BilledAccounts) -> None:
    with accounts.engine() as engine:
        top_up(engine, accounts, "bob", "50")
        old = accounts.call(engine, "bob")
        database = open_engine(accounts.url)
        with transaction(database) as session:
            add_deck_version(
                session,
                deck_name="retail",
                unit="EUR",
                rates=[rate("49", "Germany", "0.60")],
                effective_from_us=1,
                source="new.csv",
                now_us=CLOCK.now_us(),
            )
        database.dispose()
        end = CLOCK.monotonic_us() + seconds(5)
        while True:  # within the engine's refresh
            new = accounts.call(engine, "bob")
            if new.affordable_us < old.affordable_us // 2 or CLOCK.monotonic_us() > end:
                break
            engine.execute(Void(new.session_id, CLOCK.now_us(), 16))
        now_us = CLOCK.now_us()
        totals = [engine.execute(Settle(x.session_id, now_us, now_us + MINUTE_US, 16)) for x in (old, new)]
    assert [x.total for x in totals if isinstance(x, Settled)] == [eur("0.12"), eur("0.60")]
    assert accounts.problems() == []


def test_what_an_engine_remembers_is_never_older_than_the_database(accounts: BilledAccounts) -> None:
    """Another connection suspends an account, and another engine spends its money, between two calls."""
    with accounts.engine() as engine, accounts.engine() as other:
        top_up(engine, accounts, "alice", "1")
        accounts.call(engine, "alice")
        spent = other.execute(Adjust(new_id(), accounts.ids["alice"], "EUR", -eur("0.5"), CLOCK.now_us()))
        assert isinstance(spent, Moved)
        assert accounts.call(engine, "alice").available == spent.available
        accounts.select("UPDATE accounts SET status = 'suspended' WHERE code = 'alice' RETURNING id")
        denied = engine.execute(accounts.request("alice"))
    assert isinstance(denied, Denied)
    assert denied.reason is DenialReason.END_USER_SERVICE_DENIED
