"""What limits do to calls: denied in the batch that would break them, told, and never to a call for help."""

from collections import Counter

import pytest

from pbxbill.billing.life_cycle.suspending import suspend
from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import (
    Answer,
    Authorize,
    DenialReason,
    Denied,
    Extend,
    Extended,
    Granted,
    Outcome,
    Settle,
)
from pbxbill.charging.status import AccountStatus
from pbxbill.rating.destination import DiallingRule
from pbxbill.store.accounts import account_by_code
from pbxbill.store.alerts import list_alerts
from pbxbill.store.destinations import dialling_rule_by_name, set_dialling_rule
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.limits import (
    ACTIVE,
    SUSPENDED,
    NewLimit,
    find_endpoint,
    release_country,
    set_endpoint_status,
    set_limit,
)
from tests.small_operator import eur, seconds
from tests.store.billed_accounts import CLOCK, FRANCE, GERMANY, MINUTE_US, BilledAccounts

HOME = DiallingRule("home", "DE")


@pytest.fixture
def accounts(accounts: BilledAccounts) -> BilledAccounts:
    """All accounts dial as in Germany; alice has funds."""
    database = open_engine(accounts.url)
    with transaction(database) as session:
        set_dialling_rule(session, HOME)
        rule_id = dialling_rule_by_name(session, "home").id
        for code in ("reseller", "carol"):
            account_by_code(session, code).dialling_rule_id = rule_id
    database.dispose()
    accounts.top_up("alice", "50")
    return accounts


def limit(accounts: BilledAccounts, code: str, new: NewLimit, endpoint: bool = False) -> None:
    database = open_engine(accounts.url)
    with transaction(database) as session:
        account = account_by_code(session, code)
        set_limit(session, account, new, find_endpoint(session, "sip", code) if endpoint else None)
    database.dispose()


def asked(engine: ChargingEngine, accounts: BilledAccounts, code: str, number: str = GERMANY) -> Outcome:
    return engine.execute(accounts.request(code, number))


def reason(outcome: Outcome) -> DenialReason | None:
    assert isinstance(outcome, Granted | Denied)
    return outcome.reason if isinstance(outcome, Denied) else None


def alerts(accounts: BilledAccounts) -> Counter[str]:
    database = open_engine(accounts.url)
    with transaction(database) as session:
        found = Counter(row.kind for row in list_alerts(session))
    database.dispose()
    return found


def end(engine: ChargingEngine, call: Outcome, length_s: int) -> None:
    assert isinstance(call, Granted)
    now_us = CLOCK.now_us()
    engine.execute(Answer(call.session_id, now_us, "leg"))
    engine.execute(Settle(call.session_id, now_us, now_us + seconds(length_s), 16))


def test_calls_that_come_at_once_cannot_both_be_the_last(accounts: BilledAccounts) -> None:
    limit(accounts, "reseller", NewLimit("simultaneous_calls", 3))
    with accounts.engine() as engine:
        requests: list[Authorize] = [accounts.request("alice") for _ in range(20)]
        futures = [engine.submit(request) for request in requests]
        outcomes = [future.result(20) for future in futures]
        assert Counter(map(reason, outcomes)) == {None: 3, DenialReason.SIMULTANEOUS_CALLS: 17}
        granted = [outcome for outcome in outcomes if isinstance(outcome, Granted)]
        end(engine, granted[0], 5)
        assert reason(asked(engine, accounts, "alice")) is None
        assert reason(asked(engine, accounts, "alice")) is DenialReason.SIMULTANEOUS_CALLS
        assert alerts(accounts) == {"simultaneous_calls": 1}
        assert accounts.problems() == []


def test_spending_ends_where_the_day_does_and_calls_are_cut_there(accounts: BilledAccounts) -> None:
    limit(accounts, "carol", NewLimit("spend", eur("0.30"), unit="EUR", window="day"))
    with accounts.engine() as engine:
        first = asked(engine, accounts, "carol")  # 0.12 a minute
        second = asked(engine, accounts, "carol")
        assert isinstance(first, Granted)
        assert isinstance(second, Granted)
        third = asked(engine, accounts, "carol")
        assert isinstance(third, Granted)
        assert third.granted_us == seconds(30)  # 0.06 are left
        assert reason(asked(engine, accounts, "carol")) is DenialReason.SPENDING_LIMIT
        engine.execute(Answer(first.session_id, CLOCK.now_us(), "leg"))
        more = engine.execute(Extend(first.session_id, 2 * MINUTE_US, CLOCK.now_us()))
        assert isinstance(more, Extended)
        assert (more.granted_us, more.final) == (MINUTE_US, True)
        end(engine, second, 1)
        assert reason(asked(engine, accounts, "carol")) is None
        assert accounts.problems() == []


def test_a_call_is_cut_at_its_own_cost_and_length(accounts: BilledAccounts) -> None:
    limit(accounts, "carol", NewLimit("call_cost", eur("0.06"), unit="EUR"))
    with accounts.engine() as engine:
        call = asked(engine, accounts, "carol")
        assert isinstance(call, Granted)
        assert (call.granted_us, call.final) == (seconds(30), True)
        limit(accounts, "carol", NewLimit("call_length", 20))
        call = asked(engine, accounts, "carol")
        assert isinstance(call, Granted)
        assert (call.granted_us, call.max_call_us) == (seconds(20), seconds(20))


