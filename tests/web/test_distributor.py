"""A distributor's day: cash for an account that he finds, its receipt, vouchers, and what is in his till."""

import re
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from pbxbill.store.models import AccountRow, WalletRow
from pbxbill.store.payment_models import VoucherBatchRow, VoucherRow
from tests.web.offices import Browser, Office

KEY = re.compile(r'name="key"[^>]*value="([^"]+)"')


def key_of(browser: Browser, path: str) -> str:
    found = KEY.search(browser.get(path).text)
    assert found
    return found[1]


def funds(office: Office, code: str) -> int:
    with office.reading() as session:
        query = select(WalletRow.posted).join(AccountRow).where(AccountRow.code == code)
        return session.scalars(query).one()


def test_cash_is_taken_for_who_was_found_and_the_receipt_printed(office_on_each: Office) -> None:
    office = office_on_each
    shop = office.seat("shop")
    assert shop.get("/").location == "/panel/till"
    assert "nothing yet" in shop.get("/panel/till").text
    assert "Nobody is called" in shop.get("/panel/till?q=olga").text
    found = shop.get("/panel/till?q=ali").text
    path = f"/panel/till/take/{office.account_id('alice')}"
    assert f'href="{path}"' in found
    bad = shop.post(path, {"amount": "much", "unit": "EUR", "reference": "kept"})
    assert 'href="#amount"' in bad.text
    assert 'value="kept"' in bad.text
    form = {"amount": "20", "unit": "EUR", "method": "cash", "purpose": "wallet", "key": key_of(shop, path)}
    done = shop.post(path, form)
    assert done.status_code == 303, done.text
    assert shop.post(path, form).status_code == 303  # sent twice, it counts once
    assert funds(office, "alice") == 20_000_000
    page = shop.get(done.location).text
    receipt = re.search(r'href="(/panel/payments/[0-9a-f]{32}/receipt\.pdf)"', page)
    assert receipt
    assert shop.get(receipt[1]).data.startswith(b"%PDF-")
    assert "20.00" in page.partition("Should be in the till")[2]
    assert "nothing yet" in office.seat("cashier").get("/panel/till").text
    assert shop.get(f"/panel/till/take/{office.account_id('olga')}").status_code == 404


def test_vouchers_are_sold_as_they_are_made_and_shown_once(office: Office) -> None:
    shop = office.seat("shop")
    path = "/panel/till/vouchers"
    form = {"amount": "5", "unit": "EUR", "count": "2", "key": key_of(shop, path)}
    page = shop.post(path, form).text
    codes = re.findall(r'class="code">([\d ]+)<', page)
    assert len(codes) == 2
    assert "sent before" in shop.post(path, form).text
    assert "10.00" in shop.get("/panel/till").text.partition("Should be in the till")[2]
    assert "2 vouchers" in shop.get("/panel/till").text
    assert 'href="#count"' in shop.post(path, form | {"count": "51", "key": "new"}).text
    with office.reading() as session:
        batch = session.scalars(select(VoucherBatchRow)).one()
        assert (batch.state, batch.by) == ("active", "shop")
        assert batch.issuer_id == office.account_id("reseller")
        assert session.scalar(select(func.count()).select_from(VoucherRow)) == 2
    alice = office.seat("alice")
    assert alice.post("/my/voucher", {"voucher-code": codes[0]}).status_code == 303
    assert funds(office, "alice") == 5_000_000


def test_another_day_is_looked_at_and_nonsense_is_today(office: Office) -> None:
    shop = office.seat("shop")
    assert 'Your day, <time datetime="2020-01-01">' in shop.get("/panel/till?day=2020-01-01").text
    assert "Your day so far" in shop.get("/panel/till?day=yesterday").text
    assert office.seat("alice").get("/panel/till").status_code == 403


def received(office: Office, who: str, amount: str, method: str, code: str = "alice") -> str:
    """Taken at the till; the entry's id."""
    seat, path = office.seat(who), f"/panel/till/take/{office.account_id(code)}"
    form = {"amount": amount, "unit": "EUR", "method": method, "purpose": "wallet", "key": key_of(seat, path)}
    location = seat.post(path, form).location
    return location.partition("taken=")[2]


def cards_of(browser: Browser, path: str = "/panel/till") -> list[tuple[str, str]]:
    page = browser.get(path).text
    found = re.findall(
        r'class="card-number"><dt>(.*?)</dt><dd>(.*?)</dd>(?:<dd class="note">(.*?)</dd>)?', page
    )
    return [(re.sub(r"<[^>]+>|EUR|\s", "", amount).replace("€", ""), note) for _, amount, note in found]


def test_in_the_till_is_what_was_cash_and_a_manager_sees_it(office_on_each: Office) -> None:
    office = office_on_each
    received(office, "shop", "10", "cash")
    received(office, "shop", "25", "card")
    entry = received(office, "shop", "7", "cheque")
    expected = [("10.00", "cash"), ("25.00", "card"), ("7.00", "cheque")]
    assert cards_of(office.seat("shop")) == expected
    assert cards_of(office.seat("reseller"), "/panel/till?by=shop") == expected
    assert '<option value="shop">' in office.seat("reseller").get("/panel/till").text
    assert office.seat("shop").get("/panel/till?by=reseller").status_code == 403
    assert office.seat("shop").get("/panel/till.csv?by=reseller").status_code == 403
    assert cards_of(office.seat("other"), "/panel/till?by=shop") == [("nothingyet", "")]
    lines = office.seat("shop").get("/panel/till.csv").text.splitlines()
    assert len(lines) == 4
    assert office.seat("reseller").get("/panel/till.xlsx?by=shop").data.startswith(b"PK")
    # The day after, the cheque bounces: that day has it, and the day before stays what it was.
    office.clock.advance(86_400_000_000)
    office.browsers.clear()  # nobody is logged in for that long
    form = {"reason": "bounced"}
    answer = office.seat("reseller").post(f"/panel/payments/{entry}/reverse", form)
    assert answer.status_code == 303, answer.text
    assert cards_of(office.seat("shop")) == [("nothingyet", ""), ("−7.00", "cheque")]
    before = day_before(office)
    assert cards_of(office.seat("shop"), f"/panel/till?day={before}") == [
        ("10.00", "cash"), ("25.00", "card"), ("7.00", "cheque"),
    ]  # fmt: skip


def day_before(office: Office) -> str:
    return f"{datetime.fromtimestamp(office.clock.now_us() // 1_000_000, UTC) - timedelta(days=1):%Y-%m-%d}"


def test_payments_are_found_by_who_took_them_how_and_how_much(office_on_each: Office) -> None:
    office = office_on_each
    received(office, "shop", "10", "cash")
    received(office, "shop", "25", "card")
    received(office, "reseller", "40", "cash")
    seat = office.seat("reseller")

    def amounts(query: str) -> list[str]:
        rows = seat.get(f"/panel/payments.csv?order=oldest&{query}").text.splitlines()
        return [re.findall(r"\b\d+\.\d\d+\b", x)[-1][:5] for x in rows[1:]]

    assert amounts("") == ["10.00", "25.00", "40.00"]
    assert amounts("by=shop") == ["10.00", "25.00"]
    assert amounts("method=cash") == ["10.00", "40.00"]
    assert amounts("least=25&most=30") == ["25.00"]
    assert "shop" in seat.get("/panel/payments.csv?method=card").text
