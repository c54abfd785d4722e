"""verify finds each kind of damage: rows are changed behind its back, and it must name them."""

import psycopg
import pytest

from pbxbill.charging.events import Answer, Extend, Settle, SettleOffline, TopUp, Void
from pbxbill.charging.verify import Invariant, invariants, verify
from pbxbill.clock import ManualClock
from pbxbill.store.driver import connect
from tests.small_operator import eur, seconds
from tests.store.billed_accounts import CLOCK, FRANCE, MINUTE_US, BilledAccounts, open_accounts

SETTLED = "(SELECT MIN(session_id) FROM cdrs WHERE answered_us IS NOT NULL AND granted_us > 0)"
OPEN = "(SELECT session_id FROM reservations WHERE state = 'answered')"
VOIDED = "(SELECT session_id FROM reservations WHERE state = 'voided')"
DENIED = "(SELECT session_id FROM cdrs WHERE denial IS NOT NULL)"
USAGE = f"(SELECT entry_id FROM call_charges WHERE session_id = {SETTLED} AND level = 0)"
ALICE = "(SELECT w.id FROM wallets w JOIN accounts a ON a.id = w.account_id WHERE a.code = 'alice')"


@pytest.fixture
def busy(database_url: str) -> BilledAccounts:
    """A database with a call in every state."""
    accounts = open_accounts(database_url)
    now_us = CLOCK.now_us()
    with accounts.engine() as engine:
        engine.execute(TopUp("first", accounts.ids["alice"], "EUR", eur("5"), now_us))
        for number in ("493012345", FRANCE):
            settled = accounts.call(engine, "alice", number)
            engine.execute(Settle(settled.session_id, now_us, now_us + seconds(61), 16))
        voided = accounts.call(engine, "alice")
        engine.execute(Void(voided.session_id, now_us, 17))
        engine.execute(accounts.request("alice", "999"))
        engine.execute(SettleOffline(accounts.request("carol"), now_us, now_us + MINUTE_US, 16))
        alive = accounts.call(engine, "alice")
        engine.execute(Answer(alive.session_id, now_us, "leg"))
        engine.execute(Extend(alive.session_id, 2 * MINUTE_US, now_us))
        accounts.call(engine, "bob" if accounts.wallet("bob")[0] else "carol")
    return accounts


def test_a_sound_database_is_sound(busy: BilledAccounts) -> None:
    driver = connect(busy.url)
    proven = verify(driver, CLOCK)
    driver.close()
    assert [x for x in proven if not x.holds] == []
    checked = {x.name: x.checked for x in proven}
    assert len(checked) == len(proven) >= 15
    assert checked["every charge follows from its rate"] == 5
    assert checked["open calls hold what their granted time costs"] == 3


def test_an_empty_database_is_sound(database_url: str) -> None:
    accounts = open_accounts(database_url)
    assert accounts.problems() == []


