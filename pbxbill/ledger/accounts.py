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
    """Income from calls, messages and data."""
    REVENUE_RECURRING = "revenue:recurring"
    REVENUE_ONE_TIME = "revenue:one-time"
    """Set-up and other one-time charges."""
    REVENUE_DIDS = "revenue:dids"
    REVENUE_READINGS = "revenue:readings"
    REVENUE_MINIMUM = "revenue:minimum-spend"
    """What tops usage up to the agreed minimum."""
    REVENUE_FEES = "revenue:fees"
    """Cancellation and late-payment fees."""
    DEFERRED = "deferred:revenue"
    """Liability: charged in advance, not earned yet."""
    TAX_PAYABLE = "tax:payable"
    """Liability."""
    RECEIVABLE = "receivable"
    """Asset: what issued invoices still ask for."""
    INVOICED = "wallet:invoiced"
    """Contra to the wallets: what of their debt is on an issued invoice, and so counted as receivable.
    A wallet below zero together with its part of this account is unbilled usage."""
    CASH = "cash"
    """Asset: money received with top-ups and payments."""
    ADJUSTMENT = "adjustment"
    """Expense: goodwill and corrections."""
    ROUNDING = "rounding"
    """Between exact charges and the whole minor units of invoices."""
    WRITTEN_OFF = "written-off"
    """Expense: debts given up."""
    VOUCHERS = "vouchers"
    """What redeemed vouchers put into wallets; settled when the money for them is booked."""
    TRANSFER = "transfer"
    """Between wallets of an issuer's customers: zero once both sides are posted."""
    POINTS = "points"
    """Expense: points given, less those that expired or were spent."""


REVENUES = tuple(code for code in LedgerCode if code.startswith("revenue:"))
"""Every account of income."""
