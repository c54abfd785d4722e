"""Alerts as notices: what charging, jobs and importers found is told to whom it concerns, once.

What concerns an account (a spending limit, a country never called) goes to that account and to its issuer;
what concerns the installation goes to the operator. Alerts that come by the dozen stay in `pbxbill alerts`.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.notices.notice_facts import Fact, Moment
from pbxbill.billing.notices.notice_kinds import NoticeKind
from pbxbill.billing.notices.notice_profiles import addressee_of
from pbxbill.billing.notices.noticing import tell, tell_by_mail
from pbxbill.clock import SECOND_US
from pbxbill.store.catalogue_models import AlertRow
from pbxbill.store.models import AccountRow

TELLABLE_US = 2 * 86_400 * SECOND_US
"""Older alerts are no news."""
AT_ONCE = 100
KIND_OF_ALERT = {
    "spending_limit": NoticeKind.SPEND_LIMIT,
    "country_held": NoticeKind.NEW_COUNTRY,
    "quarantine": NoticeKind.QUARANTINE,
    "carrier_lost": NoticeKind.CARRIER_LOST,
    "switch_lost": NoticeKind.SWITCH_LOST,
}
OF_ACCOUNTS = {NoticeKind.SPEND_LIMIT, NoticeKind.NEW_COUNTRY}
NOT_TOLD = {"simultaneous_calls", "call_rate", "destination_barred", "loss_making"}
"""Limits that do their work all day long."""


def tell_alerts(session: Session, now_us: int, at_once: int = AT_ONCE) -> tuple[int, int]:
    """Tell of alerts that nobody was told of yet: how many alerts, and how many messages."""
    rows = session.scalars(
        select(AlertRow)
        .where(AlertRow.at_us >= now_us - TELLABLE_US, AlertRow.notified_us.is_(None))
        .order_by(AlertRow.at_us, AlertRow.id)
        .limit(at_once)
        .with_for_update(skip_locked=True)
    ).all()
    if not rows:
        return 0, 0
    operator_id = session.scalars(select(AccountRow.id).where(AccountRow.parent_id.is_(None))).one()
    messages = 0
    for row in rows:
        row.notified_us = now_us
        if row.kind not in NOT_TOLD:
            messages += _told(session, row, operator_id, now_us)
    return len(rows), messages


def _told(session: Session, row: AlertRow, operator_id: int, now_us: int) -> int:
    kind = KIND_OF_ALERT.get(row.kind, NoticeKind.ALERT)
    facts: dict[str, Fact] = {"subject": row.subject, "detail": row.detail, "at": Moment(row.at_us)}
    key = f"alert:{row.id}"
    if kind is NoticeKind.ALERT:
        facts["alert"] = row.kind.replace("_", " ")
    account = None if row.account_id is None else session.get(AccountRow, row.account_id)
    if kind not in OF_ACCOUNTS or account is None:
        if account is not None:
            facts["customer"] = account.code
        return tell(session, operator_id, kind, key=key, facts=facts, now_us=now_us)
    told = tell(session, account.id, kind, key=key, facts=facts, now_us=now_us)
    if account.parent_id is None:
        return told
    # The issuer's endpoints have heard of it with the account's.
    issuer = addressee_of(session, account.parent_id, kind)
    facts["customer"] = account.code
    return told + tell_by_mail(session, issuer, kind, key=f"{key}:issuer", facts=facts, now_us=now_us)
