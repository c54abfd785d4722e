"""What a call may take from bundles and cycle steps before, or instead of, its rate's own price."""

from typing import NamedTuple

UNLIMITED = 2**62


class Allotment(NamedTuple):
    """Pieces of one counter that one call may take, in the order in which it takes them."""

    counter_id: int
    available: int
    """Pieces that the call may take: free ones and those it holds already. Seconds for calls."""
    initial_increment_s: int = 1
    following_increment_s: int = 1
    price_per_min: int | None = None
    """None: included, costs nothing. Else the price of a cycle step, by the rate's increments."""
    fee_owed: bool = False
    """The connection fee is owed although a bundle pays the whole call."""
    whole_call: bool = False
    """One piece pays for the whole call, however long (a bundle of calls)."""
