"""The ledger: chart of accounts, journal entries that balance, reservations and their states. Pure."""
