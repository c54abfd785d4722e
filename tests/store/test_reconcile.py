"""Reconciliation: what became of calls while nobody watched, from the switch's channels and its own log."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from pbxbill.charging import reconcile
from pbxbill.charging.batch import CDR_COLUMNS
from pbxbill.charging.cdr import record_of
from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import (
    Answer,
    Authorize,
    Direction,
    Evidence,
    Granted,
    Settle,
    Settled,
    SettleOffline,
    TopUp,
)
from pbxbill.charging.reconcile import Difference, DifferenceKind, LiveChannel, Reconciler, SwitchRecord
from pbxbill.charging.verify import verify
from pbxbill.clock import SECOND_US, ManualClock
from pbxbill.ids import new_id
from pbxbill.store.accounts import account_by_code
from pbxbill.store.driver import Row, connect
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.models import CdrRow
from tests.database_operator import DatabaseOperator, open_database_operator

SWITCH = "pbx1"


@dataclass
class Site:
    """An engine, its database and the reconciler, with a log that the test writes."""

    url: str
    clock: ManualClock
    operator: DatabaseOperator
    engine: ChargingEngine
    log: list[SwitchRecord]

    def call(self, *, answered: bool) -> str:
        """A call that was authorized a minute ago and, perhaps, answered a second later."""
        session_id, at_us = new_id(), self.clock.now_us()
        request = Authorize(
            session_id, SWITCH, f"call-{session_id}", Direction.OUTBOUND, "4930123456", "", at_us, "alice"
        )
        assert isinstance(self.engine.execute(request), Granted)
        if answered:
            self.engine.execute(Answer(session_id, at_us + SECOND_US, "leg"))
        self.clock.advance(30 * SECOND_US)
        return session_id

    def record(
        self, session_id: str, answered_us: int | None, ended_us: int, *, offline: bool = False
    ) -> None:
        self.log.append(
            SwitchRecord(
                session_id=session_id,
                call_id=f"call-{session_id or 'offline'}",
                account_code="alice",
                direction=Direction.OUTBOUND,
                caller="",
                dialled="4930123456",
                started_us=self.clock.now_us() - 60 * SECOND_US,
                answered_us=answered_us,
                ended_us=ended_us,
                hangup_cause=16,
                paid_leg="leg",
                offline=offline,
            )
        )

    def open_failure_policy(self) -> None:
        """Alice's calls may pass while nobody can be asked."""
        database = open_engine(self.url)
        with transaction(database) as session:
            account_by_code(session, "alice").failure_policy = "open"
        database.dispose()

    def run(self, *live: LiveChannel) -> reconcile.Reconciliation:
        reconciler = Reconciler(self.engine, lambda: connect(self.url), self.clock)
        return reconciler.run(SWITCH, live, lambda since_us: list(self.log))

    def select(self, statement: str) -> list[Row]:
        driver = connect(self.url)
        try:
            return driver.select(statement)
        finally:
            driver.close()

    def charged(self, session_id: str) -> tuple[int, str]:
        """What the customer was charged for a call, and on which evidence."""
        ((total, evidence),) = self.select(
            "SELECT COALESCE(SUM(x.total), 0), MAX(c.evidence) FROM cdrs c LEFT JOIN call_charges x "
            f"ON x.session_id = c.session_id AND x.level = 0 WHERE c.session_id = '{session_id}'"
        )
        return int(total), evidence


