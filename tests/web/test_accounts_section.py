"""Accounts in the panel: opened, changed, barred, limited, each change noted in the audit log."""

import json

import pytest
from sqlalchemy import select

from pbxbill.store.access_models import AccountNoteRow, AuditRow
from pbxbill.store.catalogue_models import LimitRow
from pbxbill.store.models import AccountRow, EndpointRow, WalletRow
from tests.web.offices import Office

NEW = {
    "code": "new-1", "name": "New One", "kind": "customer", "mode": "prepaid", "tariff": "0",
    "inbound_tariff": "0", "unit": "EUR", "language": "fr", "failure_policy": "closed", "dialling_rule": "0",
}  # fmt: skip


def account(office: Office, code: str) -> AccountRow:
    with office.writing() as session:
        return session.scalars(select(AccountRow).where(AccountRow.code == code)).one()


def test_an_account_is_opened_with_its_wallet_and_line(office_on_each: Office) -> None:
    office = office_on_each
    answer = office.seat("admin").post("/panel/accounts/new", {**NEW, "credit_limit": "25.5", "sip": "new-1"})
    assert answer.status_code == 303
    opened = account(office, "new-1")
    with office.writing() as session:
        wallet = session.scalars(select(WalletRow).where(WalletRow.account_id == opened.id)).one()
        endpoint = session.scalars(select(EndpointRow).where(EndpointRow.account_id == opened.id)).one()
        audit = session.scalars(select(AuditRow).where(AuditRow.action == "account.open")).one()
    assert (wallet.unit, wallet.credit_limit) == ("EUR", 25_500_000)
    assert (endpoint.kind, endpoint.value) == ("sip", "new-1")
    assert audit.actor == "admin"
    assert {x["table"] for x in json.loads(audit.changes)} >= {"accounts", "wallets", "endpoints"}


@pytest.mark.parametrize(
    "wrong, told",
    [
        ({"code": "alice"}, "exists already"),
        ({"code": "a b"}, "no space"),
        ({"name": ""}, "Please fill this in"),
        ({"credit_limit": "-1"}, "At least"),
        ({"credit_limit": "many"}, "is not a number"),
        ({"parent": "olga"}, "only resellers"),
        ({"parent": "nobody"}, "There is no reseller nobody"),
        ({"tariff": "999"}, "Not a valid choice"),
        ({"opened": "2999-01-01"}, "is to come"),
        ({"sip": "alice"}, "identifies another account already"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_opened(
    office: Office, wrong: dict[str, str], told: str
) -> None:
    answer = office.seat("admin").post("/panel/accounts/new", {**NEW, **wrong})
    assert answer.status_code == 200
    assert told in answer.text
    assert "New One" in answer.text or "name" in wrong
    with office.writing() as session:
        assert session.scalar(select(AccountRow.id).where(AccountRow.code == "new-1")) is None


def test_a_resellers_accounts_stand_below_him_and_nobody_else(office: Office) -> None:
    reseller = office.seat("reseller")
    assert reseller.post("/panel/accounts/new", NEW).status_code == 303
    assert account(office, "new-1").parent_id == office.account_id("reseller")
    refused = reseller.post("/panel/accounts/new", {**NEW, "code": "new-2", "parent": "other"})
    assert "There is no reseller other" in refused.text


def test_only_the_operator_lets_calls_pass_that_nobody_authorizes_or_cuts(office: Office) -> None:
    reseller = office.seat("reseller")
    asked = {**NEW, "failure_policy": "open", "offline_allowance": "50", "shadow": "y"}
    assert reseller.post("/panel/accounts/new", asked).status_code == 303
    opened = account(office, "new-1")
    assert (opened.failure_policy, opened.offline_allowance, opened.shadow) == ("closed", 0, False)
    page = reseller.get(f"/panel/accounts/{opened.id}/edit").text
    assert "Only watch" not in page
    assert "Only watch" in office.seat("admin").get(f"/panel/accounts/{opened.id}/edit").text


def test_a_reseller_gives_no_tariff_of_somebody_else(office: Office) -> None:
    with office.writing() as session:
        alien = account(office, "olga").tariff_id
        assert session is not None
    answer = office.seat("reseller").post("/panel/accounts/new", {**NEW, "tariff": str(alien)})
    assert "Not a valid choice" in answer.text


def test_limits_endpoints_and_notes(office: Office) -> None:
    admin, alice = office.seat("admin"), office.account_id("alice")
    place = f"/panel/accounts/{alice}"
    limit = {"kind": "spend", "amount": "50", "window": "day", "zone": "Europe/Berlin"}
    assert admin.post(f"{place}/limits", limit).status_code == 303
    assert "50.00" in admin.get(f"{place}/limits").text
    assert (
        "needs its value" in admin.post(f"{place}/limits", {"kind": "simultaneous_calls", "window": ""}).text
    )
    assert admin.post(f"{place}/endpoints", {"kind": "ip", "value": "192.0.2.7"}).status_code == 303
    assert admin.post(f"{place}/notes", {"text": "asks for <b>Bob</b>"}).status_code == 303
    assert "asks for &lt;b&gt;Bob&lt;/b&gt;" in admin.get(f"{place}/notes").text
    assert "asks for" not in office.seat("reseller").get(f"{place}/notes").text
    with office.writing() as session:
        limit_id = session.scalars(select(LimitRow.id).where(LimitRow.account_id == alice)).one()
        endpoint_id = session.scalars(select(EndpointRow.id).where(EndpointRow.value == "192.0.2.7")).one()
        note_id = session.scalars(select(AccountNoteRow.id)).one()
    mine = f"{place}/notes"
    assert office.seat("reseller").post(f"{mine}/{note_id}/remove", page=mine).status_code == 404
    for gone in (f"limits/{limit_id}/remove", f"endpoints/{endpoint_id}/remove", f"notes/{note_id}/remove"):
        assert admin.post(f"{place}/{gone}", page=mine).status_code == 303
    elsewhere = f"/panel/accounts/{office.account_id('olga')}/limits/{limit_id}/remove"
    assert admin.post(elsewhere, page=mine).status_code == 404


def test_an_account_is_barred_freed_and_closed_after_asking(office: Office) -> None:
    admin, place = office.seat("admin"), f"/panel/accounts/{office.account_id('alice')}"
    admin.post(f"{place}/suspend", {"status": "suspended", "reason": "test"})
    assert account(office, "alice").status == "suspended"
    admin.post(f"{place}/resume", page=place)
    assert account(office, "alice").status == "active"
    refused = admin.post(f"{place}/terminate", {"reason": "over", "code": "olga"})
    assert "This is not the code of this account" in refused.text
    assert account(office, "alice").status == "active"
    admin.post(f"{place}/terminate", {"reason": "over", "code": "alice"})
    assert account(office, "alice").status == "terminated"


def test_a_credit_limit_is_set_by_whoever_may_and_not_below_what_is_used(office_on_each: Office) -> None:
    office = office_on_each
    path = f"/panel/accounts/{office.account_id('alice')}/wallets/EUR/limit"
    assert office.seat("support").get(path).status_code == 403
    finance = office.seat("finance")
    assert finance.post(path, {"credit_limit": "30"}).status_code == 303
    with office.writing() as session:
        alice = office.account_id("alice")
        wallet = session.scalars(select(WalletRow).where(WalletRow.account_id == alice)).one()
        assert wallet.credit_limit == 30_000_000
        wallet.posted = -20_000_000
    assert "lowest now: 20.00" in finance.post(path, {"credit_limit": "10"}).text
    assert finance.get(path.replace("EUR", "XXX")).status_code == 404
