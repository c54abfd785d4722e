"""Batches of vouchers: made with progress and resumable, blocked, counted.

Making a batch writes chunk by chunk, first the codes to the file (voucher_file.py), then their hashes to the
database; with the last chunk it becomes active. What is stopped in the middle stays `making`, and none of its
vouchers is worth anything until somebody makes it whole.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from sqlalchemy import Engine, case, func, insert, literal_column, select, update
from sqlalchemy.orm import Session

from pbxbill.billing.codes.code_hashing import Purpose, hashed_with, salt_of
from pbxbill.billing.codes.voucher_codes import FEWEST_DIGITS, MOST_DIGITS, drawn
from pbxbill.billing.codes.voucher_file import BatchFacts, Printed, VoucherFile
from pbxbill.billing.invoices.standing import whole_coins
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.money import MAX_AMOUNT, format_amount
from pbxbill.store.accounts import unit_of
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import VoucherBatchRow, VoucherRow
from pbxbill.store.points_units import refuse_points

MOST_VOUCHERS = 1_000_000
MOST_VALIDITY_DAYS = 3_660
CHUNK = 500
"""Vouchers that are written together."""
_THREADS = 2
_NAME_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class NewBatch:
    """What a batch is made with."""

    name: str
    unit: str
    value: int
    count: int
    from_us: int
    to_us: int | None = None
    validity_days: int | None = None
    digits: int = FEWEST_DIGITS
    by: str = ""


class Made(NamedTuple):
    """How far a batch is."""

    made: int
    of: int
    active: bool


class Statistics(NamedTuple):
    """What became of a batch's vouchers; amounts in its unit's steps."""

    new: int
    """Worth something, or not valid yet."""
    redeemed: int
    expired: int
    blocked: int
    redeemed_value: int
    outstanding: int
    """What customers may still redeem."""


def open_batch(session: Session, issuer: AccountRow, new: NewBatch, now_us: int) -> VoucherBatchRow:
    """A batch without vouchers yet; make_vouchers() fills it."""
    if issuer.kind == "customer":
        raise InputRefused(f"{issuer.code} is a customer; vouchers are issued by the operator or a reseller")
    if not (
        new.name.isprintable() and new.name.strip() == new.name and 0 < len(new.name) <= _NAME_CHARACTERS
    ):
        raise InputRefused(f"a batch's name has 1 to {_NAME_CHARACTERS} printable characters")
    whole_coins(new.value, unit_of(session, new.unit), "a voucher's value")
    if new.value > MAX_AMOUNT:
        raise InputRefused("the value is out of range")
    if not 1 <= new.count <= MOST_VOUCHERS:
        raise InputRefused(f"a batch has 1 to {MOST_VOUCHERS} vouchers")
    if not FEWEST_DIGITS <= new.digits <= MOST_DIGITS:
        raise InputRefused(f"a code has {FEWEST_DIGITS} to {MOST_DIGITS} digits")
    if new.to_us is not None and new.to_us <= max(new.from_us, now_us):
        raise InputRefused("the vouchers would have expired before they can be used: choose a later end")
    if new.validity_days is not None and not 1 <= new.validity_days <= MOST_VALIDITY_DAYS:
        raise InputRefused(f"a voucher prolongs validity by 1 to {MOST_VALIDITY_DAYS} days")
    refuse_points(session, new.unit)
    known = select(VoucherBatchRow.id).where(
        VoucherBatchRow.issuer_id == issuer.id, VoucherBatchRow.name == new.name
    )
    if session.scalar(known) is not None:
        raise InputRefused(
            f"{issuer.code} has a batch {new.name!r} already; `pbxbill vouchers list` shows it"
        )
    row = VoucherBatchRow(
        issuer_id=issuer.id,
        name=new.name,
        unit=new.unit,
        value=new.value,
        count=new.count,
        digits=new.digits,
        from_us=new.from_us,
        to_us=new.to_us,
        validity_days=new.validity_days,
        state="making",
        by=new.by[:64],
        created_us=now_us,
    )
    session.add(row)
    session.flush()
    return row


def facts_of(session: Session, batch: VoucherBatchRow) -> BatchFacts:
    """What its file says of each voucher."""
    unit = unit_of(session, batch.unit)
    value = format_amount(batch.value, unit)
    return BatchFacts(batch.name, value, unit.code, _day(batch.from_us), _day(batch.to_us))


def _day(at_us: int | None) -> str:
    return "" if at_us is None else datetime.fromtimestamp(at_us // SECOND_US, UTC).date().isoformat()


def make_vouchers(
    database: Engine,
    batch_id: int,
    file: VoucherFile,
    *,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> Made:
    """Make what a batch lacks, until it is whole and active or stop() says so."""
    with transaction(reading(database)) as session:
        batch = session.get_one(VoucherBatchRow, batch_id)
        salt, count = salt_of(session), batch.count
        done = _made(session, batch_id)
        known = session.scalar(
            select(VoucherRow.code_hash).where(VoucherRow.batch_id == batch_id, VoucherRow.serial == done)
        )
    pending = _not_stored(file, salt, done, known)
    with ThreadPoolExecutor(_THREADS) as threads:

        def hash_all(codes: Sequence[str]) -> list[str]:
            return list(threads.map(lambda code: hashed_with(salt, code, Purpose.VOUCHER), codes))

        while done < count and not stop():
            chunk, pending = pending[:CHUNK], pending[CHUNK:]
            if chunk:
                hashes = hash_all([voucher.code for voucher in chunk])
            else:
                codes, hashes = _fresh(database, batch.digits, min(CHUNK, count - done), hash_all)
                chunk = [Printed(done + place, code) for place, code in enumerate(codes, 1)]
                file.append(chunk)
            _store(database, batch_id, done, chunk, hashes)
            done += len(chunk)
            tell(done, count)
    return Made(done, count, done == count)


def make_and_tell(database: Engine, batch_id: int) -> list[Printed]:
    """Make all of a batch, and its codes: the database keeps hashes alone, and only who asks has them."""
    with transaction(reading(database)) as session:
        facts = facts_of(session, session.get_one(VoucherBatchRow, batch_id))
    with TemporaryDirectory(prefix="vouchers-") as folder:
        file = VoucherFile(Path(folder) / "codes.csv", facts, new=True)
        try:
            make_vouchers(database, batch_id, file)
            return list(file.vouchers())
        finally:
            file.close()


def _not_stored(file: VoucherFile, salt: str, done: int, known: str | None) -> list[Printed]:
    """What stands in the file alone, since its making was cut off there."""
    vouchers = file.vouchers()
    stored = list(islice(vouchers, done))
    lost = f"the codes of {done} vouchers are made and not all in {file.path}; they cannot be recovered: "
    if len(stored) < done:
        raise InputRefused(f"{lost}find the right file, or block the batch and make another")
    if stored and hashed_with(salt, stored[-1].code, Purpose.VOUCHER) != known:
        raise InputRefused(f"{lost}this file holds others")
    pending = list(vouchers)
    if [voucher.serial for voucher in stored + pending] != list(range(1, done + len(pending) + 1)):
        raise InputRefused(f"serials are missing in {file.path}")
    return pending


def _fresh(
    database: Engine, digits: int, count: int, hash_all: Callable[[Sequence[str]], list[str]]
) -> tuple[list[str], list[str]]:
    """Codes that no voucher has, and their hashes."""
    found: dict[str, str] = {}
    while len(found) < count:
        codes = [drawn(digits) for _ in range(count - len(found))]
        found |= dict(zip(hash_all(codes), codes, strict=True))
        with transaction(reading(database)) as session:
            taken = session.scalars(select(VoucherRow.code_hash).where(VoucherRow.code_hash.in_(list(found))))
            for code_hash in taken:
                del found[code_hash]
    return list(found.values()), list(found)


def _store(database: Engine, batch_id: int, done: int, chunk: list[Printed], hashes: list[str]) -> None:
    with transaction(database) as session:
        batch = _locked(session, batch_id)
        if batch.state != "making" or _made(session, batch_id) != done:
            raise InputRefused(f"batch {batch.name} is {batch.state}, or another process makes it as well")
        rows = [
            {"batch_id": batch_id, "serial": voucher.serial, "code_hash": code_hash, "state": "new"}
            for voucher, code_hash in zip(chunk, hashes, strict=True)
        ]
        session.execute(insert(VoucherRow), rows)
        if done + len(chunk) == batch.count:
            batch.state = "active"


def _made(session: Session, batch_id: int) -> int:
    made = select(func.coalesce(func.max(VoucherRow.serial), 0)).where(VoucherRow.batch_id == batch_id)
    return session.scalar(made) or 0


def _locked(session: Session, batch_id: int) -> VoucherBatchRow:
    return session.scalars(
        select(VoucherBatchRow)
        .where(VoucherBatchRow.id == batch_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def find_batch(session: Session, name: str, issuer: AccountRow | None = None) -> VoucherBatchRow:
    """A batch by its name or number; InputRefused if there is none, or several issuers have one."""
    query = select(VoucherBatchRow).where(VoucherBatchRow.name == name)
    if issuer is not None:
        query = query.where(VoucherBatchRow.issuer_id == issuer.id)
    found = session.scalars(query).all()
    if not found and name.isascii() and name.isdigit() and len(name) <= 18:
        found = [row for row in (session.get(VoucherBatchRow, int(name)),) if row is not None]
    if not found:
        raise InputRefused(f"no batch {name[:64]!r}; `pbxbill vouchers list` shows them")
    if len(found) > 1:
        raise InputRefused(f"several issuers have a batch {name!r}: say which by --issuer")
    return found[0]


def block_batch(session: Session, batch_id: int, *, blocked: bool) -> str:
    """Make all vouchers of a batch worthless that are not redeemed, or worth something again; its state."""
    batch = _locked(session, batch_id)
    whole = _made(session, batch_id) == batch.count
    batch.state = "blocked" if blocked else "active" if whole else "making"
    session.flush()
    return batch.state


def block_serials(session: Session, batch_id: int, first: int, last: int, *, blocked: bool) -> int:
    """The same of some of them; how many changed. What is redeemed stays so."""
    before, after = ("new", "blocked") if blocked else ("blocked", "new")
    chosen = update(VoucherRow).where(
        VoucherRow.batch_id == batch_id,
        VoucherRow.serial >= first,
        VoucherRow.serial <= last,
        VoucherRow.state == before,
    )
    done = session.execute(chosen.values(state=after).execution_options(synchronize_session=False))
    return int(done.rowcount)  # type: ignore[attr-defined]  # of an UPDATE it has one


def statistics(session: Session, batches: Sequence[VoucherBatchRow], now_us: int) -> dict[int, Statistics]:
    """What became of the vouchers of batches until a moment, by the batch's id. Blocked is what is so now."""
    ids = [batch.id for batch in batches]
    # Text, not a parameter: what is selected and what is grouped by must be the same to the database.
    state = case((VoucherRow.redeemed_us > literal_column(str(int(now_us))), literal_column("'new'")),
                 else_=VoucherRow.state)  # fmt: skip
    counted = session.execute(
        select(VoucherRow.batch_id, state, func.count())
        .where(VoucherRow.batch_id.in_(ids))
        .group_by(VoucherRow.batch_id, state)
    )
    counts = {(batch_id, state): count for batch_id, state, count in counted}
    found = {}
    for batch in batches:
        new, redeemed, blocked = (
            counts.get((batch.id, state), 0) for state in ("new", "redeemed", "blocked")
        )
        over = batch.to_us is not None and now_us > batch.to_us
        if batch.state == "blocked":
            new, blocked = 0, blocked + new
        expired = new if over else 0
        outstanding = batch.value * (new - expired) if batch.state == "active" else 0
        found[batch.id] = Statistics(
            new - expired, redeemed, expired, blocked, batch.value * redeemed, outstanding
        )
    return found
