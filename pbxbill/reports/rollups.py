"""Makes roll-ups of calls, and keeps them equal to the records.

Hours are rolled up by halves a while after they are over, each in one transaction; whatever is written about
their calls later marks them, in the transaction that writes it, and they are made again. Days are made from
the records some hours after they are over, in the zone of each seller's books, months from days, the month
that runs as far as its days are made. Both are dropped with an hour of theirs and made again. Halves of what
has many members are kept for the few days that are not made yet. Everything may be done twice or be
killed at any moment: what is committed holds, what is not was never there. Every day all hours are counted
again against the records: one that was missed all the same (a clock was hours off) is marked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, and_, delete, func, or_, select, text
from sqlalchemy.orm import Session

from pbxbill.reports.books import (
    SELLERS_IN_ZONE,
    change_zone,
    changed_zones,
    day_of,
    month_of,
    zones_made,
)
from pbxbill.reports.call_facts import DIMENSIONS, HOURLY, MEASURES, OF_HALF, OF_SPAN, SUMS, Span, facts
from pbxbill.reports.cover import DAY_US, HALF_US
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import CdrRow
from pbxbill.store.report_models import RollupMarkRow, RollupPeriodRow, RollupRow, RollupStateRow
from pbxbill.store.rollup_marks import HOUR_US, ROLLED_AFTER_US

HOURS_AT_ONCE = {"postgresql": 24, "sqlite": 1}
"""SQLite has one writer, and calls need it too."""
MOST_MARKS = 50_000
STEP_TIMEOUT_S = 600
CHECK_EVERY_US = DAY_US
DAY_MADE_AFTER_US = 6 * HOUR_US
"""Long calls end meanwhile."""
KEPT_US = 3 * DAY_US
"""Halves of customers, destinations and rates are kept so long: a day is made before."""
_SCRATCH = "rollup_facts"
_KEYS = "bucket, seller_id, customer_id, destination, direction, carrier_id, rate_id, unit"
_MADE = ", ".join(f"{x} BIGINT NOT NULL" for x in MEASURES)
_COLUMNS = f"seller_id, dimension, grain, start_us, member, unit, {', '.join(MEASURES)}"
_OF_MEMBERS = (
    f"INSERT INTO rollups ({_COLUMNS}) SELECT seller_id, '{{dimension}}', '{{grain}}', {{start_us}}, "  # noqa: S608 names are ours
    f"{{member}}, unit, {SUMS} FROM {_SCRATCH} WHERE {{chosen}} GROUP BY 1, 4, 5, 6 ORDER BY 1, 4, 5, 6"
)
_OF_DAYS = (
    f"INSERT INTO rollups ({_COLUMNS}) SELECT seller_id, dimension, 'month', :start_us, member, unit, "  # noqa: S608 the same
    f"{SUMS} FROM rollups WHERE grain = 'day' AND start_us >= :start_us AND start_us < :end_us "
    f"AND seller_id IN {SELLERS_IN_ZONE} GROUP BY seller_id, dimension, member, unit ORDER BY 1, 2, 5, 6"
)
_DROPPED = (
    "DELETE FROM rollups WHERE grain = :grain AND start_us = :start_us "  # noqa: S608 the same
    f"AND seller_id IN {SELLERS_IN_ZONE}"
)
_MISCOUNTED = text(
    "SELECT hour_us FROM ("  # noqa: S608 the same
    f"SELECT started_us / {HOUR_US} * {HOUR_US} AS hour_us, COUNT(*) AS calls FROM cdrs "
    "WHERE started_us < :until_us GROUP BY 1 UNION ALL "
    f"SELECT start_us / {HOUR_US} * {HOUR_US}, -SUM(calls) FROM rollups "
    "WHERE dimension = 'direction' AND grain = 'half' "
    "AND seller_id = (SELECT id FROM accounts WHERE kind = 'operator') AND start_us < :until_us "
    "GROUP BY 1) x GROUP BY hour_us HAVING SUM(calls) <> 0"
)


@dataclass(slots=True)
class Rolled:
    """What was made."""

    hours: int = 0
    days: int = 0
    months: int = 0


def roll_up(
    database: Engine,
    now_us: int,
    *,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[..., None] = lambda done, of=None: None,
) -> Rolled:
    """Make what is due: hours that are over, hours that are marked, days and months of them."""
    done = Rolled()
    _begin(database, now_us)
    while not stop():
        _skip_empty(database, now_us)
        hours = _due(database, now_us)
        if not hours:
            break
        with transaction(database) as session:
            roll_hours(session, hours)
        done.hours += len(hours)
        tell(done.hours)
    with transaction(reading(database)) as session:
        zones = zones_made(session)
    for zone in zones:
        for start_us, end_us in _read_days(database, zone):
            if stop():
                return done
            with transaction(database) as session:
                _roll_day(session, zone, start_us, end_us)
            done.days += 1
        for start_us, end_us in _read_months(database, zone):
            if stop():
                return done
            with transaction(database) as session:
                done.months += _roll_month(session, zone, start_us, end_us)
    return done


def check_counts(database: Engine, now_us: int, *, always: bool = False) -> int:
    """Mark hours whose roll-up does not count all of their calls; how many there were."""
    with transaction(reading(database)) as session:
        state = session.scalar(select(RollupStateRow))
        if state is None or not (always or abs(now_us - state.checked_us) >= CHECK_EVERY_US):
            return 0
        _long(session)
        marked = set(session.scalars(select(RollupMarkRow.hour_us)))
        wrong = [x for x in session.scalars(_MISCOUNTED, {"until_us": state.until_us}) if x not in marked]
    with transaction(database) as session:
        session.add_all(RollupMarkRow(hour_us=hour_us) for hour_us in wrong)
        _locked(session).checked_us = now_us
    return len(wrong)


def rebuild(
    database: Engine,
    now_us: int,
    *,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[..., None] = lambda done, of=None: None,
) -> Rolled:
    """Make all roll-ups again from the records; reports go on reading the old ones until then."""
    _begin(database, now_us)
    with transaction(database) as session:
        state = _locked(session)
        first_us = min(
            session.scalar(select(func.min(CdrRow.started_us))) or state.until_us,
            session.scalar(select(func.min(RollupRow.start_us))) or state.until_us,
        )
        until_us = state.until_us
    hours = list(range(first_us // HOUR_US * HOUR_US, until_us, HOUR_US))
    together = HOURS_AT_ONCE[database.dialect.name]
    for start in range(0, len(hours), together):
        if stop():
            break
        with transaction(database) as session:
            roll_hours(session, hours[start : start + together])
        tell(min(start + together, len(hours)), len(hours))
    return roll_up(database, now_us, stop=stop)


def roll_hours(session: Session, hours: Sequence[int]) -> None:
    """Make the roll-ups of some hours again, in the session's transaction; hours that follow the last rolled
    one move the end."""
    state = _locked(session)
    _long(session)
    # What is marked from now on may not be in the sums yet: its mark stays.
    ids = list(session.scalars(select(RollupMarkRow.id).where(RollupMarkRow.hour_us.in_(hours))))
    for start in range(0, len(ids), 500):
        session.execute(delete(RollupMarkRow).where(RollupMarkRow.id.in_(ids[start : start + 500])))
    _gather(session, [Span(0, *stretch) for stretch in _stretches(hours)], OF_HALF)
    starts = [start_us for hour in hours for start_us in (hour, hour + HALF_US)]
    session.execute(delete(RollupRow).where(RollupRow.grain == "half", RollupRow.start_us.in_(starts)))
    for dimension in DIMENSIONS:
        first_us = min(hours) if dimension in HOURLY else state.kept_us
        if first_us <= max(hours):
            chosen = f"bucket >= {first_us // HALF_US}"
            _insert(session, dimension, "half", f"bucket * {HALF_US}", chosen)
    session.execute(text(f"DELETE FROM {_SCRATCH}"))  # noqa: S608 the name is ours
    _drop_periods(session, hours)
    if min(hours) <= state.until_us:
        state.until_us = max(state.until_us, max(hours) + HOUR_US)


def _insert(session: Session, dimension: str, grain: str, start_us: str, chosen: str) -> None:
    """Sum up what was gathered."""
    member = DIMENSIONS[dimension]
    statement = _OF_MEMBERS.format(
        dimension=dimension, grain=grain, start_us=start_us, member=member, chosen=chosen
    )
    session.execute(text(statement))


def _begin(database: Engine, now_us: int) -> None:
    """Begin with the first call; obey changed zones; drop halves that are not needed any more."""
    kept_us = (now_us - KEPT_US) // HOUR_US * HOUR_US
    with transaction(database) as session:
        if session.scalar(select(RollupStateRow)) is None:
            first_us = session.scalar(select(func.min(CdrRow.started_us)))
            at_us = now_us if first_us is None else min(first_us, now_us)
            statement = (
                "INSERT INTO rollup_state (id, until_us, kept_us) VALUES (1, :at_us, :kept_us) "
                "ON CONFLICT DO NOTHING"
            )
            session.execute(text(statement), {"at_us": at_us // HOUR_US * HOUR_US, "kept_us": kept_us})
        state = _locked(session)
        for seller_id, zone in changed_zones(session).items():
            change_zone(session, seller_id, zone)
        if kept_us > state.kept_us:
            state.kept_us = kept_us
            gone = (RollupRow.grain == "half", RollupRow.start_us < kept_us)
            session.execute(delete(RollupRow).where(*gone, RollupRow.dimension.not_in(HOURLY)))


def _locked(session: Session) -> RollupStateRow:
    return session.scalars(select(RollupStateRow).with_for_update()).one()


def _due(database: Engine, now_us: int) -> list[int]:
    """Hours to be made next, of one day of UTC: marked ones first."""
    together = HOURS_AT_ONCE[database.dialect.name]
    with transaction(reading(database)) as session:
        until_us = session.scalars(select(RollupStateRow.until_us)).one()
        marked = session.scalars(
            select(RollupMarkRow.hour_us).where(RollupMarkRow.hour_us < until_us).distinct()
            .order_by(RollupMarkRow.hour_us).limit(together)
        ).all()  # fmt: skip
    if marked:
        return [x for x in marked if x // DAY_US == marked[0] // DAY_US]
    end_us = (now_us - ROLLED_AFTER_US) // HOUR_US * HOUR_US
    end_us = min(end_us, until_us + together * HOUR_US, until_us // DAY_US * DAY_US + DAY_US)
    return list(range(until_us, end_us, HOUR_US))


def _gather(session: Session, spans: Sequence[Span], bucket: str) -> None:
    """Fill the scratch table with the facts of some time."""
    postgres = session.get_bind().dialect.name == "postgresql"
    ends = " ON COMMIT DELETE ROWS" if postgres else ""
    session.execute(
        text(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {_SCRATCH} (bucket BIGINT NOT NULL, "
            "seller_id BIGINT NOT NULL, customer_id BIGINT NOT NULL, destination VARCHAR(100) NOT NULL, "
            "direction VARCHAR(8) NOT NULL, carrier_id BIGINT NOT NULL, rate_id BIGINT NOT NULL, "
            f"unit VARCHAR(12) NOT NULL, {_MADE}){ends}"
        )
    )
    session.execute(text(f"DELETE FROM {_SCRATCH}"))  # noqa: S608 the name is ours
    statement = facts(spans, bucket=bucket) + f"SELECT {_KEYS}, {SUMS} FROM facts GROUP BY {_KEYS}"  # noqa: S608 the same
    # SQLite has INSERT before WITH, PostgreSQL takes it there too.
    session.execute(text(f"INSERT INTO {_SCRATCH} ({_KEYS}, {', '.join(MEASURES)}) {statement}"))


def _drop_periods(session: Session, hours: Sequence[int]) -> None:
    """Days and months in which these hours lie do not hold any more, whatever their zone is."""
    touched = (
        and_(RollupPeriodRow.start_us < end_us, RollupPeriodRow.end_us > begin_us)
        for begin_us, end_us in _stretches(hours)
    )
    session.execute(delete(RollupPeriodRow).where(or_(*touched)))


def _stretches(hours: Sequence[int]) -> list[tuple[int, int]]:
    """Hours that follow each other, together."""
    found: list[tuple[int, int]] = []
    for hour in sorted(hours):
        if found and found[-1][1] == hour:
            found[-1] = (found[-1][0], hour + HOUR_US)
        else:
            found.append((hour, hour + HOUR_US))
    return found


def _periods(session: Session, zone: str, grain: str) -> dict[int, int]:
    wanted = (RollupPeriodRow.zone == zone, RollupPeriodRow.grain == grain)
    query = select(RollupPeriodRow.start_us, RollupPeriodRow.end_us).where(*wanted)
    return {row.start_us: row.end_us for row in session.execute(query)}


def _lacking_days(session: Session, zone: str, from_us: int, until_us: int) -> list[tuple[int, int]]:
    """Days in some time that ended before its end, have calls, and are not made."""
    known = _periods(session, zone, "day")
    found: list[tuple[int, int]] = []
    at_us = from_us
    while True:
        while at_us in known:
            at_us = known[at_us]
        # Half an hour that begins before the day may reach into it.
        later = (RollupRow.grain == "half", RollupRow.start_us > at_us - HALF_US)
        next_us = session.scalar(select(func.min(RollupRow.start_us)).where(*later))
        if next_us is None:
            return found
        start_us, end_us = day_of(max(at_us, next_us), zone)
        if end_us > until_us:
            return found
        if start_us not in known:
            found.append((start_us, end_us))
        at_us = end_us


def _read_days(database: Engine, zone: str) -> list[tuple[int, int]]:
    with transaction(reading(database)) as session:
        until_us = session.scalars(select(RollupStateRow.until_us)).one()
        return _lacking_days(session, zone, 0, until_us - DAY_MADE_AFTER_US)


def _read_months(database: Engine, zone: str) -> list[tuple[int, int]]:
    """Months of which more days are made than are in them: the beginning, and the last such day's end."""
    with transaction(reading(database)) as session:
        until_us = session.scalars(select(RollupStateRow.until_us)).one()
        lacking = [x for x, _ in _lacking_days(session, zone, 0, until_us - DAY_MADE_AFTER_US)]
        days, known = _periods(session, zone, "day"), _periods(session, zone, "month")
    ends: dict[int, int] = {}
    month = (0, 0)
    for day_us in sorted(days):
        if not month[0] <= day_us < month[1]:
            month = month_of(day_us, zone)
        if not any(month[0] <= x < day_us for x in lacking):
            ends[month[0]] = days[day_us]
    return [(start_us, end_us) for start_us, end_us in ends.items() if known.get(start_us) != end_us]


