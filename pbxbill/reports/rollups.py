"""Makes roll-ups of calls, and keeps them equal to the records.

Hours are rolled up a while after they are over, each in one transaction; whatever is written about their
calls later marks them, in the transaction that writes it, and they are made again. Days are sums of hours,
months of days; they are dropped with an hour of theirs and made again. Everything may be done twice or be
killed at any moment: what is committed holds, what is not was never there. Every day all hours are counted
again against the records: one that was missed all the same (a clock was hours off) is marked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, delete, func, select, text
from sqlalchemy.orm import Session

from pbxbill.reports.call_facts import DIMENSIONS, MEASURES, SUMS, Span, facts
from pbxbill.reports.cover import DAY_US, Standing, month_of
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import CdrRow
from pbxbill.store.report_models import RollupMarkRow, RollupPeriodRow, RollupRow, RollupStateRow
from pbxbill.store.rollup_marks import HOUR_US, ROLLED_AFTER_US

HOURS_AT_ONCE = {"postgresql": 24, "sqlite": 1}
"""SQLite has one writer, and calls need it too."""
MOST_MARKS = 50_000
STEP_TIMEOUT_S = 600
CHECK_EVERY_US = DAY_US
_SCRATCH = "rollup_facts"
_KEYS = "bucket, seller_id, customer_id, destination, direction, carrier_id, rate_id, unit"
_MADE = ", ".join(f"{x} BIGINT NOT NULL" for x in MEASURES)
_COLUMNS = f"seller_id, dimension, grain, start_us, member, unit, {', '.join(MEASURES)}"
_OF_MEMBERS = (
    f"INSERT INTO rollups ({_COLUMNS}) SELECT seller_id, '{{dimension}}', 'hour', bucket * {HOUR_US}, "  # noqa: S608 names are ours
    f"{{member}}, unit, {SUMS} FROM {_SCRATCH} GROUP BY 1, 4, 5, 6"
)
_COARSER = (
    f"INSERT INTO rollups ({_COLUMNS}) SELECT seller_id, dimension, '{{grain}}', {{start_us}}, member, unit, "  # noqa: S608 the same
    f"{SUMS} FROM rollups WHERE grain = '{{finer}}' AND start_us >= {{start_us}} AND start_us < {{end_us}} "
    "GROUP BY seller_id, dimension, member, unit"
)
_MISCOUNTED = text(
    "SELECT hour_us FROM ("  # noqa: S608 the same
    f"SELECT started_us / {HOUR_US} * {HOUR_US} AS hour_us, COUNT(*) AS calls FROM cdrs "
    "WHERE started_us < :until_us GROUP BY 1 UNION ALL "
    "SELECT start_us, -SUM(calls) FROM rollups WHERE dimension = 'direction' AND grain = 'hour' "
    "AND seller_id = (SELECT id FROM accounts WHERE kind = 'operator') AND start_us < :until_us "
    "GROUP BY start_us) x GROUP BY hour_us HAVING SUM(calls) <> 0"
)


@dataclass(slots=True)
class Rolled:
    """What was made."""

    hours: int = 0
    days: int = 0
    months: int = 0


def standing_of(session: Session) -> Standing:
    """Which roll-ups hold now."""
    state = session.scalar(select(RollupStateRow.until_us))
    if state is None:
        return Standing()
    marked = session.scalars(select(RollupMarkRow.hour_us).distinct()).all()
    periods: dict[str, set[int]] = {"day": set(), "month": set()}
    for grain, start_us in session.execute(select(RollupPeriodRow.grain, RollupPeriodRow.start_us)):
        periods[grain].add(start_us)
    return Standing(state, frozenset(marked), frozenset(periods["day"]), frozenset(periods["month"]))


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
    for grain in ("day", "month"):
        with transaction(reading(database)) as session:
            until_us = session.scalars(select(RollupStateRow.until_us)).one()
            lacking = _lacking(session, grain, 0, until_us)
        for start_us, end_us in lacking:
            if stop():
                return done
            with transaction(database) as session:
                if _roll_period(session, grain, start_us, end_us):
                    done.days += grain == "day"
                    done.months += grain == "month"
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
    _gather(session, [Span(hour // HOUR_US, hour, hour + HOUR_US) for hour in hours])
    session.execute(delete(RollupRow).where(RollupRow.grain == "hour", RollupRow.start_us.in_(hours)))
    for dimension, member in DIMENSIONS.items():
        session.execute(text(_OF_MEMBERS.format(dimension=dimension, member=member)))
    session.execute(text(f"DELETE FROM {_SCRATCH}"))  # noqa: S608 the name is ours
    _drop_periods(session, hours)
    if min(hours) <= state.until_us:
        state.until_us = max(state.until_us, max(hours) + HOUR_US)


def _begin(database: Engine, now_us: int) -> None:
    with transaction(database) as session:
        if session.scalar(select(RollupStateRow)) is None:
            first_us = session.scalar(select(func.min(CdrRow.started_us)))
            at_us = now_us if first_us is None else min(first_us, now_us)
            statement = "INSERT INTO rollup_state (id, until_us) VALUES (1, :at_us) ON CONFLICT DO NOTHING"
            session.execute(text(statement), {"at_us": at_us // HOUR_US * HOUR_US})


def _locked(session: Session) -> RollupStateRow:
    return session.scalars(select(RollupStateRow).with_for_update()).one()


def _due(database: Engine, now_us: int) -> list[int]:
    """Hours to be made next, of one UTC day: marked ones first."""
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


def _gather(session: Session, spans: Sequence[Span]) -> None:
    """Fill the scratch table with the facts of some hours; the bucket is the hour's number."""
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
    statement = facts(spans) + f"SELECT {_KEYS}, {SUMS} FROM facts GROUP BY {_KEYS}"  # noqa: S608 the same
    # SQLite has INSERT before WITH, PostgreSQL takes it there too.
    session.execute(text(f"INSERT INTO {_SCRATCH} ({_KEYS}, {', '.join(MEASURES)}) {statement}"))


