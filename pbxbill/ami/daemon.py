"""The Asterisk daemon: wires the AMI link, the FastAGI server and the calls they steer to the engine.

    FastAGI question -> Authorizer -> engine -> verdict, TrackedCall in the book
    AMI event -> CallBook -> LiveCall -> Steering -> timers, hang-ups, commands
    connection made -> what is up, what the CDR log says -> reconciler -> calls taken up again

run() blocks; stop() may be called from any thread and leaves every timer on the switch armed.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import structlog

from pbxbill.ami.announce import Voice
from pbxbill.ami.authorize import Authorizer, Question
from pbxbill.ami.calls import CallBook, TrackedCall
from pbxbill.ami.card_lines import CARD, CardLines
from pbxbill.ami.cdr_log import CdrLog
from pbxbill.ami.events import SwitchStopping, parse_event
from pbxbill.ami.fastagi import AgiServer, AgiSession
from pbxbill.ami.metrics import AsteriskMetrics
from pbxbill.ami.settings import AsteriskSettings
from pbxbill.ami.snapshot import Channel, leg_that_asked, live_channels, read_channels
from pbxbill.ami.steering import Steering
from pbxbill.ami.switch_link import SwitchLink
from pbxbill.ami.wire import AmiMessage
from pbxbill.charging.control import Action, LiveCall, Phase
from pbxbill.charging.events import Direction
from pbxbill.charging.gateway import gateway_of
from pbxbill.charging.hanging_up import Desk, HangUps
from pbxbill.charging.hangup import HangupCause
from pbxbill.charging.ports import Engine, News, OfflineReconciler
from pbxbill.charging.reconcile import Rearm, SwitchRecord
from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import PbxbillError, SwitchError
from pbxbill.ivr.desk import CardDesk
from pbxbill.liveness import Liveness

log = structlog.get_logger(__name__)

FINISH_S = 5.0
SOON_S = 0.5
MISSED_SWEEPS = 2
_DATE, _TIME = re.compile(r"\d{4}-\d\d-\d\d"), re.compile(r"\d\d:\d\d:\d\d")


class AsteriskDaemon:
    """Charges the calls of one Asterisk."""

    def __init__(
        self,
        settings: AsteriskSettings,
        engine: Engine,
        news: News,
        reconciler: OfflineReconciler,
        clock: Clock,
        metrics: AsteriskMetrics,
    ) -> None:
        self._settings = settings
        self.liveness: Liveness | None = None
        """Beats in the loop, while that turns; set it before run()."""
        self._engine = engine
        self._news = news
        self._reconciler = reconciler
        self._clock = clock
        self._metrics = metrics
        self._book = CallBook()
        self._link = SwitchLink(settings, metrics, clock, on_event=self._on_event, on_up=self._take_over)
        self._cdr_log = (
            CdrLog(
                settings.cdr_file,
                backlog_bytes=settings.cdr_backlog_bytes,
                on_bad_line=metrics.bad_cdr_lines.inc,
                now_us=self._link.switch_now_us,
            )
            if settings.cdr_file is not None
            else None
        )
        voice = Voice(settings.sounds_dir, settings.prompt_prefix, metrics.missing_words.inc)
        self._steering = Steering(
            settings,
            engine=engine,
            book=self._book,
            link=self._link,
            voice=voice,
            clock=clock,
            metrics=metrics,
        )
        self._steering.look_again = self._look_soon
        if self._cdr_log is not None:
            self._steering.record_of = self._cdr_log.of_session
            self._steering.read_records = self._read_cdr_log
        self._authorizer = Authorizer(settings, engine, self._book, voice, clock, metrics)
        self._authorizer.switch_now_us = self._link.switch_now_us
        self._authorizer.on_granted = self._on_granted
        self._authorizer.on_undelivered = self._on_undelivered
        self._authorizer.on_late = self._look_soon
        self._voice = voice
        self._cards: CardLines | None = None
        self._hang_ups: HangUps | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._sweep_now = asyncio.Event()
        self._stop_asked = False
        self._compared: set[str] = set()
        """Sessions that were up at the last comparison: those nobody pays for need not be looked at again."""
        self._started: tuple[str, str] | None = None
        """When Asterisk was started, in its own words."""
        self._reading = asyncio.Lock()
        self._offline: list[SwitchRecord] = []
        """Calls nobody could authorize, on their way to the reconciler."""
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="ami")

    def serve_cards(self, desk: CardDesk) -> None:
        """Talk to callers of access numbers as well; before run()."""
        self._cards = CardLines(self._settings, desk, self._authorizer, self._book, self._voice, self._clock)
        self._cards.on_unanswered = self._on_undelivered

    def serve_hang_ups(self, desk: Desk) -> None:
        """End calls that somebody wants to end; before run()."""
        self._hang_ups = HangUps(
            desk, self._clock, find=self._live, perform=self._perform, connected=lambda: self._link.up
        )

    def run(self) -> None:
        """Serve until stop(). ConfigurationError: the secret is refused or the FastAGI port is taken."""
        asyncio.run(self._main())

    def stop(self) -> None:
        """End run() soon, in order; from any thread."""
        self._stop_asked = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                self._loop.call_soon_threadsafe(self._stopping.set)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._stop_asked:
            return
        server = AgiServer(
            self._answer,
            connections=self._settings.agi_connections,
            read_timeout_s=self._settings.agi_read_timeout_s,
            switch_host=self._settings.host,
        )
        await server.start(self._settings.agi_host, self._settings.agi_port)
        self._news.subscribe(self._on_news)
        if self._hang_ups is not None:
            self._hang_ups.serve(self._post)
        link = asyncio.create_task(self._link.run())
        work = [
            link,
            asyncio.create_task(self._sweep_always()),
            asyncio.create_task(self._read_cdrs_always()),
        ]
        if self.liveness is not None:
            work.append(asyncio.create_task(self._beat(self.liveness)))
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({link, stop}, return_when=asyncio.FIRST_COMPLETED)
            if link.done():
                link.result()  # ConfigurationError: the administrator must act
        finally:
            if self._hang_ups is not None:
                await asyncio.to_thread(self._hang_ups.stop)
            await server.stop()
            await self._steering.finish(FINISH_S)
            for task in [*work, stop]:
                task.cancel()
            await asyncio.gather(*work, stop, return_exceptions=True)
            self._threads.shutdown(wait=False, cancel_futures=True)
            log.info("asterisk_daemon_stopped", calls_left=len(self._book))

    async def _answer(self, session: AgiSession) -> None:
        if self._cards is not None and session.request.script == CARD:
            await self._cards.converse(session)
        else:
            await self._authorizer.answer(session)

    async def _beat(self, liveness: Liveness) -> None:
        while True:
            linked = "" if self._link.up else "not "
            liveness.beat(f"{linked}connected to the switch, {len(self._book)} calls")
            await asyncio.sleep(liveness.interval_s)

    # --- what comes in ------------------------------------------------------------------------

    def _on_event(self, message: AmiMessage) -> None:
        event = parse_event(message)
        if event is None:
            return
        if isinstance(event, SwitchStopping):
            log.warning("asterisk_stops")
        steps = self._book.handle(
            event, now_us=self._clock.monotonic_us(), switch_now_us=self._link.switch_now_us()
        )
        self._steering.take(steps)

    def _on_granted(self, call: TrackedCall, question: Question) -> None:
        self._metrics.live_calls.set(len(self._book))
        if call.inbound and question.already_up:
            now_us, switch_us = self._clock.monotonic_us(), self._link.switch_now_us()
            actions = call.live.answered(
                answered_us=switch_us, paid_leg=call.call_id, elapsed_us=0, now_us=now_us
            )
            self._steering.do(call, actions)

    def _on_undelivered(self, call: TrackedCall) -> None:
        if call.live.phase is Phase.SETUP:
            actions = call.live.ended(
                answered_us=None,
                ended_us=self._link.switch_now_us(),
                hangup_cause=int(HangupCause.NORMAL_CLEARING),
            )
            self._steering.do(call, actions)

    def _on_news(self, wallet_ids: frozenset[int]) -> None:
        self._post(lambda: self._on_wallets(wallet_ids))

    def _post(self, job: Callable[[], None]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody needs the news
                self._loop.call_soon_threadsafe(job)

    def _live(self, session_id: str) -> LiveCall | None:
        call = self._book.get(session_id)
        return None if call is None else call.live

    def _perform(self, session_id: str, actions: Iterable[Action]) -> None:
        call = self._book.get(session_id)
        if call is not None:
            self._steering.do(call, actions)

    def _on_wallets(self, wallet_ids: frozenset[int]) -> None:
        for call in self._book.with_wallets(wallet_ids):
            self._steering.do(call, call.live.wallet_changed(self._clock.monotonic_us()))

    # --- comparing with the switch --------------------------------------------------------------

    async def _take_over(self) -> None:
        known = list(self._book)  # a call that is granted from here on need not be in the snapshot
        for call in known:
            call.lost_sight()
        first = self._started is None
        last_seen_us = self._link.last_alive_us if await self._was_restarted() else None
        if first and self._started is not None:
            # This daemon has not seen the switch before: what it carried ended before it was started.
            last_seen_us = await self._started_us(*self._started)
        channels = await read_channels(self._link.actions)
        await self._read_cdr_log()
        await self._reconcile(channels, last_seen_us)
        self._compare(known, channels, sure=True, last_seen_us=last_seen_us)
        self._steering.rearm_all()

    async def _was_restarted(self) -> bool:
        """Whether Asterisk is another process than at the last connection: its calls ended with it."""
        status = (await self._link.send("CoreStatus", {})).fields
        before, self._started = (
            self._started,
            (
                status.get("corestartupdate", ""),
                status.get("corestartuptime", ""),
            ),
        )
        return before is not None and before != self._started

    async def _started_us(self, date: str, time: str) -> int | None:
        """When Asterisk was started; it says so by the clock on its wall, and alone knows that one's zone."""
        if _DATE.fullmatch(date) is None or _TIME.fullmatch(time) is None:
            return None
        moment = f"STRPTIME({date} {time},,%Y-%m-%d %H:%M:%S)"
        told = (await self._link.send("Getvar", {"Variable": moment})).fields.get("value", "")
        if not (told.isascii() and told.isdigit()) or told == "0":
            return None
        return min(int(told) * SECOND_US, self._link.switch_now_us())

    async def _reconcile(self, channels: list[Channel], last_seen_us: int | None = None) -> None:
        live = live_channels(channels, self._link.switch_now_us())
        self._compared = {channel.session_id for channel in live}
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._reconciler.run, self._settings.name, live, self._records_since, last_seen_us
        )
        for rearm in found.rearm:
            if self._book.get(rearm.granted.session_id) is None:
                self._adopt(rearm, channels)
        log.info("reconciled", live=len(live), differences=len(found.differences))
        self._metrics.live_calls.set(len(self._book))

    def _records_since(self, since_us: int) -> list[SwitchRecord]:
        return list(map(self._marked, self._cdr_log.since(since_us))) if self._cdr_log is not None else []

    def _marked(self, record: SwitchRecord) -> SwitchRecord:
        return replace(record, shadow=self._settings.shadow)

    def _adopt(self, rearm: Rearm, channels: list[Channel]) -> None:
        session_id = rearm.granted.session_id
        asker = leg_that_asked(channels, session_id)
        inbound = any(channel.paid == session_id and channel.inbound for channel in channels)
        direction = Direction.INBOUND if inbound else Direction.OUTBOUND
        shadow = self._settings.shadow or rearm.granted.shadow
        live = LiveCall(rearm.granted._replace(shadow=shadow))
        call = TrackedCall(live, asker, direction, caller_alive=bool(asker))
        for channel in channels:
            if session_id in {channel.session_id, channel.paid}:
                call.legs[channel.leg] = channel.name
                call.spares_caller |= channel.at_access_number
        live.gateway = "" if inbound else gateway_of(call.legs.get(rearm.paid_leg, ""))
        self._book.adopt(call)
        if shadow:
            self._steering.disarm({leg for leg in (rearm.paid_leg, asker) if leg})
        if rearm.answered_us is not None:
            actions = call.live.answered(
                answered_us=rearm.answered_us,
                paid_leg=rearm.paid_leg,
                elapsed_us=rearm.elapsed_us,
                now_us=self._clock.monotonic_us(),
            )
            self._steering.do(call, actions)
        # What is granted may have changed while nobody listened.
        self._steering.do(call, call.live.wallet_changed(self._clock.monotonic_us()))
        log.info("call_taken_up", session=session_id, legs=list(call.legs))

    def _compare(
        self,
        known: list[TrackedCall],
        channels: list[Channel],
        *,
        sure: bool = False,
        last_seen_us: int | None = None,
    ) -> None:
        """Give calls what their lost events would have told; sure: the connection was down meanwhile."""
        present = {channel.leg for channel in channels}
        paid = {channel.paid: channel for channel in channels if channel.paid and channel.up}
        for call in known:
            if call.live.phase is Phase.ENDED:
                continue
            call.caller_alive = call.caller_alive and call.call_id in present
            leg = paid.get(call.live.session_id)
            if call.live.answered_us is None and leg is not None and leg.answered_us is not None:
                self._found_answered(call, leg, leg.answered_us)
            legs = [call.live.paid_leg] if call.live.paid_leg else [call.call_id, *call.legs]
            if present.isdisjoint(legs):
                call.missed += 1
                if sure or call.missed >= MISSED_SWEEPS:
                    self._steering.gone(call, last_seen_us)
            else:
                call.missed = 0

    def _found_answered(self, call: TrackedCall, leg: Channel, answered_us: int) -> None:
        call.legs.setdefault(leg.leg, leg.name)
        if not call.inbound:
            call.live.gateway = call.live.gateway or gateway_of(leg.name)
        self._book.adopt(call)
        actions = call.live.answered(
            answered_us=answered_us,
            paid_leg=leg.leg,
            elapsed_us=max(0, self._link.switch_now_us() - answered_us),
            now_us=self._clock.monotonic_us(),
            ringing_us=call.ringing_us(call.call_id if call.inbound else leg.leg),
        )
        self._steering.do(call, actions)

    def _look_soon(self) -> None:
        if self._loop is not None:
            self._loop.call_later(SOON_S, self._sweep_now.set)

    async def _sweep_always(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.sweep_interval_s):
                    await self._sweep_now.wait()
            self._sweep_now.clear()
            try:
                await self._sweep()
            except SwitchError as failure:
                log.info("sweep_skipped", reason=str(failure))
            except Exception:
                # The sweep repairs what others missed; it has to come round again.
                log.exception("sweep_failed")

    async def _sweep(self) -> None:
        known = list(self._book)
        channels = await read_channels(self._link.actions)
        await self._read_cdr_log()  # what it says of a call that is gone counts more than an estimate
        sessions = {name for channel in channels for name in (channel.session_id, channel.paid) if name}
        if any(self._book.unknown(session_id) for session_id in sessions - self._compared):
            await self._reconcile(channels)
        self._compare(known, channels)

    # --- the CDR log ----------------------------------------------------------------------------

    async def _read_cdr_log(self) -> list[SwitchRecord]:
        if self._cdr_log is None:
            return []
        async with self._reading:
            records = await asyncio.get_running_loop().run_in_executor(self._threads, self._cdr_log.read)
        self._offline += [self._marked(record) for record in records if record.offline]
        return records

    async def _read_cdrs_always(self) -> None:
        while True:
            await asyncio.sleep(self._settings.cdr_interval_s)
            try:
                await self._read_cdr_log()
                await self._settle_offline()
            except (PbxbillError, OSError) as failure:
                log.warning("offline_calls_wait", count=len(self._offline), reason=str(failure))
            except Exception:
                # They stay in the log and are offered again at the next start.
                log.exception("offline_calls_failed")
                self._offline.clear()

    async def _settle_offline(self) -> None:
        batch, self._offline = self._offline, []
        if not batch:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(
                self._threads, self._reconciler.settle_offline, self._settings.name, batch
            )
        except (PbxbillError, OSError):
            self._offline = batch + self._offline
            raise
