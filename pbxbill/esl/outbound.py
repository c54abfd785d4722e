"""The desk where calls ask: FreeSWITCH's `socket` application connects here before a call is bridged.

Each call is one short conversation: read the channel, ask the engine, set the channel's variables, say what
the caller is to hear, let the dialplan go on. It goes on also when this daemon dies midway; the dialplan
tests `pbxbill_verdict`, which is set last.
"""

import gevent
import structlog
from gevent import socket
from gevent.event import AsyncResult
from gevent.server import StreamServer

from pbxbill.charging.announcement import PROMPT_OF_DENIAL, SERVICE_DENIED, Token, before_the_call
from pbxbill.charging.events import Authorize, Denied, Direction, Granted, Outcome, Void
from pbxbill.charging.hangup import HangupCause
from pbxbill.charging.shadow import for_the_switch
from pbxbill.clock import Clock
from pbxbill.errors import InputRefused, SwitchError
from pbxbill.esl.announce import Announcer
from pbxbill.esl.authorize import (
    CallRequest,
    denied_variables,
    granted_variables,
    read_request,
    setvar_command,
)
from pbxbill.esl.card_lines import CARD, CallAuthorizing, CardLines
from pbxbill.esl.causes import cause_of_denial
from pbxbill.esl.conductor import Conductor
from pbxbill.esl.connection import CallSocket
from pbxbill.esl.mailbox import EngineDoor
from pbxbill.esl.metrics import EslMetrics
from pbxbill.esl.settings import FreeSwitchSettings
from pbxbill.esl.wire import Event
from pbxbill.ids import new_id

log = structlog.get_logger(__name__)


