"""The charging engine: one queue, one worker thread, one durable transaction per batch.

The worker takes what is waiting, never waiting for more, locks and reads what the batch concerns, lets
decide() settle each command in order, writes, commits, and only then answers. A command that fails by
itself fails alone. While the database is away the queue waits, and every command keeps its own deadline.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError

import structlog

from pbxbill.charging.batch import load
from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.events import Adjust, Authorize, Command, Denied, Granted, Outcome, PostCharge, TopUp
from pbxbill.charging.memory import Memory
from pbxbill.charging.offline import OfflineDirectory
from pbxbill.charging.session import decide
from pbxbill.charging.state import ChargingState
from pbxbill.charging.writing import write, write_struck
from pbxbill.clock import Clock
from pbxbill.errors import DuplicateKey, EngineBusy, StoreUnavailable
from pbxbill.store.alerts import announce_alerts
from pbxbill.store.driver import Driver

MAX_BATCH = 500
MAX_QUEUE = 20_000
REFRESH_US = 200_000
"""How often tariffs and decks are compared with the database."""
FIRST_RETRY_S = 0.05
LONGEST_RETRY_S = 1.0

_log = structlog.get_logger()


_MONEY_BY_HAND = frozenset({TopUp, Adjust, PostCharge})


class _Promise(Future[Outcome]):
    """A command that waits for its turn, and its outcome. It is carried out even if nobody waits any more."""

    command: Command
    expires_us: int | None
    """Monotonic; None: it waits until it is done."""

    def cancel(self) -> bool:
        return False


class ChargingEngine:
    """Decides and makes durable every command of this process. Several may run on one database."""

    def __init__(
        self,
        connect: Callable[[], Driver],
        clock: Clock,
        on_news: Callable[[frozenset[int]], None] = lambda wallet_ids: None,
        *,
        serving: bool = True,
    ) -> None:
        """serving: calls depend on it, so that decks and the offline directory are kept ready."""
        self._connect = connect
        self._clock = clock
        self._on_news = on_news
        self._catalogue = LoadedCatalogue(connect, serving=serving)
        self._offline = OfflineDirectory(self._catalogue, connect)
        self._serving = serving
        self._driver: Driver | None = None
        self._memory = Memory()
        self._queue: deque[_Promise] = deque()
        self._guard = threading.RLock()  # taken by itself, in half the time that the condition takes for it
        self._wake = threading.Condition(self._guard)
        self._stopping = False
        self._refreshed_us: int | None = None
        self._thread = threading.Thread(target=self._run, name="charging", daemon=True)
        self.batches = 0
        """Transactions committed so far."""
        self.commands = 0
        """Commands answered so far."""

    def start(self) -> None:
        """Load the catalogue and start the worker; StoreUnavailable if the database cannot be read."""
        self._refresh(self._connected())
        if self._serving:
            self._offline.start(self._connected())
        self._thread.start()

    def stop(self, timeout_s: int = 10) -> None:
        """Finish what is queued, at most timeout_s seconds long, and close the connection."""
        with self._guard:
            self._stopping = True
            self._wake.notify()
        self._offline.stop()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        for pending in self._take_all():
            _answer(pending, EngineBusy("the charging engine stopped before this command's turn"))

    def submit(self, command: Command, timeout_ms: int | None = None) -> Future[Outcome]:
        """Queue a command; the future is answered from the worker's thread.

        Faults: EngineBusy (queue full, or no turn within timeout_ms), StoreUnavailable (the database stayed
        away for timeout_ms). Without timeout_ms the command waits until it is durable.
        """
        promise = _Promise()
        promise.command = command
        promise.expires_us = None if timeout_ms is None else self._clock.monotonic_us() + timeout_ms * 1000
        with self._guard:
            waiting = len(self._queue)
            if self._stopping or (waiting >= MAX_QUEUE and timeout_ms is not None):
                why = "stopping" if self._stopping else f"{MAX_QUEUE} commands are waiting"
                promise.set_exception(EngineBusy(f"the charging engine takes no command now: {why}"))
                return promise
            self._queue.append(promise)
            if not waiting:  # else the worker is at work, or was told before
                self._wake.notify()
        return promise

    def execute(self, command: Command, timeout_ms: int = 10_000) -> Outcome:
        """submit() and wait for the outcome."""
        try:
            return self.submit(command, timeout_ms).result(timeout=timeout_ms // 1000 + 5)
        except TimeoutError:
            raise EngineBusy(f"{type(command).__name__} was not answered in {timeout_ms} ms") from None

    def authorize_offline(self, request: Authorize) -> Granted | Denied:
        """Decide from memory while the database is away: accounts whose failure policy is open may pass."""
        return self._offline.authorize(request)

    @property
    def waiting(self) -> int:
        """Commands in the queue now."""
        return len(self._queue)

    # --- the worker ---------------------------------------------------------------------------

    def _run(self) -> None:
        retry_s = FIRST_RETRY_S
        while True:
            with self._guard:
                while not self._queue and not self._stopping:
                    self._wake.wait()
                if not self._queue:
                    break
                count = min(len(self._queue), MAX_BATCH)
                batch = [self._queue.popleft() for _ in range(count)]
            batch = self._within_deadline(batch, "waited too long in the charging queue")
            try:
                self._process(batch)
                retry_s = FIRST_RETRY_S
            except StoreUnavailable as error:
                _log.warning("database_unavailable", error=str(error), waiting=len(batch) + len(self._queue))
                self._drop_connection()
                with self._guard:
                    self._queue.extendleft(reversed([x for x in batch if not x.done()]))
                    self._wake.wait_for(lambda: self._stopping, timeout=retry_s)
                    stopping = self._stopping
                retry_s = min(2 * retry_s, LONGEST_RETRY_S)
                self._expire_queue(error)
                if stopping:
                    break
            except Exception as error:  # noqa: BLE001 whatever it is, the next command must find a worker
                _log.error("charging_worker_failed", exc_info=error)
                self._drop_connection()
                for pending in batch:
                    _answer(pending, error)
        self._drop_connection()

    def _within_deadline(self, batch: Sequence[_Promise], why: str) -> list[_Promise]:
        now_us = self._clock.monotonic_us()
        kept = []
        for pending in batch:
            if pending.expires_us is not None and pending.expires_us < now_us:
                _answer(pending, EngineBusy(f"{type(pending.command).__name__} {why}"))
            else:
                kept.append(pending)
        return kept

    def _expire_queue(self, error: StoreUnavailable) -> None:
        now_us = self._clock.monotonic_us()
        with self._guard:  # in one go, so that the order of a call's commands stays
            late = [x for x in self._queue if x.expires_us is not None and x.expires_us < now_us]
            if late:
                waiting = [x for x in self._queue if x.expires_us is None or x.expires_us >= now_us]
                self._queue = deque(waiting)
        for pending in late:
            _answer(pending, StoreUnavailable(str(error)))

    def _take_all(self) -> list[_Promise]:
        with self._guard:
            taken = list(self._queue)
            self._queue.clear()
        return taken

    def _process(self, batch: Sequence[_Promise], *, again: bool = False) -> None:
        if not batch:
            return
        try:
            results, told = self._transaction([pending.command for pending in batch])
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 the fault is the command's answer, never swallowed
            # One command spoils its batch: each then gets a transaction of its own.
            self._connected().rollback()
            if again:
                _log.error("command_failed", command=repr(batch[0].command), exc_info=error)
                _answer(batch[0], error)
                return
            # A command may also have lost a race for a key with another process: it then finds what won.
            for pending in batch:
                self._process([pending], again=True)
            return
        for pending, result in zip(batch, results, strict=True):
            _answer(pending, result)
        if told:
            self._tell(told)

    def _tell(self, wallet_ids: frozenset[int]) -> None:
        try:
            self._on_news(wallet_ids)
        except Exception as error:  # noqa: BLE001 a listener's fault is none of the charging path
            _log.error("wallet_news_not_told", exc_info=error)

    def _transaction(self, commands: list[Command]) -> tuple[list[Outcome | Exception], frozenset[int]]:
        driver = self._connected()
        # Money may move in books that were opened a moment ago.
        self._refresh(driver, at_once=not _MONEY_BY_HAND.isdisjoint(map(type, commands)))
        memory, self._memory = self._memory, Memory()  # what does not commit is not remembered
        driver.begin()
        memory = memory.as_of_now(driver)
        state = load(driver, commands, self._catalogue, self._clock.now_us(), memory)
        # Tariffs as they are now: who rates calls of the past must not remember them.
        state.payers = memory.payers_by(self._catalogue.offers)
        results: list[Outcome | Exception] = [_decided(command, state) for command in commands]
        write(driver, state, self._clock.now_us())
        alerts = write_struck(driver, state, self._clock.now_us()) if state.struck else []
        driver.commit()
        announce_alerts(alerts)
        self._memory = memory
        self.batches += 1
        self.commands += len(commands)
        return results, frozenset(state.told)

    def _refresh(self, driver: Driver, *, at_once: bool = False) -> None:
        now_us = self._clock.monotonic_us()
        if at_once or self._refreshed_us is None or now_us - self._refreshed_us >= REFRESH_US:
            self._catalogue.refresh(driver, self._clock.now_us())
            self._offline.database_answers()
            self._refreshed_us = now_us

    def _connected(self) -> Driver:
        if self._driver is None:
            self._driver = self._connect()
        return self._driver

    def _drop_connection(self) -> None:
        driver, self._driver = self._driver, None
        self._memory = Memory()  # its version counted for that connection only
        if driver is not None:
            driver.close()


def _answer(pending: _Promise, result: Outcome | Exception) -> None:
    try:
        if isinstance(result, Exception):
            pending.set_exception(result)
        else:
            pending.set_result(result)
    except InvalidStateError:
        return  # answered before the database went away in the middle of a spoiled batch


def _decided(command: Command, state: ChargingState) -> Outcome | Exception:
    try:
        outcome, effects = decide(command, state)
    except DuplicateKey as error:  # its caller's fault, and its answer
        return error
    except Exception as error:  # noqa: BLE001 nothing is changed yet: the others go on, the caller gets it
        _log.error("command_failed", command=repr(command), exc_info=error)
        return error
    state.apply(effects)
    return outcome
