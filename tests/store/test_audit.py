"""The audit log tells who changed what, before and after, by whatever way it was written."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import Session

from pbxbill.access.actor import Actor, Scope
from pbxbill.access.audit import MAX_ROWS, audited
from pbxbill.access.permissions import Role
from pbxbill.access.users import NewUser, add_user
from pbxbill.store.access_models import AccountNoteRow, AuditRow, SavedViewRow, UserRow
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.models import AccountRow
from tests.store.billed_accounts import BilledAccounts


@pytest.fixture
def session(accounts: BilledAccounts) -> Iterator[Session]:
    database = open_engine(accounts.url)
    with transaction(database) as session:
        yield session
    database.dispose()


@pytest.fixture
def actor(session: Session) -> Actor:
    operator = session.scalars(select(AccountRow.id).where(AccountRow.kind == "operator")).one()
    return Actor("anna", Scope(operator, "/"), frozenset(), user_id=7, address="192.0.2.1")


def told(session: Session) -> list[dict[str, Any]]:
    row = session.scalars(select(AuditRow).order_by(AuditRow.id.desc()).limit(1)).one()
    assert (row.actor, row.user_id, row.address) == ("anna", 7, "192.0.2.1")
    changes: list[dict[str, Any]] = json.loads(row.changes)
    return changes


def note(session: Session, actor: Actor) -> AccountNoteRow:
    account = session.scalars(select(AccountRow).where(AccountRow.code == "alice")).one()
    row = AccountNoteRow(
        account_id=account.id, issuer_id=actor.scope.account_id, at_us=1, by="anna", text="pays late"
    )
    session.add(row)
    return row


def test_a_new_row_is_told_with_the_key_that_it_got(session: Session, actor: Actor) -> None:
    with audited(session, actor, "note.add", "alice", now_us=1):
        row = note(session, actor)
    (change,) = told(session)
    assert (change["table"], change["how"], change["key"]) == ("account_notes", "new", [row.id])
    assert change["after"]["text"] == "pays late"


def test_a_changed_row_is_told_before_and_after(session: Session, actor: Actor) -> None:
    row = note(session, actor)
    session.flush()
    with audited(session, actor, "note.change", "alice", now_us=1):
        row.text = "pays"
    (change,) = told(session)
    assert (change["before"], change["after"]) == ({"text": "pays late"}, {"text": "pays"})


def test_a_row_that_goes_is_told_with_what_it_held(session: Session, actor: Actor) -> None:
    row = note(session, actor)
    session.flush()
    with audited(session, actor, "note.remove", "alice", now_us=1):
        session.delete(row)
    (change,) = told(session)
    assert (change["how"], change["before"]["text"], change["after"]) == ("deleted", "pays late", {})


def test_statements_that_read_nothing_are_told_too(session: Session, actor: Actor) -> None:
    note(session, actor)
    session.flush()
    with audited(session, actor, "note.change", "alice", now_us=1):
        session.execute(update(AccountNoteRow).where(AccountNoteRow.by == "anna").values(text="x"))
        session.execute(delete(SavedViewRow).where(SavedViewRow.user_id == 5))
    changed, gone = told(session)
    assert (changed["how"], changed["after"]) == (
        "changed by a statement",
        {"text": "x", "where by_1": "anna"},
    )
    assert (gone["table"], gone["how"], gone["after"]) == (
        "saved_views", "deleted by a statement", {"where user_id_1": 5}
    )  # fmt: skip


def test_secrets_are_left_out(session: Session, actor: Actor) -> None:
    account = session.scalars(select(AccountRow).where(AccountRow.code == "alice")).one()
    user = add_user(session, account, NewUser("alice@example.com", "Alice", Role.CUSTOMER), 1)
    with audited(session, actor, "user.password", "alice", now_us=1):
        user.password_hash = "hash of the password"
        session.flush()
        session.execute(update(UserRow).where(UserRow.id == user.id).values(totp="sealed secret"))
    changes = told(session)
    assert changes[0]["after"] == {"password_hash": "***"}
    assert changes[1]["after"]["totp"] == "***"
    assert "secret" not in json.dumps(changes)


def test_what_changes_too_much_is_told_by_number(session: Session, actor: Actor) -> None:
    with audited(session, actor, "notes.add", "alice", now_us=1):
        for _ in range(MAX_ROWS + 5):
            note(session, actor)
    changes = told(session)
    assert (len(changes), changes[-1]) == (MAX_ROWS + 1, {"more": 5})


def test_what_fails_leaves_nothing(accounts: BilledAccounts) -> None:
    database = open_engine(accounts.url)
    with pytest.raises(ZeroDivisionError):
        _fail(database)
    with transaction(database) as session:
        assert session.scalars(select(AuditRow)).all() == []
        assert session.scalars(select(AccountNoteRow)).all() == []
    database.dispose()


def _fail(database: Engine) -> None:
    actor = Actor("anna", Scope(1, "/"), frozenset())
    with transaction(database) as session, audited(session, actor, "note.add", "alice", now_us=1):
        note(session, actor)
        session.flush()
        raise ZeroDivisionError
