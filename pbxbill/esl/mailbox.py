"""How other threads reach the event loop: the engine's answers and the news of wallets arrive here.

Nothing is monkey-patched: the engine runs in threads of the operating system, and the only call that gevent
allows from another thread is an async watcher's send().
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

import gevent
import structlog
from gevent.event import AsyncResult
from gevent.event import Event as Flag

from pbxbill.charging.events import Authorize, Command, Denied, Granted, Outcome
from pbxbill.charging.ports import Engine

log = structlog.get_logger(__name__)

Job = Callable[[], None]


class Mailbox:
    """Jobs from any thread, done one after the other in the loop's thread. Make it in that thread."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._filled = Flag()
        self._watcher = gevent.get_hub().loop.async_()
        self._watcher.start(self._filled.set)
        self._worker = gevent.spawn(self._work)

    def post(self, job: Job) -> None:
        """Have job done soon. From any thread."""
        self._jobs.append(job)
        self._watcher.send()

    def close(self) -> None:
        """Do nothing any more."""
        self._worker.kill()
        self._watcher.stop()
        self._watcher.close()

    def _work(self) -> None:
        while True:
            self._filled.wait()
            self._filled.clear()
            while self._jobs:
                job = self._jobs.popleft()
                try:
                    job()
                except Exception:
                    log.exception("esl.job_failed")


class EngineDoor:
    """The engine as the loop's thread sees it: outcomes arrive there, and waiting for one blocks no other."""

    def __init__(self, engine: Engine, mailbox: Mailbox) -> None:
        self._engine = engine
        self._mailbox = mailbox

    def submit(
        self, command: Command, done: Callable[[Outcome | BaseException], None], timeout_ms: int | None = None
    ) -> None:
        """Queue a command; done is called in the loop's thread with its outcome or its fault."""

        def arrived(future: Future[Outcome]) -> None:
            fault = future.exception()
            self._mailbox.post(lambda: done(fault if fault is not None else future.result()))

        self._engine.submit(command, timeout_ms).add_done_callback(arrived)

    def authorize(
        self, request: Authorize, timeout_s: float, late: Callable[[Outcome], None]
    ) -> tuple[Granted | Denied, bool]:
        """The engine's decision and whether it came in time; else the one from memory.

        late is called with what the engine decided after all, when memory had already decided.
        """
        answer: AsyncResult[Outcome | BaseException] = AsyncResult()
        given_up = False

        def done(outcome: Outcome | BaseException) -> None:
            if not given_up:
                answer.set(outcome)
            elif not isinstance(outcome, BaseException):
                late(outcome)

        self.submit(request, done, timeout_ms=int(timeout_s * 1000))
        try:
            outcome = answer.get(timeout=timeout_s)
        except gevent.Timeout:
            given_up = True
            outcome = None
        if isinstance(outcome, Granted | Denied):
            return outcome, True
        log.warning("esl.authorized_from_memory", session=request.session_id, why=str(outcome or "time-out"))
        return self._engine.authorize_offline(request), False
