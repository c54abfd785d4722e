"""The whole way on real parts: SIPp, Asterisk, the daemon, the charging engine and its database."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

from lab.sipp import Call, Calling, SippCaller, place
from pbxbill.ami.daemon import AsteriskDaemon
from pbxbill.ami.metrics import AsteriskMetrics
from pbxbill.app import Application, Charging, open_application, open_charging
from pbxbill.charging.events import TopUp
from pbxbill.charging.verify import verify
from pbxbill.cli import cli
from pbxbill.store.driver import Row
from pbxbill.store.hang_ups import HangUpDesk
from tests.database_operator import DatabaseOperator, open_database_operator
from tests.switch.ami.conftest import Site
from tests.switch.ami.harness import in_thread, wait_until

SECOND_PRICE = 12_000
"""0.60 per minute and 20 % tax, in millionths of a euro."""
ANSWERED = "SELECT answered_us FROM reservations WHERE state = 'answered'"
TALK = Call("4930123", caller="ann", calling=Calling.WAIT)


@dataclass
class Office:
    """A daemon with the real engine, and the database to look into."""

    site: Site
    application: Application
    operator: DatabaseOperator

    @contextmanager
    def working(self, **changes: object) -> Iterator[Charging]:
        registry = CollectorRegistry()
        with open_charging(self.application, listen=True) as charging:
            daemon = AsteriskDaemon(
                self.site.settings(**changes),
                charging.engine,
                charging.news,
                charging.reconciler,
                self.application.clock,
                AsteriskMetrics(registry),
            )
            switch, clock = self.site.settings(**changes).name, self.application.clock
            daemon.serve_hang_ups(HangUpDesk(self.application.connect, clock, switch, charging.news))
            with in_thread(daemon):
                connected = "pbxbill_ami_connected"
                wait_until(lambda: registry.get_sample_value(connected) == 1, 30, "the connection")
                yield charging

    def top_up(self, charging: Charging, key: str, amount: int) -> None:
        now_us = self.application.clock.now_us()
        charging.engine.execute(TopUp(key, self.operator.customer_id, "EUR", amount, now_us))

    def select(self, statement: str) -> list[Row]:
        driver = self.application.connect()
        try:
            return driver.select(statement)
        finally:
            driver.close()

    def wait_settled(self, count: int) -> list[Row]:
        """The calls' duration in microseconds, evidence and charge, once so many are settled."""
        statement = (
            "SELECT c.ended_us - c.answered_us, c.evidence, x.total FROM cdrs c JOIN call_charges x "
            "ON x.session_id = c.session_id AND x.level = 0 WHERE c.answered_us IS NOT NULL"
        )
        wait_until(lambda: len(self.select(statement)) >= count, 30, f"{count} settled calls")
        return self.select(statement)


@pytest.fixture
def office(site: Site, sqlite_url: str) -> Iterator[Office]:
    """A database that has charged all that the switch has logged; in the end every promise holds."""
    site.asterisk.cdr_log.write_text("")
    operator = open_database_operator(sqlite_url)
    with open_application(sqlite_url) as application:
        yield Office(site, application, operator)
        driver = application.connect()
        broken = [invariant for invariant in verify(driver, application.clock) if not invariant.holds]
        driver.close()
        assert broken == []


def test_the_last_coin_is_spent_and_not_one_more(office: Office) -> None:
    with office.working() as charging:
        office.top_up(charging, "funds", 2 * SECOND_PRICE + 999)
        result = place(TALK, office.site.asterisk.sip_port)
        [(duration_us, evidence, total)] = office.wait_settled(1)
        refused = place(
            Call("4930123", caller="ann", calling=Calling.REJECTED), office.site.asterisk.sip_port
        )
    assert result.calls[0].talked_us == pytest.approx(2_000_000, abs=300_000)
    assert duration_us == pytest.approx(2_000_000, abs=300_000)
    assert (evidence, total) == ("event", 2 * SECOND_PRICE)
    assert refused.successful == 1


def test_many_calls_at_once_never_spend_more_than_there_is(office: Office) -> None:
    with office.working() as charging:
        office.top_up(charging, "funds", 30 * SECOND_PRICE)
        calls = Call("4930123", caller="ann", hold_ms=1500, count=12, rate_per_s=20)
        place(calls, office.site.asterisk.sip_port)
        wait_until(
            lambda: (
                office.select("SELECT COUNT(*) FROM reservations WHERE state IN ('reserved', 'answered')")
                == [(0,)]
            ),
            15,
            "the end of all calls",
        )
        spent = sum(row[2] for row in office.wait_settled(1))
    assert 0 < spent <= 30 * SECOND_PRICE


def test_a_top_up_in_the_call_lets_it_go_on(office: Office) -> None:
    with office.working() as charging:
        office.top_up(charging, "funds", 2 * SECOND_PRICE)
        with SippCaller(TALK, office.site.asterisk.sip_port) as caller:
            wait_until(lambda: any(call.answered_us for call in caller.calls()), 30, "the answer")
            office.top_up(charging, "more", 2 * SECOND_PRICE)
            result = caller.wait(40)
        [(_, _, total)] = office.wait_settled(1)
    assert result.calls[0].talked_us == pytest.approx(4_000_000, abs=300_000)
    assert total == 4 * SECOND_PRICE


