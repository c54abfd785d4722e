"""What a test finds in its fresh database: made once in a run, then copied (tests/conftest.py)."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contents:
    """A name, and what fills a database that has the newest schema and nothing else."""

    name: str
    fill: Callable[[str], object] | None = None


NOTHING = Contents("schema")
