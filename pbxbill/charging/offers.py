"""What charging goes by beside tariffs and decks, in memory: destinations, dialling, exchange, carriers.

Loaded whole when the catalogue's version grows. Bundles and limits of single accounts are many and change
often: a batch reads those of its own accounts, if there are any at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pbxbill.rating.bundle import Bundle
from pbxbill.rating.destination import DiallingRule
from pbxbill.rating.destination_map import DestinationMap
from pbxbill.rating.exchange import ExchangeTable

NEVER_LOADED = -1
"""A version that no database has."""


class Carrier(NamedTuple):
    """Whom a gateway leads to."""

    id: int
    name: str
    tariff_id: int


@dataclass(frozen=True, slots=True)
class Offers:
    """One version of all of it; never changed."""

    exchange: ExchangeTable = field(default_factory=ExchangeTable)
    destinations: DestinationMap = field(default_factory=DestinationMap)
    destinations_version: int = NEVER_LOADED
    dialling_rules: Mapping[int, DiallingRule] = field(default_factory=dict)
    carriers: Mapping[str, Carrier] = field(default_factory=dict)
    """By gateway."""
    service_tariffs: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    """By account, of each service that it is charged for."""
    bundles: Mapping[int, Bundle] = field(default_factory=dict)
    support_numbers: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """By issuer, the E.164 digits that its customers reach however suspended they are."""
    any_account_bundles: bool = False
    any_limits: bool = False
    any_cycle_steps: bool = False
    any_counters: bool = False
    """Something was counted before; live calls may hold of it still."""

    @property
    def counted(self) -> bool:
        """Whether anything is counted at all."""
        return self.any_account_bundles or self.any_limits or self.any_cycle_steps or self.any_counters
