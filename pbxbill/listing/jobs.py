"""Lists of jobs: what happens by itself, and how it went."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import case, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.clock import SECOND_US
from pbxbill.listing.listing import (
    N_,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Listing,
    Order,
    Rows,
    at_least,
    below,
    contains,
    equals,
)
from pbxbill.listing.operators import operators
from pbxbill.store.notice_models import JobRow, JobRunRow

OUTCOMES = ("done", "stopped", "failed", "lost")
SILENT_US = 300 * SECOND_US
"""Some job ends every few seconds: if none did for so long, no process runs them."""

_STATE = case(
    (~JobRow.enabled, "off"),
    (JobRow.holder != "", "running"),
    (JobRow.failures > 0, "failing"),
    else_="waiting",
)


def _jobs(_session: Session, scope: Scope) -> Rows:
    return select(
        JobRow.name.label("id"),
        JobRow.name.label("name"),
        _STATE.label("state"),
        JobRow.next_us.label("next_us"),
        JobRow.last_us.label("last_us"),
        JobRow.failures.label("failures"),
        JobRow.holder.label("holder"),
        JobRow.enabled.label("enabled"),
    ).where(operators(scope))


def jobs_listing(known: Mapping[str, tuple[str, int]]) -> Listing:
    """The list of jobs. known: what each is for, and how often it runs, in seconds."""

    def finish(session: Session, rows: list[dict[str, Any]]) -> None:
        newest: dict[str, JobRunRow] = {}
        for row in rows:
            query = select(JobRunRow).where(JobRunRow.job == row["name"])
            found = session.scalar(query.order_by(JobRunRow.started_us.desc(), JobRunRow.id.desc()).limit(1))
            if found is not None:
                newest[row["name"]] = found
        for row in rows:
            row["about"], row["every_s"] = known.get(row["name"], ("", None))
            last = newest.get(row["name"])
            row["detail"] = "" if last is None else last.detail
            row["outcome"] = None if last is None else last.outcome
            if not row["enabled"]:
                row["next_us"] = None

    return Listing(
        name="jobs",
        title=N_("Jobs"),
        permission=Permission.OPERATIONS_READ,
        columns=(
            Column("name", N_("Job"), ColumnKind.CODE),
            Column("about", N_("What it is for"), ColumnKind.SENTENCE),
            Column("state", N_("State"), ColumnKind.STATE),
            Column("every_s", N_("Every"), ColumnKind.SECONDS, wide=True),
            Column("next_us", N_("Next"), ColumnKind.MOMENT, wide=True),
            Column("last_us", N_("Last"), ColumnKind.MOMENT),
            Column("detail", N_("What it last did"), ColumnKind.SENTENCE, wide=True),
            Column("failures", N_("Failures in a row"), ColumnKind.COUNT, wide=True),
        ),
        rows=_jobs,
        orders=(Order("name", N_("Name"), JobRow.name, JobRow.name),),
        filters=(
            Filter("q", N_("Name"), contains(JobRow.name)),
            Filter(
                "state",
                N_("State"),
                lambda query, state: query.where(state == _STATE),
                FilterKind.CHOICE,
                tuple((x, x.capitalize()) for x in ("waiting", "running", "failing", "off")),
            ),
        ),
        finish=finish,
    )


def _runs(_session: Session, scope: Scope) -> Rows:
    names = ("id", "job", "started_us", "ended_us", "outcome", "detail", "holder")
    columns = [getattr(JobRunRow, x).label(x) for x in names]
    return select(*columns).where(operators(scope))


def _durations(_session: Session, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["took_s"] = -(-(row["ended_us"] - row["started_us"]) // SECOND_US)


JOB_RUNS = Listing(
    name="job-runs",
    title=N_("History of jobs"),
    permission=Permission.OPERATIONS_READ,
    columns=(
        Column("started_us", N_("Started"), ColumnKind.MOMENT),
        Column("job", N_("Job"), ColumnKind.CODE),
        Column("outcome", N_("How it went"), ColumnKind.STATE),
        Column("detail", N_("What it did"), ColumnKind.SENTENCE),
        Column("took_s", N_("Took"), ColumnKind.SECONDS),
        Column("holder", N_("Where"), ColumnKind.CODE, wide=True),
    ),
    rows=_runs,
    orders=(Order("newest", N_("Newest first"), JobRunRow.started_us, JobRunRow.id, descending=True),),
    filters=(
        Filter("q", N_("What it did"), contains(JobRunRow.detail)),
        Filter("job", N_("Job"), equals(JobRunRow.job)),
        Filter(
            "outcome",
            N_("How it went"),
            equals(JobRunRow.outcome),
            FilterKind.CHOICE,
            tuple((x, x.capitalize()) for x in OUTCOMES),
        ),
        Filter("from", N_("From"), at_least(JobRunRow.started_us), FilterKind.DAY),
        Filter("to", N_("To"), below(JobRunRow.started_us), FilterKind.DAY, next_day=True),
    ),
    finish=_durations,
)


def jobs_are_run(session: Session, now_us: int) -> bool:
    """Whether some process runs jobs: one ended lately, or is at work."""
    recent = select(JobRow.name).where((JobRow.last_us > now_us - SILENT_US) | (JobRow.held_to_us > now_us))
    return session.scalar(recent.limit(1)) is not None
