"""Letting people in, from the panel and from the portal."""

import re
from collections.abc import Iterator

import pytest

from pbxbill.notify.smtp import MailSettings
from pbxbill.store.access_models import AuditRow
from pbxbill.store.invoice_models import MessageRow
from pbxbill.web.rules import WebRules
from tests.web.offices import Office, opened_office


def new_user(login: str, role: str) -> dict[str, object]:
    return {"login": login, "name": "Somebody", "role": role, "language": "en", "zone": "Europe/Paris"}


def test_an_administrator_lets_somebody_in(office: Office) -> None:
    admin = office.seat("admin")
    made = admin.post("/panel/users/new", new_user("Vera@example.com", "finance"))
    link = re.search(r'value="https://bill.example(/link/[^"]+)"', made.text)
    assert link is not None
    vera = office.browser()
    password = {"password": "eight green bottles", "again": "eight green bottles"}
    assert vera.post(link[1], password).status_code == 303
    assert vera.get("/me").status_code == 200
    assert vera.get("/panel/users").status_code == 403
    twice = admin.post("/panel/users/new", new_user("vera@example.com", "finance"))
    assert "already" in twice.text
    with office.reading() as session:
        said = session.query(AuditRow).filter_by(action="user.add").one()
    assert (said.actor, said.subject) == ("admin", "Vera@example.com")
    assert link[1].removeprefix("/link/") not in said.changes


def test_a_reseller_lets_in_his_own_and_his_customers_people(office: Office) -> None:
    reseller = office.seat("reseller")
    listed = reseller.get("/panel/users.csv").text
    assert "alice" in listed
    assert "olga" not in listed
    assert "admin" not in listed
    made = reseller.post("/panel/users/new?account=alice", new_user("bea", "customer"))
    assert "/link/" in made.text
    assert reseller.get("/panel/users/new?account=olga").status_code == 404
    assert reseller.get("/panel/users/new?account=operator").status_code == 404
    assert "/link/" not in reseller.post("/panel/users/new", new_user("eve", "admin")).text


def test_a_customer_lets_somebody_in_to_his_own_account(office: Office) -> None:
    alice = office.seat("alice")
    made = alice.post("/my/users/new", new_user("al", "customer"))
    assert "/link/" in made.text
    assert office.user("al").account_id == office.account_id("alice")
    assert "al" in alice.get("/my/users").text
    assert "/link/" not in alice.post("/my/users/new", new_user("eve", "reseller")).text
    assert alice.get("/my/users/new?account=olga").status_code == 404


def test_who_may_less_cannot_send_himself_the_link_of_who_may_more(office: Office) -> None:
    books = office.seat("reseller-books")
    boss = office.user("reseller").id
    assert books.get(f"/my/users/{boss}").status_code == 200
    assert books.post(f"/my/users/{boss}/link", page="/me").status_code == 403
    assert books.post(f"/my/users/{boss}/disable", page="/me").status_code == 403


def test_a_user_is_disabled_and_the_last_administrator_is_not(office: Office) -> None:
    admin, support = office.seat("admin"), office.browser("support")
    id = office.user("support").id
    assert admin.post(f"/panel/users/{id}/disable").status_code == 303
    assert support.get("/me").status_code == 303
    own = office.user("admin").id
    assert admin.post(f"/panel/users/{own}/disable").status_code == 200
    assert office.user("admin").state == "active"


def test_an_api_key_is_shown_once(office: Office) -> None:
    admin = office.seat("admin")
    asked = {"name": "shop", "scopes": "accounts:read", "days": "30", "per_minute": "60"}
    made = admin.post("/panel/api-keys/new", asked)
    key = re.search(r'value="(pbx_[^"]+)"', made.text)
    assert key is not None
    program = office.app.test_client()
    headers = {"Authorization": f"Bearer {key[1]}"}
    assert program.get("/api/v1/accounts", headers=headers).status_code == 200
    assert key[1] not in admin.get("/panel/api-keys").text
    id = re.search(r'href="(/panel/api-keys/\d+)"', admin.get("/panel/api-keys").text)
    assert id is not None
    assert admin.post(f"{id[1]}/revoke").status_code == 303
    assert program.get("/api/v1/accounts", headers=headers).status_code == 401


def test_the_audit_log_shows_before_and_after(office: Office) -> None:
    admin = office.seat("admin")
    admin.post("/me", {"name": "Ada", "language": "en", "zone": "UTC", "theme": "dark", "email": ""})
    listed = admin.get("/panel/audit-log?action=user.settings").text
    link = re.search(r'href="(/panel/audit-log/\d+)"', listed)
    assert link is not None
    page = admin.get(link[1]).text
    assert "Admin" in page
    assert "Ada" in page
    assert "user.settings" not in office.seat("reseller").get("/panel/audit-log").text


@pytest.fixture
def mailing(sqlite_url: str) -> Iterator[Office]:
    """An office that sends mail."""
    rules = WebRules(mail=MailSettings(host="mail.example", sender="bill@example.com"))
    with opened_office(sqlite_url, rules) as opened:
        yield opened


def edited(**changes: str) -> dict[str, object]:
    return {"name": "Ali", "email": "ali@example.org", "language": "fr", "zone": "Europe/Paris", **changes}


def test_a_user_is_changed_and_the_address_before_is_told(mailing: Office) -> None:
    reseller, user = mailing.seat("reseller"), mailing.user("alice")
    address = f"/panel/users/{user.id}"
    form = reseller.get(f"{address}/edit").text
    assert "alice@example.com" in form
    assert reseller.post(f"{address}/edit", edited()).status_code == 303
    now = mailing.user("alice")
    assert (now.name, now.email, now.language, now.zone) == ("Ali", "ali@example.org", "fr", "Europe/Paris")
    assert "ali@example.org" in reseller.get(address).text
    assert "Français" in reseller.get(address).text
    with mailing.reading() as session:
        (told,) = session.query(MessageRow).filter_by(kind="user_moved")
    assert told.recipient == "alice@example.com"
    assert "ali@example.org" not in told.text
    refused = reseller.post(f"{address}/edit", edited(email="no address"))
    assert refused.status_code == 200
    assert "no address" in refused.text


def test_who_may_less_changes_nobody_and_nobody_himself(office: Office) -> None:
    boss, own = office.user("reseller").id, office.user("reseller-books").id
    books = office.seat("reseller-books")
    assert books.get(f"/my/users/{boss}/edit").status_code == 403
    assert books.post(f"/my/users/{boss}/edit", edited(), page="/me").status_code == 403
    assert office.seat("reseller").get(f"/panel/users/{office.user('olga').id}/edit").status_code == 404
    assert "nobody does this to himself" in books.post(f"/my/users/{own}/edit", edited()).text.lower()


def test_what_each_role_may_stands_on_a_page(office: Office) -> None:
    admin = office.seat("admin").get("/panel/roles").text
    assert "Finance" in admin
    assert "Take cash, cheques and transfers (payments:take)" in admin
    assert "Administrator" not in office.seat("reseller").get("/panel/roles").text
    assert "/panel/roles" in office.seat("admin").get("/panel/users").text


def test_an_accounts_users_are_a_part_of_its_page(office: Office) -> None:
    reseller = office.seat("reseller")
    page = reseller.get(f"/panel/accounts/{office.account_id('alice')}").text
    assert "/panel/users?account=alice" in page
    assert "/panel/users/new?account=alice" in reseller.get("/panel/users?account=alice").text
