"""How codes of vouchers and PINs are kept: as hashes, slow to try and salted by what this installation drew.

The same text makes the same hash, so that who types a code is found by it. The salt lies in the table
`installation`, drawn when the schema was made: without it no code that was given out is known any more.
"""

import hashlib
from enum import StrEnum

from sqlalchemy.orm import Session

from pbxbill.errors import check
from pbxbill.store.payment_models import InstallationRow

SALT = "code_salt"
_BLOCK = 8
_MEMORY_BYTES = 64 * 1024 * 1024
_HASH_BYTES = 32


class Purpose(StrEnum):
    """What a text opens."""

    VOUCHER = "voucher"
    PIN = "pin"


COSTS = {Purpose.VOUCHER: 2**10, Purpose.PIN: 2**14}
"""Rounds of scrypt. No voucher is found by trying 10^15 codes, and millions are made at 2 ms each; PINs are
short, and each try at one costs 50 ms."""


def hashed(session: Session, text: str, purpose: Purpose) -> str:
    """The hash of a code or PIN, 64 hexadecimal digits; it takes as long as COSTS say."""
    return hashed_with(salt_of(session), text, purpose)


def salt_of(session: Session) -> str:
    """This installation's salt."""
    row = session.get(InstallationRow, SALT)
    check(row is not None, "table installation has lost {}: restore it, or no code is known any more", SALT)
    assert row is not None
    return row.value


def hashed_with(salt: str, text: str, purpose: Purpose) -> str:
    """The same without a database, for many codes at once; other threads run meanwhile."""
    return hashlib.scrypt(
        text.encode(),
        salt=f"{purpose}:{salt}".encode(),
        n=COSTS[purpose],
        r=_BLOCK,
        p=1,
        maxmem=_MEMORY_BYTES,
        dklen=_HASH_BYTES,
    ).hex()
