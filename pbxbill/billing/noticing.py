"""Tells accounts what happened: writes notices into the outbox, in the transaction of what they are about.

A notice is told once per cause and address, however often its cause is looked at. Nothing here raises for
somebody who cannot be reached: whoever charges, renews or duns goes on.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.notice_facts import Fact, Facts, Moment, Money, Reader
from pbxbill.billing.notice_kinds import KINDS, NoticeKind
from pbxbill.billing.parties import party_of
from pbxbill.billing.profiles import profile_of
from pbxbill.money import Unit
from pbxbill.notify.outbox import NewMessage, enqueue
from pbxbill.rating.band_checks import zone_of
from pbxbill.store.models import AccountRow, UnitRow

__all__ = ["Fact", "Facts", "Moment", "Money", "NoticeKind", "tell"]


def tell(  # noqa: PLR0913 what is told of, to whom, when, and with which files
    session: Session,
    account_id: int,
    kind: NoticeKind,
    *,
    key: str,
    facts: Facts,
    now_us: int,
    invoice_id: int | None = None,
) -> int:
    """Write a notice to whoever is to have it; how many messages there are.

    key: made from the cause, the same each time; kind and address are added to it. invoice_id: whose files
    go with it.
    """
    terms = KINDS[kind]
    account = session.get_one(AccountRow, account_id)
    issuer_id = account.parent_id or account.id
    units = _units(session)
    if account.parent_id is None:
        email, language, zone = party_of(session, account.id).email, account.language, "UTC"
        emails: tuple[str, ...] = (email,) if email else ()
    else:
        profile = profile_of(session, account_id)
        emails, language, zone = profile.emails, profile.language, profile.cycle.zone
    written = Reader(language, zone_of(zone), units).written(facts)
    subject = f"{account.code}: {terms.about}"
    text = "\n".join((f"{subject}.", "", *(f"{name}: {value}" for name, value in written.items())))
    told = 0
    for email in emails:
        message = NewMessage(
            f"{terms.key_word or kind}:{key}:{email}",
            issuer_id,
            account_id,
            kind,
            email,
            subject,
            text,
            invoice_id=invoice_id,
        )
        told += enqueue(session, message, now_us)
    return told


def _units(session: Session) -> dict[str, Unit]:
    return {row.code: Unit(row.code, row.scale, row.digits) for row in session.scalars(select(UnitRow))}
