"""The FreeSWITCH daemon: one event loop in one thread, between one switch and the charging engine.

Two connections to the switch: events come on one and nothing is ever sent on it after the subscription;
commands go over the other. When either ends both are closed and made anew, and the switch is compared with
the database again, because events are not replayed.
"""

import threading
from collections.abc import Iterable
from dataclasses import replace

import gevent
import structlog
from gevent.event import Event as Flag

from pbxbill.charging.control import Action, LiveCall, Phase, SetDeadline
from pbxbill.charging.hanging_up import Desk, HangUps
from pbxbill.charging.ports import Engine, News, Reconciler
from pbxbill.charging.reconcile import Rearm, Reconciliation, SwitchRecord
from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import InputRefused, PbxbillError, SwitchError, SwitchGone
from pbxbill.esl.announce import Announcer
from pbxbill.esl.calls import CallBook, EndStray, TrackedCall, Unknown
from pbxbill.esl.card_lines import CardLines
from pbxbill.esl.cdr_log import CdrLog
from pbxbill.esl.commands import SwitchCommands
from pbxbill.esl.conductor import Conductor
from pbxbill.esl.connection import EslConnection
from pbxbill.esl.events import SUBSCRIPTION, Heartbeat, LegAnswered, LegEnded, parse_event
from pbxbill.esl.lost_ends import LostEnds
from pbxbill.esl.mailbox import EngineDoor, Mailbox
from pbxbill.esl.metrics import EslMetrics
from pbxbill.esl.outbound import AuthorizationDesk
from pbxbill.esl.settings import FreeSwitchSettings
from pbxbill.esl.snapshot import Found, live_channels, look
from pbxbill.esl.wire import Event
from pbxbill.ivr.desk import CardDesk
from pbxbill.liveness import Liveness

log = structlog.get_logger(__name__)

AUDIT_S = 60
SYNCHRONISE_RETRY_S = 2
STOP_WAIT_S = 2
LIST_LAG_S = 0.3
"""How late a channel may appear in the switch's list: measured, 40 to 100 ms."""


