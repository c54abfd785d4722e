"""Rules of the URL map that learn to build addresses when a page first leads there, and the ids in them.

Werkzeug compiles two functions for each rule as it is added. Of a thousand rules a process builds few
addresses, and the functions of all of them were most of the time in which it started.
"""

from collections.abc import Callable
from typing import Any

from werkzeug.routing import IntegerConverter, Map, Rule

Builder = Callable[..., tuple[str, str]]


MOST_ID = 2**63 - 1
"""Databases have no greater number: an address with one leads nowhere."""


class IdConverter(IntegerConverter):
    """Whole numbers that may be ids."""

    def __init__(self, url_map: Map, **bounds: Any) -> None:
        super().__init__(url_map, **{"max": MOST_ID, **bounds})


class LateRule(Rule):
    """Matches as any rule does; only its builders come late."""

    def _compile_builder(self, append_unknown: bool = True) -> Builder:
        compile_now = super()._compile_builder
        compiled: list[Builder] = []

        def build(*rule: Rule, **values: Any) -> tuple[str, str]:
            # Two threads that come at once compile the same twice, which harms nobody.
            if not compiled:
                compiled.append(compile_now(append_unknown))
            return compiled[0](*rule, **values)

        return build
