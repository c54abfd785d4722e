"""The panel's first page: whose balance is at risk, what today brought, and where its cards lead."""

import html
import re

from pbxbill.store.models import AccountRow, WalletRow
from pbxbill.store.notice_models import BalanceThresholdRow
from tests.web.offices import Browser, Office
from tests.web.test_invoice_pages_runs import charged, later
from tests.web.test_money_pages_unpaid import overdue

EURO = 1_000_000


def wallet(office: Office, code: str, **values: object) -> None:
    with office.writing() as session:
        owner = session.query(AccountRow).where(AccountRow.code == code).one()
        row = session.query(WalletRow).where(WalletRow.account_id == owner.id).one()
        for name, value in values.items():
            setattr(row, name, value)


def card(browser: Browser, name: str) -> tuple[str, str]:
    """What a card of the first page says, and where it leads."""
    page = browser.get("/panel/").text
    found = re.search(rf'<dt>(?:<a href="([^"]*)">)?{name}(?:</a>)?</dt><dd>(.*?)</dd>', page, re.DOTALL)
    assert found, name
    return re.sub(r"<[^>]+>|\s+", " ", found[2]).strip(), html.unescape(found[1] or "")


def listed(browser: Browser, path: str) -> list[str]:
    rows = browser.get(path.replace("/panel/accounts?", "/panel/accounts.csv?")).text.splitlines()[1:]
    return [re.split("[,;]", x)[0] for x in rows]


def test_low_funds_and_used_credit_are_at_risk_and_the_card_leads_to_whose(office_on_each: Office) -> None:
    office = office_on_each
    wallet(office, "alice", posted=40 * EURO, credit_limit=0)
    wallet(office, "olga", posted=30 * EURO, credit_limit=0)
    wallet(office, "reseller", posted=0, credit_limit=1_000 * EURO)
    admin, reseller = office.seat("admin"), office.seat("reseller")
    assert card(admin, "Balances at risk") == ("0", "")
    assert "None: everybody has funds or credit left." in admin.get("/panel/").text
    # Alice: at her threshold. Olga: nothing left. Other: nine tenths of the credit.
    wallet(office, "alice", posted=5 * EURO, tell_from=5 * EURO)
    wallet(office, "olga", posted=1, credit_limit=0)
    wallet(office, "other", posted=-950 * EURO, credit_limit=1_000 * EURO)
    said, leads = card(admin, "Balances at risk")
    assert said == "3"
    assert listed(admin, leads) == ["other", "olga", "alice"]
    assert listed(admin, "/panel/accounts?risk=low") == ["alice", "olga"]
    assert listed(admin, "/panel/accounts?risk=credit-used") == ["other"]
    said, leads = card(reseller, "Balances at risk")
    assert said == "1"
    assert listed(reseller, leads) == ["alice"]
    wallet(office, "olga", posted=EURO)
    assert listed(admin, "/panel/accounts?risk=low") == ["alice"]
    with office.reading() as session:
        assert session.query(BalanceThresholdRow).all() == []


def test_what_is_charged_today_is_revenue_of_today(office_on_each: Office) -> None:
    charged(office_on_each)
    admin = office_on_each.seat("admin")
    assert card(admin, "Revenue today")[0].startswith("40.00")
    assert "Revenue today" not in office_on_each.seat("reseller").get("/panel/").text
    later(office_on_each, (7 * 86_400 + 60) * 1_000_000)
    assert "100 % less than a week ago at this time" in admin.get("/panel/").text


def test_the_overdue_card_leads_to_the_overdue_invoices_of_its_unit(office_on_each: Office) -> None:
    overdue(office_on_each)
    said, leads = card(office_on_each.seat("reseller"), "Overdue")
    assert "EUR" in said
    assert "status=overdue" in leads
    assert "unit=EUR" in leads
    page = office_on_each.seat("reseller").get(leads).text
    assert page.count("<tr role") == 2
    assert "alice" in page
    # The operator issued none of them.
    assert "Nothing matches" in office_on_each.seat("admin").get(leads.replace("=reseller", "=operator")).text
