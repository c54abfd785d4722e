"""Reports in the panel and the portal: what stands on them, where rows lead, files, views, schedules."""

import csv
import io
import json
import re
from datetime import UTC, datetime

import pytest
from openpyxl import load_workbook
from sqlalchemy import select

from pbxbill.reports.catalogue import REPORTS
from pbxbill.reports.making import TooLarge
from pbxbill.reports.named_days import NAMED_DAYS, days_named
from pbxbill.reports.rollups import roll_up
from pbxbill.reports.run_maker import make_waiting
from pbxbill.store.access_models import SavedViewRow
from pbxbill.store.catalogue_models import CarrierRow
from pbxbill.store.report_models import ReportRunRow
from pbxbill.web import report_pages
from pbxbill.web.panel.reports import THEMES
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.reported_calls import open_reported
from tests.web.offices import Browser, Office

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
TENTH_US = int(datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp()) * 1_000_000
MARCH = "from=2026-03-01&to=2026-03-31"


def filled(office: Office) -> Office:
    """Calls of alice's on the tenth of March 2026, one answered, and one two days later; it is the 20th."""
    office.clock.advance(TENTH_US + 10 * DAY_US - office.clock.now_us())
    ids = {code: office.account_id(code) for code in ("alice", "reseller")}
    reported = open_reported(BilledAccounts(office.url, ids))
    german = [(eur("0.4284"), eur("0.0684")), (eur("0.18"), 0)]
    with office.writing() as session:
        reported.exact_call(session, "alice", "Germany", TENTH_US, 180, german, eur("0.09"))
        reported.exact_call(session, "alice", "Germany", TENTH_US + HOUR_US, 0, [])
        spanish = [(eur("2.5"), eur("0.5")), (eur("1.25"), 0)]
        reported.exact_call(session, "alice", "Spain", TENTH_US + 2 * DAY_US, 600, spanish)
    return office


def rows_of(text: str) -> list[list[str]]:
    """The cells of the page's table, totals last."""
    body = text.split('class="list report-table"')[1].split("</table>", maxsplit=1)[0]
    found = []
    for row in body.split("<tr")[2:]:
        cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S)
        found.append([" ".join(re.sub(r"<[^>]+>", "", cell).split()) for cell in cells])
    return found


def links_of(text: str) -> list[str]:
    body = text.split('class="list report-table"')[1].split("</table>", maxsplit=1)[0]
    return [x.replace("&amp;", "&") for x in re.findall(r'rowheader"><a href="([^"]+)"', body)]


def test_every_report_has_its_place_and_opens(office: Office) -> None:
    filled(office)
    assert sorted(name for _, names in THEMES for name in names) == sorted(REPORTS)
    browser = office.seat("admin")
    index = browser.get("/panel/reports").text
    for name, report in REPORTS.items():
        assert f'href="/panel/reports/{name}"' in index
        answer = browser.get(f"/panel/reports/{name}?{MARCH if name != 'hours' else ''}")
        assert answer.status_code == 200, name
        assert report.title in answer.text
        for group in next((x.choices for x in report.parameters if x.key == "group"), ()):
            assert browser.get(f"/panel/reports/{name}?group={group[0]}").status_code == 200, (name, group)


def test_a_report_shows_rows_totals_and_a_chart_with_the_same_figures(office_on_each: Office) -> None:
    office = filled(office_on_each)
    text = office.seat("reseller").get(f"/panel/reports/margin?{MARCH}&group=destination").text
    assert rows_of(text) == [
        ["Spain", "1", "2.00 EUR", "1.25 EUR", "0.75 EUR", "37.5 %", "0"],
        ["Germany", "1", "0.36 EUR", "0.18 EUR", "0.18 EUR", "50.0 %", "0"],
        ["Total", "2", "2.36 EUR", "1.43 EUR", "0.93 EUR", "39.4 %", "0"],
    ]
    assert 'aria-label="Chart: Margin, EUR.' in text
    operator = office.seat("admin").get(f"/panel/reports/margin?{MARCH}&group=destination").text
    assert rows_of(operator)[-1][:4] == ["Total", "2", "1.43 EUR", "0.09 EUR"]


