"""dunning, penalties, promises, ageing and disputes on the command line; docs/dunning.md shows the rest."""

import csv
import io
from pathlib import Path

import pytest

from pbxbill.cli import context
from pbxbill.clock import ManualClock
from tests.store.command_line import Ok, Run, shown
from tests.store.documented import moment_us

POLICY = """\
quiet_days = ["12-24"]
minimum = { EUR = "5" }
brake = "0"
brake_accounts = 0
[[level]]
days = 3
action = "bar_outgoing"
words = { en = "{open}" }
[[level]]
days = 9
action = "terminate"
[[level]]
days = 12
action = "collection"
"""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, ok: Ok, tmp_path: Path) -> ManualClock:
    """dora's invoice over 100.00 is due on 15 February."""
    clock = ManualClock(moment_us("2026-01-01 07:00"))
    monkeypatch.setattr(context, "SystemClock", lambda: clock)
    ok("init")
    ok("accounts", "add", "dora", "--mode", "postpaid", "--limit", 100, "--unit", "EUR")
    ok("parties", "set", "dora", "--legal-name", "=Dora", "--city", "Köln", "--email", "dora@example.org")
    ok("billing", "set", "dora", "--invoicing", "issue")
    ok("charges", "add", "dora", "Support", 100, "--reason", "as agreed")
    clock.step(moment_us("2026-02-01 05:00") - clock.now_us())
    ok("bill", "run")
    (tmp_path / "policy.toml").write_text(POLICY)
    ok("dunning", "import", "hard", "policy.toml", "--standard", "--group", "late")
    return clock


def at(clock: ManualClock, moment: str) -> None:
    clock.step(moment_us(moment) - clock.now_us())


def test_policies_are_listed_shown_paused_and_assigned(ok: Ok, pbxbill: Run, clock: ManualClock) -> None:
    (listed,) = shown(ok, "dunning", "policies")
    assert (listed["policy"], listed["standard"], listed["groups"]) == ("hard", True, ["late"])
    facts = shown(ok, "dunning", "show", "hard")
    assert facts["minimum"] == ["5.00 EUR"]
    assert facts["quiet_days"] == ["12-24"]
    assert [x["action"] for x in facts["levels"]] == ["bar_outgoing", "terminate", "collection"]
    assert "12-24" in ok("dunning", "show", "hard")
    ok("dunning", "pause", "hard")
    assert "paused" in ok("dunning", "policies")
    ok("dunning", "release", "hard")
    assert pbxbill("dunning", "release", "hard").exit_code == 2
    ok("dunning", "assign", "dora", "--policy", "hard")
    ok("dunning", "assign", "dora", "--policy", "")
    assert pbxbill("dunning", "assign", "dora").exit_code == 2
    assert pbxbill("dunning", "assign", "dora", "--penalty", "none").exit_code == 2


def test_penalty_classes_are_listed(ok: Ok, pbxbill: Run, clock: ManualClock, tmp_path: Path) -> None:
    (tmp_path / "late.toml").write_text('unit = "EUR"\npercent = "1.5"\nperiod = "month"\ncap = "40"\n')
    ok("penalties", "import", "late", "late.toml")
    (row,) = shown(ok, "penalties", "list")
    assert (row["percent"], row["period"], row["cap"]) == ("1.5", "month", "40.00")
    (tmp_path / "late.toml").write_bytes(b"\xff\xfe")
    assert "is not UTF-8" in pbxbill("penalties", "import", "late", "late.toml").output


def test_the_brake_a_release_the_end_and_what_is_lifted_by_hand(
    ok: Ok, pbxbill: Run, clock: ManualClock
) -> None:
    at(clock, "2026-02-18 12:00")
    assert "policy hard would stop: 1 of 1 accounts" in ok("dunning", "run", "--dry-run")
    stopped = pbxbill("dunning", "run")
    assert stopped.exit_code == 1
    assert "policy hard stopped: 1 accounts, 0 allowed" in stopped.stdout
    ok("dunning", "release", "hard")
    assert "1 bar outgoing" in ok("dunning", "run")
    for day in ("02-24", "02-27"):
        at(clock, f"2026-{day} 12:00")
        pbxbill("dunning", "run")
        if "stopped" in ok("dunning", "policies"):
            ok("dunning", "release", "hard")
        ok("dunning", "run", "--json")
    steps = shown(ok, "dunning", "steps", "INV-2026-00001")
    assert [x["action"] for x in steps] == ["bar outgoing", "terminate", "collection"]
    (row,) = csv.DictReader(io.StringIO(ok("dunning", "collection")))
    assert (row["account"], row["legal_name"], row["overdue"]) == ("dora", "'=Dora", "100.00")
    ok("payments", "record", "dora", 100)
    assert shown(ok, "accounts", "show", "dora")["status"] == "terminated"
    assert pbxbill("dunning", "lift", "INV-2026-00001").exit_code == 2
    ok("dunning", "lift", "INV-2026-00001", "--reason", "he comes back")
    assert shown(ok, "accounts", "show", "dora")["status"] == "active"
    assert pbxbill("dunning", "lift", "INV-2026-00001", "--reason", "again").exit_code == 2


def test_disputes_with_files(ok: Ok, pbxbill: Run, clock: ManualClock, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("not me")
    assert pbxbill("disputes", "attach", "INV-2026-00001", "letter.txt").exit_code == 2
    ok("invoices", "dispute", "INV-2026-00001", "--amount", 30, "--reason", "not ours")
    ok("disputes", "attach", "INV-2026-00001", "letter.txt", "--by", "ann")
    (listed,) = shown(ok, "disputes", "list")
    assert (listed["account"], listed["disputed"], listed["open"]) == ("dora", "30.00", "100.00")
    facts = shown(ok, "disputes", "show", "INV-2026-00001")
    assert [x["what"] for x in facts["thread"]] == ["disputed", "dispute file"]
    (file,) = facts["files"]
    (tmp_path / "out").mkdir()
    ok("disputes", "file", "INV-2026-00001", file["file"], "--to", "out")
    assert (tmp_path / "out" / "letter.txt").read_text() == "not me"
    assert pbxbill("disputes", "file", "INV-2026-00001", file["file"], "--to", "out").exit_code == 2


def test_who_owes_what(ok: Ok, clock: ManualClock) -> None:
    at(clock, "2026-03-20 12:00")
    (row,) = shown(ok, "ageing")
    assert (row["account"], row["open"], row["31-60"]) == ("dora", "100.00", "100.00")
    assert ok("ageing", "--csv").splitlines()[0].startswith("account,name,unit,invoices,open,current")
    assert shown(ok, "ageing", "--at", "2026-01-31") == []
    facts = shown(ok, "ageing", "dora")
    assert facts["invoices"][0]["days_late"] == 33
    assert facts["behaviour"]["paid_invoices"] == 0
    assert shown(ok, "promises", "list") == []
