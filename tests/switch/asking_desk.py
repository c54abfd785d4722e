"""A desk of hang-ups that a test asks itself."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

OPERATOR = "hung up by the operator"


@dataclass
class AskingDesk:
    """Stands in for the database: ask() and give_up() as the real desk's thread would."""

    refused: dict[str, str] = field(default_factory=dict)
    _hang_up: Callable[[str, str], None] | None = None
    _give_up: Callable[[str], None] | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def serve(self, hang_up: Callable[[str, str], None], give_up: Callable[[str], None]) -> None:
        self._hang_up, self._give_up = hang_up, give_up

    def refuse(self, session_id: str, why: str) -> None:
        with self._changed:
            self.refused[session_id] = why
            self._changed.notify_all()

    def stop(self) -> None:
        self._hang_up = self._give_up = None

    def ask(self, session_id: str) -> None:
        assert self._hang_up is not None, "no daemon serves it"
        self._hang_up(session_id, OPERATOR)

    def give_up(self, session_id: str) -> None:
        assert self._give_up is not None
        self._give_up(session_id)

    def wait_refused(self, session_id: str) -> str:
        with self._changed:
            assert self._changed.wait_for(lambda: session_id in self.refused, 30)
        return self.refused[session_id]
