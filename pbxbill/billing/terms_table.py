"""A table of terms, of TOML or of a form: reads its keys, and tells each fault with place and key."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, TypeVar

from pbxbill.errors import InputRefused, TermRefused
from pbxbill.money import Unit, parse_amount

MAX_TEXT = 64
Place = tuple[str | int, ...]

Choice = TypeVar("Choice", bound=StrEnum)


class TermsTable:
    """One table of the file, whose faults are told with its place and key."""

    def __init__(self, facts: Any, where: str, keys: Sequence[str], place: Place = ()) -> None:
        """where: begins each message; place: the same for a form that shows the fault at its field."""
        if not isinstance(facts, dict):
            raise TermRefused(f"{where}this is no table of {', '.join(keys)}", *place)
        for key in facts:
            if key not in keys:
                raise TermRefused(f"{where}there is no key {key[:40]!r}; there is {', '.join(keys)}", *place)
        self.facts = facts
        self.where = where
        self.place = place

    def __contains__(self, key: str) -> bool:
        return key in self.facts

    def refused(self, key: str, wanted: str) -> InputRefused:
        message = f"{self.where}{key} is {wanted}, not {str(self.facts[key])[:40]!r}"
        return TermRefused(message, *self.place, key)

    def text(self, key: str, default: str | None = None) -> str:
        if key not in self.facts and default is not None:
            return default
        value = self.needed(key, '"..."')
        if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
            raise self.refused(key, f"a text of 1 to {MAX_TEXT} characters")
        return value

    def whole(self, key: str, default: int) -> int:
        value = self.facts.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.refused(key, "a whole number")
        return value

    def flag(self, key: str) -> bool:
        value = self.facts.get(key, False)
        if not isinstance(value, bool):
            raise self.refused(key, "true or false")
        return value

    def choice(self, key: str, default: Choice) -> Choice:
        kind = type(default)
        try:
            return kind(self.facts.get(key, default))
        except ValueError:
            raise self.refused(key, "one of " + ", ".join(kind)) from None

    def amount(self, key: str, unit: Unit, default: int | None = None) -> int:
        if key not in self.facts and default is not None:
            return default
        value = self.needed(key, '"12.50"')
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise self.refused(key, "an amount like 12.50")
        try:
            amount = parse_amount(str(value), unit)
        except InputRefused as error:
            raise TermRefused(f"{self.where}{key}: {error}", *self.place, key) from None
        if amount < 0:
            raise self.refused(key, "an amount from 0 on")
        return amount

    def listed(self, key: str) -> list[Any]:
        value = self.facts.get(key, [])
        if not isinstance(value, list):
            raise self.refused(key, "a list in [ ]")
        return value

    def needed(self, key: str, example: str) -> Any:
        if key not in self.facts:
            message = f"{self.where}{key} is missing; write {key} = {example}"
            raise TermRefused(message, *self.place, key)
        return self.facts[key]
