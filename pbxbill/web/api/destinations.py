"""Destinations, by which limits, bundles and reports go, and dialling rules: the operator's."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.errors import InputRefused
from pbxbill.listing.destinations import DESTINATIONS, DIALLING_RULES
from pbxbill.rating.destination_sheet import DestinationLine, RefusedLine, read_list
from pbxbill.rating.number_plan import KINDS
from pbxbill.store.catalogue_models import DestinationPrefixRow, DestinationRow
from pbxbill.store.destinations import (
    MOST_TOGETHER,
    DestinationsChanged,
    destination_differences,
    put_destinations,
    remove_destination,
)
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Line, Sent
from pbxbill.web.api.listed import declare_list
from pbxbill.web.api.objects import conflicts, field
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.uploads import content_of, request_bytes, sent_file
from pbxbill.web.front import needs

TAG = "Destinations"
MAX_LIST_BYTES = 2_000_000
REFUSED_SHOWN = 100
MOST_PREFIXES = 1_000


class DestinationPath(Sent):
    """A destination, by its id."""

    destination_id: Id


class SentDestination(Sent):
    """A named group of prefixes."""

    name: Annotated[str, StringConstraints(pattern=r"^[^\s;][^;\x00-\x1f\x7f]{0,79}$")] = Field(
        examples=["Germany mobile"]
    )
    kind: Literal[KINDS]  # type: ignore[valid-type]  # made of what there is
    prefixes: Annotated[
        list[Annotated[str, StringConstraints(pattern="^[0-9]{1,15}$")]],
        Field(min_length=1, max_length=MOST_PREFIXES),
    ] = Field(description="All of them. One that another destination had moves here.")


class Destination(BaseModel):
    """A destination with its prefixes."""

    id: int
    name: str
    kind: str
    prefixes: list[str] = Field(description=f"Up to {MOST_PREFIXES:,} of them.")


class SentList(Sent):
    """A list of destinations."""

    file: sent_file(MAX_LIST_BYTES) = Field(  # type: ignore[valid-type]  # of a size
        description=f"CSV in base64, up to {MAX_LIST_BYTES:,} bytes: the columns name, class and prefixes."
    )
    keep_others: bool = Field(default=True, description="false: what the list does not name is removed.")


class RefusedRow(BaseModel):
    """A line that cannot be used."""

    line: int
    why: str


class DestinationsImported(BaseModel):
    """What a list changes, or changed."""

    destinations: int
    added: int = Field(description="Prefixes that no destination had.")
    moved: int = Field(description="Prefixes that another destination had.")
    removed: int
    refused: int
    first_refused: list[RefusedRow] = Field(description=f"Up to {REFUSED_SHOWN}.")


def destinations(api: Api) -> None:
    """Destinations; only the operator's keys change them."""
    front = api.front
    declare_list(api, "/destinations", DESTINATIONS, TAG)
    declare_list(api, "/dialling-rules", DIALLING_RULES, TAG)

    @api.get("/destinations/<int:destination_id>", Destination, TAG)
    @needs(Permission.CATALOGUE_READ)
    def get_destination(path: DestinationPath) -> Destination:
        """One destination, with its prefixes."""
        with front.reading() as session:
            return _shown(session, _row(session, path.destination_id))

    @api.post("/destinations", Destination, TAG)
    @needs(Permission.CATALOGUE_WRITE)
    def put_destination(body: SentDestination) -> Answer:
        """Make a destination, or give the one of that name its class and prefixes."""
        _operators(front.scope.is_everything)
        line = DestinationLine(1, _printable(body.name), body.kind, tuple(dict.fromkeys(body.prefixes)))
        with api.writing("destination.change", body.name) as change:
            put_destinations(change.session, [line], keep_others=True)
            id = change.session.scalars(
                select(DestinationRow.id).where(DestinationRow.name == body.name)
            ).one()
            return change.done(_shown(change.session, _row(change.session, id)), 201)

    @api.delete("/destinations/<int:destination_id>", TAG)
    @needs(Permission.CATALOGUE_WRITE)
    def drop_destination(path: DestinationPath) -> Answer:
        """Remove a destination. 409: limits or bundles name it."""
        _operators(front.scope.is_everything)
        with front.reading() as session:
            name = _row(session, path.destination_id).name
        with api.writing("destination.remove", name) as change, conflicts():
            remove_destination(change.session, name)
            return change.done(None)


def destination_lists(api: Api) -> None:
    """Many at once."""
    front = api.front

    def read(body: SentList) -> tuple[list[DestinationLine], list[RefusedLine]]:
        _operators(front.scope.is_everything)
        content = content_of(body.file, "file", MAX_LIST_BYTES)
        with field("file"):
            accepted, refused = read_list(content)
            if sum(len(x.prefixes) for x in accepted) > MOST_TOGETHER:
                raise InputRefused(f"up to {MOST_TOGETHER:,} prefixes at once")
            return accepted, refused

    @api.post("/destinations/import/preview", DestinationsImported, TAG, 200)
    @needs(Permission.CATALOGUE_WRITE)
    def preview_destinations(body: SentList) -> DestinationsImported:
        """What a list would change; nothing is written."""
        accepted, refused = read(body)
        with front.reading() as session:
            return _imported(
                destination_differences(session, accepted, keep_others=body.keep_others), refused
            )

    @api.post("/destinations/import", DestinationsImported, TAG)
    @needs(Permission.CATALOGUE_WRITE)
    def import_destinations(body: SentList) -> Answer:
        """Give the destinations of a list their classes and prefixes. Lines that cannot be used are told."""
        accepted, refused = read(body)
        with api.writing("destinations.import", str(len(accepted))) as change:
            with field("file"):
                done = put_destinations(change.session, accepted, keep_others=body.keep_others)
            return change.done(_imported(done, refused), 201)

    for rule in ("/destinations/import", "/destinations/import/preview"):
        api.take_larger(rule, request_bytes(MAX_LIST_BYTES))


def _imported(done: DestinationsChanged, refused: list[RefusedLine]) -> DestinationsImported:
    return DestinationsImported(
        destinations=done.destinations,
        added=done.added,
        moved=done.moved,
        removed=done.removed,
        refused=len(refused),
        first_refused=[RefusedRow(line=x.line, why=x.reason) for x in refused[:REFUSED_SHOWN]],
    )


def _printable(name: Line) -> str:
    if not name.isprintable():
        raise Refused(422, "A destination's name is printable.")
    return name


def _operators(is_everything: bool) -> None:
    if not is_everything:
        raise Refused(403, "Destinations are the operator's.")


def _row(session: Session, id: int) -> DestinationRow:
    row = session.get(DestinationRow, id)
    if row is None:
        raise Refused(404)
    return row


def _shown(session: Session, row: DestinationRow) -> Destination:
    prefixes = session.scalars(
        select(DestinationPrefixRow.prefix)
        .where(DestinationPrefixRow.destination_id == row.id)
        .order_by(DestinationPrefixRow.prefix)
        .limit(MOST_PREFIXES)
    )
    return Destination(id=row.id, name=row.name, kind=row.kind, prefixes=list(prefixes))
