"""Call records from files: rated at their time, posted once, and what cannot be rated is kept."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from pbxbill.store.accounts import account_by_code, add_endpoint
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.tariffs import NewTariff, add_tariff_version
from tests.small_operator import eur
from tests.store.billed_accounts import FRANCE, GERMANY, BilledAccounts
from tests.store.command_line import Ok, Run
from tests.store.mediated_calls import MasterLine, write_master

MASTER = ("--format", "asterisk-csv", "--zone", "UTC")
FROM_HERE = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent.parent)}
RECORDED_BY_FREESWITCH = Path(__file__).parent.parent / "data" / "freeswitch"


@pytest.fixture
def accounts(accounts: BilledAccounts) -> BilledAccounts:
    for code in ("alice", "bob"):
        accounts.top_up(code, "10")
    return accounts


def reported(result: Result, exit_code: int = 0) -> dict[str, Any]:
    assert result.exit_code == exit_code, result.output
    found: dict[str, Any] = json.loads(result.stdout[result.stdout.index("{") :])
    return found


def counts(report: dict[str, Any]) -> dict[str, int]:
    names = ("read", "filtered", "rated", "unanswered", "duplicates", "quarantined")
    return {name: report[name] for name in names if report[name]}


def test_a_call_costs_what_it_would_have_cost_live(
    accounts: BilledAccounts, pbxbill: Run, tmp_path: Path
) -> None:
    """One minute to Germany at 0.12; alice pays 19 % tax on it, and her reseller 0.06."""
    file = write_master(tmp_path / "Master.csv", MasterLine(1, "bob"), MasterLine(2, "alice"))
    report = reported(pbxbill("mediate", file, *MASTER, "--json"))
    assert counts(report) == {"read": 2, "rated": 2}
    money = {x["account"]: (x["records"], x["total"], x["uncollected"]) for x in report["money"]}
    assert money == {
        "bob": (1, "0.12", "0.00"),
        "alice": (1, "0.1428", "0.00"),
        "reseller": (1, "0.06", "0.00"),
    }
    assert accounts.wallet("bob") == (eur("9.88"), 0, 0)
    assert accounts.problems() == []


def test_a_second_import_does_nothing_nor_does_the_same_record_in_another_file(
    accounts: BilledAccounts, pbxbill: Run, tmp_path: Path
) -> None:
    calls = [MasterLine(number) for number in range(1, 5)]
    first = write_master(tmp_path / "Master.csv", *calls)
    other = write_master(tmp_path / "Master.csv.1", *reversed(calls), MasterLine(9))
    assert counts(reported(pbxbill("mediate", first, *MASTER, "--json"))) == {"read": 4, "rated": 4}
    assert counts(reported(pbxbill("mediate", first, *MASTER, "--json"))) == {"read": 4, "duplicates": 4}
    report = reported(pbxbill("mediate", other, *MASTER, "--json"))
    assert counts(report) == {"read": 5, "rated": 1, "duplicates": 4}
    assert accounts.wallet("bob") == (eur("10") - 5 * eur("0.12"), 0, 0)


def test_unanswered_calls_are_recorded_and_cost_nothing(
    accounts: BilledAccounts, pbxbill: Run, tmp_path: Path
) -> None:
    file = write_master(tmp_path / "Master.csv", MasterLine(1, answered_s=None), MasterLine(2, dstchannel=""))
    report = reported(pbxbill("mediate", file, *MASTER, "--json"))
    assert counts(report) == {"read": 2, "filtered": 1, "unanswered": 1}
    ((answered_us, cause, evidence),) = accounts.select(
        "SELECT answered_us, hangup_cause, evidence FROM cdrs"
    )
    assert (answered_us, cause, evidence) == (None, 19, "import")
    assert accounts.wallet("bob") == (eur("10"), 0, 0)
    assert accounts.problems() == []


@pytest.mark.parametrize("named", [(), ("--switch", "pbx"), ("--switch", "another")])
def test_a_call_that_a_daemon_charged_is_not_charged_again(
    accounts: BilledAccounts, pbxbill: Run, tmp_path: Path, named: tuple[str, ...]
) -> None:
    from pbxbill.charging.events import Settle

    live, ended = MasterLine(1), MasterLine(2)
    with accounts.engine() as engine:
        for number, is_live in ((1, True), (2, False)):
            request = replace(accounts.request("bob"), switch="pbx", call_id=f"1772359200.{number}")
            engine.execute(request)
            if not is_live:
                engine.execute(Settle(request.session_id, request.at_us, request.at_us + 60_000_000, 16))
    balance = accounts.wallet("bob")
    file = write_master(tmp_path / "Master.csv", live, ended, MasterLine(3))
    report = reported(pbxbill("mediate", file, *MASTER, *named, "--json"))
    if "another" in named:  # its calls may have the same ids
        assert counts(report) == {"read": 3, "rated": 3}
        return
    assert counts(report) == {"read": 3, "rated": 1, "duplicates": 2}
    assert accounts.wallet("bob")[0] == balance[0] - eur("0.12")


def test_each_call_is_rated_by_the_tariff_version_of_its_time(
    accounts: BilledAccounts, pbxbill: Run, tmp_path: Path
) -> None:
    database = open_engine(accounts.url)
    with transaction(database) as session:  # from noon on, bob pays the wholesale prices
        add_tariff_version(session, NewTariff("plain", "wholesale"), 1_772_366_400_000_000)
    database.dispose()
    late = str(MasterLine(2)).replace("2026-03-01 10:", "2026-03-01 13:")
    file = write_master(tmp_path / "Master.csv", MasterLine(1), late)
    report = reported(pbxbill("mediate", file, *MASTER, "--json"))
    assert [x["total"] for x in report["money"]] == ["0.18"]
    assert accounts.problems() == []


def test_what_cannot_be_rated_is_kept_told_corrected_and_retried(
    accounts: BilledAccounts, pbxbill: Run, tmp_path: Path
) -> None:
    lines = [MasterLine(1, "nobody"), MasterLine(2, dst="999"), MasterLine(3, dst="s"), MasterLine(4)]
    file = write_master(tmp_path / "Master.csv", *lines)
    report = reported(pbxbill("mediate", file, *MASTER, "--json"), exit_code=3)
    assert counts(report) == {"read": 4, "rated": 1, "quarantined": 3}
    assert report["reasons"] == {"account_unknown": 1, "number_unusable": 1, "rate_missing": 1}
    ((kind, detail),) = accounts.select("SELECT kind, detail FROM alerts")
    assert kind == "quarantine"
    assert "3 records" in detail

    shown = json.loads(pbxbill("quarantine", "list", "--json").stdout)
    assert [(x["line"], x["reason"]) for x in shown] == [
        (1, "account_unknown"),
        (2, "rate_missing"),
        (3, "number_unusable"),
    ]
    assert "no account has sip 'nobody'" in shown[0]["detail"]
    database = open_engine(accounts.url)
    with transaction(database) as session:
        add_endpoint(session, account_by_code(session, "bob"), "sip", "nobody")
    database.dispose()
    assert "1 tried: 1 posted" in pbxbill("quarantine", "retry", "--reason", "account_unknown").stdout
    assert pbxbill("quarantine", "edit", shown[1]["id"], f"dst={FRANCE}").exit_code == 0
    retried = pbxbill("quarantine", "retry", "--all").stdout
    assert "2 tried: 1 posted, 1 still in quarantine" in retried
    assert pbxbill("quarantine", "drop", shown[2]["id"]).exit_code == 0
    assert json.loads(pbxbill("quarantine", "list", "--json").stdout) == []
    # bob: two calls to Germany, one to France
    assert accounts.wallet("bob") == (eur("10") - 2 * eur("0.12") - eur("0.35"), 0, 0)
    report = reported(pbxbill("mediate", file, *MASTER, "--json"))
    assert counts(report) == {"read": 4, "duplicates": 4}, "neither what was corrected nor what was dropped"
    assert accounts.problems() == []


def test_a_record_in_quarantine_is_posted_by_an_import_that_can_rate_it(
    accounts: BilledAccounts, pbxbill: Run, tmp_path: Path
) -> None:
    file = write_master(tmp_path / "Master.csv", MasterLine(1, "nobody"))
    reported(pbxbill("mediate", file, *MASTER, "--json"), exit_code=3)
    report = reported(pbxbill("mediate", file, *MASTER, "--json"))
    assert counts(report) == {"read": 1, "duplicates": 1}, "it is in quarantine already"
    database = open_engine(accounts.url)
    with transaction(database) as session:
        add_endpoint(session, account_by_code(session, "bob"), "sip", "nobody")
    database.dispose()
    assert counts(reported(pbxbill("mediate", file, *MASTER, "--json"))) == {"read": 1, "rated": 1}
    assert accounts.select("SELECT state FROM quarantined_records") == [("posted",)]


def test_used_is_owed_even_without_funds(accounts: BilledAccounts, pbxbill: Run, tmp_path: Path) -> None:
    file = write_master(tmp_path / "Master.csv", MasterLine(1, "hot", ended_s=605))
    report = reported(pbxbill("mediate", file, *MASTER, "--json"))
    assert report["money"] == [
        {"account": "hot", "unit": "EUR", "records": 1, "total": "1.20", "uncollected": "0.00"}
    ]
    assert accounts.wallet("hot") == (-eur("1.20"), 0, eur("1.20"))


def test_a_dry_run_says_the_same_and_posts_nothing(
    accounts: BilledAccounts, pbxbill: Run, tmp_path: Path
) -> None:
    file = write_master(tmp_path / "Master.csv", MasterLine(1), MasterLine(2, "nobody"))
    report = reported(pbxbill("mediate", file, *MASTER, "--dry-run", "--json"), exit_code=3)
    assert counts(report) == {"read": 2, "rated": 1, "quarantined": 1}
    assert [x["total"] for x in report["money"]] == ["0.12"]
    for table in ("cdrs", "mediation_runs", "quarantined_records", "alerts"):
        assert accounts.select(f"SELECT COUNT(*) FROM {table}") == [(0,)]


def test_a_mapping_that_does_not_fit_posts_nothing(
    accounts: BilledAccounts, pbxbill: Run, tmp_path: Path
) -> None:
    file = tmp_path / "other.csv"
    file.write_text("a,b,c\n1,2,3\n4,5,6\n")
    result = pbxbill("mediate", file, *MASTER)
    assert result.exit_code == 2
    assert "has 3 columns instead of 16 to 21: accountcode, src, dst" in result.stderr
    assert "take another one; nothing of it was posted" in result.stderr
    assert accounts.select("SELECT COUNT(*) FROM quarantined_records") == [(0,)]


def test_local_times_need_a_zone(accounts: BilledAccounts, pbxbill: Run, tmp_path: Path) -> None:
    file = write_master(tmp_path / "Master.csv", MasterLine(1))
    result = pbxbill("mediate", file, "--format", "asterisk-csv")
    assert result.exit_code == 2
    assert "name it with --zone" in result.stderr


def test_a_folders_files_are_moved_when_they_are_dealt_with(
    accounts: BilledAccounts, pbxbill: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_master(folder / "a.csv", MasterLine(1), MasterLine(2))
    write_master(folder / "b.csv", "x,y", "z,w")
    write_master(folder / "c.csv", MasterLine(3))
    write_master(folder / "d.csv.tmp", MasterLine(4))
    result = pbxbill("mediate", folder, *MASTER, "--settle-s", 0, "--json")
    report = reported(result, exit_code=3)
    assert counts(report) == {"read": 3, "rated": 3}
    assert "b.csv" in report["detail"]
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert left == ["d.csv.tmp", "done/a.csv", "done/c.csv", "failed/b.csv"]


def test_standard_input_and_a_mapping_of_ones_own(
    accounts: BilledAccounts, ok: Ok, tmp_path: Path, database_url: str
) -> None:
    mapping = tmp_path / "acme.toml"
    mapping.write_text(
        """
