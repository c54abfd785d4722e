"""Runs jobs when they are due, each once, on however many machines.

A job is claimed by its row: one statement that only one process can win, for a time that its holder moves on
while it works. A holder that dies is replaced when that time is over. A job that fails is tried again later
and later, and people are told. Each job runs in a thread of its own, so that a long one holds up none.
"""

import os
import platform
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog
from prometheus_client import Counter
from sqlalchemy import Engine, delete, or_, select, text, update
from sqlalchemy.orm import Session

from pbxbill.app import Application
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused, StoreUnavailable
from pbxbill.ids import new_id
from pbxbill.jobs.job import Job, JobWork
from pbxbill.settings import Settings
from pbxbill.store.alerts import raise_alert
from pbxbill.store.engine import transaction
from pbxbill.store.notice_models import JobRow, JobRunRow

HOLD_US = 60 * SECOND_US
"""How long a claim lasts; its holder moves it on every third of that."""
LONGEST_WAIT_S = 3_600
"""Most that a job which fails again and again waits."""
ALERT_AFTER = 3
"""Failures in a row."""
LONG_RUN_US = 6 * 3_600 * SECOND_US
"""People are told of a run that lasts longer."""
KEPT_RUNS = 500
"""Of each job's history."""
RESTS_US = 60 * SECOND_US
"""A job for which nothing waits is not run for so long."""
LOOK_S = 0.5
WAIT_TOLD_S = 60
STOP_S = 30.0
MAX_DETAIL = 500

