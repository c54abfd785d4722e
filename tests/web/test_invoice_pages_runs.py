"""Billing runs and what is done with many invoices, as people see it: begun, watched, stopped, agreed to."""

import re

import pytest
from sqlalchemy import select, update

from pbxbill.app import billing
from pbxbill.billing.invoices import looking_back
from pbxbill.billing.invoices.run_control import until_asked
from pbxbill.billing.invoices.runs import Worker, end_run
from pbxbill.billing.invoices.together import SILENT_US
from pbxbill.billing.payments.adjustments import NewAdjustment, adjust_wallet
from pbxbill.errors import InputRefused
from pbxbill.ids import new_id
from pbxbill.store.accounts import account_by_code
from pbxbill.store.invoice_models import (
    BillingRunAccountRow,
    BillingRunRow,
    GatheredRow,
    InvoiceActionRow,
    InvoiceRow,
)
from tests.web.offices import Office
from tests.web.test_invoice_pages import id_of, issued, with_line

MONTH_US = 31 * 86_400_000_000
RUN = {"until": "", "drafts_only": "y", "accounts": "", "reseller": "", "group": "", "cycle": ""}


def charged(office: Office, account: str = "other", login: str = "admin") -> None:
    """Something to be billed, and a month that is over."""
    charge = {
        "account": account, "unit": "EUR", "description": "A visit", "kind": "one_time", "price": "40",
        "quantity": "1", "product_class": "service", "reason": "called us",
    }  # fmt: skip
    assert office.seat(login).post("/panel/charges/new", charge).status_code == 303


def later(office: Office, by_us: int) -> None:
    """Time passes; whoever was logged in logs in again."""
    office.clock.step(by_us)
    for login, browser in office.browsers.items():
        if browser.get("/me").status_code != 200:
            assert browser.log_in(login).status_code == 303


def invoices(office: Office) -> list[InvoiceRow]:
    with office.reading() as session:
        return list(session.scalars(select(InvoiceRow).order_by(InvoiceRow.id)))


def test_a_run_makes_drafts_that_are_issued_together(office_on_each: Office) -> None:
    office, admin = office_on_each, office_on_each.seat("admin")
    charged(office)
    later(office, MONTH_US)
    made = admin.post("/panel/runs/new", {**RUN, "accounts": "other"})
    assert made.status_code == 303, made.text
    page = admin.get(made.location).text
    assert "What it made" in page
    assert "40.00" in page
    assert "Issue all drafts" in page
    run_id = id_of(made.location, "runs")
    progress = admin.get(f"/panel/runs/{run_id}/progress").json
    assert progress == {"done": 1, "total": 1, "text": "1 of 1 accounts", "over": True}
    assert str(run_id) in admin.get("/panel/runs").text
    assert "other" in admin.get(f"/panel/runs/{run_id}/accounts").text
    chosen = admin.post(f"/panel/runs/{run_id}/issue", page=made.location)
    asked = admin.get(chosen.location).text
    assert "Issue 1 invoices" in asked
    assert "40.00" in asked
    assert invoices(office)[0].state == "draft"
    assert admin.post(chosen.location).status_code == 303
    done = admin.get(chosen.location).text
    assert "of 1" in done
    assert invoices(office)[0].number == "INV-2026-00001"


def test_what_is_wrong_with_a_run_is_told(office: Office) -> None:
    admin = office.seat("admin")
    assert "There was no billing run yet" in admin.get("/panel/runs").text
    assert "lies in the future" in admin.post("/panel/runs/new", {**RUN, "until": "2099-01-01T00:00"}).text
    assert "nobody is in the group" in admin.post("/panel/runs/new", {**RUN, "group": "x"}).text.lower()
    assert "no account" in admin.post("/panel/runs/new", {**RUN, "accounts": "nobody"}).text.lower()


def test_a_run_that_issues_says_first_of_how_many(office_on_each: Office) -> None:
    office, admin = office_on_each, office_on_each.seat("admin")
    charged(office)
    later(office, MONTH_US)
    sent = {**RUN, "drafts_only": "", "sends": "y", "accounts": "other"}
    asked = admin.post("/panel/runs/new", sent)
    assert asked.status_code == 200
    assert "One account is looked at" in asked.text
    assert "They are sent as well" in asked.text
    with office.reading() as session:
        assert not session.scalars(select(BillingRunRow.id)).all()
    agreed = re.findall(r'name="agreed"[^>]*value="([0-9a-f]{32})"', asked.text)[0]
    other = admin.post("/panel/runs/new", sent | {"accounts": "", "agreed": agreed})
    assert other.status_code == 200  # more is asked for than was agreed to
    assert admin.post("/panel/runs/new", sent | {"agreed": agreed}).status_code == 303
    wrong = admin.post("/panel/runs/new", sent | {"accounts": "nobody"}).text
    assert wrong.count("There is no account nobody") == 1


