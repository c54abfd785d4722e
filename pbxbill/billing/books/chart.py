"""The chart of accounts in words, and as accounting programs name it."""

from typing import NamedTuple

from pbxbill.ledger.accounts import LedgerCode


class ChartAccount(NamedTuple):
    """One account of an issuer's books."""

    name: str
    """Beancount's; a wallet's has its holder behind it. It begins with what kind of account it is."""
    meaning: str

    @property
    def kind(self) -> str:
        """asset, liability, income or expense."""
        return _KINDS[self.name.partition(":")[0]]


_KINDS = {"Assets": "asset", "Liabilities": "liability", "Income": "income", "Expenses": "expense"}

CHART = {
    LedgerCode.WALLET: ChartAccount(
        "Liabilities:Wallets", "what holders of wallets have; on the other side, what they owe"
    ),
    LedgerCode.REVENUE_USAGE: ChartAccount("Income:Usage", "calls, messages, data"),
    LedgerCode.REVENUE_RECURRING: ChartAccount("Income:Recurring", "recurring charges, as far as earned"),
    LedgerCode.REVENUE_ONE_TIME: ChartAccount("Income:One-Time", "set-up and other one-time charges"),
    LedgerCode.REVENUE_DIDS: ChartAccount("Income:DIDs", "telephone numbers, as far as earned"),
    LedgerCode.REVENUE_READINGS: ChartAccount("Income:Readings", "what meters counted"),
    LedgerCode.REVENUE_MINIMUM: ChartAccount("Income:Minimum-Spend", "what tops usage up to a minimum"),
    LedgerCode.REVENUE_FEES: ChartAccount("Income:Fees", "leaving early, paying late"),
    LedgerCode.DEFERRED: ChartAccount("Liabilities:Deferred-Revenue", "charged in advance, not earned yet"),
    LedgerCode.TAX_PAYABLE: ChartAccount("Liabilities:Tax-Payable", "tax taken with charges and invoices"),
    LedgerCode.RECEIVABLE: ChartAccount("Assets:Receivable", "what issued invoices still ask for"),
    LedgerCode.INVOICED: ChartAccount(
        "Liabilities:Wallets-Invoiced", "what of wallets' debts invoices ask for: the other side of it"
    ),
    LedgerCode.CASH: ChartAccount("Assets:Cash", "money received with top-ups and payments"),
    LedgerCode.ADJUSTMENT: ChartAccount("Expenses:Adjustments", "goodwill and corrections by hand"),
    LedgerCode.ROUNDING: ChartAccount("Expenses:Rounding", "between exact charges and whole coins"),
    LedgerCode.WRITTEN_OFF: ChartAccount("Expenses:Written-Off", "debts given up"),
    LedgerCode.VOUCHERS: ChartAccount(
        "Assets:Vouchers", "what redeemed vouchers put into wallets, until the money for them is booked"
    ),
    LedgerCode.TRANSFER: ChartAccount("Assets:Transfers", "between wallets: zero once both sides are posted"),
    LedgerCode.POINTS: ChartAccount("Expenses:Points", "points given and what they were spent for"),
}
"""Every account that an issuer's books in a unit have."""
