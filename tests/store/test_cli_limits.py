"""Limits and endpoints as an administrator keeps them, on each database."""

from pathlib import Path

import pytest

from pbxbill.charging.limits import Limit, LimitKind, limit_of
from pbxbill.charging.spend_window import WINDOWS
from pbxbill.clock import SECOND_US
from pbxbill.store import limits as store_limits
from pbxbill.store.accounts import account_by_code
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.limits import (
    LIMIT_COLUMNS,
    NEEDS,
    read_countries,
    read_limits,
    suspend_endpoints,
    write_held_countries,
)
from pbxbill.store.models import CatalogueRow
from tests.store.command_line import Ok, Run, shown

NOON_US = 1_767_268_800 * SECOND_US


def test_store_and_charging_speak_of_the_same_limits() -> None:
    assert set(NEEDS) == {kind.value for kind in LimitKind}
    assert Limit._fields == LIMIT_COLUMNS
    assert store_limits.WINDOWS == WINDOWS


@pytest.mark.parametrize(
    "words, said, limit",
    [
        (
            "simultaneous_calls 2",
            "alice: simultaneous_calls: 2 calls",
            Limit(0, 0, 0, "simultaneous_calls", 2),
        ),
        ("simultaneous_calls 1", "calls: 1 call\n", Limit(0, 0, 0, "simultaneous_calls", 1)),
        (
            "simultaneous_calls 0 --suspend",
            "0 calls; suspends the endpoint",
            Limit(0, 0, 0, "simultaneous_calls", 0, suspends=True),
        ),
        ("call_rate 5", "5 calls per 1 s", Limit(0, 0, 0, "call_rate", 5)),
        ("call_rate 30 --window-s 60", "30 calls per 60 s", Limit(0, 0, 0, "call_rate", 30, window_s=60)),
        (
            "spend 12.50 --window day --zone Europe/Berlin",
            "12.50 EUR per day (Europe/Berlin)",
            Limit(0, 0, 0, "spend", 12_500_000, "EUR", "day", zone="Europe/Berlin"),
        ),
        ("call_cost 3", "3.00 EUR per call", Limit(0, 0, 0, "call_cost", 3_000_000, "EUR")),
        ("call_length 3600", "3600 s", Limit(0, 0, 0, "call_length", 3600)),
        (
            "blocked --destination premium --destination +49900 --destination toll-free",
            "premium, 49900, toll_free",
            Limit(0, 0, 0, "blocked", 0, destinations=("premium", "49900", "toll_free")),
        ),
        (
            "allowed --destination national",
            "national",
            Limit(0, 0, 0, "allowed", 0, destinations=("national",)),
        ),
        ("new_country", "alice: new_country\n", Limit(0, 0, 0, "new_country", 0)),
        (
            "new_country --region at --region CH",
            "free from the start: AT, CH",
            Limit(0, 0, 0, "new_country", 0, destinations=("AT", "CH")),
        ),
        (
            "short_calls 5 --window-s 600 --shorter-s 6 --suspend",
            "5 calls below 6 s within 600 s; suspends",
            Limit(0, 0, 0, "short_calls", 5, window_s=600, suspends=True, shorter_s=6),
        ),
    ],
)
def test_a_limit_reaches_the_charging_path(
    alice_and_her_phones: None, ok: Ok, database_url: str, words: str, said: str, limit: Limit
) -> None:
    assert said in ok("limits", "set", "alice", *words.split())
    database, driver = open_engine(database_url), connect(database_url)
    with transaction(database) as session:
        account_id = account_by_code(session, "alice").id
    (row,) = read_limits(driver, [account_id, 999])
    assert limit_of(row)._replace(id=0) == limit._replace(account_id=account_id)
    driver.close()
    database.dispose()


