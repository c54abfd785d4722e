"""The balance of the key's own account, live calls counted in, and what calls now: once, or as a stream."""

from collections.abc import Callable

from flask import Response
from pydantic import BaseModel, Field

from pbxbill.access.actor import Scope
from pbxbill.access.api_keys import still_opens
from pbxbill.access.permissions import Permission
from pbxbill.clock import SECOND_US
from pbxbill.errors import check
from pbxbill.listing.listing import MAX_PAGE_SIZE, Asked
from pbxbill.listing.live_calls import LivePage, WalletBalance
from pbxbill.listing.live_rows import LiveCallNow
from pbxbill.listing.own import own_live_calls
from pbxbill.store.models import AccountRow
from pbxbill.web.api.api import Api, File
from pbxbill.web.api.calls import CallPath
from pbxbill.web.api.fields import Moment, Money, moment, moment_or_none, money
from pbxbill.web.api.listed import declare_list
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.streams import Streams
from pbxbill.web.front import Front, needs

TAG = "Live"
STREAM = File("text/event-stream", "Server-sent events, one a second while something changes.")


class WalletNow(BaseModel):
    """A wallet with its live calls."""

    unit: str
    posted: Money = Field(description="What the ledger says.")
    reserved: Money = Field(description="Held by calls that are up.")
    credit_limit: Money = Field(description="How far below zero it may go.")
    available: Money = Field(description="What a new call finds: posted - reserved + credit limit.")
    cost: Money = Field(description="Of live calls, if they ended now.")
    live: Money = Field(description="posted + credit limit - cost: what ticks down while somebody talks.")


class Balance(BaseModel):
    """What an account has at a moment."""

    account: str
    status: str
    at: Moment
    calls: int = Field(description="That draw on it, those in set-up too.")
    talking: int
    wallets: list[WalletNow]


class LiveCall(BaseModel):
    """A call that is up, or being set up."""

    id: str
    account: str
    direction: str
    caller: str
    called: str
    destination: str
    state: str = Field(description="reserved: it is being set up; answered.")
    requested: Moment
    answered: Moment | None
    elapsed_s: int
    cost: Money | None = Field(description="If it ended now; null: nobody pays.")
    funds_left: Money | None
    remaining_s: int | None = Field(description="About how long the funds last for it.")


class LiveCalls(BaseModel):
    """An event of the stream: the calls at a moment."""

    at: Moment
    items: list[LiveCall]
    more: bool = Field(description="There are more than these.")


def balance(api: Api) -> None:
    """Balance and live calls."""
    front = api.front
    streams = Streams(api.most_streams)
    board = front.desks.live
    types = declare_list(api, "/live-calls", board.listing, TAG)
    declare_list(api, "/own/live-calls", own_live_calls(board.listing), TAG, name="list_own_live_calls")

    @api.get("/live-calls/<session_id>", types.item, TAG)
    @needs(Permission.CALLS_READ)
    def get_live_call(path: CallPath) -> BaseModel:
        """One live call. 404 also where it has ended: `/calls` has it then."""
        with front.reading() as session:
            return types.shown(session, front.scope, path.session_id)

    @api.get("/balance", Balance, TAG)
    @needs(Permission.OWN_READ)
    def get_balance() -> Balance:
        """What the key's own account has: posted, reserved, available, and live."""
        return _balance(front, front.scope)

    @api.get("/balance/stream", STREAM, TAG)
    @needs(Permission.OWN_READ)
    def stream_balance() -> Response:
        """The balance as server-sent events: `balance`, whenever something of it changed.

        It is looked at once a second. Ends after five minutes: connect again. 503: too many watch at once.
        """
        scope = front.scope
        return streams.answer(
            "balance",
            lambda: _balance(front, scope).model_dump_json(),
            ignoring="at",
            may=_still_may(front),
        )

    @api.get("/live-calls/stream", STREAM, TAG)
    @needs(Permission.CALLS_READ)
    def stream_live_calls() -> Response:
        """Live calls as server-sent events: `calls`, with the two hundred longest of them, once a second.

        Ends after five minutes: connect again. 503 where too many watch at once.
        """
        return _calls_stream(front, streams)

    @api.get("/own/live-calls/stream", STREAM, TAG)
    @needs(Permission.OWN_READ)
    def stream_own_live_calls() -> Response:
        """Live calls of the key's own account as server-sent events."""
        return _calls_stream(front, streams)


def _calls_stream(front: Front, streams: Streams) -> Response:
    scope = front.scope
    asked = Asked(size=MAX_PAGE_SIZE)

    def read() -> str:
        return _calls(front.desks.live.page(scope, asked)).model_dump_json()

    return streams.answer("calls", read, ignoring="at", may=_still_may(front))


def _still_may(front: Front) -> Callable[[], bool]:
    """Says whether the key of this request still opens something, while its answer is written."""
    id = front.actor.api_key_id
    check(id is not None, "a program comes with a key")

    def may() -> bool:
        with front.reading() as session:
            return still_opens(session, int(id or 0), front.clock.now_us())

    return may


def _balance(front: Front, scope: Scope) -> Balance:
    found = front.desks.live.balance(scope, scope.account_id)
    if found is None:
        raise Refused(404)
    with front.reading() as session:
        account = session.get_one(AccountRow, scope.account_id)
    return Balance(
        account=account.code,
        status=account.status,
        at=moment(found.at_us),
        calls=found.calls,
        talking=found.talking,
        wallets=[_wallet(x) for x in found.wallets],
    )


def _wallet(found: WalletBalance) -> WalletNow:
    unit = found.unit
    return WalletNow(
        unit=unit.code,
        posted=money(found.posted, unit),
        reserved=money(found.reserved, unit),
        credit_limit=money(found.credit_limit, unit),
        available=money(found.available, unit),
        cost=money(found.cost, unit),
        live=money(found.left, unit),
    )


def _calls(page: LivePage) -> LiveCalls:
    return LiveCalls(at=moment(page.at_us), items=[_call(x) for x in page.rows], more=bool(page.after))


def _call(now: LiveCallNow) -> LiveCall:
    unit = now.unit
    return LiveCall(
        id=now.session_id,
        account=now.account,
        direction=now.direction,
        caller=now.caller,
        called=now.called,
        destination=now.destination,
        state=now.state,
        requested=moment(now.requested_us),
        answered=moment_or_none(now.answered_us),
        elapsed_s=now.elapsed_us // SECOND_US,
        cost=None if unit is None else money(now.cost, unit),
        funds_left=None if unit is None or now.funds_left is None else money(now.funds_left, unit),
        remaining_s=None if now.remaining_us is None else now.remaining_us // SECOND_US,
    )
