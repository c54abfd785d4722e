"""The outbox: messages are written with what they are about, in one transaction, and sent afterwards.

A message is sent at least once: a process that dies between sending and saying so sends it again, with the
same Message-ID, by which mail systems know it. States: waiting -> sending -> sent | waiting again | failed,
sent -> bounced, and gathered -> digested: told by another message.

Messages of an issuer leave in their order. While his mail server cannot be reached they keep it: the server
is tried now and then, and none of them counts an attempt.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.orm import Session

from pbxbill.clock import SECOND_US
from pbxbill.ids import new_id
from pbxbill.store.driver import rows_within
from pbxbill.store.invoice_models import MessageRow
from pbxbill.store.notice_models import MailOutageRow, WebhookEndpointRow

CLAIM_S = 600
"""A message that somebody took to send this long ago is taken again: he has died."""
SURE_S = 60
"""For so long nobody who took a message needs to ask whether it is still_ours()."""
RETRY_S = (60, 300, 900, 1_800, 3_600, *(7_200,) * 36)
"""How long a message waits after each failed attempt: three days in all; then it is given up."""
GIVE_UP_S = 7 * 86_400
"""A message that could not even be tried for so long is given up."""
OUTAGE_RETRY_S = (30, 60, 120, 300)
"""How long a server that cannot be reached is left alone; the last of them again and again."""
PAUSE_S = (5, 30, 60, 300)
"""How long a failing endpoint is left alone; the last of them again and again."""
LONGEST_WAIT_S = 3 * 86_400
"""No message waits longer for its next attempt, nor for a digest."""
WEBHOOKS_KEPT_S = 60 * 86_400
MOST_RETRIED = 10_000
"""Of messages that were given up, at once."""
ONE_TIME_LINK = "user_link"
"""Kind of mails whose text opens somebody's access: it is forgotten once they are not to be sent any more."""
_HAS_TEXT = or_(MessageRow.kind != ONE_TIME_LINK, MessageRow.text != "")
MAX_ERROR = 500
MAX_KEY = 120
_COLUMNS = (
    "key", "issuer_id", "account_id", "kind", "recipient", "subject", "text", "html", "invoice_id",
    "report_run_id", "channel",
    "endpoint_id", "state", "attempts", "error", "next_us", "message_id", "created_us",
)  # fmt: skip
_INSERT = (
    f"INSERT INTO outbox ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{name}' for name in _COLUMNS)}) "  # noqa: S608 our own names
    "ON CONFLICT (key) DO NOTHING RETURNING id"
)
_DUE = MessageRow.state == "waiting"


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to one address."""

    key: str
    """Made from its cause: the same cause is told once."""
    issuer_id: int
    """In whose name it is sent."""
    account_id: int | None
    kind: str
    recipient: str
    subject: str
    text: str
    html: str = ""
    invoice_id: int | None = None
    """Whose files go with it."""
    report_run_id: int | None = None
    """Whose file goes with it."""
    endpoint_id: int | None = None
    """Of a webhook, whose text is the JSON that is posted."""
    not_before_us: int = 0
    """Quiet hours end then, or the digest is due."""
    gathered: bool = False
    """It waits for a digest."""


def enqueue(session: Session, message: NewMessage, now_us: int) -> bool:
    """Put a message into the outbox; False if its cause was told before."""
    values = {
        "key": kept_key(message.key),
        "issuer_id": message.issuer_id,
        "account_id": message.account_id,
        "kind": message.kind,
        "recipient": message.recipient,
        "subject": _one_line(message.subject)[:300],
        "text": message.text,
        "html": message.html,
        "invoice_id": message.invoice_id,
        "report_run_id": message.report_run_id,
        "attempts": 0,
        "error": "",
        "channel": "mail" if message.endpoint_id is None else "webhook",
        "endpoint_id": message.endpoint_id,
        "state": "gathered" if message.gathered else "waiting",
        "next_us": max(now_us, message.not_before_us),
        "message_id": new_id(),
        "created_us": now_us,
    }
    return bool(rows_within(session, _INSERT, values))


def kept_key(key: str) -> str:
    """A key as it is kept."""
    if len(key) <= MAX_KEY:
        return key
    # Two long addresses must not look like one.
    return f"{key[: MAX_KEY - 65]}:{sha256(key.encode()).hexdigest()}"


def due_issuers(session: Session, now_us: int) -> list[int]:
    """Issuers with mail that can be tried now."""
    _free_abandoned(session, now_us)
    longest_us = 2 * OUTAGE_RETRY_S[-1] * SECOND_US  # what is further ahead a wrong clock has noted
    down = select(MailOutageRow.issuer_id).where(
        MailOutageRow.next_us > now_us, MailOutageRow.next_us <= now_us + longest_us
    )
    query = (
        select(MessageRow.issuer_id)
        .where(MessageRow.channel == "mail", _DUE, MessageRow.next_us <= now_us)
        .where(MessageRow.issuer_id.not_in(down))
        .distinct()
        .order_by(MessageRow.issuer_id)
    )
    return list(session.scalars(query))


def due_endpoints(session: Session, now_us: int) -> list[int]:
    """Endpoints with deliveries that can be tried now."""
    _free_abandoned(session, now_us)
    longest_us = 2 * PAUSE_S[-1] * SECOND_US
    paused = WebhookEndpointRow.next_us.is_not(None) & WebhookEndpointRow.next_us.between(
        now_us + 1, now_us + longest_us
    )
    query = (
        select(MessageRow.endpoint_id)
        .join(WebhookEndpointRow, WebhookEndpointRow.id == MessageRow.endpoint_id)
        .where(MessageRow.channel == "webhook", _DUE, MessageRow.next_us <= now_us)
        .where(WebhookEndpointRow.state == "active", ~paused)
        .distinct()
    )
    return [id for id in session.scalars(query) if id is not None]


def claim(
    session: Session,
    now_us: int,
    most: int,
    *,
    issuer_id: int | None = None,
    endpoint_id: int | None = None,
) -> list[MessageRow]:
    """Take messages whose time has come, the oldest of an issuer first; no other process takes them."""
    _free_abandoned(session, now_us)
    query = select(MessageRow).where(_DUE, MessageRow.next_us <= now_us)
    query = query.where(MessageRow.channel == ("mail" if endpoint_id is None else "webhook"))
    if issuer_id is not None:
        query = query.where(MessageRow.issuer_id == issuer_id)
    if endpoint_id is not None:
        query = query.where(MessageRow.endpoint_id == endpoint_id)
    query = query.order_by(MessageRow.issuer_id, MessageRow.id).limit(most)
    rows = list(session.scalars(query.with_for_update(skip_locked=True)))
    for row in rows:
        row.state, row.claimed_us = "sending", now_us
    return rows


def give_back(session: Session, ids: Sequence[int], claimed_us: int) -> None:
    """Let messages wait again that were taken and not tried."""
    own = update(MessageRow).where(
        MessageRow.id.in_(ids), MessageRow.state == "sending", MessageRow.claimed_us == claimed_us
    )
    session.execute(own.values(state="waiting", claimed_us=None))


def sent_since(session: Session, issuer_id: int, since_us: int) -> int:
    """How many messages of an issuer a mail server took since a moment."""
    query = select(func.count()).where(
        MessageRow.issuer_id == issuer_id, MessageRow.sent_us > since_us, MessageRow.channel == "mail"
    )
    return session.scalar(query) or 0


def server_down(session: Session, issuer_id: int, why: str, now_us: int) -> MailOutageRow:
    """Leave an issuer's server alone for a while; what has been due for too long is given up."""
    row = session.get(MailOutageRow, issuer_id)
    if row is None:
        row = MailOutageRow(issuer_id=issuer_id, since_us=now_us, attempts=0)
        session.add(row)
    wait_s = OUTAGE_RETRY_S[min(row.attempts, len(OUTAGE_RETRY_S) - 1)]
    row.attempts += 1
    row.next_us = now_us + wait_s * SECOND_US
    row.why = _one_line(why)[:MAX_ERROR]
    session.flush()
    of_issuer = (MessageRow.issuer_id == issuer_id, MessageRow.channel == "mail", _DUE)
    too_old = MessageRow.next_us <= now_us - GIVE_UP_S * SECOND_US
    session.execute(
        update(MessageRow).where(*of_issuer, too_old).values(state="failed", next_us=None, error=row.why)
    )
    _forget_links(session, *of_issuer[:2], MessageRow.state == "failed", MessageRow.next_us.is_(None))
    return row


