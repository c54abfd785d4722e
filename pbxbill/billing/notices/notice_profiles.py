"""Who is told how: addresses, language, quiet hours and digest of an account; what it wants to hear."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from pbxbill.billing.identifiers import checked_email
from pbxbill.billing.notices.notice_kinds import KINDS, NoticeKind
from pbxbill.errors import InputRefused, check
from pbxbill.rating.band_checks import zone_of
from pbxbill.store.driver import rows_within
from pbxbill.store.notice_models import NoticeChoiceRow, NoticeProfileRow

MAX_EMAILS = 20
DAY_MINUTES = 1_440
DIGESTS = ("", "daily")
DIGEST_MINUTE = 480
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_ADDRESSEE = (
    "SELECT a.id, a.code, a.path, COALESCE(NULLIF(p.legal_name, ''), NULLIF(a.name, ''), a.code), "
    "i.id, i.code, COALESCE(NULLIF(q.legal_name, ''), NULLIF(i.name, ''), i.code), "
    "COALESCE(NULLIF(b.language, ''), a.language), COALESCE(NULLIF(b.zone, ''), NULLIF(s.zone, ''), 'UTC'), "
    "COALESCE(NULLIF(c.emails, ''), NULLIF(b.emails, ''), p.email, ''), "
    "COALESCE(b.template_id, s.template_id), c.enabled, n.quiet_from, n.quiet_to, n.digest, n.digest_minute "
    "FROM accounts a JOIN accounts i ON i.id = COALESCE(a.parent_id, a.id) "
    "LEFT JOIN billing_profiles b ON b.account_id = a.id "
    "LEFT JOIN issuers s ON s.account_id = i.id "
    "LEFT JOIN parties p ON p.account_id = a.id "
    "LEFT JOIN parties q ON q.account_id = i.id "
    "LEFT JOIN notice_profiles n ON n.account_id = a.id "
    "LEFT JOIN notice_choices c ON c.account_id = a.id AND c.kind = :kind "
    "WHERE a.id = :account_id"
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """When an account is told what is not urgent; minutes of its local day."""

    quiet_from: int | None = None
    quiet_to: int | None = None
    digest: str = ""
    digest_minute: int = DIGEST_MINUTE

    def not_before_us(self, now_us: int, zone: ZoneInfo) -> int:
        """When the quiet hours are over that a moment lies in; that moment, if it lies in none."""
        if self.quiet_from is None or self.quiet_to is None or self.quiet_from == self.quiet_to:
            return now_us
        local = (_EPOCH + timedelta(microseconds=now_us)).astimezone(zone)
        minute = local.hour * 60 + local.minute
        if self.quiet_from < self.quiet_to:
            is_quiet = self.quiet_from <= minute < self.quiet_to
        else:
            is_quiet = minute >= self.quiet_from or minute < self.quiet_to
        return _next_us(now_us, self.quiet_to, zone) if is_quiet else now_us

    def digest_us(self, now_us: int, zone: ZoneInfo) -> int:
        """When the next digest is due."""
        return _next_us(now_us, self.digest_minute, zone)


@dataclass(frozen=True, slots=True)
class Addressee:
    """An account as notices of one kind see it."""

    account_id: int
    code: str
    path: str
    name: str
    issuer_id: int
    issuer_code: str
    seller: str
    language: str
    zone: ZoneInfo
    emails: tuple[str, ...]
    template_id: int | None
    wants_it: bool
    delivery: Delivery


def addressee_of(session: Session, account_id: int, kind: NoticeKind) -> Addressee:
    """How an account is told of a kind of thing."""
    found = rows_within(session, _ADDRESSEE, {"account_id": account_id, "kind": str(kind)})
    check(bool(found), "there is no account {}", account_id)
    (row,) = found
    id, code, path, name, issuer_id, issuer_code, seller, language, zone, emails, *rest = row
    template_id, enabled, *delivery = rest
    quiet_from, quiet_to, digest, digest_minute = delivery
    return Addressee(
        id,
        code,
        path,
        name,
        issuer_id,
        issuer_code,
        seller,
        language,
        zone_of(zone),
        tuple(dict.fromkeys(emails.split())),
        template_id,
        enabled is None or bool(enabled) or KINDS[kind].required,
        Delivery(
            quiet_from, quiet_to, digest or "", DIGEST_MINUTE if digest_minute is None else digest_minute
        ),
    )


def delivery_of(session: Session, account_id: int) -> Delivery:
    """What an account said about when it is told."""
    row = session.get(NoticeProfileRow, account_id)
    if row is None:
        return Delivery()
    return Delivery(row.quiet_from, row.quiet_to, row.digest, row.digest_minute)


def set_delivery(session: Session, account_id: int, delivery: Delivery) -> None:
    """Tell an account from now on at these times."""
    minutes = (delivery.quiet_from, delivery.quiet_to, delivery.digest_minute)
    if any(minute is not None and not 0 <= minute < DAY_MINUTES for minute in minutes):
        raise InputRefused("an hour of the day is 00:00 to 23:59")
    if (delivery.quiet_from is None) != (delivery.quiet_to is None):
        raise InputRefused("quiet hours have a beginning and an end")
    if delivery.digest not in DIGESTS:
        raise InputRefused(f"digest {delivery.digest[:20]!r}: use daily, or nothing")
    row = session.get(NoticeProfileRow, account_id)
    if row is None:
        row = NoticeProfileRow(account_id=account_id)
        session.add(row)
    row.quiet_from, row.quiet_to = delivery.quiet_from, delivery.quiet_to
    row.digest, row.digest_minute = delivery.digest, delivery.digest_minute
    session.flush()


def choices_of(session: Session, account_id: int) -> dict[NoticeKind, NoticeChoiceRow]:
    """What an account said about kinds of notices."""
    rows = session.scalars(select(NoticeChoiceRow).where(NoticeChoiceRow.account_id == account_id))
    return {NoticeKind(row.kind): row for row in rows}


def choose(
    session: Session,
    account_id: int,
    kind: NoticeKind,
    *,
    enabled: bool | None = None,
    emails: Sequence[str] | None = None,
) -> NoticeChoiceRow:
    """Switch a kind on or off for an account, or send it to addresses of its own; none: the usual ones."""
    if enabled is False and KINDS[kind].required:
        raise InputRefused(f"notices of {kind} cannot be switched off; they can go to another address")
    if emails is not None and len(emails) > MAX_EMAILS:
        raise InputRefused(f"a notice goes to up to {MAX_EMAILS} addresses")
    row = session.get(NoticeChoiceRow, (account_id, str(kind)))
    if row is None:
        row = NoticeChoiceRow(account_id=account_id, kind=str(kind), enabled=True, emails="")
        session.add(row)
    if enabled is not None:
        row.enabled = enabled
    if emails is not None:
        row.emails = "\n".join(filter(None, map(checked_email, emails)))
    session.flush()
    return row


def forget_choice(session: Session, account_id: int, kind: NoticeKind) -> None:
    """Tell an account of a kind as if it had said nothing."""
    session.execute(
        delete(NoticeChoiceRow).where(
            NoticeChoiceRow.account_id == account_id, NoticeChoiceRow.kind == str(kind)
        )
    )


def _next_us(now_us: int, minute: int, zone: ZoneInfo) -> int:
    """The next time that a clock in a zone shows a minute of the day."""
    today = (_EPOCH + timedelta(microseconds=now_us)).astimezone(zone).date()
    for days in range(3):
        at_us = _local_us(today + timedelta(days=days), minute, zone)
        if at_us > now_us:
            return at_us
    return now_us


def _local_us(day: date, minute: int, zone: ZoneInfo) -> int:
    # A minute that the clock skips is taken as far after midnight as it would have been.
    local = datetime.combine(day, time(minute // 60, minute % 60), zone)
    return (local.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