RUNS = Counter("pbxbill_job_runs", "Runs of jobs that did something or failed", ["job", "outcome"])
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run went."""

    outcome: str
    """done, stopped or failed; busy: another process has it; off: it is disabled."""
    detail: str = ""


@dataclass(slots=True)
class _Slot:
    """What this process keeps of a job."""

    job: Job
    work: JobWork
    cancelled: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None


class JobRunner:
    """Claims and runs jobs for one process."""

    def __init__(
        self,
        application: Application,
        settings: Settings,
        jobs: Sequence[Job],
        tell: Callable[..., None] = lambda done, of=None: None,
    ) -> None:
        self._application = application
        self._database = application.database
        self._clock = application.clock
        self._holder = f"{platform.node()}:{os.getpid()}:{new_id()[-8:]}"
        self._stop = threading.Event()
        self._slots = {job.name: self._slot(job, settings, tell) for job in jobs}
        self._wait_told_us: int | None = None
        """When the log last heard that the database is away; None: it is there."""

    def _slot(self, job: Job, settings: Settings, tell: Callable[..., None]) -> _Slot:
        cancelled = threading.Event()
        work = JobWork(self._application, settings, lambda: self._stop.is_set() or cancelled.is_set(), tell)
        return _Slot(job, work, cancelled)

    def serve(self, beat: Callable[[str], None] = lambda status: None, beat_s: float = 5.0) -> None:
        """Run what is due until stop(); beat: called every beat_s, as long as the database answers."""
        register(self._database, [slot.job for slot in self._slots.values()], self._clock.now_us())
        told_us = None
        try:
            while not self._stop.is_set():
                self._begin_what_can_be()
                now_us = self._clock.monotonic_us()
                if told_us is None or now_us - told_us >= beat_s * SECOND_US:
                    told_us = now_us
                    busy = [slot.job.name for slot in self._slots.values() if _runs(slot)]
                    beat(f"runs {', '.join(busy)}" if busy else "waits")
                self._stop.wait(LOOK_S)
        finally:
            self.close()

    def stop(self) -> None:
        """Make serve() end, and jobs with it; from any thread."""
        self._stop.set()

    def close(self) -> None:
        """Wait for jobs to end and let go of what they opened."""
        self._stop.set()
        for slot in self._slots.values():
            if slot.thread is not None:
                slot.thread.join(STOP_S)
            if not _runs(slot):
                slot.work.close()

    def run_now(self, name: str) -> Ran:
        """Run a job in this thread, whether or not it is due; another process' run is not disturbed."""
        slot = self._slots.get(name)
        if slot is None:
            raise InputRefused(f"there is no job {name[:40]!r}; `pbxbill jobs list` shows them")
        register(self._database, [slot.job], self._clock.now_us())
        if not self._claim(slot.job, asked=True):
            return Ran("busy")
        return self._run(slot)

    # --- one job --------------------------------------------------------------------------------

    def _begin_what_can_be(self) -> None:
        """Begin what is due. A database that is away is told of once, and then every WAIT_TOLD_S."""
        try:
            self._begin_due()
        except StoreUnavailable as error:
            now_us = self._clock.monotonic_us()
            if self._wait_told_us is None or now_us - self._wait_told_us >= WAIT_TOLD_S * SECOND_US:
                self._wait_told_us = now_us
                _log.warning("jobs_wait_for_the_database", error=str(error))
        else:
            if self._wait_told_us is not None:
                _log.info("jobs_have_the_database_again")
            self._wait_told_us = None

    def _begin_due(self) -> None:
        now_us = self._clock.now_us()
        with transaction(self._database.execution_options(reading=True)) as session:
            rows = {row.name: row for row in session.scalars(select(JobRow))}
        for name, slot in self._slots.items():
            row = rows.get(name)
            if row is None or _runs(slot) or not row.enabled or not _due(row, slot.job, now_us):
                continue
            if _held(row, now_us) or not (_waits(slot, row, now_us) and self._claim(slot.job)):
                continue
            slot.thread = threading.Thread(target=self._run, args=(slot,), name=f"job-{name}", daemon=True)
            slot.thread.start()

    def _claim(self, job: Job, *, asked: bool = False) -> bool:
        now_us = self._clock.now_us()
        free = or_(
            JobRow.holder == "",
            JobRow.held_to_us.is_(None),
            JobRow.held_to_us <= now_us,
            JobRow.held_to_us > now_us + 2 * HOLD_US,  # the clock was set back since
        )
        due = or_(JobRow.next_us <= now_us, JobRow.next_us > now_us + _longest_us(job))
        conditions = [JobRow.name == job.name, free, *(() if asked else (JobRow.enabled, due))]
        taken = {"holder": self._holder, "held_to_us": now_us + HOLD_US}
        with transaction(self._database) as session:
            before = session.scalar(select(JobRow.holder).where(*conditions).with_for_update())
            if before is None:
                return False
            claimed = update(JobRow).where(*conditions).values(**taken)
            won = session.execute(claimed.returning(JobRow.name)).first() is not None
            if won and before:
                self._lost(session, job, before)
        return won

    def _lost(self, session: Session, job: Job, holder: str) -> None:
        """Somebody died over it."""
        _log.warning("job_taken_over", job=job.name, holder=holder)
        now_us = self._clock.now_us()
        detail = "its process ended without a word"
        values = {"job": job.name, "started_us": now_us, "ended_us": now_us}
        session.add(JobRunRow(**values, outcome="lost", detail=detail, holder=holder))

    def _run(self, slot: _Slot) -> Ran:
        job, started_us = slot.job, self._clock.now_us()
        slot.cancelled.clear()
        over = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(slot, over), daemon=True)
        keeper.start()
        try:
            detail = job.run(slot.work)
            ran = Ran("stopped" if slot.work.stop() else "done", detail)
        except Exception as error:  # noqa: BLE001 a job that fails stops no other
            _log.exception("job_failed", job=job.name)
            slot.work.close()  # whatever it kept may be broken
            ran = Ran("failed", str(error) or type(error).__name__)
        finally:
            over.set()
            keeper.join()
        try:
            self._note(job, started_us, ran)
        except StoreUnavailable as error:
            # Its claim ends by itself, and it begins again.
            _log.warning("job_run_not_noted", job=job.name, error=str(error))
        return ran

    def _keep(self, slot: _Slot, over: threading.Event) -> None:
        """Move the claim on while the job works; one that was lost stops it. Tell of a run that goes on."""
        mine = (JobRow.name == slot.job.name, JobRow.holder == self._holder)
        began_us, told = self._clock.monotonic_us(), False
        while not over.wait(HOLD_US / SECOND_US / 3):
            try:
                with transaction(self._database) as session:
                    moved = update(JobRow).where(*mine).values(held_to_us=self._clock.now_us() + HOLD_US)
                    kept = session.execute(moved.returning(JobRow.name)).first() is not None
                    long = self._clock.monotonic_us() - began_us > LONG_RUN_US
                    if long and not told:
                        self._alert_long(session, slot.job)
                told = told or long
            except StoreUnavailable as error:
                _log.warning("job_claim_not_kept", job=slot.job.name, error=str(error))
                continue
            if not kept:
                _log.error("job_claim_lost", job=slot.job.name)
                slot.cancelled.set()
                return

    def _alert_long(self, session: Session, job: Job) -> None:
        detail = f"it has run for more than {LONG_RUN_US / SECOND_US / 3_600:g} hours on {self._holder}"
        raise_alert(session, "job_runs_long", job.name, detail, at_us=self._clock.now_us())

    def _note(self, job: Job, started_us: int, ran: Ran) -> None:
        now_us = self._clock.now_us()
        failed = ran.outcome == "failed"
        with transaction(self._database) as session:
            row = session.scalar(
                select(JobRow).where(JobRow.name == job.name, JobRow.holder == self._holder).with_for_update()
            )
            if row is None:
                return  # it was taken over: whoever has it says how it went
            row.failures = row.failures + 1 if failed else 0
            row.holder, row.held_to_us, row.last_us = "", None, now_us
            wait_s = min(job.every_s * 2 ** min(row.failures, 12), max(LONGEST_WAIT_S, job.every_s))
            row.next_us = now_us + wait_s * SECOND_US if ran.outcome != "stopped" else now_us
            if ran.detail or failed:
                detail = " ".join(ran.detail.split())[:MAX_DETAIL]
                values = {"job": job.name, "started_us": started_us, "ended_us": now_us}
                session.add(JobRunRow(**values, outcome=ran.outcome, detail=detail, holder=self._holder))
                session.flush()
                _forget_old(session, job.name)
                RUNS.labels(job.name, ran.outcome).inc()
            if failed and row.failures >= ALERT_AFTER:
                detail = f"{row.failures} times in a row: {ran.detail}"
                raise_alert(session, "job_failed", job.name, detail, at_us=now_us)


