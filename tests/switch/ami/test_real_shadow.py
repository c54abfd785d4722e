"""Shadow mode on a real Asterisk: everything is charged, and nobody is denied, spoken to or cut."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab.asterisk import PrivateAsterisk
from lab.sipp import Answering, Call, Calling, SippCaller, SippServer, place
from lab.site import Did, Gateway, Phone
from pbxbill.charging.events import Announcement, Answer, Authorize, Extend, Settle, Void
from pbxbill.clock import SECOND_US
from tests.switch.ami.conftest import Site
from tests.switch.ami.harness import Funds, RunningDaemon, SimpleEngine, running_daemon, wait_until

Make = Callable[..., SimpleEngine]
TALKATIVE = Announcement(balance=True, minutes=True, warning=True)


@pytest.fixture(scope="module")
def site(asterisk_install: Path) -> Iterator[Site]:
    """An Asterisk whose administrator lets calls pass while he tries pbxbill out."""
    with (
        SippServer() as carrier,
        SippServer(Answering.ANSWER) as phone,
        PrivateAsterisk(
            phones=[Phone("alice", "acme"), Phone("bob", "nobody"), Phone("desk", port=phone.port)],
            gateways=[Gateway("my-trunk", carrier.port)],
            dids=[Did("3315550001", phone="desk")],
            variables={"PBXBILL_AGI_SECONDS": "1", "PBXBILL_SHADOW_PASSES": "yes"},
            install=asterisk_install,
        ) as asterisk,
    ):
        yield Site(asterisk, carrier)


def talked_us(settled: Settle) -> int:
    assert settled.answered_us is not None
    return settled.ended_us - settled.answered_us


@pytest.mark.parametrize("whole_switch", [True, False], ids=["switch", "account"])
def test_a_call_outlives_its_money_and_is_charged(site: Site, make_engine: Make, whole_switch: bool) -> None:
    account = Funds(5 * SECOND_US, slice_us=2 * SECOND_US, announcement=TALKATIVE, shadow=not whole_switch)
    engine = make_engine({"acme": account})
    mark = site.mark()
    with running_daemon(site.settings(shadow=whole_switch), engine) as running:
        result = place(Call("1555", caller="alice", hold_ms=12_000), site.asterisk.sip_port)
        [settled] = engine.wait_for(Settle)
        wait_until(lambda: running.metric("pbxbill_ami_live_calls") == 0, 30, "the call to be forgotten")
        assert running.metric("pbxbill_ami_hangups_total") == 0
    assert result.successful == 1
    assert result.calls[0].ended_here
    assert talked_us(settled) == pytest.approx(12 * SECOND_US, abs=300_000)
    assert settled.hangup_cause == 16
    assert settled.gateway == "my-trunk"
    assert [answer.gateway for answer in engine.of(Answer)] == ["my-trunk"]
    assert engine.of(Extend), "what enforcement would have granted is asked for all the same"
    assert [request.shadow for request in engine.of(Authorize)] == [whole_switch]
    assert "Playback(" not in site.log_since(mark)


def test_money_that_is_taken_away_shortens_nothing(site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(100 * SECOND_US)})
    with running_daemon(site.settings(shadow=True), engine) as running:
        with SippCaller(Call("1555", caller="alice", hold_ms=3000), site.asterisk.sip_port) as caller:
            engine.wait_for(Answer)
            engine.accounts["acme"].funds_us = SECOND_US
            running.news.tell()
            result = caller.wait(40)
        [settled] = engine.wait_for(Settle)
    assert result.calls[0].ended_here
    assert talked_us(settled) == pytest.approx(3 * SECOND_US, abs=300_000)


def test_a_call_to_a_did_outlives_its_money(site: Site, make_engine: Make) -> None:
    engine = make_engine({"owner": Funds(SECOND_US)}, {"3315550001": "owner"})
    with running_daemon(site.settings(shadow=True), engine):
        result = place(Call("3315550001", caller="carrier", hold_ms=2500), site.asterisk.sip_port)
        [settled] = engine.wait_for(Settle)
    assert result.calls[0].ended_here
    assert talked_us(settled) == pytest.approx(2_500_000, abs=300_000)
    assert settled.gateway == "", "nobody is paid for a call that came in"


@pytest.mark.parametrize("why", ["denied", "database away", "too slow", "no daemon", "mute"])
def test_a_call_passes_whatever_is_said_of_it(site: Site, make_engine: Make, why: str) -> None:
    engine = make_engine({})
    engine.down = why == "database away"
    engine.slow_s = 1.0 if why == "too slow" else 0.0
    settings = site.settings(shadow=True, authorize_timeout_s=0.3)
    number = f"1666{len(why)}"

    def passed(running: RunningDaemon) -> bool:
        return bool([one for one in running.reconciler.offline if one.dialled == number])

    with ExitStack() as stack:
        if why == "no daemon":
            result = place(Call(number, caller="bob", hold_ms=600), site.asterisk.sip_port)
            running = stack.enter_context(running_daemon(settings, engine))
        elif why == "mute":
            running = stack.enter_context(running_daemon(settings, engine))
            engine.slow_s = 30
            site.asterisk.rx("dialplan set global PBXBILL_AGI agi://127.0.0.1:1")
            result = place(Call(number, caller="bob", hold_ms=600), site.asterisk.sip_port)
            site.asterisk.rx(f"dialplan set global PBXBILL_AGI agi://127.0.0.1:{site.asterisk.agi_port}")
        else:
            running = stack.enter_context(running_daemon(settings, engine))
            result = place(Call(number, caller="bob", hold_ms=600), site.asterisk.sip_port)
        assert result.successful == 1, result.log
        wait_until(lambda: passed(running), 30, "the record")
    [record] = [one for one in running.reconciler.offline if one.dialled == number]
    assert record.answered_us is not None
    assert (record.account_code, record.shadow, record.gateway) == ("nobody", True, "my-trunk")
    assert record.ended_us - record.answered_us == pytest.approx(600_000, abs=300_000)


def test_a_decision_that_comes_too_late_still_charges_the_call(site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(SECOND_US)})
    engine.slow_s = 1.0
    with running_daemon(site.settings(shadow=True, authorize_timeout_s=0.3), engine):
        result = place(Call("1555", caller="alice", hold_ms=4_000), site.asterisk.sip_port)
        [settled] = engine.wait_for(Settle)
    assert result.calls[0].ended_here
    assert talked_us(settled) == pytest.approx(4 * SECOND_US, abs=300_000)
    assert not engine.of(Void)


def test_a_timer_from_before_the_shadow_is_taken_away(site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(100 * SECOND_US, slice_us=4 * SECOND_US)})
    with ExitStack() as stack:
        with running_daemon(site.settings(), engine):
            call = Call("1555", caller="alice", hold_ms=7000)
            caller = stack.enter_context(SippCaller(call, site.asterisk.sip_port))
            engine.wait_for(Answer)
        with running_daemon(site.settings(shadow=True), engine):
            engine.accounts["acme"].funds_us = 4 * SECOND_US
            result = caller.wait(40)
            [settled] = engine.wait_for(Settle)
    assert result.calls[0].ended_here
    assert settled.gateway == "my-trunk"


def test_who_is_not_in_shadow_is_cut_all_the_same(site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(1_500_000)})
    with running_daemon(site.settings(), engine):
        place(Call("1555", caller="alice", calling=Calling.WAIT), site.asterisk.sip_port)
        [settled] = engine.wait_for(Settle)
    assert talked_us(settled) == pytest.approx(1_500_000, abs=300_000)
