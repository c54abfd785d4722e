"""What goes on when somebody leaves, or a key ends: keys, schedules, and files of reports."""

import re
from dataclasses import replace

import pytest
from sqlalchemy import select

from pbxbill.access.permissions import PERMISSIONS_OF, Permission, Role
from pbxbill.clock import SECOND_US
from pbxbill.reports import catalogue
from pbxbill.reports.run_maker import make_waiting
from pbxbill.reports.schedules import start_due
from pbxbill.store.access_models import ApiKeyRow
from pbxbill.store.report_models import ReportRunRow, ReportScheduleRow
from tests.web.offices import URL, Office
from tests.web.test_security_sellers import ask, key_of

DAY_US = 24 * 3600 * SECOND_US
TICK = "Revoke the API keys of this user as well"


def key_by(office: Office, login: str, name: str = "Shop") -> str:
    """A key that somebody makes on the panel."""
    sent = {
        "name": name,
        "scopes": [Permission.ACCOUNTS_READ, Permission.USERS_WRITE],
        "days": "",
        "per_minute": 9,
    }
    page = office.seat(login).post("/panel/api-keys/new", sent).text
    found = re.search(r"pbx_[a-z2-7]{12}_[A-Za-z0-9_-]{43}", page)
    assert found is not None
    return found[0]


def status(office: Office, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    return office.app.test_client().get("/api/v1/accounts", base_url=URL, headers=headers).status_code


def test_who_lets_somebody_in_no_more_is_told_of_his_keys(office_on_each: Office) -> None:
    office = office_on_each
    key, admin = key_by(office, "reseller"), office.seat("admin")
    user = f"/panel/users/{office.user('reseller').id}"
    assert key[:16] in admin.get(user).text
    asked = admin.get(f"{user}/disable").text
    assert key[:16] in asked
    assert TICK in asked
    assert admin.post(f"{user}/disable").status_code == 303
    assert status(office, key) == 200
    assert key[:16] in admin.get(user).text
    assert admin.post(f"{user}/enable").status_code == 303
    assert admin.post(f"{user}/disable", {"revoke_keys": "y"}).status_code == 303
    assert status(office, key) == 401
    assert key[:16] not in admin.get(user).text
    assert TICK not in admin.get(f"{user}/disable").text


def test_keys_of_others_stay(office: Office) -> None:
    with office.writing() as session:
        session.merge(office.user("support")).role = Role.ADMIN
    his, mine = key_by(office, "support"), key_by(office, "admin")
    admin = office.seat("admin")
    page = admin.get(f"/panel/users/{office.user('support').id}").text
    with office.reading() as session:
        ids = dict(session.execute(select(ApiKeyRow.by, ApiKeyRow.id)).all())
    assert f"/panel/api-keys/{ids['support']}" in page
    assert f"/panel/api-keys/{ids['admin']}" not in page
    made = ask(office, his, "/api-keys", {"name": "below", "scopes": ["accounts:read"]})
    assert made == 201
    path = f"/panel/users/{office.user('support').id}/disable"
    assert admin.post(path, {"revoke_keys": "y"}).status_code == 303
    assert (status(office, his), status(office, mine)) == (401, 200)
    with office.reading() as session:
        below = session.scalars(select(ApiKeyRow).where(ApiKeyRow.name == "below")).one()
        assert below.revoked_us is not None


def test_a_program_lets_somebody_in_no_more_with_his_keys(office: Office) -> None:
    key = key_by(office, "reseller")
    operators = key_of(office, "operator", *PERMISSIONS_OF[Role.ADMIN])
    headers = {"Authorization": f"Bearer {operators}", "Idempotency-Key": "one"}
    sent = {"active": False, "revoke_keys": True}
    path = f"/api/v1/users/{office.user('reseller').id}"
    answer = office.app.test_client().patch(path, base_url=URL, headers=headers, json=sent)
    assert answer.status_code == 200, answer.text
    assert status(office, key) == 401


@pytest.mark.parametrize("end", ["revoked", "over"])
def test_what_a_key_schedules_ends_with_it(office_on_each: Office, end: str) -> None:
    office = office_on_each
    key = key_of(office, "reseller", Permission.REPORTS_READ)
    body = {
        "report": "prepaid",
        "format": "csv",
        "name": "Daily",
        "every": "day",
        "emails": ["a@example.com"],
    }
    assert ask(office, key, "/report-schedules", body) == 201
    office.clock.advance(DAY_US + DAY_US // 2)
    database = office.application.database
    assert start_due(database, office.clock.now_us()) == 1
    with office.writing() as session:
        row = session.scalars(select(ApiKeyRow)).one()
        now_us = office.clock.now_us()
        row.revoked_us, row.ends_us = (now_us, None) if end == "revoked" else (None, now_us)
    office.clock.advance(DAY_US)
    assert start_due(database, office.clock.now_us()) == 0
    with office.reading() as session:
        assert session.scalars(select(ReportScheduleRow.enabled)).all() == [False]


def test_files_of_reports_are_for_whoever_may_have_the_report(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where somebody else had them made."""
    body = {"report": "prepaid", "format": "csv"}
    all_of_it = key_of(office, "reseller", *PERMISSIONS_OF[Role.RESELLER])
    less = key_of(office, "reseller", Permission.REPORTS_READ)
    assert ask(office, all_of_it, "/report-runs", body) == 202
    assert make_waiting(office.application.database, office.clock) == 1
    with office.reading() as session:
        id = session.scalars(select(ReportRunRow.id)).one()
    guarded = replace(catalogue.REPORTS["prepaid"], permission=Permission.AUDIT_READ)
    monkeypatch.setitem(catalogue.REPORTS, "prepaid", guarded)

    def got(key: str, path: str) -> int:
        headers = {"Authorization": f"Bearer {key}"}
        return office.app.test_client().get(f"/api/v1{path}", base_url=URL, headers=headers).status_code

    for path in (f"/report-runs/{id}", f"/report-runs/{id}/file"):
        assert [got(key, path) for key in (all_of_it, less)] == [200, 403]
    assert ask(office, less, "/report-runs", body) == 403
    assert ask(office, less, "/reports/prepaid/table", {}) == 403
    more = {"name": "Daily", "every": "day", "emails": ["a@example.com"]}
    assert ask(office, less, "/report-schedules", body | more) == 403
    reseller = office.seat("reseller")
    paths = (f"/panel/reports/made/{id}", f"/panel/reports/made/{id}/now", f"/panel/reports/made/{id}/file")
    assert [reseller.get(x).status_code for x in paths] == [200, 200, 200]
    monkeypatch.setitem(
        PERMISSIONS_OF, Role.RESELLER, PERMISSIONS_OF[Role.RESELLER] - {Permission.AUDIT_READ}
    )
    assert [reseller.get(x).status_code for x in paths] == [404, 404, 404]
