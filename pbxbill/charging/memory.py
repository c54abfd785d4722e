"""What a batch has read of accounts and wallets, for the next one.

It counts as long as no other connection has written to the database, which SQLite can tell within the
transaction that locks it: a suspended account is refused at once. PostgreSQL cannot tell; each batch reads.
"""

from dataclasses import dataclass, field

from pbxbill.charging.offers import Offers
from pbxbill.charging.state import ChargedAccount, KnownEndpoint, Payer, Wallet
from pbxbill.store.driver import Driver

MOST_KEPT = 50_000
"""Endpoint values, which callers may choose, and wallets."""


@dataclass(slots=True)
class Memory:
    """Rows as the last committed transaction left them. One that failed leaves no memory behind."""

    version: int | None = None
    looked_up: set[str] = field(default_factory=set)
    """Endpoint values whose endpoints, their accounts' chains and these accounts' wallets are all here."""
    complete: set[int] = field(default_factory=set)
    """Accounts of which every wallet is here."""
    endpoints: dict[tuple[str, str], list[KnownEndpoint]] = field(default_factory=dict)
    accounts: dict[int, ChargedAccount] = field(default_factory=dict)
    wallets: dict[int, Wallet] = field(default_factory=dict)
    wallet_ids: dict[tuple[int, str], int] = field(default_factory=dict)
    payers: dict[int, tuple[Payer, ...]] = field(default_factory=dict)
    """Who pays for an account's calls to the outside, by the tariffs of these offers."""
    offers: Offers | None = None

    def as_of_now(self, driver: Driver) -> "Memory":
        """This memory, or an empty one if somebody else may have changed what it holds."""
        version = driver.foreign_version()
        small = len(self.looked_up) < MOST_KEPT and len(self.wallets) < MOST_KEPT
        return self if version is not None and version == self.version and small else Memory(version)

    def payers_by(self, offers: Offers) -> dict[int, tuple[Payer, ...]]:
        """Who pays; forgotten once the catalogue has been loaded again, which makes its offers new ones."""
        if self.offers is not offers:
            self.offers, self.payers = offers, {}
        return self.payers