@pytest.fixture
def site(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site whose wallet holds 10.00; every promise must hold when the test is over."""
    monkeypatch.setattr(reconcile, "RECORD_WAIT_S", 0)
    clock = ManualClock()
    operator = open_database_operator(database_url, clock)
    engine = ChargingEngine(lambda: connect(database_url), clock)
    engine.start()
    engine.execute(TopUp("funds", operator.customer_id, "EUR", 10_000_000, clock.now_us()))
    yield Site(database_url, clock, operator, engine, [])
    engine.stop()
    driver = connect(database_url)
    broken = [invariant for invariant in verify(driver, clock) if not invariant.holds]
    driver.close()
    assert broken == []


def test_a_call_that_ended_meanwhile_is_settled_with_its_true_times(site: Site) -> None:
    session_id = site.call(answered=True)
    answered_us = site.clock.now_us() - 29 * SECOND_US
    site.record(session_id, answered_us, answered_us + 20 * SECOND_US)
    found = site.run()
    assert [d.kind for d in found.differences] == [DifferenceKind.ENDED_MEANWHILE]
    assert site.charged(session_id) == (240_000, "cdr_log")  # 20 s at 0.60/min and 20 % tax


def test_a_call_that_was_never_answered_is_voided(site: Site) -> None:
    session_id = site.call(answered=False)
    site.record(session_id, None, site.clock.now_us())
    site.run()
    assert site.charged(session_id) == (0, "cdr_log")
    assert site.select("SELECT reserved FROM wallets WHERE reserved > 0") == []


def test_without_any_record_the_best_evidence_is_charged_and_marked(site: Site) -> None:
    talked, rang = site.call(answered=True), site.call(answered=False)
    found = site.run()
    assert {d.session_id: d.kind for d in found.differences} == {
        talked: DifferenceKind.NO_EVIDENCE,
        rang: DifferenceKind.NO_EVIDENCE,
    }
    assert site.charged(talked) == (708_000, "estimate")  # 59 s: from its answer until it was found gone
    assert site.charged(rang) == (0, "estimate")


def test_a_call_that_lives_is_taken_up_where_it_stands(site: Site) -> None:
    session_id = site.call(answered=True)
    seen_us = site.clock.now_us()
    found = site.run(LiveChannel(session_id, "leg", seen_us - 29 * SECOND_US, seen_us))
    (rearm,) = found.rearm
    assert (rearm.granted.session_id, rearm.elapsed_us) == (session_id, 29 * SECOND_US)
    assert rearm.granted.granted_us == 60 * SECOND_US
    assert found.differences == ()


def test_an_answer_that_was_missed_is_reported_and_taken_up(site: Site) -> None:
    session_id = site.call(answered=False)
    seen_us = site.clock.now_us()
    found = site.run(LiveChannel(session_id, "leg", seen_us - 5 * SECOND_US, seen_us))
    assert [d.kind for d in found.differences] == [DifferenceKind.MISSED_ANSWER]
    assert found.rearm[0].answered_us == seen_us - 5 * SECOND_US


def test_a_call_in_set_up_is_left_alone(site: Site) -> None:
    session_id = site.call(answered=False)
    site.clock.step(-27 * SECOND_US)  # it was requested three seconds ago
    assert site.run().differences == ()
    assert site.select("SELECT state FROM reservations") == [("reserved",)]
    site.clock.advance(27 * SECOND_US)
    site.record(session_id, None, site.clock.now_us())
    assert [d.kind for d in site.run().differences] == [DifferenceKind.ENDED_MEANWHILE]


def test_calls_that_passed_offline_are_charged_once(site: Site) -> None:
    site.open_failure_policy()
    answered_us = site.clock.now_us() - 10 * SECOND_US
    site.record("", answered_us, answered_us + 10 * SECOND_US, offline=True)
    site.record("", None, answered_us)  # no call of ours
    assert [d.kind for d in site.run().differences] == [DifferenceKind.CHARGED_OFFLINE]
    assert site.run().differences == ()
    assert site.select("SELECT posted FROM wallets ORDER BY posted DESC")[0] == (10_000_000 - 120_000,)


@pytest.mark.parametrize("its_switch, again", [(SWITCH, False), ("import", False), ("pbx2", True)])
@pytest.mark.parametrize("unknown_session", [False, True], ids=["offline", "unrecorded"])
def test_a_call_that_an_import_charged_is_not_charged_again(
    site: Site, its_switch: str, again: bool, unknown_session: bool
) -> None:
    """By the switch's own id of it; where nobody named the switch of the import, ids of all are compared."""
    site.open_failure_policy()
    answered_us = site.clock.now_us() - 10 * SECOND_US
    session_id = new_id() if unknown_session else ""
    call = Authorize(
        new_id(),
        its_switch,
        f"call-{session_id or 'offline'}",
        Direction.OUTBOUND,
        "4930123456",
        "",
        answered_us,
        "alice",
    )
    ended_us = answered_us + 10 * SECOND_US
    imported = SettleOffline(call, answered_us, ended_us, 16, evidence=Evidence.IMPORT, owed_in_full=True)
    assert isinstance(site.engine.execute(imported), Settled)
    site.record(session_id, answered_us, ended_us, offline=not unknown_session)
    kind = DifferenceKind.UNRECORDED if unknown_session else DifferenceKind.CHARGED_OFFLINE
    (found,) = site.run().differences
    assert found.kind is (kind if again else DifferenceKind.IMPORTED_ALREADY)
    charges = 2 if again else 1
    assert site.select("SELECT MAX(posted) FROM wallets") == [(10_000_000 - charges * 120_000,)]


def test_an_imported_record_of_a_leg_that_nobody_answered_pays_for_no_call(site: Site) -> None:
    """Asterisk writes one for every channel that was dialled, all with the call's id."""
    site.open_failure_policy()
    answered_us = site.clock.now_us() - 10 * SECOND_US
    site.record("", answered_us, answered_us + 10 * SECOND_US, offline=True)
    driver = connect(site.url)
    driver.begin()
    call = Authorize(new_id(), SWITCH, "call-offline", Direction.OUTBOUND, "49301", "", answered_us, "alice")
    unanswered = record_of(call, None, "49301")._replace(evidence=Evidence.IMPORT)
    columns, row = (*CDR_COLUMNS, "created_us"), (*unanswered[: len(CDR_COLUMNS)], answered_us)
    driver.insert(CdrRow.__table__, columns, [row])  # type: ignore[arg-type]
    driver.commit()
    driver.close()
    assert [d.kind for d in site.run().differences] == [DifferenceKind.CHARGED_OFFLINE]


def test_nothing_passed_unasked_where_the_failure_policy_is_closed(site: Site) -> None:
    answered_us = site.clock.now_us() - 10 * SECOND_US
    site.record("", answered_us, answered_us + 10 * SECOND_US, offline=True)
    assert [d.kind for d in site.run().differences] == [DifferenceKind.REFUSED_OFFLINE]
    assert site.select("SELECT posted FROM wallets ORDER BY posted DESC")[0] == (10_000_000,)
    assert site.select("SELECT COUNT(*) FROM call_charges") == [(0,)]


@pytest.mark.parametrize(
    "answered_s, ended_s", [(-10, 3600), (10, -10), (-3600, -3500)], ids=["future", "backwards", "early"]
)
def test_a_record_with_impossible_times_is_not_believed(site: Site, answered_s: int, ended_s: int) -> None:
    site.open_failure_policy()
    now_us = site.clock.now_us()
    site.record("", now_us + answered_s * SECOND_US, now_us + ended_s * SECOND_US, offline=True)
    assert site.run().differences == ()


def test_a_call_is_charged_until_the_switch_was_last_seen(site: Site) -> None:
    session_id = site.call(answered=True)
    reconciler = Reconciler(site.engine, lambda: connect(site.url), site.clock)
    killed_us = site.clock.now_us() - 20 * SECOND_US
    reconciler.run(SWITCH, [], lambda since_us: [], last_seen_us=killed_us)
    assert site.charged(session_id) == (108_000, "estimate")  # 9 of its 29 seconds


def test_a_record_that_contradicts_the_charge_is_reported_once(site: Site) -> None:
    session_id = site.call(answered=True)
    answered_us = site.clock.now_us() - 29 * SECOND_US
    settled = site.engine.execute(Settle(session_id, answered_us, answered_us + 10 * SECOND_US, 16))
    assert isinstance(settled, Settled)
    site.record(session_id, answered_us, answered_us + 15 * SECOND_US)
    for _ in range(2):
        (found,) = site.run().differences
        assert found.kind is DifferenceKind.TIMES_DIFFER
        assert "5000000 us longer" in found.detail
    assert site.select("SELECT COUNT(*) FROM reconciliation_differences") == [(1,)]
    assert site.charged(session_id)[0] == 120_000


def test_a_live_call_that_nobody_pays_for_is_reported(site: Site) -> None:
    stranger = new_id()
    seen_us = site.clock.now_us()
    found = site.run(LiveChannel(stranger, "leg", seen_us, seen_us))
    assert found.differences == (Difference(stranger, DifferenceKind.LIVE_UNRESERVED, "leg leg is up"),)


@pytest.mark.parametrize("hostile", ["' OR 1=1 --", "x" * 500, "ünïcode"])
def test_a_foreign_session_in_the_log_is_ignored(site: Site, hostile: str) -> None:
    site.record(hostile, 1, 2)
    assert site.run().differences == ()
