"""API keys: what opens, for whom, and for how long."""

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from pbxbill.access.actor import Actor, Scope
from pbxbill.access.api_keys import NewKey, actor_of_key, make_key, revoke
from pbxbill.access.permissions import PERMISSIONS_OF, Permission, Role
from pbxbill.errors import InputRefused
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.models import AccountRow
from tests.store.billed_accounts import BilledAccounts

NOW_US = 1_000_000
READS = frozenset({Permission.ACCOUNTS_READ, Permission.CALLS_READ})


@pytest.fixture
def session(accounts: BilledAccounts) -> Iterator[Session]:
    database = open_engine(accounts.url)
    with transaction(database) as session:
        yield session
    database.dispose()


def actor_for(session: Session, code: str, role: Role) -> Actor:
    account = session.query(AccountRow).filter_by(code=code).one()
    scope = Scope(account.id, account.path, own=role is Role.CUSTOMER)
    return Actor(f"{role} of {code}", scope, PERMISSIONS_OF[role])


def test_a_key_opens_what_it_was_made_for(session: Session) -> None:
    row, shown = make_key(session, actor_for(session, "operator", Role.ADMIN), NewKey("books", READS), NOW_US)
    found = actor_of_key(session, shown, NOW_US, "192.0.2.1")
    assert found is not None
    assert (found.name, found.permissions, found.api_key_id) == ("key:books", READS, row.id)
    assert found.scope.is_everything
    assert shown.split("_", 2)[2] not in (row.secret_hash, row.prefix)


@pytest.mark.parametrize("change", [lambda x: x[:-1] + ("A" if x[-1] != "A" else "B"), lambda x: x + "A"])
def test_a_key_that_is_changed_opens_nothing(session: Session, change) -> None:
    _, shown = make_key(session, actor_for(session, "operator", Role.ADMIN), NewKey("books", READS), NOW_US)
    assert actor_of_key(session, change(shown), NOW_US, "") is None


def test_a_key_ends(session: Session) -> None:
    admin = actor_for(session, "operator", Role.ADMIN)
    row, shown = make_key(session, admin, NewKey("books", READS, ends_us=NOW_US + 10), NOW_US)
    assert actor_of_key(session, shown, NOW_US + 9, "") is not None
    assert actor_of_key(session, shown, NOW_US + 10, "") is None
    row, shown = make_key(session, admin, NewKey("books", READS), NOW_US)
    revoke(session, row, NOW_US)
    assert actor_of_key(session, shown, NOW_US, "") is None


def test_nobody_gives_what_he_may_not_do(session: Session) -> None:
    reseller = actor_for(session, "reseller", Role.RESELLER)
    with pytest.raises(InputRefused, match="carriers:read"):
        make_key(session, reseller, NewKey("x", frozenset({Permission.CARRIERS_READ})), NOW_US)
    _, shown = make_key(session, reseller, NewKey("x", READS), NOW_US)
    found = actor_of_key(session, shown, NOW_US, "")
    assert found is not None
    assert found.scope.account_id == reseller.scope.account_id
    assert not found.scope.is_everything


def test_a_key_of_an_account_that_is_over_opens_nothing(session: Session) -> None:
    customer = actor_for(session, "alice", Role.CUSTOMER)
    _, shown = make_key(session, customer, NewKey("phone", frozenset({Permission.OWN_READ})), NOW_US)
    found = actor_of_key(session, shown, NOW_US, "")
    assert found is not None
    assert found.scope.own
    session.get_one(AccountRow, customer.scope.account_id).status = "terminated"
    assert actor_of_key(session, shown, NOW_US, "") is None


@pytest.mark.parametrize(
    "new",
    [
        NewKey("", READS),
        NewKey("x", frozenset()),
        NewKey("x", READS, ends_us=NOW_US),
        NewKey("x", READS, per_minute=0),
    ],
)
def test_what_makes_no_key(session: Session, new: NewKey) -> None:
    with pytest.raises(InputRefused):
        make_key(session, actor_for(session, "operator", Role.ADMIN), new, NOW_US)
