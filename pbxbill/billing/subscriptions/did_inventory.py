"""The inventory of telephone numbers: what an issuer can give out, gets back, and keeps in quarantine.

A DID is free, assigned to an account, in quarantine (whoever had it may still be called there), or
withdrawn. Every change of hands is kept. Who charges for a DID is in dids.py.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pbxbill.billing.subscriptions.did_sheet import DidLine, RefusedDid, checked_country, checked_number
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import add_endpoint
from pbxbill.store.billing_models import DidHistoryRow, DidRow, IssuerRow
from pbxbill.store.models import AccountRow, EndpointRow

FREE, ASSIGNED, QUARANTINED, WITHDRAWN = "free", "assigned", "quarantined", "withdrawn"
STATES = (FREE, ASSIGNED, QUARANTINED, WITHDRAWN)
DAY_US = 86_400 * SECOND_US
QUARANTINE_DAYS = 60
"""Of an issuer who says nothing else; as the column's default."""
BATCH = 500


class Imported(NamedTuple):
    """What became of a list."""

    added: int
    known: int
    """In the inventory already: nothing was changed."""
    refused: tuple[RefusedDid, ...]


def did_by_number(session: Session, number: str, *, lock: bool = False) -> DidRow:
    """A DID of any inventory; InputRefused if there is none. lock: nobody else changes it meanwhile."""
    query = select(DidRow).where(DidRow.number == checked_number(number))
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    did = session.scalar(query)
    if did is None:
        raise InputRefused(f"no DID {number[:40]!r} in any inventory; `pbxbill dids add` puts it into one")
    return did


def add_did(session: Session, issuer: AccountRow, number: str, now_us: int, *, country: str = "") -> DidRow:
    """Put a number into an issuer's inventory; InputRefused if it is in one already.

    One that identifies an account of the issuer already is that account's; one that was withdrawn comes back.
    """
    number, country = checked_number(number), checked_country(country)
    _check_issuer(issuer)
    known = session.scalar(select(DidRow).where(DidRow.number.in_(_spellings(number))).with_for_update())
    if known is not None and known.state != WITHDRAWN:
        raise InputRefused(f"DID {known.number} is in the inventory already")
    if known is not None:
        known.issuer_id, known.country = issuer.id, country or known.country
        _set_free(known, known.free_from_us, now_us)
        session.flush()
        return known
    return _insert(session, issuer, [(number, country)], now_us)[0]


def import_dids(
    session: Session, issuer: AccountRow, rows: Iterable[DidLine | RefusedDid], now_us: int
) -> Imported:
    """Add what a list names and no inventory has; what cannot be used comes back with its reason."""
    _check_issuer(issuer)
    added = known = 0
    refused: list[RefusedDid] = []
    seen: set[str] = set()
    batch: list[DidLine] = []

    def flush() -> None:
        nonlocal added, known
        more, already = _add_lines(session, issuer, batch, now_us, refused)
        added, known = added + more, known + already
        batch.clear()

    for row in rows:
        if isinstance(row, RefusedDid):
            refused.append(row)
        elif row.number.removeprefix("+") in seen:
            refused.append(RefusedDid(row.line, f"{row.number} stands in the list before", row.cells))
        else:
            seen.add(row.number.removeprefix("+"))
            batch.append(row)
        if len(batch) >= BATCH:
            flush()
    flush()
    return Imported(added, known, tuple(sorted(refused)))


