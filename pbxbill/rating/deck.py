"""A compiled rate deck: the longest prefix of a number by one bisection, however many prefixes there are.

Prefixes are left-aligned to 15 digits (the longest E.164 number) and sorted as integers, and each one
knows the next shorter prefix around it. The last prefix that does not lie behind a number, or one of
those around it, is the longest that matches. Rows stay in plain columns, since a million Rate objects
would take half a gigabyte; a Rate is made when a lookup hits its row.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from operator import attrgetter

from pbxbill.errors import InputRefused
from pbxbill.rating.destination import E164_MAX_DIGITS
from pbxbill.rating.tariff import Rate

RateRow = tuple[int, str, str, int, int, int, int, int, int, int | None, int | None]
"""The fields of Rate in their order, as a database returns them."""

_as_row = attrgetter(*Rate.__slots__)  # the order of the fields
_CHUNK_ROWS = 10_000
_ALWAYS = -(2**63)
_FOR_EVER = 2**63 - 1
_SPAN = tuple(10 ** (E164_MAX_DIGITS - length) for length in range(E164_MAX_DIGITS + 1))
"""How many left-aligned numbers a prefix of a length covers."""


class CompiledDeck:
    """The rates of one deck version, ready for lookups; never changes, so threads may share it.

    Where several rows of a prefix are in force at once, the one that began last counts, and of those
    the one with the highest id. A row with a broken prefix, increment or price is refused.
    """

    def __init__(self, version_id: int, rates: Iterable[Rate]) -> None:
        self._compile(version_id, map(_as_row, rates))

    @classmethod
    def from_rows(cls, version_id: int, rows: Iterable[RateRow]) -> "CompiledDeck":
        """The deck of rows streamed from a database, never all in memory at once."""
        deck = cls.__new__(cls)
        deck._compile(version_id, rows)
        return deck

    def __len__(self) -> int:
        """How many rows the deck holds."""
        return len(self._columns.ids)

    def find(self, number: str, at_us: int) -> Rate | None:
        """The rate in force at a moment with the longest prefix of an E.164 number; None if there is none."""
        if not (1 <= len(number) <= E164_MAX_DIGITS and number.isascii() and number.isdigit()):
            return None
        aligned = int(number.ljust(E164_MAX_DIGITS, "0"))
        keys, columns = self._keys, self._columns
        # The length in the key keeps prefixes that are longer than the number behind it.
        node = bisect_right(keys, aligned << 4 | len(number)) - 1
        while node >= 0:
            length = keys[node] & 15
            if aligned < (keys[node] >> 4) + _SPAN[length]:
                for row in self._order[self._first[node] : self._first[node + 1]]:
                    if columns.from_us[row] <= at_us < columns.to_us[row]:
                        return columns.rate(row, number[:length])
            node = self._around[node]
        return None

    def _compile(self, version_id: int, rows: Iterable[RateRow]) -> None:
        self.version_id = version_id
        self._columns = columns = _Columns(rows)
        keys = columns.keys
        order: Iterable[int] = range(len(keys))
        if any(before > after for before, after in pairwise(keys)):
            order = sorted(order, key=keys.__getitem__)
        self._order = array("i", order)
        self._keys = array("q")
        """One for each prefix, sorted: the left-aligned prefix, then its length, the shorter first."""
        self._first = array("i")
        """Where the rows of each prefix start in _order."""
        for position, row in enumerate(self._order):
            if not self._keys or self._keys[-1] != keys[row]:
                self._keys.append(keys[row])
                self._first.append(position)
        self._first.append(len(self._order))
        self._put_latest_first()
        self._around = _enclosing(self._keys)
        del columns.keys

    def _put_latest_first(self) -> None:
        columns, order = self._columns, self._order
        for start, end in pairwise(self._first):
            if end - start > 1:
                latest_first = sorted(
                    order[start:end], key=lambda row: (columns.from_us[row], columns.ids[row]), reverse=True
                )
                order[start:end] = array("i", latest_first)


class _Columns:
    """The rows of a deck, one array for each field: about 70 bytes a row."""

    def __init__(self, rows: Iterable[RateRow]) -> None:
        self.ids, self.keys, self.from_us, self.to_us = array("q"), array("q"), array("q"), array("q")
        self.prices, self.fees, self.minimums = array("q"), array("q"), array("q")
        self.initial_s, self.following_s, self.free_s = array("i"), array("i"), array("i")
        self.destination_index = array("i")
        self.destinations: list[str] = []
        index: dict[str, int] = {}
        remaining = iter(rows)
        while chunk := list(islice(remaining, _CHUNK_ROWS)):
            try:
                self._append(chunk, index)
            except OverflowError:
                raise InputRefused("a rate holds a number that does not fit 64 bits") from None
        self.destinations = list(index)

    def _append(self, chunk: list[RateRow], index: dict[str, int]) -> None:
        # Column by column, since a million rows one by one take ten times as long.
        ids, prefixes, names, prices, fees, minimums, initial_s, following_s, free_s, from_us, to_us = zip(
            *chunk, strict=True
        )
        if min(initial_s) < 1 or min(following_s) < 1:
            raise InputRefused("an increment of a rate is shorter than one second")
        if min(*prices, *fees, *minimums, *free_s) < 0:
            raise InputRefused("a rate holds a negative price or time")
        self.keys.extend(_keys_of(prefixes))
        self.ids.extend(ids)
        self.prices.extend(prices)
        self.fees.extend(fees)
        self.minimums.extend(minimums)
        self.initial_s.extend(initial_s)
        self.following_s.extend(following_s)
        self.free_s.extend(free_s)
        self.from_us.extend(_ALWAYS if moment is None else moment for moment in from_us)
        self.to_us.extend(_FOR_EVER if moment is None else moment for moment in to_us)
        self.destination_index.extend(index.setdefault(name, len(index)) for name in names)

    def rate(self, row: int, prefix: str) -> Rate:
        """The row as the charge is computed from it."""
        from_us, to_us = self.from_us[row], self.to_us[row]
        return Rate(
            self.ids[row],
            prefix,
            self.destinations[self.destination_index[row]],
            self.prices[row],
            self.fees[row],
            self.minimums[row],
            self.initial_s[row],
            self.following_s[row],
            self.free_s[row],
            None if from_us == _ALWAYS else from_us,
            None if to_us == _FOR_EVER else to_us,
        )


def _keys_of(prefixes: tuple[str, ...]) -> Iterator[int]:
    digits = "".join(prefixes)
    if max(map(len, prefixes)) > E164_MAX_DIGITS or (digits and not (digits.isascii() and digits.isdigit())):
        refused = next(prefix for prefix in prefixes if not is_prefix(prefix))
        raise InputRefused(f"the prefix {refused[:40]!r} is not made of up to {E164_MAX_DIGITS} digits")
    return (int(prefix.ljust(E164_MAX_DIGITS, "0")) << 4 | len(prefix) for prefix in prefixes)


def is_prefix(text: str) -> bool:
    """Whether text can be the prefix of a rate; the empty prefix is the default route."""
    return len(text) <= E164_MAX_DIGITS and (not text or (text.isascii() and text.isdigit()))


def _enclosing(keys: "array[int]") -> "array[int]":
    # For each prefix the next shorter one around it, -1 where there is none.
    around = array("i")
    open_nodes: list[int] = []
    for node, key in enumerate(keys):
        while open_nodes and (key >> 4) >= (keys[open_nodes[-1]] >> 4) + _SPAN[keys[open_nodes[-1]] & 15]:
            open_nodes.pop()
        around.append(open_nodes[-1] if open_nodes else -1)
        open_nodes.append(node)
    return around
