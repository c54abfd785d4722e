"""Bundles: what is included per cycle; given to accounts, and taken from them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.listing.bundles import BUNDLES
from pbxbill.rating.cycles import CYCLES
from pbxbill.store.bundles import (
    MAX_INCREMENT_S,
    MAX_ROLLOVER_CYCLES,
    MEASURES,
    BundleState,
    NewBundle,
    add_bundle,
    bundles_serving,
    give_bundle,
    take_bundle,
)
from pbxbill.store.catalogue_models import BundleRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Line, Moment, Sent, left_out, moment, moment_or_none
from pbxbill.web.api.listed import declare_item, declare_list
from pbxbill.web.api.objects import SentMoment, at_us, conflicts, found
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import needs

TAG = "Bundles"
Name = Annotated[Line, StringConstraints(min_length=1, max_length=64)]
Increment = Annotated[int, Field(ge=1, le=MAX_INCREMENT_S)]


class SentBundle(Sent):
    """A bundle's terms."""

    name: Name
    measure: Literal[MEASURES] = "seconds"  # type: ignore[valid-type]  # made of what there is
    pieces: Annotated[int, Field(ge=1, le=10**15)] = Field(
        description="Included per cycle: 600 minutes are 36000 seconds."
    )
    cycle: Literal[tuple(CYCLES)] = "month"  # type: ignore[valid-type]  # the same
    zone: Name = Field(default="UTC", description="In which cycles begin.")
    destinations: Annotated[list[Name], Field(max_length=100)] = Field(
        default=[], description="Names, classes or prefixes; none: all."
    )
    shared: bool = Field(default=False, description="Whoever is below the account uses it too.")
    rollover_cycles: Annotated[int, Field(ge=0, le=MAX_ROLLOVER_CYCLES)] = 0
    priority: Annotated[int, Field(ge=-(10**6), le=10**6)] = 0
    initial_increment_s: Increment = 1
    following_increment_s: Increment = 1
    fee_owed: bool = Field(default=False, description="Connection fees are owed even so.")


class GivenBundle(Sent):
    """Which bundle, from when to when."""

    bundle_id: Id
    begins: SentMoment = left_out("Default: now.")
    ends: SentMoment = left_out("Default: when it is taken.")


class HeldPath(AccountPath):
    """A bundle of an account."""

    bundle_id: Id


class BundleLeft(BaseModel):
    """What is left of a bundle in its present window."""

    bundle_id: int
    name: str
    measure: str
    window_from: Moment
    window_to: Moment | None
    allowed: int
    used: int
    reserved: int = Field(description="By live calls.")
    left: int


class HeldBundle(BundleLeft):
    """A bundle that serves an account, in its present window."""

    owner: str = Field(description="Code of the account that has it: this one, or one above that shares it.")


class HeldBundles(BaseModel):
    """Bundles that serve an account."""

    items: list[HeldBundle]


def bundles(api: Api) -> None:
    """Bundles of the key's own account, and who holds which."""
    front = api.front
    types = declare_list(api, "/bundles", BUNDLES, TAG)
    declare_item(api, "/bundles/<int:bundle_id>", types, TAG, "get_bundle", "One bundle.")

    def own(session: Session, id: int) -> BundleRow:
        return found(session, BundleRow, id, front.scope.issued(BundleRow.issuer_id))

    @api.post("/bundles", types.item, TAG)
    @needs(Permission.CATALOGUE_WRITE)
    def make_bundle(body: SentBundle) -> Answer:
        """Make a bundle. 409: there is one of that name."""
        with api.writing("bundle.make", body.name) as change:
            known = select(BundleRow.id).where(
                front.scope.issued(BundleRow.issuer_id), BundleRow.name == body.name
            )
            if change.session.scalar(known) is not None:
                raise Refused(409, "There is a bundle of this name.")
            facts = body.model_dump() | {"destinations": tuple(body.destinations)}
            row = add_bundle(change.session, NewBundle(**facts, issuer_id=front.scope.account_id))
            return change.done(types.shown(change.session, front.scope, row.id), 201)

    @api.get("/accounts/<int:account_id>/bundles", HeldBundles, TAG)
    @needs(Permission.ACCOUNTS_READ)
    def list_account_bundles(path: AccountPath) -> HeldBundles:
        """What of its bundles an account has left."""
        with front.reading() as session:
            account = front.account(session, path.account_id)
            return held_bundles(bundles_serving(session, account, front.clock.now_us()))

    @api.post("/accounts/<int:account_id>/bundles", HeldBundles, TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def give_a_bundle(path: AccountPath, body: GivenBundle) -> Answer:
        """Give an account a bundle."""
        with front.reading() as session:
            code = front.account(session, path.account_id).code
        with api.writing("bundle.give", code, account_id=path.account_id) as change:
            session = change.session
            account = front.account(session, path.account_id)
            begins_us = at_us(body.begins, change.now_us)
            give_bundle(session, account, own(session, body.bundle_id), begins_us or 0, at_us(body.ends))
            return change.done(held_bundles(bundles_serving(session, account, change.now_us)), 201)

    @api.delete("/accounts/<int:account_id>/bundles/<int:bundle_id>", TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def take_a_bundle(path: HeldPath) -> Answer:
        """Take a bundle from an account. Calls that are up keep what they hold of it."""
        with front.reading() as session:
            code = front.account(session, path.account_id).code
            own(session, path.bundle_id)
        with api.writing("bundle.take", code, account_id=path.account_id) as change:
            account = front.account(change.session, path.account_id)
            with conflicts():
                take_bundle(change.session, account, own(change.session, path.bundle_id), change.now_us)
            return change.done(None)


def held_bundles(found: list[BundleState]) -> HeldBundles:
    """As they are answered."""
    return HeldBundles(items=[HeldBundle(**facts_of_bundle(x), owner=x.owner) for x in found])


def facts_of_bundle(state: BundleState) -> dict[str, Any]:
    """Of a BundleLeft."""
    bundle = state.held.bundle
    return {
        "bundle_id": bundle.id,
        "name": bundle.name,
        "measure": str(bundle.measure),
        "window_from": moment(state.window.from_us),
        "window_to": moment_or_none(state.window.to_us),
        "allowed": state.window.allowed,
        "used": state.used,
        "reserved": state.reserved,
        "left": state.left,
    }
