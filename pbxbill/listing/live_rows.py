"""The list of live calls: its rows and filters, and what one of them shows once it is priced."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.charging.live_calls import PricedCall, PricedCalls
from pbxbill.listing.hang_ups import HangUp
from pbxbill.listing.listing import (
    N_,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Listing,
    Order,
    Rows,
    contains,
    equals,
)
from pbxbill.money import Unit
from pbxbill.store.models import AccountRow, ReservationRow

SETTING_UP, TALKING = "reserved", "answered"
OPEN = (SETTING_UP, TALKING)
STATES = ((SETTING_UP, N_("Setting up")), (TALKING, N_("Talking")))
_ABOVE = aliased(AccountRow)
IS_OPEN = ReservationRow.state.in_(OPEN)


@dataclass(frozen=True, slots=True)
class LiveLevel:
    """What one account of the chain would be charged if the call ended now."""

    account_id: int
    account: str
    unit: Unit
    cost: int


@dataclass(frozen=True, slots=True)
class LiveCallNow:
    """One live call at a moment."""

    session_id: str
    switch: str
    call_id: str
    account_id: int
    account: str
    name: str
    reseller: str
    """The code of the account above; empty where that may not be seen."""
    direction: str
    caller: str
    called: str
    destination: str
    state: str
    """reserved: it is being set up; answered."""
    requested_us: int
    answered_us: int | None
    elapsed_us: int
    granted_us: int
    """Call time that is paid for so far."""
    final: bool
    """It ends with what it was granted: there are no funds for more."""
    shadow: bool
    """Only watched: nothing is enforced, and it cannot be hung up here."""
    unit: Unit | None
    """None: nobody pays, a call to a DID that is free or to an emergency number."""
    cost: int
    """Of the account that calls, with tax, if it ended now."""
    reserved: int
    """What the call earmarks in the account's first wallet."""
    funds_left: int | None
    """What the account could still spend if all its calls ended now; None: nobody pays."""
    remaining_us: int | None
    """About how long the funds last for it; None before the answer."""
    levels: tuple[LiveLevel, ...]
    """The caller's account first, up to the one who looks; none above him."""
    hang_up: HangUp | None = None
    """What somebody asked for."""


def live_listing(finish: Callable[[Session, list[dict[str, Any]]], None]) -> Listing:
    """The list; finish prices the rows of a page."""
    return Listing(
        name="live-calls",
        title=N_("Live calls"),
        permission=Permission.CALLS_READ,
        columns=(
            Column("account", N_("Account"), ColumnKind.CODE),
            Column("reseller", N_("Reseller"), ColumnKind.CODE, wide=True),
            Column("caller", N_("Caller"), ColumnKind.CODE, wide=True),
            Column("called", N_("Called"), ColumnKind.CODE),
            Column("destination", N_("Destination")),
            Column("direction", N_("Direction"), ColumnKind.STATE, wide=True),
            Column("state", N_("State"), ColumnKind.STATE),
            Column("elapsed_s", N_("Seconds"), ColumnKind.SECONDS),
            Column("cost", N_("Cost so far"), ColumnKind.MONEY),
            Column("funds_left", N_("Funds left"), ColumnKind.MONEY),
            Column("remaining_s", N_("Lasts about"), ColumnKind.SECONDS, wide=True),
            Column("requested_us", N_("Began"), ColumnKind.MOMENT, wide=True),
            Column("switch", N_("Switch"), ColumnKind.CODE, wide=True),
            Column("call_id", N_("Call id"), ColumnKind.CODE, wide=True),
        ),
        rows=_rows,
        orders=(
            Order("oldest", N_("Longest first"), ReservationRow.requested_us, ReservationRow.session_id),
            Order(
                "newest",
                N_("Newest first"),
                ReservationRow.requested_us,
                ReservationRow.session_id,
                descending=True,
            ),
        ),
        filters=(
            Filter(
                "q",
                N_("Number or destination"),
                contains(ReservationRow.caller, ReservationRow.called, ReservationRow.destination),
            ),
            Filter("account", N_("Account's code"), equals(AccountRow.code)),
            Filter("reseller", N_("Reseller's code"), equals(_ABOVE.code)),
            Filter("switch", N_("Switch"), equals(ReservationRow.switch)),
            Filter("state", N_("State"), equals(ReservationRow.state), FilterKind.CHOICE, STATES),
        ),
        finish=finish,
    )


