"""Applications as tests make them: of their own, or lent.

An application of a thousand routes takes longer to make than most tests to run, and nothing in it is an
installation's: that comes with its desks. So one that is made by the usual rules is lent to one installation
after the other. What it remembered, such as counted tries, is forgotten between them (memories.py).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from sqlalchemy import create_engine

from pbxbill.app import Application
from pbxbill.clock import Clock, ManualClock
from pbxbill.web.background import Background
from pbxbill.web.desks import Desks
from pbxbill.web.factory import create_app
from pbxbill.web.rules import WebRules
from tests.web.memories import Memories

PATIENCE_S = 10
# A test asks more often in a minute than anybody.
USUAL = replace(WebRules(), requests_per_min=1_000_000)


class CompiledTemplates(BytecodeCache):
    """In memory: compiling a page anew for each application takes longer than all else of showing it."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


COMPILED = CompiledTemplates()


def made_app(desks: Desks, rules: WebRules | None = None, *, limited: bool = False) -> Flask:
    """An application of one's own. limited: it counts who asks how often; else it does not."""
    app = create_app(desks, rules or USUAL)
    app.jinja_env.bytecode_cache = COMPILED
    app.extensions["pbxbill_limiter"].enabled = limited
    return app


@contextmanager
def opened_app(
    desks: Desks, rules: WebRules | None = None, *, usual: WebRules = USUAL, limited: bool = False
) -> Iterator[Flask]:
    """An application until the block ends: lent, and of the usual rules, unless there are others.

    usual: those of a module, by which applications are kept for the next.
    """
    if rules is not None:
        yield made_app(desks, rules, limited=limited)
        return
    assert desks.application.redis_url is None, "who counts with others has an application of his own"
    kind = (id(usual), desks.public_url.startswith("https://"))
    free = _FREE.setdefault(kind, [])
    lent = free.pop() if free else _Lent(usual, desks.public_url)
    lent.begin(desks, limited=limited)
    try:
        yield lent.app
    finally:
        # What still works for one must not go on with what the next one has.
        if lent.is_idle():
            lent.end()
            free.append(lent)


class _ClockOfNow:
    """The clock of whoever has the application."""

    def __init__(self) -> None:
        self.clock: Clock = ManualClock()

    def now_us(self) -> int:
        return self.clock.now_us()

    def monotonic_us(self) -> int:
        return self.clock.monotonic_us()


class _Lent:
    """An application, and desks that stand for those of whoever has it."""

    def __init__(self, rules: WebRules, public_url: str) -> None:
        self._clock = _ClockOfNow()
        nowhere = create_engine("sqlite://")
        self._application = Application("sqlite://", None, self._clock, nowhere)
        self._desks = Desks(self._application, public_url=public_url)
        self._live = self._desks.live
        self.app = made_app(self._desks, rules)
        # A route that kept the database itself would go on with that of nobody.
        known = [self._desks, self._application, self._live, self._desks.later]
        self._memories = Memories(self.app, strangers=[nowhere], known=known)

    def begin(self, desks: Desks, *, limited: bool) -> None:
        self._memories.forget()
        limiter = self.app.extensions["pbxbill_limiter"]
        limiter.reset()
        limiter.enabled = limited
        self.app.extensions["pbxbill_later"] = desks.later
        self._clock.clock = desks.application.clock
        for name in ("database_url", "database"):
            object.__setattr__(self._application, name, getattr(desks.application, name))
        # What the one is given, or makes, the other has.
        live = desks.live.__dict__
        self._live.__dict__ = live
        self._desks.__dict__ = desks.__dict__

    def is_idle(self) -> bool:
        """Whether nothing is done in the background any more, soon."""
        for background in self._memories.each(Background):
            if not background._one.acquire(timeout=PATIENCE_S):
                return False
            background._one.release()
        return True

    def end(self) -> None:
        self._clock.clock = ManualClock()
        self._live.__dict__ = {}
        self._desks.__dict__ = {}


_FREE: dict[tuple[int, bool], list[_Lent]] = {}
