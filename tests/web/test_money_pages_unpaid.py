"""What happens without money: policies, dunning, promises, disputes, ageing, life-cycle."""

import io
from datetime import UTC, datetime

from sqlalchemy import select

from pbxbill.app import open_books
from pbxbill.billing.dunning.dunning_runs import run
from pbxbill.store.dunning_models import DunningPolicyRow, DunningStepRow
from pbxbill.store.invoice_models import InvoiceRow
from tests.web.offices import Office
from tests.web.test_invoice_pages import issued, row

DAY_US = 86_400_000_000
POLICY = """hour = 0

[[level]]
days = 1
action = "remind"

[[level]]
days = 1
after = "level"
action = "suspend"
"""


def written(office: Office, login: str = "reseller", **more: str) -> str:
    sent = {"name": "strict", "terms": POLICY, "standard": "y"}
    answer = office.seat(login).post("/panel/dunning/policies/new/text", sent | more)
    assert answer.status_code == 303, answer.text
    return answer.location


def overdue(office: Office) -> int:
    """An invoice of alice's whose day is over; the id."""
    id = issued(office, "alice", "reseller")
    with office.writing() as session:
        session.get_one(InvoiceRow, id).due_us = office.clock.now_us() - 3 * DAY_US
    return id


def dun(office: Office) -> None:
    with open_books(office.application) as books:
        run(office.application.database, books, office.clock)


def test_a_policy_is_written_looked_at_and_changed(office_on_each: Office) -> None:
    reseller = office_on_each.seat("reseller")
    policy = written(office_on_each)
    page = reseller.get(policy).text
    assert "1 day after the level before" in page
    assert "all accounts for whom nothing else is said" in page
    assert (
        reseller.post(f"{policy}/edit/text", {"terms": POLICY.replace("suspend", "explode")}).status_code
        == 200
    )
    refused = reseller.post(f"{policy}/edit/text", {"terms": POLICY.replace("suspend", "explode")}).text
    assert "Level 2: action is" in refused
    assert "explode" in refused
    changed = reseller.post(
        f"{policy}/edit/text", {"terms": POLICY.replace("suspend", "terminate"), "standard": "y"}
    )
    assert changed.status_code == 303, changed.text
    with office_on_each.reading() as session:
        assert session.scalars(select(DunningPolicyRow.version)).one() == 2
    assert office_on_each.seat("other").get(policy).status_code == 404


def test_the_dry_run_names_whom_it_would_hit_and_the_steps_are_told(office: Office) -> None:
    reseller = office.seat("reseller")
    policy = written(office)
    id = overdue(office)
    number = row(office, id).number or ""
    preview = reseller.get("/panel/dunning/preview").text
    assert "alice" in preview
    assert number in preview
    assert number not in office.seat("other").get("/panel/dunning/preview").text
    dun(office)
    assert number in reseller.get("/panel/dunning").text
    office.clock.advance(2 * DAY_US)
    office.browsers.clear()  # whose log-ins are over
    reseller = office.seat("reseller")
    dun(office)
    with office.reading() as session:
        actions = session.scalars(select(DunningStepRow.action).order_by(DunningStepRow.id)).all()
    assert actions == ["remind", "suspend"]
    page = reseller.get(f"/panel/dunning/invoices/{id}").text
    assert "strict, version 1" in page
    assert office.seat("other").get(f"/panel/dunning/invoices/{id}").status_code == 404
    assert reseller.post(f"/panel/dunning/invoices/{id}/lift", {"reason": ""}).status_code == 200
    lifted = reseller.post(f"/panel/dunning/invoices/{id}/lift", {"reason": "spoke to her"})
    assert lifted.status_code == 303, lifted.text
    paused = reseller.post(f"{policy}/pause", page=policy)
    assert paused.status_code == 303
    assert "paused" in reseller.get(policy).text
    assert reseller.post(f"{policy}/release").status_code == 303


def test_a_promise_stops_dunning_and_is_withdrawn(office: Office) -> None:
    reseller = office.seat("reseller")
    written(office)
    overdue(office)
    path = "/panel/promises/new?account=alice"
    sent = {"until": office_day(office, 40), "amount": "", "unit": "EUR", "invoice": "", "remark": ""}
    assert "a promise is for a day" in reseller.post(path, sent).text.lower()
    made = reseller.post(path, sent | {"until": office_day(office, 5)})
    assert made.status_code == 303, made.text
    assert "24.00" in reseller.get(made.location).text or "20.00" in reseller.get(made.location).text
    assert "alice" in reseller.get("/panel/promises?state=open").text
    assert office.seat("other").get(made.location).status_code == 404
    assert reseller.post(f"{made.location}/withdraw").status_code == 303
    assert "withdrawn" in reseller.get(made.location).text


