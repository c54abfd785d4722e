"""Live calls in the panel: who sees which, what they show, and hanging one up."""

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import Answer, Authorize, Direction, Granted, Outcome, Settle, Settled, TopUp
from pbxbill.clock import SECOND_US
from pbxbill.ids import new_id
from pbxbill.money import parse_amount
from pbxbill.store.access_models import AuditRow
from pbxbill.store.accounts import add_endpoint
from pbxbill.store.driver import connect
from pbxbill.store.live_models import HangUpRow
from pbxbill.store.models import AccountRow
from tests.database_operator import EUR
from tests.web.offices import Office


class Calling:
    """An office in which people call."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.engine = ChargingEngine(lambda: connect(office.url), office.clock)
        self.engine.start()
        with office.writing() as session:
            olga = session.scalars(select(AccountRow).where(AccountRow.code == "olga")).one()
            add_endpoint(session, olga, "sip", "olga")
        for code in ("alice", "olga"):
            amount = parse_amount("10", EUR)
            self.do(TopUp(f"funds-{code}", office.account_id(code), "EUR", amount, office.clock.now_us()))

    def do(self, command: Authorize | Answer | Settle | TopUp) -> Outcome:
        return self.engine.execute(command)

    def talking(self, code: str, *, seconds: int = 30) -> str:
        """A call of an account that was answered so many seconds ago; its session."""
        session_id = self.ringing(code)
        self.do(Answer(session_id, self.office.clock.now_us(), "leg"))
        self.office.clock.advance(seconds * SECOND_US)
        return session_id

    def ringing(self, code: str) -> str:
        session_id, now_us = new_id(), self.office.clock.now_us()
        request = Authorize(
            session_id, "pbx1", f"call-{session_id}", Direction.OUTBOUND, "0049891234", "2001", now_us, code
        )
        granted = self.do(request)
        assert isinstance(granted, Granted), granted
        return session_id

    def end(self, session_id: str, detail: str = "") -> None:
        now_us = self.office.clock.now_us()
        settled = self.do(Settle(session_id, now_us - 30 * SECOND_US, now_us, 16, detail=detail))
        assert isinstance(settled, Settled), settled


@pytest.fixture
def calling(office: Office) -> Iterator[Calling]:
    made = Calling(office)
    yield made
    made.engine.stop()


def test_the_list_shows_time_cost_and_funds_as_they_run(calling: Calling) -> None:
    calling.talking("alice", seconds=30)
    admin = calling.office.seat("admin")
    page = admin.get("/panel/live-calls")
    assert page.status_code == 200
    # 30 s at 0.60 with 20 % on top; 10.00 were there.
    assert "0:30" in page.text
    assert "0.36 " in page.text
    assert "9.64 " in page.text
    calling.office.clock.advance(10 * SECOND_US)
    later = admin.get("/panel/live-calls/now")
    assert "0:40" in later.text
    assert "0.48 " in later.text
    assert "9.52 " in later.text


def test_nobody_calling_says_so(calling: Calling) -> None:
    assert "Nobody is calling now" in calling.office.seat("admin").get("/panel/live-calls").text


def test_everybody_sees_the_calls_of_his_own_accounts_alone(calling: Calling) -> None:
    alices, olgas = calling.talking("alice"), calling.talking("olga")
    for login, own, others in (("reseller", alices, olgas), ("other", olgas, alices)):
        seat = calling.office.seat(login)
        listed = seat.get("/panel/live-calls").text
        assert own in listed
        assert others not in listed
        assert others not in seat.get("/panel/live-calls.csv").text
        assert seat.get(f"/panel/live-calls/{own}").status_code == 200
        for path in (f"/panel/live-calls/{others}", f"/panel/live-calls/{others}/now"):
            assert seat.get(path).status_code == 404
        assert seat.get(f"/panel/live-calls/{others}/hang-up").status_code == 404
        assert (
            seat.post(
                f"/panel/live-calls/{others}/hang-up", page=f"/panel/live-calls/{own}/hang-up"
            ).status_code
            == 404
        )
        foreign = calling.office.account_id("olga" if login == "reseller" else "alice")
        assert seat.get(f"/panel/live-calls/of-account/{foreign}").status_code == 404
    assert calling.office.seat("alice").get("/panel/live-calls").status_code == 403
    assert calling.office.seat("cashier").get("/panel/live-calls").status_code == 403
    with calling.office.writing() as session:
        assert session.scalars(select(HangUpRow)).all() == []


def test_a_reseller_sees_what_he_earns_and_what_he_pays_and_the_operator_what_the_reseller_pays(
    calling: Calling,
) -> None:
    session_id = calling.talking("alice", seconds=60)
    reseller = calling.office.seat("reseller").get(f"/panel/live-calls/{session_id}").text
    assert "0.72 " in reseller  # alice: 0.60 and 20 %
    assert "0.30 " in reseller  # himself
    operator = calling.office.seat("admin").get("/panel/live-calls").text
    assert "0.30 " in operator


def test_hanging_up_asks_first_then_is_noted_with_name_and_reason(calling: Calling) -> None:
    session_id = calling.talking("alice")
    support = calling.office.seat("support")
    here = f"/panel/live-calls/{session_id}"
    asking = support.get(f"{here}/hang-up")
    assert "Both parties are cut off at once" in asking.text
    answer = support.post(f"{here}/hang-up", {"note": "fraud"})
    assert answer.status_code == 303
    assert answer.location == here
    again = support.post(f"{here}/hang-up", {"note": "fraud"})
    assert again.status_code == 303
    page = support.get(here).text
    assert "The switch is being asked to end the call." in page
    assert "Asked by support" in page
    assert "being hung up" in support.get("/panel/live-calls").text
    account_id = calling.office.account_id("alice")
    with calling.office.writing() as session:
        row = session.scalars(select(HangUpRow)).one()
        assert (row.session_id, row.state, row.by, row.reason, row.note) == (
            session_id, "asked", "support", "operator", "fraud",
        )  # fmt: skip
        noted = session.scalars(select(AuditRow).where(AuditRow.action == "call.hang-up")).all()
        assert [x.account_id for x in noted] == [account_id] * 2
        assert "fraud" in noted[0].changes
    # The reseller sees that, and not who asked.
    seen = calling.office.seat("reseller").get(here).text
    assert "The switch is being asked" in seen
    assert "fraud" not in seen


def test_a_request_that_nobody_takes_up_expires_and_can_be_made_again(calling: Calling) -> None:
    session_id = calling.talking("alice")
    seat, here = calling.office.seat("reseller"), f"/panel/live-calls/{session_id}"
    seat.post(f"{here}/hang-up")
    calling.office.clock.advance(65 * SECOND_US)
    assert "did not answer within a minute" in seat.get(here).text
    seat.post(f"{here}/hang-up")
    with calling.office.writing() as session:
        rows = session.scalars(select(HangUpRow).order_by(HangUpRow.id)).all()
        assert [(x.state, x.reason) for x in rows] == [("expired", "reseller"), ("asked", "reseller")]


def test_a_call_that_ended_meanwhile_is_told_and_not_asked_for(calling: Calling) -> None:
    session_id = calling.talking("alice")
    seat, here = calling.office.seat("admin"), f"/panel/live-calls/{session_id}"
    token_page = f"{here}/hang-up"
    token = seat.token(token_page)
    calling.end(session_id, "hung up by the operator")
    answer = seat.client.post(token_page, data={"csrf_token": token}, base_url="https://bill.example")
    assert answer.status_code == 303
    page = seat.get(here).text
    assert "The call has ended." in page
    assert "The call has ended. Hung up by the operator." in page
    assert seat.get(f"/panel/live-calls/{new_id()}").status_code == 404
    assert seat.get("/panel/live-calls/" + "x" * 33).status_code == 404


def test_an_accounts_page_shows_its_balance_ticking(calling: Calling) -> None:
    calling.talking("alice", seconds=60)
    account_id = calling.office.account_id("alice")
    page = calling.office.seat("admin").get(f"/panel/accounts/{account_id}").text
    assert f'data-live="/panel/live-calls/of-account/{account_id}"' in page
    assert "js/live.js" in page
    shown = calling.office.seat("admin").get(f"/panel/live-calls/of-account/{account_id}").text
    assert "0.72 " in shown
    assert "9.28 " in shown
    assert "1 call draws on these wallets" in shown
    # Who bills the reseller sees the calls below him in his wallet.
    reseller = calling.office.account_id("reseller")
    shown = calling.office.seat("admin").get(f"/panel/live-calls/of-account/{reseller}").text
    assert "0.30 " in shown


@pytest.mark.parametrize("query", ["state=nonsense", "after=%ff", "endpoint=x", "q=%00"])
def test_a_damaged_address_is_refused_and_never_a_fault(calling: Calling, query: str) -> None:
    calling.talking("alice")
    assert calling.office.seat("admin").get(f"/panel/live-calls?{query}").status_code in {200, 400}


def test_a_customer_sees_his_own_balance_run_and_nothing_of_others(calling: Calling) -> None:
    calling.talking("alice", seconds=60)
    alice = calling.office.seat("alice")
    page = alice.get("/my/balance").text
    assert "9.28 " in page
    assert "0.72 " in page
    assert "0.30 " not in page  # what his reseller pays
    assert "1:00" in page
    calling.office.clock.advance(10 * SECOND_US)
    assert "9.16 " in alice.get("/my/balance/now").text
    olga = calling.office.seat("olga").get("/my/balance").text
    assert "Nobody is calling now." in olga
    # A reseller sees what the calls below him cost himself.
    books = calling.office.seat("reseller-books").get("/my/balance").text
    assert "0.35 " in books
    assert "1 call of your accounts" in books
    assert "0.84 " not in books


def test_a_page_that_asks_by_itself_keeps_nobody_logged_in(calling: Calling) -> None:
    support = calling.office.browser("support")
    paths = ("/panel/live-calls/now", "/panel/live-calls")
    for path, still in ((paths[0], False), (paths[1], True)):
        support = calling.office.browser("support")
        for _ in range(10):
            calling.office.clock.advance(9 * 60 * SECOND_US)
            support.get(path)
        assert (support.get("/panel/live-calls").status_code == 200) is still


def test_the_totals_are_of_the_calls_that_the_filters_leave(calling: Calling) -> None:
    calling.talking("alice")
    calling.talking("olga")
    admin = calling.office.seat("admin")
    assert "2 live calls" in admin.get("/panel/live-calls").text
    for path in ("/panel/live-calls", "/panel/live-calls/now"):
        assert "1 live call" in admin.get(f"{path}?account=olga").text
    assert "0 live calls" in admin.get("/panel/live-calls?account=nobody").text
