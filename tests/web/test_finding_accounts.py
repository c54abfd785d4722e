"""Accounts are found by what identifies and reaches them; their place in the tree is seen and summed up."""

import pytest
from sqlalchemy import select

from pbxbill.store.accounts import NewAccount, add_endpoint, open_account, open_wallet
from pbxbill.store.alerts import raise_alert
from pbxbill.store.billing_models import PartyRow
from pbxbill.store.catalogue_models import AlertRow
from pbxbill.store.models import AccountRow
from tests.web.offices import Office


def account(office: Office, code: str) -> AccountRow:
    with office.reading() as session:
        return session.scalars(select(AccountRow).where(AccountRow.code == code)).one()


@pytest.fixture
def office(office_on_each: Office) -> Office:
    with office_on_each.writing() as session:
        olga = session.get_one(AccountRow, account(office_on_each, "olga").id)
        add_endpoint(session, olga, "sip", "desk-7")
        add_endpoint(session, olga, "ip", "192.0.2.7")
        add_endpoint(session, olga, "caller_id", "4930123456")
        session.add(
            PartyRow(
                account_id=olga.id,
                legal_name="Olga Blumen e.K.",
                email="kasse@blumen.example",
                phone="+49 (30) 987-654",
            )
        )
    return office_on_each


@pytest.mark.parametrize(
    "text",
    [
        "desk-7",
        "192.0.2",
        "4930123",
        "+49 30 123456",
        "blumen e.k",
        "kasse@",
        "+49 30 987654",
        "0 987 65",
        "olg",
    ],
)
def test_an_account_is_found_by_what_identifies_and_reaches_it(office: Office, text: str) -> None:
    admin = office.seat("admin")
    found = admin.get("/panel/accounts.csv", query_string={"q": text}).text
    assert [x.split(",")[0].split(";")[0] for x in found.splitlines()[1:]] == ["olga"]
    assert "olga" in admin.get("/panel/accounts/suggested", query_string={"q": text}).text
    assert "Olga" not in office.seat("reseller").get("/panel/accounts", query_string={"q": text}).text


def test_what_identifies_accounts_is_one_list(office: Office) -> None:
    admin, path = office.seat("admin"), "/panel/accounts/identification"
    assert path in admin.get("/panel/accounts").text
    page = admin.get(path).text
    for value in ("desk-7", "192.0.2.7", "4930123456"):
        assert value in page
    narrowed = admin.get(f"{path}?kind=ip&account=olga").text
    assert "192.0.2.7" in narrowed
    assert "desk-7" not in narrowed
    assert "desk-7" in admin.get(f"{path}.csv?q=desk").text
    assert "desk-7" not in office.seat("reseller").get(path).text
    assert "desk-7" not in office.seat("reseller").get(f"{path}.csv").text


def test_the_way_down_to_an_account_and_what_is_below_a_reseller(office: Office) -> None:
    with office.writing() as session:
        agent = NewAccount("agent", "Agent", kind="reseller", parent="other", tariff="wholesale")
        open_wallet(session, open_account(session, agent, 0), "EUR")
        deep = open_account(session, NewAccount("deep", "Deep", parent="agent", tariff="retail"), 0)
        open_wallet(session, deep, "EUR").posted = 7_500_000
    admin, other = office.seat("admin"), office.seat("other")
    above = account(office, "other")
    page = admin.get(f"/panel/accounts/{account(office, 'deep').id}").text
    assert page.index(f'href="/panel/accounts/{above.id}">other') < page.index('">agent</a></li>')
    own = other.get(f"/panel/accounts/{account(office, 'deep').id}").text
    assert '">agent</a></li>' in own
    assert '">other</a></li>' not in own
    below = f"/panel/accounts/{above.id}/below"
    assert "deep" not in admin.get(below).text
    assert "deep" in admin.get(f"{below}/all").text
    assert "deep" in admin.get("/panel/accounts?below=other").text
    assert "alice" not in admin.get("/panel/accounts.csv?below=other").text
    shown = admin.get(f"/panel/accounts/{above.id}").text
    assert "All accounts below" in shown
    assert "1 of them is a reseller" in shown
    assert "7.50 " in shown


def test_a_reseller_sees_the_alerts_of_his_accounts_and_says_that_they_are_done(office: Office) -> None:
    now_us = office.clock.now_us()
    with office.writing() as session:
        for code in ("alice", "olga"):
            owner_id = account(office, code).id
            raise_alert(session, "limit", f"limit of {code}", "it was hit", owner_id, at_us=now_us)
        raise_alert(session, "switch", "pbx9 is lost", "for 60 s", at_us=now_us)
    reseller, admin = office.seat("reseller"), office.seat("admin")
    page = reseller.get("/panel/alerts").text
    assert "limit of alice" in page
    assert "olga" not in page
    assert "pbx9" not in page
    assert "/panel/alerts" in reseller.get("/panel/").text
    with office.reading() as session:
        ids = {x.subject: x.id for x in session.scalars(select(AlertRow))}
    assert reseller.get(f"/panel/alerts/{ids['limit of olga']}").status_code == 404
    assert reseller.get(f"/panel/alerts/{ids['pbx9 is lost']}").status_code == 404
    path = f"/panel/alerts/{ids['limit of alice']}"
    assert reseller.post(f"{path}/done", page=path).status_code == 303
    assert reseller.post(f"/panel/alerts/{ids['limit of olga']}/done", page=path).status_code == 404
    assert (
        office.seat("finance").post(f"/panel/alerts/{ids['pbx9 is lost']}/done", page=path).status_code == 404
    )
    assert reseller.post("/panel/alerts/done").status_code == 303
    assert admin.get("/panel/alerts.csv?state=open").text.count("\n") == 3
    assert office.seat("cashier").get("/panel/alerts").status_code == 403