def test_a_reseller_runs_over_his_own_and_sees_no_others(office: Office) -> None:
    reseller = office.seat("reseller")
    later(office, MONTH_US)
    whole = id_of(office.seat("admin").post("/panel/runs/new", RUN).location, "runs")
    own = reseller.post("/panel/runs/new", {**RUN, "drafts_only": "y"})
    own_id = id_of(own.location, "runs")
    assert reseller.get(own.location).status_code == 200
    assert reseller.get(f"/panel/runs/{whole}").status_code == 404
    with office.reading() as session:
        run = session.get_one(BillingRunRow, own_id)
        ids = session.scalars(
            select(BillingRunAccountRow.account_id).where(BillingRunAccountRow.run_id == own_id)
        ).all()
    assert run.scope_id == office.account_id("reseller")
    assert office.account_id("olga") not in ids
    assert office.account_id("other") not in ids
    below = reseller.post("/panel/runs/new", {**RUN, "reseller": "other"})
    assert "There is no account other" in below.text


def test_a_run_stops_when_it_is_asked_to_and_goes_on(office: Office) -> None:
    admin = office.seat("admin")
    charged(office)
    later(office, MONTH_US)
    run_id = id_of(admin.post("/panel/runs/new", RUN).location, "runs")
    assert "nothing to stop" in follow(office, f"/panel/runs/{run_id}/stop", f"/panel/runs/{run_id}")
    with office.writing() as session:  # as a run that somebody else works on
        session.execute(update(BillingRunRow).values(state="running", ended_us=None))
        session.execute(update(BillingRunAccountRow).values(state="waiting"))
    assert "stops after the account" in follow(office, f"/panel/runs/{run_id}/stop", f"/panel/runs/{run_id}")
    database, clock = office.application.database, office.clock
    stop = until_asked(database, clock, run_id)
    assert stop()
    with office.writing() as session:
        assert end_run(session, run_id, clock.now_us()) == "stopped"
    page = admin.get(f"/panel/runs/{run_id}").text
    assert "The run was stopped" in page
    again = admin.post(f"/panel/runs/{run_id}/go-on", page=f"/panel/runs/{run_id}")
    assert id_of(again.location, "runs") == run_id
    with office.reading() as session:
        assert session.get_one(BillingRunRow, run_id).state == "done"


def test_a_run_that_was_killed_says_so(office: Office) -> None:
    admin = office.seat("admin")
    later(office, MONTH_US)
    run_id = id_of(admin.post("/panel/runs/new", RUN).location, "runs")
    with office.writing() as session:
        session.execute(update(BillingRunRow).values(state="running", ended_us=None))
    assert "data-progress" in admin.get(f"/panel/runs/{run_id}").text
    later(office, SILENT_US + 1)
    assert "Nobody seems to work on this run" in admin.get(f"/panel/runs/{run_id}").text


def test_an_account_that_cannot_be_billed_is_told_and_tried_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = office.seat("admin")
    charged(office)
    later(office, MONTH_US)

    def broken(*_: object, **__: object) -> None:
        raise InputRefused("its address is missing")

    with monkeypatch.context() as patched:
        patched.setattr(Worker, "_bill", broken)
        run_id = id_of(admin.post("/panel/runs/new", {**RUN, "accounts": "other"}).location, "runs")
    page = admin.get(f"/panel/runs/{run_id}").text
    assert "Its address is missing." in page
    assert "Try failed accounts again" in page
    assert "its address is missing" in admin.get(f"/panel/runs/{run_id}/accounts?state=failed").text
    again = admin.post(f"/panel/runs/{run_id}/go-on", page=f"/panel/runs/{run_id}")
    assert "40.00" in admin.get(again.location).text


def follow(office: Office, path: str, page: str, login: str = "admin") -> str:
    answer = office.seat(login).post(path, page=page)
    assert answer.status_code == 303
    return office.seat(login).get(answer.location).text


def test_one_account_is_billed_now(office: Office) -> None:
    admin = office.seat("admin")
    charged(office)
    later(office, 86_400_000_000)
    assert "There is no account" not in admin.get("/panel/runs/now").text
    assert "no account" in admin.post("/panel/runs/now", {"account": "nobody"}).text.lower()
    made = admin.post("/panel/runs/now", {"account": "other"})
    assert "A draft over 40.00 EUR waits" in admin.get(made.location).text


LOOK_BACK = "/panel/runs/look-back"


def test_looking_back_finds_nothing_where_nothing_was_passed_over(office: Office) -> None:
    assert "Nothing was passed over." in office.seat("admin").post(LOOK_BACK).text


def spent(office: Office, code: str) -> None:
    """What a wallet gave for, which its invoices pass over: they are taken to look only at what is newer."""
    with billing(office.application) as (session, books):
        account = account_by_code(session, code)
        for amount in (5_000_000, -2_000_000):
            adjust_wallet(session, books, account, NewAdjustment(amount, "EUR", new_id(), "test", "test"), 1)
        session.merge(GatheredRow(account_id=account.id, unit="EUR", entry_id="f"))


