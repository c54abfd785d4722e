"""A daemon, a switch or an engine that fails in the middle of real calls on a real Asterisk."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from lab.sipp import Call, Calling, SippCaller, place
from pbxbill.ami.cdr_log import CdrLog
from pbxbill.charging.events import (
    Answer,
    Authorize,
    Direction,
    Evidence,
    Extend,
    FailurePolicy,
    Settle,
    Void,
)
from pbxbill.charging.reconcile import SwitchRecord
from pbxbill.clock import SECOND_US
from tests.switch.ami.conftest import Site
from tests.switch.ami.harness import Funds, SimpleEngine, running_daemon, wait_until

Make = Callable[..., SimpleEngine]
TALK = Call("1555", caller="alice", calling=Calling.WAIT)


@contextmanager
def mute_server(port: int) -> Iterator[None]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", port), backlog=16):
        yield


def talked_us(record: SwitchRecord) -> int:
    assert record.answered_us is not None
    return record.ended_us - record.answered_us


def test_the_switch_ends_the_call_when_the_daemon_is_gone(site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(100 * SECOND_US, slice_us=2 * SECOND_US)})
    with SippCaller(TALK, site.asterisk.sip_port) as caller_before_any_daemon:
        assert caller_before_any_daemon.wait(40).calls[0].status == 503
    with (
        running_daemon(site.settings(), engine) as running,
        SippCaller(TALK, site.asterisk.sip_port) as caller,
    ):
        engine.wait_for(Answer)
        running.stop()
        result = caller.wait(40)
    assert result.calls[0].talked_us == pytest.approx(2 * SECOND_US, abs=300_000)


def test_a_new_daemon_takes_the_call_up_again(site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(4_000_000, slice_us=2 * SECOND_US)})
    with ExitStack() as after:
        with running_daemon(site.settings(), engine):
            caller = after.enter_context(SippCaller(TALK, site.asterisk.sip_port))
            [answer] = engine.wait_for(Answer)
        with running_daemon(site.settings(), engine) as second:
            result = caller.wait(40)
            [settled] = engine.wait_for(Settle)
        [live] = second.reconciler.channels[0]
    assert (live.session_id, live.paid_leg) == (answer.session_id, answer.paid_leg)
    assert live.answered_us == pytest.approx(answer.answered_us, abs=100_000)
    assert engine.of(Extend), "it was extended by the second daemon"
    assert result.calls[0].talked_us == pytest.approx(4_000_000, abs=300_000)
    assert settled.ended_us - settled.answered_us == pytest.approx(4_000_000, abs=300_000)


def test_a_call_in_set_up_is_taken_up_too(site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(4_000_000)})
    call = Call("15580", caller="alice", calling=Calling.CANCEL, hold_ms=1500)
    with ExitStack() as after:
        with running_daemon(site.settings(), engine):
            caller = after.enter_context(SippCaller(call, site.asterisk.sip_port))
            [request] = engine.wait_for(Authorize)
            wait_until(lambda: len(site.asterisk.channels()) == 2, 30, "the second leg")
        with running_daemon(site.settings(), engine) as second:
            assert caller.wait(40).successful == 1
            [voided] = engine.wait_for(Void)
        [live] = second.reconciler.channels[0]
    assert (live.session_id, live.answered_us) == (request.session_id, None)
    assert voided.session_id == request.session_id


def test_calls_that_ended_meanwhile_come_from_the_cdr_log(site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(100 * SECOND_US)})
    with ExitStack() as after:
        with running_daemon(site.settings(), engine):
            call = Call("1555", caller="alice", hold_ms=600)
            caller = after.enter_context(SippCaller(call, site.asterisk.sip_port))
            [answer] = engine.wait_for(Answer)
        [seen] = caller.wait(40).calls
    wait_until(lambda: answer.session_id in site.asterisk.cdr_log.read_text(), 30, "the CDR")
    with running_daemon(site.settings(), engine) as second:
        [record] = [one for one in second.reconciler.records if one.session_id == answer.session_id]
    assert record.answered_us == pytest.approx(answer.answered_us, abs=100_000)
    assert record.ended_us == pytest.approx(seen.ended_us, abs=150_000)


def test_a_killed_switch_leaves_calls_that_are_settled_once(site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(100 * SECOND_US)})
    with running_daemon(site.settings(), engine) as running:
        with SippCaller(TALK, site.asterisk.sip_port) as caller:
            engine.wait_for(Answer)
            site.asterisk.kill()
            caller.kill()
        site.asterisk.start()
        [settled] = engine.wait_for(Settle)
        assert settled.evidence is Evidence.ESTIMATE
        running.wait_connected()
        place(Call("1555", caller="alice", hold_ms=300), site.asterisk.sip_port)
        assert len(engine.wait_for(Settle, 2)) == 2


def test_switch_and_daemon_killed_together_leave_calls_that_end_with_the_switch(
    site: Site, make_engine: Make
) -> None:
    engine = make_engine({"acme": Funds(100 * SECOND_US)})
    with running_daemon(site.settings(), engine), SippCaller(TALK, site.asterisk.sip_port) as caller:
        engine.wait_for(Answer)
        site.asterisk.kill()
        killed_us = time.time_ns() // 1000
        caller.kill()
    site.asterisk.start()
    started_us = time.time_ns() // 1000
    with running_daemon(site.settings(), engine) as running:
        bound_us = running.reconciler.last_seen[0]
    assert bound_us is not None
    assert killed_us - SECOND_US <= bound_us <= started_us, "Asterisk says it to the second"


def test_a_frozen_switch_is_noticed_and_calls_are_armed_again(site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(100 * SECOND_US)})
    settings = site.settings(ping_interval_s=0.2, ping_timeout_s=0.5, action_timeout_s=0.5)
    with running_daemon(settings, engine) as running, SippCaller(TALK, site.asterisk.sip_port):
        engine.wait_for(Answer)
        site.asterisk.freeze()
        wait_until(lambda: running.metric("pbxbill_ami_connected") == 0, 30, "the loss to be noticed")
        engine.accounts["acme"].funds_us = 3 * SECOND_US
        running.news.tell()
        site.asterisk.thaw()
        running.wait_connected()
        [settled] = engine.wait_for(Settle)
    assert settled.ended_us - settled.answered_us == pytest.approx(3 * SECOND_US, abs=500_000)


def test_a_mute_daemon_is_given_up_and_the_call_refused(site: Site) -> None:
    with mute_server(site.asterisk.agi_port):
        result = place(
            Call("1555", caller="alice", calling=Calling.REJECTED, rejections=(503,)), site.asterisk.sip_port
        )
    assert result.successful == 1, result.log
    [seen] = result.calls
    assert seen.ended_us is not None
    assert seen.ended_us - seen.invited_us < 3 * SECOND_US


@pytest.mark.parametrize("mute", [False, True], ids=["unreachable", "mute"])
def test_an_endpoint_with_the_open_policy_goes_on_with_a_cap(
    site: Site, make_engine: Make, mute: bool
) -> None:
    call = Call("1777", caller="olga", calling=Calling.WAIT)
    if mute:
        with mute_server(site.asterisk.agi_port):
            result = place(call, site.asterisk.sip_port)
    else:
        result = place(call, site.asterisk.sip_port)
    assert result.calls[0].talked_us == pytest.approx(2 * SECOND_US, abs=300_000)
    log = CdrLog(site.asterisk.cdr_log, backlog_bytes=10_000_000)
    record = [one for one in log.read() if one.offline and one.dialled == "1777"][-1]
    assert (record.session_id, record.account_code) == ("", "open")
    assert record.direction is Direction.OUTBOUND
    assert talked_us(record) == pytest.approx(2 * SECOND_US, abs=300_000)


def test_while_the_database_is_away_open_accounts_pass_and_closed_ones_do_not(
    site: Site, make_engine: Make
) -> None:
    accounts = {"acme": Funds(SECOND_US), "open": Funds(0, failure_policy=FailurePolicy.OPEN)}
    engine = make_engine(accounts)
    engine.down = True
    with running_daemon(site.settings(), engine) as running:
        refused = place(
            Call("1555", caller="alice", calling=Calling.REJECTED, rejections=(503,)), site.asterisk.sip_port
        )
        passed = place(Call("1888", caller="olga", hold_ms=400), site.asterisk.sip_port)
        wait_until(
            lambda: [one for one in running.reconciler.offline if one.dialled == "1888"], 30, "the record"
        )
        record = [one for one in running.reconciler.offline if one.dialled == "1888"][-1]
    assert (refused.successful, passed.successful) == (1, 1)
    assert record.session_id
    assert talked_us(record) == pytest.approx(400_000, abs=300_000)


def test_an_engine_that_does_not_answer_in_time_denies_and_gives_the_money_back(
    site: Site, make_engine: Make
) -> None:
    engine = make_engine({"acme": Funds(100 * SECOND_US)})
    engine.slow_s = 1.0
    with running_daemon(site.settings(authorize_timeout_s=0.3), engine):
        result = place(
            Call("1555", caller="alice", calling=Calling.REJECTED, rejections=(503,)), site.asterisk.sip_port
        )
        [voided] = engine.wait_for(Void)
    [request] = engine.of(Authorize)
    assert result.successful == 1
    assert voided.session_id == request.session_id


def test_an_open_account_talks_on_while_the_database_is_away(site: Site, make_engine: Make) -> None:
    funds = Funds(100 * SECOND_US, slice_us=4 * SECOND_US, failure_policy=FailurePolicy.OPEN)
    engine = make_engine({"acme": funds})
    with (
        running_daemon(site.settings(), engine),
        SippCaller(Call("1555", caller="alice", hold_ms=5500), site.asterisk.sip_port) as caller,
    ):
        engine.wait_for(Answer)
        engine.down = True
        result = caller.wait(40)
        engine.down = False
        [settled] = engine.wait_for(Settle)
    assert result.calls[0].ended_here
    assert settled.ended_us - settled.answered_us == pytest.approx(5_500_000, abs=300_000)


def test_a_call_without_any_events_is_charged_all_the_same(
    site: Site, make_engine: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pbxbill.ami.switch_link.WANTED", frozenset({b"FullyBooted"}))
    engine = make_engine({"acme": Funds(100 * SECOND_US)})
    settings = site.settings(sweep_interval_s=0.3)
    with running_daemon(settings, engine) as running:
        result = place(Call("1555", caller="alice", hold_ms=1500), site.asterisk.sip_port)
        [settled] = engine.wait_for(Settle)
        assert running.metric("pbxbill_ami_lost_events_total") == 1
    [seen] = result.calls
    assert settled.evidence is Evidence.CDR_LOG
    assert settled.answered_us == pytest.approx(seen.answered_us, abs=150_000)
    assert settled.ended_us == pytest.approx(seen.ended_us, abs=150_000)


def test_an_unanswered_call_without_any_events_is_voided(
    site: Site, make_engine: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pbxbill.ami.switch_link.WANTED", frozenset({b"FullyBooted"}))
    engine = make_engine({"acme": Funds(100 * SECOND_US)})
    call = Call("15586", caller="alice", calling=Calling.REJECTED, rejections=(486,))
    with running_daemon(site.settings(sweep_interval_s=0.3), engine):
        place(call, site.asterisk.sip_port)
        engine.wait_for(Void)
    assert not engine.of(Settle)
