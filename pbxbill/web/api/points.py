"""Points: rules by which they are earned, what an account has, what they are turned into. Calling cards."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.codes.calling_cards import (
    LEAST_PIN_DIGITS,
    MOST_PIN_DIGITS,
    USUAL_PIN_DIGITS,
    add_card,
    add_known_caller,
    block,
    new_pin,
    remove_known_caller,
    unblock,
)
from pbxbill.billing.points.points import Spending, holdings, spend
from pbxbill.listing.cards import CARDS, KNOWN_CALLERS
from pbxbill.listing.points import REFERRALS, RULES
from pbxbill.store.accounts import unit_of
from pbxbill.store.payment_models import CallingCardRow, KnownCallerRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Line, Moment, Money, Sent, left_out, moment_or_none, money
from pbxbill.web.api.listed import declare_item, declare_list
from pbxbill.web.api.objects import SentMoment, at_us, conflicts, field, found, wrong
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import needs

TAG, CARD = "Points", "Calling cards"
UnitCode = Annotated[str, StringConstraints(pattern="^[A-Z0-9]{1,12}$")]


class CardPath(Sent):
    """A card, by its number."""

    card_id: Id


class CallerPath(Sent):
    """A known caller, by his number."""

    caller: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,32}$")]


class Holding(BaseModel):
    """Points of one kind."""

    unit: str
    left: int
    expires_next: int = Field(description="So many go first.")
    expires: Moment | None


class Holdings(BaseModel):
    """All of an account."""

    items: list[Holding]


class SentSpending(Sent):
    """Points that become funds."""

    points_unit: UnitCode
    points: Annotated[int, Field(ge=1, le=2**53)]
    unit: UnitCode = Field(description="Of the wallet that the funds go to.")


class Spent(BaseModel):
    """What they became."""

    points: int
    money: Money
    entry: str


class NewCard(Sent):
    """A calling card."""

    name: Annotated[Line, StringConstraints(max_length=64)] = ""
    digits: Annotated[int, Field(ge=LEAST_PIN_DIGITS, le=MOST_PIN_DIGITS)] = Field(
        default=USUAL_PIN_DIGITS, description="Of its PIN."
    )
    expires: SentMoment = left_out("Default: never.")


class CardPin(BaseModel):
    """A card, and what is dialled for it."""

    card_id: int
    pin: str = Field(description="Shown this once.")


class CardChange(Sent):
    """Whether it can be used."""

    blocked: bool


class KnownCaller(Sent):
    """A number that needs no PIN."""

    number: Annotated[str, StringConstraints(pattern=r"^\+?[0-9]{3,18}$")]


def points(api: Api) -> None:
    """Points."""
    front = api.front
    declare_list(api, "/points-rules", RULES, TAG)
    declare_list(api, "/referrals", REFERRALS, TAG)

    @api.get("/accounts/<int:account_id>/points", Holdings, TAG)
    @needs(Permission.ACCOUNTS_READ)
    def get_points(path: AccountPath) -> Holdings:
        """What points an account has."""
        with front.reading() as session:
            front.account(session, path.account_id)
            return _holdings(session, path.account_id, front.clock.now_us())

    @api.get("/own/points", Holdings, TAG)
    @needs(Permission.OWN_READ)
    def get_own_points() -> Holdings:
        """What points the key's own account has."""
        with front.reading() as session:
            return _holdings(session, front.scope.account_id, front.clock.now_us())

    @api.post("/accounts/<int:account_id>/points/spending", Spent, TAG)
    @needs(Permission.PAYMENTS_CORRECT)
    def spend_points(path: AccountPath, body: SentSpending) -> Answer:
        """Turn points into funds. 409: there are not so many, or they are worth nothing."""
        with front.reading() as session:
            code = front.account(session, path.account_id).code
        with api.writing("points.spend", code, account_id=path.account_id) as change:
            session = change.session
            with field("unit"):
                unit_of(session, body.unit)
            with field("points_unit"):
                unit_of(session, body.points_unit)
            wanted = Spending(body.points_unit, body.points, body.unit, change.key[:40])
            account = front.account(session, path.account_id)
            with conflicts():
                done = spend(session, change.books, account, wanted, change.now_us)
            told = Spent(
                points=done.points,
                money=money(done.amount, unit_of(session, done.unit)),
                entry=done.entry_id,
            )
            return change.done(told, 201)


