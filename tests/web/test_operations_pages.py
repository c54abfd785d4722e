"""Operations in the panel: call records explained, quarantine, imports, jobs, alerts, switches, proof."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from pbxbill.clock import SECOND_US
from pbxbill.jobs.runner import register
from pbxbill.jobs.schedule import JOBS
from pbxbill.mediation.importer import Importer
from pbxbill.mediation.mapping import load_mapping
from pbxbill.mediation.sources import FileSource
from pbxbill.money import Unit
from pbxbill.store.access_models import AuditRow
from pbxbill.store.accounts import account_by_code, open_wallet
from pbxbill.store.alerts import raise_alert
from pbxbill.store.catalogue_models import AlertRow
from pbxbill.store.driver import connect
from pbxbill.store.mediation_models import QuarantinedRow
from pbxbill.store.models import CallChargeRow, CdrRow
from pbxbill.store.notice_models import JobRow, JobRunRow
from pbxbill.store.switch_models import DaemonLeaseRow, DifferenceRow, ReconciliationRow
from pbxbill.store.units import add_unit
from pbxbill.web.installation import Checked, Installation, KnownJob, KnownSwitch, Option, OptionTable
from pbxbill.web.rules import WebRules
from tests.store.mediated_calls import MasterLine, write_master
from tests.web.offices import Office, opened_office
from tests.web.test_live_calls import Calling

INSTALLATION = Installation(
    "/etc/pbxbill/pbxbill.toml",
    (
        OptionTable(
            "[database]",
            "Where the money is kept.",
            (Option("url", "postgresql://bill:***@db/bill", False, "Which database"),),
        ),
    ),
    (KnownSwitch("pbx1", "asterisk", "10.0.0.5:5038"),),
    tuple(KnownJob(x.name, x.about, x.every_s) for x in JOBS),
    lambda: [
        Checked("database", "ok", "is reachable"),
        Checked("pbx1", "fail", "no manager at 10.0.0.5:5038", "set enabled = yes in manager.conf"),
    ],
)
DAY_AFTER_US = 1_772_445_600 * SECOND_US
RULES = replace(WebRules(), requests_per_min=1_000_000, installation=INSTALLATION)


@pytest.fixture
def known(sqlite_url: str) -> Iterator[Office]:
    """An office that knows how it is set up."""
    with opened_office(sqlite_url, RULES) as opened:
        yield opened


@pytest.fixture
def calling_on_each(office_on_each: Office) -> Iterator[Calling]:
    made = Calling(office_on_each)
    yield made
    made.engine.stop()


def imported(office: Office, folder: Path, *lines: MasterLine) -> int:
    """Read lines as the command does, a day after their calls; the number of the import."""
    office.clock.advance(max(0, DAY_AFTER_US - office.clock.now_us()))
    mapping = load_mapping("asterisk-csv", zone="UTC", ambiguous=None)
    importer = Importer(
        office.application.database, lambda: connect(office.url), office.clock, mapping, "pbx1"
    )
    try:
        return importer.run(FileSource(write_master(folder / "Master.csv", *lines), mapping)).id
    finally:
        importer.close()


def quarantined(office: Office) -> QuarantinedRow:
    with office.reading() as session:
        return session.scalars(select(QuarantinedRow)).one()


# --- calls ------------------------------------------------------------------------------------


def test_a_call_is_listed_and_explained_line_by_line(calling_on_each: Calling) -> None:
    session_id = calling_on_each.talking("alice", seconds=30)
    calling_on_each.end(session_id)
    admin = calling_on_each.office.seat("admin")
    listed = admin.get("/panel/calls")
    assert "Germany" in listed.text
    assert f'href="/panel/calls/{session_id}"' in listed.text
    page = admin.get(f"/panel/calls/{session_id}").text
    # 30 s at 0.60 a minute and 20 % on top; the reseller pays 0.15 of it.
    assert "0.36" in page
    assert "0.06 EUR of it tax" in page
    assert "Why Alice pays this" in page
    assert "Why Reseller pays this" in page
    assert "0.15 EUR without tax is left to reseller" in page
    assert "Entries in the ledger" in page
    assert admin.get("/panel/calls.csv?account=alice").text.count("\n") == 2


def test_a_file_of_calls_tells_all_that_paid_for_one(calling_on_each: Calling) -> None:
    session_id = calling_on_each.talking("alice", seconds=30)
    calling_on_each.end(session_id)
    office = calling_on_each.office
    with office.writing() as session:
        add_unit(session, Unit("GIFT", 2, 2))
        gift = open_wallet(session, account_by_code(session, "alice"), "GIFT")
        charge = session.scalars(select(CallChargeRow).where(CallChargeRow.level == 0)).one()
        session.execute(
            insert(CallChargeRow).values(
                session_id=session_id, level=0, line=1, account_id=charge.account_id,
                wallet_id=charge.wallet_id, tariff_version_id=charge.tariff_version_id,
                rate_id=charge.rate_id, billable_s=30, total=charge.total, tax=charge.tax, uncollected=0,
            )
        )  # fmt: skip
        charge.wallet_id, charge.total, charge.tax = gift.id, 150, 0
    head, row = office.seat("admin").get("/panel/calls.csv?account=alice").text.splitlines()
    told = dict(zip(head.split(","), row.split(","), strict=True))
    assert (told["Charge"], told["Paid besides"]) == ("0.36", "1.50 GIFT")


def test_where_a_call_runs_is_shown_to_the_operator_alone(calling_on_each: Calling) -> None:
    session_id = calling_on_each.talking("alice")
    office = calling_on_each.office
    assert "Call id" in office.seat("admin").get(f"/panel/live-calls/{session_id}").text
    page = office.seat("reseller").get(f"/panel/live-calls/{session_id}").text
    assert "Talking for" in page
    assert "Call id" not in page
    assert "Switch" not in page


def test_who_sells_sees_what_he_charges_and_pays_and_no_more(calling_on_each: Calling) -> None:
    session_id = calling_on_each.talking("alice", seconds=30)
    calling_on_each.end(session_id)
    office = calling_on_each.office
    page = office.seat("reseller").get(f"/panel/calls/{session_id}").text
    assert "Why Alice pays this" in page
    assert "What it costs you" in page
    own = page[page.index("What it costs you") :]
    assert "wholesale, version" not in own
    assert "Entries in the ledger" not in own
    assert "Re-rate this call" not in page
    assert office.seat("other").get(f"/panel/calls/{session_id}").status_code == 404
    today = "/panel/calls?from=2020-01-01"
    assert session_id in office.seat("reseller").get(today).text
    assert session_id not in office.seat("other").get(today).text
    assert office.seat("shop").get("/panel/calls").status_code == 403


def test_a_live_call_leads_to_its_live_page_and_an_unknown_one_nowhere(calling_on_each: Calling) -> None:
    session_id = calling_on_each.talking("alice")
    admin = calling_on_each.office.seat("admin")
    assert admin.get(f"/panel/calls/{session_id}").location == f"/panel/live-calls/{session_id}"
    assert admin.get("/panel/calls/nothing").status_code == 404


def test_a_search_for_a_number_says_since_when(office: Office) -> None:
    admin = office.seat("admin")
    answer = admin.get("/panel/calls?called=49")
    assert answer.status_code == 302
    assert re.search(r"from=\d{4}-\d\d-\d\d", answer.location)
    assert "Shown from the day that the filter names" in admin.get(answer.location).text
    assert admin.get("/panel/calls?called=49&account=alice").status_code == 200
    # All that one sells is no index's either; the operator's list is.
    assert "from=" in office.seat("reseller").get("/panel/calls").location
    assert admin.get("/panel/calls").status_code == 200


def test_a_refused_call_says_why(calling_on_each: Calling) -> None:
    office = calling_on_each.office
    with office.writing() as session:
        session_id = calling_on_each.talking("alice")
        calling_on_each.end(session_id)
        row = session.get_one(CdrRow, session_id)
        row.denial, row.answered_us, row.detail = "spending_limit", None, "10.00 EUR per day"
    page = office.seat("admin").get(f"/panel/calls/{session_id}").text
    assert "The call was refused: the spending limit was reached." in page


# --- quarantine and imports -------------------------------------------------------------------


def test_a_record_is_corrected_and_charged(office_on_each: Office, tmp_path: Path) -> None:
    run = imported(office_on_each, tmp_path, MasterLine(1, "nobody"), MasterLine(2, "alice"))
    admin = office_on_each.seat("admin")
    assert "Read" in admin.get("/panel/imports").text
    report = admin.get(f"/panel/imports/{run}").text
    assert "unknown account" in report
    assert "Its records in quarantine" in report
    row = quarantined(office_on_each)
    path = f"/panel/quarantine/{row.id}"
    page = admin.get(path).text
    assert "unknown account" in page
    assert 'value="nobody"' in page
    assert "&#34;nobody&#34;" in page  # the line as it came
    saved = admin.post(path, {"column-accountcode": "still-nobody", "do": "save"})
    assert saved.status_code == 303, saved.text
    assert 'value="still-nobody"' in admin.get(path).text
    again = admin.post(path, {"column-accountcode": "alice", "do": "retry"})
    assert again.location == path
    assert "1 record is charged now" in admin.get("/panel/quarantine").text
    assert quarantined(office_on_each).state == "posted"
    assert "The call" in admin.get(path).text
    with office_on_each.reading() as session:
        actions = set(session.scalars(select(AuditRow.action)))
    assert {"quarantine.correct", "quarantine.retry"} <= actions


def test_all_that_filters_leave_is_tried_again(office: Office, tmp_path: Path) -> None:
    imported(office, tmp_path, MasterLine(1, "nobody"), MasterLine(2, "no-one"))
    admin = office.seat("admin")
    assert "2 records wait" in admin.get("/panel/quarantine").text
    asked = admin.get("/panel/quarantine/retry?q=no-one")
    assert "1 record is read" in asked.text
    assert (
        admin.post("/panel/quarantine/retry?q=no-one", {"ambiguous": ""}).location
        == "/panel/quarantine?q=no-one"
    )
    assert "1 record still cannot be charged" in admin.get("/panel/quarantine").text
    assert "No open record is among them" in admin.get("/panel/quarantine/retry?q=elsewhere").text


def test_a_record_is_given_up_with_a_reason(office_on_each: Office, tmp_path: Path) -> None:
    imported(office_on_each, tmp_path, MasterLine(1, "nobody"))
    admin = office_on_each.seat("admin")
    path = f"/panel/quarantine/{quarantined(office_on_each).id}"
    assert "This cannot be taken back" in admin.get(f"{path}/drop").text
    assert "Please fill this in." in admin.post(f"{path}/drop", {"why": ""}).text
    assert admin.post(f"{path}/drop", {"why": "a test call"}).status_code == 303
    row = quarantined(office_on_each)
    assert row.state == "dropped"
    assert "a test call" in admin.get(path).text
    assert admin.post(f"{path}/drop", {"why": "again"}, page="/me").status_code == 303


def test_support_sees_quarantine_and_changes_nothing(office: Office, tmp_path: Path) -> None:
    imported(office, tmp_path, MasterLine(1, "nobody"))
    support = office.seat("support")
    path = f"/panel/quarantine/{quarantined(office).id}"
    page = support.get(path)
    assert page.status_code == 200
    assert "Save and try again" not in page.text
    assert support.get(f"{path}/drop").status_code == 403
    assert office.seat("reseller").get("/panel/quarantine").status_code == 403
    assert support.get("/panel/quarantine/999").status_code == 404
    assert support.get("/panel/imports/999").status_code == 404


# --- jobs -------------------------------------------------------------------------------------


def test_jobs_are_listed_run_and_switched_off(known: Office) -> None:
    admin = known.seat("admin")
    assert "No job has run yet" in admin.get("/panel/jobs").text
    register(known.application.database, JOBS, known.clock.now_us())
    page = admin.get("/panel/jobs").text
    assert "what was charged in advance and is earned" in page
    assert "No process runs jobs" in page
    known.clock.advance(SECOND_US)
    assert admin.post("/panel/jobs/of/dunning/run", page="/me").status_code == 303
    shown = admin.get("/panel/jobs/of/dunning").text
    assert "It is due now" in shown
    with known.reading() as session:
        assert session.get_one(JobRow, "dunning").next_us == known.clock.now_us()
    admin.post("/panel/jobs/of/dunning/disable", page="/me")
    shown = admin.get("/panel/jobs/of/dunning").text
    assert "It does not run by itself" in shown
    assert "Run now" not in shown
    admin.post("/panel/jobs/of/dunning/run", page="/me")
    assert "It is switched off: switch it on first." in admin.get("/panel/jobs/of/dunning").text
    admin.post("/panel/jobs/of/dunning/enable", page="/me")
    assert "It runs by itself again." in admin.get("/panel/jobs/of/dunning").text
    assert admin.get("/panel/jobs/of/nothing").status_code == 404


def test_the_history_of_a_job_is_its_own(known: Office) -> None:
    register(known.application.database, JOBS, known.clock.now_us())
    with known.writing() as session:
        for job, outcome in (("dunning", "failed"), ("mail", "done")):
            values = {
                "job": job,
                "started_us": known.clock.now_us(),
                "ended_us": known.clock.now_us() + 2_500_000,
            }
            session.add(JobRunRow(**values, outcome=outcome, detail=f"{job} did it", holder="here"))
    admin = known.seat("admin")
    assert "mail did it" in admin.get("/panel/jobs/history").text
    own = admin.get("/panel/jobs/of/dunning").text
    assert "dunning did it" in own
    assert "mail did it" not in own
    assert "0:03" in own
    assert "mail did it" not in admin.get("/panel/jobs/history?outcome=failed").text


# --- alerts -----------------------------------------------------------------------------------


def test_an_alert_is_done_and_open_again(office_on_each: Office) -> None:
    with office_on_each.writing() as session:
        for subject in ("switch pbx1", "switch pbx2"):
            raise_alert(
                session, "switch_lost", subject, "silent for 60 s", at_us=office_on_each.clock.now_us()
            )
        first = session.scalars(select(AlertRow.id).where(AlertRow.subject == "switch pbx1")).one()
    admin = office_on_each.seat("admin")
    assert "switch pbx1" in admin.get("/panel/alerts?state=open").text
    assert "2 open alerts" in admin.get("/panel/").text
    admin.post(f"/panel/alerts/{first}/done", page="/me")
    assert "switch pbx1" not in admin.get("/panel/alerts?state=open").text
    assert "switch pbx1" not in admin.get("/panel/").text
    assert "admin" in admin.get(f"/panel/alerts/{first}").text
    admin.post(f"/panel/alerts/{first}/open", page="/me")
    assert "switch pbx1" in admin.get("/panel/alerts?state=open").text
    assert "1 open alert is marked as done" in admin.get("/panel/alerts/done?q=pbx2").text
    admin.post("/panel/alerts/done")
    assert "Nothing matches" in admin.get("/panel/alerts?state=open").text
    assert office_on_each.seat("support").post(f"/panel/alerts/{first}/done", page="/me").status_code == 403
    assert admin.get("/panel/alerts/999999").status_code == 404


# --- switches, reconciliation, proof ----------------------------------------------------------


def test_switches_say_whether_they_are_steered(known: Office) -> None:
    admin = known.seat("admin")
    assert "no daemon steers it" in admin.get("/panel/switches").text
    with known.writing() as session:
        session.add(DaemonLeaseRow(switch="pbx1", holder="node:1:2", renewed_us=known.clock.now_us()))
    page = admin.get("/panel/switches").text
    assert "in order" in page
    assert "Asterisk, 10.0.0.5:5038" in page
    known.clock.advance(60 * SECOND_US)
    assert "has been silent since" in admin.get("/panel/switches").text
    assert "1 switch is lost" in admin.get("/panel/").text
    checked = admin.post("/panel/switches/check", page="/panel/switches")
    assert "set enabled = yes in manager.conf" in checked.text
    assert "1 thing wants a look" in checked.text


def test_differences_are_listed_with_what_was_done(office_on_each: Office) -> None:
    now_us = office_on_each.clock.now_us()
    with office_on_each.writing() as session:
        run = ReconciliationRow(switch="pbx1", at_us=now_us, open_count=3, live_count=2, record_count=9)
        session.add(run)
        session.flush()
        found = {"session_id": "a" * 32, "kind": "no_evidence", "detail": "settled by estimate"}
        session.add(DifferenceRow(reconciliation_id=run.id, **found))
        run_id = run.id
    admin = office_on_each.seat("admin")
    assert f"/panel/reconciliation/differences?run={run_id}" in admin.get("/panel/reconciliation").text
    page = admin.get(f"/panel/reconciliation/differences?run={run_id}").text
    assert "settled by estimate" in page
    assert "ended without a record" in page


def test_every_promise_is_proved_on_request(calling_on_each: Calling) -> None:
    calling_on_each.end(calling_on_each.talking("alice"))
    admin = calling_on_each.office.seat("admin")
    assert "Nobody has proved it here yet" in admin.get("/panel/reconciliation/proof").text
    assert admin.post("/panel/reconciliation/proof").status_code == 303
    page = admin.get("/panel/reconciliation/proof").text
    assert "Every promise holds." in page
    assert (
        calling_on_each.office.seat("support").post("/panel/reconciliation/proof", page="/me").status_code
        == 403
    )
