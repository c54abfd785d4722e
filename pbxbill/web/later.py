"""What is done after the answer, so that how long the answer takes tells nothing."""

import threading
from collections.abc import Callable
from queue import Full, Queue

import structlog

from pbxbill.errors import PbxbillError

MOST_WAITING = 200
_log = structlog.get_logger()


class Later:
    """One thread, begun when it is first needed: one thing after another, in their order."""

    def __init__(self) -> None:
        self._waiting: Queue[Callable[[], None] | None] = Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def do(self, what: Callable[[], None]) -> None:
        """Do it soon; not at all where very much waits already, which only who asks in vain brings about."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="later", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait(what)
        except Full:
            _log.warning("too_much_for_later", waiting=MOST_WAITING)

    def wait(self) -> None:
        """Until all that was asked for is done."""
        self._waiting.join()

    def close(self) -> None:
        """Do what waits, and end."""
        with self._lock:
            if self._thread is not None:
                self._waiting.put(None)
                self._thread.join()
                self._thread = None

    def _run(self) -> None:
        while True:
            what = self._waiting.get()
            try:
                if what is None:
                    return
                what()
            except PbxbillError as error:
                _log.warning("not_done_later", error=str(error))
            except Exception:  # noqa: BLE001 what fails once must not end the thread for what comes after
                _log.exception("later_failed")
            finally:
                self._waiting.task_done()
