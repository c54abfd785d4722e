"""Kinds of charges and invoice lines, and the account of the books that each one's income goes to."""

from enum import StrEnum

from pbxbill.errors import InputRefused
from pbxbill.ledger.accounts import LedgerCode

QUANTITY_SCALE = 6
"""Digits after the point of quantities: they are kept in millionths."""
ONE = 10**QUANTITY_SCALE
"""A quantity of one."""
MAX_CLASS_LENGTH = 32


def checked_product_class(text: str) -> str:
    """What a charge or a line is taxed as; InputRefused for what cannot be kept."""
    if not (text.isprintable() and 0 < len(text) <= MAX_CLASS_LENGTH):
        raise InputRefused(f"a product class has 1 to {MAX_CLASS_LENGTH} printable characters")
    return text


class ChargeKind(StrEnum):
    """What an invoice line, or a charge, is for."""

    USAGE = "usage"
    """Calls, messages, data: charged while they happened."""
    READING = "reading"
    """A meter's consumption."""
    RECURRING = "recurring"
    SET_UP = "set_up"
    ONE_TIME = "one_time"
    DID_RECURRING = "did_recurring"
    DID_SET_UP = "did_set_up"
    MINIMUM_SPEND = "minimum_spend"
    """What is missing to the agreed minimum of a cycle."""
    CANCELLATION_FEE = "cancellation_fee"
    LATE_FEE = "late_fee"
    ADJUSTMENT = "adjustment"
    """Taken from a wallet by hand."""
    CREDIT = "credit"
    """A recurring charge given back: of a change, a pause or an end before the period's."""


class Collection(StrEnum):
    """How a charge is paid."""

    WALLET = "wallet"
    """Taken from the wallet when it is made; the invoice shows it."""
    INVOICE = "invoice"
    """Asked for by the invoice."""


REVENUE = {
    ChargeKind.USAGE: LedgerCode.REVENUE_USAGE,
    ChargeKind.READING: LedgerCode.REVENUE_READINGS,
    ChargeKind.RECURRING: LedgerCode.REVENUE_RECURRING,
    ChargeKind.SET_UP: LedgerCode.REVENUE_ONE_TIME,
    ChargeKind.ONE_TIME: LedgerCode.REVENUE_ONE_TIME,
    ChargeKind.DID_RECURRING: LedgerCode.REVENUE_DIDS,
    ChargeKind.DID_SET_UP: LedgerCode.REVENUE_DIDS,
    ChargeKind.MINIMUM_SPEND: LedgerCode.REVENUE_MINIMUM,
    ChargeKind.CANCELLATION_FEE: LedgerCode.REVENUE_FEES,
    ChargeKind.LATE_FEE: LedgerCode.REVENUE_FEES,
    ChargeKind.ADJUSTMENT: LedgerCode.ADJUSTMENT,
    ChargeKind.CREDIT: LedgerCode.REVENUE_RECURRING,
}
"""Where the net of a charge is posted, once it is earned."""


def income_of(kind: str, gives_back: str = "") -> LedgerCode:
    """Whose income a charge is; what gives a charge back lessens the income that the charge was."""
    return REVENUE[ChargeKind(gives_back or kind)]
