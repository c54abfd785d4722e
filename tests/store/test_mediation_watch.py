"""Files that grow, events, and what is told while a source is watched."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pbxbill.store.accounts import account_by_code
from pbxbill.store.catalogue_models import ServiceTariffRow
from pbxbill.store.decks import NewDeckVersion, import_deck_version
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.tariffs import NewTariff, add_tariff_version
from tests.small_operator import eur
from tests.store.billed_accounts import CLOCK, BilledAccounts, rate
from tests.store.command_line import Run
from tests.store.mediated_calls import MasterLine, write_master

FROM_HERE = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent.parent)}
SMS = """
name = "smsc"
kind = "event"
fingerprint = ["id"]
[file]
type = "json"
[time]
form = "iso"
[account]
sip = "user"
[fields]
at = "time"
called = "to"
quantity = "parts"
measure = { constant = "messages" }
"""


@pytest.fixture
def accounts(accounts: BilledAccounts) -> BilledAccounts:
    accounts.top_up("bob", "10")
    return accounts


def test_a_file_that_grows_is_followed_whole_line_by_whole_line(
    accounts: BilledAccounts, tmp_path: Path, pbxbill: Run
) -> None:
    file = write_master(tmp_path / "Master.csv", MasterLine(1), MasterLine(2))
    third = str(MasterLine(3))
    with file.open("a") as growing:
        growing.write(third[:40])
    command = [sys.executable, "-m", "pbxbill", "--config", str(tmp_path / "pbxbill.toml"), "mediate"]
    process = subprocess.Popen(
        [*command, str(file), "--format", "asterisk-csv", "--zone", "UTC", "--watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=FROM_HERE,
    )
    ended = threading.Timer(60, process.kill)
    ended.start()
    try:
        assert process.stdout is not None
        assert "read 2, rated 2" in process.stdout.readline(), "the line that is being written waits"
        with file.open("a") as growing:
            growing.write(third[40:] + "\n")
        assert "read 3, rated 3" in process.stdout.readline()
        file.rename(tmp_path / "Master.csv.1")  # the log is rotated
        write_master(file, MasterLine(4))
        assert "read 4, rated 4" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        ended.cancel()
        process.kill()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()
    assert accounts.select("SELECT COUNT(*), MAX(rated) FROM mediation_runs") == [(1, 4)]
    assert accounts.wallet("bob")[0] == eur("10") - 4 * eur("0.12")


def test_a_last_line_without_an_end_is_kept_aside_and_a_whole_file_posts_it(
    accounts: BilledAccounts, pbxbill: Run, tmp_path: Path
) -> None:
    file = write_master(tmp_path / "Master.csv", MasterLine(1), MasterLine(2))
    whole = file.read_text()
    file.write_text(whole[:-30])
    result = pbxbill("mediate", file, "--format", "asterisk-csv", "--zone", "UTC")
    assert result.exit_code == 3
    assert accounts.select("SELECT reason, line FROM quarantined_records") == [("cut", 2)]
    file.write_text(whole)
    result = pbxbill("mediate", file, "--format", "asterisk-csv", "--zone", "UTC")
    assert result.exit_code == 0, result.output
    assert accounts.wallet("bob")[0] == eur("10") - 2 * eur("0.12")


def test_messages_are_charged_by_the_accounts_tariff_for_them(
    accounts: BilledAccounts, pbxbill: Run, tmp_path: Path
) -> None:
    """Three parts at 0.05 each; once."""
    database = open_engine(accounts.url)
    version = NewDeckVersion("sms", "EUR", "sms.csv", 0, measure="messages")
    import_deck_version(database, version, [rate("49", "Germany", "0.05")], CLOCK)
    with transaction(database) as session:
        tariff = add_tariff_version(session, NewTariff("sms", "sms"), 0)
        bob = account_by_code(session, "bob")
        session.add(ServiceTariffRow(account_id=bob.id, service="messages", tariff_id=tariff.tariff_id))
    database.dispose()
    (tmp_path / "sms.toml").write_text(SMS)
    event = {"id": 1, "user": "bob", "time": "2026-03-01T11:00:00Z", "to": "4930123456", "parts": 3}
    file = tmp_path / "sms.jsonl"
    file.write_text(f"{json.dumps(event)}\n{json.dumps(event | {'id': 2, 'user': 'alice'})}\n")
    for expected in (3, 0):
        result = pbxbill("mediate", file, "--format", tmp_path / "sms.toml")
        assert result.exit_code == expected, result.output
    assert accounts.select("SELECT reason FROM quarantined_records") == [("account_incomplete",)]
    assert accounts.wallet("bob")[0] == eur("9.85")


MASTER = ("--format", "asterisk-csv", "--zone", "UTC", "--settle-s", 0, "--json")


def test_a_folder_reads_no_links_nor_pipes(accounts: BilledAccounts, pbxbill: Run, tmp_path: Path) -> None:
    """Whoever may put files there must not have others read, or moved away."""
    elsewhere = write_master(tmp_path / "elsewhere.csv", MasterLine(1))
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.csv").symlink_to(elsewhere)
    (folder / "b.csv").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "c.csv")
    write_master(folder / "d.csv", MasterLine(2))
    (folder / os.fsdecode(b"e\xff.csv")).write_text(f"{MasterLine(3)}\n")
    result = pbxbill("mediate", folder, *MASTER)
    assert result.exit_code == 3, result.output
    report = json.loads(result.stdout[result.stdout.index("{") :])
    assert (report["read"], report["rated"]) == (1, 1)
    for name, why in (("a", "is a link"), ("b", "is a link"), ("c", "is a pipe"), ("e\\udcff", "no UTF-8")):
        assert f"{name}.csv" in report["detail"]
        assert why in report["detail"]
    assert elsewhere.exists()
    assert sorted(os.listdir(folder)) == sorted(
        ["a.csv", "b.csv", "c.csv", "done", os.fsdecode(b"e\xff.csv")]
    )


@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["posted", "dry run"])
def test_a_folder_says_how_many_files_are_too_young(
    accounts: BilledAccounts, pbxbill: Run, tmp_path: Path, more: tuple[str, ...]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    os.utime(write_master(folder / "a.csv", MasterLine(1)), (1, 1))
    for number, said in ((2, "1 file is left for the next run"), (3, "2 files are left for the next run")):
        write_master(folder / f"{number}.csv", MasterLine(number))
        words = ("--format", "asterisk-csv", "--zone", "UTC", "--settle-s", 3600, *more)
        told = pbxbill("mediate", folder, *words)
        assert told.exit_code == 0, told.output
        assert f"{said}: written to less than 3600 s ago" in told.stdout
    result = pbxbill("mediate", folder, *MASTER, *more)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout[result.stdout.index("{") :])
    assert (report["read"], report["detail"]) == (3 if more else 2, "")


def test_files_are_not_moved_through_a_link(accounts: BilledAccounts, pbxbill: Run, tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "in", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "done").symlink_to(elsewhere)
    write_master(folder / "a.csv", MasterLine(1))
    result = pbxbill("mediate", folder, *MASTER)
    assert result.exit_code == 2
    assert "done is a link or no folder" in result.stderr
    assert os.listdir(elsewhere) == []
    assert accounts.select("SELECT COUNT(*) FROM cdrs") == [(0,)]


@pytest.mark.parametrize("watched", [(), ("--watch",)])
def test_pipes_and_devices_are_refused(
    accounts: BilledAccounts, pbxbill: Run, tmp_path: Path, watched: tuple[str, ...]
) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "pipe.csv", "/dev/zero"):
        result = pbxbill("mediate", path, *MASTER, *watched)
        assert result.exit_code == 2, result.output
        assert "is a pipe, a device or the like; nothing was read" in result.stderr


def test_a_name_that_no_database_takes_is_refused(
    accounts: BilledAccounts, pbxbill: Run, tmp_path: Path
) -> None:
    file = write_master(tmp_path / os.fsdecode(b"\xff.csv"), MasterLine(1))
    result = pbxbill("mediate", file, *MASTER)
    assert result.exit_code == 2
    assert "is no UTF-8; rename it" in result.stderr
