"""explain: a call's charge as a person would reckon it, from what was frozen when it was charged."""

import pytest

from pbxbill.charging.arithmetic import Line
from pbxbill.charging.events import Adjust, Answer, Evidence, Extend, Settle, SettleOffline, TopUp, Void
from pbxbill.charging.explain import explain
from pbxbill.charging.explanation import Explanation
from pbxbill.charging.statement import Audience, rate_lines, statement
from pbxbill.clock import ManualClock, SystemClock
from pbxbill.errors import InputRefused
from pbxbill.rating.bands import BandCalendar
from pbxbill.rating.tariff import Tariff
from pbxbill.store.decks import add_deck_version
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.lease import SwitchLease
from pbxbill.store.tariffs import NewTariff, add_tariff_version
from tests.rate_tables import rates_of
from tests.small_operator import EUR, eur, seconds
from tests.store.billed_accounts import FRANCE, MINUTE_US, BilledAccounts, rate

NOW_US = ManualClock().now_us()


def explained(accounts: BilledAccounts, call: str) -> Explanation:
    driver = connect(accounts.url)
    try:
        (explanation,) = explain(driver, call)
    finally:
        driver.close()
    return explanation


def test_a_settled_call_is_explained_line_by_line(accounts: BilledAccounts) -> None:
    with accounts.engine() as engine:
        engine.execute(TopUp("first", accounts.ids["alice"], "EUR", eur("5"), NOW_US))
        session_id = accounts.call(engine, "alice", FRANCE).session_id
        engine.execute(Answer(session_id, NOW_US, "leg"))
        engine.execute(Extend(session_id, 2 * MINUTE_US, NOW_US))
        engine.execute(Settle(session_id, NOW_US, NOW_US + seconds(121), 16))
    explanation = explained(accounts, session_id)
    call = explanation.call
    assert (call.state, call.account, call.destination) == ("settled", "alice", "France")
    assert (call.duration_us, call.billed_us, call.uncharged_us) == (seconds(121), seconds(120), seconds(1))
    retail, wholesale = explanation.levels
    assert (retail.origin.deck, retail.origin.number, retail.origin.source) == ("retail", 1, "retail.csv")
    assert (retail.rate.prefix, retail.tariff.name, retail.tariff_number) == ("33", "taxed", 1)
    assert retail.arithmetic == (
        Line("charged time", "120 s"),
        Line("billable", "60 s initial increment + 1 x 60 s following = 120 s"),
        Line("connection fee", "0.05 EUR"),
        Line("price", "120 s / 60 x 0.3 per minute = 0.65 with the fee"),
        Line("tax", "19 % is added"),
        Line("total", "0.7735 EUR, rounded half up to 6 digits"),
        Line("of which tax", "0.1235 EUR: total x 19 / 119, rounded half up"),
    )
    assert (retail.total, retail.tax, wholesale.total) == (eur("0.7735"), eur("0.1235"), eur("0.30"))
    assert [(x.ledger_account, x.amount) for x in retail.postings] == [
        ("reseller:wallet:alice", eur("0.7735")),
        ("reseller:revenue:usage", -eur("0.65")),
        ("reseller:tax:payable", -eur("0.1235")),
    ]
    assert [(x.verb, x.granted_us) for x in explanation.history] == [
        ("reserve", MINUTE_US),
        ("extend", 2 * MINUTE_US),
    ]


def test_its_text_says_all_of_it(accounts: BilledAccounts) -> None:
    database = open_engine(accounts.url)
    SwitchLease(database, "s1", SystemClock()).acquire()  # somebody is there to shorten the call
    database.dispose()
    with accounts.engine() as engine:
        engine.execute(TopUp("first", accounts.ids["bob"], "EUR", eur("0.36"), NOW_US))
        session_id = accounts.call(engine, "bob").session_id
        engine.execute(Answer(session_id, NOW_US, "leg"))
        engine.execute(Extend(session_id, 3 * MINUTE_US, NOW_US))
        engine.execute(Adjust("back", accounts.ids["bob"], "EUR", -eur("0.12"), NOW_US + seconds(10)))
        engine.execute(Settle(session_id, NOW_US, NOW_US + seconds(130), 16))
    text = statement(explained(accounts, session_id))
    for expected in (
        f"Call {session_id} (settled)",
        "answered     2026-01-01 00:00:00.000000 UTC",
        "lasted       130 s, charged 130 s",
        "Level 0: account bob",
        "deck         retail version 1",
        "billable       1 s initial increment + 129 x 1 s following = 130 s",
        "price          130 s / 60 x 0.12 per minute = 0.26",
        "taken        0.24 EUR",
        "uncollected  0.02 EUR: the funds had ended",
        "operator:wallet:bob",
        "extend   180 s, 0.36 EUR reserved",
        "shrink   120 s, 0.24 EUR reserved",
    ):
        assert expected in text


