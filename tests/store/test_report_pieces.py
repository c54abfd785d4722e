"""What people watch while it is made is read in pieces, and says the same as what is read at once."""

import random
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from pbxbill.reports import sums
from pbxbill.reports.call_facts import Span
from pbxbill.reports.catalogue import REPORTS, made, operator_scope
from pbxbill.reports.making import HowFar, Making, Stage
from pbxbill.reports.report import Asked, Table
from pbxbill.reports.rollups import roll_up
from pbxbill.reports.sums import MOST_PIECES, _pieces
from pbxbill.store.engine import one_moment, open_engine, transaction
from pbxbill.store.rollup_marks import HOUR_US
from tests.store.billed_accounts import BilledAccounts
from tests.store.reported_calls import BEGIN_US, DAY_US, Reported, open_reported

DAYS = {"from": "2026-01-01", "to": "2026-01-05"}
NOW_US = BEGIN_US + 5 * DAY_US
CALL_REPORTS = ("revenue", "usage", "destinations", "top-accounts", "margin", "quality", "carriers", "hours")


@pytest.fixture(params=["rolled up", "not yet"])
def reported(accounts: BilledAccounts, request: pytest.FixtureRequest) -> Iterator[tuple[Reported, Engine]]:
    """Calls of five days; of four of them roll-ups, or of none."""
    written = open_reported(accounts)
    picked = random.Random(7)
    database = open_engine(accounts.url)
    with transaction(database) as session:
        for _ in range(80):
            at_us = BEGIN_US + picked.randrange(5 * DAY_US)
            written.call(session, picked, at_us, at_us)
    if request.param == "rolled up":
        roll_up(database, BEGIN_US + 4 * DAY_US)
    yield written, database
    database.dispose()


def table(session: Session, name: str, making: Making, **values: str) -> Table:
    asked = Asked(operator_scope(session), DAYS | values, "UTC", NOW_US, making=making)
    return made(session, REPORTS[name], asked)


def in_order(rows: list[dict[str, object]]) -> list[str]:
    return sorted(map(repr, rows))


@pytest.mark.parametrize("name", CALL_REPORTS)
def test_pieces_come_to_the_whole(
    reported: tuple[Reported, Engine], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _, database = reported
    monkeypatch.setattr(sums, "MOST_PIECES", 7)
    groups = next((x.choices for x in REPORTS[name].parameters if x.key == "group"), (("", ""),))
    asked: list[dict[str, str]] = [{"group": group} if group else {} for group, _ in groups]
    asked += [{"group": "customer", "destination": "Germany"}] if groups[0][0] else []
    for values in asked:
        far: list[HowFar] = []
        with transaction(one_moment(database)) as session:
            whole = table(session, name, Making(), **values)
            pieces = table(session, name, Making(is_watched=True, listener=far.append), **values)
        assert in_order(pieces.rows) == in_order(whole.rows), values
        assert in_order(pieces.totals) == in_order(whole.totals), values
        read = [x for x in far if x.stage is Stage.HOURS]
        assert read
        assert all(x.done < x.total for x in read)


def test_the_first_ones_are_the_same(reported: tuple[Reported, Engine]) -> None:
    _, database = reported
    with transaction(one_moment(database)) as session:
        scope = operator_scope(session)
        first: list[Table] = []
        for making in (Making(), Making(is_watched=True)):
            asked = Asked(scope, DAYS, "UTC", NOW_US, 1, making)
            first.append(made(session, REPORTS["top-accounts"], asked))
    assert first[0].rows == first[1].rows
    assert in_order(first[0].totals) == in_order(first[1].totals)
    assert [x.is_cut for x in first] == [True, True]


def test_pieces_are_the_same_time() -> None:
    spans = [
        Span(0, 0, 3 * DAY_US + 7),
        Span(1, 5 * DAY_US, 5 * DAY_US + 90),
        Span(4, 9 * DAY_US, 40 * DAY_US),
    ]
    pieces = _pieces(spans)
    assert len(pieces) == MOST_PIECES
    joined: list[Span] = []
    for span in (x for piece in pieces for x in piece):
        goes_on = bool(joined) and (joined[-1].bucket, joined[-1].to_us) == (span.bucket, span.from_us)
        joined.append(span._replace(from_us=joined.pop().from_us) if goes_on else span)
    assert joined == spans
    assert [len(x) for x in _pieces([Span(0, 0, HOUR_US)])] == [1]
    assert _pieces([]) == [[]]