def server_up(session: Session, issuer_id: int) -> None:
    """An issuer's server took something, or is to be tried at once."""
    session.execute(delete(MailOutageRow).where(MailOutageRow.issuer_id == issuer_id))


def still_ours(session: Session, id: int, claimed_us: int, now_us: int) -> bool:
    """Whether nobody else has taken a message since we did; the claim counts from now on."""
    own = update(MessageRow).where(
        MessageRow.id == id, MessageRow.state == "sending", MessageRow.claimed_us == claimed_us
    )
    return session.execute(own.values(claimed_us=now_us).returning(MessageRow.id)).first() is not None


def mark_sent(session: Session, id: int, now_us: int) -> None:
    """The mail server took it."""
    _end(session, id, state="sent", sent_us=now_us, next_us=None, error="")


def mark_failed(
    session: Session,
    id: int,
    why: str,
    now_us: int,
    *,
    permanent: bool,
    retry_s: Sequence[int] = RETRY_S,
) -> str:
    """Nobody took it: tried again later, or given up; the state it has now."""
    attempts = (session.scalar(select(MessageRow.attempts).where(MessageRow.id == id)) or 0) + 1
    error = _one_line(why)[:MAX_ERROR]
    if permanent or attempts > len(retry_s):
        state = "bounced" if permanent else "failed"
        _end(session, id, state=state, next_us=None, error=error, attempts=attempts)
        return state
    next_us = now_us + retry_s[attempts - 1] * SECOND_US
    _end(session, id, state="waiting", next_us=next_us, error=error, attempts=attempts)
    return "waiting"


