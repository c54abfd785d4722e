"""The commands of an administrator's day, on each database."""

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from lab.process import wait_until
from pbxbill.app import Charging, open_application, open_charging
from pbxbill.charging.events import Answer, Authorize, Denied, Direction, Granted, Outcome, Settle, Settled
from pbxbill.cli import cli
from pbxbill.clock import SECOND_US, SystemClock
from pbxbill.ids import new_id
from tests.store.command_line import Ok, Run

RATES = """\
prefix,destination,price_per_min,initial_increment,following_increment
49,Germany,0.12,60,60
4930,"Germany, Berlin",0.06,1,1
+33,France,0.10,30,6
"""
BAD_ROW = "44,United Kingdom,free,1,1\n"

BAD_INPUT = [
    ("topup nobody 5", "no account 'nobody'"),
    ("topup alice 0", "must be more than zero"),
    ("topup alice -5", "must be more than zero; `pbxbill adjust` takes money out"),
    ("topup alice 1e3", "write it in digits"),
    (
        "accounts limit alice -5",
        "how far below zero the wallet may go: write 5.00 to let it",
    ),
    ("accounts endpoint alice sip 2001", "sip '2001' identifies account alice already"),
    ("accounts set alice --offline-allowance 5 --unit USD", "these wallets: EUR"),
    ("topup alice 1,50", "write it like 12.50"),
    ("topup alice 5 --unit USD", "these wallets: EUR"),
    ("topup alice 0.0000001", "more than 6 digits"),
    ("accounts add alice", "exists already"),
    ("accounts add bob --parent alice", "is a customer"),
    ("accounts add bob --tariff none", "no tariff 'none'"),
    ("accounts add bob --limit -5", "is negative; a credit limit says"),
    ("accounts wallet alice EUR --limit -5", "is negative; a credit limit says"),
    ("accounts add bob --offline-allowance -5", "is negative; an offline allowance is the most"),
    ("accounts set alice --offline-allowance -5", "unauthorized calls may cost: write 0 or more"),
    ("exchange set EUR USD -1.1", "'-1.1': an exchange rate is above zero"),
    ("readings add M1 -5", "'-5' is no reading: 0 or more"),
    ("tariffs add x --deck retail --cycle-steps 0:-0.05", "--cycle-steps: a price cannot be negative: -0.05"),
    ("tariffs add x --mark-up 5 --mark-up-rounding -1", "--mark-up-rounding: a price cannot be negative"),
    ("tariffs add x --mark-up -101", "lies between -100"),
    ("tariffs add x --deck retail --tax-mode exclusive --tax -19", "between 0 and 100 percent"),
    ("rates import rates.csv --deck retail --max-price -1", "--max-price: a price cannot be negative: -1"),
    ("limits set alice call_cost -5", "-5 is negative; a call_cost limit is what may be spent"),
    ("limits set alice call_rate 1 --window-s -1", "neither less than a second"),
    ("accounts endpoint acme sip 2001", "identifies another account"),
    ("accounts set alice", "nothing to change"),
    ("accounts set operator --name x", "the operator is not an account"),
    ("rates show nothing", "no rate deck"),
    ("rates show retail --version 9", "no such version"),
    ("tariffs add x --deck retail --tax 19", "--tax-mode"),
    ("tariffs add x --deck retail --tax-mode inclusive --tax 0.00001", "four digits"),
    ("tariffs show x", "no tariff 'x'"),
    ("rate 0081 --account alice", "no rate for 81"),
    ("rate lettuce --account alice", "no number"),
    ("cdrs --since yesterday", "is no date"),
    ("explain 0123", "0123"),
    ("esl", "names no freeswitch switch"),
    ("ami --switch pbx7", "names no asterisk switch 'pbx7'; there are: none"),
    ("run", "names no switch"),
]

COMMANDS = (
    *("init", "config", "run", "esl", "ami", "accounts", "topup", "adjust", "tariffs", "rates", "rate"),
    *("calls", "cdrs", "verify", "explain", "reconcile", "doctor", "install", "version"),
)


