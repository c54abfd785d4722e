"""Rates come in: a sheet is sent, what it would change is read, and it is written once that is agreed to."""

import json
from functools import partial
from typing import Annotated, Any, Literal

from flask import Response
from pydantic import BaseModel, Field, JsonValue, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.listing.rate_imports import RATE_IMPORTS
from pbxbill.rating.sheet_profile import COLUMNS, parse_increments
from pbxbill.rating.tariff_text import percent_ppm, signed_price
from pbxbill.store.catalogue_models import RateImportRow
from pbxbill.store.decks import MEASURES
from pbxbill.store.rate_uploads import (
    Upload,
    begin_writing,
    drop_upload,
    keep_upload,
    name_columns,
    read_upload,
    state_of,
    unpacked,
    write_upload,
)
from pbxbill.web.api.api import Answer, Api, File
from pbxbill.web.api.fields import Id, Line, Moment, Sent, left_out, moment
from pbxbill.web.api.listed import declare_list
from pbxbill.web.api.objects import SentMoment, at_us, conflicts, field, found, wrong
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.uploads import content_of, request_bytes, sent_file
from pbxbill.web.background import Background
from pbxbill.web.front import Front, needs

TAG = "Rates"
RULE = "/rate-imports"
MAX_SHEET_BYTES = 8_000_000
SHEET = File("text/csv", "The rows, with a heading.")
_MOST_PRICE, _STEEP = "100", "20"
_PLAIN = (
    *("price_per", "delimiter", "decimal", "zone", "encoding", "date_format"),
    *("measure", "per", "against", "columns"),
)


Columns = Annotated[
    dict[
        Literal[COLUMNS],  # type: ignore[valid-type]  # made of what there is
        Annotated[Line, StringConstraints(min_length=1, max_length=200)],
    ],
    Field(min_length=1, description="Ours to the sheet's, as its heading has it."),
]


class ImportPath(Sent):
    """An uploaded sheet, by its id."""

    import_id: Id


class NewImport(Sent):
    """A rate sheet, and how it is meant."""

    deck: Annotated[Line, StringConstraints(min_length=1, max_length=64)] = Field(
        description="Its name; one that there is not yet is made."
    )
    file_name: Annotated[str, StringConstraints(pattern=r"^[ -.0-~]{1,100}\.(csv|txt|tsv|xlsx|zip)$")]
    content: sent_file(MAX_SHEET_BYTES)  # type: ignore[valid-type]  # by its size
    unit: Annotated[str, StringConstraints(pattern="^[A-Z0-9]{1,12}$")] = left_out("Of a new deck.")
    effective: SentMoment = left_out("From when it counts. Left out: as soon as you agree.")
    backdate: bool = Field(default=False, description="That `effective` is past is meant.")
    amend: bool = Field(default=False, description="The sheet has some rates only: the others stay.")
    notice_days: Annotated[int, Field(ge=0, le=3650)] = left_out("What rises sooner is refused.")
    delay_increases: bool = Field(default=False, description="It rises when the notice is over instead.")
    steep_percent: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,4}(\.[0-9]{1,4})?$")] = Field(
        default=_STEEP, description="Tell what rises by more."
    )
    max_price: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,6}(\.[0-9]{1,9})?$")] = Field(
        default=_MOST_PRICE, description="Tell what costs more per minute."
    )
    increments: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,5}/[0-9]{1,5}$")] = left_out(
        "Of rows that do not say: 60/60."
    )
    price_per: Literal["minute", "second"] = left_out("Default: as the file shows.")
    delimiter: Literal[",", ";", "|", "\t"] = left_out("Default: as the file shows.")
    decimal: Literal[".", ","] = left_out("Default: as the file shows.")
    zone: Annotated[Line, StringConstraints(min_length=1, max_length=64)] = left_out(
        "Of dates. Default: UTC."
    )
    encoding: Annotated[Line, StringConstraints(min_length=1, max_length=40)] = left_out(
        "Default: as the file shows."
    )
    date_format: Annotated[Line, StringConstraints(min_length=1, max_length=40)] = left_out(
        "Default: as the file shows.", examples=["%d.%m.%Y"]
    )
    measure: Literal[tuple(MEASURES)] = left_out(  # type: ignore[valid-type]  # made of what there is
        "Of a new deck: what its prices are for. Default: time."
    )
    per: Annotated[int, Field(ge=1, le=10**12)] = left_out("Of a new deck: for how many of them.")
    against: Annotated[Line, StringConstraints(min_length=1, max_length=64)] = left_out(
        "A deck of the key's account: tell which prefixes it sells below these prices."
    )
    columns: Columns = left_out("By which of its columns is which; others are told from their names.")


class NamedColumns(Sent):
    """Which column of a sheet is what."""

    columns: Columns = Field(examples=[{"prefix": "Breakout", "price_per_min": "EUR"}])


class RateImport(BaseModel):
    """A sheet, and what it would change."""

    id: int
    deck: str
    file_name: str
    by: str
    state: str = Field(description="reading, ready (agree, or drop it), writing, done, refused.")
    done: int = Field(description="Rates so far.")
    total: int
    reason: str = Field(description="Why it was refused.")
    version_id: int | None = Field(description="What it was written as.")
    created: Moment
    preview: dict[str, JsonValue] = Field(
        description="What changes, how often, with the first of each kind; empty until it is read."
    )


