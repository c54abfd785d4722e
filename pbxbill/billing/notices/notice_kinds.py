"""The kinds of notices: what each is about, which facts it tells, and how pressing it is."""

from dataclasses import dataclass
from enum import StrEnum


class NoticeKind(StrEnum):
    """What somebody is told of."""

    LOW_BALANCE = "low_balance"
    BALANCE_USED_UP = "balance_used_up"
    TOP_UP = "top_up"
    PAYMENT = "payment"
    PAYMENT_DECLINED = "payment_declined"
    REFUND = "refund"
    CHARGE_BACK = "charge_back"
    INVOICE = "invoice"
    OVERDUE = "overdue"
    DUNNING = "dunning"
    PROMISE_BROKEN = "promise_broken"
    SUSPENSION = "suspension"
    REINSTATED = "reinstated"
    RENEWAL_AHEAD = "renewal_ahead"
    RENEWAL_DONE = "renewal_done"
    RENEWAL_FAILED = "renewal_failed"
    EXPIRY_AHEAD = "expiry_ahead"
    CARD_EXPIRING = "card_expiring"
    REQUEST_DECIDED = "request_decided"
    SPEND_LIMIT = "spend_limit"
    NEW_COUNTRY = "new_country"
    QUARANTINE = "quarantine"
    CARRIER_LOST = "carrier_lost"
    SWITCH_LOST = "switch_lost"
    AUTO_TOP_UP_STOPPED = "auto_top_up_stopped"
    POINTS_EXPIRING = "points_expiring"
    ALERT = "alert"


@dataclass(frozen=True, slots=True)
class KindTerms:
    """How a kind of notice is told."""

    about: str
    facts: tuple[str, ...]
    """Always there."""
    may_have: tuple[str, ...] = ()
    """Empty in templates where there is nothing to say."""
    urgent: bool = False
    """Passes quiet hours and is never kept for a digest."""
    required: bool = False
    """The account cannot switch it off."""
    internal: bool = False
    """About the installation: told to the operator alone."""
    key_word: str = ""
    """What its messages' keys begin with; empty: its name."""


KINDS: dict[NoticeKind, KindTerms] = {
    NoticeKind.LOW_BALANCE: KindTerms("a wallet fell below a threshold", ("balance", "threshold")),
    NoticeKind.BALANCE_USED_UP: KindTerms("a wallet is empty", ("balance",), urgent=True),
    NoticeKind.TOP_UP: KindTerms("money came into a wallet", ("amount", "balance"), ("method", "reference")),
    NoticeKind.PAYMENT: KindTerms(
        "a payment on invoices arrived", ("amount",), ("method", "reference", "invoices", "balance")
    ),
    NoticeKind.PAYMENT_DECLINED: KindTerms(
        "a payment was declined", ("amount", "why"), ("method",), urgent=True
    ),
    NoticeKind.REFUND: KindTerms("a payment was given back", ("amount",), ("why", "method")),
    NoticeKind.CHARGE_BACK: KindTerms(
        "a bank took a payment back", ("amount",), ("why", "method"), required=True
    ),
    NoticeKind.INVOICE: KindTerms(
        "a document was issued", ("number", "document", "total", "due"), ("due_on",), required=True
    ),
    NoticeKind.OVERDUE: KindTerms(
        "an invoice is not paid in time", ("number", "open", "due_on"), ("days",), required=True
    ),
    NoticeKind.DUNNING: KindTerms(
        "an open invoice reached a level of dunning",
        ("number", "open", "due_on", "level"),
        ("days", "fee", "pay_by", "message", "action"),
        required=True,
    ),
    NoticeKind.PROMISE_BROKEN: KindTerms(
        "a promise to pay was not kept", ("amount", "promised_on"), ("number",), required=True
    ),
    NoticeKind.SUSPENSION: KindTerms(
        "the account is barred, suspended or closed",
        ("status",),
        ("reason", "until"),
        urgent=True,
        required=True,
    ),
    NoticeKind.REINSTATED: KindTerms("the account works again", ("status",), ("reason",), urgent=True),
    NoticeKind.RENEWAL_AHEAD: KindTerms(
        "a subscription is renewed or ends soon",
        ("plan", "subscription", "day"),
        ("ends", "amount"),
        key_word="renewal",
    ),
    NoticeKind.RENEWAL_DONE: KindTerms(
        "a subscription was renewed", ("plan", "subscription", "day"), ("amount",)
    ),
    NoticeKind.RENEWAL_FAILED: KindTerms(
        "a subscription could not be renewed", ("plan", "subscription", "day"), ("why",), urgent=True
    ),
    NoticeKind.EXPIRY_AHEAD: KindTerms(
        "balance or account end soon", ("what", "day"), ("amount", "days", "top_up_helps")
    ),
    NoticeKind.CARD_EXPIRING: KindTerms("a saved card expires", ("method", "day")),
    NoticeKind.REQUEST_DECIDED: KindTerms(
        "a request about a plan was decided", ("plan", "decision"), ("why", "subscription")
    ),
    NoticeKind.SPEND_LIMIT: KindTerms(
        "a spending limit was reached", ("subject",), ("detail", "at", "customer"), urgent=True
    ),
    NoticeKind.NEW_COUNTRY: KindTerms(
        "a call to a country that was never called", ("subject",), ("detail", "at", "customer"), urgent=True
    ),
    NoticeKind.QUARANTINE: KindTerms(
        "calls or records cannot be charged", ("subject",), ("detail", "at"), internal=True
    ),
    NoticeKind.CARRIER_LOST: KindTerms(
        "a carrier takes no calls", ("subject",), ("detail", "at"), urgent=True, internal=True
    ),
    NoticeKind.SWITCH_LOST: KindTerms(
        "a switch or its daemon is not heard from", ("subject",), ("detail", "at"), urgent=True, internal=True
    ),
    NoticeKind.AUTO_TOP_UP_STOPPED: KindTerms(
        "the automatic top-up gave up", ("why",), ("amount", "method"), urgent=True
    ),
    NoticeKind.ALERT: KindTerms(
        "anything else that a person should look at",
        ("alert", "subject"),
        ("detail", "at", "customer"),
        urgent=True,
        internal=True,
    ),
    NoticeKind.POINTS_EXPIRING: KindTerms("points expire soon", ("points", "day")),
}
