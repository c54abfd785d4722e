"""Commands stand in the audit log: who, which, about what, and what they changed."""

import getpass
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from pbxbill.access.audit import MAX_ROWS
from pbxbill.store.access_models import AuditRow
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.models import AccountRow
from tests.store.command_line import Ok, Run


@dataclass(frozen=True, slots=True)
class Said:
    action: str
    subject: str
    account: str | None
    changes: list[dict[str, Any]]
    text: str


@dataclass(frozen=True, slots=True)
class Log:
    url: str

    def read(self) -> list[Said]:
        """All that is in it since init, the oldest first."""
        database = open_engine(self.url)
        with transaction(database) as session:
            codes = {x.id: x.code for x in session.scalars(select(AccountRow))}
            rows = session.scalars(select(AuditRow).order_by(AuditRow.id)).all()
        database.dispose()
        assert {x.actor for x in rows} <= {f"cli:{getpass.getuser()}"}
        return [
            Said(x.action, x.subject, codes.get(x.account_id or 0), json.loads(x.changes), x.changes)
            for x in rows
        ]


@pytest.fixture
def log(ok: Ok, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Log:
    monkeypatch.delenv("SUDO_USER", raising=False)
    ok("init")
    ok("accounts", "add", "alice", "--unit", "EUR")
    return Log(database_url)


def test_a_command_that_changes_rows(log: Log, ok: Ok) -> None:
    ok("accounts", "suspend", "alice", "--reason", "stolen phone")
    added, barred = log.read()
    assert (added.action, added.subject, added.account) == ("accounts add", "alice", "alice")
    assert any(x["table"] == "accounts" and x["after"]["code"] == "alice" for x in added.changes)
    assert (barred.action, barred.account) == ("accounts suspend", "alice")
    assert "stolen phone" in barred.text


def test_a_command_that_moves_money(log: Log, ok: Ok) -> None:
    ok("topup", "alice", "10")
    ok("adjust", "alice", "5", "--memo", "goodwill")
    ok("accounts", "limit", "alice", "20")
    paid, adjusted, limited = log.read()[1:]
    assert (paid.action, paid.subject, paid.account) == ("topup", "alice 10", "alice")
    assert (adjusted.action, adjusted.subject, adjusted.account) == ("adjust", "alice 5", "alice")
    (entry,) = (x for x in paid.changes if x["table"] == "journal_entries")
    assert entry["after"] == {"kind": "top-up", "amount": 10_000_000, "unit": "EUR"}
    assert (limited.action, limited.subject, limited.account) == ("accounts limit", "alice 20", "alice")


def test_who_is_let_in_by_a_command(log: Log, ok: Ok) -> None:
    ok("users", "add", "Al@example.com", "--account", "alice", "--role", "customer")
    ok("users", "disable", "al@example.com")
    added, disabled = log.read()[1:]
    assert (added.action, added.subject, added.account) == ("users add", "Al@example.com", "alice")
    assert (disabled.action, disabled.account) == ("users disable", "alice")


def test_what_only_reads_or_fails_is_not_told(log: Log, ok: Ok, pbxbill: Run) -> None:
    before = log.read()
    ok("accounts", "list")
    ok("accounts", "show", "alice")
    ok("verify")
    assert pbxbill("accounts", "suspend", "nobody").exit_code == 2
    assert pbxbill("topup", "alice", "-5").exit_code == 2
    assert log.read() == before


def test_secrets_are_not_told(log: Log, ok: Ok) -> None:
    secret = "whsec_" + "A" * 43 + "="
    ok("webhooks", "add", "alice", "https://alice.example/notices", "--secret", secret)
    added = log.read()[-1]
    assert added.action == "webhooks add"
    assert secret not in added.text + added.subject


def test_what_a_command_does_in_bulk_is_told_once_and_short(log: Log, ok: Ok, tmp_path: Path) -> None:
    sheet = tmp_path / "dids.csv"
    sheet.write_text("number\n" + "".join(f"4930{place:06}\n" for place in range(3 * MAX_ROWS)))
    before = len(log.read())
    ok("dids", "import", str(sheet))
    (imported,) = log.read()[before:]
    assert len(imported.changes) == MAX_ROWS + 1
    assert imported.changes[-1]["more"] >= 2 * MAX_ROWS
