"""Lines at access numbers: carries out what a dialogue says over the event socket, one stretch of talk each.

The dialplan sets pbxbill_question=card and pbxbill_access_number, answers, calls `socket`; after each call
that was dialled it does so again, and what is known by then stands in variables that only this daemon sets:
pbxbill_card, pbxbill_card_language, and the session of that call. Nothing is kept here between two stretches.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import gevent
import structlog
from gevent.event import AsyncResult

from pbxbill.charging.control import Phase
from pbxbill.charging.events import Authorize as AuthorizeCall
from pbxbill.charging.events import DenialReason, Denied, Direction, Granted
from pbxbill.charging.shadow import for_the_switch
from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import InputRefused, StoreUnavailable, SwitchError, SwitchGone
from pbxbill.esl.announce import Announcer
from pbxbill.esl.authorize import CallRequest, read_request, setvar_command
from pbxbill.esl.conductor import Conductor
from pbxbill.esl.connection import CallSocket
from pbxbill.esl.events import session_id as as_session
from pbxbill.esl.settings import FreeSwitchSettings
from pbxbill.esl.wire import Event, Headers
from pbxbill.ids import new_id
from pbxbill.ivr.access_number import AccessTerms
from pbxbill.ivr.desk import CardDesk, spoken_in
from pbxbill.ivr.dialogue import Dialogue
from pbxbill.ivr.turns import (
    Act,
    Allowed,
    Ask,
    Authorize,
    Dial,
    Ending,
    Failed,
    Gone,
    HangUp,
    Heard,
    NotAllowed,
    Part,
    Resumed,
    Said,
    Say,
    Started,
    Told,
    Wait,
)

Answer = TypeVar("Answer")
log = structlog.get_logger(__name__)

CARD = "card"
"""What the dialplan's variable pbxbill_question says."""
KEYS = "pbxbill_keys"
"""The variable that what was pressed is read into."""
LONGEST_PROMPT_S = 120
SETTLED_WITHIN_S = 2.0
SETTLED_LOOK_S = 0.1
ANSWER_S = 10
MOST_AHEAD = 24
LISTEN_MS = 2000
SPARE_S = 30
"""How much longer than the dialogue the switch itself lets the line be up."""
SILENCE = "silence_stream://10"
ENDINGS = {
    "SUCCESS": Ending.TALKED,
    "USER_BUSY": Ending.BUSY,
    "NO_ANSWER": Ending.NO_ANSWER,
    "NO_USER_RESPONSE": Ending.NO_ANSWER,
    "ALLOTTED_TIMEOUT": Ending.NO_ANSWER,
}
Grant = Callable[[CallSocket, CallRequest, Granted, dict[str, str]], None]


@dataclass(slots=True)
class Line:
    """One caller at an access number, and what his channel tells."""

    socket: CallSocket
    call: CallRequest
    number: str
    paid: bool
    """The line itself is charged, as a call to a DID: it has an end already."""
    ahead: str = ""
    """Keys pressed while something was looked up: the next answer."""
    listening: bool = False
    _waiting: "dict[str, AsyncResult[Headers]]" = field(default_factory=dict)
    _gone: bool = False

    def listen(self) -> None:
        """Hear of what the channel has done, and of its end."""
        self.socket.closed.rawlink(lambda _flag: self._end())
        self.socket.follow(self._take)

    def _take(self, event: Event) -> None:
        if event.name == "CHANNEL_EXECUTE_COMPLETE":
            waiting = self._waiting.pop(event.headers.get("Application-UUID"), None)
            if waiting is not None:
                waiting.set(event.headers)
        elif event.name == "CHANNEL_HANGUP":
            self._end()

    def _end(self) -> None:
        self._gone = True
        for waiting in self._waiting.values():
            waiting.set_exception(SwitchGone("the caller hung up"))
        self._waiting.clear()

    def run(self, application: str, argument: str, within_s: float) -> Headers:
        """Have an application done, and wait for its end; the channel's data then."""
        if self._gone:
            raise SwitchGone("the caller hung up")
        execution_id = new_id()
        done: AsyncResult[Headers] = AsyncResult()
        self._waiting[execution_id] = done
        self.socket.execute(application, argument, execution_id)
        try:
            headers: Headers = done.get(timeout=within_s)
        except gevent.Timeout:
            self._waiting.pop(execution_id, None)
            raise SwitchError(f"{application} did not end within {within_s:g} s") from None
        return headers


