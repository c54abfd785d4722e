"""Reports that make themselves, in the panel: written, paused, resumed, removed."""

import json

import pytest
from sqlalchemy import select

from pbxbill.reports.run_maker import make_waiting
from pbxbill.reports.schedules import start_due
from pbxbill.store.access_models import AuditRow
from pbxbill.store.report_models import ReportScheduleRow
from tests.web.offices import Browser, Office
from tests.web.test_report_pages import DAY_US, MARCH, filled

SCHEDULE = {
    "name": "For the board", "every": "month", "minute": "07:30", "format": "pdf",
    "emails": "board@example.com\nceo@example.com",
}  # fmt: skip


def scheduled(browser: Browser, **values: str) -> str:
    path = f"/panel/reports/revenue/schedule?{MARCH}&group=customer"
    answer = browser.post(path, {**SCHEDULE, **values})
    assert answer.status_code == 303, answer.text
    return str(answer.location)


def test_a_schedule_is_written_paused_resumed_and_removed(office_on_each: Office) -> None:
    office = filled(office_on_each)
    browser = office.seat("reseller")
    asked = browser.get("/panel/reports/revenue/schedule?group=customer").text
    assert "reseller@example.com" in asked  # his own address is there already
    place = scheduled(browser)
    with office.writing() as session:
        row = session.scalars(select(ReportScheduleRow)).one()
        assert (row.minute, row.every, json.loads(row.parameters)) == (450, "month", {"group": "customer"})
    page = browser.get(place).text
    assert "For the board" in page
    assert "07:30 UTC" in page
    assert "Customer" in page
    assert "made for the first time" in page
    office.clock.advance(20 * DAY_US)
    browser = office.browser("reseller")
    assert start_due(office.application.database, office.clock.now_us()) == 1
    assert make_waiting(office.application.database, office.clock) == 1
    assert "revenue-2026-03-01-2026-03-31-customer.pdf" in browser.get(place).text
    listed = browser.get("/panel/reports/schedules").text
    assert "For the board" in listed
    assert "Revenue" in listed
    assert "1 report makes itself" in browser.get("/panel/reports").text
    assert browser.post(f"{place}/pause", page=place).status_code == 303
    assert "paused" in browser.get(place).text
    assert "paused" in browser.get("/panel/reports/schedules?state=paused").text
    assert browser.post(f"{place}/resume", page=place).status_code == 303
    for path in (place, f"{place}/remove"):
        assert office.seat("admin").get(path).status_code == 404
    assert "Nothing is made and sent any more" in browser.get(f"{place}/remove").text
    assert browser.post(f"{place}/remove").location == "/panel/reports/schedules"
    with office.writing() as session:
        assert session.scalars(select(ReportScheduleRow)).all() == []
        told = session.scalars(select(AuditRow.action).where(AuditRow.action.startswith("report."))).all()
    assert list(told) == ["report.schedule", "report.pause", "report.resume", "report.unschedule"]
    assert "No report makes itself yet" in browser.get("/panel/reports/schedules").text


@pytest.mark.parametrize(
    "values, told",
    [
        ({"name": ""}, "Please fill this in."),
        ({"minute": "25:00"}, "A day has 1440 minutes."),
        ({"minute": "soon"}, "A day has 1440 minutes."),
        ({"emails": "board@example.com not-one"}, "is no e-mail address"),
        ({"emails": " ".join(f"a{x}@example.com" for x in range(30))}, "Up to 20 addresses."),
        ({"every": "year"}, "Not a valid choice"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_beside_its_field(
    office: Office, values: dict[str, str], told: str
) -> None:
    answer = office.seat("admin").post("/panel/reports/revenue/schedule", {**SCHEDULE, **values})
    assert answer.status_code == 200
    assert told in answer.text
    assert "#" + next(iter(values)) in answer.text  # the summary leads to the field
    if "name" not in values:
        assert "For the board" in answer.text
