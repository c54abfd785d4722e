"""Sums of calls by member and period: from roll-ups where they hold, from the records for the rest.

What is asked for one dimension alone is read from roll-ups. Two at once (an account's calls by destination)
are read from the records, which indexes narrow by account or time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from pbxbill.reports.books import Period, standing_of
from pbxbill.reports.call_facts import DIMENSIONS, EVERY, MEASURES, SUMS, Members, Span, facts
from pbxbill.reports.cover import HALF_US, RECORDS, Part, Standing, cover
from pbxbill.reports.making import Making, Stage, takes_long
from pbxbill.reports.record_count import are_many
from pbxbill.store.models import AccountRow
from pbxbill.store.rollup_marks import HOUR_US


class Sums(NamedTuple):
    """Sums of one member in one period; as in RollupRow."""

    calls: int = 0
    denied: int = 0
    answered: int = 0
    billed_us: int = 0
    wait_us: int = 0
    rung: int = 0
    ringing_us: int = 0
    charges: int = 0
    billable_s: int = 0
    total: int = 0
    tax: int = 0
    cost: int = 0
    unknown: int = 0

    @property
    def net(self) -> int:
        """Without tax."""
        return self.total - self.tax


class Summed(NamedTuple):
    """What a member has in a period, in a unit; of an empty unit: calls for which nothing was charged."""

    bucket: int
    member: str
    unit: str
    sums: Sums


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be summed up."""

    seller: AccountRow
    dimension: str
    """By which members are told apart."""
    buckets: Sequence[tuple[int, int]]
    """Periods: from, until."""
    only: Members = EVERY
    members: tuple[str, ...] | None = None
    """Of the dimension; None: all of them."""
    by_member: bool = True
    """False: the whole of each period."""
    is_page: bool = False
    """TooLarge rather than read many records."""
    making: Making = field(default_factory=Making, compare=False)
    """Where people watch it, records are read in pieces."""


def add(one: Sums, other: Sums) -> Sums:
    """Both together."""
    return Sums(*(a + b for a, b in zip(one, other, strict=True)))


_ROLLED = (
    "SELECT s.bucket, r.member, r.unit, {measures} FROM {spans} s JOIN rollups r "
    "ON r.seller_id = :seller_id AND r.dimension = :dimension AND r.grain = s.grain AND {place} "
    "AND r.start_us >= :first_us AND r.start_us < :last_us"
)
MOST_PIECES = 60
"""In which records are read; none is shorter than an hour."""
# Hundreds of single halves are found by their beginnings: no database has a good way to join so many ranges.
MOST_TRIES = 3
_BY_MEMBER = f"SELECT bucket, member, unit, {SUMS} FROM every_row GROUP BY bucket, member, unit"  # noqa: S608 names are ours
_WHOLE = f"SELECT bucket, '' AS member, unit, {SUMS} FROM every_row GROUP BY bucket, unit"  # noqa: S608 the same
_GREATEST = (
    f", by_member AS (SELECT member, unit, {SUMS} FROM every_row GROUP BY member, unit), "  # noqa: S608 the same
    "greatest AS (SELECT member, ROW_NUMBER() OVER (ORDER BY MAX({measure}) DESC, member) AS place "
    "FROM by_member GROUP BY member ORDER BY 2 LIMIT {most}) "
    f"SELECT 0 AS place, '' AS member, unit, {SUMS} FROM by_member GROUP BY unit "
    f"UNION ALL SELECT g.place, b.member, b.unit, {', '.join(f'b.{x}' for x in MEASURES)} "
    "FROM greatest g JOIN by_member b ON b.member = g.member"
)
"""What is selected of every row. Greatest: members in their places from one on; of all of them in place 0."""
_PLACES = {
    "single_spans": "r.start_us = s.from_us",
    "long_spans": "r.start_us >= s.from_us AND r.start_us < s.to_us",
}


class Greatest(NamedTuple):
    """The members of a period that come first by a measure."""

    totals: list[Summed]
    """Of all members, by unit."""
    rows: list[Summed]
    """All that those members have, member by member in their order."""
    is_cut: bool
    """There are more members."""


