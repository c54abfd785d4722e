"""Subscriptions in the panel: begun, changed, resting, ended; wishes of customers answered; and whose."""

import re

import pytest
from sqlalchemy import select

from pbxbill.store.access_models import AuditRow
from pbxbill.store.billing_models import SubscriptionChangeRow, SubscriptionRow
from tests.web.offices import Office
from tests.web.test_catalogue_plans import make

INVOICED = {"collection": "invoice", "tariff": "", "term_length": "", "fee": "", "fee_amount": ""}
NEW = {"plan": "Basic", "quantity": "1", "trial": "y", "begins": "", "prices": "", "reason": "called us"}


@pytest.fixture
def sold(office: Office) -> Office:
    """The reseller and the operator each have two plans."""
    for seller in ("reseller", "admin"):
        for name in ("Basic", "Large"):
            price = {"charges-0-price": "29.90"} if name == "Large" else {}
            assert make(office.seat(seller), name=name, **INVOICED, **price).status_code == 303
    return office


def subscribed(office: Office, login: str = "reseller", account: str = "alice", **more: str) -> int:
    answer = office.seat(login).post(f"/panel/subscriptions/new?account={account}", NEW | more)
    assert answer.status_code == 303, answer.text
    found = re.search(r"/subscriptions/(\d+)$", answer.location)
    assert found, answer.location
    return int(found[1])


def row(office: Office, id: int) -> SubscriptionRow:
    with office.reading() as session:
        return session.get_one(SubscriptionRow, id)


def test_a_plan_is_given_changed_rests_and_ends(sold: Office) -> None:
    seat = sold.seat("reseller")
    assert "Nobody has a plan yet" in seat.get("/panel/subscriptions").text
    assert "Account" in seat.get("/panel/subscriptions/new").text
    id = subscribed(sold, prices="Line = 8.50")
    here = f"/panel/subscriptions/{id}"
    page = seat.get(here).text
    assert "Basic of alice" in page
    assert "8.50" in page
    assert row(sold, id).state == "active"
    changed = {"plan": "Large", "quantity": "2", "when": "now", "at": "", "reason": "grows", "edition": "{}"}
    assert seat.post(f"{here}/change", changed).status_code == 303
    page = seat.get(here).text
    assert "Large of alice" in page
    assert row(sold, id).quantity == 2
    assert seat.post(f"{here}/pause", {"when": "now", "at": "", "reason": "away"}).status_code == 303
    assert row(sold, id).state == "paused"
    assert seat.post(f"{here}/resume", {"when": "now", "at": "", "reason": ""}).status_code == 303
    assert "cannot be taken up again" in seat.get(f"{here}/cancel").text
    assert seat.post(f"{here}/cancel", {"when": "cycle_end", "at": "", "reason": "moves"}).status_code == 303
    page = seat.get(here).text
    assert "Planned for" in page
    with sold.reading() as session:
        planned = select(SubscriptionChangeRow.id).where(SubscriptionChangeRow.state == "planned")
        change_id = session.scalars(planned.order_by(SubscriptionChangeRow.id.desc())).first()
    assert seat.post(f"{here}/changes/{change_id}/withdraw", page=here).status_code == 303
    assert "Planned for" not in seat.get(here).text
    assert seat.post(f"{here}/cancel", {"when": "now", "at": "", "reason": "moves"}).status_code == 303
    assert row(sold, id).state == "ended"
    assert "alice" in seat.get("/panel/subscriptions").text
    with sold.reading() as session:
        actions = set(session.scalars(select(AuditRow.action).where(AuditRow.action.like("subscription.%"))))
    assert {"subscription.begin", "subscription.change", "subscription.pause"} <= actions
    assert {"subscription.resume", "subscription.cancel", "subscription.withdraw"} <= actions


@pytest.mark.parametrize(
    "wrong, told",
    [
        ({"quantity": "0"}, 'href="#quantity"'),
        ({"plan": "Nothing"}, 'href="#plan"'),
        ({"prices": "cheap"}, "as a name, = and a price"),
        ({"prices": "Nothing = 3"}, 'href="#plan"'),
    ],
)
def test_what_is_wrong_is_told_and_the_input_kept(sold: Office, wrong: dict[str, str], told: str) -> None:
    answer = sold.seat("reseller").post("/panel/subscriptions/new?account=alice", NEW | wrong)
    assert answer.status_code == 200
    assert told in answer.text
    assert "called us" in answer.text


def test_a_moment_is_named_where_it_is_asked_for(sold: Office) -> None:
    id = subscribed(sold)
    here = f"/panel/subscriptions/{id}/cancel"
    answer = sold.seat("reseller").post(here, {"when": "at", "at": "", "reason": "x"})
    assert "Say at which moment" in answer.text
    nothing = {"plan": "", "quantity": "1", "when": "", "at": "", "reason": "", "edition": "{}"}
    answer = sold.seat("reseller").post(f"/panel/subscriptions/{id}/change", nothing)
    assert "Choose another plan" in answer.text


def test_the_second_of_two_is_told(sold: Office) -> None:
    here = f"/panel/subscriptions/{subscribed(sold)}/change"
    stale = {
        "plan": "Large", "quantity": "1", "when": "now", "at": "", "reason": "",
        "edition": '{"plan": "Basic", "quantity": "7"}',
    }  # fmt: skip
    assert "Somebody else changed this" in sold.seat("reseller").post(here, stale).text


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_a_wish_of_a_customer_is_answered(sold: Office, answer: str) -> None:
    id = subscribed(sold)
    seat, alice = sold.seat("reseller"), sold.seat("alice")
    wish = {"what": "change", "plan": "Large", "quantity": "", "reason": "more lines"}
    assert alice.post(f"/my/subscriptions/{id}/ask", wish).status_code == 303
    listed = seat.get("/panel/subscription-requests").text
    found = re.search(r"/panel/subscription-requests/(\d+)", listed)
    assert found, listed
    here = f"/panel/subscription-requests/{found[1]}"
    assert here in seat.get(f"/panel/subscriptions/{id}").text
    page = seat.get(here).text
    assert "plan Large" in page
    assert "more lines" in page
    decision = {"answer": answer, "when": "", "at": "", "reason": "" if answer == "yes" else "sold out"}
    if answer == "no":
        assert 'href="#reason"' in seat.post(here, {**decision, "reason": ""}).text
    assert seat.post(here, decision).status_code == 303
    assert "Nobody asks for anything" in seat.get("/panel/subscription-requests").text
    assert ("Large of alice" in seat.get(f"/panel/subscriptions/{id}").text) is (answer == "yes")
    assert "decided already" in seat.get(seat.get(here).location).text
    if answer == "no":
        assert "sold out" in alice.get(f"/my/subscriptions/{id}").text


def test_nobody_sees_or_changes_what_another_sells(sold: Office) -> None:
    mine = subscribed(sold)
    other = sold.seat("other")
    for path in ("", "/change", "/pause", "/resume", "/cancel"):
        assert other.get(f"/panel/subscriptions/{mine}{path}").status_code == 404
    assert other.get("/panel/subscriptions/new?account=alice").status_code == 404
    assert "alice" not in other.get("/panel/subscriptions").text
    # What his seller bills a reseller for, he sees in the portal alone.
    own = subscribed(sold, "admin", "reseller")
    assert sold.seat("reseller").get(f"/panel/subscriptions/{own}/change").status_code == 404
    assert sold.seat("support").get(f"/panel/subscriptions/{own}").status_code == 200
    assert sold.seat("finance").get(f"/panel/subscriptions/{own}/change").status_code == 403
