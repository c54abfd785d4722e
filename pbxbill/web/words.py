"""What states and kinds are called on the screen, and whether each is good or bad news.

The database keeps short English words; a word that stands nowhere here is shown as it is.
"""

from flask_babel import gettext

from pbxbill.listing.listing import N_

GOOD, WARN, BAD, QUIET, BUSY = "good", "warn", "bad", "quiet", "busy"
"""Tones: in order, look at it, something is wrong, over or not begun, going on."""

STATES: dict[str, tuple[str, str]] = {
    "accepted": (N_("accepted"), GOOD),
    "active": (N_("active"), GOOD),
    "allotted": (N_("allotted"), GOOD),
    "answered": (N_("answered"), GOOD),
    "asking": (N_("being asked"), BUSY),
    "assigned": (N_("assigned"), GOOD),
    "blocked": (N_("blocked"), BAD),
    "bounced": (N_("bounced"), BAD),
    "broken": (N_("broken"), BAD),
    "cancelled": (N_("cancelled"), QUIET),
    "closed": (N_("closed"), QUIET),
    "declined": (N_("declined"), BAD),
    "denied": (N_("denied"), BAD),
    "disabled": (N_("disabled"), QUIET),
    "discarded": (N_("discarded"), QUIET),
    "disputed": (N_("disputed"), WARN),
    "done": (N_("done"), GOOD),
    "draft": (N_("draft"), QUIET),
    "dropped": (N_("dropped"), QUIET),
    "ended": (N_("ended"), QUIET),
    "expired": (N_("expired"), QUIET),
    "fail": (N_("fails"), BAD),
    "failed": (N_("failed"), BAD),
    "failing": (N_("failing"), BAD),
    "free": (N_("free"), QUIET),
    "gathered": (N_("waits for the digest"), BUSY),
    "granted": (N_("granted"), GOOD),
    "held": (N_("held back"), WARN),
    "inactive": (N_("inactive"), BAD),
    "issued": (N_("issued"), BUSY),
    "kept": (N_("kept"), GOOD),
    "locked": (N_("locked"), BAD),
    "lost": (N_("lost"), BAD),
    "making": (N_("being made"), BUSY),
    "new": (N_("new"), QUIET),
    "no_outgoing": (N_("no outgoing calls"), WARN),
    "off": (N_("off"), QUIET),
    "ok": (N_("in order"), GOOD),
    "open": (N_("open"), BUSY),
    "overdue": (N_("overdue"), BAD),
    "paid": (N_("paid"), GOOD),
    "partly_paid": (N_("partly paid"), WARN),
    "paused": (N_("paused"), WARN),
    "planned": (N_("planned"), BUSY),
    "posted": (N_("posted"), GOOD),
    "quarantined": (N_("in quarantine"), WARN),
    "redeemed": (N_("redeemed"), QUIET),
    "refunded": (N_("refunded"), QUIET),
    "refused": (N_("refused"), BAD),
    "released": (N_("released"), GOOD),
    "removed": (N_("removed"), QUIET),
    "requested": (N_("waits for a decision"), WARN),
    "reserved": (N_("ringing"), BUSY),
    "revoked": (N_("revoked"), QUIET),
    "running": (N_("running"), BUSY),
    "sending": (N_("being sent"), BUSY),
    "sent": (N_("sent"), GOOD),
    "settled": (N_("settled"), GOOD),
    "stopped": (N_("stopped"), WARN),
    "suspended": (N_("suspended"), BAD),
    "terminated": (N_("terminated"), QUIET),
    "trial": (N_("trial"), BUSY),
    "unpaid": (N_("unpaid"), BAD),
    "voided": (N_("not connected"), QUIET),
    "waiting": (N_("waiting"), BUSY),
    "warn": (N_("needs a look"), WARN),
    "withdrawn": (N_("withdrawn"), QUIET),
    "won": (N_("won"), GOOD),
    "written_off": (N_("written off"), QUIET),
}

KINDS: dict[str, str] = {
    "customer": N_("customer"),
    "reseller": N_("reseller"),
    "operator": N_("operator"),
    "prepaid": N_("prepaid"),
    "postpaid": N_("postpaid"),
    "hybrid": N_("hybrid"),
    "admin": N_("administrator"),
    "finance": N_("finance"),
    "support": N_("support"),
    "distributor": N_("distributor"),
    "sip": N_("SIP account"),
    "ip": N_("IP address"),
    "caller_id": N_("caller's number"),
    "did": N_("DID"),
    "inbound": N_("inbound"),
    "outbound": N_("outbound"),
    "invoice": N_("invoice"),
    "credit_note": N_("credit note"),
    "debit_note": N_("debit note"),
    "receipt": N_("receipt"),
    "quote": N_("quote"),
    "payment": N_("payment"),
    "refund": N_("refund"),
    "charge_back": N_("charge-back"),
    "write_off": N_("write-off"),
    "topup": N_("top-up"),
    "top_up": N_("top-up"),
    "transfer": N_("transfer"),
    "adjustment": N_("adjustment"),
    "voucher": N_("voucher"),
    "call": N_("call"),
    "charge": N_("charge"),
    "usage": N_("usage"),
    "recurring": N_("recurring charge"),
    "setup": N_("set-up charge"),
    "one_time": N_("one-time charge"),
    "tax": N_("tax"),
    "simultaneous_calls": N_("calls at once"),
    "call_rate": N_("calls in a time"),
    "spend": N_("spending"),
    "call_cost": N_("cost of a call"),
    "call_length": N_("length of a call"),
    "allowed": N_("only these destinations"),
    "new_country": N_("countries not called before"),
    "short_calls": N_("short calls"),
    "cash": N_("cash"),
    "cheque": N_("cheque"),
    "bank": N_("bank transfer"),
    "card": N_("card"),
}


def word_of(value: str) -> str:
    """A state or kind in the reader's language."""
    known = STATES.get(value)
    text = known[0] if known else KINDS.get(value)
    return value.replace("_", " ") if text is None else gettext(text)


def tone_of(value: str) -> str:
    """How a state is coloured; the word always stands beside it."""
    known = STATES.get(value)
    return known[1] if known else QUIET
