"""Work that may outlast a request: done in a thread of its own, one after the other; a page waits shortly.

What becomes of it stands in the database: whoever is sent to another process sees it there.
"""

import threading
from collections.abc import Callable

import structlog

PATIENCE_S = 2.0
"""What takes less is done when the page appears."""
_log = structlog.get_logger()


class Background:
    """Of one application: threads that wait for each other."""

    def __init__(self) -> None:
        self._one = threading.Lock()

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Begin it; returns when it is done, or patience ends."""

        def do() -> None:
            with self._one:
                try:
                    work()
                except Exception:  # noqa: BLE001  # whatever it is
                    # Nobody waits for this thread: the log is where a fault of ours can be told.
                    _log.exception("background_work_broke", work=name)

        thread = threading.Thread(target=do, name=name, daemon=True)
        thread.start()
        thread.join(PATIENCE_S)