def test_looking_back_tells_who_was_passed_over_and_goes_on(
    office_on_each: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = office_on_each
    for code in ("alice", "reseller", "olga"):
        spent(office, code)
    found = office.seat("reseller").post(LOOK_BACK).text
    assert "The next invoice of one account takes" in found
    assert re.findall(r"/panel/accounts/[0-9]+", found) == [f"/panel/accounts/{office.account_id('alice')}"]
    monkeypatch.setattr(looking_back, "PAGE", 1)
    monkeypatch.setattr(looking_back, "MOST", 1)
    admin, told = office.seat("admin"), []
    page = admin.get(LOOK_BACK).text
    while more := re.search(r'name="after"[^>]*value="([0-9]*)"', page):
        page = admin.post(LOOK_BACK, {"after": more[1]}).text
        told += re.findall(r"/panel/accounts/([0-9]+)", page)
    assert sorted(told) == sorted(str(office.account_id(x)) for x in ("reseller", "olga"))
    assert "Look on" not in page


def test_ticked_drafts_are_discarded_with_a_reason(office: Office) -> None:
    admin = office.seat("admin")
    first, second, kept = with_line(office), with_line(office), issued(office, "reseller")
    ticked = {"action": "discard", "which": "chosen", "chosen": [str(first), str(kept)]}
    chosen = admin.post("/panel/invoices/together", ticked, page="/panel/invoices")
    asked = admin.get(chosen.location).text
    assert "Discard 1 drafts" in asked
    assert "Please fill this in" in admin.post(chosen.location, {"reason": ""}).text
    assert admin.post(chosen.location, {"reason": "a mistake"}).status_code == 303
    states = {x.id: x.state for x in invoices(office)}
    assert (states[first], states[second], states[kept]) == ("discarded", "draft", "issued")
    assert "being done already, or was done" in admin.post(chosen.location, {"reason": "again"}).text


def test_all_that_the_filters_leave_are_chosen(office: Office) -> None:
    admin = office.seat("admin")
    issued(office), issued(office), issued(office, "reseller")
    wanted = {"action": "cancel", "which": "all", "account": "other"}
    chosen = admin.post("/panel/invoices/together", wanted, page="/panel/invoices")
    assert "Cancel 2 invoices" in admin.get(chosen.location).text
    admin.post(chosen.location, {"reason": "a mistake"})
    states = [x.state for x in invoices(office) if x.kind == "invoice"]
    assert states == ["cancelled", "cancelled", "issued"]
    page = admin.get(chosen.location).text
    assert "Credit note CN-2026-00001" in page


def test_nothing_chosen_is_told(office: Office) -> None:
    admin = office.seat("admin")
    issued(office)
    page = {"action": "issue", "which": "chosen"}
    answer = admin.post("/panel/invoices/together", page, page="/panel/invoices")
    assert "Tick the invoices first" in admin.get(answer.location).text
    none = admin.post("/panel/invoices/together", {**page, "which": "all"}, page="/panel/invoices")
    assert "with none of the chosen" in admin.get(none.location).text
    assert (
        admin.post("/panel/invoices/together", {"action": "burn"}, page="/panel/invoices").status_code == 400
    )


def test_what_cannot_be_sent_is_told_and_stops_no_other(office: Office) -> None:
    admin = office.seat("admin")
    issued(office), issued(office, "reseller")
    address = {"legal_name": "Other", "email": "books@other.example", "edition": "{}", "country": ""}
    path = f"/panel/accounts/{office.account_id('other')}/address"
    assert admin.post(path, address).status_code == 303
    chosen = admin.post(
        "/panel/invoices/together", {"action": "send", "which": "all"}, page="/panel/invoices"
    )
    assert admin.post(chosen.location).status_code == 303
    page = admin.get(chosen.location).text
    assert "has no e-mail address" in page
    assert "pbxbill" not in page.split("What is to be known")[1]
    with office.reading() as session:
        done = session.scalars(select(InvoiceActionRow)).one()
    assert (done.state, done.done, done.looked) == ("done", 1, 2)


def test_work_that_was_killed_goes_on_where_it_was(office: Office) -> None:
    admin = office.seat("admin")
    first, second = with_line(office), with_line(office)
    chosen = admin.post(
        "/panel/invoices/together", {"action": "issue", "which": "all"}, page="/panel/invoices"
    )
    with office.writing() as session:  # as whoever did the first and was killed
        session.execute(update(InvoiceActionRow).values(state="running", looked=1, done=1))
    assert "data-progress" in admin.get(chosen.location).text
    progress = admin.get(f"{chosen.location}/progress").get_json()
    assert progress["text"] == "1 of 2"
    assert not progress["over"]
    later(office, SILENT_US + 1)
    assert "Go on" in admin.get(chosen.location).text
    assert admin.post(chosen.location).status_code == 303
    states = {x.id: x.state for x in invoices(office)}
    assert (states[first], states[second]) == ("draft", "issued")