def test_a_limit_set_again_stands_in_the_place_of_the_old_one(alice_and_her_phones: None, ok: Ok) -> None:
    ok("limits", "set", "alice", "spend", "10", "--window", "day")
    ok("limits", "set", "alice", "spend", "100", "--window", "month")
    ok("limits", "set", "alice", "simultaneous_calls", "5")
    ok("limits", "set", "alice", "simultaneous_calls", "2", "--endpoint", "sip", "2001")
    ok("limits", "set", "acme", "simultaneous_calls", "50")
    before = {row["id"]: row["limit"] for row in shown(ok, "limits", "list", "alice")["limits"]}
    assert sorted(before.values()) == [
        "10.00 EUR per day (UTC)",
        "100.00 EUR per month (UTC)",
        "2 calls",
        "5 calls",
    ]
    ok("limits", "set", "alice", "spend", "20", "--window", "day")
    after = {row["id"]: row["limit"] for row in shown(ok, "limits", "list", "alice")["limits"]}
    assert after.keys() == before.keys()  # what was spent today stays counted
    assert "20.00 EUR per day (UTC)" in after.values()
    ok("limits", "set", "alice", "call_rate", "5")
    ok("limits", "set", "alice", "call_rate", "9")
    rates = [row for row in shown(ok, "limits", "list")["limits"] if row["kind"] == "call_rate"]
    assert [row["limit"] for row in rates] == ["9 calls per 1 s"]
    ok("limits", "remove", "alice", rates[0]["id"])
    assert "call_rate" not in ok("limits", "list")
    assert [row["account"] for row in shown(ok, "limits", "list")["limits"]].count("acme") == 1


def test_engines_hear_of_every_change(alice_and_her_phones: None, ok: Ok, database_url: str) -> None:
    database = open_engine(database_url)

    def version() -> int:
        with transaction(database) as session:
            row = session.get(CatalogueRow, 1)
            assert row is not None
            return row.version

    ok("limits", "set", "alice", "new_country")
    for words in (
        "limits set alice call_length 60",
        "limits release alice FR",
        "limits remove alice 1",
        "endpoints suspend sip 2001",
        "destinations import destinations.csv",
        "dialling set x --region DE",
        "dialling remove x",
    ):
        before = version()
        ok(*words.split())
        assert version() > before, words
    database.dispose()


def test_countries_are_held_and_released(alice_and_her_phones: None, ok: Ok, database_url: str) -> None:
    ok("limits", "set", "alice", "new_country")
    database, driver = open_engine(database_url), connect(database_url)
    with transaction(database) as session:
        alice = account_by_code(session, "alice").id
    for _ in range(2):
        driver.begin()
        write_held_countries(driver, [(alice, "FR"), (alice, "1"), (alice, "FR")], NOON_US)
        driver.commit()
    assert read_countries(driver, [alice]) == {alice: {"FR": False, "1": False}}
    assert "released" in ok("limits", "release", "alice", "fr")
    assert "released" in ok("limits", "release", "alice", "CH")
    assert read_countries(driver, [alice]) == {alice: {"FR": True, "1": False, "CH": True}}
    driver.begin()
    write_held_countries(driver, [(alice, "FR")], NOON_US)
    driver.commit()
    assert read_countries(driver, [alice])[alice]["FR"] is True
    listed = {row["country"]: row["status"] for row in shown(ok, "limits", "list", "alice")["countries"]}
    assert listed == {"FR": "released", "1": "held", "CH": "released"}
    assert "are held" in ok("limits", "release", "alice", "FR", "--withdraw")
    assert read_countries(driver, [alice])[alice]["FR"] is False
    driver.close()
    database.dispose()


def test_endpoints_are_suspended_and_resumed(alice_and_her_phones: None, ok: Ok, database_url: str) -> None:
    assert ok("endpoints", "suspend", "sip", "2001") == "sip 2001 is suspended\n"
    assert ok("endpoints", "suspend", "sip", "2001") == "sip 2001 is suspended already\n"
    listed = shown(ok, "endpoints", "list", "alice")
    assert [(row["value"], row["status"]) for row in listed] == [("2001", "suspended"), ("2002", "active")]
    assert ok("endpoints", "resume", "sip", "2001") == "sip 2001 is active\n"
    driver = connect(database_url)
    driver.begin()
    (first, *_), *_ = driver.select("SELECT id FROM endpoints WHERE value {any_text}", ["2002"])
    suspend_endpoints(driver, [first, first])
    driver.commit()
    driver.close()
    listed = shown(ok, "endpoints", "list")
    assert [(row["value"], row["status"]) for row in listed] == [("2001", "active"), ("2002", "suspended")]