@pytest.fixture
def operator(ok: Ok, tmp_path: Path) -> None:
    """A reseller with a prepaid customer, as an administrator sets them up."""
    (tmp_path / "rates.csv").write_text(RATES)
    ok("init")
    ok("rates", "import", "rates.csv", "--deck", "retail", "--yes")
    ok("tariffs", "add", "retail", "--deck", "retail", "--tax-mode", "exclusive", "--tax", "19")
    ok("tariffs", "add", "wholesale", "--deck", "retail", "--slice-s", "30")
    ok(
        "accounts",
        "add",
        "acme",
        "--kind",
        "reseller",
        "--mode",
        "postpaid",
        "--tariff",
        "wholesale",
        "--limit",
        50,
    )
    ok(
        "accounts",
        "add",
        "alice",
        "--parent",
        "acme",
        "--tariff",
        "retail",
        "--sip",
        "2001",
        "--did",
        "442012345",
    )


@pytest.fixture
def charging(operator: None, database_url: str):
    with open_application(database_url) as application, open_charging(application) as running:
        yield running


def placed(charging: Charging, number: str, account_code: str = "2001") -> str:
    """A call that was authorized just now; its session."""
    session_id = new_id()
    asked(charging, number, account_code, session_id)
    return session_id


def asked(charging: Charging, number: str, account_code: str, session_id: str) -> Outcome:
    """What the engine answers to a call that comes now."""
    request = Authorize(
        session_id=session_id,
        switch="pbx1",
        call_id=f"call-{session_id[-6:]}",
        direction=Direction.OUTBOUND,
        dialled=number,
        caller="Alice",
        at_us=SystemClock().now_us(),
        account_code=account_code,
    )
    return charging.engine.execute(request)


def test_init_twice_changes_nothing(ok: Ok) -> None:
    assert "is ready" in ok("init")
    assert "is ready" in ok("init", "--operator", "Other")


def test_init_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for times in range(2):
        result = CliRunner().invoke(cli, ["init"])
        assert result.exit_code == 0, result.output
        assert ("wrote pbxbill.toml" in result.stdout) is (times == 0)
    assert (tmp_path / "pbxbill.toml").stat().st_mode & 0o077 == 0
    assert (tmp_path / "pbxbill.db").exists()
    assert CliRunner().invoke(cli, ["accounts", "list"]).exit_code == 0


def test_a_database_that_is_not_set_up_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["accounts", "list"])
    assert result.exit_code == 2
    assert result.stderr == f"pbxbill: there is no database {tmp_path}/pbxbill.db; `pbxbill init` makes it\n"
    assert not (tmp_path / "pbxbill.db").exists()


def test_an_empty_database_says_so(empty_database_url: str, tmp_path: Path) -> None:
    config = tmp_path / "pbxbill.toml"
    config.write_text(f'[database]\nurl = "{empty_database_url}"\n')
    if empty_database_url.startswith("sqlite"):
        (tmp_path / "empty.db").touch()
    result = CliRunner().invoke(cli, ["--config", str(config), "accounts", "list"])
    assert (result.exit_code, result.stderr) == (
        2,
        "pbxbill: the database's schema is not up to date; run `pbxbill init`\n",
    )


@pytest.mark.usefixtures("operator")
def test_a_refused_row_is_kept_aside_and_the_rest_counts(ok: Ok, pbxbill: Run, tmp_path: Path) -> None:
    (tmp_path / "rates.csv").write_text(RATES + BAD_ROW)
    result = pbxbill("rates", "import", "rates.csv", "--deck", "retail", "--yes", "--json")
    assert result.exit_code == 3
    assert "rows refused, not in the deck: 1; correct them in rates.csv and import it again" in result.stderr
    told = json.loads(result.stdout)
    assert (told["version"], told["rates"]) == (2, 3)
    assert [row["line"] for row in told["refused"]] == [5]
    aside = tmp_path / "rates.refused.csv"
    assert "United Kingdom" in aside.read_text()
    aside.write_text(aside.read_text().replace("free", "0.01"))
    assert json.loads(ok("rates", "import", aside, "--deck", "uk", "--yes", "--json"))["rates"] == 1


