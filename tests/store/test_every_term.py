"""verify and explain on calls with every term of a tariff, and each kind of damage to them."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from pbxbill.charging.explain import explain
from pbxbill.charging.statement import Audience, statement
from pbxbill.mediation.rerate import Definition, Rerating
from pbxbill.money import PRICE_SCALE, format_amount, to_decimal
from pbxbill.store.decks import NewRate
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine
from tests.database_contents import Contents
from tests.small_operator import EUR
from tests.store.billed_accounts import CLOCK, BilledAccounts
from tests.store.every_term import alive, change_deck, open_every_term, price, talk, wholesale

TODAY = datetime.fromtimestamp(CLOCK.now_us() // 1_000_000, ZoneInfo("Europe/Berlin"))
EVENING_US = int(TODAY.replace(hour=17, minute=59, second=0).timestamp()) * 1_000_000
"""A minute before the evening begins in Berlin."""


@pytest.fixture
def contents() -> Contents:
    return Contents("every_term", open_every_term)


def told(accounts: BilledAccounts, session_id: str, audience: Audience = Audience.OPERATOR) -> str:
    driver = connect(accounts.url)
    try:
        (explanation,) = explain(driver, session_id)
    finally:
        driver.close()
    return statement(explanation, audience)


def test_all_of_it_is_sound_while_calls_go_on_and_after(accounts: BilledAccounts) -> None:
    with accounts.engine() as engine:
        for code in ("alice", "dave", "vera", "reseller"):
            for seconds in (3, 70, 80, 200):
                talk(accounts, engine, code, seconds, EVENING_US)
        for code in ("alice", "dave", "vera"):
            alive(accounts, engine, code, 130, EVENING_US)
        assert accounts.problems() == []


def test_a_banded_bundled_marked_up_call_is_explained(accounts: BilledAccounts) -> None:
    with accounts.engine() as engine:
        session_id = talk(accounts, engine, "alice", 180, EVENING_US)
    text = told(accounts, session_id)
    for line in (
        "17:59:00 to 18:00:40  100 s from bundle Hundred, of which 0 of 100 are left now, until 20",
        "18:00:40 to 18:02:00  80 s / 60 x 0.045 per minute = 0.06, band evening",
        "price above    0.06, evening 0.03 per minute",
        "mark-up        +50 %, rounded up to 0.0001: 0.09, evening 0.045 for alice",
        "17:59:00 to 18:00:00  60 s / 60 x 0.06 per minute = 0.06",
        "18:00:00 to 18:02:00  120 s / 60 x 0.03 per minute = 0.06, band evening",
        "times          in Europe/Berlin, from 20",
        "band evening   0.045 EUR per minute, 1/1\n",
        "otherwise      0.09 EUR per minute, 1/1, connection fee 0.015 EUR\n",
        "maximum        1.5 EUR a call\n",
        "connection fee 0.015 EUR: the call was answered outside the bands",
        "at 1 EUR = 1.1 USD",
        "margin       0.07 EUR, 53.8 % of 0.13 EUR",
        "of the 10.00 EUR that may be spent per day",
        "Carrier Telco, by gateway gw",
        "0.06 EUR for 180 s, without tax",
    ):
        assert line in text
    assert "margin" in text
    for_customer = told(accounts, session_id, Audience.ACCOUNT)
    assert "100 s from bundle Hundred" in for_customer
    for hidden in ("Carrier", "margin", "wholesale", "Reservation", "entry", "Level 1"):
        assert hidden not in for_customer


def test_cycle_steps_are_explained(accounts: BilledAccounts) -> None:
    with accounts.engine() as engine:
        talk(accounts, engine, "dave", 95, EVENING_US)
        graduated = told(accounts, talk(accounts, engine, "dave", 65, EVENING_US))
        talk(accounts, engine, "vera", 95, EVENING_US)
        volume = told(accounts, talk(accounts, engine, "vera", 65, EVENING_US))
    assert "step 1 of the month, from 0 s on" in graduated
    assert "step 2 of the month, from 100 s on" in graduated
    assert "given back: this call reached another step" in volume
    assert accounts.problems() == []


@pytest.mark.parametrize("day, evening", [("0.03", "0.02"), ("0.12", "0.10"), ("5", "0.03")])
def test_re_rating_keeps_what_bundles_paid_and_every_promise(
    accounts: BilledAccounts, day: str, evening: str
) -> None:
    with accounts.engine() as engine:
        sessions = [talk(accounts, engine, "alice", seconds, EVENING_US) for seconds in (30, 80, 200, 400)]
    wallets = "SELECT id, posted FROM wallets ORDER BY id"
    before = accounts.select(wallets)
    bundle = accounts.select("SELECT used FROM counters WHERE kind = 'bundle'")
    change_deck(accounts.url, "wholesale", wholesale(day, evening))
    rerate(accounts)
    after = accounts.select(wallets)
    assert after != before
    assert accounts.select("SELECT used FROM counters WHERE kind = 'bundle'") == bundle
    assert accounts.problems() == []
    rerate(accounts)
    assert accounts.select(wallets) == after
    text = told(accounts, sessions[-1])
    assert "corrected" in text
    assert "run 1" in text
    for_customer = told(accounts, sessions[-1], Audience.ACCOUNT)
    assert "run 1" not in for_customer
    before_it, after_it = for_customer.split("  new price    by tariff retail, prefix 49 Germany\n")
    new_evening = f"{to_decimal(price(evening) * 3 // 2, PRICE_SCALE).normalize():f} EUR per minute"
    assert f"band evening   {new_evening}" in after_it
    assert f"band evening   {new_evening}" not in before_it or evening == "0.03"
    assert "total          " in after_it
    (new_total,) = accounts.select(
        f"SELECT SUM(new_total) FROM call_corrections WHERE level = 1 AND session_id = '{sessions[-1]}'"
    )
    at_reseller = f"total          {format_amount(int(new_total[0]), EUR)} EUR"
    assert at_reseller in told(accounts, sessions[-1]).split("Level 1")[1].split("new price")[1]
    change_deck(accounts.url, "wholesale", wholesale())
    rerate(accounts)
    assert accounts.select(wallets) == before
    assert accounts.problems() == []


def test_re_rating_in_cycle_steps(accounts: BilledAccounts) -> None:
    with accounts.engine() as engine:
        for code in ("dave", "vera"):
            for seconds in (3, 70, 80, 200):
                talk(accounts, engine, code, seconds, EVENING_US)
    change_deck(accounts.url, "flat", NewRate("49", "Germany", price("0.5"), price("0.02")))
    rerate(accounts)
    assert accounts.problems() == []
    # Its steps say what a minute costs; the deck says the fee, and that no second is free any more.
    assert accounts.select("SELECT COUNT(*) FROM call_corrections") == [(8,)]


def rerate(accounts: BilledAccounts) -> None:
    Rerating(lambda: connect(accounts.url), CLOCK, Definition(0, 2**60)).apply(lambda calls, of: None)


DAMAGE = {
    "every charge follows from its rate": [
        "UPDATE reserved_counts SET used = used - 1 WHERE used > 50",
        "UPDATE call_charges SET uncollected = uncollected + 1 WHERE line = 1",
        "UPDATE call_charges SET billable_s = billable_s + 1 WHERE level = 0",
    ],
    "bundles, cycle steps and limits count what calls took": [
        "UPDATE counters SET used = used + 1 WHERE kind = 'bundle'",
        "UPDATE counters SET reserved = reserved + 1 WHERE kind = 'steps'",
        "UPDATE counters SET used = used - 1 WHERE kind = 'steps' AND used > 0",
        "UPDATE counters SET used = used + 7 WHERE kind = 'spend'",
        "UPDATE counters SET allowed = 3 WHERE kind = 'bundle'",
    ],
    "every carrier cost belongs to an answered call": ["UPDATE call_costs SET cost = -1"],
    "open calls hold what their granted time costs": [
        "UPDATE reservation_levels SET reserved = reserved + 1 WHERE reserved > 0",
    ],
}


@pytest.mark.parametrize("promise", DAMAGE)
def test_damage_is_found(accounts: BilledAccounts, promise: str) -> None:
    with accounts.engine() as engine:
        for code in ("alice", "dave", "vera"):
            talk(accounts, engine, code, 150, EVENING_US)
            alive(accounts, engine, code, 130, EVENING_US)
    for damage in DAMAGE[promise]:
        database = open_engine(accounts.url)
        with database.begin() as connection:
            connection.exec_driver_sql(damage)
        database.dispose()
        assert any(problem.startswith(promise) for problem in accounts.problems()), damage
