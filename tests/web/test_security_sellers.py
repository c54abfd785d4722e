"""What a seller may do to those below him, and what of that is another seller's."""

from typing import Any

import pytest
from sqlalchemy import update

from pbxbill.access.actor import Actor, Scope
from pbxbill.access.api_keys import NewKey, make_key
from pbxbill.access.permissions import PERMISSIONS_OF, Permission, Role
from pbxbill.ids import new_id
from pbxbill.store.access_models import ApiKeyRow
from pbxbill.store.accounts import NewAccount, open_account, open_wallet
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow
from tests.web.made_rows import begin_making, made_row
from tests.web.offices import URL, Office


def disputed_below(office: Office, *, seller: str = "sub", customer: str = "below") -> int:
    """A disputed invoice of a customer of a reseller below the reseller."""
    with office.writing() as session:
        begin_making(session)
        new = NewAccount("sub", "Sub", kind="reseller", mode="postpaid", parent="reseller")
        open_wallet(session, open_account(session, new, 0), "EUR")
        open_wallet(session, open_account(session, NewAccount("below", "Below", parent="sub"), 0), "EUR")
    owners = {
        "customer": office.account_id(customer),
        "seller": office.account_id(seller),
        "user": office.user("reseller").id,
    }
    with office.writing() as session:
        begin_making(session)
        row = made_row(session, InvoiceRow, owners)
        row.kind, row.number, row.state, row.unit = "invoice", f"S-{row.id}", "issued", "EUR"
        row.total = row.open = row.disputed = 1_000_000
        row.disputed_us = 1
        return int(row.id)


def key_of(office: Office, code: str, *scopes: Permission) -> str:
    with office.writing() as session:
        account = session.query(AccountRow).filter_by(code=code).one()
        actor = Actor("test", Scope(account.id, account.path), frozenset(Permission))
        return make_key(session, actor, NewKey(new_id(), frozenset(scopes)), office.clock.now_us())[1]


def ask(office: Office, key: str, path: str, body: dict[str, Any]) -> int:
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": new_id()}
    client = office.app.test_client()
    return client.post(f"/api/v1{path}", base_url=URL, headers=headers, json=body).status_code


def test_what_a_reseller_below_issued_is_his_to_give_up_or_give_back(office: Office) -> None:
    id = disputed_below(office)
    paths = (f"/panel/payments/write-off?invoice={id}", f"/panel/disputes/{id}/decide")
    reseller = office.seat("reseller")
    assert [reseller.get(x).status_code for x in paths] == [403, 403]
    page = reseller.get(f"/panel/disputes/{id}")
    assert page.status_code == 200
    assert "/decide" not in page.text
    assert [office.seat("admin").get(x).status_code for x in paths] == [200, 200]
    assert [office.seat("other").get(x).status_code for x in paths] == [404, 404]


@pytest.mark.parametrize("outcome", ["credit", "reject"])
def test_a_program_does_not_decide_for_a_reseller_below(office: Office, outcome: str) -> None:
    id = disputed_below(office)
    key = key_of(office, "reseller", *PERMISSIONS_OF[Role.RESELLER])
    sent = {"outcome": outcome, "reason": "lost"}
    assert ask(office, key, f"/invoices/{id}/dispute/decision", sent) == 403


def test_who_may_not_issue_gives_nothing_back_by_deciding_a_dispute(office: Office) -> None:
    id = disputed_below(office, seller="reseller", customer="alice")
    key = key_of(office, "reseller", Permission.DUNNING_WRITE, Permission.DUNNING_READ)
    path = f"/invoices/{id}/dispute/decision"
    assert ask(office, key, path, {"outcome": "credit", "reason": "lost"}) == 403
    assert ask(office, key, path, {"outcome": "reject", "reason": "it stands"}) == 201


def test_a_program_gives_credit_only_where_it_may_change_it(office: Office) -> None:
    new = {"code": "friend", "unit": "EUR", "credit_limit": "9"}
    key = key_of(office, "reseller", Permission.ACCOUNTS_WRITE, Permission.ACCOUNTS_READ)
    assert ask(office, key, "/accounts", new) == 403
    assert ask(office, key, "/accounts", new | {"credit_limit": "0"}) == 201


def test_a_stream_ends_with_its_key(office: Office) -> None:
    key = key_of(office, "alice", Permission.OWN_READ)
    answer = office.app.test_client().get(
        "/api/v1/balance/stream",
        base_url=URL,
        headers={"Authorization": f"Bearer {key}"},
        buffered=False,
    )
    told = iter(answer.response)
    assert b"retry" in next(told)
    assert b"event: balance" in next(told)
    with office.writing() as session:
        session.execute(update(ApiKeyRow).values(revoked_us=office.clock.now_us()))
    assert list(told) == []
    answer.close()