name = "acme"
fingerprint = ["ref"]
[file]
type = "csv"
delimiter = ";"
[time]
form = "%d.%m.%Y %H:%M:%S"
zone = "Europe/Berlin"
[account]
sip = "customer"
[fields]
called = "number"
started = "begin"
duration = { column = "length", unit = "h:mm:ss" }
[[filter]]
column = "kind"
among = ["voice", "fax"]
"""
    )
    data = (
        "ref;customer;number;begin;length;kind\n"
        f"A1;bob;{GERMANY};01.07.2026 12:00:00;0:01:00;voice\n"
        f"A2;bob;{GERMANY};01.07.2026 12:00:00;0:02:00;sms\n"
    )
    command = [sys.executable, "-m", "pbxbill", "--config", str(tmp_path / "pbxbill.toml")]
    process = subprocess.run(
        [*command, "mediate", "-", "--format", str(mapping), "--json"],
        input=data.encode(),
        capture_output=True,
        env=FROM_HERE,
        check=False,
        timeout=60,
    )
    assert process.returncode == 0, process.stderr
    report = json.loads(process.stdout)
    assert counts(report) == {"read": 2, "filtered": 1, "rated": 1}
    ((started_us, ended_us),) = accounts.select("SELECT started_us, ended_us FROM cdrs")
    assert (started_us, ended_us - started_us) == (1_782_900_000_000_000, 60_000_000)


def test_freeswitch_json_is_charged_from_the_bridge(
    accounts: BilledAccounts, pbxbill: Run, tmp_path: Path
) -> None:
    database = open_engine(accounts.url)
    with transaction(database) as session:
        add_endpoint(session, account_by_code(session, "bob"), "sip", "acct_1010")
    database.dispose()
    folder = tmp_path / "json"
    folder.mkdir()
    for path in RECORDED_BY_FREESWITCH.glob("*.cdr.json"):
        text = path.read_text().replace("00155512345", GERMANY)
        # The recording lies in the future of some clocks; a call of the past is what mediation reads.
        (folder / path.name).write_text(text.replace('epoch":"1795', 'epoch":"1775'))
    result = pbxbill("mediate", folder, "--format", "freeswitch-json", "--settle-s", 0, "--json")
    report = reported(result)
    assert counts(report) == {"read": 2, "filtered": 1, "rated": 1}
    ((answered_us, ended_us, ringing_us),) = accounts.select(
        "SELECT answered_us, ended_us, ringing_us FROM cdrs"
    )
    assert (answered_us, ended_us, ringing_us) == (1_775_291_730_179_674, 1_775_291_731_219_723, 0)


@pytest.mark.parametrize("form", ["json", "csv"])
def test_the_gateway_of_a_freeswitch_call_tells_what_its_carrier_asks(
    accounts: BilledAccounts, ok: Ok, tmp_path: Path, form: str
) -> None:
    """As the caller's leg has it where the dialplan imports sip_gateway_name."""
    ok("carriers", "add", "Carrier", "--tariff", "wholesale")
    ok("gateways", "set", "my-carrier.1", "Carrier")
    recording = RECORDED_BY_FREESWITCH / "a_fa2f0760-22e6-4a48-a89e-5ef84b410c52.cdr.json"
    file = tmp_path / f"cdr.{form}"
    if form == "json":
        text = recording.read_text().replace("00155512345", GERMANY).replace('epoch":"1795', 'epoch":"1775')
        text = text.replace('"acct_1010"', '"bob"')
        file.write_text(text.replace('"variables":{', '"variables":{"sip_gateway_name":"my-carrier.1",', 1))
    else:
        line = ("Al", "4930111", GERMANY, "default", *(["2026-03-01 10:00:00"] * 2), "2026-03-01 10:00:30")
        line += ("30", "30", "NORMAL_CLEARING", "a1", "b1", "bob", "PCMU", "PCMU", "my-carrier.1")
        file.write_text(",".join(f'"{cell}"' for cell in line) + "\n")
    zone = ("--zone", "UTC") if form == "csv" else ()
    ok("mediate", file, "--format", f"freeswitch-{form}", *zone)
    seconds = {"json": 2, "csv": 30}[form]
    assert accounts.select("SELECT gateway, billable_s, cost FROM call_costs") == [
        ("my-carrier.1", seconds, seconds * eur("0.001"))
    ]


