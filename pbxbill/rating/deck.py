"""A compiled rate deck: the longest prefix of a number by one bisection, however many prefixes there are.

Prefixes are left-aligned to 15 digits (the longest E.164 number) and sorted as integers, and each row
knows the one to try next: an earlier row of its prefix, else the next shorter prefix around it. The
last row whose prefix does not lie behind a number, or one that follows from it, is the longest match.
Rows are packed bytes, since a million Rate objects would take half a gigabyte and a lookup would miss
the processor's cache for each field; a Rate is made when a lookup hits its row. Terms that only some rates
have lie beside the rows as texts that rows share.
"""

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TypeAlias

from pbxbill.errors import InputRefused
from pbxbill.rating.destination import E164_MAX_DIGITS
from pbxbill.rating.rate_terms import checked_terms, terms_from_json, terms_to_json
from pbxbill.rating.tariff import Rate, RateTerms

PlainRow: TypeAlias = tuple[int, str, str, int, int, int, int, int, int, int | None, int | None]
"""The fields of Rate up to its period, in their order, as a database returns them."""

RateRow: TypeAlias = (
    PlainRow | tuple[int, str, str, int, int, int, int, int, int, int | None, int | None, str | None]
)
"""A row with, or without, its terms as text."""

PACKED_FIELDS = (
    ("key", "Q"),
    ("from", "Q"),
    ("id", "Q"),
    ("to", "Q"),
    ("price_per_min", "q"),
    ("connection_fee", "q"),
    ("minimum_charge", "q"),
    ("initial_increment_s", "i"),
    ("following_increment_s", "i"),
    ("free_s", "i"),
    ("destination", "i"),
)
"""What a packed row holds, as struct knows it, big end first: packed rows sort as bytes."""

_PACKED = struct.Struct(">" + "".join(code for _, code in PACKED_FIELDS))
_PERIOD = struct.Struct(">8xQQQ")
"""From, id and to of a packed row."""

BIAS = 2**63
"""Added to moments, so that those before 1970 sort before the others: 0 is since ever, FOR_EVER the end."""

FOR_EVER = 2**64 - 1
_SPAN = tuple(10 ** (E164_MAX_DIGITS - length) for length in range(E164_MAX_DIGITS + 1))
"""How many left-aligned numbers a prefix of a length covers."""


class CompiledDeck:
    """The rates of one deck version, ready for lookups; it never changes, so threads may share it.

    Where several rows of a prefix are in force at once, the one that began last counts, and of those
    the one with the highest id. A row with a broken prefix, increment or price is refused.
    """

    def __init__(self, version_id: int, rates: Iterable[Rate]) -> None:
        self._compile(version_id, rates)

    @classmethod
    def from_rows(cls, version_id: int, rows: Iterable[RateRow]) -> "CompiledDeck":
        """The deck of rows streamed from a database."""
        deck = cls.__new__(cls)
        deck._compile(version_id, rows)
        return deck

    def __len__(self) -> int:
        """How many rows the deck holds."""
        return len(self._keys)

    def packed_rows(self) -> Iterator[bytes]:
        """The rows in their order, as PACKED_FIELDS says, for those who ask for many numbers at once."""
        for start in range(0, len(self._rows), _PACKED.size):
            yield self._rows[start : start + _PACKED.size]

    def rows_with_terms(self) -> list[int]:
        """Which of them have terms beside their own prices."""
        return [row for row, text in enumerate(self._terms) if text]

    def find(self, number: str, at_us: int) -> Rate | None:
        """The rate in force at a moment with the longest prefix of an E.164 number; None if there is none."""
        found = self.locate(number, at_us)
        return None if found is None else self.rate(found[0], number)

    def locate(self, number: str, at_us: int) -> tuple[int, int] | None:
        """The row of that rate and its id, for those who know what they have found before."""
        if not (1 <= len(number) <= E164_MAX_DIGITS and number.isascii() and number.isdigit()):
            return None
        aligned = int(number.ljust(E164_MAX_DIGITS, "0"))
        moment = at_us + BIAS
        # The length in the key keeps prefixes that are longer than the number behind it.
        row = bisect_right(self._keys, aligned << 4 | len(number)) - 1
        while row >= 0:
            key = self._keys[row]
            if aligned < (key >> 4) + _SPAN[key & 15]:
                from_us, id, to_us = _PERIOD.unpack_from(self._rows, row * _PACKED.size)
                if from_us <= moment < to_us:
                    return row, id
            row = self._next[row]
        return None

    def rate(self, row: int, number: str) -> Rate:
        """The rate of a row that locate() has found for a number."""
        key, from_us, id, to_us, price, fee, minimum, initial_s, following_s, free_s, destination = (
            _PACKED.unpack_from(self._rows, row * _PACKED.size)
        )
        return Rate(
            id,
            number[: key & 15],
            self._destinations[destination],
            price,
            fee,
            minimum,
            initial_s,
            following_s,
            free_s,
            from_us - BIAS if from_us else None,
            to_us - BIAS if to_us != FOR_EVER else None,
            _terms(self._texts[self._terms[row]]) if self._terms else None,
        )

    def _compile(self, version_id: int, rows: Iterable[RateRow | Rate]) -> None:
        self.version_id = version_id
        destinations: dict[str, int] = {}
        texts: dict[str | None, int] = {None: 0}
        with_terms: dict[bytes, int] = {}
        packed = []
        for row in rows:
            packed.append(_pack(row, destinations))
            (terms,) = row[11:] or (None,)
            text = _checked_text(terms, row[4], row[1], texts)
            if text is not None:
                with_terms[packed[-1]] = texts.setdefault(text, len(texts))
        packed.sort()
        self._destinations = list(destinations)
        self._texts = list(texts)
        # Which text a row has; empty where no row has any.
        self._terms = array("i", (with_terms.get(row, 0) for row in packed) if with_terms else ())
        self._keys = array("q", (int.from_bytes(row[:8]) for row in packed))
        self._rows = b"".join(packed)
        self._next = _next_to_try(self._keys)


