"""Tells an account that a subscription is renewed, or ends, so many days before, and what became of it.

As a notice: in the account's language, by what it chose, in the words of the issuer's template.
"""

from datetime import date

from sqlalchemy.orm import Session

from pbxbill.billing.invoices.document_words import words_for
from pbxbill.billing.notices.notice_kinds import NoticeKind
from pbxbill.billing.notices.noticing import Fact, tell
from pbxbill.billing.parties import party_of
from pbxbill.billing.period import local_date
from pbxbill.billing.subscriptions.plan_terms import Renewal
from pbxbill.billing.subscriptions.subscribed import Subscribed, write_change
from pbxbill.billing.subscriptions.subscription_times import next_renewal_us, reminder_us
from pbxbill.money import Unit
from pbxbill.store.models import AccountRow


def next_reminder(subscribed: Subscribed, now_us: int) -> tuple[int, int] | None:
    """(when, of which renewal or end); None: nothing is to be told."""
    if subscribed.rests or not subscribed.terms.remind_days_before:
        return None
    ending = next((x for x in subscribed.planned if x.kind in {"cancel", "end"}), None)
    if ending is not None:
        renewal_us: int | None = ending.effective_us
    else:
        after_us = max(now_us, subscribed.row.reminded_us or 0, subscribed.service_from_us)
        renewal_us = next_renewal_us(
            subscribed.terms, subscribed.cycle, subscribed.row.term_ends_us, after_us
        )
    if renewal_us is None or renewal_us <= (subscribed.row.reminded_us or 0):
        return None
    at_us = reminder_us(subscribed.terms, subscribed.place.zone, renewal_us)
    return None if at_us is None else (at_us, renewal_us)


def remind(session: Session, subscribed: Subscribed, now_us: int) -> bool:
    """Put the reminder that is due now into the outbox; whether there was one."""
    found = next_reminder(subscribed, now_us)
    if found is None or found[0] > now_us:
        return False
    renewal_us = found[1]
    subscribed.row.reminded_us = renewal_us
    day = local_date(renewal_us, subscribed.place.zone)
    ends = subscribed.terms.renewal is Renewal.ENDS or any(
        x.kind in {"cancel", "end"} for x in subscribed.planned
    )
    facts: dict[str, Fact] = {"plan": subscribed.version.name, "subscription": subscribed.row.id, "day": day}
    if ends:
        facts["ends"] = 1
    key = f"{subscribed.row.id}:{day}"
    account_id = subscribed.account.id
    words = _words(session, subscribed, day, ends=ends)
    told = tell(
        session, account_id, NoticeKind.RENEWAL_AHEAD, key=key, facts=facts, now_us=now_us, words=words
    )
    reason = f"{'ends' if ends else 'is renewed'} on {day}" + ("" if told else "; nobody is told")
    write_change(
        session, subscribed.row, "remind", effective_us=now_us, now_us=now_us, state="done", reason=reason
    )
    return True


def tell_renewed(session: Session, subscribed: Subscribed, now_us: int) -> None:
    """Say that the renewal which was reminded of has been charged, once."""
    renewed_us = subscribed.row.reminded_us
    if renewed_us is not None and renewed_us <= now_us and subscribed.row.state == "active":
        _tell(session, subscribed, NoticeKind.RENEWAL_DONE, renewed_us, now_us)


def tell_unpaid(session: Session, subscribed: Subscribed, due_us: int, now_us: int) -> None:
    """Say that the wallet could not pay what was due, once."""
    _tell(session, subscribed, NoticeKind.RENEWAL_FAILED, due_us, now_us)


def _tell(session: Session, subscribed: Subscribed, kind: NoticeKind, at_us: int, now_us: int) -> None:
    day = local_date(at_us, subscribed.place.zone)
    facts: dict[str, Fact] = {"plan": subscribed.version.name, "subscription": subscribed.row.id, "day": day}
    key = f"{subscribed.row.id}:{day}"
    tell(session, subscribed.account.id, kind, key=key, facts=facts, now_us=now_us)


def _words(session: Session, subscribed: Subscribed, day: date, *, ends: bool) -> tuple[str, str]:
    """Those of the issuer's template of documents, or built in there."""
    account, version = subscribed.account, subscribed.version
    issuer = session.get_one(AccountRow, account.parent_id or account.id)
    words = words_for(session, issuer.id, account.id, Unit(subscribed.terms.unit))
    values: dict[str, str | int] = {
        "buyer": _name(session, account),
        "seller": _name(session, issuer),
        "plan": version.name,
        "subscription": subscribed.row.id,
        "day": words.form.day(day),
    }
    what = "ending" if ends else "renewal"
    return words.say(f"{what}_subject", **values), words.say(f"{what}_text", **values)


def _name(session: Session, account: AccountRow) -> str:
    """As documents call them."""
    return party_of(session, account.id).legal_name or account.code