def _add_lines(
    session: Session, issuer: AccountRow, lines: Sequence[DidLine], now_us: int, refused: list[RefusedDid]
) -> tuple[int, int]:
    spellings = [spelling for line in lines for spelling in _spellings(line.number)]
    held = {row.number: row for row in session.scalars(select(DidRow).where(DidRow.number.in_(spellings)))}
    endpoints = set(
        session.scalars(
            select(EndpointRow.value).where(EndpointRow.kind == "did", EndpointRow.value.in_(spellings))
        )
    )
    new: list[tuple[str, str]] = []
    known = others = 0
    for line in lines:
        row = next((held[x] for x in _spellings(line.number) if x in held), None)
        if row is not None and row.state != WITHDRAWN and row.issuer_id == issuer.id:
            known += 1
        elif row is not None and row.state != WITHDRAWN:
            reason = f"{line.number} is in another inventory; only its owner can hand it over"
            refused.append(RefusedDid(line.line, reason, line.cells))
        elif row is None and line.number not in endpoints:
            new.append((line.number, line.country))
        else:
            try:
                add_did(session, issuer, line.number, now_us, country=line.country)
                others += 1  # it was withdrawn, or an account has it
            except InputRefused as refusal:
                refused.append(RefusedDid(line.line, str(refusal), line.cells))
    if new:
        _insert(session, issuer, new, now_us)
    return len(new) + others, known


def _insert(
    session: Session, issuer: AccountRow, numbers: Sequence[tuple[str, str]], now_us: int
) -> list[DidRow]:
    rows = [
        DidRow(number=number, country=country, issuer_id=issuer.id, state=FREE, created_us=now_us)
        for number, country in numbers
    ]
    try:
        with session.begin_nested():
            session.add_all(rows)
    except IntegrityError:
        raise InputRefused(
            "somebody else is adding these DIDs at this moment; look what is there now"
        ) from None
    for row in rows if len(rows) == 1 else ():
        _adopt(session, issuer, row, now_us)
    return rows


def _adopt(session: Session, issuer: AccountRow, did: DidRow, now_us: int) -> None:
    # An account that had the number before there was an inventory keeps it.
    endpoint = session.scalar(
        select(EndpointRow).where(
            EndpointRow.kind == "did", EndpointRow.value == did.number, EndpointRow.tech_prefix == ""
        )
    )
    if endpoint is None:
        return
    account = session.get_one(AccountRow, endpoint.account_id)
    if account.parent_id != issuer.id:
        raise InputRefused(
            f"DID {did.number} identifies account {account.code}, no customer of {issuer.code}"
        )
    _hold(session, did, account, endpoint, now_us)


def hand_out(session: Session, did: DidRow, account: AccountRow, now_us: int) -> EndpointRow:
    """Let a DID identify an account from now on; InputRefused if it cannot be given to it."""
    if did.issuer_id != account.parent_id:
        owner = session.get_one(AccountRow, did.issuer_id)
        raise InputRefused(
            f"DID {did.number} is of the inventory of {owner.code}, who does not bill account {account.code}"
        )
    if did.state == ASSIGNED:
        holder = session.get_one(AccountRow, did.account_id)
        raise InputRefused(f"DID {did.number} is assigned to account {holder.code}")
    if did.state == WITHDRAWN:
        raise InputRefused(f"DID {did.number} is withdrawn; `pbxbill dids add` puts it back")
    if _in_quarantine(did, now_us) and _last_holder(session, did) != account.id:
        raise InputRefused(f"DID {did.number} is in quarantine: whoever had it may still be called there")
    endpoint = add_endpoint(session, account, "did", did.number)
    _hold(session, did, account, endpoint, now_us)
    return endpoint


def take_back(session: Session, did: DidRow, now_us: int) -> None:
    """End an account's use of a DID: nobody is called there until its quarantine is over."""
    if did.state != ASSIGNED:
        raise InputRefused(f"DID {did.number} is assigned to nobody")
    history = session.scalar(
        select(DidHistoryRow)
        .where(DidHistoryRow.did_id == did.id, DidHistoryRow.to_us.is_(None))
        .order_by(DidHistoryRow.id.desc())
        .limit(1)
    )
    if history is not None:
        history.to_us = max(now_us, history.from_us)
    endpoint = None if did.endpoint_id is None else session.get(EndpointRow, did.endpoint_id)
    did.endpoint_id = did.account_id = did.subscription_id = None
    session.flush()
    if endpoint is not None:
        session.delete(endpoint)
    issuer = session.get(IssuerRow, did.issuer_id)
    days = QUARANTINE_DAYS if issuer is None else issuer.did_quarantine_days
    _set_free(did, now_us + days * DAY_US, now_us)
    session.flush()