def read(session: Session, wanted: Wanted) -> list[Summed]:
    """The sums; members and periods without any are left out."""
    return _held(session, wanted, _BY_MEMBER if wanted.by_member else _WHOLE)


def read_greatest(session: Session, wanted: Wanted, order: str, limit: int) -> Greatest:
    """The members with the greatest of a measure in one unit, and the sums of all, in one reading.

    order: a measure, or net. Of wanted, which has one period, every member counts.
    """
    if wanted.making.is_watched:
        return _greatest_of(_held(session, wanted, _BY_MEMBER), order, limit)
    measure = {"net": "total - tax"}.get(order, order)
    found = _held(session, wanted, _GREATEST.format(measure=measure, most=int(limit) + 1))
    rows = sorted((x for x in found if 0 < x.bucket <= limit), key=lambda x: (x.bucket, x.unit))
    return Greatest(
        [x for x in found if x.bucket == 0],
        [x._replace(bucket=0) for x in rows],
        any(x.bucket > limit for x in found),
    )


def _greatest_of(found: Sequence[Summed], order: str, limit: int) -> Greatest:
    """The same, of what was read in pieces."""
    totals: dict[str, Sums] = {}
    greatest: dict[str, int] = {}
    for one in found:
        totals[one.unit] = add(totals.get(one.unit, Sums()), one.sums)
        measured = int(getattr(one.sums, order))
        greatest[one.member] = max(measured, greatest.get(one.member, measured))
    members = sorted(greatest, key=lambda member: (-greatest[member], member))
    place = {member: at for at, member in enumerate(members[:limit])}
    rows = sorted((x for x in found if x.member in place), key=lambda x: (place[x.member], x.unit))
    return Greatest([Summed(0, "", *x) for x in totals.items()], rows, len(members) > limit)


def _held(session: Session, wanted: Wanted, selected: str) -> list[Summed]:
    """What is read with parts that hold meanwhile."""
    if not wanted.buckets:
        return []
    from_us, to_us = min(x for x, _ in wanted.buckets), max(x for _, x in wanted.buckets)
    period = Period(wanted.seller.id, wanted.dimension, from_us, to_us)
    if session.get_bind().dialect.name == "postgresql":
        # What was written last is in memory. How many members there are PostgreSQL does not foresee: of tens
        # of thousands it would sort each row by its text, on the disk.
        for setting in ("random_page_cost = 1.1", "work_mem = '32MB'", "enable_sort = off"):
            session.execute(text(f"SET LOCAL {setting}"))
    standing = standing_of(session, period)
    for _ in range(MOST_TRIES):
        found = _read(session, wanted, standing, selected)
        # What was made again between both statements may have been read with the wrong parts.
        before, standing = standing, standing_of(session, period)
        if before == standing:
            return found
    return _read(session, wanted, Standing(), selected)