def register(database: Engine, jobs: Sequence[Job], now_us: int) -> None:
    """Let the database know of jobs; those that are new are due at once."""
    insert = text(
        "INSERT INTO jobs (name, enabled, next_us) VALUES (:name, true, :now_us) ON CONFLICT DO NOTHING"
    )
    with transaction(database) as session:
        for job in jobs:
            session.execute(insert, {"name": job.name, "now_us": now_us})


def _runs(slot: _Slot) -> bool:
    return slot.thread is not None and slot.thread.is_alive()


def _due(row: JobRow, job: Job, now_us: int) -> bool:
    return row.next_us <= now_us or row.next_us > now_us + _longest_us(job)


def _waits(slot: _Slot, row: JobRow, now_us: int) -> bool:
    # Now and then it runs all the same, so that people see that it would.
    long_ago = row.last_us is None or not 0 <= now_us - row.last_us < RESTS_US
    return slot.job.waits is None or long_ago or slot.job.waits(slot.work)


def _longest_us(job: Job) -> int:
    """No job is put off for longer; one that is further ahead was noted by a clock that has been set back."""
    return 2 * max(LONGEST_WAIT_S, job.every_s) * SECOND_US


def _held(row: JobRow, now_us: int) -> bool:
    return bool(row.holder) and row.held_to_us is not None and now_us < row.held_to_us <= now_us + 2 * HOLD_US


def _forget_old(session: Session, job: str) -> None:
    oldest = (
        select(JobRunRow.id)
        .where(JobRunRow.job == job)
        .order_by(JobRunRow.id.desc())
        .offset(KEPT_RUNS)
        .limit(1)
        .scalar_subquery()
    )
    session.execute(delete(JobRunRow).where(JobRunRow.job == job, JobRunRow.id <= oldest))
