"""Idempotency keys: a write that comes again is answered as it was the first time, and done once.

A key is claimed in a transaction of its own; what the request writes, and what it is answered, are durable
together or not at all. Whatever dies in between leaves a claim that is taken over after a while.
"""

import hashlib
import re
from dataclasses import dataclass

from flask import Response, request
from sqlalchemy import ColumnElement, Engine, delete, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pbxbill.clock import SECOND_US
from pbxbill.store.access_models import IdempotentRequestRow
from pbxbill.store.engine import transaction
from pbxbill.web.api.answers import Answer
from pbxbill.web.api.etags import TAG
from pbxbill.web.api.problems import FieldError, Refused

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
MAX_LENGTH = 100
ABANDONED_S = 120
"""So long after its claim a request that did not finish has died: no statement runs as long."""
_FORM = re.compile(r"[!-~]{1,100}")


@dataclass(frozen=True, slots=True)
class Claim:
    """A key that this request, and no other, works on."""

    api_key_id: int
    key: str
    at_us: int

    @property
    def cause(self) -> str:
        """The key of what money moves for it: keys of programs do not meet those of others."""
        return f"api:{self.api_key_id}:{self.key}"


def digest_of(cause: str) -> str:
    """64 hexadecimal digits for Claim.cause: what is kept has less room than a program's key may take."""
    return hashlib.sha256(cause.encode()).hexdigest()


def sent_key(*, required: bool) -> str | None:
    """The request's key; Refused if it is malformed, or missing where it is required."""
    text = request.headers.get(HEADER)
    if text is None:
        if required:
            raise Refused(400, f"Every POST needs a header {HEADER}: a text of yours, another for each.")
        return None
    if _FORM.fullmatch(text) is None:
        told = f"1 to {MAX_LENGTH} visible ASCII characters"
        raise Refused(400, errors=[FieldError(field=f"header.{HEADER}", detail=told)])
    return text


def claim(database: Engine, api_key_id: int, key: str, now_us: int) -> Claim | Response:
    """Take a key for this request, or the answer that it was given before; Refused where that cannot be."""
    body = request.get_data()
    hashed = hashlib.sha256(b"\n".join([request.method.encode(), request.full_path.encode(), body]))
    mine = IdempotentRequestRow(
        api_key_id=api_key_id, key=key, request_hash=hashed.hexdigest(), status=0, body="", at_us=now_us
    )
    try:
        with transaction(database) as session:
            session.add(mine)
    except IntegrityError:
        return _claimed_before(database, mine)
    return Claim(api_key_id, key, now_us)


def _claimed_before(database: Engine, mine: IdempotentRequestRow) -> Claim | Response:
    with transaction(database) as session:
        row = session.get(IdempotentRequestRow, (mine.api_key_id, mine.key), with_for_update=True)
        if row is None:
            raise Refused(409, "The first request with this key has just failed: send it again.")
        if row.request_hash != mine.request_hash:
            raise Refused(422, f"The {HEADER} was used for another request.")
        if row.status:
            return _replayed(row)
        if mine.at_us - row.at_us < ABANDONED_S * SECOND_US:
            raise Refused(
                409, "The first request with this key is being worked on.", headers={"Retry-After": "2"}
            )
        row.at_us = mine.at_us
    return Claim(mine.api_key_id, mine.key, mine.at_us)


def _replayed(row: IdempotentRequestRow) -> Response:
    tag, found, body = row.body.partition("\n")
    if not found:
        tag, body = "", row.body  # kept by a release that knew no tags
    headers = {REPLAYED: "true"} | ({TAG: tag} if tag else {})
    return Answer(row.status, body, headers).response()


def keep(session: Session, held: Claim, answer: Answer) -> None:
    """Write down what the request is answered, in the transaction of what it does."""
    session.flush()
    # JSON is one line: the ETag stands in one before it.
    kept = f"{answer.headers.get(TAG, '')}\n{answer.body}"
    # Past the session: the audit log tells of what was changed, and not of what was answered.
    done = session.connection().execute(
        update(IdempotentRequestRow).where(*_is(held)).values(status=answer.status, body=kept)
    )
    if done.rowcount != 1:
        raise Refused(409, "Another request took this key over.")


def let_go(database: Engine, held: Claim) -> None:
    """Nothing was done: the key may come again with another body."""
    with transaction(database) as session:
        session.execute(delete(IdempotentRequestRow).where(*_is(held)))


def _is(held: Claim) -> tuple[ColumnElement[bool], ...]:
    row = IdempotentRequestRow
    return (
        row.api_key_id == held.api_key_id,
        row.key == held.key,
        row.status == 0,
        row.at_us == held.at_us,
    )
