"""Roles and scopes: who may what, for whom."""

import pytest

from pbxbill.access.actor import Actor, Scope, acting
from pbxbill.access.attempts import CODE, LOGIN, PAIR
from pbxbill.access.permissions import (
    OWN,
    PERMISSIONS_OF,
    ROLES_OF_KIND,
    Permission,
    Role,
    permissions_of_kind,
)
from pbxbill.clock import SECOND_US
from pbxbill.store.models import AccountRow


def test_every_role_belongs_to_a_kind_of_account() -> None:
    assert {x for roles in ROLES_OF_KIND.values() for x in roles} == set(Role) == set(PERMISSIONS_OF)


def test_customers_have_their_own_alone() -> None:
    assert PERMISSIONS_OF[Role.CUSTOMER] == OWN == permissions_of_kind("customer")
    assert not PERMISSIONS_OF[Role.ADMIN] & OWN


def test_what_is_the_operators_is_no_resellers() -> None:
    assert not permissions_of_kind("reseller") & {
        Permission.CARRIERS_READ, Permission.OPERATIONS_READ, Permission.SETTINGS_WRITE
    }  # fmt: skip


@pytest.mark.parametrize(
    "path, account_id, covered",
    [("/3/", 3, False), ("/3/7/", 7, True), ("/30/", 30, False), ("/", 1, False)],
)
def test_a_reseller_sees_what_is_below_him(path: str, account_id: int, *, covered: bool) -> None:
    assert Scope(3, "/3/").covers(AccountRow(id=account_id, path=path)) is covered


def test_a_reseller_in_his_portal_sees_himself() -> None:
    reseller = Actor("r", Scope(3, "/3/"), PERMISSIONS_OF[Role.RESELLER])
    own = acting(reseller, Permission.OWN_READ).scope
    assert own.covers(AccountRow(id=3, path="/3/"))
    assert not own.covers(AccountRow(id=7, path="/3/7/"))
    assert acting(reseller, Permission.ACCOUNTS_READ) is reseller


def test_who_guesses_waits_longer_each_time() -> None:
    waits = [PAIR.wait_us(x) // SECOND_US for x in (4, 5, 6, 7, 30, 10**6)]
    assert waits == [0, 30, 60, 120, 3600, 3600]
    assert max(LOGIN.wait_us(10**6), 0) == 900 * SECOND_US
    assert CODE.wait_us(5) == 60 * SECOND_US
