"""Ends live calls: asked for here, done by the daemon of the call's switch, and told when asked again."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from pbxbill.access.permissions import Permission
from pbxbill.listing.hang_ups import HangUp, hang_up, hang_ups_of
from pbxbill.store.models import AccountRow, ReservationRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.calls import CallPath
from pbxbill.web.api.fields import Line, Moment, Sent, moment, moment_or_none
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import needs

TAG = "Live"


class Asking(Sent):
    """Why a call is hung up."""

    note: Annotated[Line, StringConstraints(max_length=200)] = Field(default="", description="Kept with it.")


class HangUpAsked(BaseModel):
    """A request to end a call."""

    session_id: str
    state: str = Field(description="asked, done, gone (it had ended), failed, or expired (nobody did it).")
    by: str
    note: str
    asked: Moment
    answered: Moment | None
    detail: str = Field(description="Why it failed.")


def hang_ups(api: Api) -> None:
    """POST and GET of a live call's end."""
    front = api.front

    @api.post("/live-calls/<session_id>/hang-up", HangUpAsked, TAG, 202)
    @needs(Permission.CALLS_HANG_UP)
    def hang_up_call(path: CallPath, body: Asking) -> Answer:
        """Have a live call hung up. Its switch does so within a second: GET says what became of it."""
        with front.reading() as session:
            row = session.get(ReservationRow, path.session_id)
            account = None if row is None else session.get(AccountRow, row.account_id)
        if account is None or not front.scope.covers(account):
            raise Refused(404)
        with api.writing("call.hang-up", path.session_id, account_id=account.id) as change:
            asked = hang_up(change, front.scope, path.session_id, by=front.actor.name, note=body.note)
            if asked is None:
                raise Refused(409, "The call has ended.")
            return change.done(_shown(asked), 202)

    @api.get("/live-calls/<session_id>/hang-up", HangUpAsked, TAG)
    @needs(Permission.CALLS_HANG_UP)
    def get_hang_up(path: CallPath) -> HangUpAsked:
        """What became of the last request to hang a call up."""
        with front.reading() as session:
            row = session.get(ReservationRow, path.session_id)
            account = None if row is None else session.get(AccountRow, row.account_id)
            if account is None or not front.scope.covers(account):
                raise Refused(404)
            asked = hang_ups_of(session, [path.session_id], front.clock.now_us()).get(path.session_id)
        if asked is None:
            raise Refused(404)
        return _shown(asked)


def _shown(asked: HangUp) -> HangUpAsked:
    return HangUpAsked(
        session_id=asked.session_id,
        state=str(asked.state),
        by=asked.by,
        note=asked.note,
        asked=moment(asked.asked_us),
        answered=moment_or_none(asked.answered_us),
        detail=asked.detail,
    )
