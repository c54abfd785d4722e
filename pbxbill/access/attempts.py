"""Guessing is slow: who tries in vain too often waits, longer each time.

An attempt is counted before it is looked at, so that many at once are not more than one after another. It is
counted for the log-in with the address, for the log-in from everywhere and for the address with every log-in;
success forgets the first two. Log-ins that nobody has are counted alike.

From a network where a user logged in rightly lately, what is tried elsewhere does not count: whoever locks
his log-in from everywhere locks him out nowhere that he comes from. The pair and the address count there too.

What opens something once is remembered here too, for as long as it would.
"""

import ipaddress
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import delete, text, update
from sqlalchemy.orm import Session

from pbxbill.clock import SECOND_US
from pbxbill.store.access_models import LoginFailureRow

FORGET_US = 24 * 3600 * SECOND_US
"""So long after the last attempt, those before are forgotten."""
KNOWN_US = 30 * FORGET_US
"""So long after a user last came from a network, it is one of his."""
_KNOWN = "known:"
_ENSURE = text(
    "INSERT INTO login_failures (subject, failures, last_us, locked_to_us) VALUES (:subject, 0, :now_us, 0) "
    "ON CONFLICT (subject) DO NOTHING"
)
_REMEMBER = text(
    "INSERT INTO login_failures (subject, failures, last_us, locked_to_us) VALUES (:subject, 0, :now_us, 0) "
    "ON CONFLICT (subject) DO UPDATE SET last_us = excluded.last_us"
)
_ONCE = text(
    "INSERT INTO login_failures (subject, failures, last_us, locked_to_us) VALUES (:subject, 0, :now_us, 0) "
    "ON CONFLICT (subject) DO NOTHING RETURNING subject"
)


@dataclass(frozen=True, slots=True)
class Patience:
    """So many attempts are free; then each one makes the next wait twice as long as the last."""

    free: int
    first_s: int
    most_s: int

    def wait_us(self, failures: int) -> int:
        """How long after so many attempts the next must wait."""
        if failures < self.free:
            return 0
        return min(self.first_s << min(failures - self.free, 20), self.most_s) * SECOND_US


PAIR = Patience(5, 30, 3600)
LOGIN = Patience(25, 30, 900)
"""Whoever tries from many addresses locks a user out as well: not for long."""
ADDRESS = Patience(40, 30, 3600)
CODE = Patience(5, 60, 3600)


@dataclass(frozen=True, slots=True)
class Locked:
    """Too many attempts: none is looked at before then."""

    until_us: int


def attempt_log_in(session: Session, login: str, address: str, now_us: int) -> Locked | None:
    """Count an attempt to log in; Locked: it is not to be looked at."""
    pair, everywhere, where = _subjects(login, address)
    subjects = {pair: PAIR, where: ADDRESS}
    known = session.get(LoginFailureRow, _known(login, address))
    if known is None or now_us - known.last_us >= KNOWN_US:
        subjects[everywhere] = LOGIN
    return _attempt(session, subjects, now_us)


def remember_network(session: Session, login: str, address: str, now_us: int) -> None:
    """A user has proven himself there."""
    session.execute(_REMEMBER, {"subject": _known(login, address), "now_us": now_us})


def is_first_use(session: Session, what: bytes, now_us: int) -> bool:
    """Whether something that opens once was not used before; from now on it was."""
    subject = f"once:{sha256(what).hexdigest()}"
    return session.execute(_ONCE, {"subject": subject, "now_us": now_us}).first() is not None


def forget_log_in(session: Session, login: str, address: str) -> None:
    """It was the user: what was tried with his log-in is forgotten; of his address, this attempt alone."""
    *own, where = _subjects(login, address)
    session.execute(delete(LoginFailureRow).where(LoginFailureRow.subject.in_(own)))
    session.execute(
        update(LoginFailureRow)
        .where(LoginFailureRow.subject == where, LoginFailureRow.failures > 0)
        .values(failures=LoginFailureRow.failures - 1, locked_to_us=0)
    )


def attempt_code(session: Session, user_id: int, now_us: int) -> Locked | None:
    """Count an attempt at the second factor, or at one's own password again."""
    return _attempt(session, {f"code:{user_id}": CODE}, now_us)


def forget_code(session: Session, user_id: int) -> None:
    """It was right."""
    session.execute(delete(LoginFailureRow).where(LoginFailureRow.subject == f"code:{user_id}"))


def _attempt(session: Session, subjects: dict[str, Patience], now_us: int) -> Locked | None:
    last_us, is_known = LoginFailureRow.last_us, LoginFailureRow.subject.startswith(_KNOWN)
    over = (last_us < now_us - FORGET_US) & (~is_known | (last_us < now_us - KNOWN_US))
    session.execute(delete(LoginFailureRow).where(over))
    for subject in sorted(subjects):  # in one order, so that nobody waits for one who waits for him
        session.execute(_ENSURE, {"subject": subject, "now_us": now_us})
    rows = {x: session.get_one(LoginFailureRow, x, with_for_update=True) for x in sorted(subjects)}
    until_us = max(row.locked_to_us for row in rows.values())
    if now_us < until_us:
        return Locked(until_us)
    for subject, row in rows.items():
        row.failures += 1
        row.last_us = now_us
        row.locked_to_us = now_us + subjects[subject].wait_us(row.failures)
    session.flush()
    return None


def _subjects(login: str, address: str) -> tuple[str, str, str]:
    name, where = _name(login), network_of(address)
    return f"pair:{name} {where}", f"login:{name}", f"address:{where}"


def _known(login: str, address: str) -> str:
    return f"{_KNOWN}{_name(login)} {network_of(address)}"


def _name(login: str) -> str:
    # Log-ins that nobody has may be of any length, and hold what no column takes.
    return sha256(login.encode("utf-8", "replace")).hexdigest()[:32]


def network_of(address: str) -> str:
    """What is counted as one: of IPv6 the /64, since whoever has one address there has them all."""
    try:
        known = ipaddress.ip_address(address.split("%", maxsplit=1)[0])
    except ValueError:
        return address[:64]
    if known.version == 4:
        return str(known)
    return str(ipaddress.ip_network((known, 64), strict=False).network_address) + "/64"