class CardLines:
    """Talks to callers of access numbers."""

    def __init__(
        self,
        settings: FreeSwitchSettings,
        desk: CardDesk,
        conductor: Conductor,
        announcer: Announcer,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._desk = desk
        self._conductor = conductor
        self._announcer = announcer
        self._clock = clock

    def converse(self, call_socket: CallSocket, data: Headers, authorizing: "CallAuthorizing") -> None:
        """One stretch, up to a number to dial or the end."""
        call = read_request(data, self._settings.name, shadow=self._settings.shadow)
        line = Line(
            call_socket,
            call,
            data.variable("pbxbill_access_number").removeprefix("+"),
            paid=bool(call.pays_for),
        )
        try:
            terms = _asked(self._desk.terms, line.number)
        except StoreUnavailable as failure:
            log.warning("card_line_unserved", number=line.number, reason=str(failure))
            return
        if terms is None:
            log.warning("no_access_number", number=line.number[:40], hint="pbxbill access-numbers add")
            return
        line.listen()
        known = data.variable("pbxbill_card")
        if known:
            self._resumed(line, terms, data, known, authorizing)
        else:
            self._started(line, terms, authorizing)

    def _started(self, line: Line, terms: AccessTerms, authorizing: "CallAuthorizing") -> None:
        if not self._desk.lines.enter(line.number, terms.max_lines):
            log.warning("access_number_full", number=line.number, most=terms.max_lines)
            return
        held = [line.number]
        try:
            dialogue = Dialogue(terms, self._clock.monotonic_us())
            self._talk(line, dialogue, Started(), authorizing, held)
        finally:
            if held:
                self._desk.lines.leave(held.pop())

    def _resumed(
        self, line: Line, terms: AccessTerms, data: Headers, known: str, authorizing: "CallAuthorizing"
    ) -> None:
        if not (known.isascii() and known.isdigit()):
            raise InputRefused(f"no card: {known[:40]!r}")
        session = as_session(data.variable("pbxbill_session"))
        ending = ENDINGS.get(data.variable("originate_disposition"), Ending.FAILED)
        call = self._conductor.book.get(session)
        if call is not None and ending is not Ending.TALKED and call.live.phase is Phase.SETUP:
            self._conductor.gone_unanswered(call, line.call.request.at_us)
        card = _asked(self._desk.card, line.number, int(known))
        if card is None:
            log.info("card_not_usable", card=int(known))
            return
        cost = None
        if ending is Ending.TALKED and session and self._settled(session):
            cost = _asked(self._desk.cost, card, session)
            card = _asked(self._desk.card, line.number, int(known)) or card
        told = Resumed(card, data.variable("pbxbill_card_language"), ending, cost)
        self._talk(line, Dialogue(terms, self._clock.monotonic_us()), told, authorizing, [])

    def _settled(self, session: str) -> bool:
        """The events of the end may be on their way still."""
        for _ in range(round(SETTLED_WITHIN_S / SETTLED_LOOK_S)):
            if self._conductor.book.get(session) is None and _asked(self._desk.is_closed, session):
                return True
            gevent.sleep(SETTLED_LOOK_S)
        return False

    # --- the talk -------------------------------------------------------------------------------

    def _talk(
        self, line: Line, dialogue: Dialogue, told: Told, authorizing: "CallAuthorizing", held: list[str]
    ) -> None:
        """held: the access number while this line counts as one without a card."""
        cleared = {"pbxbill_cause": "NORMAL_CLEARING", "pbxbill_verdict": ""}
        line.socket.api(setvar_command(line.call.uuid, cleared))
        if not line.call.answered:
            line.run("answer", "", ANSWER_S)
        limited_as: bool | None = None  # whether the limit is that of a known card
        while True:
            act = dialogue.take(told, self._clock.monotonic_us())
            if held and dialogue.card is not None:
                self._desk.lines.leave(held.pop())
            if limited_as is not (dialogue.card is not None):
                limited_as = dialogue.card is not None
                self._limit(line, dialogue)
            if isinstance(act, Dial | HangUp):
                if not line.paid:
                    line.socket.api(f"sched_del {line.call.uuid}")
                log.info("card_line_ends", number=line.number, dials=isinstance(act, Dial))
                return
            try:
                told = self._carry_out(line, dialogue, act, authorizing)
            except StoreUnavailable as failure:
                log.warning("card_line_failed", number=line.number, reason=str(failure))
                told = Failed()
            except SwitchGone:
                told = Gone()

    def _limit(self, line: Line, dialogue: Dialogue) -> None:
        """The switch ends a line whose daemon fell silent; one that is paid for has its own end."""
        if not line.paid:
            limit_s = dialogue.left_us(self._clock.monotonic_us()) // SECOND_US + SPARE_S
            uuid = line.call.uuid
            line.socket.api(f"sched_del {uuid}")
            line.socket.api(f"sched_hangup +{limit_s} {uuid} recovery_on_timer_expire")

    def _carry_out(self, line: Line, dialogue: Dialogue, act: Act, authorizing: "CallAuthorizing") -> Told:
        match act:
            case Ask():
                return self._ask(line, act)
            case Say(part):
                self._play(line, part, most=1, first_s=0, digit_s=0)
                return Said()
            case Wait(wait_s):
                line.run("sleep", str(wait_s * 1000), wait_s + LONGEST_PROMPT_S)
                return Said()
            case Authorize(number):
                return self._authorize(line, dialogue, number, authorizing)
            case _:
                caller = line.call.request.caller
                return self._listening(
                    line, dialogue, lambda: _asked(self._desk.answer, act, line.number, caller, dialogue.card)
                )

    def _listening(self, line: Line, dialogue: Dialogue, question: Callable[[], Told]) -> Told:
        """Ask, and hear meanwhile: a channel that does nothing throws keys away, and who dials on would call
        another."""

        def attempt() -> Told | StoreUnavailable:
            try:
                return question()
            except StoreUnavailable as failure:
                return failure  # gevent would print what ends a greenlet

        answer = gevent.spawn(attempt)
        answer.rawlink(lambda _done: gevent.spawn(self._stop_listening, line))
        argument = f"0 {MOST_AHEAD} silence_stream://{LISTEN_MS} {KEYS} 50 # {dialogue.digit_s * 1000}"
        within_s = LONGEST_PROMPT_S + MOST_AHEAD * dialogue.digit_s
        line.listening = True
        try:
            while not (line.ahead or answer.ready()):
                line.ahead = self._read(line, argument, within_s)
        finally:
            line.listening = False
        told: Told | StoreUnavailable = answer.get()
        if isinstance(told, StoreUnavailable):
            raise told
        return told

    @staticmethod
    def _stop_listening(line: Line) -> None:
        """Where the silence had not begun yet, it ends by itself."""
        try:
            if line.listening:
                line.socket.api(f"uuid_break {line.call.uuid}")
        except SwitchError as error:
            log.info("card_line_gone", why=str(error))

    def _ask(self, line: Line, ask: Ask) -> Told:
        ahead, line.ahead = line.ahead, ""
        if ahead and not ask.secret:
            line.ahead = ahead[ask.most :]
            return Heard(ahead[: ask.most])
        *others, last = ask.parts
        for part in others:
            if keys := self._play(line, part, most=ask.most, first_s=0, digit_s=ask.digit_s):
                return Heard(keys)
        return Heard(self._play(line, last, most=ask.most, first_s=ask.first_s, digit_s=ask.digit_s))

    def _play(self, line: Line, part: Part, *, most: int, first_s: int, digit_s: int) -> str:
        """Say it and collect; the keys that were pressed."""
        path = self._announcer.path(part.tokens, part.language) or SILENCE
        first_ms, digit_ms = first_s * 1000 or 50, digit_s * 1000 or 50
        argument = f"0 {most} {path} {KEYS} {first_ms} # {digit_ms}"
        return self._read(line, argument, LONGEST_PROMPT_S + first_s + most * digit_s)

    @staticmethod
    def _read(line: Line, argument: str, within_s: float) -> str:
        keys = line.run("read", argument, within_s).variable(KEYS)
        if keys:
            # What stays on the channel stands in its CDR: a PIN, a voucher's code.
            line.socket.api(f"uuid_setvar {line.call.uuid} {KEYS}")
        return keys

    def _authorize(self, line: Line, dialogue: Dialogue, number: str, authorizing: "CallAuthorizing") -> Told:
        known = dialogue.card
        card = _asked(self._desk.card, line.number, known.card_id) if known is not None else None
        if card is None:
            return NotAllowed(DenialReason.END_USER_SERVICE_DENIED)
        before = line.call.request
        request = AuthorizeCall(
            session_id=new_id(),
            switch=self._settings.name,
            call_id=line.call.uuid,
            direction=Direction.OUTBOUND,
            dialled=number,
            caller=before.caller,
            at_us=before.at_us + self._clock.monotonic_us() - authorizing.began_us,
            account_code=card.endpoint,
            shadow=self._settings.shadow,
        )
        call = CallRequest(request, line.call.uuid, True, line.call.exports, line.call.pays_for)
        outcome = for_the_switch(authorizing.decide(call), request)
        if isinstance(outcome, Denied):
            log.info("card_call_denied", session=request.session_id, reason=outcome.reason.value)
            return NotAllowed(outcome.reason)
        outcome = spoken_in(outcome, dialogue.language)
        variables = {
            "pbxbill_card": str(card.card_id),
            "pbxbill_card_language": dialogue.language,
            "pbxbill_number": number,
        }
        authorizing.grant(line.socket, call, outcome, variables)
        return Allowed(outcome.affordable_us // SECOND_US)


@dataclass(frozen=True, slots=True)
class CallAuthorizing:
    """How the authorization desk decides and grants, for a line of its own."""

    began_us: int
    """Monotonic: when the line's data was read."""
    decide: Callable[[CallRequest], Granted | Denied]
    grant: Grant


def _asked(question: Callable[..., Answer], *arguments: object) -> Answer:
    """In a thread: the loop goes on meanwhile. StoreUnavailable as it comes."""

    def attempt() -> Answer | StoreUnavailable:
        try:
            return question(*arguments)
        except StoreUnavailable as failure:
            return failure  # gevent would print what is raised in its threads

    answer: Answer | StoreUnavailable = gevent.get_hub().threadpool.apply(attempt)
    if isinstance(answer, StoreUnavailable):
        raise answer
    return answer
