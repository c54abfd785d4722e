"""Secrets stand in the database sealed, and are read as they were."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from pbxbill.access.key_file import KeyFile
from pbxbill.access.sealing import fresh_sealer, make_key_file
from pbxbill.billing.notices.webhook_endpoints import add_endpoint, end_rotation, rotate
from pbxbill.errors import ConfigurationError
from pbxbill.notify.webhook import new_secret
from pbxbill.store.accounts import account_by_code
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.notice_models import WebhookEndpointRow
from pbxbill.store.sealed import MARK, count_sealed, seal_plain
from tests.compiled_once import seal_with
from tests.store.billed_accounts import BilledAccounts
from tests.store.command_line import Ok, Run, shown

URL = "https://alice.example/notices"


def opened(accounts: BilledAccounts, key: Path | None) -> Engine:
    database = open_engine(accounts.url)
    if key is not None:
        seal_with(database, KeyFile(key))
    return database


def added(database: Engine) -> WebhookEndpointRow:
    with transaction(database) as session:
        return add_endpoint(session, account_by_code(session, "alice"), URL, now_us=1)


def kept(database: Engine) -> tuple[str, str]:
    """As it stands in the database."""
    with database.connect() as connection:
        row = connection.execute(text("SELECT secret, old_secret FROM webhook_endpoints")).one()
    return row.secret, row.old_secret


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "pbxbill.key"
    make_key_file(path)
    return path


def test_a_secret_is_sealed_and_read_as_it_was(accounts: BilledAccounts, key: Path) -> None:
    database = opened(accounts, key)
    made = added(database)
    secret, old = kept(database)
    assert secret.startswith(MARK)
    assert made.secret not in secret
    assert old == ""  # there is nothing to seal
    with transaction(database) as session:
        assert session.get_one(WebhookEndpointRow, made.id).secret == made.secret
    with transaction(database) as session:
        rotate(session, made.id)
    assert all(x.startswith(MARK) for x in kept(database))
    with transaction(database) as session:
        row = session.get_one(WebhookEndpointRow, made.id)
        assert row.old_secret == made.secret != row.secret
        end_rotation(session, made.id)
    assert kept(database)[1] == ""
    database.dispose()


def test_plain_secrets_of_before_are_read_and_sealed(accounts: BilledAccounts, key: Path) -> None:
    before = opened(accounts, None)
    made = added(before)
    assert kept(before)[0] == made.secret
    before.dispose()
    database = opened(accounts, key)
    with transaction(database) as session:
        assert session.get_one(WebhookEndpointRow, made.id).secret == made.secret
        assert count_sealed(session, plain=True) == 1
        assert seal_plain(session) == 1
    assert kept(database)[0].startswith(MARK)
    with transaction(database) as session:
        assert session.get_one(WebhookEndpointRow, made.id).secret == made.secret
        assert (count_sealed(session, plain=True), count_sealed(session, plain=False)) == (0, 1)
        assert seal_plain(session) == 0
    database.dispose()


def test_a_plain_secret_is_sealed_when_it_is_next_written(accounts: BilledAccounts, key: Path) -> None:
    before = opened(accounts, None)
    made = added(before)
    before.dispose()
    database = opened(accounts, key)
    with transaction(database) as session:
        session.get_one(WebhookEndpointRow, made.id).secret = new_secret()
    assert kept(database)[0].startswith(MARK)
    database.dispose()


def test_without_the_key_file_it_is_said_what_to_do(accounts: BilledAccounts, tmp_path: Path) -> None:
    database = opened(accounts, tmp_path / "none.key")
    with pytest.raises(ConfigurationError, match="`pbxbill init` makes one"):
        added(database)
    database.dispose()


def test_what_was_sealed_with_another_key_is_not_opened(accounts: BilledAccounts, key: Path) -> None:
    database = opened(accounts, key)
    made = added(database)
    seal_with(database, fresh_sealer())
    with pytest.raises(ConfigurationError, match="another key"), transaction(database) as session:
        session.get_one(WebhookEndpointRow, made.id)
    database.dispose()


def test_the_command_line_seals_and_never_makes_a_key_over_a_lost_one(
    accounts: BilledAccounts, ok: Ok, pbxbill: Run, tmp_path: Path
) -> None:
    before = opened(accounts, None)
    made = added(before)
    assert "sealed 1 secrets" in ok("init")
    assert "sealed" not in ok("init")
    secret = ok("webhooks", "add", "alice", URL).split()[-1]
    assert secret.startswith("whsec_")
    with before.connect() as connection:
        stand = connection.execute(text("SELECT secret FROM webhook_endpoints")).scalars().all()
    before.dispose()
    assert len(stand) == 2
    assert all(x.startswith(MARK) for x in stand)
    assert made.secret not in "".join(stand)

    key = tmp_path / "pbxbill.key"
    assert key.stat().st_mode & 0o777 == 0o600
    verdicts = {x["check"]: x["verdict"] for x in shown(lambda *words: pbxbill(*words).stdout, "doctor")}
    assert verdicts["key file"] == "ok"
    copy = key.rename(tmp_path / "copy")
    refused = pbxbill("webhooks", "list")
    assert (refused.exit_code, "bring back your copy" in refused.output) == (2, True)
    again = pbxbill("init")
    assert (again.exit_code, "bring back your copy" in again.output) == (2, True)
    assert not key.exists()
    verdicts = {x["check"]: x["verdict"] for x in shown(lambda *words: pbxbill(*words).stdout, "doctor")}
    assert verdicts["key file"] == "fail"
    copy.rename(key)
    assert len(shown(ok, "webhooks", "list")) == 2


def test_the_database_file_is_its_owners(
    tmp_path: Path, pbxbill: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own" / "pbxbill.db"
    monkeypatch.setenv("PBXBILL_DATABASE__URL", f"sqlite:///{path}")
    assert pbxbill("init").exit_code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert pbxbill("accounts", "list").exit_code == 0