@pytest.mark.parametrize(
    "words, message",
    [
        ("limits set nobody call_length 5", "no account 'nobody'"),
        ("limits set operator call_length 5", "the operator is not limited"),
        ("limits set alice nonsense 5", "'nonsense' is not one of"),
        ("limits set alice call_length", "needs its value"),
        ("limits set alice call_length -5", "'-5' is not a whole number"),
        ("limits set alice call_length 0", "1 or more"),
        ("limits set alice call_length 1.5", "'1.5' is not a whole number"),
        ("limits set alice call_rate 0", "is 1 to 4000"),
        ("limits set alice call_rate 5000", "is 1 to 4000"),
        ("limits set alice simultaneous_calls 100001", "is 0 to 100000"),
        ("limits set alice spend 5", "needs its window (--window hour, day or month)"),
        ("limits set alice spend -5 --window day", "0 or more"),
        ("limits set alice spend five --window day", "'five' is no amount"),
        ("limits set alice spend 5 --window week", "'week' is not one of"),
        ("limits set alice spend 5 --window day --zone Mars/Base", "'Mars/Base' is no time zone"),
        ("limits set alice spend 5 --window day --unit USD", "these wallets: EUR"),
        ("limits set alice call_cost 5 --window day", "has no window"),
        ("limits set alice call_length 5 --zone UTC", "has no time zone"),
        ("limits set alice blocked", "needs its destinations (--destination)"),
        ("limits set alice blocked premium", "use --destination for 'premium'"),
        ("limits set alice blocked --destination Mars", "'Mars' is no destination"),
        ("limits set alice blocked --destination 1234567890123456", "is no destination"),
        ("limits set alice blocked --region FR", "has no --region; use --destination"),
        ("limits set alice new_country FR", "use --region for 'FR'"),
        ("limits set alice new_country --region France", "'France' is no country"),
        (
            "limits set alice short_calls 5 --window-s 60",
            "needs its longest short call in seconds (--shorter-s)",
        ),
        ("limits set alice short_calls 5 --shorter-s 6", "needs its window in seconds (--window-s)"),
        ("limits set alice short_calls 5 --window-s 6000000 --shorter-s 6", "up to seven days"),
        ("limits set alice call_length 5 --endpoint sip 9999", "no endpoint sip '9999'"),
        ("limits set acme call_length 5 --endpoint sip 2001", "sip '2001' does not identify account acme"),
        ("limits remove alice 77", "account alice has no limit 77"),
        ("limits release alice FR", "account alice has no new_country limit"),
        ("limits release alice Freedonia", "is no country"),
        ("endpoints suspend sip 9999", "no endpoint sip '9999'"),
        ("endpoints resume sip 2001 --tech-prefix 99", "with technical prefix 99"),
        ("destinations show lettuce", "'lettuce' is no number that can be called"),
        ("dialling try 5 --rule none", "no dialling rule 'none'"),
        ("dialling set x", "at least --region"),
        ("dialling set x --region XX", "'XX' is no country"),
        ("dialling set x --region DE --short-code a=1", "'a' cannot be dialled"),
        ("dialling set x --region DE --file rule.toml", "not both"),
        ("dialling set x --file bad.toml", "bad.toml is no TOML"),
        ("dialling remove x", "no dialling rule 'x'"),
        ("alerts --since yesterday", "is no date"),
        ("alerts --account nobody", "no account 'nobody'"),
    ],
)
def test_a_mistake_gets_a_sentence_and_changes_nothing(
    alice_and_her_phones: None, ok: Ok, pbxbill: Run, tmp_path: Path, words: str, message: str
) -> None:
    (tmp_path / "rule.toml").write_text('region = "DE"\n')
    (tmp_path / "bad.toml").write_text("region = DE\n")
    result = pbxbill(*words.split())
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.output
    assert shown(ok, "limits", "list") == {"limits": [], "countries": []}
