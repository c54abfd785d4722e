"""Vouchers: batches made, their codes told once, blocked; redeemed for a wallet."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.codes.voucher_batches import (
    NewBatch,
    block_batch,
    block_serials,
    make_and_tell,
    open_batch,
)
from pbxbill.billing.codes.voucher_codes import FEWEST_DIGITS
from pbxbill.billing.codes.vouchers import NotRedeemed, redeem
from pbxbill.listing.sellers import kept_by_sellers
from pbxbill.listing.vouchers import BATCHES, VOUCHERS
from pbxbill.store.accounts import unit_of
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import VoucherBatchRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Line, Moment, Money, Sent, SentMoney, left_out, moment_or_none, money
from pbxbill.web.api.listed import ListedAs, declare_item, declare_list
from pbxbill.web.api.objects import SentMoment, at_us, conflicts, field, found, issuer, wrong
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import needs

TAG = "Vouchers"
MOST = 1_000
"""Codes that one answer tells. Larger batches are made in the panel, or by the command line."""


class BatchPath(Sent):
    """A batch, by its id."""

    batch_id: Id


class NewBatchBody(Sent):
    """A batch of vouchers."""

    name: Annotated[Line, StringConstraints(min_length=1, max_length=64)]
    count: Annotated[int, Field(ge=1, le=MOST)]
    value: SentMoney = Field(description="Of each.")
    begins: SentMoment = left_out("Worth nothing before. Default: now.")
    ends: SentMoment = left_out("Worth nothing after. Default: never.")
    validity_days: Annotated[int, Field(ge=1, le=3650)] = left_out(
        "By so many days one prolongs the account's validity."
    )
    digits: Annotated[int, Field(ge=FEWEST_DIGITS, le=24)] = FEWEST_DIGITS


class VoucherCode(BaseModel):
    """A voucher, with what it is redeemed by."""

    serial: int
    code: str


class Codes(BaseModel):
    """The codes of a batch: shown this once, kept nowhere."""

    batch_id: int
    items: list[VoucherCode]


class Block(Sent):
    """Which vouchers bring nothing from now on, or something again."""

    blocked: bool
    first: Annotated[int, Field(ge=1, le=10**9)] = left_out("Serials from this one on. Default: all.")
    last: Annotated[int, Field(ge=1, le=10**9)] = left_out("Up to this one. Default: the first alone.")


class SentCode(Sent):
    """What is on a voucher."""

    code: Annotated[str, StringConstraints(pattern=r"^[0-9][0-9 -]{3,60}$")]


class Redemption(BaseModel):
    """What a code brought, or why it brought nothing."""

    redeemed: bool
    why: str | None = Field(
        description="mistyped, unknown, locked, used, used_by_you, blocked, not_yet, expired."
    )
    until: Moment | None = Field(description="Of locked: nothing is looked at before.")
    money: Money | None
    available: Money | None
    entry: str | None


def vouchers(api: Api) -> None:
    """Batches of the key's account and of resellers below it."""
    front = api.front
    types = declare_list(api, "/voucher-batches", BATCHES, TAG)
    declare_item(api, "/voucher-batches/<int:batch_id>", types, TAG, "get_voucher_batch", "One batch.")
    declare_list(api, "/vouchers", VOUCHERS, TAG)

    def seen(session: Session, id: int) -> VoucherBatchRow:
        return found(session, VoucherBatchRow, id, kept_by_sellers(front.scope, VoucherBatchRow.issuer_id))

    @api.post("/voucher-batches", types.item, TAG)
    @needs(Permission.VOUCHERS_WRITE)
    def make_voucher_batch(body: NewBatchBody) -> Answer:
        """Prepare a batch: it is worth nothing until its codes are asked for."""
        sent: Any = body
        with api.writing("voucher.batch", body.name) as change:
            session = change.session
            with field("value"):
                value, unit = body.value.of(session)
            new = NewBatch(
                name=body.name,
                unit=unit.code,
                value=value,
                count=body.count,
                from_us=at_us(sent.begins, change.now_us) or 0,
                to_us=at_us(sent.ends),
                validity_days=sent.validity_days,
                digits=body.digits,
                by=front.actor.name,
            )
            row = open_batch(session, issuer(session, front.scope), new, change.now_us)
            return change.done(types.shown(session, front.scope, row.id), 201)

    @api.post("/voucher-batches/<int:batch_id>/codes", Codes, TAG)
    @needs(Permission.VOUCHERS_WRITE)
    def make_voucher_codes(path: BatchPath) -> Answer:
        """Make the codes of a batch, and tell them this once. 409: they were told."""
        with front.reading() as session:
            batch = seen(session, path.batch_id)
            if batch.state != "making":
                raise Refused(409, "Its codes were told: they are nowhere on the server.")
            if batch.count > MOST:
                raise Refused(409, f"Up to {MOST:,} codes are told so.")
        with conflicts():
            printed = make_and_tell(front.desks.application.database, batch.id)
        with api.writing("voucher.codes", batch.name) as change:
            codes = [VoucherCode(serial=x.serial, code=x.code) for x in printed]
            return change.done(Codes(batch_id=batch.id, items=codes), 201)

    _declare_block(api, types, seen)


