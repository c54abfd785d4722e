"""Access numbers: what holders of calling cards dial. They are of the switch, and so the operator's."""

from dataclasses import asdict, fields
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints, create_model
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.charging.announcement import LANGUAGES
from pbxbill.ivr.access_number import RANGES, AccessTerms, access_number, read_terms, terms_of
from pbxbill.ivr.access_numbers import put_access_number, remove_access_number
from pbxbill.listing.sellers import kept_by_sellers
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import AccessNumberRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.dids import TAG
from pbxbill.web.api.fields import Code, Moment, Sent, left_out, moment
from pbxbill.web.api.objects import account_named, field, issuer
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import Front, needs

_KINDS: dict[str, Any] = {
    x.name: (Annotated[int, Field(ge=RANGES[x.name][0], le=RANGES[x.name][1])] if x.name in RANGES else bool)
    for x in fields(AccessTerms)
} | {
    "languages": Annotated[
        list[Literal[tuple(LANGUAGES)]],  # type: ignore[misc]  # made of what there is
        Field(min_length=1, max_length=len(LANGUAGES), json_schema_extra={"uniqueItems": True}),
    ]
}


def _plain(terms: AccessTerms) -> dict[str, Any]:
    """As JSON has them."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(terms).items()}


_STANDARD = _plain(AccessTerms())
_FIELDS: dict[str, Any] = {name: (kind, _STANDARD[name]) for name, kind in _KINDS.items()}
SentAccessTerms: type[Sent] = create_model(
    "SentAccessTerms",
    __base__=Sent,
    __doc__="What holds at an access number, as docs/calling-card.md has it; what is left out is as usual.",
    **_FIELDS,
)


class AccessNumberPath(Sent):
    """An access number."""

    access_number: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,32}$")]


class NewAccessNumber(Sent):
    """A number that holders of cards dial."""

    number: Annotated[str, StringConstraints(pattern=r"^\+?[0-9]{1,32}$")] = Field(examples=["493055555"])
    seller: Code = left_out("Whose customers' cards work here, by code. Default: everybody's.")
    terms: SentAccessTerms = Field(default=SentAccessTerms())  # type: ignore[valid-type]  # as above


class AccessNumber(BaseModel):
    """A number that holders of cards dial."""

    number: str
    seller: str
    since: Moment
    terms: SentAccessTerms  # type: ignore[valid-type]  # as above


def access_numbers(api: Api) -> None:
    """One by one; the list stands with the other numbers."""
    front = api.front

    def seen(session: Session, number: str) -> AccessNumberRow:
        own = kept_by_sellers(front.scope, AccessNumberRow.issuer_id)
        row = session.scalar(select(AccessNumberRow).where(AccessNumberRow.number == number, own))
        if row is None:
            raise Refused(404)
        return row

    @api.get("/access-numbers/<access_number>", AccessNumber, TAG)
    @needs(Permission.NUMBERS_READ)
    def get_access_number(path: AccessNumberPath) -> AccessNumber:
        """One access number, with what holds there."""
        with front.reading() as session:
            return _shown(session, seen(session, path.access_number))

    @api.post("/access-numbers", AccessNumber, TAG)
    @needs(Permission.NUMBERS_WRITE)
    def make_access_number(body: NewAccessNumber) -> Answer:
        """Make a number an access number. Only the operator does. 409: it is one."""
        _operators(front)
        sent: Any = body
        with field("number"):
            digits = access_number(body.number)
        with api.writing("access-number.make", digits) as change:
            session = change.session
            if session.get(AccessNumberRow, digits) is not None:
                raise Refused(409, "This is an access number already.")
            seller = (
                issuer(session, front.scope)
                if sent.seller is None
                else account_named(session, front.scope, sent.seller, "seller")
            )
            if seller.kind == "customer":
                raise Refused(422, "A customer sells no cards.")
            with field("terms"):
                put_access_number(session, seller, digits, terms_of(sent.terms.model_dump()), change.now_us)
            return change.done(_shown(session, seen(session, digits)), 201)

    @api.put("/access-numbers/<access_number>", AccessNumber, TAG)
    @needs(Permission.NUMBERS_WRITE)
    def change_access_number(path: AccessNumberPath, body: SentAccessTerms) -> Answer:  # type: ignore[valid-type]
        """Say what holds at an access number. Lines that are up keep what held when they began."""
        sent: Any = body
        with front.reading() as session:
            seen(session, path.access_number)
        _operators(front)
        with api.writing("access-number.change", path.access_number) as change:
            session = change.session
            row = seen(session, path.access_number)
            seller = session.get_one(AccountRow, row.issuer_id)
            with field("languages"):
                put_access_number(session, seller, row.number, terms_of(sent.model_dump()), change.now_us)
            return change.done(_shown(session, seen(session, path.access_number)))

    @api.delete("/access-numbers/<access_number>", TAG)
    @needs(Permission.NUMBERS_WRITE)
    def remove_an_access_number(path: AccessNumberPath) -> Answer:
        """Turn callers of a number away from now on. Only the operator does; lines that are up go on."""
        with front.reading() as session:
            seen(session, path.access_number)
        _operators(front)
        with api.writing("access-number.remove", path.access_number) as change:
            remove_access_number(change.session, seen(change.session, path.access_number).number)
            return change.done(None)


def _operators(front: Front) -> None:
    if not front.scope.is_everything:
        raise Refused(403, "Access numbers are the operator's to make and change.")


def _shown(session: Session, row: AccessNumberRow) -> AccessNumber:
    seller = session.get_one(AccountRow, row.issuer_id)
    return AccessNumber(
        number=row.number,
        seller=seller.code,
        since=moment(row.created_us),
        terms=SentAccessTerms(**_plain(read_terms(row.definition))),
    )