def calling_cards(api: Api) -> None:
    """Calling cards."""
    front = api.front
    types = declare_list(api, "/cards", CARDS, CARD)
    declare_item(api, "/cards/<int:card_id>", types, CARD, "get_card", "One card.", moving=("last_used",))

    def seen(session: Session, id: int) -> CallingCardRow:
        return found(session, CallingCardRow, id, front.scope.among(CallingCardRow.account_id))

    @api.post("/accounts/<int:account_id>/cards", CardPin, CARD)
    @needs(Permission.ACCOUNTS_WRITE)
    def make_card(path: AccountPath, body: NewCard) -> Answer:
        """Make a calling card. Its PIN is shown this once."""
        with front.reading() as session:
            code = front.account(session, path.account_id).code
        with api.writing("card.make", code, account_id=path.account_id) as change:
            account = front.account(change.session, path.account_id)
            expires_us = at_us(body.expires)
            if expires_us is not None and expires_us <= change.now_us:
                raise wrong("expires", "is past")
            with field("digits"):
                made = add_card(
                    change.session,
                    account,
                    change.now_us,
                    digits=body.digits,
                    name=body.name,
                    expires_us=expires_us,
                )
            return change.done(CardPin(card_id=made.card_id, pin=made.pin), 201)

    @api.patch("/cards/<int:card_id>", types.item, CARD)
    @needs(Permission.ACCOUNTS_WRITE)
    def change_card(path: CardPath, body: CardChange) -> Answer:
        """Block a card, or let it be used again."""
        with front.reading() as session:
            account_id = seen(session, path.card_id).account_id
        with api.writing("card.change", str(path.card_id), account_id=account_id) as change:
            turn = block if body.blocked else unblock
            with conflicts():
                turn(change.session, seen(change.session, path.card_id))
            return change.done(types.shown(change.session, front.scope, path.card_id))

    @api.post("/cards/<int:card_id>/pin", CardPin, CARD)
    @needs(Permission.ACCOUNTS_WRITE)
    def make_card_pin(path: CardPath) -> Answer:
        """Another PIN, shown this once; the one before is worth nothing."""
        with front.reading() as session:
            account_id = seen(session, path.card_id).account_id
        with api.writing("card.pin", str(path.card_id), account_id=account_id) as change:
            with conflicts():
                pin = new_pin(change.session, seen(change.session, path.card_id))
            return change.done(CardPin(card_id=path.card_id, pin=pin), 201)

    @api.post("/cards/<int:card_id>/callers", types.item, CARD)
    @needs(Permission.ACCOUNTS_WRITE)
    def add_card_caller(path: CardPath, body: KnownCaller) -> Answer:
        """Have calls from a number need no PIN, where the access number allows that."""
        with front.reading() as session:
            account_id = seen(session, path.card_id).account_id
        with api.writing("card.caller", str(path.card_id), account_id=account_id) as change:
            with field("number"):
                add_known_caller(
                    change.session, seen(change.session, path.card_id), body.number, change.now_us
                )
            return change.done(types.shown(change.session, front.scope, path.card_id), 201)

    declare_list(api, "/known-callers", KNOWN_CALLERS, CARD)

    @api.delete("/known-callers/<caller>", CARD)
    @needs(Permission.ACCOUNTS_WRITE)
    def remove_caller(path: CallerPath) -> Answer:
        """Ask this caller for a PIN from now on."""
        with front.reading() as session:
            known = session.get(KnownCallerRow, path.caller)
            if known is None:
                raise Refused(404)
            card = seen(session, known.card_id)
        with api.writing("card.caller-removed", str(card.id), account_id=card.account_id) as change:
            with conflicts():
                remove_known_caller(change.session, path.caller)
            return change.done(None)


def _holdings(session: Session, account_id: int, now_us: int) -> Holdings:
    return Holdings(
        items=[
            Holding(
                unit=x.unit,
                left=x.left,
                expires_next=x.expires_next,
                expires=moment_or_none(x.expires_us),
            )
            for x in holdings(session, account_id, now_us)
        ]
    )