def _declare_block(api: Api, types: ListedAs, seen: Callable[[Session, int], VoucherBatchRow]) -> None:
    front = api.front

    @api.put("/voucher-batches/<int:batch_id>/block", types.item, TAG)
    @needs(Permission.VOUCHERS_WRITE)
    def block_vouchers(path: BatchPath, body: Block) -> Answer:
        """Block a batch, or some serials of it; or let them be redeemed again."""
        sent: Any = body
        with front.reading() as session:
            name = seen(session, path.batch_id).name
        if sent.first is None and sent.last is not None:
            raise wrong("first", "say from which serial on")
        action = "voucher.block" if body.blocked else "voucher.unblock"
        with api.writing(action, name) as change:
            id = seen(change.session, path.batch_id).id
            with conflicts():
                if sent.first is None:
                    block_batch(change.session, id, blocked=body.blocked)
                else:
                    last = sent.last or sent.first
                    block_serials(change.session, id, sent.first, last, blocked=body.blocked)
            return change.done(types.shown(change.session, front.scope, id))


def redemptions(api: Api) -> None:
    """Redeeming, for accounts in scope and for one's own."""
    front = api.front

    def redeemed(account: AccountRow, code: str) -> Answer:
        with api.writing("voucher.redeem", account.code, account_id=account.id) as change:
            # Wrong tries are counted: what was not redeemed is committed as well.
            now = change.session.get_one(AccountRow, account.id)
            outcome = redeem(
                change.session,
                change.books,
                now,
                code,
                channel="api",
                by=front.actor.name,
                now_us=change.now_us,
            )
            if isinstance(outcome, NotRedeemed):
                told = Redemption(
                    redeemed=False,
                    why=outcome.why.value,
                    until=moment_or_none(outcome.until_us),
                    money=None,
                    available=None,
                    entry=None,
                )
                return change.done(told, 201)
            unit = unit_of(change.session, outcome.unit)
            told = Redemption(
                redeemed=True,
                why=None,
                until=None,
                money=money(outcome.amount, unit),
                available=money(outcome.available, unit),
                entry=outcome.entry_id,
            )
            return change.done(told, 201)

    @api.post("/accounts/<int:account_id>/voucher-redemptions", Redemption, TAG)
    @needs(Permission.VOUCHERS_SELL)
    def redeem_voucher(path: AccountPath, body: SentCode) -> Answer:
        """Redeem a voucher for an account. `redeemed` says whether it brought something, `why` why not."""
        with front.reading() as session:
            account = front.account(session, path.account_id)
        return redeemed(account, body.code)

    @api.post("/own/voucher-redemptions", Redemption, TAG)
    @needs(Permission.OWN_PAY)
    def redeem_own_voucher(body: SentCode) -> Answer:
        """Redeem a voucher for the key's own account."""
        with front.reading() as session:
            account = session.get_one(AccountRow, front.scope.account_id)
        return redeemed(account, body.code)
