"""The chart of accounts of an issuer (the operator, or a reseller who bills customers of his own).

A posting's amount is positive for a debit and negative for a credit. A wallet is what the issuer
owes its holder, a liability: its balance is minus the sum of the postings on its account. A
negative balance (postpaid) is what the holder owes.
"""

from enum import StrEnum


class LedgerCode(StrEnum):
    """The accounts that every issuer's books hold, one per unit."""

    WALLET = "wallet"
    """Liability; one for each wallet."""
    REVENUE_USAGE = "revenue:usage"
    """Income from calls."""
    TAX_PAYABLE = "tax:payable"
    """Liability."""
    CASH = "cash"
    """Asset: money received with top-ups."""
    ADJUSTMENT = "adjustment"
    """Expense: goodwill and corrections."""
