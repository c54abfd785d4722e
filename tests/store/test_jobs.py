"""Jobs run once when they are due, wherever; what fails is tried again, told, and stops nothing."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from pbxbill.app import Application, open_application
from pbxbill.clock import SECOND_US, ManualClock, SystemClock
from pbxbill.errors import InputRefused
from pbxbill.jobs import runner as runner_module
from pbxbill.jobs.job import Job, JobWork
from pbxbill.jobs.runner import ALERT_AFTER, HOLD_US, KEPT_RUNS, JobRunner, register
from pbxbill.jobs.schedule import JOBS
from pbxbill.settings import Settings
from pbxbill.store.alerts import list_alerts, raise_alert
from pbxbill.store.engine import transaction
from pbxbill.store.notice_models import JobRow, JobRunRow
from tests.store.billed_accounts import BilledAccounts
from tests.store.command_line import Ok, Run
from tests.store.other_process import line, started

HOUR_S = 3_600


class Site:
    """An installation on which time is moved by hand."""

    def __init__(self, url: str, opened: ExitStack) -> None:
        self.clock = ManualClock()
        self.application: Application = opened.enter_context(open_application(url, clock=self.clock))

    def runner(self, *jobs: Job) -> JobRunner:
        return JobRunner(self.application, Settings(), jobs)

    def row(self, name: str) -> JobRow:
        with transaction(self.application.database) as session:
            return session.get_one(JobRow, name)

    def runs(self, name: str) -> list[tuple[str, str]]:
        with transaction(self.application.database) as session:
            query = select(JobRunRow).where(JobRunRow.job == name).order_by(JobRunRow.id)
            return [(row.outcome, row.detail) for row in session.scalars(query)]

    def serve_until(self, runner: JobRunner, happened: threading.Event) -> None:
        """Let a runner serve in a thread until something happened."""
        thread = threading.Thread(target=runner.serve)
        thread.start()
        assert happened.wait(20)
        runner.stop()
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def site(accounts: BilledAccounts) -> Iterator[Site]:
    with ExitStack() as opened:
        yield Site(accounts.url, opened)


def job(run: Callable[[JobWork], str], name: str = "tidy", every_s: int = HOUR_S) -> Job:
    return Job(name, "a job of a test", every_s, run)


def test_a_job_that_is_due_runs_and_waits_for_its_next_time(site: Site) -> None:
    ran = threading.Event()

    def work(_work: JobWork) -> str:
        ran.set()
        return "one thing done"

    site.serve_until(site.runner(job(work)), ran)
    row = site.row("tidy")
    assert (row.holder, row.next_us) == ("", site.clock.now_us() + HOUR_S * SECOND_US)
    assert site.runs("tidy") == [("done", "one thing done")]


def test_one_that_is_not_due_is_left_alone_and_by_hand_it_runs(site: Site) -> None:
    count: list[int] = []

    def work(_work: JobWork) -> str:
        count.append(1)
        return ""

    runner = site.runner(job(work))
    assert runner.run_now("tidy").outcome == "done"
    runner._begin_due()
    assert len(count) == 1
    assert site.runs("tidy") == []  # what did nothing is not history
    site.clock.advance(HOUR_S * SECOND_US)
    runner._begin_due()
    runner.close()
    assert len(count) == 2


def test_one_for_which_nothing_waits_is_not_claimed_but_once_a_minute(site: Site) -> None:
    count: list[int] = []
    waiting: list[bool] = []

    def work(_work: JobWork) -> str:
        count.append(1)
        return ""

    runner = site.runner(Job("tidy", "a job of a test", 1, work, waits=lambda _work: bool(waiting)))
    runner.run_now("tidy")
    for _ in range(3):
        site.clock.advance(2 * SECOND_US)
        begun(runner)
    assert len(count) == 1
    waiting.append(True)
    begun(runner)
    assert len(count) == 2
    waiting.clear()
    site.clock.advance(60 * SECOND_US)
    begun(runner)
    runner.close()
    assert len(count) == 3


def begun(runner: JobRunner) -> None:
    """What is due has begun and ended."""
    runner._begin_due()
    for slot in runner._slots.values():
        if slot.thread is not None:
            slot.thread.join(10)


def test_runners_at_once_run_a_job_once(site: Site) -> None:
    inside, over = threading.Event(), threading.Event()
    count: list[int] = []

    def work(_work: JobWork) -> str:
        count.append(1)
        inside.set()
        assert over.wait(20)
        return "done"

    runners = [site.runner(job(work)) for _ in range(4)]
    register(site.application.database, [job(work)], site.clock.now_us())
    threads = [threading.Thread(target=runner._begin_due) for runner in runners]
    for thread in threads:
        thread.start()
    assert inside.wait(20)
    for thread in threads:
        thread.join(20)
    assert runners[0].run_now("tidy").outcome == "busy" or len(count) == 1
    over.set()
    for runner in runners:
        runner.close()
    assert len(count) == 1


def test_a_failure_waits_longer_each_time_and_is_an_alert_in_the_end(site: Site) -> None:
    def work(_work: JobWork) -> str:
        raise InputRefused("the letter box is full")

    runner = site.runner(job(work))
    waits = []
    for _ in range(ALERT_AFTER):
        ran = runner.run_now("tidy")
        assert (ran.outcome, ran.detail) == ("failed", "the letter box is full")
        waits.append(site.row("tidy").next_us - site.clock.now_us())
    assert waits == [HOUR_S * SECOND_US] * ALERT_AFTER  # an hour is the longest wait of an hourly job
    with transaction(site.application.database) as session:
        (alert,) = list_alerts(session, kind="job_failed")
    assert "the letter box is full" in alert.detail
    assert len(site.runs("tidy")) == ALERT_AFTER


def test_a_job_of_every_minute_that_fails_waits_twice_as_long_each_time(site: Site) -> None:
    def work(_work: JobWork) -> str:
        raise ValueError("a fault of ours")

    runner = site.runner(job(work, every_s=60))
    waits = []
    for _ in range(8):
        runner.run_now("tidy")
        waits.append((site.row("tidy").next_us - site.clock.now_us()) // SECOND_US)
    assert waits == [120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_a_run_that_does_not_end_is_an_alert_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "HOLD_US", 60_000)
    monkeypatch.setattr(runner_module, "LONG_RUN_US", 10 * SECOND_US)
    told: list[str] = []
    alerted, never = threading.Event(), threading.Event()

    def tell(session: Session, kind: str, subject: str, detail: str, *, at_us: int) -> None:
        raise_alert(session, kind, subject, detail, at_us=at_us)
        told.append(subject)
        alerted.set()

    monkeypatch.setattr(runner_module, "raise_alert", tell)

    def held_to_us() -> int | None:
        return site.row("tidy").held_to_us

    def work(_work: JobWork) -> str:
        site.clock.advance(11 * SECOND_US)
        assert alerted.wait(20)
        # The claim is moved on twice more, and nobody is told again.
        for _ in range(2):
            site.clock.advance(2 * HOUR_S * SECOND_US)
            moved_to_us = site.clock.now_us() + runner_module.HOLD_US
            assert any(never.wait(0.01) or held_to_us() == moved_to_us for _ in range(1_000))
        return "done"

    assert site.runner(job(work)).run_now("tidy").outcome == "done"
    assert told == ["tidy"]
    with transaction(site.application.database) as session:
        (alert,) = list_alerts(session, kind="job_runs_long")
    assert alert.subject == "tidy"


def test_one_success_forgets_the_failures(site: Site) -> None:
    answers = iter(["", None, "fine"])

    def work(_work: JobWork) -> str:
        answer = next(answers)
        if answer is None:
            raise InputRefused("not now")
        return answer

    runner = site.runner(job(work))
    for _ in range(3):
        runner.run_now("tidy")
    assert site.row("tidy").failures == 0
    assert site.runs("tidy") == [("failed", "not now"), ("done", "fine")]


def test_what_another_holds_is_taken_over_when_its_time_is_over(site: Site) -> None:
    runner = site.runner(job(lambda _work: "done"))
    register(site.application.database, [job(lambda _work: "")], site.clock.now_us())
    held = {"holder": "elsewhere:1", "held_to_us": site.clock.now_us() + HOLD_US}
    with transaction(site.application.database) as session:
        session.execute(update(JobRow).values(**held))
    assert runner.run_now("tidy").outcome == "busy"
    site.clock.advance(HOLD_US)
    assert runner.run_now("tidy").outcome == "done"
    assert site.runs("tidy") == [("lost", "its process ended without a word"), ("done", "done")]


def test_a_clock_that_was_set_back_holds_up_no_job(site: Site) -> None:
    ran = threading.Event()

    def work(_work: JobWork) -> str:
        ran.set()
        return "done"

    runner = site.runner(job(work))
    runner.run_now("tidy")
    ran.clear()
    site.clock.step(-30 * 86_400 * SECOND_US)
    site.serve_until(runner, ran)
    assert site.row("tidy").next_us == site.clock.now_us() + HOUR_S * SECOND_US


def test_a_job_that_is_stopped_goes_on_at_once_next_time(site: Site) -> None:
    inside = threading.Event()

    def work(job_work: JobWork) -> str:
        inside.set()
        while not job_work.stop():
            pass
        return "half of it"

    site.serve_until(site.runner(job(work)), inside)
    assert site.runs("tidy") == [("stopped", "half of it")]
    assert site.row("tidy").next_us <= site.clock.now_us()


def test_the_history_is_bounded(site: Site) -> None:
    runner = site.runner(job(lambda _work: "done"))
    runner.run_now("tidy")
    old = {"job": "tidy", "started_us": 0, "ended_us": 0, "outcome": "done", "detail": "", "holder": ""}
    with transaction(site.application.database) as session:
        session.add_all(JobRunRow(**old) for _ in range(KEPT_RUNS + 20))
    runner.run_now("tidy")
    assert len(site.runs("tidy")) == KEPT_RUNS


def test_who_was_killed_over_a_job_is_replaced(site: Site, accounts: BilledAccounts) -> None:
    with started("job_process", accounts.url) as process:
        assert line(process) == "inside"
        site.clock.step(SystemClock().now_us() - site.clock.now_us())
        runner = site.runner(job(lambda _work: "done by another"))
        assert runner.run_now("tidy").outcome == "busy"
        process.kill()
    site.clock.advance(HOLD_US + SECOND_US)
    assert runner.run_now("tidy").detail == "done by another"
    assert [outcome for outcome, _ in site.runs("tidy")] == ["lost", "done"]


def test_the_command_line_lists_runs_and_switches_jobs(ok: Ok, pbxbill: Run) -> None:
    ok("init")
    names = [row["job"] for row in json.loads(ok("jobs", "list", "--json"))]
    assert names == [x.name for x in JOBS]
    assert "nothing was due" in ok("jobs", "run", "quotes")
    ok("jobs", "disable", "quotes")
    rows = {row["job"]: row for row in json.loads(ok("jobs", "list", "--json"))}
    assert (rows["quotes"]["state"], rows["quotes"]["next"]) == ("off", "")
    assert rows["quotes"]["last"]
    assert rows["revenue"]["state"] == "waits"
    ok("jobs", "enable", "quotes")
    refused = pbxbill("jobs", "run", "laundry")
    assert refused.exit_code == 2
    assert "there is no job 'laundry'" in refused.output
    assert json.loads(ok("jobs", "history", "--json")) == []


def test_every_job_runs_on_an_empty_installation(ok: Ok, tmp_path: Path) -> None:
    ok("init")
    for each in JOBS:
        assert ok("jobs", "run", each.name).strip().endswith("nothing was due"), each.name


def test_the_page_on_jobs_names_each_with_how_often_it_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text()
    for each in JOBS:
        assert f"| `{each.name}` | {often(each.every_s)} |" in page, each.name


def often(every_s: int) -> str:
    for length_s, name in ((86_400, "day"), (HOUR_S, "hour"), (60, "minute"), (1, "second")):
        if every_s >= length_s:
            count = every_s // length_s
            return f"{count} {name}s" if count > 1 else name
    raise AssertionError(every_s)
