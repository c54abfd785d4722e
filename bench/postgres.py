"""A private PostgreSQL for a bench, where its programs are installed."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.figures import Figures, progress
from lab.postgres import PrivatePostgres
from lab.process import ServerFailed


@contextmanager
def measured_postgres(figures: Figures) -> Iterator[PrivatePostgres | None]:
    """A server of its own; None, and the figures say so, where there is none."""
    try:
        server = PrivatePostgres()
        server.start()
    except ServerFailed as fault:
        progress(f"PostgreSQL is not measured: {fault} (`make dev` installs it)")
        figures.add("postgresql", missing=str(fault))
        yield None
        return
    with server:
        yield server