class AuthorizationDesk:
    """Listens for calls and answers them."""

    def __init__(
        self,
        settings: FreeSwitchSettings,
        engine: EngineDoor,
        conductor: Conductor,
        announcer: Announcer,
        clock: Clock,
        metrics: EslMetrics,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._conductor = conductor
        self._announcer = announcer
        self._clock = clock
        self._metrics = metrics
        self._sessions = 0
        self.cards: CardLines | None = None
        """Who talks to callers of access numbers; None: nobody."""
        self._server = StreamServer(
            (settings.outbound_host, settings.outbound_port), self._serve, backlog=512
        )

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_port)

    def start(self) -> None:
        """Listen; OSError if the address is taken."""
        self._server.start()

    def stop(self, wait_s: float) -> None:
        """Take no new calls, and give those in conversation wait_s seconds."""
        self._server.stop(timeout=wait_s)

    def _serve(self, sock: socket.socket, address: object) -> None:
        self._sessions += 1
        call_socket = CallSocket(address, sock, command_timeout_s=self._settings.command_timeout_s)
        try:
            data = call_socket.connect()
            if self._sessions > self._settings.max_sessions:
                # Closed without a verdict: the dialplan follows its failure policy.
                self._metrics.count("over_capacity")
                log.error("esl.over_capacity", sessions=self._sessions)
                return
            settings = self._settings
            if self.cards is not None and data.headers.variable("pbxbill_question") == CARD:
                began_us = self._clock.monotonic_us()
                authorizing = CallAuthorizing(began_us, self._decide, self._let_dial)
                self.cards.converse(call_socket, data.headers, authorizing)
                return
            self._answer(call_socket, read_request(data.headers, settings.name, shadow=settings.shadow))
        except InputRefused as refused:
            self._metrics.count("refused_request")
            log.warning("esl.request_refused", why=str(refused))
        except SwitchError as error:
            self._metrics.count("caller_gone")
            log.info("esl.conversation_ended", why=str(error))
        finally:
            call_socket.close("done")
            self._sessions -= 1

    def _answer(self, call_socket: CallSocket, call: CallRequest) -> None:
        outcome = for_the_switch(self._decide(call), call.request)
        match outcome:
            case Granted():
                self._metrics.count("granted_in_shadow" if outcome.shadow else "granted")
                self._grant(call_socket, call, outcome)
            case Denied():
                self._metrics.count(f"denied_{outcome.reason}")
                self._deny(call_socket, call, outcome)

    def _decide(self, call: CallRequest) -> Granted | Denied:
        """What the engine says, or memory where it says nothing in time."""
        began_us = self._clock.monotonic_us()
        outcome, in_time = self._engine.authorize(
            call.request,
            self._settings.authorize_timeout_s,
            late=lambda late: self._decided_late(call, late),
        )
        log.info(
            "esl.authorized",
            session=call.request.session_id,
            call_id=call.uuid,
            outcome=type(outcome).__name__,
            in_time=in_time,
            took_us=self._clock.monotonic_us() - began_us,
        )
        return outcome

    def _grant(self, call_socket: CallSocket, call: CallRequest, granted: Granted) -> None:
        self._let_dial(call_socket, call, granted, {})
        if call.request.direction is Direction.OUTBOUND:
            self._say(call_socket, call, before_the_call(granted), granted.announcement.language)

    def _let_dial(
        self, call_socket: CallSocket, call: CallRequest, granted: Granted, extra: dict[str, str]
    ) -> None:
        """Put the call into the book and tell the channel; extra: variables that come before the verdict."""
        book = self._conductor.book
        now_us = self._clock.monotonic_us()
        # In the book before the switch hears of it: the channel's events may be faster than its reply.
        if granted.offline:
            book.add_offline(granted, call.request)
        else:
            self._conductor.take(book.add(granted, call.request, uuid=call.uuid, now_us=now_us))
            self._metrics.live_calls(len(book))
        try:
            variables = extra | granted_variables(call, granted)
            reply = call_socket.api(setvar_command(call.uuid, variables)).strip()
            if reply != "+OK":
                raise SwitchError(f"the channel took no variables: {reply[:100]}")
        except SwitchError:
            self._give_back(granted, call.request)
            raise

    def _deny(self, call_socket: CallSocket, call: CallRequest, denied: Denied) -> None:
        call_socket.api(setvar_command(call.uuid, denied_variables(denied)))
        if denied.announcement.denial:
            # A caller from outside learns nothing of the owner's funds.
            inbound = call.request.direction is Direction.INBOUND
            prompt = SERVICE_DENIED if inbound else PROMPT_OF_DENIAL[denied.reason]
            self._say(call_socket, call, [prompt], denied.announcement.language)
        call_socket.api(f"uuid_kill {call.uuid} {cause_of_denial(denied.reason)}")

    def _give_back(self, granted: Granted, request: Authorize) -> None:
        """The channel was gone before it learnt of its grant."""
        call = self._conductor.book.get(granted.session_id)
        if call is not None:
            self._conductor.gone_unanswered(call, request.at_us)

    def _decided_late(self, call: CallRequest, outcome: Outcome) -> None:
        """The engine answered after memory had decided."""
        if not isinstance(outcome, Granted | Denied):
            return
        request = call.request
        outcome = for_the_switch(outcome, request)
        if not isinstance(outcome, Granted) or outcome.offline:
            return  # what memory decided stands
        if self._conductor.book.is_offline(request.session_id):
            self._conductor.take(self._conductor.book.promote(outcome, call.uuid, self._clock.monotonic_us()))
        elif self._conductor.book.get(request.session_id) is None:
            log.warning("esl.late_grant_released", session=request.session_id)
            self._engine.submit(
                Void(request.session_id, request.at_us, int(HangupCause.TEMPORARY_FAILURE)),
                lambda _outcome: None,
            )

    # --- what the caller hears ----------------------------------------------------------------

    def _say(self, call_socket: CallSocket, call: CallRequest, tokens: list[Token], language: str) -> None:
        """Play in early media: an answered leg would be charged by whoever the caller calls from."""
        path = self._announcer.path(tokens, language)
        if not path:
            return
        execution_id = new_id()
        finished: AsyncResult[None] = AsyncResult()

        def handle(event: Event) -> None:
            ours = event.headers.get("Application-UUID") == execution_id
            if (event.name == "CHANNEL_EXECUTE_COMPLETE" and ours) or event.name == "CHANNEL_HANGUP":
                finished.set(None)

        call_socket.closed.rawlink(lambda _flag: finished.set(None))
        call_socket.follow(handle)
        if not call.answered:
            call_socket.execute("pre_answer")
        call_socket.execute("playback", path, execution_id)
        try:
            finished.get(timeout=self._settings.announce_timeout_s)
        except gevent.Timeout:
            self._metrics.count("announcement_too_long")
            log.warning("esl.announcement_too_long", call_id=call.uuid, path=path[:200])
            call_socket.api(f"uuid_break {call.uuid} all")
