"""Counters: what an account used and holds in one window, of a bundle, of cycle steps or of a limit.

A counter is like a wallet of pieces: what calls may still take is reserved before it is taken. Its
account's wallets are locked while it changes.
"""

from dataclasses import dataclass
from enum import StrEnum

STEPS_OF_A_TARIFF = 128
"""Cycle steps that a tariff may have."""


class CounterKind(StrEnum):
    """What ref_id names."""

    BUNDLE = "bundle"
    """An account's bundle; pieces of its measure."""
    STEPS = "steps"
    """One of a tariff's cycle steps: the tariff's id x STEPS_OF_A_TARIFF + the step's number. Pieces that
    were priced by it in the cycle. Where the steps are a volume's, allowed is what all calls of the cycle
    would have cost at this step, and at the step that is reached what was taken for them."""
    SPEND = "spend"
    """A spending limit; amounts in the limit's unit. allowed has no meaning: the limit says it."""
    RATE = "rate"
    """A limit of calls a second; used is the theoretical arrival time of the next call (GCRA), in 1/value
    microseconds, and allowed the same for calls whose clocks are behind."""
    BURST = "burst"
    """A limit of short calls; used counts them in its window, allowed is when that began, in microseconds."""


@dataclass(slots=True)
class Counter:
    """A counter as it stands after the effects applied so far."""

    id: int
    kind: str
    account_id: int
    ref_id: int
    window_from_us: int
    window_to_us: int
    allowed: int
    used: int
    reserved: int

    @property
    def free(self) -> int:
        """Pieces that nobody used or holds."""
        return self.allowed - self.used - self.reserved