def withdraw(session: Session, did: DidRow) -> None:
    """Take a DID out of the inventory; its history stays."""
    if did.state == ASSIGNED:
        raise InputRefused(f"DID {did.number} is assigned; release it first")
    did.state = WITHDRAWN
    session.flush()


def move_to_inventory(session: Session, did: DidRow, issuer: AccountRow) -> None:
    """Let a reseller give out a DID that nobody has, or take it back from him."""
    _check_issuer(issuer)
    if did.state == ASSIGNED:
        raise InputRefused(f"DID {did.number} is assigned; release it first")
    if did.state == WITHDRAWN:
        raise InputRefused(f"DID {did.number} is withdrawn; `pbxbill dids add` puts it back")
    owner = session.get_one(AccountRow, did.issuer_id)
    if issuer.parent_id != owner.id and owner.parent_id != issuer.id:
        raise InputRefused(
            f"a DID goes from {owner.code} to a reseller directly below, or back to who is above"
        )
    did.issuer_id = issuer.id
    session.flush()


def set_country(session: Session, did: DidRow, country: str) -> None:
    """Say where a number is; empty: it is not said."""
    did.country = checked_country(country)
    session.flush()


def end_quarantines(session: Session, now_us: int) -> int:
    """Free the DIDs whose quarantine is over; how many."""
    over = select(DidRow).where(DidRow.state == QUARANTINED, DidRow.free_from_us <= now_us).with_for_update()
    rows = session.scalars(over).all()
    for did in rows:
        did.state, did.free_from_us = FREE, None
    session.flush()
    return len(rows)


def check_not_in_inventory(session: Session, kind: str, number: str) -> None:
    """Refuse to treat a DID of an inventory as any other endpoint: its history and charges would not know."""
    known = select(DidRow.state).where(DidRow.number == number, DidRow.state != WITHDRAWN)
    if kind == "did" and session.scalar(known) is not None:
        raise InputRefused(
            f"DID {number} is in an inventory: `pbxbill dids assign` gives it out, and "
            "`pbxbill dids release` takes it back"
        )


def state_at(did: DidRow, now_us: int) -> str:
    """Its state, which time alone may have changed."""
    if did.state == QUARANTINED and not _in_quarantine(did, now_us):
        return FREE
    return did.state


def _hold(session: Session, did: DidRow, account: AccountRow, endpoint: EndpointRow, now_us: int) -> None:
    did.state, did.account_id, did.endpoint_id, did.free_from_us = ASSIGNED, account.id, endpoint.id, None
    session.add(DidHistoryRow(did_id=did.id, account_id=account.id, from_us=now_us, to_us=None))
    session.flush()


def _last_holder(session: Session, did: DidRow) -> int | None:
    query = select(DidHistoryRow.account_id).where(DidHistoryRow.did_id == did.id)
    return session.scalar(query.order_by(DidHistoryRow.id.desc()).limit(1))


def _set_free(did: DidRow, from_us: int | None, now_us: int) -> None:
    waits = from_us is not None and from_us > now_us
    did.state, did.free_from_us = (QUARANTINED, from_us) if waits else (FREE, None)


def _in_quarantine(did: DidRow, now_us: int) -> bool:
    return did.state == QUARANTINED and (did.free_from_us or 0) > now_us


def _spellings(number: str) -> tuple[str, str]:
    # +49 30 and 4930 are one number; a switch shows it one way.
    bare = number.removeprefix("+")
    return bare, f"+{bare}"


def _check_issuer(issuer: AccountRow) -> None:
    if issuer.kind == "customer":
        raise InputRefused(f"account {issuer.code} is a customer; the operator and resellers give out DIDs")
