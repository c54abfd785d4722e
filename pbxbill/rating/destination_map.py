"""Named groups of prefixes with a class, and what can be said of a number that is in none of them."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from pbxbill.errors import InputRefused
from pbxbill.rating.destination import E164_MAX_DIGITS, DiallingRule, is_emergency, is_short_number
from pbxbill.rating.number_plan import KINDS, DestinationKind, derived_kind, region_of


class Destination(NamedTuple):
    """Where a number leads."""

    name: str
    """Empty where no row names it and its class was derived."""
    kind: str
    prefix: str = ""
    region: str = ""
    """number_plan.region_of() it."""
    foreign: bool | None = None
    """Whether it is outside the country of the account's dialling rule, whatever its class; None: no rule."""


class DestinationMap:
    """Every prefix of every destination; it never changes, so threads may share it.

    Kept as a compiled rate deck keeps its prefixes: left-aligned, sorted, each with the one around it, so
    that a million of them take some megabytes and the longest is found by one bisection.
    """

    def __init__(self, rows: Iterable[tuple[str, str, str]] = ()) -> None:
        """Rows are (prefix, destination's name, its kind)."""
        numbers: dict[tuple[str, str], int] = {}
        packed = array("q")
        which = array("i")
        for prefix, name, kind in rows:
            if not (1 <= len(prefix) <= E164_MAX_DIGITS and prefix.isascii() and prefix.isdigit()):
                raise InputRefused(f"destination {name[:40]}: prefix {prefix[:40]!r} is not 1 to 15 digits")
            packed.append(_aligned(prefix) << 4 | len(prefix))
            which.append(numbers.setdefault((name, kind), len(numbers)))
        order = sorted(range(len(packed)), key=packed.__getitem__)
        self._known = list(numbers)
        self._keys = array("q", (packed[row] for row in order))
        self._which = array("i", (which[row] for row in order))
        self._around = _around(self._keys)

    def __len__(self) -> int:
        """How many prefixes there are."""
        return len(self._keys)

    def find(self, number: str) -> Destination | None:
        """The destination with the longest prefix of E.164 digits, without its place; None: none has one."""
        aligned = _aligned(number)
        # The length in the key keeps prefixes that are longer than the number behind it.
        row = bisect_right(self._keys, aligned << 4 | len(number)) - 1
        while row >= 0:
            key = self._keys[row]
            if aligned < (key >> 4) + _SPAN[key & 15]:
                name, kind = self._known[self._which[row]]
                return Destination(name, kind, number[: key & 15])
            row = self._around[row]
        return None

    def classify(self, number: str, rule: DiallingRule | None = None) -> Destination:
        """The destination of what to_e164() made, or a nameless one of the class that its plan gives it."""
        found = self.find(number) if self._keys else None
        if rule is None:
            name, kind, prefix = found[:3] if found is not None else ("", derived_kind(number, "", ""), "")
            return Destination(name, kind, prefix, region_of(number))
        if is_short_number(number, rule):
            # It is no country's number, even where it begins like one; only a row of its own speaks of it.
            if found is not None and found.prefix == number:
                return Destination(found.name, found.kind, number, rule.region, False)
            kind = DestinationKind.EMERGENCY if is_emergency(number, rule) else DestinationKind.SPECIAL
            return Destination("", kind, "", rule.region, False)
        region = region_of(number)
        if found is not None:
            return Destination(found.name, found.kind, found.prefix, region, region != rule.region)
        kind = derived_kind(number, rule.region, rule.area_code)
        return Destination("", kind, "", region, region != rule.region)


def matches(wanted: tuple[str, ...], number: str, destination: Destination, *, broadly: bool = False) -> bool:
    """Whether one of wanted, which are names, classes or prefixes, is where a number leads; empty: anywhere.

    broadly: "international" is also any foreign number of another class, e.g. a premium one. That is how
    a block is meant; what a bundle includes or a limit allows is not.
    """
    if not wanted:
        return True
    words, prefixes = _sorted_out(wanted)
    if destination.kind in words or destination.name.casefold() in words:
        return True
    if broadly and destination.foreign and DestinationKind.INTERNATIONAL in words:
        return True
    return bool(prefixes) and number.startswith(prefixes)


@lru_cache(maxsize=10_000)
def _sorted_out(wanted: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    prefixes = tuple(digits for item in wanted if (digits := item.removeprefix("+")).isdigit())
    words = (item.casefold() for item in wanted if not item.removeprefix("+").isdigit())
    return frozenset(
        word.replace("-", "_") if word.replace("-", "_") in KINDS else word for word in words
    ), prefixes


_SPAN = tuple(10 ** (E164_MAX_DIGITS - length) for length in range(E164_MAX_DIGITS + 1))
"""How many left-aligned numbers a prefix of a length covers."""


def _aligned(digits: str) -> int:
    return int(digits.ljust(E164_MAX_DIGITS, "0"))


def _around(keys: "array[int]") -> "array[int]":
    # For each prefix the next shorter one around it; -1: none.
    found = array("i")
    open_rows: list[int] = []
    for row, key in enumerate(keys):
        while open_rows and (key >> 4) >= (keys[open_rows[-1]] >> 4) + _SPAN[keys[open_rows[-1]] & 15]:
            open_rows.pop()
        if open_rows and keys[open_rows[-1]] == key:
            raise InputRefused(f"prefix {str(key >> 4).rjust(E164_MAX_DIGITS, '0')[: key & 15]} stands twice")
        found.append(open_rows[-1] if open_rows else -1)
        open_rows.append(row)
    return found
