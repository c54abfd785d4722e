"""Lists of mediation: runs that read files, and records that could not be charged."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.clock import Clock
from pbxbill.listing.listing import (
    N_,
    Asked,
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
    narrowed,
)
from pbxbill.listing.operators import operators
from pbxbill.mediation.record import Reason
from pbxbill.mediation.runs import state_at
from pbxbill.store.mediation_models import MediationRunRow, QuarantinedRow

RUN_STATES = ("running", "done", "stopped", "failed")
QUARANTINE_STATES = ("open", "posted", "dropped")


def _choices(values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((x, x.replace("_", " ").capitalize()) for x in values)


def _runs(clock: Clock) -> Callable[[Session, Scope], Rows]:
    def rows(_session: Session, scope: Scope) -> Rows:
        run = MediationRunRow
        names = ("id", "source", "switch", "started_us", "ended_us", "read", "rated", "unanswered")
        columns = [
            getattr(run, x).label(x) for x in (*names, "duplicates", "filtered", "quarantined", "detail")
        ]
        return select(*columns, state_at(clock.now_us()).label("state")).where(operators(scope))

    return rows


def _in_state(clock: Clock) -> Callable[[Rows, Any], Rows]:
    return lambda query, state: query.where(state_at(clock.now_us()) == state)


def _file_names(_session: Session, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["file"] = row["source"].rstrip("/").rpartition("/")[2] or row["source"]


def mediation_runs(clock: Clock) -> Listing:
    """Runs that read files, in which who was killed follows from a clock."""
    return Listing(
        name="mediation-runs",
        title=N_("Imports of call records"),
        permission=Permission.OPERATIONS_READ,
        columns=(
            Column("started_us", N_("Started"), ColumnKind.MOMENT),
            Column("file", N_("File")),
            Column("source", N_("Path"), wide=True),
            Column("switch", N_("Switch"), ColumnKind.CODE, wide=True),
            Column("state", N_("State"), ColumnKind.STATE),
            Column("read", N_("Read"), ColumnKind.COUNT),
            Column("rated", N_("Charged"), ColumnKind.COUNT),
            Column("unanswered", N_("Not answered"), ColumnKind.COUNT, wide=True),
            Column("duplicates", N_("Known before"), ColumnKind.COUNT, wide=True),
            Column("filtered", N_("Left out"), ColumnKind.COUNT, wide=True),
            Column("quarantined", N_("In quarantine"), ColumnKind.COUNT),
            Column("ended_us", N_("Ended"), ColumnKind.MOMENT, wide=True),
        ),
        rows=_runs(clock),
        orders=(
            Order(
                "newest", N_("Newest first"), MediationRunRow.started_us, MediationRunRow.id, descending=True
            ),
            Order("oldest", N_("Oldest first"), MediationRunRow.started_us, MediationRunRow.id),
        ),
        filters=(
            Filter("q", N_("File or switch"), contains(MediationRunRow.source, MediationRunRow.switch)),
            Filter("state", N_("State"), _in_state(clock), FilterKind.CHOICE, _choices(RUN_STATES)),
            Filter("from", N_("From"), at_least(MediationRunRow.started_us), FilterKind.DAY),
            Filter("to", N_("To"), below(MediationRunRow.started_us), FilterKind.DAY, next_day=True),
        ),
        finish=_file_names,
    )


def _quarantined(_session: Session, scope: Scope) -> Rows:
    names = ("id", "created_us", "source", "line", "reason", "detail", "state", "attempts", "run_id", "raw")
    columns = [getattr(QuarantinedRow, x).label(x) for x in names]
    return select(*columns).where(operators(scope))


QUARANTINE = Listing(
    name="quarantine",
    title=N_("Quarantine"),
    permission=Permission.OPERATIONS_READ,
    columns=(
        Column("created_us", N_("Since"), ColumnKind.MOMENT),
        Column("reason", N_("Why"), ColumnKind.STATE),
        Column("detail", N_("What to do"), ColumnKind.SENTENCE),
        Column("file", N_("File"), wide=True),
        Column("line", N_("Line"), ColumnKind.COUNT, wide=True),
        Column("attempts", N_("Times tried"), ColumnKind.COUNT, wide=True),
        Column("state", N_("State"), ColumnKind.STATE),
    ),
    rows=_quarantined,
    orders=(
        Order("newest", N_("Newest first"), QuarantinedRow.created_us, QuarantinedRow.id, descending=True),
        Order("oldest", N_("Oldest first"), QuarantinedRow.created_us, QuarantinedRow.id),
    ),
    filters=(
        Filter(
            "q",
            N_("In the record"),
            contains(QuarantinedRow.raw, QuarantinedRow.detail, QuarantinedRow.source),
        ),
        Filter(
            "state",
            N_("State"),
            equals(QuarantinedRow.state),
            FilterKind.CHOICE,
            _choices(QUARANTINE_STATES),
        ),
        Filter(
            "reason",
            N_("Why"),
            equals(QuarantinedRow.reason),
            FilterKind.CHOICE,
            _choices(tuple(x.value for x in Reason)),
        ),
        Filter("run", N_("Number of the import"), equals(QuarantinedRow.run_id), FilterKind.NUMBER),
    ),
    finish=_file_names,
)


def open_ones(session: Session, scope: Scope, filters: dict[str, str]) -> Select[QuarantinedRow]:
    """Open records that filters of the list leave, the oldest first: what is tried again or dropped."""
    chosen: Any = narrowed(session, QUARANTINE, scope, Asked(filters)).subquery()
    return (
        select(QuarantinedRow)
        .where(QuarantinedRow.id.in_(select(chosen.c.id)), QuarantinedRow.state == "open")
        .order_by(QuarantinedRow.id)
    )
