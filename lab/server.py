"""What every private server has in common: its process, and that nothing of it stays behind."""

import signal
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from lab.process import ChildProcess, ServerFailed


class PrivateServer(ABC):
    """A server on 127.0.0.1, on the same ports after each start; a context manager."""

    _process: ChildProcess | None = None

    @abstractmethod
    def start(self) -> None:
        """Start it and wait until it serves."""

    @abstractmethod
    def stop(self) -> None:
        """End it as an administrator would."""

    @abstractmethod
    def _leave(self) -> None:
        """Remove what it wrote, where that is ours to remove."""

    @property
    def pid(self) -> int:
        return self._running().pid

    def kill(self) -> None:
        """kill -9: nothing is said, nothing is written."""
        if self._process is not None:
            self._process.kill()

    def restart(self) -> None:
        """Stop, and start again on the same ports."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let it hold its connections and do nothing, until thaw()."""
        if self._process is not None:
            self._process.send(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process is not None:
            self._process.send(signal.SIGCONT)

    def _running(self) -> ChildProcess:
        if self._process is None:
            raise ServerFailed(f"this {type(self).__name__} has not been started")
        return self._process

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.thaw()
        self.stop()
        self._leave()
