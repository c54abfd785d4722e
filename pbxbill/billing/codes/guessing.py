"""The guard against guessing codes and PINs: wrong ones in a row make who types them wait, longer and longer.

Called around a try, in its transaction: guarded() before the code is looked at (while it says Locked, not
even a right one is, so that a lock-out tells nothing), failed() or succeeded() after. The caller commits a
wrong try as well: it is an expected outcome, not a fault. Who guesses on many lines at once stands in one
queue: from the first wrong try on, tries of one subject wait for each other's commit. Where several subjects
are asked about, it is always in the same order.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session

from pbxbill.clock import SECOND_US
from pbxbill.store.payment_models import GuessRow

MOST_ROWS = 50_000
"""Of one kind; a flood of made-up callers pushes out the oldest. Accounts and access numbers are few."""
_PUSHED_OUT = 1_000
_SUBJECT_CHARACTERS = 64
_INSERT = text(
    "INSERT INTO guesses (kind, subject, failures, last_us) VALUES (:kind, :subject, 0, :now_us) "
    "ON CONFLICT DO NOTHING"
)


class GuessKind(StrEnum):
    """Who is counted, and of what."""

    VOUCHER_CALLER = "voucher:caller"
    VOUCHER_ACCOUNT = "voucher:account"
    PIN_CALLER = "pin:caller"
    PIN_CARD = "pin:card"
    PIN_ACCESS_NUMBER = "pin:access_number"


@dataclass(frozen=True, slots=True)
class Patience:
    """What wrong tries cost."""

    free: int
    """So many in a row are just typing mistakes."""
    first_wait_s: int
    """After the next; twice as long after each one more."""
    longest_wait_s: int
    lock_after: int
    """From so many on it is locked out."""
    lock_s: int
    forgiven_s: int
    """One is forgiven for each such time that passes."""
    in_turn: bool = True
    """Tries wait for each other. Not those of an access number: everybody calls it."""
    cleared: bool = True
    """A right one forgives all. Not at an access number: somebody's right PIN excuses nobody else."""

    def wait_s(self, failures: int) -> int:
        """How long nothing is looked at after so many wrong ones in a row."""
        if failures <= self.free:
            return 0
        if failures >= self.lock_after:
            return self.lock_s
        # The power is bounded before it is taken: counts may be large.
        doublings = min(failures - self.free - 1, 40)
        return min(self.longest_wait_s, self.first_wait_s << doublings)


_HOUR_S = 3_600
_ONE_PERSON = Patience(
    free=2, first_wait_s=5, longest_wait_s=600, lock_after=8, lock_s=_HOUR_S, forgiven_s=_HOUR_S
)
PATIENCE = {
    GuessKind.VOUCHER_CALLER: _ONE_PERSON,
    GuessKind.VOUCHER_ACCOUNT: _ONE_PERSON,
    GuessKind.PIN_CALLER: _ONE_PERSON,
    GuessKind.PIN_CARD: _ONE_PERSON,
    GuessKind.PIN_ACCESS_NUMBER: Patience(
        free=50,
        first_wait_s=1,
        longest_wait_s=30,
        lock_after=100,
        lock_s=60,
        forgiven_s=6,
        in_turn=False,
        cleared=False,
    ),
}
"""An hour's patience with one person is one guess; with everybody who calls an access number it is 600."""


@dataclass(frozen=True, slots=True)
class Locked:
    """Nothing is looked at until then."""

    until_us: int


def guarded(session: Session, kind: GuessKind, subject: str, now_us: int) -> Locked | None:
    """Whether a try must wait; None: the code may be looked at."""
    patience = PATIENCE[kind]
    row = _row(session, kind, subject, lock=patience.in_turn)
    if row is None or row.locked_to_us is None or row.locked_to_us <= now_us:
        return None
    longest_us = max(patience.lock_s, patience.longest_wait_s) * SECOND_US
    if row.locked_to_us - now_us > longest_us:
        return None  # the clock was set back since: nobody was ever meant to wait so long
    return Locked(row.locked_to_us)


def failed(session: Session, kind: GuessKind, subject: str, now_us: int) -> Locked | None:
    """Count a wrong try; what the next one must wait for, if it must."""
    patience = PATIENCE[kind]
    row = _row(session, kind, subject, lock=True) or _made(session, kind, subject, now_us)
    forgiven = max(0, now_us - row.last_us) // (patience.forgiven_s * SECOND_US)
    row.failures = max(0, row.failures - forgiven) + 1
    row.last_us = now_us
    wait_s = patience.wait_s(row.failures)
    row.locked_to_us = now_us + wait_s * SECOND_US if wait_s else None
    session.flush()
    return Locked(row.locked_to_us) if row.locked_to_us else None


def succeeded(session: Session, kind: GuessKind, subject: str) -> None:
    """A right one: what came before was typing mistakes."""
    if PATIENCE[kind].cleared:
        row = _row(session, kind, subject, lock=True)
        if row is not None:
            session.delete(row)
            session.flush()


def forget(session: Session, now_us: int) -> int:
    """Remove what is forgiven altogether; how many there were."""
    count = 0
    for kind, patience in PATIENCE.items():
        over_us = now_us - GuessRow.failures * patience.forgiven_s * SECOND_US
        gone = delete(GuessRow).where(
            GuessRow.kind == kind,
            GuessRow.last_us <= over_us,
            func.coalesce(GuessRow.locked_to_us, 0) <= now_us,
        )
        count += session.execute(gone).rowcount  # type: ignore[attr-defined]  # of a DELETE it has one
    return count


def _subject(subject: str) -> str:
    """As it is kept: what a caller sent may be of any length."""
    if len(subject) <= _SUBJECT_CHARACTERS and subject.isprintable():
        return subject
    return hashlib.sha256(subject.encode(errors="replace")).hexdigest()


def _row(session: Session, kind: GuessKind, subject: str, *, lock: bool) -> GuessRow | None:
    query = select(GuessRow).where(GuessRow.kind == kind, GuessRow.subject == _subject(subject))
    if lock:
        query = query.with_for_update()
    return session.scalar(query.execution_options(populate_existing=True))


def _made(session: Session, kind: GuessKind, subject: str, now_us: int) -> GuessRow:
    """A row of no failures yet, unless another transaction made it meanwhile."""
    _make_room(session, kind)
    values = {"kind": kind, "subject": _subject(subject), "now_us": now_us}
    session.execute(_INSERT, values)
    row = _row(session, kind, subject, lock=True)
    assert row is not None
    return row


def _make_room(session: Session, kind: GuessKind) -> None:
    count = session.scalar(select(func.count()).where(GuessRow.kind == kind)) or 0
    if count < MOST_ROWS:
        return
    oldest = (
        select(GuessRow.subject).where(GuessRow.kind == kind).order_by(GuessRow.last_us).limit(_PUSHED_OUT)
    )
    session.execute(delete(GuessRow).where(GuessRow.kind == kind, GuessRow.subject.in_(oldest)))
