"""Where an account has notices posted to: about itself and about all accounts below it."""

from collections.abc import Sequence

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from pbxbill.billing.notices.notice_facts import timestamp
from pbxbill.billing.notices.notice_kinds import NoticeKind
from pbxbill.errors import InputRefused
from pbxbill.ids import new_id
from pbxbill.notify.outbox import count_failed, retry_failed
from pbxbill.notify.webhook import Answer, Hook, checked_secret, checked_url, new_secret, post
from pbxbill.store.invoice_models import MessageRow
from pbxbill.store.models import AccountRow
from pbxbill.store.notice_models import WebhookEndpointRow

MAX_ENDPOINTS = 20
"""Of one account."""


def add_endpoint(  # noqa: PLR0913 one parameter per column
    session: Session,
    account: AccountRow,
    url: str,
    *,
    kinds: Sequence[NoticeKind] = (),
    secret: str = "",
    private: bool = False,
    now_us: int,
) -> WebhookEndpointRow:
    """Post notices of an account there from now on; kinds: only these; private: as the configuration says."""
    checked_url(url, private=may_be_private(account, private))
    query = select(func.count()).where(WebhookEndpointRow.account_id == account.id)
    if (session.scalar(query) or 0) >= MAX_ENDPOINTS:
        raise InputRefused(f"account {account.code} has {MAX_ENDPOINTS} endpoints, which is the most")
    row = WebhookEndpointRow(
        account_id=account.id,
        url=url,
        secret=checked_secret(secret) if secret else new_secret(),
        old_secret="",
        kinds="\n".join(map(str, dict.fromkeys(kinds))),
        state="active",
        failing_since_us=None,
        failures=0,
        next_us=None,
        error="",
        created_us=now_us,
    )
    session.add(row)
    session.flush()
    return row


def may_be_private(account: AccountRow, private: bool) -> bool:
    """Whether an account's endpoints may be on our own network: the operator's, if the configuration says."""
    return private and account.kind == "operator"


def endpoint(session: Session, id: int) -> WebhookEndpointRow:
    """An endpoint; InputRefused if there is none."""
    row = session.get(WebhookEndpointRow, id, with_for_update=True)
    if row is None:
        raise InputRefused(f"there is no endpoint {id}; `pbxbill webhooks list` shows them")
    return row


def rotate(session: Session, id: int) -> WebhookEndpointRow:
    """Give an endpoint a new secret; deliveries are signed with the old one as well until end_rotation()."""
    row = endpoint(session, id)
    row.old_secret, row.secret = row.secret, new_secret()
    return row


def end_rotation(session: Session, id: int) -> WebhookEndpointRow:
    """Sign with the new secret alone."""
    row = endpoint(session, id)
    row.old_secret = ""
    return row


def switch(session: Session, id: int, *, on: bool) -> WebhookEndpointRow:
    """Post there again, or no longer; what it missed while it was off is not made up for."""
    row = endpoint(session, id)
    row.state = "active" if on else "off"
    if on:
        row.failures, row.failing_since_us, row.next_us, row.error = 0, None, None, ""
    return row


def remove(session: Session, id: int) -> None:
    """Forget an endpoint; deliveries that wait are given up."""
    endpoint(session, id)
    waiting = (MessageRow.endpoint_id == id, MessageRow.state.in_(("waiting", "sending")))
    session.execute(
        update(MessageRow)
        .where(*waiting)
        .values(state="failed", next_us=None, claimed_us=None, error="the endpoint was removed")
    )
    session.execute(delete(WebhookEndpointRow).where(WebhookEndpointRow.id == id))


def retry_given_up(session: Session, id: int, now_us: int) -> int:
    """Deliver again what was given up of an endpoint that is posted to; how many deliveries are tried."""
    row = endpoint(session, id)
    if row.state != "active":
        raise InputRefused(f"endpoint {id} is {row.state}; `pbxbill webhooks on {id}` comes first")
    return retry_failed(session, (MessageRow.endpoint_id == id,), now_us)


def given_up(session: Session, id: int) -> int:
    """How many deliveries to an endpoint are not tried any more."""
    return count_failed(session, (MessageRow.endpoint_id == id,))


def try_endpoint(row: WebhookEndpointRow, account: AccountRow, now_us: int, *, private: bool) -> Answer:
    """Post a test to an endpoint, now."""
    body = f'{{"type":"test","timestamp":"{timestamp(now_us)}","data":{{"account":"{account.code}"}}}}'
    secrets = tuple(filter(None, (row.secret, row.old_secret)))
    return post(Hook(row.url, new_id(), body, secrets), now_us, private=may_be_private(account, private))
