"""Tells an account that a subscription is renewed, or ends, so many days before, once each time.

In the account's language, and in the words of the issuer's template, like its invoices.
"""

from datetime import date

from sqlalchemy.orm import Session

from pbxbill.billing.document_words import words_for
from pbxbill.billing.parties import party_of
from pbxbill.billing.period import local_date
from pbxbill.billing.plan_terms import Renewal
from pbxbill.billing.profiles import profile_of
from pbxbill.billing.subscribed import Subscribed, write_change
from pbxbill.billing.subscription_times import next_renewal_us, reminder_us
from pbxbill.money import Unit
from pbxbill.notify.outbox import NewMessage, enqueue
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
    recipients = profile_of(session, subscribed.account.id).emails
    ends = subscribed.terms.renewal is Renewal.ENDS or any(
        x.kind in {"cancel", "end"} for x in subscribed.planned
    )
    for recipient in recipients:
        enqueue(session, _message(session, subscribed, recipient, day, ends=ends), now_us)
    reason = f"{'ends' if ends else 'is renewed'} on {day}" + ("" if recipients else "; no e-mail address")
    write_change(
        session, subscribed.row, "remind", effective_us=now_us, now_us=now_us, state="done", reason=reason
    )
    return True


def _message(
    session: Session, subscribed: Subscribed, recipient: str, day: date, *, ends: bool
) -> NewMessage:
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
    return NewMessage(
        key=f"renewal:{subscribed.row.id}:{day}:{recipient}",
        issuer_id=issuer.id,
        account_id=account.id,
        kind="renewal",
        recipient=recipient,
        subject=words.say(f"{what}_subject", **values),
        text=words.say(f"{what}_text", **values),
    )


def _name(session: Session, account: AccountRow) -> str:
    """As documents call them."""
    return party_of(session, account.id).legal_name or account.code
