"""Statements are compiled once in a run, not once a test.

SQLAlchemy keeps what it compiled beside an engine and its dialect. Whoever bills has a few engines for weeks;
a test has its own for a moment, and would spend more on compiling than on all that it tries.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from sqlalchemy import Dialect, Engine, create_engine
from sqlalchemy.util import LRUCache

from pbxbill.store import sealed
from pbxbill.store.sealed import SecretKeeper

KEPT = 20_000
"""More than all tests have: nothing is thrown away."""


class _Compiled:
    """What engines of a kind share: the dialect of the first of them, and what was compiled for it."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Dialect, Any]] = {}

    def share(self, engine: Engine) -> None:
        dialect, compiled = self._known.setdefault(engine.dialect.name, (engine.dialect, LRUCache(KEPT)))
        # It knows its server from its first connection.
        if dialect is engine.dialect or dialect.server_version_info is not None:
            engine.dialect, engine._compiled_cache = dialect, compiled


_PLAIN, _SEALING = _Compiled(), _Compiled()
_OWN: WeakKeyDictionary[Engine, Dialect] = WeakKeyDictionary()


def _made(url: str, **arguments: Any) -> Engine:
    engine = create_engine(url, **arguments)
    _OWN[engine] = engine.dialect
    _PLAIN.share(engine)
    return engine


def seal_with(engine: Engine, keeper: SecretKeeper) -> None:
    """As the package's own, and those that seal share what is compiled too: a dialect knows what seals."""
    engine.dialect, engine._compiled_cache = _OWN[engine], LRUCache(KEPT)
    _SEALING.share(engine)
    sealed.seal_with(engine, keeper)


@contextmanager
def compiled_once() -> Iterator[None]:
    """Have all engines of the run share what is compiled."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pbxbill.store.engine.create_engine", _made)
        for user in ("pbxbill.app", "pbxbill.cli.setup"):
            patched.setattr(f"{user}.seal_with", seal_with)
        yield
