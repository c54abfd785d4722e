"""Who may have a live call hung up, and what became of it, as people ask and see it.

with front.changing("call.hang-up", subject, account_id=...) as change:
    asked = hang_up(change, front.scope, session_id, by=front.actor.name, note="...")    # None: 404
hang_ups_of(session, [session_id, ...], now_us)     # {session_id: HangUp}, the last request of each
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.ledger.reservation import OPEN_STATES
from pbxbill.store.hang_ups import HangUpReason, HangUpState, ask_hang_up, state_of, wallets_of_call
from pbxbill.store.live_models import HangUpRow
from pbxbill.store.models import ReservationRow

_IS_OPEN = ReservationRow.state.in_([x.value for x in sorted(OPEN_STATES)])


class Change(Protocol):
    """A transaction in which rows change, and what tells live calls of it after the commit."""

    @property
    def session(self) -> Session:
        """Where rows are written."""
        ...

    @property
    def books(self) -> Bookkeeper:
        """What tells daemons after the commit."""
        ...

    @property
    def now_us(self) -> int:
        """When."""
        ...


@dataclass(frozen=True, slots=True)
class HangUp:
    """A request to hang a call up, and what became of it."""

    id: int
    session_id: str
    state: HangUpState
    by: str
    note: str
    asked_us: int
    answered_us: int | None
    detail: str
    """Why it failed."""


def hang_up(change: Change, scope: Scope, session_id: str, *, by: str, note: str = "") -> HangUp | None:
    """Ask for the end of a live call of the scope; None: there is no such call, or not for him."""
    session, now_us = change.session, change.now_us
    query = select(ReservationRow.session_id).where(
        ReservationRow.session_id == session_id, _IS_OPEN, scope.among(ReservationRow.account_id)
    )
    if session.scalar(query) is None:
        return None
    reason = HangUpReason.ACCOUNT if scope.own else HangUpReason.RESELLER
    if scope.is_everything:
        reason = HangUpReason.OPERATOR
    row = ask_hang_up(session, session_id, by=by, reason=reason, note=note, now_us=now_us)
    if row is None:
        return None
    change.books.tell(wallets_of_call(session, session_id))
    return _shown(row, now_us)


def hang_ups_of(session: Session, session_ids: Collection[str], now_us: int) -> dict[str, HangUp]:
    """The last request for each of these calls."""
    if not session_ids:
        return {}
    last = (
        select(func.max(HangUpRow.id))
        .where(HangUpRow.session_id.in_(session_ids))
        .group_by(HangUpRow.session_id)
    )
    rows = session.scalars(select(HangUpRow).where(HangUpRow.id.in_(last)))
    return {row.session_id: _shown(row, now_us) for row in rows}


def _shown(row: HangUpRow, now_us: int) -> HangUp:
    return HangUp(
        row.id,
        row.session_id,
        state_of(row, now_us),
        row.by,
        row.note,
        row.asked_us,
        row.answered_us,
        row.detail,
    )