def test_roll_ups_change_nothing_on_the_page(office_on_each: Office) -> None:
    office = filled(office_on_each)
    path = f"/panel/reports/revenue?{MARCH}&group=day"
    before = rows_of(office.seat("admin").get(path).text)
    roll_up(office.application.database, office.clock.now_us())
    assert rows_of(office.seat("admin").get(path).text) == before


def test_destinations_are_offered_as_one_types(office_on_each: Office) -> None:
    office = filled(office_on_each)
    roll_up(office.application.database, office.clock.now_us())
    for login, names in (("reseller", ["Spain"]), ("admin", ["Spain"]), ("other", [])):
        found = office.seat(login).get("/panel/reports/suggested-destinations?q=sPa").get_json()
        assert [x["value"] for x in found] == names
    assert office.seat("admin").get("/panel/reports/suggested-destinations?q=%25").json == []


def test_resellers_see_their_own_customers_only(office: Office) -> None:
    filled(office)
    text = office.seat("reseller").get(f"/panel/reports/top-accounts?{MARCH}").text
    assert rows_of(text)[0][:2] == ["alice", "Alice"]
    other = office.seat("other").get(f"/panel/reports/top-accounts?{MARCH}").text
    assert "There is nothing in these days" in other
    assert office.seat("other").get("/panel/reports/revenue?account=alice").status_code == 400
    # What the operator alone has is not offered: carriers, and resellers below, of which there are none.
    asked = office.seat("reseller").get("/panel/reports/revenue").text
    assert 'name="carrier"' not in asked
    assert 'value="carrier"' not in asked
    assert 'name="reseller"' not in asked
    assert 'name="reseller"' in office.seat("admin").get("/panel/reports/revenue").text


def test_the_operator_sees_a_resellers_statement(office: Office) -> None:
    filled(office)
    text = office.seat("admin").get(f"/panel/reports/resellers?{MARCH}").text
    assert next(x for x in rows_of(text) if x[0] == "reseller")[2:4] == ["2", "1.43 EUR"]
    seen = office.seat("admin").get(f"/panel/reports/revenue?{MARCH}&reseller=reseller&group=customer").text
    assert rows_of(seen)[0][0] == "alice"


@pytest.mark.parametrize(
    "query, label, told",
    [
        ("from=yesterday", "From", "is not a day"),
        ("from=2026-03-31&to=2026-03-01", "To", "It is before the first day."),
        ("group=moon", "By", "is none of"),
        ("account=nobody", "Account", "There is no account"),
        ("destination=" + "x" * 300, "Destination", "Up to 200"),
    ],
)
def test_what_cannot_be_asked_for_is_named_and_kept(
    office: Office, query: str, label: str, told: str
) -> None:
    answer = office.seat("admin").get(f"/panel/reports/revenue?{query}")
    assert answer.status_code == 400
    key, _, value = query.rsplit("&", maxsplit=1)[-1].partition("=")
    assert f'href="#filter-{key}">{label}</a>' in answer.text or f">{label}</a>" in answer.text
    assert told in answer.text
    assert value[:200] in answer.text or key == "group"
    assert office.seat("admin").get(f"/panel/reports/revenue.csv?{query}").status_code == 400
    for page in ("make", "schedule"):
        answer = office.seat("admin").get(f"/panel/reports/revenue/{page}?{query}")
        assert answer.status_code in (200, 303)


def test_there_is_no_other_report(office: Office) -> None:
    for path in ("nothing", "nothing.csv", "nothing/make", "nothing/schedule", "revenue.exe"):
        assert office.seat("admin").get(f"/panel/reports/{path}").status_code == 404