def test_destinations_and_new_countries(accounts: BilledAccounts) -> None:
    limit(accounts, "carol", NewLimit("new_country"))
    limit(accounts, "alice", NewLimit("blocked", destinations=("international",)))
    with accounts.engine() as engine:
        assert reason(asked(engine, accounts, "alice", "00" + FRANCE)) is DenialReason.DESTINATION_BARRED
        assert reason(asked(engine, accounts, "alice", "030123456")) is None
        assert reason(asked(engine, accounts, "carol", "00" + FRANCE)) is DenialReason.COUNTRY_HELD
        assert reason(asked(engine, accounts, "carol", "030123456")) is None
        database = open_engine(accounts.url)
        with transaction(database) as session:
            release_country(session, account_by_code(session, "carol"), "FR", CLOCK.now_us())
        database.dispose()
        assert reason(asked(engine, accounts, "carol", "00" + FRANCE)) is None


def test_a_burst_of_short_calls_suspends_the_phone(accounts: BilledAccounts) -> None:
    limit(accounts, "reseller", NewLimit("short_calls", 3, window_s=600, shorter_s=6, suspends=True))
    with accounts.engine() as engine:
        for _ in range(3):
            end(engine, asked(engine, accounts, "alice"), 2)
        assert alerts(accounts) == {"short_calls": 1}
        assert reason(asked(engine, accounts, "alice")) is DenialReason.END_USER_SERVICE_DENIED
        database = open_engine(accounts.url)
        with transaction(database) as session:
            endpoint = find_endpoint(session, "sip", "alice")
            assert endpoint.status == SUSPENDED
            set_endpoint_status(session, endpoint, ACTIVE)
        database.dispose()
        assert reason(asked(engine, accounts, "alice")) is DenialReason.SHORT_CALLS


def test_a_rate_of_calls(accounts: BilledAccounts) -> None:
    limit(accounts, "carol", NewLimit("call_rate", 2, window_s=3600))
    with accounts.engine() as engine:
        found = [reason(asked(engine, accounts, "carol")) for _ in range(4)]
        assert found == [None, None, DenialReason.CALL_RATE, DenialReason.CALL_RATE]


@pytest.mark.parametrize("number", ["112", "110", "1 1 2"])
def test_help_can_be_called_whatever_limits_there_are(accounts: BilledAccounts, number: str) -> None:
    limit(accounts, "alice", NewLimit("simultaneous_calls", 0))
    limit(accounts, "alice", NewLimit("allowed", destinations=("33",)))
    limit(accounts, "reseller", NewLimit("spend", 0, unit="EUR", window="hour"))
    database = open_engine(accounts.url)
    with transaction(database) as session:
        set_endpoint_status(session, find_endpoint(session, "sip", "alice"), SUSPENDED)
        reseller = account_by_code(session, "reseller")
        suspend(session, reseller.id, AccountStatus.SUSPENDED, cause="hand", reason="test", now_us=1)
    database.dispose()
    with accounts.engine() as engine:
        call = asked(engine, accounts, "alice", number)
        assert reason(call) is None
        end(engine, call, 600)
        assert accounts.wallet("alice")[0] == eur("50")
        assert reason(asked(engine, accounts, "alice", number + "0")) is not None
        assert accounts.problems() == []


def told(accounts: BilledAccounts) -> list[tuple[str, str, str]]:
    """Alerts in their order: the account whose they are, their subject, what happened."""
    codes = {id: code for code, id in accounts.ids.items()}
    database = open_engine(accounts.url)
    with transaction(database) as session:
        rows = sorted(list_alerts(session), key=lambda row: row.id)
        found = [(codes[row.account_id or 0], row.subject, row.detail) for row in rows]
    database.dispose()
    return found


def test_each_country_that_is_held_is_told(accounts: BilledAccounts) -> None:
    limit(accounts, "carol", NewLimit("new_country"))
    database = open_engine(accounts.url)
    with transaction(database) as session:
        set_dialling_rule(session, DiallingRule("abroad", "GB"))
        rule_id = dialling_rule_by_name(session, "abroad").id
        account_by_code(session, "carol").dialling_rule_id = rule_id
    database.dispose()
    with accounts.engine() as engine:
        for number in (FRANCE, "33140000000", GERMANY):
            assert reason(asked(engine, accounts, "carol", "00" + number)) is DenialReason.COUNTRY_HELD
    assert [subject for _, subject, _ in told(accounts)] == [
        "account carol, country FR",
        "account carol, country DE",
    ]


def test_an_alert_says_whose_limit_was_hit_by_whose_call(accounts: BilledAccounts) -> None:
    limit(accounts, "reseller", NewLimit("spend", 0, unit="EUR", window="day"))
    limit(accounts, "carol", NewLimit("simultaneous_calls", 0), endpoint=True)
    with accounts.engine() as engine:
        for code in ("alice", "alice", "carol"):
            assert reason(asked(engine, accounts, code)) is not None
    assert [(whose, subject) for whose, subject, _ in told(accounts)] == [
        ("reseller", "account reseller, call of account alice"),
        ("carol", "account carol, sip carol"),
    ]


def test_an_alert_says_which_endpoint_was_suspended(accounts: BilledAccounts) -> None:
    limit(accounts, "reseller", NewLimit("simultaneous_calls", 0, suspends=True))
    with accounts.engine() as engine:
        assert reason(asked(engine, accounts, "alice")) is DenialReason.SIMULTANEOUS_CALLS
    ((whose, subject, detail),) = told(accounts)
    assert whose == "reseller"
    assert subject == "account reseller, call of account alice, sip alice suspended"
    assert detail.endswith("up at once: 0, allowed: 0; sip alice was suspended")
