"""Named groups of prefixes with a class, and what can be said of a number that is in none of them."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from pbxbill.errors import InputRefused
from pbxbill.rating.destination import E164_MAX_DIGITS, DiallingRule
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
    """Every prefix of every destination; it never changes, so threads may share it."""

    def __init__(self, rows: Iterable[tuple[str, str, str]] = ()) -> None:
        """Rows are (prefix, destination's name, its kind)."""
        self._known: list[tuple[str, str]] = []
        self._keys: array[int] = array("q")
        self._ends: array[int] = array("q")
        self._which: array[int] = array("i")
        self._around: array[int] = array("i")
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, number: str) -> Destination | None:
        """The destination with the longest prefix of E.164 digits; None if none has one."""
        raise NotImplementedError

    def classify(self, number: str, rule: DiallingRule | None = None) -> Destination:
        """The destination of a number, or a nameless one of the class that the number's plan gives it."""
        raise NotImplementedError


def matches(
    wanted: tuple[str, ...], number: str, destination: Destination | None, *, broadly: bool = False
) -> bool:
    """Whether one of wanted, which are names, classes or prefixes, is where a number leads.

    broadly: "international" is also any foreign number of another class, e.g. a premium one. That is how
    a block is meant; what is included in a bundle or allowed is not.
    """
    raise NotImplementedError
