"""The exception tree of pbxbill. Expected outcomes are values; these are faults.

PbxbillError
├── InvariantBroken        a check() failed: a bug, or a database changed by hand
├── ConfigurationError     pbxbill.toml, environment or command line: says what to change
├── InputRefused           a value from outside is malformed: says what is wrong with it
│   └── TermRefused        the same of one of many terms, and says which
├── StoreUnavailable       the database or cache cannot be reached or written now
├── EngineBusy             a queue is full or a command ran out of time
├── DuplicateKey           an idempotency key came again with another body
├── SwitchError            a switch refused, timed out or spoke nonsense
│   ├── SwitchGone         the connection to the switch is lost
│   └── CommandTimeout     the switch did not answer a command in time
└── AlreadyRunning         another daemon holds this switch
"""

from collections.abc import Iterator
from contextlib import contextmanager


class PbxbillError(Exception):
    """Root of every fault that pbxbill raises itself."""


class InvariantBroken(PbxbillError):
    """A condition that the program relies on does not hold."""


class ConfigurationError(PbxbillError):
    """The configuration cannot be used; the message says what to change."""


class InputRefused(PbxbillError):
    """A value from outside is malformed; the message says what is wrong with it."""


class TermRefused(InputRefused):
    """One of many terms is malformed. place: the way to it; rows count from 1: "level", 2, "days"."""

    def __init__(self, message: str, *place: str | int) -> None:
        super().__init__(message)
        self.place = place


@contextmanager
def refused_at(*place: str | int) -> Iterator[None]:
    """What is refused within is refused of this place; what names one of its own, of that within this."""
    try:
        yield
    except TermRefused as error:
        raise TermRefused(str(error), *place, *error.place) from None
    except InputRefused as error:
        raise TermRefused(str(error), *place) from None


class StoreUnavailable(PbxbillError):
    """The database or cache cannot be reached or written now; trying later may help."""


class EngineBusy(PbxbillError):
    """The charging queue is full, or a command ran out of time in it."""


class DuplicateKey(PbxbillError):
    """An idempotency key was used before for a different command."""


class SwitchError(PbxbillError):
    """A switch refused, timed out or spoke nonsense."""


class SwitchGone(SwitchError):
    """The connection to the switch is lost."""


class CommandTimeout(SwitchError):
    """The switch did not answer a command in time; its connection is closed."""


class AlreadyRunning(PbxbillError):
    """Another live daemon holds the lease of this switch."""


def check(condition: bool, message: str, *values: object) -> None:
    """Raise InvariantBroken unless condition holds; unlike assert, never stripped.

    Values fill the message's {}, and only when it is raised: checks stand where every call passes.
    """
    if not condition:
        raise InvariantBroken(message.format(*values) if values else message)