def office_day(office: Office, days: int) -> str:
    at = datetime.fromtimestamp((office.clock.now_us() + days * DAY_US) // 1_000_000, UTC)
    return at.date().isoformat()


def test_a_dispute_from_beginning_to_credit(office_on_each: Office) -> None:
    office, reseller = office_on_each, office_on_each.seat("reseller")
    id = issued(office, "alice", "reseller")
    number = row(office, id).number or ""
    found = reseller.post("/panel/disputes/new", {"number": number})
    assert found.location.endswith(f"/disputes/{id}/begin")
    begun = reseller.post(found.location, {"reason": "never got it", "amount": "5"})
    assert begun.status_code == 303, begun.text
    page = f"/panel/disputes/{id}"
    assert "never got it" in reseller.get(page).text
    assert number in reseller.get("/panel/disputes").text
    assert reseller.post(f"{page}/remarks", {"remark": "asked the courier"}, page=page).status_code == 303
    sent = {"file": (io.BytesIO(b"%PDF-1.4 slip"), "slip.pdf")}
    assert reseller.post(f"{page}/files", sent, page=page).status_code == 303
    bad = {"file": (io.BytesIO(b"MZ"), "virus.exe")}
    assert 'href="#file"' in reseller.post(f"{page}/files", bad, page=page).text
    text = reseller.get(page).text
    assert "asked the courier" in text
    assert "slip.pdf" in text
    file = text.split(f'href="{page}/files/')[1].split('"')[0]
    assert reseller.get(f"{page}/files/{file}").data == b"%PDF-1.4 slip"
    assert office.seat("other").get(f"{page}/files/{file}").status_code == 404
    decided = reseller.post(f"{page}/decide", {"outcome": "credit", "reason": "it was lost"})
    assert decided.status_code == 303, decided.text
    assert "gives it back" in reseller.get(page).text
    assert row(office, id).disputed == 0


def test_who_owes_what_and_how_it_pays(office: Office) -> None:
    reseller = office.seat("reseller")
    overdue(office)
    page = reseller.get("/panel/dunning/ageing").text
    assert "Alice" in page
    assert "Nobody owes anything" in office.seat("other").get("/panel/dunning/ageing").text
    account = reseller.get(f"/panel/dunning/of-account/{office.account_id('alice')}").text
    assert "3 days late" in account
    assert "nothing happens about what it owes" in account


def test_penalty_classes(office: Office) -> None:
    admin = office.seat("admin")
    sent = {"name": "late", "terms": 'unit = "EUR"\nfixed = "5.00"\n'}
    assert admin.post("/panel/dunning/penalties/new/text", sent).status_code == 303
    page = admin.get("/panel/dunning/penalties").text
    assert "5.00" in page
    path = "/panel/dunning/penalties/" + page.split("/panel/dunning/penalties/")[2].split('"')[0]
    assert "costs nothing" in admin.post(f"{path}/text", {"terms": 'unit = "EUR"\n'}).text
    assert office.seat("reseller").get(path).status_code == 404


def test_a_life_cycle_policy_and_an_account(office: Office) -> None:
    reseller = office.seat("reseller")
    sent = {"name": "thirty", "terms": "[validity]\ndays = 30\n\n[stages]\nsuspended = 0\n", "standard": "y"}
    made = reseller.post("/panel/life-cycle/new/text", sent)
    assert made.status_code == 303, made.text
    assert "30 days" in reseller.get(made.location).text
    assert office.seat("other").get(made.location).status_code == 404
    account = f"/panel/life-cycle/of-account/{office.account_id('alice')}"
    changed = reseller.post(f"{account}/edit", {"policy": "0", "valid_to": office_day(office, 10)})
    assert changed.status_code == 303, changed.text
    assert "thirty" in reseller.get(account).text
    assert "alice" in reseller.get("/panel/life-cycle").text
    assert reseller.post(f"{made.location}/pause", page=made.location).status_code == 303
    assert "paused" in reseller.get(made.location).text
    assert reseller.get("/panel/life-cycle/preview").status_code == 200