def rate_imports(api: Api) -> None:
    """Imports of the key's own account."""
    front = api.front
    application = front.desks.application
    background = Background()
    declare_list(api, RULE, RATE_IMPORTS, TAG)
    api.take_larger(RULE, request_bytes(MAX_SHEET_BYTES))

    seen = partial(_seen, front)

    def shown(id: int) -> RateImport:
        with front.reading() as session:
            return shown_import(seen(session, id), front.clock.now_us())

    @api.post(RULE, RateImport, TAG, 202)
    @needs(Permission.CATALOGUE_WRITE)
    def import_rates(body: NewImport) -> Answer:
        """Send a rate sheet. It is read, and nothing is written: GET says what it would change.

        It is kept for two days. Larger sheets are imported in the panel, or by the command line.
        """
        upload = _upload(front.scope.account_id, front.actor.name, body, front.clock.now_us())
        with api.writing("rates.upload", body.deck) as change:
            row = keep_upload(change.session, upload, change.now_us)
            id = row.id
            answer = change.done(shown_import(row, change.now_us), 202)
        background.start(f"rates-{id}", lambda: read_upload(application.database, id, front.clock))
        return answer

    @api.get("/rate-imports/<int:import_id>", RateImport, TAG, moving=("done", "total"))
    @needs(Permission.CATALOGUE_WRITE)
    def get_rate_import(path: ImportPath) -> RateImport:
        """What a sheet would change, or became."""
        return shown(path.import_id)

    @api.post("/rate-imports/<int:import_id>/agreement", RateImport, TAG, 202)
    @needs(Permission.CATALOGUE_WRITE)
    def agree_to_rates(path: ImportPath) -> Answer:
        """Write the sheet as a new version of its deck. 409: it does not wait for that."""
        id = path.import_id
        with front.reading() as session:
            deck = seen(session, id).deck
        with api.writing("rates.import", deck) as change:
            with conflicts():
                begin_writing(change.session, seen(change.session, id).id, change.now_us)
            answer = change.done(shown_import(seen(change.session, id), change.now_us), 202)
        background.start(f"rates-{id}", lambda: write_upload(application.database, id, front.clock))
        return answer

    @api.post("/rate-imports/<int:import_id>/columns", RateImport, TAG, 202)
    @needs(Permission.CATALOGUE_WRITE)
    def name_rate_columns(path: ImportPath, body: NamedColumns) -> Answer:
        """Say which column of a sheet that was refused is what: it is read again. 409: it was not refused."""
        id = path.import_id
        with front.reading() as session:
            deck = seen(session, id).deck
        with api.writing("rates.columns", deck) as change:
            row = seen(change.session, id)
            with conflicts():
                name_columns(change.session, row, body.columns, change.now_us)
            answer = change.done(shown_import(row, change.now_us), 202)
        background.start(f"rates-{id}", lambda: read_upload(application.database, id, front.clock))
        return answer

    @api.delete("/rate-imports/<int:import_id>", TAG)
    @needs(Permission.CATALOGUE_WRITE)
    def drop_rates(path: ImportPath) -> Answer:
        """Give a sheet up: no rate has changed. 409: it was agreed to."""
        with front.reading() as session:
            deck = seen(session, path.import_id).deck
        with api.writing("rates.drop", deck) as change:
            row = seen(change.session, path.import_id)
            with conflicts():
                drop_upload(change.session, row)
            return change.done(None)

    _declare_files(api)


def _seen(front: Front, session: Session, id: int) -> RateImportRow:
    return found(session, RateImportRow, id, front.scope.issued(RateImportRow.issuer_id))


def _declare_files(api: Api) -> None:
    front = api.front

    def file_of(path: ImportPath, column: str) -> Response:
        with front.reading() as session:
            content = getattr(_seen(front, session, path.import_id), column)
        if content is None:
            raise Refused(404)
        return Response(unpacked(content), mimetype="text/csv")

    @api.get("/rate-imports/<int:import_id>/changes.csv", SHEET, TAG)
    @needs(Permission.CATALOGUE_WRITE)
    def get_rate_changes(path: ImportPath) -> Response:
        """All that the sheet would change, prefix by prefix."""
        return file_of(path, "report")

    @api.get("/rate-imports/<int:import_id>/refused.csv", SHEET, TAG)
    @needs(Permission.CATALOGUE_WRITE)
    def get_refused_rates(path: ImportPath) -> Response:
        """The rows that could not be read, with their reasons. 404: there are none."""
        return file_of(path, "refused")


def _upload(issuer_id: int, by: str, body: NewImport, now_us: int) -> Upload:
    content = content_of(body.content, "content", MAX_SHEET_BYTES)
    options: dict[str, Any] = {key: getattr(body, key) for key in _PLAIN if getattr(body, key) is not None}
    effective_us = at_us(body.effective)
    if effective_us is not None and effective_us < now_us and not body.backdate:
        raise wrong("effective", "is past; say by backdate that it is meant")
    if body.delay_increases and not body.notice_days:
        raise wrong("notice_days", "say how many days increases have to wait for")
    options |= {
        "unit_code": body.unit,
        "amend": body.amend,
        "notice_days": body.notice_days,
        "delay_increases": body.delay_increases,
        "effective_us": effective_us,
        "steep_ppm": percent_ppm(body.steep_percent, "a rise"),
        "max_price": signed_price(body.max_price),
    }
    if body.increments is not None:
        with field("increments"):
            options["increments"] = parse_increments(body.increments)
    return Upload(issuer_id, by, body.deck, body.file_name, content, options)


def shown_import(row: RateImportRow, now_us: int) -> RateImport:
    """An import as it is told."""
    return RateImport(
        id=row.id,
        deck=row.deck,
        file_name=row.file_name,
        by=row.by,
        state=state_of(row, now_us),
        done=row.done,
        total=row.total,
        reason=row.reason or "",
        version_id=row.version_id,
        created=moment(row.created_us),
        preview=json.loads(row.preview) if row.preview else {},
    )
