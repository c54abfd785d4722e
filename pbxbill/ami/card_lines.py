"""Lines at access numbers: carries out what a dialogue says over FastAGI, one question per stretch of talk.

The dialplan asks `agi://HOST:PORT/card,NUMBER,CARD,LANGUAGE,SESSION,DIALSTATUS,PAID`: first with the access
number alone; after each call that was dialled, with the card that was known before, the language, the session
of that call and how Dial ended. These come from variables that only this daemon sets. Nothing is kept here
between two questions, so that another daemon may answer the next one. PAID says `paid` where the line itself
is charged to somebody and therefore has an end already.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from pbxbill.ami.announce import Spoken, Voice
from pbxbill.ami.authorize import Authorizer, Question
from pbxbill.ami.calls import CallBook, TrackedCall
from pbxbill.ami.commands import is_safe, set_variables
from pbxbill.ami.fastagi import AgiSession
from pbxbill.ami.settings import AsteriskSettings
from pbxbill.charging.control import Phase
from pbxbill.charging.events import Authorize as AuthorizeCall
from pbxbill.charging.events import DenialReason, Denied, Direction, Granted
from pbxbill.charging.shadow import for_the_switch
from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import InputRefused, StoreUnavailable, SwitchError, SwitchGone
from pbxbill.ids import is_id, new_id
from pbxbill.ivr.access_number import AccessTerms
from pbxbill.ivr.desk import CardDesk, spoken_in
from pbxbill.ivr.dialogue import Dialogue
from pbxbill.ivr.turns import (
    Act,
    Allowed,
    Ask,
    Authorize,
    Card,
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
"""The question of this module."""
KEYS = "PBXBILL_KEYS"
"""The variable that what was pressed is read into."""
ANSWER_S = 5
LISTEN_MS = 100
ANY_KEY = "0123456789*#"
SILENCE = "silence/1"
CUT_SHORT_S = 0.05
"""A key that ends an announcement is not waited for."""
LONGEST_PROMPT_S = 120
"""No sentence takes longer to say."""
SETTLED_WITHIN_S = 2.0
SETTLED_LOOK_S = 0.1
SPARE_S = 30
"""How much longer than the dialogue the switch itself lets the line be up."""
ENDINGS = {
    "ANSWER": Ending.TALKED,
    "BUSY": Ending.BUSY,
    "NOANSWER": Ending.NO_ANSWER,
}


@dataclass(slots=True)
class Line:
    """One caller at an access number."""

    session: AgiSession
    number: str
    caller: str
    call_id: str
    channel: str
    paid: bool
    """The line itself is charged, as a call to a DID."""
    ahead: str = ""
    """Keys pressed while something was looked up: the first of the next answer."""


class CardLines:
    """Talks to callers of access numbers."""

    def __init__(
        self,
        settings: AsteriskSettings,
        desk: CardDesk,
        authorizer: Authorizer,
        book: CallBook,
        voice: Voice,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._desk = desk
        self._authorizer = authorizer
        self._book = book
        self._voice = voice
        self._clock = clock
        self.on_unanswered: Callable[[TrackedCall], None] = lambda _call: None
        """A call was dialled in vain, and its caller goes on."""

    async def converse(self, session: AgiSession) -> None:
        """One stretch, up to a number to dial or the end."""
        request = session.request
        call_id = request.fields.get("agi_uniqueid", "")
        if not call_id or not is_safe(call_id):
            raise InputRefused(f"no usable agi_uniqueid: {call_id[:40]!r}")
        line = Line(
            session,
            request.argument(1).removeprefix("+"),
            request.fields.get("agi_callerid", "")[:64],
            call_id,
            request.fields.get("agi_channel", ""),
            paid=request.argument(6) == "paid",
        )
        try:
            terms = await self._asked(self._desk.terms, line.number)
        except StoreUnavailable as failure:
            log.warning("card_line_unserved", number=line.number, reason=str(failure))
            return
        if terms is None:
            log.warning("no_access_number", number=line.number[:40], hint="pbxbill access-numbers add")
            return
        if request.argument(2):
            await self._resumed(line, terms)
        else:
            await self._started(line, terms)

    async def _started(self, line: Line, terms: AccessTerms) -> None:
        if not self._desk.lines.enter(line.number, terms.max_lines):
            log.warning("access_number_full", number=line.number, most=terms.max_lines)
            return
        held = [line.number]
        try:
            await self._talk(line, Dialogue(terms, self._clock.monotonic_us()), Started(), held)
        finally:
            if held:
                self._desk.lines.leave(held.pop())

    async def _resumed(self, line: Line, terms: AccessTerms) -> None:
        number, language, session_id, status = (line.session.request.argument(place) for place in range(2, 6))
        if not (number.isascii() and number.isdigit()):
            raise InputRefused(f"no card: {number[:40]!r}")
        ending = ENDINGS.get(status, Ending.FAILED)
        call = self._book.get(session_id)
        if call is not None and ending is not Ending.TALKED and call.live.phase is Phase.SETUP:
            self.on_unanswered(call)
        card = await self._asked(self._desk.card, line.number, int(number))
        if card is None:
            log.info("card_not_usable", card=int(number))
            return
        cost = None
        if ending is Ending.TALKED and is_id(session_id) and await self._settled(session_id):
            cost = await self._asked(self._desk.cost, card, session_id)
            card = await self._asked(self._desk.card, line.number, int(number)) or card
        dialogue = Dialogue(terms, self._clock.monotonic_us())
        await self._talk(line, dialogue, Resumed(card, language, ending, cost), [])

    async def _settled(self, session_id: str) -> bool:
        """The events of the end may be on their way still."""
        for _ in range(round(SETTLED_WITHIN_S / SETTLED_LOOK_S)):
            if self._book.get(session_id) is None and await self._asked(self._desk.is_closed, session_id):
                return True
            await asyncio.sleep(SETTLED_LOOK_S)
        return False

    # --- the talk -------------------------------------------------------------------------------

    async def _talk(self, line: Line, dialogue: Dialogue, told: Told, held: list[str]) -> None:
        """held: the access number while this line counts as one without a card."""
        if not (await line.session.command("ANSWER", lasts_s=ANSWER_S)).success:
            raise SwitchGone("the caller hung up")
        limited_as: bool | None = None  # whether the limit is that of a known card
        while True:
            act = dialogue.take(told, self._clock.monotonic_us())
            if held and dialogue.card is not None:
                self._desk.lines.leave(held.pop())
            if limited_as is not (dialogue.card is not None):
                limited_as = dialogue.card is not None
                await self._limit(line, dialogue)
            if isinstance(act, Dial | HangUp):
                log.info("card_line_ends", number=line.number, dials=isinstance(act, Dial))
                return
            try:
                told = await self._carry_out(line, dialogue, act)
            except StoreUnavailable as failure:
                log.warning("card_line_failed", number=line.number, reason=str(failure))
                told = Failed()
            except SwitchGone:
                told = Gone()

    async def _limit(self, line: Line, dialogue: Dialogue) -> None:
        """The switch ends a line whose daemon fell silent; one that is paid for has its own end."""
        if not line.paid:
            limit_s = dialogue.left_us(self._clock.monotonic_us()) // SECOND_US + SPARE_S
            await line.session.command(*set_variables({"TIMEOUT(absolute)": str(limit_s)}))

    async def _carry_out(self, line: Line, dialogue: Dialogue, act: Act) -> Told:
        match act:
            case Ask():
                return await self._ask(line, act)
            case Say(part):
                await self._play(line, part, most=1, first_s=0, digit_s=0)
                return Said()
            case Wait(wait_s):
                await line.session.command("WAIT FOR DIGIT", str(wait_s * 1000), lasts_s=wait_s)
                return Said()
            case Authorize(number):
                return await self._authorize(line, dialogue, number)
            case _:
                answer = self._asked(self._desk.answer, act, line.number, line.caller, dialogue.card)
                return await self._listening(line, asyncio.ensure_future(answer))

    async def _listening(self, line: Line, answer: "asyncio.Future[Told]") -> Told:
        """Wait for an answer, and hear meanwhile.

        Between two commands Asterisk throws keys away: who dials on would call another.
        """
        # If the caller hangs up first, what comes is nobody's business, and must not be reported as lost.
        answer.add_done_callback(lambda late: None if late.cancelled() else late.exception())
        while not answer.done():
            reply = await line.session.command("WAIT FOR DIGIT", str(LISTEN_MS), lasts_s=LISTEN_MS / 1000)
            if not reply.success:
                raise SwitchGone("the caller hung up")
            if reply.result != "0":
                line.ahead += chr(int(reply.result))
        return await answer

    async def _ask_on(self, line: Line, ask: Ask) -> Told:
        """The answer has begun before the question was asked."""
        ahead, ended, line.ahead = line.ahead.partition("#")
        if len(ahead) >= ask.most:
            line.ahead = ahead[ask.most :] + ended + line.ahead
            return Heard(ahead[: ask.most])
        if ended:
            return Heard(ahead)
        silence = Part(ask.parts[-1].language, ())
        most = ask.most - len(ahead)
        rest = await self._play(line, silence, most=most, first_s=ask.digit_s, digit_s=ask.digit_s)
        return Heard(ahead + rest)

    async def _ask(self, line: Line, ask: Ask) -> Told:
        if line.ahead and not ask.secret:
            return await self._ask_on(line, ask)
        line.ahead = ""
        *others, last = ask.parts
        for part in others:
            if digits := await self._play(line, part, most=ask.most, first_s=0, digit_s=ask.digit_s):
                return Heard(digits)
        if ask.secret:
            return Heard(await self._play_secret(line, last, ask))
        return Heard(await self._play(line, last, most=ask.most, first_s=ask.first_s, digit_s=ask.digit_s))

    async def _play_secret(self, line: Line, part: Part, ask: Ask) -> str:
        """As _play, without Read, which writes what was pressed into Asterisk's log at verbose 3."""
        spoken = self._voice.say(part.tokens, part.language)
        await line.session.command(*set_variables({"CHANNEL(language)": spoken.language}))
        *before, last = spoken.files
        first = ""
        for file in before:
            reply = await line.session.command("STREAM FILE", file, f'"{ANY_KEY}"', lasts_s=LONGEST_PROMPT_S)
            if not reply.success:
                raise SwitchGone("the caller hung up")
            if reply.result != "0":
                first = chr(int(reply.result))
                break
        if first == "#" or (first and ask.most == 1):
            return first.rstrip("#")
        # It has one time-out for all digits; a list of files it does not take.
        patience_s = ask.digit_s if first else ask.first_s
        data = ("GET DATA", SILENCE if first else last, str(patience_s * 1000), str(ask.most - len(first)))
        lasts_s = LONGEST_PROMPT_S + (ask.most + 1) * patience_s
        reply = await line.session.command(*data, lasts_s=lasts_s)
        if not reply.success:
            raise SwitchGone("the caller hung up")
        return first + reply.result

    async def _play(self, line: Line, part: Part, *, most: int, first_s: int, digit_s: int) -> str:
        """Say it and collect; the keys that were pressed."""
        spoken = self._voice.say(part.tokens, part.language)
        # Read plays a list of files, which GET DATA does not, and waits as the channel's two time-outs say.
        variables = {
            "CHANNEL(language)": spoken.language,
            "TIMEOUT(response)": str(first_s or CUT_SHORT_S),
            "TIMEOUT(digit)": str(digit_s or CUT_SHORT_S),
        }
        await line.session.command(*set_variables(variables))
        lasts_s = LONGEST_PROMPT_S + first_s + most * digit_s
        read = f'"{KEYS},{spoken.playback},{most}"'
        reply = await line.session.command("EXEC", "Read", read, lasts_s=lasts_s)
        if not reply.success:
            raise SwitchGone("the caller hung up")
        return (await line.session.command("GET VARIABLE", KEYS)).value

    async def _authorize(self, line: Line, dialogue: Dialogue, number: str) -> Told:
        card = await self._asked(self._desk.card, line.number, _known(dialogue).card_id)
        if card is None:
            return NotAllowed(DenialReason.END_USER_SERVICE_DENIED)
        request = AuthorizeCall(
            session_id=new_id(),
            switch=self._settings.name,
            call_id=line.call_id,
            direction=Direction.OUTBOUND,
            dialled=number,
            caller=line.caller,
            at_us=self._authorizer.switch_now_us(),
            account_code=card.endpoint,
            shadow=self._settings.shadow,
        )
        question = Question(request, line.channel, already_up=True, from_card=True, line_is_paid=line.paid)
        outcome = await self._authorizer.decide(question)
        if isinstance(outcome, Granted | Denied):
            outcome = for_the_switch(outcome, request)
        if isinstance(outcome, Denied):
            log.info("card_call_denied", session=request.session_id, reason=outcome.reason.value)
            return NotAllowed(outcome.reason)
        if not isinstance(outcome, Granted):
            raise SwitchError(f"the engine answered an authorization with {type(outcome).__name__}")
        outcome = spoken_in(outcome, dialogue.language)
        extra = {
            "PBXBILL_CARD": str(card.card_id),
            "PBXBILL_CARD_LANGUAGE": dialogue.language,
            "PBXBILL_NUMBER": number,
        }
        silence = Spoken((), dialogue.language)
        if not await self._authorizer.grant(line.session, question, outcome, silence, extra):
            raise SwitchGone("the channel took no verdict")
        return Allowed(outcome.affordable_us // SECOND_US)

    async def _asked(self, question: Callable[..., Answer], *arguments: object) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(None, question, *arguments)


def _known(dialogue: Dialogue) -> Card:
    if dialogue.card is None:
        raise SwitchError("nobody is known on this line")
    return dialogue.card
