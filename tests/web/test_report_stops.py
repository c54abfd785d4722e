"""Reports that take long: watched and stopped on the panel and by programs; and tables that take long."""

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Role
from pbxbill.listing.listing import Column
from pbxbill.reports.catalogue import REPORTS
from pbxbill.reports.making import HowFar, Stage, TooLarge
from pbxbill.reports.report import Asked, Report, Table
from pbxbill.reports.run_maker import make_waiting
from pbxbill.reports.runs import SILENT_US, beat
from pbxbill.store.engine import transaction
from pbxbill.store.report_models import ReportRunRow
from pbxbill.web.api.reports import table_of
from pbxbill.web.portal.usage import usage
from tests.web.offices import Browser, Office
from tests.web.programs import Installation, installation
from tests.web.test_report_pages import MARCH, filled

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n"


@pytest.fixture
def installed(database_url: str) -> Iterator[Installation]:
    with installation(database_url) as made:
        yield made


def waiting(browser: Browser) -> str:
    """Ask for a report; where it is watched."""
    answer = browser.post("/panel/reports/prepaid/make", {"format": "csv"})
    assert answer.status_code == 303, answer.text
    return str(answer.location)


def taken(office: Office, how_far: HowFar, state: str = "running") -> None:
    """As whoever makes it writes it down."""
    now_us = office.clock.now_us()
    with office.writing() as session:
        row = session.scalars(select(ReportRunRow)).one()
        row.state, row.started_us, row.error = state, now_us, beat(how_far, now_us)


def test_what_waits_is_stopped_at_once(office_on_each: Office) -> None:
    browser = office_on_each.seat("reseller")
    place = waiting(browser)
    assert f'action="{place}/stop"' in browser.get(place).text
    for other in ("admin", "other"):
        assert (
            office_on_each.seat(other).post(f"{place}/stop", page="/panel/reports/prepaid/make").status_code
            == 404
        )
    assert browser.post(f"{place}/stop", page="/panel/reports/prepaid/make").location == place
    page = browser.get(place).text
    assert "It was stopped. It can be made again." in page
    assert f'action="{place}/stop"' not in page
    assert make_waiting(office_on_each.application.database, office_on_each.clock) == 0
    browser.post(f"{place}/stop", page="/panel/reports/prepaid/make")
    assert "This report is not being made any more" in browser.get(place).text
    assert "stopped" in browser.get("/panel/reports/made?state=stopped").text.split("<tbody")[1]


@pytest.mark.parametrize(
    "how_far, told",
    [
        (HowFar(), "What it tells of is read."),
        (HowFar(Stage.HOURS, 3, 40), "Calls are read: 3 of 40 hours."),
        (HowFar(Stage.CALLS, 20_000, 1_000_000), "20,000 of 1,000,000 calls are looked at."),
        (HowFar(Stage.CALLS, 20_000), "20,000 calls are looked at."),
        (HowFar(Stage.WRITING, 250, 800), "The file is written: 250 of 800 rows."),
        (HowFar(Stage.SETTING), "The pages of the file are set."),
    ],
)
def test_the_page_says_how_far_it_is(office: Office, how_far: HowFar, told: str) -> None:
    browser = office.seat("admin")
    place = waiting(browser)
    taken(office, how_far)
    page = browser.get(f"{place}/now").text
    assert told in page
    bar = re.search(r"<progress[^>]*>", page)
    assert bar is not None
    assert (f'max="{how_far.total}" value="{how_far.done}"' in bar.group()) == bool(how_far.total)
    assert browser.post(f"{place}/stop", page="/panel/reports/prepaid/make").status_code == 303
    page = browser.get(place).text
    assert "It stops within a few seconds." in page
    assert told in page
    assert f'action="{place}/stop"' not in page


def test_what_was_cut_off_is_told_so(office: Office) -> None:
    browser = office.seat("admin")
    place = waiting(browser)
    taken(office, HowFar(Stage.HOURS, 1, 2))
    office.clock.advance(SILENT_US + 1)
    assert "It was cut off" in browser.get(place).text
    for page in ("/panel/reports/made", "/panel/reports"):
        assert "cut off" in browser.get(page).text
    browser.post(f"{place}/stop", page="/panel/reports/prepaid/make")
    assert "It was stopped." in browser.get(place).text


