"""What the fixtures `ok` and `pbxbill` of conftest.py are, and JSON from a command."""

import json
from collections.abc import Callable
from typing import Any

from click.testing import Result

Ok = Callable[..., str]
"""Runs a command that must succeed; what it printed."""
Run = Callable[..., Result]
"""Runs a command; how it went."""


def shown(ok: Ok, *words: object) -> Any:
    """What a command says with --json."""
    return json.loads(ok(*words, "--json"))