def test_calls_without_a_charge_are_explained_too(accounts: BilledAccounts) -> None:
    with accounts.engine() as engine:
        engine.execute(TopUp("first", accounts.ids["bob"], "EUR", eur("1"), NOW_US))
        denied = accounts.request("bob", "999")
        unknown = accounts.request("nobody")
        for request in (denied, unknown):
            engine.execute(request)
        voided = accounts.call(engine, "bob").session_id
        engine.execute(Void(voided, NOW_US, 17))
        alive = accounts.call(engine, "bob").session_id
        free = accounts.request("carol")
        engine.execute(SettleOffline(free, NOW_US, NOW_US + seconds(5), 16))
    texts = {
        name: statement(explained(accounts, session_id))
        for name, session_id in (
            ("denied", denied.session_id),
            ("unknown", unknown.session_id),
            ("voided", voided),
            ("alive", alive),
            ("unauthorized", free.session_id),
        )
    }
    assert "denied       rating_failed: no rate for 999" in texts["denied"]
    assert "(nobody was identified)" in texts["unknown"]
    assert "cause 17" in texts["voided"]
    assert "granted      60 s so far" in texts["alive"]
    assert "reserved     0.12 EUR for the time granted so far" in texts["alive"]
    assert "(unauthorized)" in texts["unauthorized"]
    assert "taken        0.01 EUR" in texts["unauthorized"]


def test_how_a_record_came_to_us_is_for_the_operator(accounts: BilledAccounts) -> None:
    with accounts.engine() as engine:
        seen, read = accounts.request("carol"), accounts.request("carol")
        engine.execute(SettleOffline(seen, NOW_US, NOW_US + seconds(5), 16))
        engine.execute(SettleOffline(read, NOW_US, NOW_US + seconds(5), 16, evidence=Evidence.IMPORT))
    for request, word in ((seen, "unauthorized"), (read, "imported")):
        explanation = explained(accounts, request.session_id)
        assert statement(explanation).startswith(f"Call {request.session_id} ({word})\n")
        for_customer = statement(explanation, Audience.ACCOUNT)
        assert for_customer.startswith(f"Call {request.session_id}\n")
        assert word not in for_customer


@pytest.mark.parametrize("audience", list(Audience))
def test_a_call_for_help_is_said_to_be_free(accounts: BilledAccounts, audience: Audience) -> None:
    with accounts.engine() as engine:
        session_id = accounts.call(engine, "carol", "112").session_id
        engine.execute(Answer(session_id, NOW_US, "leg"))
        engine.execute(Settle(session_id, NOW_US, NOW_US + seconds(20_000), 16))
    text = statement(explained(accounts, session_id), audience)
    assert "lasted       20000 s\n" in text
    assert "emergency calls are free" in text
    assert "charged" not in text


def test_the_rate_is_told_with_all_its_terms(accounts: BilledAccounts) -> None:
    with accounts.engine() as engine:
        engine.execute(TopUp("first", accounts.ids["alice"], "EUR", eur("5"), NOW_US))
        session_id = accounts.call(engine, "alice", FRANCE).session_id
    text = statement(explained(accounts, session_id), Audience.ACCOUNT)
    assert "rate         prefix 33 France\n" in text
    assert "    price          0.3 EUR per minute, 60/60, connection fee 0.05 EUR\n" in text


def test_a_minimum_is_part_of_the_rate() -> None:
    (rate,) = rates_of("49 Germany 0.12 min 0.25 30/6 free 10", [1])
    assert [line.value for line in rate_lines(rate, Tariff(1, "t", 1, EUR))] == [
        "0.12 EUR per minute, 30/6, minimum 0.25 EUR, the first 10 s free"
    ]


def test_bands_that_decide_alone_leave_no_other_price() -> None:
    (rate,) = rates_of("49 Germany 0.06 band day 0.06 0.02 1/1 band evening 0.03 0 60/60", [1])
    assert rate.terms is not None
    rate = rate._replace(terms=rate.terms._replace(banded_only=True))
    calendar = BandCalendar(1, "office", "UTC", ())
    found = rate_lines(rate, Tariff(1, "t", 1, EUR, calendar=calendar))
    assert {line.label: line.value for line in found} == {
        "band day": "0.06 EUR per minute, 1/1, connection fee 0.02 EUR",
        "band evening": "0.03 EUR per minute, 60/60",
    }


def test_a_call_is_found_by_the_switch_s_own_id(accounts: BilledAccounts) -> None:
    with accounts.engine() as engine:
        request = accounts.request("bob", "999")
        engine.execute(request)
    assert explained(accounts, request.call_id).call.session_id == request.session_id


def test_an_unknown_call_is_said_to_be_unknown(accounts: BilledAccounts) -> None:
    driver = connect(accounts.url)
    for name in ("f" * 32, "no such call", "", "'; DROP TABLE cdrs"):
        with pytest.raises(InputRefused):
            explain(driver, name)
    driver.close()


def test_new_prices_change_no_old_explanation(accounts: BilledAccounts) -> None:
    with accounts.engine() as engine:
        command = SettleOffline(accounts.request("carol"), NOW_US, NOW_US + MINUTE_US, 16)
        engine.execute(command)
    before = statement(explained(accounts, command.request.session_id))
    open_another_version(accounts)
    assert statement(explained(accounts, command.request.session_id)) == before


def open_another_version(accounts: BilledAccounts) -> None:
    database = open_engine(accounts.url)
    with transaction(database) as session:
        rates = [rate("49", "Germany", "9.99")]
        add_deck_version(
            session,
            deck_name="retail",
            unit="EUR",
            rates=rates,
            effective_from_us=0,
            source="new.csv",
            now_us=1,
        )
        add_tariff_version(session, NewTariff("plain", "retail", rounding_step=1000), 1)
    database.dispose()
