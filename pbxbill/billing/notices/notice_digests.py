"""Digests: what was not urgent since yesterday, in one message to each address of an account.

A digest and what it tells change their states in one transaction: a notice is in exactly one digest, or still
waits for one.
"""

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from pbxbill.billing.notices.notice_facts import Moment, Reader
from pbxbill.billing.notices.notice_kinds import NoticeKind
from pbxbill.billing.notices.notice_profiles import Addressee, addressee_of
from pbxbill.billing.notices.notice_templates import Letterhead, NoticeWords, filled, letter_colours
from pbxbill.billing.notices.notice_words import FRAME, built_in_words
from pbxbill.notify.outbox import NewMessage, enqueue, kept_key
from pbxbill.store.invoice_models import MessageRow

KIND = "digest"
MOST_IN_ONE = 200
"""Notices; what is beyond them comes in a second message."""
MOST_CHARACTERS = 40_000


def due_digests(session: Session, now_us: int, most: int = 500) -> list[tuple[int, str]]:
    """Accounts and addresses whose digest is due."""
    query = (
        select(MessageRow.account_id, MessageRow.recipient)
        .where(MessageRow.state == "gathered", MessageRow.next_us <= now_us)
        .distinct()
        .order_by(MessageRow.account_id, MessageRow.recipient)
        .limit(most)
    )
    return [(account_id, recipient) for account_id, recipient in session.execute(query) if account_id]


def write_digest(session: Session, account_id: int, recipient: str, now_us: int) -> int:
    """Put what was gathered for an address into one message; how many notices it tells."""
    rows = session.scalars(
        select(MessageRow)
        .where(
            MessageRow.account_id == account_id,
            MessageRow.recipient == recipient,
            MessageRow.state == "gathered",
            MessageRow.next_us <= now_us,
        )
        .order_by(MessageRow.id)
        .limit(MOST_IN_ONE)
        .with_for_update(skip_locked=True)
    ).all()
    rows = _that_fit(rows)
    if not rows:
        return 0
    who = addressee_of(session, account_id, NoticeKind.LOW_BALANCE)
    message = _message(session, who, recipient, rows)
    enqueue(session, message, now_us)
    digest_id = session.scalars(select(MessageRow.id).where(MessageRow.key == kept_key(message.key))).one()
    session.execute(
        update(MessageRow)
        .where(MessageRow.id.in_([row.id for row in rows]))
        .values(state="digested", digest_id=digest_id, next_us=None)
    )
    return len(rows)


def _that_fit(rows: Sequence[MessageRow]) -> Sequence[MessageRow]:
    length = 0
    for number, row in enumerate(rows):
        length += len(row.subject) + len(row.text)
        if length > MOST_CHARACTERS and number:
            return rows[:number]
    return rows


def _message(session: Session, who: Addressee, recipient: str, rows: Sequence[MessageRow]) -> NewMessage:
    frame = built_in_words(who.language)[FRAME]
    reader = Reader(who.language, who.zone, {})
    moments = reader.written({str(row.id): Moment(row.created_us) for row in rows})
    parts = [f"{row.subject}\n{moments[str(row.id)]}\n{row.text.strip()}" for row in rows]
    common: dict[str, str | int] = {
        "account": who.code,
        "name": who.name,
        "seller": who.seller,
        "count": len(rows),
        "notices": "\n\n".join(parts)[:MOST_CHARACTERS],
    }
    head = Letterhead(who.language, who.seller, letter_colours(session, who.template_id, who.issuer_id))
    text = "\n\n".join((frame["greeting"], frame["digest_text"], "{{ notices }}", frame["closing"].strip()))
    notice = filled(NoticeWords(frame["digest_subject"], text), common, head)
    return NewMessage(
        f"{KIND}:{who.account_id}:{rows[0].id}:{recipient}",
        who.issuer_id,
        who.account_id,
        KIND,
        recipient,
        notice.subject,
        notice.text,
        notice.html,
    )