def test_days_have_names_that_move_along(office: Office) -> None:
    filled(office)
    browser = office.seat("admin")
    text = browser.get("/panel/reports/revenue?days=last-month&group=month").text
    assert 'name="from" value="2026-02-01"' in text
    assert 'name="to" value="2026-02-28"' in text
    # The form is sent with the days it shows: they keep their name, until somebody writes other ones.
    same = browser.get("/panel/reports/revenue?days=last-month&from=2026-02-01&to=2026-02-28&group=day").text
    assert 'days=last-month" aria-current="true"' in same.replace("&amp;group=day", "")
    other = browser.get("/panel/reports/revenue?days=last-month&from=2026-02-03&to=2026-02-28").text
    assert 'name="from" value="2026-02-03"' in other
    assert 'name="days"' not in other


def test_named_days() -> None:
    today = datetime(2026, 3, 4, tzinfo=UTC).date()
    found = {name: tuple(x.isoformat() for x in days_named(name, today) or ()) for name, _ in NAMED_DAYS}
    assert found == {
        "today": ("2026-03-04", "2026-03-04"),
        "yesterday": ("2026-03-03", "2026-03-03"),
        "this-week": ("2026-03-02", "2026-03-04"),
        "last-week": ("2026-02-23", "2026-03-01"),
        "this-month": ("2026-03-01", "2026-03-04"),
        "last-month": ("2026-02-01", "2026-02-28"),
        "this-year": ("2026-01-01", "2026-03-04"),
        "last-12-months": ("2025-04-01", "2026-03-04"),
    }
    assert days_named("", today) is None


def test_rows_lead_to_the_calls_that_they_sum_up(office: Office) -> None:
    filled(office)
    browser = office.seat("admin")
    page = f"/panel/reports/usage?{MARCH}"
    months = links_of(browser.get(f"{page}&group=month").text)
    assert months == ["/panel/reports/usage?from=2026-03-01&to=2026-03-31&group=day"]
    days = links_of(browser.get(months[0]).text)
    assert days[9] == "/panel/calls?from=2026-03-10&to=2026-03-10"
    assert browser.get(days[9]).text.count('role="rowheader"') == 2
    places = links_of(browser.get(f"{page}&group=destination&account=alice").text)
    assert places[0] == "/panel/calls?from=2026-03-01&to=2026-03-31&account=alice&destination=Spain"
    assert browser.get(places[0]).text.count('role="rowheader"') == 1
    resellers = links_of(browser.get(f"{page}&group=customer").text)
    assert resellers == [f"/panel/reports/usage?{MARCH}&group=customer&reseller=reseller"]
    sold = links_of(browser.get(f"/panel/reports/usage?{MARCH}&group=destination&reseller=reseller").text)
    assert "/panel/calls?from=2026-03-01&to=2026-03-31&destination=Spain&reseller=reseller" in sold
    assert browser.get(sold[0]).text.count('role="rowheader"') == 1
    customers = links_of(office.seat("reseller").get(f"{page}&group=customer").text)
    assert customers == ["/panel/calls?from=2026-03-01&to=2026-03-31&account=alice"]


@pytest.mark.parametrize("form", ["csv", "xlsx", "docx", "pdf", "html"])
def test_a_report_is_a_file_at_once(office: Office, form: str) -> None:
    filled(office)
    answer = office.seat("reseller").get(f"/panel/reports/margin.{form}?{MARCH}&group=destination")
    assert answer.status_code == 200
    name = f"margin-2026-03-01-2026-03-31-destination.{form}"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    if form == "csv":
        rows = list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"))))
        assert rows[1][:5] == ["Spain", "1", "2.00", "1.25", "0.75"]
    elif form == "xlsx":
        sheet = load_workbook(io.BytesIO(answer.data)).worksheets[0]
        cells = [x.value for row in sheet.iter_rows() for x in row]
        assert "Spain" in cells
    else:
        assert len(answer.data) > 1_000