def _roll_day(session: Session, zone: str, start_us: int, end_us: int) -> None:
    """Make a day of the sellers of a zone from its calls."""
    _locked(session)
    _long(session)
    _gather(session, [Span(0, start_us, end_us)], OF_SPAN)
    named = {"zone": zone, "grain": "day", "start_us": start_us}
    session.execute(text(_DROPPED), named)
    foreign = f"DELETE FROM {_SCRATCH} WHERE seller_id NOT IN {SELLERS_IN_ZONE}"  # noqa: S608 names are ours
    session.execute(text(foreign), {"zone": zone})
    for dimension in DIMENSIONS:
        _insert(session, dimension, "day", str(start_us), "bucket = 0")
    session.execute(text(f"DELETE FROM {_SCRATCH}"))  # noqa: S608 the same
    _hold(session, zone, "day", (start_us, end_us))


def _roll_month(session: Session, zone: str, start_us: int, end_us: int) -> bool:
    """Sum up a month's days until one of them; False: some of these were dropped meanwhile."""
    _locked(session)
    _long(session)
    if _lacking_days(session, zone, start_us, end_us):
        return False
    named = {"zone": zone, "start_us": start_us}
    session.execute(text(_DROPPED), named | {"grain": "month"})
    session.execute(text(_OF_DAYS), named | {"end_us": end_us})
    _hold(session, zone, "month", (start_us, end_us))
    return True


def _hold(session: Session, zone: str, grain: str, period: tuple[int, int]) -> None:
    start_us, end_us = period
    session.merge(RollupPeriodRow(zone=zone, grain=grain, start_us=start_us, end_us=end_us))


def _skip_empty(database: Engine, now_us: int) -> None:
    """Hours without calls need no rows: the end moves to the next call, or to what may be rolled up now."""
    with transaction(database) as session:
        state = _locked(session)
        end_us = (now_us - ROLLED_AFTER_US) // HOUR_US * HOUR_US
        next_us = session.scalar(
            select(func.min(CdrRow.started_us)).where(CdrRow.started_us >= state.until_us)
        )
        next_us = end_us if next_us is None else min(end_us, next_us // HOUR_US * HOUR_US)
        state.until_us = max(state.until_us, next_us)


def _long(session: Session) -> None:
    """What reads a day's records may take its time and memory; compiling it takes longer than running it, and
    indexes find the records sooner than reading all of them does."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"SET LOCAL statement_timeout = '{STEP_TIMEOUT_S}s'"))
        for setting in ("jit = off", "work_mem = '64MB'", "random_page_cost = 1.1"):
            session.execute(text(f"SET LOCAL {setting}"))