def test_killed_in_the_middle_it_goes_on_where_it_stopped(
    accounts: BilledAccounts, pbxbill: Run, tmp_path: Path
) -> None:
    """kill -9, several times, anywhere: nothing is lost, nothing charged twice, the report is exact."""
    lines = 6_000
    accounts.top_up("bob", "990")
    file = write_master(tmp_path / "Master.csv", *(MasterLine(n, ended_s=35) for n in range(lines)))
    command = [sys.executable, "-m", "pbxbill", "--config", str(tmp_path / "pbxbill.toml")]
    command += ["mediate", str(file), *MASTER]
    seen = 0
    for _ in range(3):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=FROM_HERE
        )
        try:
            while process.poll() is None:
                found = accounts.select("SELECT line FROM mediation_runs")
                if found and found[0][0] > seen + 500:
                    break
                time.sleep(0.01)  # nothing of its progress can be awaited
            os.kill(process.pid, signal.SIGKILL)
        finally:
            process.wait(30)
        ((seen,),) = accounts.select("SELECT line FROM mediation_runs")
    assert 0 < seen < lines, "it was killed in the middle"
    report = reported(pbxbill("mediate", file, *MASTER, "--json"))
    assert counts(report) == {"read": lines, "rated": lines}
    assert [x["total"] for x in report["money"]] == ["360.00"]
    assert accounts.select("SELECT COUNT(*) FROM mediation_runs") == [(1,)]
    assert accounts.wallet("bob")[0] == eur("1000") - lines * eur("0.06")
    assert accounts.problems() == []
