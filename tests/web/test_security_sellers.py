"""What a seller may do to those below him, and what of that is another seller's."""

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from pbxbill.access.actor import Actor, Scope
from pbxbill.access.api_keys import NewKey, make_key
from pbxbill.access.permissions import PERMISSIONS_OF, Permission, Role
from pbxbill.billing.dunning.promises_to_pay import NewPromise, promise
from pbxbill.billing.period import local_date
from pbxbill.ids import new_id
from pbxbill.store.access_models import ApiKeyRow
from pbxbill.store.accounts import NewAccount, open_account, open_wallet
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow, JournalEntryRow
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


def ask(office: Office, key: str, path: str, body: dict[str, Any] | None) -> int:
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


def promised(office: Office, id: int) -> int:
    """That an invoice will be paid, instead of its dispute."""
    with office.writing() as session:
        row = session.get_one(InvoiceRow, id)
        row.disputed, row.disputed_us = 0, None
        now_us = office.clock.now_us()
        new = NewPromise("EUR", local_date(now_us, "UTC") + timedelta(days=3), id)
        return promise(session, session.get_one(AccountRow, row.account_id), new, now_us).id


def test_how_a_reseller_below_is_owed_to_is_his_matter(office: Office) -> None:
    """Whoever is above him looks on."""
    id = disputed_below(office)
    below, kept = office.account_id("below"), promised(office, id)
    reseller, sent = office.seat("reseller"), {"reason": "so", "remark": "so", "amount": "1"}
    seen = (
        f"/panel/disputes/{id}", f"/panel/dunning/invoices/{id}", f"/panel/dunning/of-account/{below}",
        f"/panel/promises/{kept}", f"/panel/life-cycle/of-account/{below}",
    )  # fmt: skip
    offered = (
        r"/begin|/remarks|/lift|/promises/new|/withdraw|/policy\"|/life-cycle/of-account/\d+/(edit|revive)"
    )
    for path in seen:
        page = reseller.get(path)
        assert (path, page.status_code, re.findall(offered, page.text)) == (path, 200, [])
    asked = (
        f"/panel/disputes/{id}/begin", f"/panel/dunning/invoices/{id}/lift",
        "/panel/promises/new?account=below", f"/panel/promises/{kept}/withdraw",
        f"/panel/dunning/of-account/{below}/policy",
        f"/panel/life-cycle/of-account/{below}/edit", f"/panel/life-cycle/of-account/{below}/revive",
    )  # fmt: skip
    for path in asked:
        assert (path, reseller.get(path).status_code) == (path, 403)
        assert (path, reseller.post(path, sent, page="/panel/accounts/new").status_code) == (path, 403)
        assert (path, office.seat("admin").get(path).status_code) == (path, 200)
        assert (path, office.seat("other").get(path).status_code) == (path, 404)
    for part in ("remarks", "files"):
        path = f"/panel/disputes/{id}/{part}"
        assert reseller.post(path, sent, page="/panel/accounts/new").status_code == 403
        assert office.seat("other").post(path, sent, page="/panel/accounts/new").status_code == 404


def test_nor_does_a_program_begin_or_end_anything_of_it(office: Office) -> None:
    id = disputed_below(office)
    below, kept = office.account_id("below"), promised(office, id)
    file = {"name": "letter.csv", "content": "YSxiCg=="}
    asked: dict[str, dict[str, Any] | None] = {
        f"/invoices/{id}/dispute": {"reason": "so"},
        f"/invoices/{id}/dispute/remarks": {"text": "so"},
        f"/invoices/{id}/dispute/files": file,
        f"/invoices/{id}/dunning/lifting": {"reason": "so"},
        f"/accounts/{below}/promises": {"until": "2031-01-01", "unit": "EUR"},
        f"/promises/{kept}/withdrawal": None,
        f"/accounts/{below}/life-cycle/revival": {"days": 3},
    }
    scopes = PERMISSIONS_OF[Role.RESELLER]
    keys = key_of(office, "reseller", *scopes), key_of(office, "other", *scopes)
    for path, body in asked.items():
        assert (path, [ask(office, key, path, body) for key in keys]) == (path, [403, 404])
    own = key_of(office, "sub", *scopes)
    assert ask(office, own, f"/promises/{kept}/withdrawal", None) == 201
    assert ask(office, own, f"/invoices/{id}/dispute", {"reason": "so"}) == 201


def test_money_of_a_customer_is_the_matter_of_his_seller_alone(office: Office) -> None:
    """Whoever is above him looks on: it would move the seller's books."""
    disputed_below(office)
    below = office.account_id("below")
    asked = (
        "/panel/payments/top-up?account=below", "/panel/payments/from-wallet?account=below",
        "/panel/payments/transfer?account=below", "/panel/payments/adjust?account=below",
        "/panel/gateway-payments/new?account=below", f"/panel/till/take/{below}",
        f"/panel/accounts/{below}/wallets/EUR/auto-top-up", f"/panel/accounts/{below}/wallets/EUR/limit",
        f"/panel/accounts/{below}/terminate",
    )  # fmt: skip
    reseller, sent = office.seat("reseller"), {"amount": "1", "unit": "EUR", "purpose": "wallet"}
    for path in asked:
        assert (path, reseller.get(path).status_code) == (path, 403)
        assert (path, reseller.post(path, sent, page="/panel/accounts/new").status_code) == (path, 403)
        assert (path, office.seat("admin").get(path).status_code) == (path, 200)
        assert (path, office.seat("other").get(path).status_code) == (path, 404)
    euro = {"amount": "1.00", "currency": "EUR"}
    bodies: dict[str, dict[str, Any]] = {
        f"/accounts/{below}/top-ups": {"money": euro, "method": "cash"},
        f"/accounts/{below}/payments": {"money": euro, "method": "cash"},
        f"/accounts/{below}/wallets/EUR/allocation": {},
        f"/accounts/{below}/transfers": {"to": "sub", "money": euro, "reason": "so"},
        f"/accounts/{below}/termination": {"code": "below", "reason": "so"},
        f"/accounts/{below}/gateway-payments": {"money": euro, "purpose": "top_up"},
    }
    scopes = PERMISSIONS_OF[Role.RESELLER]
    keys = key_of(office, "reseller", *scopes), key_of(office, "other", *scopes)
    for path, body in bodies.items():
        assert (path, [ask(office, key, path, body) for key in keys]) == (path, [403, 404])
    own = key_of(office, "sub", *scopes)
    top_up = f"/accounts/{below}/top-ups"
    assert ask(office, own, top_up, bodies[top_up]) == 201
    with office.reading() as session:
        entry = session.scalars(select(JournalEntryRow.id).where(JournalEntryRow.kind == "top-up")).one()
    page = reseller.get(f"/panel/payments/{entry}")
    assert page.status_code == 200
    assert "/reverse" not in page.text
    assert reseller.get(f"/panel/payments/{entry}/reverse").status_code == 403
    back = f"/payments/{entry}/reversal"
    assert [ask(office, key, back, {"reason": "so"}) for key in (*keys, own)] == [403, 404, 201]


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
