"""Sending, looking at and mending messages from the command line."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pbxbill.cli import cli
from pbxbill.notify.outbox import NewMessage, enqueue
from pbxbill.store.engine import open_engine, transaction
from tests.notify.mail_servers import Inbox, inbox
from tests.notify.test_bounces import notification
from tests.store.billed_accounts import CLOCK, BilledAccounts
from tests.store.command_line import Ok, Run


@pytest.fixture
def waiting(accounts: BilledAccounts) -> int:
    """A message of the reseller's to alice's address waits."""
    database = open_engine(accounts.url)
    message = NewMessage(
        "invoice:1",
        accounts.ids["reseller"],
        accounts.ids["alice"],
        "invoice",
        "alice@example.com",
        "Invoice",
        "Hi",
    )
    with transaction(database) as session:
        assert enqueue(session, message, CLOCK.now_us())
    database.dispose()
    return 1


def server(ok: Ok, port: int, code: str = "reseller") -> None:
    words = ["--host", "127.0.0.1", "--port", port, "--security", "none", "--sender", "bills@phones.example"]
    ok("mail", "set", code, *words)


def test_what_waits_is_sent_by_the_issuers_server_and_listed(waiting: int, ok: Ok) -> None:
    with inbox() as (kept, settings):
        server(ok, settings.port)
        assert ok("mail", "send") == "1 sent, 0 tried again later, 0 given up\n"
        assert [envelope.mail_from for envelope in kept.messages] == ["bills@phones.example"]
        assert ok("mail", "send") == "0 sent, 0 tried again later, 0 given up\n"
    (row,) = json.loads(ok("mail", "list", "--json"))
    assert (row["state"], row["recipient"]) == ("sent", "alice@example.com")
    assert json.loads(ok("mail", "list", "--state", "waiting", "--json")) == []
    assert "1 sent" in ok("mail", "list", "--account", "alice")


def test_a_message_that_came_back_is_recorded_and_sent_again(
    waiting: int, ok: Ok, pbxbill: Run, tmp_path: Path
) -> None:
    with inbox() as (kept, settings):
        server(ok, settings.port)
        ok("mail", "send")
        (row,) = json.loads(ok("mail", "list", "--json"))
        returned = notification().replace(b"0195aa@", f"{row['message_id']}@".encode())
        words = ["--config", str(tmp_path / "pbxbill.toml"), "mail", "bounce"]
        result = CliRunner().invoke(cli, words, input=returned)
        assert result.output == f"message {row['id']} bounced\n"
        (row,) = json.loads(ok("mail", "list", "--json"))
        assert row["state"] == "bounced"
        assert "Recipient address rejected" in row["error"]
        assert ok("mail", "retry", row["id"]) == "1 of 1 wait again\n"
        ok("mail", "send")
        assert len(kept.messages) == 2


def test_a_test_message_says_what_the_server_answered(accounts: BilledAccounts, ok: Ok, pbxbill: Run) -> None:
    with inbox() as (kept, settings):
        server(ok, settings.port)
        assert "took it for me@example.com" in ok("mail", "test", "reseller", "me@example.com")
        kept.answers["gone@example.com"] = "550 no such user"
        refused = pbxbill("mail", "test", "reseller", "gone@example.com")
    assert refused.exit_code == 2
    assert "550 no such user" in refused.stderr
    assert isinstance(kept, Inbox)


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["alice", "--sender", "a@b.example"], "is a customer"),
        (["reseller", "--sender", "nobody"], "no e-mail address"),
        (["reseller"], "say what to set"),
    ],
)
def test_settings_that_cannot_be_meant(
    accounts: BilledAccounts, pbxbill: Run, words: list[str], sentence: str
) -> None:
    refused = pbxbill("mail", "set", *words)
    assert refused.exit_code == 2
    assert sentence in refused.stderr


def test_resellers_without_a_server_send_by_the_operators(
    waiting: int, ok: Ok, pbxbill: Run, tmp_path: Path
) -> None:
    with inbox() as (kept, settings):
        config = tmp_path / "pbxbill.toml"
        mail = f'[mail]\nhost = "127.0.0.1"\nport = {settings.port}\n'
        mail += 'security = "none"\nsender = "billing@op.example"\n'
        config.write_text(config.read_text() + mail)
        assert json.loads(ok("mail", "show", "reseller", "--json"))["sender"] == "billing@op.example"
        assert ok("mail", "send") == "1 sent, 0 tried again later, 0 given up\n"
        assert [envelope.mail_from for envelope in kept.messages] == ["billing@op.example"]