def test_an_account_has_its_usage_made_in_the_background(
    office_on_each: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = filled(office_on_each)
    books = office.seat("reseller-books")

    def large(*_: object) -> None:
        raise TooLarge("slow")

    monkeypatch.setitem(usage.__globals__, "file_at_once", large)
    answer = books.get(f"/my/reports.csv?{MARCH}&group=destination")
    assert answer.status_code == 303
    assert answer.location == f"/my/reports/make?{MARCH}&group=destination&format=csv&large=1"
    assert "takes longer than a page may wait" in books.get(answer.location).text
    place = str(books.post(answer.location, {"format": "csv"}).location)
    assert re.fullmatch(r"/my/reports/made/\d+", place)
    assert "It waits to be made" in books.get(place).text
    taken(office, HowFar(Stage.HOURS, 3, 40))
    assert "Calls are read: 3 of 40 hours." in books.get(f"{place}/now").text
    for login in ("alice", "other"):
        for path in (place, f"{place}/now", f"{place}/file"):
            assert office.seat(login).get(path).status_code == 404, (login, path)
    panel = office.seat("reseller")  # what he has made for his customers stands there, and not this
    assert panel.get(place.replace("/my/", "/panel/")).status_code == 404
    assert "No report was made in the background yet" in panel.get("/panel/reports/made").text
    assert "/panel/reports/made/" not in panel.get("/panel/reports").text
    assert books.post(f"{place}/stop", page=place).location == place
    assert "It stops within a few seconds." in books.get(place).text
    office.clock.advance(SILENT_US + 1)
    assert make_waiting(office.application.database, office.clock) == 0
    assert "It was stopped." in books.get(place).text
    again = str(books.post(f"/my/reports/make?{MARCH}&group=destination", {"format": "csv"}).location)
    assert make_waiting(office.application.database, office.clock) == 1
    assert "Download usage-2026-03-01-2026-03-31-destination.csv" in books.get(again).text
    assert f'href="{again}"' in books.get("/my/reports").text
    file = books.get(f"{again}/file").get_data(as_text=True).splitlines()
    assert [x.split(",")[0] for x in file[1:]] == ["Spain", "Germany"]
    assert "1.25" in file[1]


def slow(monkeypatch: pytest.MonkeyPatch, statement: str) -> None:
    def make(session: Session, _asked: Asked) -> Table:
        return Table((Column("number", "Number"),), [{"number": str(session.scalar(text(statement)))}])

    monkeypatch.setitem(REPORTS, "slow", Report("slow", "Slow", "Takes long.", (), make))


def test_a_table_that_takes_long_is_made_in_the_background(
    installed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch, ENDLESS)
    monkeypatch.setitem(table_of.__globals__, "PATIENCE_MS", 50)
    program = installed.program()
    answer = program.post("/reports/slow/table", {})
    assert (answer.status_code, answer.json["state"], answer.json["format"]) == (202, "waiting", "csv")
    assert answer.json["progress"] is None
    place = f"/report-runs/{answer.json['id']}"
    slow(monkeypatch, "SELECT 5")
    assert make_waiting(installed.invoicing.database, installed.invoicing.clock) == 1
    done = program.get(place).json
    assert (done["state"], done["rows"], done["progress"]) == ("done", 1, None)
    assert program.get(f"{place}/file").get_data(as_text=True) == "\ufeffNumber\r\n5\r\n"
    assert program.post(f"{place}/stop", None).status_code == 409
    table = program.post("/reports/slow/table", {})
    assert (table.status_code, table.json["rows"]) == (200, [{"number": "5"}])


def test_a_program_watches_and_stops_a_report(installed: Installation) -> None:
    program = installed.program()
    place = f"/report-runs/{program.post('/report-runs', {'report': 'prepaid', 'format': 'csv'}).json['id']}"
    now_us = installed.invoicing.clock.now_us()
    with transaction(installed.invoicing.database) as session:
        row = session.scalars(select(ReportRunRow)).one()
        row.state, row.started_us = "running", now_us
        row.error = beat(HowFar(Stage.HOURS, 3, 40), now_us)
    far = program.get(place).json
    assert (far["state"], far["error"]) == ("running", "")
    assert far["progress"] == {"stage": "hours", "done": 3, "total": 40}
    assert [x["state"] for x in program.get("/report-runs").json["items"]] == ["running"]
    reseller = installed.program("reseller", role=Role.RESELLER)
    assert reseller.post(f"{place}/stop", None).status_code == 404
    answer = program.post(f"{place}/stop", None)
    assert (answer.status_code, answer.json["state"]) == (202, "stopping")
