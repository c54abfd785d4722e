"""Reports that are stopped while they are made, or cut off; and what is told of them meanwhile."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, text, update
from sqlalchemy.orm import Session

from pbxbill.clock import ManualClock
from pbxbill.errors import InputRefused
from pbxbill.mediation.simulate import Scenario
from pbxbill.reports import run_maker, runs, simulation
from pbxbill.reports.catalogue import REPORTS, made, operator_scope
from pbxbill.reports.making import HowFar, Making, ReportStopped, Stage, TooLarge
from pbxbill.reports.report import Asked, Report, Table
from pbxbill.reports.run_maker import make_waiting
from pbxbill.reports.runs import NewRun, ask, ask_to_stop, beat, how_far, state_of, why
from pbxbill.store.driver import Driver, connect
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.report_models import ReportRunRow
from tests.store.billed_accounts import CLOCK, BilledAccounts
from tests.store.command_line import Run

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n"
SOON_S = 20


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(CLOCK.now_us())


@pytest.fixture
def database(accounts: BilledAccounts) -> Iterator[Engine]:
    opened = open_engine(accounts.url)
    yield opened
    opened.dispose()


def asked(database: Engine, clock: ManualClock, report: str, kind: str = "csv", **values: str) -> int:
    with transaction(database) as session:
        return ask(session, operator_scope(session), NewRun(report, values, kind), clock.now_us()).id


def row_of(database: Engine, run_id: int) -> ReportRunRow:
    with transaction(database) as session:
        return session.get_one(ReportRunRow, run_id)


def stop(database: Engine, clock: ManualClock, run_id: int) -> str:
    with transaction(database) as session:
        return ask_to_stop(session, run_id, clock.now_us()).state


def slow(monkeypatch: pytest.MonkeyPatch, make: Callable[[Session, Asked], Table]) -> None:
    monkeypatch.setitem(REPORTS, "slow", Report("slow", "Slow", "", (), make))


@contextmanager
def being_made(
    database: Engine, clock: ManualClock, ends: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """What waits is made by another thread, which has to have ended soon after."""
    maker = threading.Thread(target=make_waiting, args=(database, clock, ends))
    maker.start()
    try:
        yield
    finally:
        maker.join(SOON_S)
        assert not maker.is_alive()


@pytest.mark.parametrize("own", [False, True])
def test_a_statement_that_runs_is_ended(
    database: Engine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    begun = threading.Event()

    def make(session: Session, asked: Asked) -> Table:
        if not own:
            begun.set()
            session.execute(text(ENDLESS))
        driver = connect(session.get_bind().engine.url.render_as_string(hide_password=False))
        try:
            with asked.making.reading_by(driver.connection):
                driver.begin_snapshot()
                begun.set()
                driver.select(ENDLESS)
        finally:
            driver.close()
        return Table((), [])

    slow(monkeypatch, make)
    run_id = asked(database, clock, "slow")
    with being_made(database, clock):
        assert begun.wait(SOON_S)
        assert stop(database, clock, run_id) == "stopping"
    row = row_of(database, run_id)
    assert (row.state, row.error, row.file_name) == ("stopped", "", "")
    assert row.ended_us
    with pytest.raises(InputRefused, match="not being made"):
        stop(database, clock, run_id)
    # Whoever reads next has a connection that nothing is wrong with.
    again = asked(database, clock, "prepaid")
    assert make_waiting(database, clock) == 1
    assert row_of(database, again).state == "done"


def test_how_far_it_is_is_told_and_it_can_be_stopped_there(
    database: Engine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, seen = threading.Event(), threading.Event()
    say = run_maker._say

    def make(_session: Session, asked: Asked) -> Table:
        asked.making.tell(Stage.CALLS, 3, 40)
        assert told.wait(SOON_S)
        assert seen.wait(SOON_S)
        while True:
            asked.making.tell(Stage.CALLS, 4, 40)

    def heard(*named: object) -> None:
        say(*named)  # type: ignore[arg-type]
        told.set()

    slow(monkeypatch, make)
    monkeypatch.setattr(run_maker, "_say", heard)
    run_id = asked(database, clock, "slow")
    with being_made(database, clock):
        assert told.wait(SOON_S)
        row = row_of(database, run_id)
        assert (state_of(row, clock.now_us()), why(row)) == ("running", "")
        assert how_far(row) == HowFar(Stage.CALLS, 3, 40)
        stop(database, clock, run_id)
        seen.set()
    row = row_of(database, run_id)
    assert (row.state, how_far(row)) == ("stopped", None)


def test_a_process_that_ends_lets_go_of_its_report(
    database: Engine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def make(session: Session, _asked: Asked) -> Table:
        begun.set()
        session.execute(text(ENDLESS))
        return Table((), [])

    slow(monkeypatch, make)
    run_id = asked(database, clock, "slow")
    with being_made(database, clock, begun.is_set):
        assert begun.wait(SOON_S)
    assert (row_of(database, run_id).state, row_of(database, run_id).attempts) == ("waiting", 0)
    slow(monkeypatch, lambda _session, _asked: Table((), []))
    assert make_waiting(database, clock) == 1
    assert row_of(database, run_id).state == "done"


def test_who_was_taken_for_dead_ends_and_changes_nothing(
    database: Engine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def make(session: Session, _asked: Asked) -> Table:
        begun.set()
        session.execute(text(ENDLESS))
        return Table((), [])

    slow(monkeypatch, make)
    run_id = asked(database, clock, "slow")
    with being_made(database, clock):
        assert begun.wait(SOON_S)
        with transaction(database) as session:
            taken = {"attempts": 2, "error": beat(HowFar(), clock.now_us())}
            session.execute(update(ReportRunRow).values(**taken))
    assert (row_of(database, run_id).state, row_of(database, run_id).attempts) == ("running", 2)


@pytest.mark.parametrize("state", ["running", "stopping"])
def test_what_was_cut_off_is_told_so_and_can_be_stopped(
    database: Engine, clock: ManualClock, state: str
) -> None:
    run_id = asked(database, clock, "prepaid")
    said = beat(HowFar(Stage.HOURS, 1, 2), clock.now_us())
    with transaction(database) as session:
        session.execute(update(ReportRunRow).values(state=state, attempts=1, started_us=1, error=said))
    row = row_of(database, run_id)
    assert state_of(row, clock.now_us() + runs.SILENT_US) == state
    clock.advance(runs.SILENT_US + 1)
    assert (state_of(row, clock.now_us()), why(row)) == (runs.CUT_OFF, "")
    if state == "running":
        assert stop(database, clock, run_id) == "stopped"
    else:  # it is not begun again
        assert make_waiting(database, clock) == 0
    assert row_of(database, run_id).state == "stopped"


def test_what_nobody_makes_yet_stops_at_once(database: Engine, clock: ManualClock) -> None:
    run_id = asked(database, clock, "prepaid")
    assert stop(database, clock, run_id) == "stopped"
    assert make_waiting(database, clock) == 0


@pytest.mark.parametrize("kind", ["csv", "xlsx", "docx", "html", "pdf"])
def test_a_file_is_stopped_while_it_is_written(
    database: Engine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    far: list[HowFar] = []

    class Stopped(Making):
        def tell(self, stage: Stage, done: int = 0, total: int = 0) -> None:
            far.append(HowFar(stage, done, total))
            if stage is (Stage.SETTING if kind == "pdf" else Stage.WRITING):
                with transaction(database) as session:
                    ask_to_stop(session, run_id, clock.now_us())
                if kind != "pdf":
                    self.stop()
            super().tell(stage, done, total)

    monkeypatch.setattr(run_maker, "Making", Stopped)
    run_id = asked(database, clock, "prepaid", kind, group="customer")
    assert make_waiting(database, clock) == 1
    assert row_of(database, run_id).state == "stopped"
    rows = 4 + 2 * (kind == "docx")
    assert HowFar(Stage.WRITING, 0, rows) in far


def test_a_simulation_that_somebody_waits_for_ends_in_time(
    accounts: BilledAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counts(connect: Callable[[], Driver], *_: object) -> None:
        driver = connect()
        try:
            driver.begin_snapshot()
            driver.select(ENDLESS)
        finally:
            driver.close()

    monkeypatch.setattr(simulation, "simulate", counts)
    monkeypatch.setattr(simulation, "_scenario", lambda *_: Scenario(1, 2, deck="german"))
    database = open_engine(accounts.url)
    with transaction(database) as session:
        wanted = Asked(operator_scope(session), {}, "UTC", CLOCK.now_us())
        with pytest.raises(TooLarge, match="background"):
            made(session, REPORTS["simulation"], wanted, timeout_ms=200)
    database.dispose()


def test_what_is_stopped_before_it_begins_ends_at_once(database: Engine) -> None:
    making = Making(is_watched=True)
    making.stop()
    with pytest.raises(ReportStopped):
        making.tell(Stage.READING)


def test_the_command_line_stops_one(pbxbill: Run, database: Engine, clock: ManualClock) -> None:
    run_id = asked(database, clock, "prepaid")
    assert pbxbill("reports", "stop", run_id).output == f"report {run_id}: stopped\n"
    (told,) = json.loads(pbxbill("reports", "runs", "--json").output)
    assert (told["state"], told["done"], told["error"]) == ("stopped", "", "")
    for wrong in (run_id, run_id + 1):
        assert pbxbill("reports", "stop", wrong).exit_code == 2


def test_ctrl_c_ends_the_statement(
    pbxbill: Run, accounts: BilledAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(session: Session, _asked: Asked) -> Table:
        over = threading.Event()

        def press() -> None:  # until it is heard: once may be too early
            while not over.wait(0.2):
                os.kill(os.getpid(), signal.SIGINT)

        pressing = threading.Thread(target=press)
        pressing.start()
        try:
            session.execute(text(ENDLESS))
        finally:
            over.set()
            pressing.join()
        return Table((), [])

    slow(monkeypatch, make)
    ran = pbxbill("reports", "show", "slow")
    assert (ran.exit_code, ran.output) == (1, "pbxbill: it was stopped\n")