@pytest.mark.usefixtures("operator")
def test_a_sheet_without_a_usable_row_leaves_no_version(ok: Ok, pbxbill: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("prefix,destination,price_per_min\n49,Germany,free\n")
    result = pbxbill("rates", "import", "bad.csv", "--deck", "retail", "--yes")
    assert (result.exit_code, "no usable row" in result.stderr) == (2, True)
    assert json.loads(ok("rates", "show", "retail", "--json"))["version"] == 1
    again = ok("rates", "import", "rates.csv", "--deck", "retail", "--yes", "--json")
    assert json.loads(again)["version"] == 2


@pytest.mark.usefixtures("operator")
def test_rates_can_be_looked_up(ok: Ok) -> None:
    found = json.loads(ok("rates", "show", "retail", "--prefix", "49", "--json"))
    assert [(row["prefix"], row["price_per_min"], row["increments"]) for row in found["rates"]] == [
        ("49", "0.12", "60/60"),
        ("4930", "0.06", "1/1"),
    ]
    assert "Germany, Berlin" in ok("rates", "show", "retail")


@pytest.mark.usefixtures("operator")
def test_a_tariff_keeps_its_versions(ok: Ok) -> None:
    ok("tariffs", "add", "retail", "--deck", "retail", "--tax-mode", "exclusive", "--tax", "7.7")
    shown = json.loads(ok("tariffs", "show", "retail", "--json"))
    assert [(version["version"], version["tax_percent"]) for version in shown] == [(1, "19"), (2, "7.7")]
    listed = json.loads(ok("tariffs", "list", "--json"))
    assert [(x["tariff"], x["version"], x["slice_s"]) for x in listed] == [
        ("retail", 2, 60),
        ("wholesale", 1, 30),
    ]


def test_denials_are_silent_for_a_tariff_or_one_of_its_accounts(ok: Ok, charging: Charging) -> None:
    ok("tariffs", "add", "quiet", "--deck", "retail", "--no-announce-denial")

    def spoken() -> tuple[bool, bool | None, bool]:
        """What tariff and account say, and what a caller gets."""
        tariff = json.loads(ok("tariffs", "show", "quiet", "--json"))[-1]["announce_denial"]
        account = json.loads(ok("accounts", "show", "alice", "--json"))["announce_denial"]
        denied = asked(charging, "4930123", "2001", new_id())
        assert isinstance(denied, Denied)
        return tariff, account, denied.announcement.denial

    wait_until(lambda: spoken() == (False, None, True), 30, "what the caller gets")
    ok("accounts", "set", "alice", "--tariff", "quiet")
    wait_until(lambda: spoken() == (False, None, False), 30, "what the caller gets")
    ok("accounts", "set", "alice", "--announce-denial", "yes")
    wait_until(lambda: spoken() == (False, True, True), 30, "what the caller gets")
    ok("tariffs", "add", "quiet", "--deck", "retail")
    ok("accounts", "set", "alice", "--announce-denial", "no")
    wait_until(lambda: spoken() == (True, False, False), 30, "what the caller gets")
    ok("accounts", "set", "alice", "--announce-denial", "tariff")
    wait_until(lambda: spoken() == (True, None, True), 30, "what the caller gets")


@pytest.mark.usefixtures("operator")
def test_accounts_are_shown_and_changed(ok: Ok) -> None:
    listed = json.loads(ok("accounts", "list", "--json"))
    assert [(x["code"], x["parent"], x["mode"]) for x in listed] == [
        ("acme", None, "postpaid"),
        ("alice", "acme", "prepaid"),
    ]
    ok("accounts", "endpoint", "alice", "ip", "192.0.2.7", "--tech-prefix", "77")
    ok("accounts", "set", "alice", "--language", "fr", "--announce-balance", "no", "--name", "Alice & Co")
    ok("accounts", "suspend", "alice")
    shown = json.loads(ok("accounts", "show", "alice", "--json"))
    assert (shown["status"], shown["language"], shown["announce_balance"], shown["announce_minutes"]) == (
        "suspended",
        "fr",
        False,
        None,
    )
    assert {(x["kind"], x["value"]) for x in shown["endpoints"]} == {
        ("sip", "2001"),
        ("did", "442012345"),
        ("ip", "192.0.2.7"),
    }
    ok("accounts", "activate", "alice")
    ok("accounts", "endpoint", "alice", "ip", "192.0.2.7", "--tech-prefix", "77", "--remove")
    assert "active" in ok("accounts", "show", "alice")
    assert "Alice & Co" in ok("accounts", "list", "--parent", "acme")


@pytest.mark.usefixtures("operator")
def test_the_same_top_up_counts_once(ok: Ok, pbxbill: Run) -> None:
    assert ok("topup", "alice", "10", "--key", "payment-1") == (
        "alice: balance 10.00 EUR, available 10.00 EUR\n"
    )
    told = json.loads(ok("topup", "alice", "10", "--key", "payment-1", "--json"))
    assert (told["balance"], told["available"]) == ("10.00", "10.00")
    other = pbxbill("topup", "alice", "11", "--key", "payment-1")
    assert other.exit_code == 2
    assert "payment-1" in other.stderr
    ok("verify")


@pytest.mark.usefixtures("operator")
def test_money_can_be_taken_out_and_the_limit_moved(ok: Ok, pbxbill: Run) -> None:
    ok("topup", "alice", "10")
    assert "balance 7.50" in ok("adjust", "alice", "-2.50", "--memo", "goodwill taken back")
    too_much = pbxbill("adjust", "alice", "-8", "--memo", "too much")
    assert (too_much.exit_code, "at most 7.50 EUR now" in too_much.stderr) == (2, True)
    assert "available 12.50" in ok("accounts", "limit", "alice", "5")
    ok("verify")


@pytest.mark.usefixtures("operator")
def test_bad_input_is_one_line_and_exit_2(pbxbill: Run) -> None:
    for words, told in BAD_INPUT:
        result = pbxbill(*words.split())
        assert result.exit_code == 2, (words, result.output)
        assert told in result.stderr, words
        assert len(result.stderr.splitlines()) == 1, words
        assert "Traceback" not in result.output


@pytest.mark.usefixtures("operator")
def test_what_a_call_would_cost(ok: Ok) -> None:
    ok("topup", "alice", "1")
    told = json.loads(ok("rate", "0049891234", "--account", "alice", "--seconds", "61", "--json"))
    assert (told["called"], told["destination"]) == ("49891234", "Germany")
    assert [(x["account"], x["billable_s"], x["total"], x["tax"]) for x in told["levels"]] == [
        ("alice", 120, "0.2856", "0.0456"),
        ("acme", 120, "0.24", "0.00"),
    ]
    assert told["longest_s"] == 7 * 60  # 1 EUR pays seven minutes at 0.1428
    assert "0:07:00" in ok("rate", "0049891234", "--account", "alice")


def test_live_calls_show_cost_and_funds(charging: Charging, ok: Ok) -> None:
    ok("topup", "alice", "10")
    now_us = SystemClock().now_us()
    talking, ringing = placed(charging, "0049891234"), placed(charging, "00493012")
    charging.engine.execute(Answer(talking, now_us - 30 * SECOND_US, "leg"))
    calls = {call["session_id"]: call for call in json.loads(ok("calls", "--json"))}
    assert calls[talking]["cost"] == "0.1428"
    assert calls[talking]["funds_left"] == calls[ringing]["funds_left"] == "9.8572"
    assert calls[talking]["seconds"] >= "30.000"
    assert (calls[ringing]["state"], calls[ringing]["cost"]) == ("reserved", "0.00")
    assert "Germany, Berlin" in ok("calls", "--once")
    assert "0 calls" in ok("calls", "--once", "--account", "acme")


def test_records_are_listed_filtered_and_explained(charging: Charging, ok: Ok) -> None:
    ok("topup", "alice", "10")
    session_id = placed(charging, "0049891234")
    answered_us = SystemClock().now_us()
    settled = charging.engine.execute(Settle(session_id, answered_us, answered_us + 45 * SECOND_US, 16))
    assert isinstance(settled, Settled)
    denied = placed(charging, "0049891234", "nobody")
    records = json.loads(ok("cdrs", "--json"))
    assert {record["session_id"] for record in records} == {session_id, denied}
    (paid,) = json.loads(ok("cdrs", "--account", "acme", "--only", "answered", "--json"))
    assert (paid["account"], paid["seconds"], paid["total"], paid["unit"]) == (
        "alice",
        "45.000",
        "0.1428",
        "EUR",
    )
    assert [(x["account"], x["total"]) for x in paid["charges"]] == [("alice", "0.1428"), ("acme", "0.12")]
    (refused,) = csv.DictReader(io.StringIO(ok("cdrs", "--only", "denied", "--csv")))
    assert (refused["session_id"], refused["denial"], refused["hangup_cause"]) == (
        denied,
        "user_unknown",
        "21",
    )
    assert "answered, cause 16" in ok("cdrs", "--called", "4989", "--switch", "pbx1")
    assert json.loads(ok("cdrs", "--until", "2001-01-01", "--json")) == []
    for name in (session_id, paid["call_id"]):
        assert "0.1428" in ok("explain", name)
    assert json.loads(ok("verify", "--json"))
    assert "BROKEN" not in ok("verify")


def test_hostile_names_are_shown_and_not_obeyed(charging: Charging, ok: Ok, pbxbill: Run) -> None:
    session_id = new_id()
    request = Authorize(
        session_id=session_id,
        switch="pbx1",
        call_id="c",
        direction=Direction.OUTBOUND,
        dialled="=1+1",
        caller="\x1b[31m[bold]=cmd",
        at_us=SystemClock().now_us(),
        account_code="2001",
    )
    assert not isinstance(charging.engine.execute(request), Granted)
    for words in (("cdrs",), ("cdrs", "--csv"), ("cdrs", "--json")):
        assert "\x1b" not in ok(*words)
    (row,) = csv.DictReader(io.StringIO(ok("cdrs", "--csv")))
    assert row["dialled"] == "'=1+1"


def test_a_broken_promise_ends_verify_with_1(
    charging: Charging, ok: Ok, pbxbill: Run, database_url: str
) -> None:
    from sqlalchemy import text

    from pbxbill.store.engine import open_engine, transaction

    ok("topup", "alice", "10")
    engine = open_engine(database_url)
    with transaction(engine) as session:
        session.execute(text("UPDATE wallets SET posted = posted + 1"))
    engine.dispose()
    result = pbxbill("verify")
    assert result.exit_code == 1
    assert "BROKEN  every wallet equals its postings" in result.stdout


@pytest.mark.usefixtures("operator")
def test_reconciliations_are_reported(ok: Ok, database_url: str) -> None:
    with open_application(database_url) as application, open_charging(application) as running:
        running.reconciler.run("pbx1", [], lambda since_us: [])
    (told,) = json.loads(ok("reconcile", "--json"))
    assert (told["switch"], told["open_reservations"], told["differences"]) == ("pbx1", 0, [])
    assert "pbx1" in ok("reconcile", "--report")


def test_version_and_help(ok: Ok) -> None:
    assert ok("version").startswith("pbxbill 0.")
    listed = ok("--help")
    for name in COMMANDS:
        assert f"  {name} " in listed
    assert '"level": "info"' in ok("config")
