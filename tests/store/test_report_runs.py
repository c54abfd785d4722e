"""Reports in the background and by mail: each once, whoever dies when; files do not stay for ever."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from email import message_from_bytes
from email.policy import default

import pytest
from sqlalchemy import Engine, select, text, update
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.clock import ManualClock
from pbxbill.errors import InputRefused
from pbxbill.notify.sending import send_waiting
from pbxbill.reports import run_maker, runs
from pbxbill.reports.catalogue import operator_scope
from pbxbill.reports.run_maker import make_waiting
from pbxbill.reports.runs import NewRun, anything_waits, ask, forget_old, run_of, runs_of
from pbxbill.reports.schedules import NewSchedule, add_schedule, last_period, start_due
from pbxbill.store.access_models import UserRow
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.invoice_models import MessageRow
from pbxbill.store.models import AccountRow
from pbxbill.store.report_models import ReportRunRow, ReportScheduleRow
from tests.notify.mail_servers import inbox
from tests.store.billed_accounts import BilledAccounts

DAY_US = 86_400_000_000


def at(moment: str) -> int:
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(at("2026-03-10T12:00"))


@pytest.fixture
def database(accounts: BilledAccounts) -> Iterator[Engine]:
    opened = open_engine(accounts.url)
    yield opened
    opened.dispose()


def asked(
    database: Engine, clock: ManualClock, *emails: str, report: str = "prepaid", kind: str = "csv"
) -> int:
    with transaction(database) as session:
        new = NewRun(report, {"group": "customer"}, kind, emails=emails)
        return ask(session, operator_scope(session), new, clock.now_us()).id


def state(database: Engine, run_id: int) -> tuple[str, str]:
    with transaction(database) as session:
        row = session.get_one(ReportRunRow, run_id)
        return row.state, row.error


def schedule(session: Session, clock: ManualClock, every: str = "day", **values: object) -> ReportScheduleRow:
    named = {"report": "usage", "format": "csv", "emails": ("a@example.com",), "values": {"group": "day"}}
    new = NewSchedule(name="n", every=every, **(named | values))  # type: ignore[arg-type]
    return add_schedule(session, operator_scope(session), new, clock.now_us())


def test_what_is_asked_for_is_made_kept_and_forgotten(database: Engine, clock: ManualClock) -> None:
    run_id = asked(database, clock)
    assert anything_waits(database, clock.now_us())
    assert make_waiting(database, clock) == 1
    assert not anything_waits(database, clock.now_us())
    with transaction(database) as session:
        scope = operator_scope(session)
        row = run_of(session, scope, run_id)
        assert row is not None
        assert (row.state, row.file_name) == ("done", "prepaid-2026-03-10-customer.csv")
        assert row.content is not None
        assert row.content.decode("utf-8-sig").splitlines()[1].startswith("bob,Bob,1,0.00")
        assert row.progress == 4
        assert [x.id for x in runs_of(session, scope)] == [run_id]
        reseller = session.query(AccountRow).filter_by(code="reseller").one()
        assert run_of(session, Scope(reseller.id, reseller.path), run_id) is None
    clock.advance(6 * DAY_US)
    assert forget_old(database, clock.now_us()) == 0
    clock.advance(2 * DAY_US)
    assert forget_old(database, clock.now_us()) == 1
    with transaction(database) as session:
        assert session.get_one(ReportRunRow, run_id).content is None
    assert state(database, run_id)[0] == "gone"


def test_a_file_goes_by_mail_once(database: Engine, clock: ManualClock) -> None:
    asked(database, clock, "a@example.com", "b@example.com", kind="xlsx")
    make_waiting(database, clock)
    with inbox() as (kept, settings):
        assert send_waiting(database, clock, settings).sent == 2
        make_waiting(database, clock)
        assert send_waiting(database, clock, settings).sent == 0
    message = message_from_bytes(kept.contents[0], policy=default)
    assert message["Subject"] == "Prepaid liabilities · Operator"
    (file,) = message.iter_attachments()
    assert file.get_filename() == "prepaid-2026-03-10-customer.xlsx"
    assert file.get_content()[:2] == b"PK"


def test_who_dies_over_a_report_is_followed_by_another(
    database: Engine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = asked(database, clock)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(run_maker, "render", dies)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                make_waiting(database, clock)
            assert state(database, run_id)[0] == "running"
            assert not anything_waits(database, clock.now_us())
            assert make_waiting(database, clock) == 0
            clock.advance(61_000_000)
            assert anything_waits(database, clock.now_us())
    assert make_waiting(database, clock) == 1
    assert state(database, run_id) == ("done", "")


def test_a_report_that_kills_is_given_up(database: Engine, clock: ManualClock) -> None:
    run_id = asked(database, clock)
    with transaction(database) as session:
        session.execute(update(ReportRunRow).values(state="running", attempts=3, started_us=1))
    assert make_waiting(database, clock) == 0
    assert state(database, run_id)[0] == "failed"


def test_what_fails_says_why_and_stops_no_other(
    database: Engine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = asked(database, clock)
    with transaction(database) as session:
        # What was there when it was asked for may be gone.
        session.execute(text('UPDATE report_runs SET parameters = \'{"reseller": "nobody"}\''))
    other = asked(database, clock)
    assert make_waiting(database, clock) == 2
    assert state(database, wrong) == ("failed", "reseller: there is no account 'nobody'")
    assert state(database, other)[0] == "done"
    monkeypatch.setattr(run_maker, "MAX_BYTES", 10)
    large = asked(database, clock)
    make_waiting(database, clock)
    assert state(database, large)[0] == "failed"
    assert "more than" in state(database, large)[1]


@pytest.mark.parametrize(
    "new, told",
    [
        (NewRun("nonsense", {}, "csv"), "no report"),
        (NewRun("usage", {}, "exe"), "none of"),
        (NewRun("usage", {"colour": "red"}, "csv"), "no such parameter"),
        (NewRun("usage", {"from": "x"}, "csv"), "not a day"),
        (NewRun("usage", {}, "csv", zone="Mars/Base"), "Mars/Base"),
        (NewRun("usage", {}, "csv", emails=("nobody",)), "no e-mail address"),
    ],
)
def test_what_cannot_be_made_is_refused_at_once(
    database: Engine, clock: ManualClock, new: NewRun, told: str
) -> None:
    with transaction(database) as session, pytest.raises(InputRefused, match=told):
        ask(session, operator_scope(session), new, clock.now_us())


def test_nobody_fills_the_queue(database: Engine, clock: ManualClock) -> None:
    for _ in range(runs.MOST_WAITING):
        asked(database, clock)
    with pytest.raises(InputRefused, match="waiting already"):
        asked(database, clock)


def test_a_schedule_makes_each_period_once(database: Engine, clock: ManualClock) -> None:
    with transaction(database) as session:
        schedule(session, clock)
    assert start_due(database, clock.now_us()) == 0
    clock.step(at("2026-03-11T05:59") - clock.now_us())
    assert start_due(database, clock.now_us()) == 0
    clock.step(at("2026-03-11T06:00") - clock.now_us())
    assert start_due(database, clock.now_us()) == 1
    assert start_due(database, clock.now_us()) == 0
    # Nothing ran for days: the last day is made, and no other. A clock that goes back makes none again.
    clock.step(at("2026-03-15T07:00") - clock.now_us())
    assert start_due(database, clock.now_us()) == 1
    clock.step(at("2026-03-12T07:00") - clock.now_us())
    assert start_due(database, clock.now_us()) == 0
    with transaction(database) as session:
        days = [json.loads(x)["from"] for x in session.scalars(select(ReportRunRow.parameters))]
        assert days == ["2026-03-10", "2026-03-14"]
    assert make_waiting(database, clock) == 2
    with transaction(database) as session:
        assert len(session.scalars(select(MessageRow.key)).all()) == 2


@pytest.mark.parametrize("change", [{"state": "disabled"}, {"role": "distributor"}])
def test_who_may_not_see_it_any_more_is_sent_nothing(
    database: Engine, clock: ManualClock, change: dict[str, str]
) -> None:
    with transaction(database) as session:
        user = UserRow(
            account_id=operator_scope(session).account_id, login="x", name="X", role="admin", created_us=1
        )
        session.add(user)
        session.flush()
        schedule(session, clock, user_id=user.id)
        for name, value in change.items():
            setattr(user, name, value)
    clock.advance(2 * DAY_US)
    assert start_due(database, clock.now_us()) == 0
    with transaction(database) as session:
        assert not session.scalars(select(ReportScheduleRow.enabled)).one()


@pytest.mark.parametrize(
    "every, zone, now, first, last",
    [
        ("day", "UTC", "2026-03-10T06:00", "2026-03-09", "2026-03-09"),
        ("day", "UTC", "2026-03-10T05:59", "2026-03-08", "2026-03-08"),
        ("day", "Europe/Paris", "2026-03-10T05:00", "2026-03-09", "2026-03-09"),
        ("week", "UTC", "2026-03-10T12:00", "2026-03-02", "2026-03-08"),
        ("week", "UTC", "2026-03-09T01:00", "2026-02-23", "2026-03-01"),
        ("month", "UTC", "2026-03-10T12:00", "2026-02-01", "2026-02-28"),
        ("month", "UTC", "2026-01-01T01:00", "2025-11-01", "2025-11-30"),
    ],
)
def test_the_last_whole_period(every: str, zone: str, now: str, first: str, last: str) -> None:
    expected = (date.fromisoformat(first), date.fromisoformat(last))
    assert last_period(every, zone, 360, at(now)) == expected


@pytest.mark.parametrize(
    "values, told",
    [
        ({"every": "moon"}, "none of"),
        ({"emails": ()}, "where it is sent"),
        ({"minute": 1440}, "1440"),
        ({"report": "nonsense"}, "no report"),
        ({"values": {"colour": "red"}}, "no such parameter"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(
    database: Engine, clock: ManualClock, values: dict[str, object], told: str
) -> None:
    with transaction(database) as session, pytest.raises(InputRefused, match=told):
        schedule(session, clock, **values)  # type: ignore[arg-type]