def test_what_ended_while_the_daemon_was_away_is_charged_from_the_switchs_log(office: Office) -> None:
    with ExitStack() as after:
        with office.working() as charging:
            office.top_up(charging, "funds", 100 * SECOND_PRICE)
            call = Call("4930123", caller="ann", hold_ms=1500)
            caller = after.enter_context(SippCaller(call, office.site.asterisk.sip_port))
            wait_until(lambda: any(seen.answered_us for seen in caller.calls()), 30, "the answer")
        assert caller.wait(40).successful == 1
        with office.working():
            [(duration_us, evidence, total)] = office.wait_settled(1)
    assert duration_us == pytest.approx(1_500_000, abs=300_000)
    assert (evidence, total) == ("cdr_log", 2 * SECOND_PRICE)


def test_a_call_that_outlived_the_daemon_is_steered_to_its_end(office: Office) -> None:
    with ExitStack() as after:
        with office.working() as charging:
            office.top_up(charging, "funds", 5 * SECOND_PRICE)
            caller = after.enter_context(SippCaller(TALK, office.site.asterisk.sip_port))
            wait_until(lambda: any(seen.answered_us for seen in caller.calls()), 30, "the answer")
        with office.working() as charging:
            office.top_up(charging, "more", 1 * SECOND_PRICE)
            result = caller.wait(40)
            [(_, evidence, total)] = office.wait_settled(1)
    assert result.calls[0].talked_us == pytest.approx(6_000_000, abs=400_000)
    assert (evidence, total) == ("event", 6 * SECOND_PRICE)


def test_a_killed_switch_costs_what_can_be_known(office: Office) -> None:
    with office.working() as charging:
        office.top_up(charging, "funds", 100 * SECOND_PRICE)
        with SippCaller(TALK, office.site.asterisk.sip_port) as caller:
            wait_until(lambda: any(seen.answered_us for seen in caller.calls()), 30, "the answer")
            office.site.asterisk.kill()
            caller.kill()
        office.site.asterisk.start()
        [(_, evidence, _)] = office.wait_settled(1)
    assert evidence == "estimate"


def test_a_switch_and_a_daemon_that_die_together_cost_up_to_the_switchs_start(office: Office) -> None:
    with office.working() as charging, SippCaller(TALK, office.site.asterisk.sip_port) as caller:
        office.top_up(charging, "funds", 100 * SECOND_PRICE)
        caller.kill()
    with office.working(), SippCaller(TALK, office.site.asterisk.sip_port) as caller:
        wait_until(lambda: any(seen.answered_us for seen in caller.calls()), 30, "the answer")
        wait_until(
            lambda: office.select("SELECT answered_us FROM reservations WHERE state = 'answered'"), 30, "it"
        )
        office.site.asterisk.kill()
        caller.kill()
    office.site.asterisk.start()
    started_us = office.application.clock.now_us()
    [(answered_us,)] = office.select(ANSWERED)
    time.sleep(6)  # Asterisk is up again, and nobody looks
    with office.working():
        [(duration_us, evidence, _)] = office.wait_settled(1)
    assert evidence == "estimate"
    assert duration_us <= started_us - answered_us


def test_shadow_mode_charges_what_it_does_not_cut_and_reports_it(office: Office, tmp_path: Path) -> None:
    with office.working(shadow=True) as charging:
        office.top_up(charging, "funds", 5 * SECOND_PRICE)
        result = place(Call("4930123", caller="ann", hold_ms=12_000), office.site.asterisk.sip_port)
        office.wait_settled(1)
        unpaid = place(Call("4930123", caller="ann", hold_ms=1_000), office.site.asterisk.sip_port)
        unrated = place(Call("77777", caller="ann", hold_ms=500), office.site.asterisk.sip_port)
        stranger = place(Call("4930123", caller="bob", hold_ms=500), office.site.asterisk.sip_port)
        office.wait_settled(2)
    assert [r.successful for r in (result, unpaid, unrated, stranger)] == [1, 1, 1, 1]
    assert result.calls[0].ended_here
    said = [row[0] for row in office.select("SELECT shadow FROM cdrs ORDER BY started_us")]
    assert said[0] == "would have been cut after 5 s"
    assert said[1].startswith("would have been denied: credit_limit_reached")
    assert said[2].startswith("would have been denied: rating_failed")
    assert said[3].startswith("would have been denied: user_unknown")
    config = tmp_path / "pbxbill.toml"
    config.write_text(
        f'[database]\nurl = "{office.application.database_url}"\n[[switch]]\ntype = "asterisk"\n'
        f'name = "pbx1"\ncdr_file = "{office.site.asterisk.cdr_log}"\nshadow = true\n'
    )
    told = CliRunner().invoke(cli, ["--config", str(config), "shadow", "report", "--json"])
    [report] = json.loads(told.stdout)
    assert told.exit_code == 0, told.output
    assert (report["calls"], report["in_shadow"], report["alike"]) == (4, 4, 2)
    assert report["different"] == report["only_here"] == report["only_there"] == []
    assert report["would_deny"] == {"credit_limit_reached": 1, "rating_failed": 1, "user_unknown": 1}
    [cut] = report["would_cut"]
    assert (cut["account"], cut["after_s"]) == ("alice", "5.000")
    assert float(cut["beyond_s"]) == pytest.approx(7, abs=0.3)
    [money] = [row for row in report["money"] if row["account"] == "alice"]
    assert money["calls"] == 2
    read = CliRunner().invoke(cli, ["--config", str(config), "shadow", "report", "--switch", "pbx1"])
    assert read.exit_code == 0, read.output
    assert "user_unknown" in read.stdout
    office.site.asterisk.cdr_log.write_text("")
    told = CliRunner().invoke(cli, ["--config", str(config), "shadow", "report", "--json"])
    assert told.exit_code == 1
    assert len(json.loads(told.stdout)[0]["only_here"]) == 2