class FreeSwitchDaemon:
    """Authorizes, meters and ends the charged calls of one FreeSWITCH."""

    def __init__(
        self,
        settings: FreeSwitchSettings,
        engine: Engine,
        news: News,
        reconciler: Reconciler,
        clock: Clock,
        metrics: EslMetrics,
    ) -> None:
        self._settings = settings
        self.liveness: Liveness | None = None
        """Beats in the loop, while that turns; set it before run()."""
        self._engine = engine
        self._news = news
        self._reconciler = reconciler
        self._clock = clock
        self._metrics = metrics
        self._announcer = Announcer(settings.sounds_dir)
        self._cdr_log = CdrLog(settings.cdr_dir, clock)
        self.ready = threading.Event()
        """Set, from any thread to be waited for, when the switch has been compared for the first time."""
        self.listening = threading.Event()
        """Set when calls can ask."""
        self.outbound_port = 0
        """Where it listens for calls; useful when settings ask for port 0."""
        self._stopping = False
        self._cards: CardDesk | None = None
        self._hang_ups: HangUps | None = None
        self._mailbox: Mailbox | None = None

    def serve_cards(self, desk: CardDesk) -> None:
        """Talk to callers of access numbers as well; before run()."""
        self._cards = desk

    def serve_hang_ups(self, desk: Desk) -> None:
        """End calls that somebody wants to end; before run()."""
        self._hang_ups = HangUps(
            desk,
            self._clock,
            find=self._live,
            perform=self._perform,
            connected=lambda: self._conductor.commands is not None,
        )

    # --- life -----------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until stop() is called. Everything else happens in this thread."""
        self._mailbox = Mailbox()
        self._stop = Flag()
        self._wanted = Flag()
        self._offset_us = 0
        self._core_uuid = ""
        self._lost_at_us = 0  # by the switch's clock
        door = EngineDoor(self._engine, self._mailbox)
        self._book = CallBook()
        self._conductor = Conductor(
            self._book, door, self._announcer, self._clock, self._metrics, shadow=self._settings.shadow
        )
        self._conductor.switch_now_us = self._switch_now_us
        self._conductor.on_unknown = self._unknown
        self._lost_ends = LostEnds(self._conductor, self._commands, self._cdr_log, self._clock)
        self._conductor.on_look = lambda call: gevent.spawn(self._lost_ends.look, call)
        desk = AuthorizationDesk(
            self._settings, door, self._conductor, self._announcer, self._clock, self._metrics
        )
        if self._cards is not None:
            desk.cards = CardLines(self._settings, self._cards, self._conductor, self._announcer, self._clock)
        self._news.subscribe(self._on_news)
        desk.start()
        self.outbound_port = desk.port
        self.listening.set()
        if self._hang_ups is not None:
            self._hang_ups.serve(self._mailbox.post)
        workers = [gevent.spawn(self._conductor.run), gevent.spawn(self._stay_linked)]
        log.info("esl.started", switch=self._settings.name, port=desk.port)
        if self.liveness is not None:
            workers.append(gevent.spawn(self._beat, self.liveness))
        if self._stopping:
            self._stop.set()
        try:
            self._stop.wait()
        finally:
            desk.stop(STOP_WAIT_S)
            if self._hang_ups is not None:
                self._hang_ups.stop()
            gevent.killall(workers)
            self._mailbox.close()
            log.info("esl.stopped", switch=self._settings.name, calls_left_to_their_timers=len(self._book))

    def stop(self) -> None:
        """Take no new calls and end run(); calls that are up keep their timers. From any thread."""
        self._stopping = True
        if self._mailbox is not None:
            self._mailbox.post(self._stop.set)

    def _beat(self, liveness: Liveness) -> None:
        while True:
            linked = "" if self._conductor.commands is not None else "not "
            liveness.beat(f"{linked}connected to the switch, {len(self._book)} calls")
            gevent.sleep(liveness.interval_s)

    # --- the link -------------------------------------------------------------------------------

    def _stay_linked(self) -> None:
        wait_s = self._settings.retry_first_s
        while True:
            began_us = self._clock.monotonic_us()
            try:
                self._linked()
            except SwitchError as error:
                log.warning("esl.link_failed", switch=self._settings.name, error=str(error))
            except (Exception, gevent.Timeout):
                # Whatever it is: without a link no call is steered, and nothing else makes it anew.
                self._metrics.count("link_broke")
                log.exception("esl.link_broke", switch=self._settings.name)
            if self._clock.monotonic_us() - began_us > 60 * SECOND_US:
                wait_s = self._settings.retry_first_s
            gevent.sleep(wait_s)
            wait_s = min(2 * wait_s, self._settings.retry_most_s)

    def _lost(self) -> None:
        if self._conductor.commands is not None:
            self._lost_at_us = self._switch_now_us()
            self._conductor.commands = None
            self._metrics.connected(up=False)
            self._metrics.count("link_lost")

    def _linked(self) -> None:
        """Both connections, until one of them ends."""
        events, commands = self._connection(), self._connection()
        events.stall_timeout_s = self._settings.stall_timeout_s
        events.on_bad_event = lambda: self._metrics.count("bad_event")
        synchroniser = None
        try:
            commands.connect()
            events.connect()
            events.subscribe(self._on_event, SUBSCRIPTION, self._settings.event_queue)
            self._conductor.commands = SwitchCommands(commands)
            for connection in (events, commands):
                connection.keep_alive(self._settings.keepalive_s)
            self._metrics.connected(up=True)
            log.info("esl.linked", switch=self._settings.name)
            self._wanted.set()
            synchroniser = gevent.spawn(self._keep_synchronised)
            gevent.wait([events.closed, commands.closed], count=1)
            raise SwitchGone(events.close_reason or commands.close_reason)
        finally:
            self._lost()
            if synchroniser is not None:
                synchroniser.kill()
            events.close("the link is made anew")
            commands.close("the link is made anew")

    def _connection(self) -> EslConnection:
        return EslConnection(
            self._settings.host,
            self._settings.port,
            self._settings.password,
            connect_timeout_s=self._settings.connect_timeout_s,
            command_timeout_s=self._settings.command_timeout_s,
        )

    # --- what comes in --------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        try:
            parsed = parse_event(event)
        except InputRefused as refused:
            self._metrics.count("bad_event")
            log.warning("esl.event_refused", event_name=event.name[:60], why=str(refused))
            return
        now_us = self._clock.monotonic_us()
        match parsed:
            case LegAnswered():
                self._metrics.count("answered")
                self._conductor.take(self._book.answered(parsed, now_us))
            case LegEnded():
                if parsed.leg.session_id or parsed.leg.paid_by:
                    self._metrics.count("ended")
                self._note_cut(parsed)
                self._conductor.take(self._book.ended(parsed, now_us))
            case Heartbeat():
                self._offset_us = parsed.at_us - self._clock.now_us()
                if self._core_uuid and parsed.core_uuid != self._core_uuid:
                    log.warning("esl.switch_restarted", switch=self._settings.name)
                    self._wanted.set()
            case None:
                pass

    def _note_cut(self, event: LegEnded) -> None:
        call = self._book.get(event.leg.paid_session)
        if call is None or call.live.phase is not Phase.CUTTING or event.answered_us is None:
            return
        now_us = self._clock.monotonic_us()
        granted_us = call.live.remaining_us(now_us) + call.live.elapsed_us(now_us)
        if call.live.paid_leg == event.leg.uuid:
            self._metrics.cut((event.ended_us - event.answered_us - granted_us) / SECOND_US)

    def _on_news(self, wallet_ids: frozenset[int]) -> None:
        """Called from any thread."""
        if self._mailbox is not None:
            self._mailbox.post(lambda: self._wallets_changed(wallet_ids))

    def _wallets_changed(self, wallet_ids: frozenset[int]) -> None:
        for call in self._book.with_wallets(wallet_ids):
            self._conductor.perform(call, call.live.wallet_changed(self._clock.monotonic_us()))

    def _live(self, session_id: str) -> LiveCall | None:
        call = self._book.get(session_id)
        return None if call is None else call.live

    def _perform(self, session_id: str, actions: Iterable[Action]) -> None:
        call = self._book.get(session_id)
        if call is not None:
            self._conductor.perform(call, list(actions))

    def _unknown(self, step: Unknown) -> None:
        log.warning("esl.unknown_session", session=step.session_id, leg=step.uuid)
        self._wanted.set()

    def _switch_now_us(self) -> int:
        return self._clock.now_us() + self._offset_us

    # --- comparing ------------------------------------------------------------------------------

    def _keep_synchronised(self) -> None:
        """Compare when something asks for it, and look now and then for calls whose end was never told."""
        while True:
            wanted = self._wanted.wait(AUDIT_S)
            self._wanted.clear()
            try:
                if wanted:
                    self._synchronise()
                    self.ready.set()
                else:
                    self._audit()
            except PbxbillError as error:
                self._not_synchronised()
                log.warning("esl.synchronise_failed", error=str(error))
            except (Exception, gevent.Timeout):
                # This repairs what others missed: it has to come round again.
                self._not_synchronised()
                log.exception("esl.synchronise_failed")
            gevent.sleep(SYNCHRONISE_RETRY_S)

    def _not_synchronised(self) -> None:
        self._metrics.count("synchronise_failed")
        self._wanted.set()

    def _synchronise(self) -> None:
        commands = self._commands()
        began_us = self._clock.monotonic_us()
        core_uuid = commands.core_uuid()
        if self._core_uuid and core_uuid != self._core_uuid and self._lost_at_us:
            # The switch was restarted: what it carried ended when the link did, as nearly as can be known.
            self._lost_ends.dead_at_us = self._lost_at_us
        elif not self._core_uuid:
            # This daemon has not seen the switch before: what it carried ended before it was started.
            self._lost_ends.dead_at_us = commands.started_us()
        self._core_uuid = core_uuid
        known = [call for call in self._book if call.registered_us < began_us]
        gevent.sleep(LIST_LAG_S)  # whatever is younger than the subscription tells its own events
        found = look(commands)
        up = {one.leg.uuid for one in found}
        for call in known:
            if not {call.live.paid_leg, call.caller_uuid} & up and self._book.get(call.session_id) is call:
                self._lost_ends.look(call)
        dead_at_us, self._lost_ends.dead_at_us = self._lost_ends.dead_at_us, None
        found_by_run: Reconciliation = gevent.get_hub().threadpool.apply(
            self._reconciler.run, (self._settings.name, live_channels(found), self._read_cdr_log, dead_at_us)
        )
        for rearm in found_by_run.rearm:
            self._take_up(rearm, found)
        self._take_answers(found)
        self._metrics.live_calls(len(self._book))
        log.info(
            "esl.synchronised",
            channels=len(found),
            calls=len(self._book),
            differences=len(found_by_run.differences),
        )

    def _read_cdr_log(self, since_us: int) -> tuple[SwitchRecord, ...]:
        """Called in a thread of the pool."""
        reading = self._cdr_log.read(since_us)
        for _ in range(reading.broken):
            self._metrics.count("broken_cdr")
        return tuple(replace(record, shadow=self._settings.shadow) for record in reading.records)

    def _take_up(self, rearm: Rearm, found: list[Found]) -> None:
        """A call that goes on: steer it from here on, and arm its timer anew."""
        now_us = self._clock.monotonic_us()
        session_id = rearm.granted.session_id
        call = self._book.get(session_id)
        if call is None:
            legs = [one for one in found if session_id in (one.leg.session_id, one.leg.paid_by)]
            if not legs or self._book.is_closed(session_id):
                return
            own = [one for one in legs if one.leg.paid_by == session_id and one.inbound_channel]
            caller_uuid = own[0].leg.uuid if own else legs[0].leg.caller_uuid
            shadow = self._settings.shadow or rearm.granted.shadow
            live = LiveCall(rearm.granted._replace(shadow=shadow))
            call = TrackedCall(live, caller_uuid, bool(own), now_us)
            if any(not one.leg.shadow for one in legs):
                call.armed_until_us = now_us + live.remaining_us(now_us)  # by the daemon before this one
            self._book.adopt(call)
            self._metrics.count("taken_up")
            if rearm.answered_us is not None:
                actions = call.live.answered(
                    answered_us=rearm.answered_us,
                    paid_leg=rearm.paid_leg,
                    elapsed_us=rearm.elapsed_us,
                    now_us=now_us,
                    gateway=next((one.leg.gateway for one in legs if one.leg.uuid == rearm.paid_leg), ""),
                )
                self._conductor.perform(call, actions)
        elif call.live.phase is Phase.TALKING:
            self._conductor.perform(call, [SetDeadline(call.live.remaining_us(now_us))])
            self._conductor.perform(call, call.live.wallet_changed(now_us))

    def _take_answers(self, found: list[Found]) -> None:
        """Answers that fell between two connections, and channels that nobody pays for."""
        now_us = self._clock.monotonic_us()
        for one in found:
            session_id = one.leg.paid_session
            if one.answer is None or not session_id:
                continue
            if self._book.get(session_id) is not None or self._book.is_offline(session_id):
                self._conductor.take(self._book.answered(one.answer, now_us))
            elif not one.leg.offline:
                self._conductor.take([EndStray(one.leg.uuid, session_id, 0, one.leg.shadow)])

    def _audit(self) -> None:
        try:
            up = set(self._commands().channels())
        except SwitchError as error:
            log.warning("esl.audit_failed", error=str(error))
            return
        now_us = self._clock.monotonic_us()
        for call in self._book:
            setting_up = call.live.phase is Phase.SETUP
            too_long = now_us - call.registered_us > self._settings.max_setup_s * SECOND_US
            leg = call.caller_uuid if setting_up else call.live.paid_leg
            if leg not in up and (too_long or not setting_up):
                self._lost_ends.look(call)

    def _commands(self) -> SwitchCommands:
        if self._conductor.commands is None:
            raise SwitchGone("no command connection")
        return self._conductor.commands