DAMAGE = {
    "every journal entry balances": [
        f"UPDATE postings SET amount = amount + 1 WHERE entry_id = {USAGE} AND line = 0",
        f"DELETE FROM postings WHERE entry_id = {USAGE}",
    ],
    "every posting is in its entry's unit": [
        f"UPDATE journal_entries SET unit = 'USD' WHERE id = {USAGE}",
    ],
    "every wallet equals its postings": [
        f"UPDATE wallets SET posted = posted + 1 WHERE id = {ALICE}",
        (
            f"UPDATE wallets SET ledger_account_id = (SELECT MAX(id) FROM ledger_accounts "
            f"WHERE code = 'cash') WHERE id = {ALICE}"
        ),
        "UPDATE postings SET amount = -amount",
    ],
    "reserved funds are those of open calls": [
        f"UPDATE wallets SET reserved = reserved - 1 WHERE id = {ALICE}",
        f"UPDATE reservation_levels SET reserved = 5 WHERE session_id = {SETTLED} AND level = 0",
        f"UPDATE reservations SET state = 'voided' WHERE session_id = {OPEN}",
        f"DELETE FROM reservation_levels WHERE session_id = {OPEN}",
    ],
    "no wallet is overspent": [
        f"UPDATE wallets SET posted = -1, reserved = 0, credit_limit = 0 WHERE id = {ALICE}",
        f"UPDATE wallets SET overdraft = 7 WHERE id = {ALICE}",
    ],
    "every ended call has one record, every record its call": [
        f"DELETE FROM cdrs WHERE session_id = {SETTLED}",
        f"DELETE FROM cdrs WHERE session_id = {VOIDED}",
        f"DELETE FROM reservations WHERE session_id = {SETTLED}",
        f"UPDATE cdrs SET answered_us = NULL WHERE session_id = {SETTLED}",
        f"UPDATE cdrs SET answered_us = 5 WHERE session_id = {VOIDED}",
        f"UPDATE cdrs SET granted_us = granted_us + 1 WHERE session_id = {SETTLED}",
        f"UPDATE cdrs SET account_id = account_id + 1 WHERE session_id = {SETTLED}",
        f"UPDATE reservations SET state = 'settled' WHERE session_id = {OPEN}",
        f"UPDATE reservations SET answered_us = NULL WHERE session_id = {OPEN}",
        "UPDATE cdrs SET evidence = 'event' WHERE granted_us = 0 AND answered_us IS NOT NULL",
    ],
    "every settled call was charged at all levels of its chain": [
        f"DELETE FROM call_charges WHERE session_id = {SETTLED} AND level = 1",
        f"DELETE FROM reservation_levels WHERE session_id = {SETTLED} AND level = 1",
        f"UPDATE call_charges SET rate_id = rate_id + 1 WHERE session_id = {SETTLED} AND level = 1",
    ],
    "every charge equals its journal entry": [
        (
            f"UPDATE call_charges SET total = total + 1, uncollected = uncollected - 1 "
            f"WHERE session_id = {SETTLED} AND level = 0"
        ),
        f"UPDATE call_charges SET entry_id = NULL WHERE session_id = {SETTLED} AND level = 0",
        f"UPDATE call_charges SET tax = tax + 1 WHERE session_id = {SETTLED} AND level = 0",
        f"UPDATE journal_entries SET idempotency_key = 'other' WHERE id = {USAGE}",
        f"UPDATE journal_entries SET kind = 'adjustment' WHERE id = {USAGE}",
        f"UPDATE call_charges SET wallet_id = wallet_id - 1 WHERE session_id = {SETTLED} AND level = 0",
        (
            "INSERT INTO journal_entries (id, idempotency_key, kind, unit, at_us, memo) "
            "VALUES ('stray', 'stray', 'usage', 'EUR', 1, '')"
        ),
    ],
    "denied and unanswered calls cost nothing": [
        f"UPDATE cdrs SET billed_us = 1 WHERE session_id = {DENIED}",
        f"UPDATE call_charges SET session_id = {VOIDED} WHERE session_id = {SETTLED} AND level = 0",
        f"UPDATE call_charges SET session_id = 'nobody' WHERE session_id = {SETTLED} AND level = 0",
    ],
    "every reversal is equal and opposite": [
        (
            "UPDATE journal_entries SET reverses_id = "
            "(SELECT id FROM journal_entries WHERE kind = 'top-up') "
            f"WHERE id = {USAGE}"
        ),
        f"UPDATE journal_entries SET reverses_id = id WHERE id = {USAGE}",
    ],
    "what the call tables name exists": [
        f"UPDATE cdrs SET account_id = 999 WHERE session_id = {DENIED}",
        f"UPDATE call_charges SET rate_id = 999 WHERE session_id = {SETTLED}",
        f"UPDATE call_charges SET tariff_version_id = 999 WHERE session_id = {SETTLED}",
        f"UPDATE call_charges SET wallet_id = 999 WHERE session_id = {SETTLED}",
        f"UPDATE call_charges SET entry_id = 'gone' WHERE session_id = {SETTLED} AND level = 0",
        f"UPDATE postings SET ledger_account_id = 999 WHERE entry_id = {USAGE} AND line = 0",
        f"DELETE FROM journal_entries WHERE id = {USAGE}",
        f"UPDATE reservation_levels SET issuer_id = 999 WHERE session_id = {OPEN}",
        f"UPDATE reservation_steps SET session_id = 'gone' WHERE session_id = {OPEN}",
    ],
    "charged time follows from the switch's times": [
        f"UPDATE cdrs SET billed_us = billed_us + 1 WHERE session_id = {SETTLED}",
        f"UPDATE cdrs SET ended_us = ended_us + 5000000 WHERE session_id = {SETTLED}",
        "UPDATE cdrs SET ended_us = ended_us + 1 WHERE granted_us = 0 AND answered_us IS NOT NULL",
        f"UPDATE reservations SET max_call_s = 30 WHERE session_id = {SETTLED}",
    ],
    "every charge follows from its rate": [
        f"UPDATE call_charges SET uncollected = uncollected + 1 WHERE session_id = {SETTLED} AND level = 1",
        f"UPDATE call_charges SET billable_s = billable_s + 1 WHERE session_id = {SETTLED} AND level = 0",
        f"UPDATE call_charges SET tax = tax - 1 WHERE session_id = {SETTLED} AND level = 0",
        "UPDATE rates SET price_per_min = price_per_min + 1000000000 WHERE prefix = '49'",
        "UPDATE rates SET effective_to_us = 5",
        "UPDATE tariff_versions SET tax_ppm = 200000 WHERE tax_ppm = 190000",
        f"UPDATE cdrs SET called = '1' WHERE session_id = {SETTLED}",
    ],
    "open calls hold what their granted time costs": [
        f"UPDATE reservations SET granted_us = granted_us + 1000000 WHERE session_id = {OPEN}",
        f"UPDATE reservation_levels SET reserved = reserved + 1 WHERE session_id = {OPEN} AND level = 0",
    ],
}