def is_prefix(text: str) -> bool:
    """Whether text can be the prefix of a rate; the empty prefix is the default route."""
    return len(text) <= E164_MAX_DIGITS and (not text or (text.isascii() and text.isdigit()))


@lru_cache(maxsize=50_000)
def _terms(text: str | None) -> RateTerms | None:
    # Calls go to the same places again and again.
    return terms_from_json(text)


def _checked_text(
    terms: RateTerms | str | None, connection_fee: int, prefix: str, known: dict[str | None, int]
) -> str | None:
    text = terms_to_json(terms) if isinstance(terms, RateTerms) else terms
    if text is None or (text in known and '"ends_at_maximum"' not in text):
        return text
    try:
        parsed = terms_from_json(text)
        if parsed is not None:
            checked_terms(parsed, connection_fee)
    except InputRefused as refusal:
        raise InputRefused(f"prefix {prefix}: {refusal}") from None
    return text


def _pack(row: RateRow | Rate, destinations: dict[str, int]) -> bytes:
    id, prefix, destination, price, fee, minimum, initial_s, following_s, free_s, from_us, to_us = row[:11]
    if not is_prefix(prefix):
        raise InputRefused(f"the prefix {prefix[:40]!r} is not made of up to {E164_MAX_DIGITS} digits")
    if initial_s < 1 or following_s < 1 or free_s < 0 or price < 0 or fee < 0 or minimum < 0:
        raise InputRefused(f"the rate of prefix {prefix} has an increment below 1 s or a negative number")
    try:
        return _PACKED.pack(
            int(prefix.ljust(E164_MAX_DIGITS, "0")) << 4 | len(prefix),
            0 if from_us is None else from_us + BIAS,
            id,
            FOR_EVER if to_us is None else to_us + BIAS,
            price,
            fee,
            minimum,
            initial_s,
            following_s,
            free_s,
            destinations.setdefault(destination, len(destinations)),
        )
    except struct.error:
        raise InputRefused(f"the rate of prefix {prefix} holds a number that is out of range") from None


def _next_to_try(keys: "array[int]") -> "array[int]":
    # For each row the one of the same prefix before it, else of the next shorter prefix; -1: none.
    following = array("i")
    around: list[int] = []
    for row, key in enumerate(keys):
        while around and (key >> 4) >= (keys[around[-1]] >> 4) + _SPAN[keys[around[-1]] & 15]:
            around.pop()
        following.append(around[-1] if around else -1)
        around.append(row)
    return following