def _rows(_session: Session, scope: Scope) -> Rows:
    return (
        select(
            ReservationRow.session_id.label("id"),
            ReservationRow.account_id.label("account_id"),
            AccountRow.code.label("account"),
            AccountRow.name.label("name"),
            AccountRow.path.label("path"),
            _ABOVE.code.label("reseller"),
            ReservationRow.switch.label("switch"),
            ReservationRow.call_id.label("call_id"),
            ReservationRow.direction.label("direction"),
            ReservationRow.caller.label("caller"),
            ReservationRow.called.label("called"),
            ReservationRow.destination.label("destination"),
            ReservationRow.state.label("state"),
            ReservationRow.requested_us.label("requested_us"),
            ReservationRow.answered_us.label("answered_us"),
            ReservationRow.granted_us.label("granted_us"),
            ReservationRow.final.label("final"),
            ReservationRow.shadow.label("shadow"),
        )
        .join(AccountRow, AccountRow.id == ReservationRow.account_id)
        .outerjoin(_ABOVE, _ABOVE.id == AccountRow.parent_id)
        .where(IS_OPEN, scope.among(ReservationRow.account_id))
    )


def codes_of(session: Session, calls: Iterable[PricedCall]) -> dict[int, str]:
    """The codes of all accounts that some calls are charged to."""
    ids = {cost.account_id for call in calls for cost in call.costs}
    query = select(AccountRow.id, AccountRow.code).where(AccountRow.id.in_(ids))
    return {x.id: x.code for x in session.execute(query)} if ids else {}


def shown(
    row: Mapping[str, Any],
    call: PricedCall | None,
    priced: PricedCalls,
    codes: Mapping[int, str],
    asked: HangUp | None = None,
) -> LiveCallNow:
    """A call as it is shown. call: None if it ended between two statements that see different moments."""
    own = call is not None and bool(call.costs) and call.costs[0].account_id == row["account_id"]
    funds = priced.funds(call) if call is not None and own else None
    held = call.reservation.levels[0].reserved if call is not None and own else 0
    return LiveCallNow(
        session_id=row["id"],
        reseller=row["reseller"] or "",
        final=bool(row["final"]),
        shadow=row["shadow"] is not None,
        elapsed_us=call.elapsed_us if call is not None else 0,
        unit=call.costs[0].unit if call is not None and own else None,
        cost=call.costs[0].total if call is not None and own else 0,
        reserved=held,
        funds_left=funds.left if funds is not None else None,
        remaining_us=funds.remaining_us if funds is not None else None,
        levels=tuple(
            LiveLevel(x.account_id, codes.get(x.account_id, ""), x.unit, x.total)
            for x in (call.costs if call is not None else ())
        ),
        hang_up=asked,
        **{
            key: row[key]
            for key in (
                "switch", "call_id", "account_id", "account", "name", "direction", "caller", "called",
                "destination", "state", "requested_us", "answered_us", "granted_us",
            )
        },
    )  # fmt: skip


def within(scope: Scope, call: LiveCallNow) -> LiveCallNow:
    """Without what is charged above whoever looks."""
    if scope.is_everything:
        return call
    seen = []
    for level in call.levels:
        if scope.own and level.account_id != scope.account_id:
            continue
        seen.append(level)
        if level.account_id == scope.account_id:
            break
    # Who above him asked for its end, and why, is not for him; his own people stand in his audit log.
    asked = None if call.hang_up is None else replace(call.hang_up, by="", note="")
    return replace(call, levels=tuple(seen), reseller="" if scope.own else call.reseller, hang_up=asked)
