"""The outbox: messages are written with what they are about, in one transaction, and sent afterwards.

A message is sent at least once: a process that dies between sending and saying so sends it again, with the
same Message-ID, by which mail systems know it. States: waiting -> sending -> sent | waiting again | failed,
and sent -> bounced.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from pbxbill.clock import SECOND_US
from pbxbill.ids import new_id
from pbxbill.store.invoice_models import MessageRow

CLAIM_S = 600
"""A message that somebody took to send this long ago is taken again: he has died."""
RETRY_S = (60, 300, 900, 3_600, 14_400, 43_200, 86_400)
"""How long a message waits after each failed attempt; then it is given up."""
MAX_ERROR = 500
MAX_KEY = 120


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


def enqueue(session: Session, message: NewMessage, now_us: int) -> bool:
    """Put a message into the outbox; False if its cause was told before."""
    key = message.key
    if len(key) > MAX_KEY:  # two long addresses must not look like one
        key = f"{key[: MAX_KEY - 65]}:{sha256(key.encode()).hexdigest()}"
    values = {
        "key": key,
        "issuer_id": message.issuer_id,
        "account_id": message.account_id,
        "kind": message.kind,
        "recipient": message.recipient,
        "subject": _one_line(message.subject)[:300],
        "text": message.text,
        "html": message.html,
        "invoice_id": message.invoice_id,
        "state": "waiting",
        "next_us": now_us,
        "message_id": new_id(),
        "created_us": now_us,
    }
    made = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    statement = made(MessageRow).values(values).on_conflict_do_nothing(index_elements=["key"])
    return session.scalar(statement.returning(MessageRow.id)) is not None


def claim(session: Session, now_us: int, most: int) -> list[MessageRow]:
    """Take messages whose time has come, the oldest of an issuer first; no other process takes them."""
    abandoned_us = now_us - CLAIM_S * SECOND_US
    due = or_(
        (MessageRow.state == "waiting") & (MessageRow.next_us <= now_us),
        (MessageRow.state == "sending") & (MessageRow.claimed_us < abandoned_us),
    )
    query = select(MessageRow).where(due).order_by(MessageRow.issuer_id, MessageRow.id).limit(most)
    rows = list(session.scalars(query.with_for_update(skip_locked=True)))
    for row in rows:
        row.state, row.claimed_us = "sending", now_us
    return rows


def still_ours(session: Session, id: int, claimed_us: int, now_us: int) -> bool:
    """Whether nobody else has taken a message since we did; the claim counts from now on."""
    own = update(MessageRow).where(
        MessageRow.id == id, MessageRow.state == "sending", MessageRow.claimed_us == claimed_us
    )
    return session.execute(own.values(claimed_us=now_us).returning(MessageRow.id)).first() is not None


def mark_sent(session: Session, id: int, now_us: int) -> None:
    """The mail server took it."""
    _end(session, id, state="sent", sent_us=now_us, next_us=None, error="")


def mark_failed(session: Session, id: int, why: str, now_us: int, *, permanent: bool) -> str:
    """The mail server did not take it: tried again later, or given up; the state it has now."""
    attempts = (session.scalar(select(MessageRow.attempts).where(MessageRow.id == id)) or 0) + 1
    error = _one_line(why)[:MAX_ERROR]
    if permanent or attempts > len(RETRY_S):
        state = "bounced" if permanent else "failed"
        _end(session, id, state=state, next_us=None, error=error, attempts=attempts)
        return state
    next_us = now_us + RETRY_S[attempts - 1] * SECOND_US
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
            MessageRow.id.in_(ids), MessageRow.state.in_(("failed", "bounced", "waiting"))
        )
    ).all()
    for row in found:
        row.state, row.attempts, row.next_us, row.error = "waiting", 0, now_us, ""
    return len(found)


def counts(session: Session) -> dict[str, int]:
    """How many messages are in each state."""
    rows = session.execute(select(MessageRow.state, func.count()).group_by(MessageRow.state))
    return {str(row.state): row[1] for row in rows}


def _end(session: Session, id: int, **values: object) -> None:
    session.execute(update(MessageRow).where(MessageRow.id == id).values(claimed_us=None, **values))


def _one_line(text: str) -> str:
    return " ".join(text.split())
