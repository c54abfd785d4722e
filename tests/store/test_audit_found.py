"""Entries of the audit log are found by the objects that they name, whenever they were written."""

import json
from collections.abc import Iterator

import pytest
from alembic import command
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from pbxbill.access.actor import Actor, Scope
from pbxbill.access.audit import MAX_KEY_LENGTH, audited
from pbxbill.listing import listing
from pbxbill.listing.audit_log import AUDIT_LOG
from pbxbill.listing.listing import Asked, every, page_of
from pbxbill.store.engine import _alembic, migrate, open_engine, transaction
from pbxbill.store.models import AccountRow
from tests.store.billed_accounts import BilledAccounts


@pytest.fixture
def database(accounts: BilledAccounts) -> Iterator[Engine]:
    database = open_engine(accounts.url)
    yield database
    database.dispose()


def account_id(session: Session, code: str) -> int:
    return session.query(AccountRow).filter_by(code=code).one().id


def found(session: Session, by: str = "operator", **filters: str) -> list[str]:
    """Subjects of all entries, the newest first."""
    account = session.query(AccountRow).filter_by(code=by).one()
    rows = every(session, AUDIT_LOG, Scope(account.id, account.path), Asked(filters))
    return [x["subject"] for x in rows]


def renamed(session: Session, code: str, name: str, at_us: int, by: str = "anna") -> None:
    """An entry whose subject is the name."""
    operator = Scope(account_id(session, "operator"), "/")
    with audited(session, Actor(by, operator, frozenset()), "account.change", name, now_us=at_us):
        session.query(AccountRow).filter_by(code=code).one().name = name


def test_all_that_changed_a_row_is_found_the_newest_first(database: Engine) -> None:
    with transaction(database) as session:
        for number, code in enumerate(("alice", "bob", "alice", "alice")):
            renamed(session, code, f"name {number}", 10 + number // 2)
        assert found(session, object=f"accounts {account_id(session, 'alice')}") == [
            "name 3", "name 2", "name 0"
        ]  # fmt: skip
        assert found(session, object=f"accounts/{account_id(session, 'bob')}") == ["name 1"]
        assert found(session, object="accounts 999999") == []
        assert found(session, object=f"wallets {account_id(session, 'alice')}") == []


def test_of_an_account_all_that_was_about_it_is_found(database: Engine) -> None:
    with transaction(database) as session:
        alice = account_id(session, "alice")
        actor = Actor("anna", Scope(account_id(session, "operator"), "/"), frozenset())
        with audited(session, actor, "invoice.send", "R-1", now_us=1, account_id=alice):
            pass
        assert found(session, object=f"accounts {alice}") == ["R-1"]
        assert found(session, account="alice") == ["R-1"]
        assert found(session, account="bob") == []


def test_what_is_too_long_for_a_key_is_told_and_not_found_by_it(database: Engine) -> None:
    with transaction(database) as session:
        actor = Actor("anna", Scope(account_id(session, "operator"), "/"), frozenset())
        with audited(session, actor, "setting.set", "long", now_us=1) as _:
            session.info["audited"].add(lambda: {"table": "notes", "key": ["k" * (MAX_KEY_LENGTH + 1)]})
        assert found(session) == ["long"]


def test_a_search_goes_on_where_a_page_stopped(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_LOOKED", 10)
    with transaction(database) as session:
        for number in range(30):
            renamed(session, "alice", f"name {number}", number // 2, by="eve" if number == 1 else "anna")
        operator = Scope(account_id(session, "operator"), "/")
        first = page_of(session, AUDIT_LOG, operator, Asked({"actor": "eve"}))
        assert (first.rows, first.looked_us is None) == ([], False)
        for filters in ({"actor": "eve"}, {"q": "NAME 1", "actor": "eve"}):
            assert found(session, **filters) == ["name 1"]
        assert len(found(session, area="accounts")) == 30
        assert found(session, action="invoice.") == []


def test_a_reseller_finds_only_what_is_his(database: Engine) -> None:
    with transaction(database) as session:
        reseller, alice = (session.get_one(AccountRow, account_id(session, x)) for x in ("reseller", "alice"))
        renamed(session, "alice", "by the operator", 1)
        actor = Actor("rita", Scope(reseller.id, reseller.path), frozenset())
        with audited(session, actor, "account.change", "by him", now_us=2):
            alice.name = "Alice"
        asked = f"accounts {alice.id}"
        assert found(session, object=asked) == ["by him", "by the operator"]
        assert found(session, by="reseller", object=asked) == ["by him"]


def test_entries_from_before_are_found_too(empty_database_url: str) -> None:
    command.upgrade(_alembic(empty_database_url), "0020")
    database = open_engine(empty_database_url)
    changes = [
        {"table": "invoices", "how": "changed", "key": [17], "before": {}, "after": {}},
        {"table": "invoices", "how": "changed", "key": [17], "before": {}, "after": {}},
        {"table": "wallets", "how": "new by a statement", "key": None, "before": {}, "after": {}},
        {"table": "ledger", "how": "new", "key": ["x", 2], "before": {}, "after": {}},
        {"table": "login_sessions", "how": "new", "key": ["***"], "before": {}, "after": {}},
        {"more": 3},
    ]
    with transaction(database) as session:
        session.execute(
            text(
                "INSERT INTO accounts (id, path, kind, code, name, status, mode, language, failure_policy, "
                "offline_allowance, created_us) VALUES (1, '/', 'operator', 'operator', 'x', 'active', "
                "'postpaid', 'en', 'closed', 0, 0)"
            )
        )
        session.execute(
            text(
                "INSERT INTO audit_log (id, at_us, actor, scope_id, account_id, action, subject, changes) "
                "VALUES (1, 5, 'anna', 1, 1, 'a.b', 'first', :changes), "
                "(2, 6, 'anna', 1, NULL, 'a.b', 'then', '[]')"
            ),
            {"changes": json.dumps(changes)},
        )
    migrate(empty_database_url)
    with transaction(database) as session:
        for asked in ("invoices 17", "ledger x,2", "accounts 1"):
            assert found(session, object=asked) == ["first"]
        assert found(session, object="login_sessions ***") == []
        assert found(session) == ["then", "first"]
    database.dispose()
