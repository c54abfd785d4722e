"""A FastAGI question becomes an Authorize, its outcome the variables that the dialplan goes on with.

The dialplan asks `agi://HOST:PORT/outbound|inbound|forward,NUMBER,SOURCE,STATE,EXTRA`:
SOURCE is the address the INVITE came from, STATE the channel's state, EXTRA the account that pays for a
forwarded leg (set by the inbound question before). Who pays never comes from what a caller sent: the account
code is the endpoint's own.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from ipaddress import ip_address
from types import MappingProxyType

import structlog

from pbxbill.ami.announce import Spoken, Voice
from pbxbill.ami.calls import CallBook, TrackedCall
from pbxbill.ami.commands import is_safe, seconds, set_variables
from pbxbill.ami.fastagi import AgiRequest, AgiSession
from pbxbill.ami.metrics import AsteriskMetrics
from pbxbill.ami.settings import AsteriskSettings
from pbxbill.ami.waiting import outcome_within
from pbxbill.charging.announcement import SERVICE_DENIED
from pbxbill.charging.events import Authorize, Denied, Direction, Granted, Outcome, Void
from pbxbill.charging.hangup import CAUSE_OF_DENIAL, HangupCause
from pbxbill.charging.ports import Engine
from pbxbill.charging.shadow import for_the_switch
from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import EngineBusy, InputRefused, StoreUnavailable, SwitchError
from pbxbill.ids import new_id

log = structlog.get_logger(__name__)

LONGEST_RINGING_US = 180 * SECOND_US
"""How much longer than the granted time the caller's leg may live before the paid leg is answered."""

DENIAL_PLAYS_US = 60 * SECOND_US
"""The longest a denied caller may listen."""

NOTHING: Mapping[str, str] = MappingProxyType({})

CONGESTION = 42
"""Q.850: switching equipment congestion."""

