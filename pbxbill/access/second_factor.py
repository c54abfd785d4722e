"""The second factor: codes of an authenticator (TOTP, RFC 6238), and recovery codes for when it is lost."""

import hmac
import secrets
from hashlib import sha256

import pyotp
import segno
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from pbxbill.access.sealing import Sealer
from pbxbill.clock import SECOND_US
from pbxbill.store.access_models import RecoveryCodeRow, UserRow

STEP_US = 30 * SECOND_US
RECOVERY_CODES = 10
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""None that is read as another."""


def new_secret() -> str:
    """A secret for an authenticator."""
    return pyotp.random_base32()


def provisioning_uri(secret: str, login: str, issuer: str) -> str:
    """What an authenticator scans."""
    return pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=issuer)


def qr_data_uri(text: str) -> str:
    """The same as a QR code: an image that a page holds in itself."""
    return segno.make(text, error="m").svg_data_uri(scale=4, border=4, dark="#000", light="#fff")


def step_of(secret: str, code: str, now_us: int) -> int | None:
    """The step of 30 s whose code it is: the present one or one beside it; None if it is of none."""
    code = code.replace(" ", "")
    if not (len(code) == 6 and code.isascii() and code.isdigit()):
        return None
    totp = pyotp.TOTP(secret)
    present = now_us // STEP_US
    for step in (present, present - 1, present + 1):
        if hmac.compare_digest(totp.generate_otp(step), code):
            return step
    return None


def take_code(session: Session, sealer: Sealer, user: UserRow, code: str, now_us: int) -> bool:
    """Whether a code proves the second factor. No code is taken twice, whoever is faster."""
    if not user.totp:
        return False
    step = step_of(sealer.open(user.totp), code, now_us)
    if step is None:
        return take_recovery_code(session, user, code, now_us)
    taken = update(UserRow).where(UserRow.id == user.id, UserRow.totp_step < step).values(totp_step=step)
    return session.scalar(taken.returning(UserRow.id)) is not None


def take_recovery_code(session: Session, user: UserRow, code: str, now_us: int) -> bool:
    """Whether it is a recovery code that was not used yet; it is used then."""
    taken = (
        update(RecoveryCodeRow)
        .where(
            RecoveryCodeRow.user_id == user.id,
            RecoveryCodeRow.code_hash == _hash(user.id, code),
            RecoveryCodeRow.used_us.is_(None),
        )
        .values(used_us=now_us)
    )
    return session.scalar(taken.returning(RecoveryCodeRow.id)) is not None


def turn_on(session: Session, sealer: Sealer, user: UserRow, secret: str, step: int) -> list[str]:
    """Ask for codes of this secret from now on, after step's; returns recovery codes, shown this once."""
    user.totp = sealer.seal(secret)
    user.totp_step = step
    return new_recovery_codes(session, user)


def turn_off(session: Session, user: UserRow) -> None:
    """Ask for the password alone."""
    user.totp = ""
    user.totp_step = 0
    session.execute(delete(RecoveryCodeRow).where(RecoveryCodeRow.user_id == user.id))


def new_recovery_codes(session: Session, user: UserRow) -> list[str]:
    """Fresh recovery codes; those before open nothing any more."""
    session.execute(delete(RecoveryCodeRow).where(RecoveryCodeRow.user_id == user.id))
    codes = ["".join(secrets.choice(_LETTERS) for _ in range(12)) for _ in range(RECOVERY_CODES)]
    session.add_all(RecoveryCodeRow(user_id=user.id, code_hash=_hash(user.id, code)) for code in codes)
    session.flush()
    return ["-".join((x[:4], x[4:8], x[8:])) for x in codes]


def recovery_codes_left(session: Session, user_id: int) -> int:
    """How many of them were not used."""
    query = select(RecoveryCodeRow.id).where(
        RecoveryCodeRow.user_id == user_id, RecoveryCodeRow.used_us.is_(None)
    )
    return len(session.scalars(query).all())


def _hash(user_id: int, code: str) -> str:
    # Of 59 random bits and bound to the user: no need for a slow hash.
    return sha256(f"{user_id}:{code.strip().lower().replace('-', '').replace(' ', '')}".encode()).hexdigest()
