"""Live calls as people watch them, and their end on request, on both databases."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from sqlalchemy import Engine, select

from pbxbill.access.actor import Scope
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import Answer, Authorize, Direction, Granted, Settle, Settled, TopUp
from pbxbill.clock import SECOND_US, ManualClock
from pbxbill.errors import InputRefused
from pbxbill.ids import new_id
from pbxbill.listing.hang_ups import hang_up, hang_ups_of
from pbxbill.listing.listing import Asked
from pbxbill.listing.live_calls import LiveBoard, snapshots
from pbxbill.store.accounts import NewAccount, add_endpoint, open_account, open_wallet
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.hang_ups import HangUpDesk, HangUpReason, HangUpState, ask_hang_up
from pbxbill.store.live_models import HangUpRow
from pbxbill.store.models import AccountRow, CallChargeRow
from pbxbill.web.front import Change
from tests.database_operator import open_database_operator

SOON_S = 10


@dataclass
class Calling:
    """A database in which people call: alice below a reseller, olga below another."""

    url: str
    clock: ManualClock
    database: Engine
    engine: ChargingEngine
    board: LiveBoard
    ids: dict[str, int]
    paths: dict[str, str]

    def scope(self, code: str, *, own: bool = False) -> Scope:
        return Scope(self.ids[code], self.paths[code], own)

    def top_up(self, code: str, amount: int = 10_000_000) -> None:
        self.engine.execute(TopUp(new_id(), self.ids[code], "EUR", amount, self.clock.now_us()))

    def ringing(self, code: str, switch: str = "pbx1") -> str:
        session_id, now_us = new_id(), self.clock.now_us()
        asked = Authorize(session_id, switch, session_id, Direction.OUTBOUND, "0049891", "2001", now_us, code)
        assert isinstance(self.engine.execute(asked), Granted)
        return session_id

    def talking(self, code: str, seconds: int = 0, switch: str = "pbx1") -> str:
        session_id = self.ringing(code, switch)
        self.engine.execute(Answer(session_id, self.clock.now_us(), "leg"))
        self.clock.advance(seconds * SECOND_US)
        return session_id

    def end(self, session_id: str, answered_us: int) -> Settled:
        settled = self.engine.execute(Settle(session_id, answered_us, self.clock.now_us(), 16))
        assert isinstance(settled, Settled)
        return settled

    def ask(self, session_id: str, **changes: object) -> HangUpRow | None:
        with transaction(self.database) as session:
            return ask_hang_up(
                session, session_id, by="support", reason=HangUpReason.OPERATOR, now_us=self.clock.now_us()
            )

    def state(self, session_id: str) -> tuple[HangUpState, str]:
        with transaction(self.database) as session:
            found = hang_ups_of(session, [session_id], self.clock.now_us())[session_id]
        return found.state, found.detail


@pytest.fixture
def calling(database_url: str) -> Iterator[Calling]:
    clock = ManualClock()
    open_database_operator(database_url, clock)
    database = open_engine(database_url)
    with transaction(database) as session:
        other = NewAccount("other", "Other", kind="reseller", mode="postpaid", tariff="wholesale")
        open_wallet(session, open_account(session, other, 0), "EUR", credit_limit=1_000_000_000)
        olga = open_account(session, NewAccount("olga", "Olga", parent="other", tariff="retail"), 0)
        open_wallet(session, olga, "EUR")
        add_endpoint(session, olga, "sip", "olga")
    with transaction(database) as session:
        rows = list(session.scalars(select(AccountRow)))
    ids = {("operator" if x.kind == "operator" else x.code): x.id for x in rows}
    paths = {("operator" if x.kind == "operator" else x.code): x.path for x in rows}
    engine = ChargingEngine(lambda: connect(database_url), clock)
    engine.start()
    made = Calling(database_url, clock, database, engine, LiveBoard(database, clock), ids, paths)
    made.top_up("alice")
    made.top_up("olga")
    yield made
    engine.stop()
    database.dispose()


def test_a_call_is_shown_with_what_it_would_be_charged_now(calling: Calling) -> None:
    answered_us = calling.clock.now_us()
    session_id = calling.talking("alice", 37)
    (shown,) = calling.board.page(calling.scope("operator"), Asked()).rows
    assert (shown.session_id, shown.account, shown.reseller) == (session_id, "alice", "reseller")
    assert (shown.state, shown.elapsed_us) == ("answered", 37 * SECOND_US)
    assert (shown.cost, shown.funds_left) == (444_000, 10_000_000 - 444_000)
    # 9.556 EUR at 0.012 a second.
    assert shown.remaining_us == 796 * SECOND_US
    calling.end(session_id, answered_us)
    with transaction(calling.database) as session:
        charges = session.scalars(
            select(CallChargeRow).where(CallChargeRow.session_id == session_id).order_by(CallChargeRow.level)
        )
        assert [(x.account_id, x.total) for x in charges] == [
            (level.account_id, level.cost) for level in shown.levels
        ]
    assert calling.board.page(calling.scope("operator"), Asked()).rows == ()


def test_what_is_left_counts_every_call_of_the_wallet_also_those_of_other_pages(calling: Calling) -> None:
    calling.talking("alice", 10)
    calling.talking("alice", 20)
    calling.ringing("alice")
    first = calling.board.page(calling.scope("operator"), Asked(size=1))
    (shown,) = first.rows
    assert shown.funds_left == 10_000_000 - 50 * 12_000
    second = calling.board.page(calling.scope("operator"), Asked(size=1, after=first.after))
    assert second.rows[0].funds_left == shown.funds_left
    assert {x.session_id for x in (*first.rows, *second.rows)} == {
        x.session_id for x in calling.board.page(calling.scope("operator"), Asked(size=2)).rows
    }
    balance = calling.board.balance(calling.scope("reseller"), calling.ids["alice"])
    assert balance is not None
    assert (balance.calls, balance.talking) == (3, 2)
    (wallet,) = balance.wallets
    assert (wallet.cost, wallet.left) == (600_000, 9_400_000)
    # Three slices of 60 s are reserved.
    assert (wallet.reserved, wallet.available) == (3 * 720_000, 10_000_000 - 3 * 720_000)
    own = calling.board.balance(calling.scope("reseller", own=True), calling.ids["reseller"])
    assert own is not None
    assert own.wallets[0].cost == 50 * 5_000


def test_everybody_sees_his_own_alone(calling: Calling) -> None:
    alices, olgas = calling.talking("alice", 60), calling.talking("olga")
    board = calling.board
    assert {x.session_id for x in board.page(calling.scope("operator"), Asked()).rows} == {alices, olgas}
    for code, seen, hidden in (("reseller", alices, olgas), ("other", olgas, alices)):
        scope = calling.scope(code)
        (shown,) = board.page(scope, Asked()).rows
        assert shown.session_id == seen
        assert [x.account for x in shown.levels] == ["alice" if code == "reseller" else "olga", code]
        assert board.call(scope, hidden) is None
        assert board.page(scope, Asked({"account": "olga" if code == "reseller" else "alice"})).rows == ()
    alice = calling.scope("alice", own=True)
    (shown,) = board.page(alice, Asked()).rows
    assert [x.account for x in shown.levels] == ["alice"]
    assert shown.reseller == ""
    assert board.call(alice, olgas) is None
    for scope in (alice, calling.scope("reseller")):
        assert board.balance(scope, calling.ids["olga"]) is None
    assert board.balance(calling.scope("reseller"), calling.ids["reseller"]) is None


def test_sums_are_those_of_whoever_looks(calling: Calling) -> None:
    calling.talking("alice", 60)
    board = calling.board
    operator = board.totals(calling.scope("operator"))
    assert (operator.calls, operator.talking) == (1, 1)
    assert [x[1] for x in operator.earned] == [300_000]
    assert operator.owed == ()
    reseller = board.totals(calling.scope("reseller"))
    assert [x[1] for x in reseller.earned] == [720_000]
    assert [x[1] for x in reseller.owed] == [300_000]
    assert [x[1] for x in board.totals(calling.scope("alice", own=True)).earned] == [720_000]
    assert board.totals(calling.scope("other")).calls == 0
    # Sums are kept for a moment, and not longer.
    calling.talking("alice", 0)
    assert board.totals(calling.scope("operator")).calls == 1
    calling.clock.advance(2 * SECOND_US)
    assert board.totals(calling.scope("operator")).calls == 2


def test_filters_narrow_and_refuse(calling: Calling) -> None:
    calling.talking("alice", switch="pbx2")
    calling.ringing("olga")
    operator = calling.scope("operator")
    for filters, found in (
        ({"switch": "pbx2"}, ["alice"]),
        ({"state": "reserved"}, ["olga"]),
        ({"reseller": "other"}, ["olga"]),
        ({"q": "4989"}, ["alice", "olga"]),
        ({"q": "4930"}, []),
    ):
        assert sorted(x.account for x in calling.board.page(operator, Asked(filters)).rows) == found
    with pytest.raises(InputRefused):
        calling.board.page(operator, Asked({"state": "dreaming"}))


def test_snapshots_come_until_they_are_stopped(calling: Calling) -> None:
    stop = threading.Event()
    read = []

    def look() -> int:
        read.append(calling.board.totals(calling.scope("operator")).calls)
        if len(read) == 2:
            stop.set()
        return read[-1]

    assert list(snapshots(look, stop=stop, every_s=0.001)) == [0, 0]
    assert len(list(snapshots(lambda: 1, stop=threading.Event(), every_s=0.001, most_s=0))) == 1


@dataclass
class Daemon:
    """What the desk tells a daemon."""

    asked: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def hang_up(self, session_id: str, detail: str) -> None:
        assert detail == "hung up by the operator"
        with self.changed:
            self.asked.append(session_id)
            self.changed.notify_all()

    def give_up(self, session_id: str) -> None:
        with self.changed:
            self.given_up.append(session_id)
            self.changed.notify_all()

    def wait_asked(self, session_id: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: session_id in self.asked, SOON_S)


@contextmanager
def serving(calling: Calling, switch: str = "pbx1") -> Iterator[tuple[HangUpDesk, Daemon]]:
    desk, daemon = HangUpDesk(lambda: connect(calling.url), calling.clock, switch), Daemon()
    desk.serve(daemon.hang_up, daemon.give_up)
    try:
        yield desk, daemon
    finally:
        desk.stop()


def wait_state(calling: Calling, session_id: str, state: HangUpState, detail: str = "") -> None:
    waiting = threading.Event()
    for _ in range(200):
        if calling.state(session_id)[0] is not HangUpState.ASKED:
            break
        waiting.wait(0.05)
    assert calling.state(session_id) == (state, detail)


def test_a_request_reaches_the_daemon_of_the_calls_switch_and_is_done_once_the_call_is_settled(
    calling: Calling,
) -> None:
    answered_us = calling.clock.now_us()
    session_id = calling.talking("alice")
    with serving(calling, "pbx2") as (_, elsewhere), serving(calling) as (_, daemon):
        calling.ask(session_id)
        calling.ask(session_id)
        daemon.wait_asked(session_id)
        assert calling.state(session_id)[0] is HangUpState.ASKED
        calling.end(session_id, answered_us)
        wait_state(calling, session_id, HangUpState.DONE)
        assert elsewhere.asked == []
    with transaction(calling.database) as session:
        assert len(session.scalars(select(HangUpRow)).all()) == 1


def test_one_whose_call_ended_before_anybody_heard_is_gone(calling: Calling) -> None:
    answered_us = calling.clock.now_us()
    session_id = calling.talking("alice")
    calling.ask(session_id)
    calling.end(session_id, answered_us)
    with serving(calling) as (_, daemon):
        wait_state(calling, session_id, HangUpState.GONE)
        assert daemon.asked == []
    assert calling.ask(session_id) is None  # it is not live


def test_one_that_no_daemon_took_up_has_expired_and_is_not_carried_out_later(calling: Calling) -> None:
    session_id = calling.talking("alice")
    calling.ask(session_id)
    calling.clock.advance(61 * SECOND_US)
    assert calling.state(session_id)[0] is HangUpState.ASKED  # a daemon may be at it
    calling.clock.advance(2 * SECOND_US)
    assert calling.state(session_id)[0] is HangUpState.EXPIRED
    with serving(calling) as (_, daemon):
        wait_state(calling, session_id, HangUpState.EXPIRED)
        assert daemon.asked == []
        calling.ask(session_id)  # somebody insists
        daemon.wait_asked(session_id)


def test_one_that_the_switch_does_not_carry_out_fails_and_the_call_is_left_alone(calling: Calling) -> None:
    session_id = calling.talking("alice")
    with serving(calling) as (_, daemon):
        calling.ask(session_id)
        daemon.wait_asked(session_id)
        calling.clock.advance(61 * SECOND_US)
        wait_state(calling, session_id, HangUpState.FAILED, "the switch did not end the call within a minute")
        assert daemon.given_up == [session_id]


def test_one_that_the_daemon_refuses_says_why(calling: Calling) -> None:
    session_id = calling.talking("alice")
    with serving(calling) as (desk, daemon):
        calling.ask(session_id)
        daemon.wait_asked(session_id)
        desk.refuse(session_id, "pbxbill is not connected to the switch")
        wait_state(calling, session_id, HangUpState.FAILED, "pbxbill is not connected to the switch")


def test_two_who_ask_at_once_have_asked_once(calling: Calling) -> None:
    session_id = calling.talking("alice")
    with ThreadPoolExecutor(4) as threads:
        rows = list(threads.map(lambda _: calling.ask(session_id), range(4)))
    assert len({row.id for row in rows if row is not None}) == 1
    assert None not in rows


def test_who_may_not_see_a_call_cannot_end_it_and_the_record_tells_for_whom(calling: Calling) -> None:
    session_id = calling.talking("alice")
    told: list[frozenset[int]] = []
    books = Bookkeeper(lambda: connect(calling.url), calling.clock, told.append)
    for scope, reason in (
        (calling.scope("other"), None),
        (calling.scope("olga", own=True), None),
        (calling.scope("reseller"), "reseller"),
    ):
        with transaction(calling.database) as session:
            change = Change(session, books, calling.clock.now_us())
            asked = hang_up(change, scope, session_id, by="somebody")
            assert (asked is not None) == (reason is not None)
            rows = session.scalars(select(HangUpRow)).all()
            assert [x.reason for x in rows] == ([reason] if reason else [])
    books.announce()
    # The wallets of the call hear of it, so that a daemon that listens to Redis looks at once.
    (wallets,) = told
    assert len(wallets) == 2
