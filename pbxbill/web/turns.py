"""Whose turn it is, of those who change what others may be changing.

A form says what it showed, and a program by If-Match what it read: whether that still holds is looked at in
the transaction of the change. Two of these at once would each find what stood before both, and neither be
told. So who says what he read changes things alone; programs that do not say it go beside each other, never
beside him. It is the first that their transactions do, and for all things alike: a page, another page about
the same, the portal's and an address of the API need no common name for it. SQLite lets one write anyway.
"""

import hashlib

from sqlalchemy import func, select
from sqlalchemy.orm import Session

_ALL = 0x7062_7862_696C_6C31
"""Any number that no other program takes an advisory lock of."""


def take_turn(session: Session, address: str = "") -> None:
    """Wait for others who change what is edited, until whose transactions end.

    address: of what a program changes without saying what it read; it waits for those who change the same.
    """
    if session.get_bind().dialect.name == "sqlite":
        return
    if not address:
        session.execute(select(func.pg_advisory_xact_lock(_ALL)))
        return
    key = int.from_bytes(hashlib.sha256(address.encode()).digest()[:8], "big", signed=True)
    session.execute(select(func.pg_advisory_xact_lock_shared(_ALL)))
    session.execute(select(func.pg_advisory_xact_lock(key)))
