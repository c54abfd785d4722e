"""Tells accounts what happened: writes notices into the outbox, in the transaction of what they are about.

A notice is told once per cause and address, however often its cause is looked at. It goes to the account's
own addresses in its language, by what it chose: some kinds can be switched off, quiet hours and digests delay
what is not urgent. Webhooks of the account and of those above it are told at once, whatever it chose.
Nothing here raises for somebody who cannot be reached, nor for a template that fails: whoever charges, renews
or duns goes on.
"""

import json

from sqlalchemy.orm import Session

from pbxbill.billing.notices.notice_facts import Fact, Facts, Moment, Money, Reader, in_json, timestamp
from pbxbill.billing.notices.notice_kinds import KINDS, NoticeKind
from pbxbill.billing.notices.notice_profiles import Addressee, addressee_of
from pbxbill.billing.notices.notice_templates import (
    FilledNotice,
    Letterhead,
    as_written,
    built_in,
    core_of,
    filled,
    letter_colours,
    own_words,
    values_of,
)
from pbxbill.billing.render.sandbox import TemplateFault
from pbxbill.money import Unit
from pbxbill.notify.outbox import NewMessage, enqueue
from pbxbill.store.alerts import raise_alert
from pbxbill.store.driver import rows_within

__all__ = ["Fact", "Facts", "Moment", "Money", "NoticeKind", "tell"]

Words = tuple[str, str]
"""Subject and text, said already."""
MAX_RECIPIENT = 254
_UNITS = "SELECT code, scale, digits FROM units"
_ENDPOINTS = (
    "SELECT w.id, w.url, w.kinds FROM webhook_endpoints w JOIN accounts u ON u.id = w.account_id "
    "WHERE w.state = 'active' AND :path LIKE u.path || '%' ORDER BY w.id"
)


def tell(  # noqa: PLR0913 what is told of, to whom, when, and with which files
    session: Session,
    account_id: int,
    kind: NoticeKind,
    *,
    key: str,
    facts: Facts,
    now_us: int,
    invoice_id: int | None = None,
    words: Words | None = None,
) -> int:
    """Write a notice to whoever is to have it; how many messages there are.

    key: made from the cause, the same each time; kind and address are added to it. invoice_id: whose files
    go with it. words: in place of the built-in ones.
    """
    who = addressee_of(session, account_id, kind)
    told = tell_endpoints(session, who, kind, key=key, facts=facts, now_us=now_us)
    return told + tell_by_mail(
        session, who, kind, key=key, facts=facts, now_us=now_us, invoice_id=invoice_id, words=words
    )


def tell_by_mail(  # noqa: PLR0913 as above
    session: Session,
    who: Addressee,
    kind: NoticeKind,
    *,
    key: str,
    facts: Facts,
    now_us: int,
    invoice_id: int | None = None,
    words: Words | None = None,
) -> int:
    """Write the messages to an account's addresses alone."""
    if not who.wants_it or not who.emails:
        return 0
    terms = KINDS[kind]
    # Documents come at once, and what brings files cannot be told in a digest.
    delays = not terms.urgent and kind is not NoticeKind.INVOICE
    gathered = delays and invoice_id is None and who.delivery.digest == "daily"
    not_before_us = now_us
    if gathered:
        not_before_us = who.delivery.digest_us(now_us, who.zone)
    elif delays:
        not_before_us = who.delivery.not_before_us(now_us, who.zone)
    notice = _notice(session, who, kind, facts, now_us, words, core=gathered)
    told = 0
    for email in who.emails:
        message = NewMessage(
            f"{terms.key_word or kind}:{key}:{email}",
            who.issuer_id,
            who.account_id,
            str(kind),
            email,
            notice.subject,
            notice.text,
            "" if gathered else notice.html,
            invoice_id,
            not_before_us=not_before_us,
            gathered=gathered,
        )
        told += enqueue(session, message, now_us)
    return told


def tell_endpoints(
    session: Session, who: Addressee, kind: NoticeKind, *, key: str, facts: Facts, now_us: int
) -> int:
    """Write the webhooks of an account and of all above it."""
    endpoints = rows_within(session, _ENDPOINTS, {"path": who.path})
    payload = ""
    told = 0
    for id, url, kinds in endpoints:
        if kinds and str(kind) not in kinds.split():
            continue
        payload = payload or payload_of(session, who, kind, facts, now_us)
        told += enqueue(
            session,
            NewMessage(
                f"{KINDS[kind].key_word or kind}:{key}:webhook:{id}",
                who.issuer_id,
                who.account_id,
                str(kind),
                url[:MAX_RECIPIENT],
                f"{kind} {who.code}",
                payload,
                endpoint_id=id,
            ),
            now_us,
        )
    return told


def payload_of(session: Session, who: Addressee, kind: NoticeKind, facts: Facts, now_us: int) -> str:
    """What is posted to endpoints."""
    about = {"account": who.code, "issuer": who.issuer_code}
    data = about | in_json(facts, _units(session))
    content = {"type": str(kind), "timestamp": timestamp(now_us), "data": data}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _notice(  # noqa: PLR0913 as above
    session: Session,
    who: Addressee,
    kind: NoticeKind,
    facts: Facts,
    now_us: int,
    words: Words | None,
    *,
    core: bool,
) -> FilledNotice:
    head = Letterhead(who.language, who.seller, letter_colours(session, who.template_id, who.issuer_id))
    own = own_words(session, who.issuer_id, kind, who.language)
    if own is None and words is not None:
        return as_written(*words, head)
    written = Reader(who.language, who.zone, _units(session)).written(facts)
    common = {"account": who.code, "name": who.name, "seller": who.seller}
    values = values_of(kind, written, common, who.language)
    if own is not None:
        try:
            return filled(own, values, head)
        except TemplateFault as fault:
            subject = f"{kind} in {who.language} of {who.seller}"
            raise_alert(session, "notice_template", subject, str(fault), who.issuer_id, at_us=now_us)
            if words is not None:
                return as_written(*words, head)
    return core_of(kind, values, head) if core else built_in(kind, values, head)


def _units(session: Session) -> dict[str, Unit]:
    return {code: Unit(code, scale, digits) for code, scale, digits in rows_within(session, _UNITS, {})}