def test_what_takes_long_is_offered_in_the_background(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(office)
    browser = office.seat("admin")
    monkeypatch.setitem(report_pages.AT_ONCE_ROWS, "csv", 1)
    answer = browser.get(f"/panel/reports/destinations.csv?{MARCH}")
    assert answer.status_code == 303
    assert answer.location == f"/panel/reports/destinations/make?{MARCH}&format=csv&large=1"
    assert "takes longer than a page may wait" in browser.get(answer.location).text

    def slow(*_: object, **__: object) -> None:
        raise TooLarge("slow")

    monkeypatch.setattr(report_pages, "page_of", slow)
    page = browser.get(f"/panel/reports/destinations?{MARCH}")
    assert page.status_code == 200
    assert f'href="/panel/reports/destinations/make?{MARCH.replace("&", "&amp;")}"' in page.text


def made(browser: Browser, query: str = MARCH, **values: str) -> str:
    """Ask for it in the background; where it is watched."""
    path = f"/panel/reports/destinations/make?{query}"
    answer = browser.post(path, {"format": "xlsx", **values})
    assert answer.status_code == 303, answer.text
    return str(answer.location)


def test_a_report_is_made_in_the_background_and_fetched(office_on_each: Office) -> None:
    office = filled(office_on_each)
    browser = office.seat("reseller")
    place = made(browser, emails="a@example.com, b@example.com")
    waits = browser.get(place).text
    assert "It waits to be made" in waits
    assert "No process makes reports now" in waits
    assert f'data-live="{place}/now"' in waits
    assert browser.get(f"{place}/file").status_code == 404
    assert make_waiting(office.application.database, office.clock) == 1
    done = browser.get(f"{place}/now").text
    assert "Download destinations-2026-03-01-2026-03-31.xlsx" in done
    assert "a@example.com, b@example.com" in done
    file = browser.get(f"{place}/file")
    assert load_workbook(io.BytesIO(file.data)).worksheets[0].max_row > 5
    listed = browser.get("/panel/reports/made").text
    assert "Destinations" in listed
    assert f'href="{place}"' in listed
    assert "Destinations" in browser.get("/panel/reports").text.split("Made lately")[1]
    assert browser.get("/panel/reports/made.csv").text.count("Destinations") == 1
    for path in (place, f"{place}/now", f"{place}/file"):
        assert office.seat("other").get(path).status_code == 404
        assert office.seat("admin").get(path).status_code == 404
    with office.writing() as session:
        row = session.scalars(select(ReportRunRow)).one()
        assert (row.by, json.loads(row.parameters)["from"]) == ("reseller", "2026-03-01")
        row.state, row.content = "gone", None
    assert "is gone. It can be made again." in browser.get(place).text


def test_what_failed_says_why_and_can_be_made_again(office: Office) -> None:
    filled(office)
    browser = office.seat("admin")
    place = made(browser)
    with office.writing() as session:
        row = session.scalars(select(ReportRunRow)).one()
        row.state, row.error = "failed", "the disk is full"
    text = browser.get(place).text
    assert "It could not be made" in text
    assert "the disk is full" in text
    assert "/panel/reports/destinations/make?" in text


@pytest.mark.parametrize(
    "values, told",
    [({"emails": "nobody"}, "is no e-mail address"), ({"format": "doc"}, "Not a valid choice")],
)
def test_a_background_report_that_cannot_be_is_refused(
    office: Office, values: dict[str, str], told: str
) -> None:
    path = f"/panel/reports/destinations/make?{MARCH}"
    answer = office.seat("admin").post(path, {"format": "pdf", **values})
    assert answer.status_code == 200
    assert told in answer.text
    assert values.get("emails", "") in answer.text


def test_a_view_is_kept_found_again_and_forgotten(office: Office) -> None:
    filled(office)
    browser = office.seat("finance")
    page = "/panel/reports/revenue?days=last-month&group=customer"
    answer = browser.post(
        "/panel/reports/revenue/views?days=last-month&group=customer", {"name": "Last month"}, page=page
    )
    assert answer.location == page
    assert re.search(
        r'revenue\?days=last-month&amp;group=customer"><svg.*?</svg> Last month</a>',
        browser.get("/panel/reports").text,
    )
    assert "Forget the view “Last month”" in browser.get(page).text
    assert "Last month</a></li>" not in office.seat("admin").get(page).text.split("Days")[0]
    with office.reading() as session:
        view = session.scalars(select(SavedViewRow)).one()
    assert (view.page, view.query) == ("report:revenue", "days=last-month&group=customer")
    forget = f"/panel/reports/revenue/views/{view.id}/forget"
    assert office.seat("admin").post(forget, page=page).status_code == 404
    assert browser.post(forget, page=page).status_code == 303
    assert "Forget the view" not in browser.get(page).text
    answer = browser.post("/panel/reports/revenue/views", {"name": ""}, page=page)
    assert "name has 1 to 64" in browser.get(answer.location).text


def test_who_may_not_read_reports_finds_none(office: Office) -> None:
    for path in (
        "/panel/reports",
        "/panel/reports/revenue",
        "/panel/reports/made",
        "/panel/reports/schedules",
    ):
        assert office.seat("cashier").get(path).status_code == 403


def test_a_customer_sees_his_usage_by_month_and_destination(office_on_each: Office) -> None:
    office = filled(office_on_each)
    browser = office.seat("alice")
    text = browser.get("/my/reports").text
    rows = rows_of(text)
    assert len(rows) == 13
    assert rows[11] == ["Mar 2026", "3", "2", "13:00", "2.36 EUR", "0.5684 EUR", "2.93 EUR"]
    assert rows[12][1:] == rows[11][1:]
    march = links_of(text)[11]
    assert march == "/my/reports?from=2026-03-01&to=2026-03-20&group=destination"
    assert [x[0] for x in rows_of(browser.get(march).text)] == ["Spain", "Germany", "Total"]
    file = browser.get("/my/reports.csv?group=destination&days=this-month")
    assert file.text.splitlines()[1].startswith("Spain,1,1,600,2.00,0.50,2.50,EUR")
    assert browser.get("/my/reports?group=moon").status_code == 400
    assert "There were no calls in these days" in office.seat("olga").get("/my/reports").text
    shown = re.sub(r"<[^>]+>", "", text)
    for amount in ("1.25", "0.18", "0.09"):  # what the calls cost who sells
        assert f"{amount} EUR" not in shown


def test_a_reseller_sees_what_he_is_billed(office: Office) -> None:
    filled(office)
    rows = rows_of(office.seat("reseller-books").get("/my/reports?days=this-month&group=destination").text)
    assert [x[0] for x in rows] == ["Spain", "Germany", "Total"]
    assert rows[2][6] == "1.43 EUR"


def test_a_carriers_page_and_report_tell_its_quality_and_margin(office_on_each: Office) -> None:
    office = filled(office_on_each)
    admin = office.seat("admin")
    with office.reading() as session:
        (row,) = session.scalars(select(CarrierRow)).all()
    assert "/panel/reports/carriers" in admin.get("/panel/carriers").text
    page = admin.get(f"/panel/carriers/{row.id}").text
    # One call of 180 s went by this carrier in the last 30 days: 0.18 of the reseller, 0.09 asked for it.
    assert rows_of(page)[0][:5] == ["Germany", "1", "1", "100.0 %", "3:00"]
    assert "50.0 %" in " ".join(rows_of(page)[0])
    empty = admin.get(f"/panel/carriers/{row.id}?from=2025-01-01&to=2025-01-31").text
    assert "No call went by this carrier in these days" in empty
    wrong = admin.get(f"/panel/carriers/{row.id}?from=x").text
    assert "This cannot be asked for" in wrong
    report = admin.get(f"/panel/reports/carriers?{MARCH}").text
    assert row.name in [x[0] for x in rows_of(report)]
    assert admin.get(f"/panel/reports/carriers.csv?{MARCH}").text.count(row.name) == 1
    assert office.seat("reseller").get("/panel/reports/carriers").status_code == 404
