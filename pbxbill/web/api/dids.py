"""Telephone numbers: the inventory, who has which, and access numbers of calling cards."""

import io
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.subscriptions.did_inventory import (
    add_did,
    import_dids,
    move_to_inventory,
    set_country,
    withdraw,
)
from pbxbill.billing.subscriptions.did_sheet import DidSheet
from pbxbill.listing.dids import ACCESS_NUMBERS, DIDS, visible_dids
from pbxbill.store.billing_models import DidRow
from pbxbill.store.models import AccountRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.did_changes import (
    NumberChange,
    SentAssignment,
    SentHandOver,
    SentRelease,
    assign_to,
    declare_together,
    inventory_named,
    locked_did,
    release,
)
from pbxbill.web.api.fields import Id, Sent, left_out
from pbxbill.web.api.listed import ListedAs, declare_file, declare_item, declare_list
from pbxbill.web.api.objects import account_named, conflicts, field, found, issuer
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.uploads import content_of, request_bytes, sent_file
from pbxbill.web.front import needs

TAG = "Numbers"
MAX_LIST_BYTES = 2_000_000
REFUSED_SHOWN = 100


class DidPath(Sent):
    """A number, by its id."""

    did_id: Id


class NewDid(Sent):
    """A number for the inventory."""

    number: Annotated[str, StringConstraints(pattern=r"^\+?[0-9]{3,15}$")] = Field(examples=["493012345"])
    country: Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")] = left_out("Default: as its digits say.")


class SentNumberList(Sent):
    """A list of numbers."""

    file: sent_file(MAX_LIST_BYTES) = Field(  # type: ignore[valid-type]  # of a size
        description=f"CSV in base64, up to {MAX_LIST_BYTES:,} bytes: a column number, and perhaps country."
    )


class RefusedNumber(BaseModel):
    """A line that cannot be used."""

    line: int
    why: str


class NumbersImported(BaseModel):
    """What became of a list."""

    added: int
    known: int = Field(description="In an inventory already.")
    refused: int
    first_refused: list[RefusedNumber] = Field(description=f"Up to {REFUSED_SHOWN}.")


def dids(api: Api) -> None:
    """Numbers of the key's account, and of resellers below it."""
    front = api.front
    types = declare_list(api, "/dids", DIDS, TAG)
    declare_file(api, "/dids.csv", DIDS, TAG)
    declare_item(api, "/dids/<int:did_id>", types, TAG, "get_did", "One number.")
    declare_list(api, "/access-numbers", ACCESS_NUMBERS, TAG)

    def seen(session: Session, id: int) -> DidRow:
        return found(session, DidRow, id, visible_dids(front.scope))

    @api.post("/dids", types.item, TAG)
    @needs(Permission.NUMBERS_WRITE)
    def add_number(body: NewDid) -> Answer:
        """Take a number into the inventory. 409: it is known."""
        with api.writing("number.add", body.number) as change:
            digits = body.number.lstrip("+")
            if change.session.scalar(select(DidRow.id).where(DidRow.number == digits)) is not None:
                raise Refused(409, "This number is in an inventory.")
            with field("number"):
                seller = issuer(change.session, front.scope)
                row = add_did(change.session, seller, digits, change.now_us, country=body.country or "")
            return change.done(types.shown(change.session, front.scope, row.id), 201)

    @api.post("/dids/<int:did_id>/assignment", types.item, TAG)
    @needs(Permission.NUMBERS_WRITE)
    def assign_number(path: DidPath, body: SentAssignment) -> Answer:
        """Give a number to an account; calls to it come in from now on."""
        with front.reading() as session:
            number = seen(session, path.did_id).number
            account_id = account_named(session, front.scope, body.account).id
        with api.writing("number.assign", number, account_id=account_id) as change:
            row = seen(change.session, path.did_id)
            with conflicts():
                assign_to(front, change, row, front.account(change.session, account_id), body)
            return change.done(types.shown(change.session, front.scope, path.did_id), 201)

    @api.post("/dids/<int:did_id>/release", types.item, TAG)
    @needs(Permission.NUMBERS_WRITE)
    def release_number(path: DidPath, body: SentRelease) -> Answer:
        """Take a number back. It rests in quarantine before another can have it."""
        with front.reading() as session:
            row = seen(session, path.did_id)
        with api.writing("number.release", row.number, account_id=row.account_id) as change:
            seen(change.session, path.did_id)
            with conflicts():
                release(front, change, row.number, body)
            return change.done(types.shown(change.session, front.scope, path.did_id), 201)

    @api.patch("/dids/<int:did_id>", types.item, TAG)
    @needs(Permission.NUMBERS_WRITE)
    def change_number(path: DidPath, body: NumberChange) -> Answer:
        """Correct the country of a number, which its digits say where nobody does."""
        with front.reading() as session:
            number = seen(session, path.did_id).number
        with api.writing("number.country", number) as change:
            row = locked_did(front, change.session, path.did_id)
            with field("country"):
                set_country(change.session, row, body.country)
            return change.done(types.shown(change.session, front.scope, path.did_id))

    _declare_inventories(api, types)
    declare_together(api, types)


def _declare_inventories(api: Api, types: ListedAs) -> None:
    front = api.front
    api.take_larger("/dids/import", request_bytes(MAX_LIST_BYTES))

    @api.post("/dids/import", NumbersImported, TAG)
    @needs(Permission.NUMBERS_WRITE)
    def import_numbers(body: SentNumberList) -> Answer:
        """Take the numbers of a list into the key's own inventory; those that are known stay as they are.

        Longer lists are imported in the panel, or by the command line.
        """
        content = content_of(body.file, "file", MAX_LIST_BYTES)
        with api.writing("numbers.import", "") as change:
            with field("file"):
                rows = DidSheet(io.BytesIO(content)).rows()
                done = import_dids(change.session, issuer(change.session, front.scope), rows, change.now_us)
            first = [RefusedNumber(line=x.line, why=x.reason) for x in done.refused[:REFUSED_SHOWN]]
            told = NumbersImported(
                added=done.added, known=done.known, refused=len(done.refused), first_refused=first
            )
            return change.done(told, 201)

    @api.post("/dids/<int:did_id>/hand-over", types.item, TAG)
    @needs(Permission.NUMBERS_WRITE)
    def hand_number_over(path: DidPath, body: SentHandOver) -> Answer:
        """Let a reseller give out a number that nobody has, or take it back. 409: somebody has it."""
        with front.reading() as session:
            number = found(session, DidRow, path.did_id, visible_dids(front.scope)).number
            to = inventory_named(front, session, body.to)
        with api.writing("number.hand-over", number) as change:
            row = locked_did(front, change.session, path.did_id)
            with conflicts():
                move_to_inventory(change.session, row, change.session.get_one(AccountRow, to.id))
            return change.done(types.shown(change.session, front.scope, path.did_id), 201)

    @api.delete("/dids/<int:did_id>", TAG)
    @needs(Permission.NUMBERS_WRITE)
    def withdraw_number(path: DidPath) -> Answer:
        """Take a free number out of the key's own inventory. 409: it is not free."""
        own = front.scope.issued(DidRow.issuer_id)
        with front.reading() as session:
            number = found(session, DidRow, path.did_id, own).number
        with api.writing("number.withdraw", number) as change:
            with conflicts():
                withdraw(change.session, found(change.session, DidRow, path.did_id, own))
            return change.done(None)
