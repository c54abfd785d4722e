"""Records that could not be charged: corrected, tried again, given up, one by one or many together."""

import json
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.listing.mediation import QUARANTINE, open_ones
from pbxbill.mediation.moments import AMBIGUOUS_RULES
from pbxbill.mediation.quarantine import Retry, columns_of, correct, give_up, quarantined
from pbxbill.store.mediation_models import QuarantinedRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Line, Moment, Sent, left_out, moment
from pbxbill.web.api.listed import asked_by, declare_list, filters_of
from pbxbill.web.api.objects import field
from pbxbill.web.api.problems import Refused
from pbxbill.web.background import Background
from pbxbill.web.front import Front, needs

TAG = "Quarantine"
Chosen = filters_of(QUARANTINE, "ChosenRecords")
Ambiguous = Literal[AMBIGUOUS_RULES]  # type: ignore[valid-type]  # made of what there is


class RecordPath(Sent):
    """A record, by its id."""

    record_id: Id


class Corrections(Sent):
    """What columns hold instead."""

    columns: Annotated[
        dict[
            Annotated[str, StringConstraints(min_length=1, max_length=64)],
            Annotated[Line, StringConstraints(max_length=1000)],
        ],
        Field(min_length=1, max_length=100),
    ]


class GiveUp(Sent):
    """Why a record is given up."""

    reason: Annotated[Line, StringConstraints(min_length=1, max_length=120)]


class SentRetry(Sent):
    """Which records are tried again, and how."""

    filters: Chosen = Field(  # type: ignore[valid-type]  # made of the list
        description="All open ones that these filters of `/quarantine` leave; {}: all."
    )
    ambiguous: Ambiguous = left_out(
        "Which hour a local time means that came twice. Default: as the import says."
    )


class SentDrop(GiveUp):
    """Which records are given up, and why."""

    filters: Chosen = Field(  # type: ignore[valid-type]  # made of the list
        description="All open ones that these filters of `/quarantine` leave; {}: all."
    )


class Handled(BaseModel):
    """How many it is about."""

    records: int


class Record(BaseModel):
    """A call record that could not be charged."""

    id: int
    source: str
    line: int
    raw: str
    columns: dict[str, str | None]
    known_columns: list[str] = Field(description="Those that the import reads.")
    reason: str
    detail: str
    state: str = Field(description="open, posted or dropped.")
    attempts: int
    created: Moment
    changed: Moment


def quarantine(api: Api) -> None:
    """Records in quarantine."""
    front = api.front
    background = Background()
    declare_list(api, "/quarantine", QUARANTINE, TAG)

    _declare_many(api, background)

    @api.get("/quarantine/<int:record_id>", Record, TAG)
    @needs(Permission.OPERATIONS_READ)
    def get_record(path: RecordPath) -> Record:
        """One record, as it came and as it was corrected."""
        with front.reading() as session:
            return _shown(session, _record(front, session, path.record_id))

    @api.patch("/quarantine/<int:record_id>", Record, TAG)
    @needs(Permission.OPERATIONS_WRITE)
    def correct_record(path: RecordPath, body: Corrections) -> Answer:
        """Correct columns of a record. 422: it has no such column, or waits no more."""
        with api.writing("quarantine.correct", str(path.record_id)) as change:
            row = _record(front, change.session, path.record_id)
            with field("columns"):
                correct(change.session, row.id, dict(body.columns), change.now_us)
            return change.done(_shown(change.session, row))

    @api.post("/quarantine/<int:record_id>/retry", Record, TAG, 202)
    @needs(Permission.OPERATIONS_WRITE)
    def retry_record(path: RecordPath) -> Answer:
        """Try to charge a record again. GET says what became of it. 409: it waits no more."""
        application, id = front.desks.application, path.record_id
        with api.writing("quarantine.retry", str(id)) as change:
            row = _record(front, change.session, id)
            if row.state != "open":
                raise Refused(409, f"The record is {row.state}.")
            answer = change.done(_shown(change.session, row), 202)

        def work() -> None:
            Retry(application.database, application.connect, front.clock, None).run(quarantined(ids=[id]))

        background.start("quarantine-retry", work)
        return answer

    @api.post("/quarantine/<int:record_id>/drop", Record, TAG)
    @needs(Permission.OPERATIONS_WRITE)
    def drop_record(path: RecordPath, body: GiveUp) -> Answer:
        """Give a record up: it is never charged, from whatever file it comes. 409: it waits no more."""
        with api.writing("quarantine.drop", f"{path.record_id}: {body.reason}") as change:
            row = _record(front, change.session, path.record_id)
            if row.state != "open":
                raise Refused(409, f"The record is {row.state}.")
            give_up(change.session, quarantined(ids=[row.id]), change.now_us, body.reason)
            change.session.expire_all()
            return change.done(_shown(change.session, _record(front, change.session, path.record_id)), 201)


def _declare_many(api: Api, background: Background) -> None:
    front = api.front
    application = front.desks.application

    @api.post("/quarantine/retry", Handled, TAG, 202)
    @needs(Permission.OPERATIONS_WRITE)
    def retry_records(body: SentRetry) -> Answer:
        """Try to charge many records again, in the background: `/quarantine` shows what is left."""
        with front.reading() as session:
            query = open_ones(session, front.scope, dict(asked_by(body.filters).filters))
            ids = list(session.scalars(query.with_only_columns(QuarantinedRow.id)))
        # Each record's transaction is its own: the log says who asked.
        with api.writing("quarantine.retry", f"{len(ids)} records") as change:
            answer = change.done(Handled(records=len(ids)), 202)
        retry = Retry(application.database, application.connect, front.clock, body.ambiguous)

        def work() -> None:
            retry.run_all(ids)

        background.start("quarantine-retry", work)
        return answer

    @api.post("/quarantine/drop", Handled, TAG)
    @needs(Permission.OPERATIONS_WRITE)
    def drop_records(body: SentDrop) -> Answer:
        """Give many records up: they are never charged, from whatever file they come."""
        with api.writing("quarantine.drop", f"records: {body.reason}") as change:
            query = open_ones(change.session, front.scope, dict(asked_by(body.filters).filters))
            done = give_up(change.session, query, change.now_us, body.reason)
            return change.done(Handled(records=done), 201)


def _record(front: Front, session: Session, id: int) -> QuarantinedRow:
    row = session.get(QuarantinedRow, id)
    if row is None or not front.scope.is_everything:
        raise Refused(404)
    return row


def _shown(session: Session, row: QuarantinedRow) -> Record:
    return Record(
        id=row.id,
        source=row.source,
        line=row.line,
        raw=row.raw,
        columns=json.loads(row.fields),
        known_columns=list(columns_of(session, row)),
        reason=row.reason,
        detail=row.detail,
        state=row.state,
        attempts=row.attempts,
        created=moment(row.created_us),
        changed=moment(row.changed_us),
    )