def damaged(accounts: BilledAccounts, statement: str) -> dict[str, Invariant]:
    """The broken invariants after a statement that the schema itself would refuse; it is undone."""
    driver = connect(accounts.url)
    try:
        if accounts.url.startswith("sqlite"):
            driver.select("PRAGMA ignore_check_constraints = ON")
            driver.begin()
            driver.select("PRAGMA defer_foreign_keys = ON")
        else:
            with psycopg.connect(accounts.url.replace("+psycopg", ""), autocommit=True) as connection:
                connection.execute("ALTER TABLE wallets DROP CONSTRAINT IF EXISTS ck_wallets_never_overspent")
            driver.begin()
        driver.select(f"{statement} RETURNING 1")
        return {x.name: x for x in invariants(driver, CLOCK.now_us()) if not x.holds}
    finally:
        driver.rollback()
        driver.close()


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found(busy: BilledAccounts, name: str) -> None:
    for statement in DAMAGE[name]:
        broken = damaged(busy, statement)
        assert name in broken, statement
        assert broken[name].problem_count >= len(broken[name].problems) > 0
    assert busy.problems() == []


def test_a_forgotten_call_is_found(busy: BilledAccounts) -> None:
    driver = connect(busy.url)
    later = ManualClock(CLOCK.now_us() + seconds(86_400 + 3_600 + 200))
    (broken,) = (x for x in verify(driver, later) if not x.holds)
    driver.close()
    # The postpaid account's call may go on as long as the longest call, so only one is forgotten yet.
    assert (broken.name, broken.checked) == ("no open call is long past its end", 2)
    assert 1 <= broken.problem_count <= 2


def test_only_the_first_problems_are_kept(busy: BilledAccounts) -> None:
    with busy.engine() as engine:
        futures = [
            engine.submit(TopUp(f"more-{n}", busy.ids["alice"], "EUR", 1, CLOCK.now_us())) for n in range(40)
        ]
        for future in futures:
            future.result(20)
    broken = damaged(busy, "UPDATE postings SET amount = amount + 1 WHERE line = 0")
    unbalanced = broken["every journal entry balances"]
    assert unbalanced.problem_count > 40
    assert len(unbalanced.problems) == 20


def test_a_live_system_is_seen_at_one_moment(busy: BilledAccounts) -> None:
    """Calls come and go while verify reads; it must not see halves of them."""
    with busy.engine() as engine:
        engine.execute(TopUp("much", busy.ids["hot"], "EUR", eur("1000"), CLOCK.now_us()))
        for _ in range(10):
            requests = [busy.request("hot") for _ in range(100)]
            now_us = CLOCK.now_us()
            futures = [engine.submit(request) for request in requests]
            futures += [engine.submit(Settle(x.session_id, now_us, now_us + 1, 16)) for x in requests]
            assert busy.problems() == []
            for future in futures:
                future.result(20)