_DIGITS = re.compile(r"\+?[0-9]{1,32}")
_SOURCE = re.compile(r"\[?([0-9A-Fa-f.:]+?)\]?(?::[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Question:
    """What one request asks."""

    request: Authorize
    channel: str
    already_up: bool
    forwarded: bool = False
    from_card: bool = False
    """Asked by a dialogue at an access number: the caller's leg goes on when the call has ended."""
    line_is_paid: bool = False
    """That leg is charged itself: its end is set already."""


def parse_question(agi: AgiRequest, *, switch: str, now_us: int, shadow: bool = False) -> Question:
    """The question of a request; InputRefused when it is none of ours."""
    kind = agi.script
    if kind not in {"outbound", "inbound", "forward"}:
        raise InputRefused(f"no such question: {kind[:40]!r}")
    call_id = agi.fields.get("agi_uniqueid", "")
    if not call_id or not is_safe(call_id):
        raise InputRefused(f"no usable agi_uniqueid: {call_id[:40]!r}")
    number, extra = agi.argument(1), agi.argument(4)
    caller = agi.fields.get("agi_callerid", "")
    caller_id = caller if _DIGITS.fullmatch(caller) else ""
    inbound, forward = kind == "inbound", kind == "forward"
    if forward and not extra:
        raise InputRefused("a forwarded leg without the account that pays for it: ask inbound first")
    own_account = "" if inbound else agi.fields.get("agi_accountcode", "")
    request = Authorize(
        session_id=new_id(),
        switch=switch,
        call_id=call_id,
        direction=Direction.INBOUND if inbound else Direction.OUTBOUND,
        dialled=number,
        caller=caller[:64],
        at_us=now_us,
        account_code=extra if forward else own_account,
        source_ip="" if forward or inbound else source_address(agi.argument(2)),
        caller_id="" if forward or inbound else caller_id.removeprefix("+"),
        did=number if inbound else "",
        shadow=shadow,
    )
    return Question(request, agi.fields.get("agi_channel", ""), agi.argument(3) == "Up", forward)


def source_address(text: str) -> str:
    """The IP address out of ADDRESS:PORT; empty when it is none."""
    match = _SOURCE.fullmatch(text) if text.count(":") <= 1 or text.startswith("[") else None
    candidate = match[1] if match else text
    try:
        return str(ip_address(candidate))
    except ValueError:
        return ""


def granted_variables(granted: Granted, question: Question, say: str, language: str) -> dict[str, str]:
    """What the dialplan is told of a grant. Two underscores: inherited by the legs that the channel dials."""
    request = question.request
    inbound = request.direction is Direction.INBOUND
    variables = {
        "__PBXBILL_SESSION": granted.session_id,
        "__PBXBILL_CALL": request.call_id,
        # 0 takes a timer away: in shadow nothing ends a call.
        "__PBXBILL_GRANTED": "0" if granted.shadow else seconds(granted.granted_us),
        "__PBXBILL_SHADOW": "yes" if granted.shadow else "no",
        "__PBXBILL_DIRECTION": request.direction.value,
        "PBXBILL_CALLED": granted.called,
        "CDR(pbxbill_number)": request.dialled if is_safe(request.dialled) else "",
        "CDR(pbxbill_mode)": "offline" if granted.offline else "online",
    }
    if inbound:
        variables["CDR(pbxbill_inbound)"] = f"{granted.session_id}/{variables['CDR(pbxbill_number)']}"
        variables["PBXBILL_INBOUND"] = granted.session_id
        variables["PBXBILL_PAID"] = granted.session_id
        variables["PBXBILL_ACCOUNT"] = granted.account_code if is_safe(granted.account_code) else ""
    else:
        variables["CDR(pbxbill_session)"] = granted.session_id
    if question.forwarded or question.from_card:  # the trunk's own account code says nothing of who pays
        variables["CDR(pbxbill_account)"] = request.account_code if is_safe(request.account_code) else ""
    if say:
        variables |= {"PBXBILL_SAY": say, "PBXBILL_LANGUAGE": language}
    # The verdict comes last: whatever stops Asterisk half way leaves the call without one.
    if question.line_is_paid:
        return variables | {"PBXBILL_VERDICT": "allow"}
    ceiling = "0" if granted.shadow else seconds(granted.granted_us + LONGEST_RINGING_US)
    return variables | {"TIMEOUT(absolute)": ceiling, "PBXBILL_VERDICT": "allow"}


def denied_variables(cause: HangupCause, say: str, language: str) -> dict[str, str]:
    """What the dialplan is told of a denial."""
    # Asterisk answers 603 to 41, which says "never try again", and 503 to 42.
    number = CONGESTION if cause is HangupCause.TEMPORARY_FAILURE else int(cause)
    variables = {"PBXBILL_CAUSE": str(number), "TIMEOUT(absolute)": seconds(DENIAL_PLAYS_US)}
    if say:
        variables |= {"PBXBILL_SAY": say, "PBXBILL_LANGUAGE": language}
    return variables | {"PBXBILL_VERDICT": "deny"}


class Authorizer:
    """Answers the dialplan's questions."""

    def __init__(
        self,
        settings: AsteriskSettings,
        engine: Engine,
        book: CallBook,
        voice: Voice,
        clock: Clock,
        metrics: AsteriskMetrics,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._book = book
        self._voice = voice
        self._clock = clock
        self._metrics = metrics
        self.switch_now_us: Callable[[], int] = clock.now_us
        """Asterisk's clock, as far as it is known."""
        self.on_granted: Callable[[TrackedCall, Question], None] = lambda _call, _question: None
        self.on_undelivered: Callable[[TrackedCall], None] = lambda _call: None
        self.on_late: Callable[[], None] = lambda: None
        """A call entered the book whose events may have come before."""

    async def answer(self, session: AgiSession) -> None:
        """One request, from question to verdict."""
        began_us = self._clock.monotonic_us()
        try:
            question = parse_question(
                session.request,
                switch=self._settings.name,
                now_us=self.switch_now_us(),
                shadow=self._settings.shadow,
            )
        except InputRefused as refused:
            self._metrics.requests.labels("refused").inc()
            log.warning("agi_question_refused", reason=str(refused))
            return
        outcome = await self.decide(question)
        if isinstance(outcome, Granted | Denied):
            outcome = for_the_switch(outcome, question.request)
        match outcome:
            case Granted():
                await self.grant(session, question, outcome, self._voice.before_the_call(outcome))
            case Denied():
                await self._deny(session, question.request, outcome)
            case _:
                raise SwitchError(f"the engine answered an authorization with {type(outcome).__name__}")
        self._metrics.request_seconds.observe((self._clock.monotonic_us() - began_us) / 1_000_000)

    async def decide(self, question: Question) -> Outcome:
        """What the engine says, or memory where it says nothing in time."""
        request = question.request
        timeout_s = self._settings.authorize_timeout_s
        future: Future[Outcome] | None = None
        try:
            future = self._engine.submit(request, int(timeout_s * 1000))
            return await outcome_within(future, timeout_s)
        except (StoreUnavailable, EngineBusy, TimeoutError) as failure:
            log.warning("authorize_offline", session=request.session_id, reason=str(failure) or "time-out")
        outcome = self._engine.authorize_offline(request)
        if future is not None and request.shadow:
            loop = asyncio.get_running_loop()
            future.add_done_callback(lambda late: self._tell_late(late, question, loop))
        elif future is not None and isinstance(outcome, Denied):
            future.add_done_callback(lambda late: self._release_late(late, request))
        return outcome

    def _tell_late(
        self, late: "Future[Outcome]", question: Question, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Called in the engine's thread: the call passed, and what pays for it came after it."""
        granted = None if late.cancelled() or late.exception() is not None else late.result()
        if not isinstance(granted, Granted):
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended: the next start finds the reservation
            loop.call_soon_threadsafe(self._take_late, granted, question)

    def _take_late(self, granted: Granted, question: Question) -> None:
        if self._book.unknown(granted.session_id):
            log.warning("late_grant_taken", session=granted.session_id)
            self._book.add(granted._replace(shadow=True), question.request, question.channel)
            self.on_late()

    def _release_late(self, late: "Future[Outcome]", request: Authorize) -> None:
        """A grant that came after the caller was turned away holds money for nobody."""
        if late.cancelled() or late.exception() is not None or not isinstance(late.result(), Granted):
            return
        log.warning("late_grant_released", session=request.session_id)
        self._engine.submit(Void(request.session_id, request.at_us, int(HangupCause.TEMPORARY_FAILURE)))

    async def grant(
        self,
        session: AgiSession,
        question: Question,
        granted: Granted,
        spoken: Spoken,
        extra: Mapping[str, str] = NOTHING,
    ) -> bool:
        """Put the call into the book and tell the dialplan; whether it heard.

        extra: variables that are told before the verdict.
        """
        request = question.request
        call = None
        if granted.offline and not granted.shadow:
            ceiling_us = self._settings.offline_ceiling_us
            granted = granted._replace(granted_us=min(granted.granted_us, ceiling_us))
        elif not granted.offline:
            # Before Asterisk hears of it: the first events may come right behind the reply.
            call = self._book.add(granted, request, question.channel)
            call.spares_caller = question.from_card
        variables = granted_variables(granted, question, spoken.playback, spoken.language)
        try:
            reply = await session.command(*set_variables({**extra, **variables}))
            delivered = reply.success
        except (SwitchError, InputRefused) as failure:
            log.info("verdict_undelivered", session=granted.session_id, reason=str(failure))
            delivered = False
        self._metrics.requests.labels("granted" if delivered else "undelivered").inc()
        log.info(
            "call_granted" if delivered else "grant_unused",
            session=granted.session_id,
            call_id=request.call_id,
            account=granted.account_code,
            destination=granted.destination,
            granted_us=granted.granted_us,
            offline=granted.offline,
        )
        if call is None:
            return delivered
        if delivered:
            self.on_granted(call, question)
        else:
            self.on_undelivered(call)
        return delivered

    async def _deny(self, session: AgiSession, request: Authorize, denied: Denied) -> None:
        if not denied.announcement.denial:
            spoken = self._voice.say([], denied.announcement.language)
        elif request.direction is Direction.INBOUND:
            # A caller from outside learns nothing of the owner's funds.
            spoken = self._voice.say([SERVICE_DENIED], denied.announcement.language)
        else:
            spoken = self._voice.denial(denied)
        cause = CAUSE_OF_DENIAL[denied.reason]
        self._metrics.requests.labels(f"denied_{denied.reason}").inc()
        log.info(
            "call_denied",
            session=request.session_id,
            call_id=request.call_id,
            reason=denied.reason.value,
            detail=denied.detail,
        )
        try:
            await session.command(*set_variables(denied_variables(cause, spoken.playback, spoken.language)))
        except (SwitchError, InputRefused) as failure:
            log.info("verdict_undelivered", session=request.session_id, reason=str(failure))