def _read(session: Session, wanted: Wanted, standing: Standing, selected: str) -> list[Summed]:
    by_records = wanted.only != EVERY
    parts: list[tuple[int, Part]] = []
    for bucket, (from_us, to_us) in enumerate(wanted.buckets):
        covered = [Part(RECORDS, from_us, to_us)] if by_records else cover(from_us, to_us, standing)
        parts += [(bucket, part) for part in covered if part.from_us < part.to_us]
    rolled = [(bucket, part) for bucket, part in parts if part.grain != RECORDS]
    spans = [Span(bucket, part.from_us, part.to_us) for bucket, part in parts if part.grain == RECORDS]
    if not parts:
        return []
    wanted = replace(wanted, only=_of_one_member(wanted))
    one = wanted.only.account_id
    account = wanted.seller if one is None else session.get_one(AccountRow, one)
    if wanted.is_page and spans and are_many(session, spans, account):
        raise takes_long()
    summed: dict[tuple[int, str, str], Sums] = {}
    done_us, hours = 0, -(-_lasting_us(spans) // HOUR_US)
    for piece in _pieces(spans) if wanted.making.is_watched else [spans]:
        if spans and wanted.making.is_watched:
            wanted.making.tell(Stage.HOURS, done_us // HOUR_US, hours)
        begin, values = _statement(wanted, rolled, piece)
        if one is not None:
            values["member_path"] = f"{account.path}%"
        for bucket, member, unit, *sums in session.execute(text(begin + selected), values):
            key, found = (bucket, member, unit), Sums(*sums)
            summed[key] = add(summed[key], found) if key in summed else found
        rolled, done_us = [], done_us + _lasting_us(piece)
    return [Summed(*key, sums) for key, sums in summed.items()]


def _lasting_us(spans: Sequence[Span]) -> int:
    return sum(x.to_us - x.from_us for x in spans)


def _pieces(spans: Sequence[Span]) -> list[list[Span]]:
    """The same times in pieces, each of which is read by a statement."""
    most_us = max(HOUR_US, -(-_lasting_us(spans) // MOST_PIECES))
    pieces: list[list[Span]] = [[]]
    room_us = most_us
    for bucket, from_us, to_us in spans:
        at_us = from_us
        while at_us < to_us:
            if not room_us:
                pieces.append([])
                room_us = most_us
            end_us = min(to_us, at_us + room_us)
            pieces[-1].append(Span(bucket, at_us, end_us))
            room_us, at_us = room_us - (end_us - at_us), end_us
    return pieces


def _of_one_member(wanted: Wanted) -> Members:
    """Which records are read beside roll-ups: where one member is asked for, no others'."""
    if wanted.members is None or len(wanted.members) != 1 or wanted.only != EVERY:
        return wanted.only
    (member,) = wanted.members
    match wanted.dimension:
        case _ if member == "0":
            return EVERY  # of nobody: that is no id
        case "account":
            return Members(account_id=int(member))
        case "destination":
            return Members(destination=member)
        case "carrier":
            return Members(carrier_id=int(member))
        case _:
            return EVERY


def _single(bucket: int, part: Part) -> list[tuple[int, Part]]:
    """An hour as its halves."""
    if part.grain != "half":
        return [(bucket, part)]
    starts = range(part.from_us, part.to_us, HALF_US)
    return [(bucket, Part("half", start_us, start_us + HALF_US)) for start_us in starts]


def _statement(
    wanted: Wanted, rolled: Sequence[tuple[int, Part]], spans: Sequence[Span]
) -> tuple[str, dict[str, Any]]:
    values: dict[str, Any] = {"seller_id": wanted.seller.id, "dimension": wanted.dimension}
    sources, begin = [], "WITH "
    if spans:
        path = wanted.seller.path
        begin = facts(spans, wanted.only, path, of_seller=True) + ", "
        if path != "/":
            values["below"] = f"{path}%"
        for name in ("destination", "direction"):
            if getattr(wanted.only, name) is not None:
                values[name] = getattr(wanted.only, name)
        rate = "" if wanted.only.rate_id is None else f" AND rate_id = {int(wanted.only.rate_id)}"
        sources.append(
            f"SELECT bucket, {DIMENSIONS[wanted.dimension]} AS member, unit, {', '.join(MEASURES)} "  # noqa: S608
            f"FROM facts WHERE seller_id = :seller_id{rate}"
        )
    long = [x for x in rolled if x[1].grain == "half" and x[1].to_us - x[1].from_us > HOUR_US]
    kept = set(long)
    single = [each for x in rolled if x not in kept for each in _single(*x)]
    for name, of_kind in (("single_spans", single), ("long_spans", long)):
        if of_kind:
            listed = ", ".join(f"({b}, '{p.grain}', {p.from_us}, {p.to_us})" for b, p in of_kind)
            begin += f"{name}(bucket, grain, from_us, to_us) AS (VALUES {listed}), "
            measures = ", ".join(f"r.{x}" for x in MEASURES)
            sources.append(_ROLLED.format(measures=measures, spans=name, place=_PLACES[name]))
    if rolled:
        values["first_us"] = min(part.from_us for _, part in rolled)
        values["last_us"] = max(part.to_us for _, part in rolled)
    narrowed = ""
    if wanted.members is not None:
        names = [f"m{number}" for number in range(len(wanted.members))]
        values |= dict(zip(names, wanted.members, strict=True))
        narrowed = f"WHERE member IN ({', '.join(f':{x}' for x in names) or 'NULL'})"
    rows = f"SELECT * FROM ({' UNION ALL '.join(sources)}) r {narrowed}"  # noqa: S608 names are ours
    return f"{begin}every_row AS ({rows}) ", values
