"""Notices with made-up facts: to look at a template, and to know that it works before it is used."""

from collections.abc import Mapping
from datetime import date

from pbxbill.billing.notices.notice_facts import Fact, Moment, Money, Reader
from pbxbill.billing.notices.notice_kinds import KINDS, NoticeKind
from pbxbill.billing.notices.notice_templates import (
    FilledNotice,
    Letterhead,
    NoticeWords,
    built_in,
    filled,
    values_of,
)
from pbxbill.billing.render.sandbox import TemplateFault
from pbxbill.billing.render.template import Colours
from pbxbill.errors import InputRefused
from pbxbill.money import Unit
from pbxbill.rating.band_checks import zone_of

FAULT_MAX_CHARACTERS = 500
_EURO = Unit("EUR")
_DAY = date(2026, 3, 31)

_SAMPLES: dict[str, Fact] = {
    "action": "Outgoing calls are barred now.",
    "alert": "webhook failing",
    "amount": Money(25_000_000, "EUR"),
    "at": Moment(1_774_952_096_000_000),
    "balance": Money(3_480_000, "EUR"),
    "customer": "acme",
    "day": _DAY,
    "days": 14,
    "decision": "approved",
    "detail": "limit 3: 50 EUR a day",
    "document": "invoice",
    "due": Money(119_000_000, "EUR"),
    "due_on": date(2026, 3, 17),
    "ends": "",
    "fee": Money(5_000_000, "EUR"),
    "invoices": "INV-2026-00017",
    "level": 2,
    "message": "Please get in touch with us.",
    "method": "Visa 4242",
    "number": "INV-2026-00017",
    "open": Money(119_000_000, "EUR"),
    "pay_by": date(2026, 4, 7),
    "plan": "Office 20",
    "points": 1_200,
    "promised_on": _DAY,
    "reason": "unpaid invoices",
    "reference": "RF18 5390 0754 7034",
    "status": "suspended",
    "subject": "account acme",
    "subscription": 42,
    "threshold": Money(5_000_000, "EUR"),
    "total": Money(119_000_000, "EUR"),
    "until": date(2026, 4, 30),
    "what": "Your balance",
    "top_up_helps": 1,
    "why": "the card has expired",
}
_OF_KIND: dict[NoticeKind, dict[str, Fact]] = {
    NoticeKind.REINSTATED: {"status": "active", "reason": "All invoices are paid"},
    NoticeKind.REQUEST_DECIDED: {"why": "Welcome!"},
    NoticeKind.REFUND: {"why": "paid twice"},
    NoticeKind.SPEND_LIMIT: {"subject": "account acme, call of account alice"},
    NoticeKind.NEW_COUNTRY: {"subject": "account acme, country CU", "detail": "limit 7: held for a person"},
    NoticeKind.QUARANTINE: {"subject": "cdrs-2026-03.csv", "detail": "12 records: unknown account"},
    NoticeKind.CARRIER_LOST: {"subject": "carrier-a", "detail": "25 calls in 5 minutes, all failed"},
    NoticeKind.SWITCH_LOST: {"subject": "switch fs1", "detail": "last heard of 90 seconds ago"},
}
_COMMON = {"account": "acme", "name": "Acme & Sons Ltd", "seller": "Example Telecom"}
_HEAD_SELLER = _COMMON["seller"]


def sample_facts(kind: NoticeKind, *, sparse: bool = False) -> dict[str, Fact]:
    """Facts of a kind; sparse: only those that are always there."""
    terms = KINDS[kind]
    names = terms.facts if sparse else (*terms.facts, *terms.may_have)
    return {name: _OF_KIND.get(kind, {}).get(name, _SAMPLES[name]) for name in names}


def preview(
    kind: NoticeKind,
    language: str,
    words: NoticeWords | None = None,
    *,
    seller: str = _HEAD_SELLER,
    colours: Colours | None = None,
    sparse: bool = False,
) -> FilledNotice:
    """A notice by a template, or in the built-in words, with sample facts; TemplateFault if it fails."""
    head = Letterhead(language, seller, colours or Colours())
    written = Reader(language, zone_of("UTC"), {"EUR": _EURO}).written(sample_facts(kind, sparse=sparse))
    common: Mapping[str, str] = _COMMON | {"seller": seller}
    values = values_of(kind, written, common, language)
    return built_in(kind, values, head) if words is None else filled(words, values, head)


def fault_of(kind: NoticeKind, language: str, words: NoticeWords) -> str:
    """Why a template cannot be used: which of its texts, the line and the reason; empty: it can."""
    try:
        for sparse in (False, True):
            made = preview(kind, language, words, sparse=sparse)
            if not made.subject or not made.text.strip():
                raise TemplateFault("subject and text must say something, also where a fact is not there")
    except InputRefused as fault:
        return str(fault)[:FAULT_MAX_CHARACTERS]
    return ""
