"""Files of call records that are sent to the panel and the API: read in the background, charged once."""

import base64
from collections.abc import Iterator
from io import BytesIO

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from pbxbill.access.permissions import Role
from pbxbill.clock import SECOND_US
from pbxbill.store.mediation_models import MediationRunRow, QuarantinedRow
from pbxbill.store.models import CdrRow
from tests.store.mediated_calls import MasterLine
from tests.web.offices import Browser, Office
from tests.web.programs import Installation, installation
from tests.web.test_api import fields, problem
from tests.web.test_api_catalogue import made
from tests.web.test_operations_pages import DAY_AFTER_US

FORM = {"format": "asterisk-csv", "zone": "UTC", "switch": "pbx1"}


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[Installation]:
    with installation(sqlite_url) as made:
        yield made


def master(*lines: MasterLine) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def send(browser: Browser, content: bytes, **more: object) -> TestResponse:
    data = {**FORM, "file": (BytesIO(content), "Master.csv"), **more}
    return browser.post("/panel/imports/new", data)


def a_day_later(office: Office) -> Browser:
    office.clock.advance(max(0, DAY_AFTER_US - office.clock.now_us()))
    return office.seat("admin")


def test_a_file_is_sent_and_each_record_charged_once(office_on_each: Office) -> None:
    office = office_on_each
    admin = a_day_later(office)
    content = master(MasterLine(1, account="alice"), MasterLine(2, account="nobody"))
    answer = send(admin, content)
    assert answer.status_code == 303, answer.text
    page = admin.get(answer.location).text
    assert "Its records in quarantine" in page
    assert "Master.csv" in admin.get("/panel/imports").text
    with office.reading() as session:
        run = session.scalars(select(MediationRunRow)).one()
        assert (run.state, run.rated, run.quarantined) == ("done", 1, 1)
        assert session.scalars(select(QuarantinedRow)).one().reason == "account_unknown"
        assert len(session.scalars(select(CdrRow)).all()) == 1
    again = send(admin, content)
    assert again.location != answer.location
    with office.reading() as session:
        second = session.scalars(select(MediationRunRow).order_by(MediationRunRow.id.desc()).limit(1)).one()
        assert (second.rated, second.duplicates) == (0, 2)
        assert len(session.scalars(select(CdrRow)).all()) == 1


def test_what_cannot_be_read_is_told_beside_the_field(office: Office) -> None:
    admin = a_day_later(office)
    line = master(MasterLine(1))
    assert "name it" in send(admin, line, zone="").text
    empty = send(admin, b"").text
    assert "The file is empty" in empty
    assert 'value="pbx1"' in empty
    assert "unpack it first" in send(admin, b"\x1f\x8b\x00\x00").text
    assert "choose a format" in send(admin, line, format="").text.lower()
    assert "no TOML" in send(admin, line, format="", own="= what").text
    other = send(admin, b"a,b\n1,2\n")
    assert other.status_code == 303
    assert "failed" in admin.get(other.location).text


def test_a_format_of_ones_own_begins_with_one_that_there_is(office: Office) -> None:
    admin = a_day_later(office)
    assert "mod_json_cdr" in admin.get("/panel/imports/formats").text
    fetched = admin.get("/panel/imports/formats/asterisk-csv.toml").text
    assert 'name = "asterisk"' in fetched
    answer = send(admin, master(MasterLine(1, account="alice")), format="", own=fetched)
    assert answer.status_code == 303, answer.text
    with office.reading() as session:
        assert session.scalars(select(MediationRunRow)).one().rated == 1
    assert admin.get("/panel/imports/formats/nothing.toml").status_code == 404
    assert office.seat("reseller").get("/panel/imports/new").status_code == 403


def test_programs_send_files(installed: Installation) -> None:
    program = installed.program()
    content = base64.b64encode(master(MasterLine(1, account="nobody"))).decode()
    body = {"file_name": "Master.csv", "content": content, "format": "asterisk-csv", "zone": "UTC"}
    sent = made(program.post("/mediation-runs", body), 202)
    report = program.get(f"/mediation-runs/{sent['run']}/report").json
    assert (report["state"], report["read"], report["quarantined"]) == ("done", 1, 1)
    assert sum(report["reasons"].values()) == 1
    without = {key: value for key, value in body.items() if key != "zone"}
    assert fields(program.post("/mediation-runs", without)) == ["body.zone"]
    assert fields(program.post("/mediation-runs", body | {"content": "!"})) == ["body.content"]
    assert 'name = "asterisk"' in program.get("/mediation-formats/asterisk-csv.toml").text
    problem(program.get("/mediation-runs/999/report"), 404)
    problem(installed.program("reseller", role=Role.RESELLER).post("/mediation-runs", body), 403)


def test_a_file_that_nothing_reads_any_more_is_told(office: Office) -> None:
    admin = a_day_later(office)
    page = send(admin, master(MasterLine(1, account="alice"))).location
    with office.writing() as session:
        session.scalars(select(MediationRunRow)).one().state = "running"
    assert "Nothing reads this file any more" not in admin.get(page).text
    office.clock.advance(600 * SECOND_US)
    told = admin.get(page).text
    assert "Nothing reads this file any more. Send it again" in told
    assert "stopped" in told
    listed = admin.get("/panel/imports.csv").text
    assert ",stopped," in listed
    assert ",running," not in listed
    assert admin.get("/panel/imports.csv?state=stopped").text == listed
    assert len(admin.get("/panel/imports.csv?state=running").text.splitlines()) == 1
