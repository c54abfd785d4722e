"""What is done with telephone numbers, with one or with several: given, taken back, moved, corrected."""

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints, create_model
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.subscriptions.did_inventory import move_to_inventory, set_country
from pbxbill.billing.subscriptions.dids import Assignment, assign_did, release_did
from pbxbill.billing.subscriptions.plan_catalogue import offered_version
from pbxbill.billing.subscriptions.plan_terms import ChangeAt
from pbxbill.billing.subscriptions.subscribing import When
from pbxbill.errors import InputRefused
from pbxbill.listing.dids import visible_dids
from pbxbill.store.billing_models import DidRow
from pbxbill.store.models import AccountRow
from pbxbill.web.api.api import Answer, Api, Writing
from pbxbill.web.api.fields import Code, Id, Line, Sent, left_out
from pbxbill.web.api.listed import ListedAs
from pbxbill.web.api.objects import account_named, field, issuer, wrong
from pbxbill.web.api.problems import Refused, said
from pbxbill.web.front import Front, needs

TAG = "Numbers"
MOST_TOGETHER = 200
Why = Annotated[Line, StringConstraints(max_length=200)]


class NumberChange(Sent):
    """What to correct of a number."""

    country: Annotated[str, StringConstraints(pattern="^([A-Z]{2})?$")] = Field(
        description="Where it is; empty: it is not said."
    )


class SentAssignment(Sent):
    """Who gets a number."""

    account: Code
    plan: Annotated[Line, StringConstraints(min_length=1, max_length=64)] = left_out(
        "A plan of the kind did, which says what it costs. Default: nothing."
    )
    reason: Why = ""


class SentRelease(Sent):
    """When a number is taken back."""

    when: Literal["now", "cycle_end"] = "now"
    reason: Why = ""


class SentHandOver(Sent):
    """Whose inventory a number goes to."""

    to: Code = Field(description="A reseller directly below its owner, or back to who is above.")


class Several(Sent):
    """Which numbers."""

    dids: Annotated[list[Id], Field(min_length=1, max_length=MOST_TOGETHER)] = Field(description="By id.")


class SeveralAssigned(SentAssignment, Several):
    """Who gets several numbers."""


class SeveralReleased(SentRelease, Several):
    """When several numbers are taken back."""


class SeveralHandedOver(SentHandOver, Several):
    """Whose inventory several numbers go to."""


class SeveralChanged(NumberChange, Several):
    """What to correct of several numbers."""


Doing = Callable[[Writing, DidRow], None]


def declare_together(api: Api, types: ListedAs) -> None:
    """The same with several numbers: with all of them, or with none."""
    front = api.front
    changed: type[BaseModel] = create_model(
        "NumbersChanged",
        items=(list[types.item], ...),  # type: ignore[name-defined]  # made of the list's columns
    )

    def with_all(action: str, ids: list[int], doing: Doing, account_id: int | None = None) -> Answer:
        with front.reading() as session:
            numbers = [x.number for x in _chosen(front, session, ids)]
        with api.writing(action, _subject(numbers), account_id=account_id) as change:
            rows = _chosen(front, change.session, ids)
            for row in rows:
                try:
                    doing(change, row)
                except InputRefused as error:
                    raise Refused(409, f"{row.number}: {said(error)}") from None
            items = types.of_ids(change.session, front.scope, [x.id for x in rows])
            return change.done(changed(items=items), 201)

    @api.post("/dids/assignments", changed, TAG)
    @needs(Permission.NUMBERS_WRITE)
    def assign_numbers(body: SeveralAssigned) -> Answer:
        """Give several numbers to an account, or none of them. 409 says which cannot be given, and why."""
        with front.reading() as session:
            account_id = account_named(session, front.scope, body.account).id

        def give(change: Writing, row: DidRow) -> None:
            assign_to(front, change, row, front.account(change.session, account_id), body)

        return with_all("numbers.assign", body.dids, give, account_id)

    @api.post("/dids/releases", changed, TAG)
    @needs(Permission.NUMBERS_WRITE)
    def release_numbers(body: SeveralReleased) -> Answer:
        """Take several numbers back, or none of them. 409 says which cannot be, and why."""
        return with_all(
            "numbers.release", body.dids, lambda change, row: release(front, change, row.number, body)
        )

    @api.post("/dids/hand-overs", changed, TAG)
    @needs(Permission.NUMBERS_WRITE)
    def hand_numbers_over(body: SeveralHandedOver) -> Answer:
        """Let a reseller give out several numbers, or take them back, or none of them. 409 says which."""
        with front.reading() as session:
            to_id = inventory_named(front, session, body.to).id

        def move(change: Writing, row: DidRow) -> None:
            to = change.session.get_one(AccountRow, to_id)
            move_to_inventory(change.session, locked_did(front, change.session, row.id), to)

        return with_all("numbers.hand-over", body.dids, move)

    @api.post("/dids/corrections", changed, TAG)
    @needs(Permission.NUMBERS_WRITE)
    def change_numbers(body: SeveralChanged) -> Answer:
        """Correct the country of several numbers."""

        def correct(change: Writing, row: DidRow) -> None:
            with field("country"):
                set_country(change.session, locked_did(front, change.session, row.id), body.country)

        return with_all("numbers.country", body.dids, correct)


def assign_to(front: Front, change: Writing, row: DidRow, account: AccountRow, body: SentAssignment) -> None:
    """Give a number to an account, by a plan of whose number it is."""
    version = None
    if body.plan is not None:
        seller = change.session.get_one(AccountRow, row.issuer_id)
        with field("plan"):
            version = offered_version(change.session, seller, body.plan)
    wanted = Assignment(version, reason=body.reason, by=front.actor.name)
    assign_did(change.session, change.books, row.number, account, wanted, change.now_us)


def release(front: Front, change: Writing, number: str, body: SentRelease) -> None:
    """Take a number back, now or when what is paid is over."""
    when = When(ChangeAt(body.when), None, body.reason, front.actor.name)
    release_did(change.session, change.books, number, when, change.now_us)


def locked_did(front: Front, session: Session, id: int) -> DidRow:
    """A number that may be seen, as it is, until the transaction ends; 404 for any other."""
    query = select(DidRow).where(DidRow.id == id, visible_dids(front.scope))
    row = session.scalar(query.with_for_update().execution_options(populate_existing=True))
    if row is None:
        raise Refused(404)
    return row


def inventory_named(front: Front, session: Session, code: str) -> AccountRow:
    """Whose inventory numbers go to: the key's own, or that of somebody below."""
    own = issuer(session, front.scope)
    return own if code == own.code else account_named(session, front.scope, code, "to")


def _chosen(front: Front, session: Session, ids: list[int]) -> list[DidRow]:
    """Numbers that may be seen, in the order of their digits, in which they are locked."""
    query = select(DidRow).where(DidRow.id.in_(ids), visible_dids(front.scope)).order_by(DidRow.number)
    rows = list(session.scalars(query.execution_options(populate_existing=True)))
    known = {x.id for x in rows}
    for place, id in enumerate(ids):
        if id not in known:
            raise wrong(f"dids.{place}", "there is no such number")
    return rows


def _subject(numbers: list[str]) -> str:
    return ", ".join(numbers[:5]) + (" ..." if len(numbers) > 5 else "")