def mark_bounced(session: Session, message_id: str, why: str) -> MessageRow | None:
    """A mail server sent it back later; None if no message has that Message-ID."""
    own, _, _domain = message_id.strip("<> ").partition("@")
    row = session.scalar(select(MessageRow).where(MessageRow.message_id == own))
    if row is not None:
        row.state, row.error, row.next_us = "bounced", _one_line(why)[:MAX_ERROR], None
    return row


def retry(session: Session, ids: Sequence[int], now_us: int) -> int:
    """Let messages that were given up, or came back, wait again; how many there were."""
    found = session.scalars(
        select(MessageRow).where(
            MessageRow.id.in_(ids),
            MessageRow.state.in_(("failed", "bounced", "waiting")),
            _HAS_TEXT,
        )
    ).all()
    for row in found:
        row.state, row.attempts, row.next_us, row.error = "waiting", 0, now_us, ""
    for issuer_id in {row.issuer_id for row in found if row.channel == "mail"}:
        server_up(session, issuer_id)
    return len(found)


def retry_failed(session: Session, of: Iterable[ColumnElement[bool]], now_us: int) -> int:
    """The same for what was given up of these, the oldest MOST_RETRIED of them."""
    ids = select(MessageRow.id).where(*of, MessageRow.state == "failed", _HAS_TEXT).order_by(MessageRow.id)
    return retry(session, session.scalars(ids.limit(MOST_RETRIED)).all(), now_us)


def count_failed(session: Session, of: Iterable[ColumnElement[bool]]) -> int:
    """How many of these were given up, and can be sent again."""
    query = select(func.count()).select_from(MessageRow)
    return session.scalar(query.where(*of, MessageRow.state == "failed", _HAS_TEXT)) or 0


def purge(session: Session, now_us: int, most: int) -> int:
    """Forget webhooks that ended long ago; mails are kept, for they are what a customer was told."""
    over = select(MessageRow.id).where(
        MessageRow.channel == "webhook",
        MessageRow.state.in_(("sent", "failed")),
        MessageRow.created_us < now_us - WEBHOOKS_KEPT_S * SECOND_US,
    )
    ids = list(session.scalars(over.order_by(MessageRow.id).limit(most)))
    if ids:
        session.execute(delete(MessageRow).where(MessageRow.id.in_(ids)))
    return len(ids)


def counts(session: Session) -> dict[str, int]:
    """How many mails are in each state."""
    mails = select(MessageRow.state, func.count()).where(MessageRow.channel == "mail")
    rows = session.execute(mails.group_by(MessageRow.state))
    return {str(row.state): row[1] for row in rows}


def _free_abandoned(session: Session, now_us: int) -> None:
    # Whoever took them has died: they wait again, in their old place. What was taken, or put off, while the
    # clock was ahead goes on, too.
    abandoned = or_(
        MessageRow.claimed_us < now_us - CLAIM_S * SECOND_US,
        MessageRow.claimed_us > now_us + CLAIM_S * SECOND_US,
    )
    session.execute(
        update(MessageRow).where(MessageRow.state == "sending", abandoned).values(state="waiting")
    )
    too_far = MessageRow.next_us > now_us + LONGEST_WAIT_S * SECOND_US
    waits = MessageRow.state.in_(("waiting", "gathered"))
    session.execute(update(MessageRow).where(waits, too_far).values(next_us=now_us))


def _end(session: Session, id: int, **values: object) -> None:
    session.execute(update(MessageRow).where(MessageRow.id == id).values(claimed_us=None, **values))
    if values["state"] != "waiting":
        _forget_links(session, MessageRow.id == id)


def _forget_links(session: Session, *which: ColumnElement[bool]) -> None:
    """A copy of the database opens nobody's access."""
    links = MessageRow.kind == ONE_TIME_LINK, MessageRow.text != ""
    session.execute(update(MessageRow).where(*which, *links).values(text=""))


def _one_line(text: str) -> str:
    return " ".join(text.split())