def _drop_periods(session: Session, hours: Sequence[int]) -> None:
    days = {hour // DAY_US * DAY_US for hour in hours}
    months = {month_of(day)[0] for day in days}
    for grain, starts in (("day", days), ("month", months)):
        gone = (RollupPeriodRow.grain == grain, RollupPeriodRow.start_us.in_(starts))
        session.execute(delete(RollupPeriodRow).where(*gone))


def _lacking(session: Session, grain: str, from_us: int, until_us: int) -> list[tuple[int, int]]:
    """Days or months that ended until a moment, have rows of the finer grain, and are not summed up."""
    finer = RollupRow.grain == ("hour" if grain == "day" else "day")
    known = set(session.scalars(select(RollupPeriodRow.start_us).where(RollupPeriodRow.grain == grain)))
    found: list[tuple[int, int]] = []
    at_us = from_us
    while True:
        next_us = session.scalar(
            select(func.min(RollupRow.start_us)).where(finer, RollupRow.start_us >= at_us)
        )
        if next_us is None:
            return found
        day_us = next_us // DAY_US * DAY_US
        start_us, at_us = month_of(next_us) if grain == "month" else (day_us, day_us + DAY_US)
        if at_us > until_us:
            return found
        if start_us not in known:
            found.append((start_us, at_us))


def _roll_period(session: Session, grain: str, start_us: int, end_us: int) -> bool:
    """Sum up a day's hours or a month's days; False: some of these were dropped meanwhile."""
    _locked(session)
    _long(session)
    if grain == "month" and _lacking(session, "day", start_us, end_us):
        return False
    of_period = (RollupRow.grain == grain, RollupRow.start_us == start_us)
    session.execute(delete(RollupRow).where(*of_period))
    known = (RollupPeriodRow.grain == grain, RollupPeriodRow.start_us == start_us)
    session.execute(delete(RollupPeriodRow).where(*known))
    finer = "hour" if grain == "day" else "day"
    session.execute(text(_COARSER.format(grain=grain, finer=finer, start_us=start_us, end_us=end_us)))
    session.add(RollupPeriodRow(grain=grain, start_us=start_us))
    return True


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
    """What reads many records may take its time."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"SET LOCAL statement_timeout = '{STEP_TIMEOUT_S}s'"))
