"""Rules of the URL map that learn to build addresses when a page first leads there, and the ids in them.

Werkzeug compiles two functions for each rule as it is added. Of a thousand rules a process builds few
addresses, and the functions of all of them were most of the time in which it started.
"""

from collections.abc import Callable
from typing import Any

from werkzeug.routing import IntegerConverter, Rule

Builder = Callable[..., tuple[str, str]]


class IdConverter(IntegerConverter):
    """Whole numbers that databases can hold: an address with a longer one leads nowhere."""

    regex = r"\d{1,18}"


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
