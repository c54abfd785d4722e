"""Shadow mode on a real FreeSWITCH; collected where FREESWITCH_BIN names one, see conftest.py."""

from collections.abc import Iterator

import pytest

from lab.freeswitch import PrivateFreeSwitch
from lab.sipp import Answering, Calling, SippServer
from lab.site import Gateway, Phone
from pbxbill.charging.events import Announcement, Answer, Authorize, Extend, Settle, SettleOffline

from .fake_engine import FakeAccount, FakeEngine
from .harness import RunningDaemon
from .real_switch import Place, finished, running_daemon

NUMBER = "33155512345"
TALKATIVE = Announcement(balance=True, minutes=True, warning=True)


@pytest.fixture(scope="module")
def freeswitch() -> Iterator[PrivateFreeSwitch]:
    with SippServer(Answering.ANSWER) as carrier:
        switch = PrivateFreeSwitch(
            phones=[Phone(name, name, f"pw{name}") for name in ("2001", "2002", "9999")],
            gateways=[Gateway("my-carrier.1", carrier.port)],
            name="fs1",
            variables={"pbxbill_shadow_passes": "true", "pbxbill_emergency": "113|1177"},
        )
        with switch:
            yield switch


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    accounts = {
        "2001": FakeAccount(5, slice_s=2, renew_before_s=1, announcement=TALKATIVE),
        "2002": FakeAccount(2, shadow=True, announcement=TALKATIVE),
    }
    engine = FakeEngine(accounts)
    yield engine
    engine.stop()


@pytest.fixture
def daemon(freeswitch: PrivateFreeSwitch, engine: FakeEngine) -> Iterator[RunningDaemon]:
    with running_daemon(freeswitch, engine, authorize_timeout_s=0.5, shadow=True) as running:
        yield running


def talked_us(settle: object) -> int:
    assert isinstance(settle, Settle | SettleOffline)
    assert settle.answered_us is not None
    return settle.ended_us - settle.answered_us


def test_a_call_outlives_its_money_and_is_charged(
    daemon: RunningDaemon, engine: FakeEngine, freeswitch: PrivateFreeSwitch, place: Place
) -> None:
    (seen,) = finished(place(NUMBER, "2001", hold_ms=12_000)).calls
    (settle,) = engine.wait_closed()
    assert seen.ended_here
    assert talked_us(settle) == pytest.approx(12_000_000, abs=300_000)
    assert isinstance(settle, Settle)
    assert (settle.hangup_cause, settle.gateway) == (16, "my-carrier.1")
    assert [answer.gateway for answer in engine.of_type(Answer)] == ["my-carrier.1"]
    assert [asked.shadow for asked in engine.of_type(Authorize)] == [True]
    assert engine.of_type(Extend), "what enforcement would have granted is asked for all the same"
    assert daemon.metrics.counts["timer_set"] == daemon.metrics.counts["hung_up"] == 0
    assert seen.answered_us is not None
    assert seen.answered_us - seen.invited_us < 1_500_000, "nothing is said before the call"


def test_an_account_in_shadow_is_not_cut_on_a_switch_that_enforces(
    daemon: RunningDaemon, engine: FakeEngine, place: Place
) -> None:
    daemon.stop()
    daemon.start(shadow=False)
    (seen,) = finished(place(NUMBER, "2002", hold_ms=5_500)).calls
    (settle,) = engine.wait_closed()
    assert seen.ended_here
    assert talked_us(settle) == pytest.approx(5_500_000, abs=300_000)
    finished(place(NUMBER, "2001", Calling.WAIT))
    assert talked_us(engine.wait_closed(2)[1]) == pytest.approx(5_000_000, abs=300_000)


def test_money_that_is_taken_away_shortens_nothing(
    daemon: RunningDaemon, engine: FakeEngine, place: Place
) -> None:
    engine.accounts["2001"] = FakeAccount(100)
    caller = place(NUMBER, "2001", hold_ms=4_000)
    engine.wait_for(lambda engine: bool(engine.answered_us))
    engine.accounts["2001"].seconds = 1
    daemon.news.tell(1)
    (seen,) = finished(caller).calls
    assert seen.ended_here
    assert talked_us(engine.wait_closed()[0]) == pytest.approx(4_000_000, abs=300_000)


@pytest.mark.parametrize("why", ["denied", "away", "mute"])
def test_a_call_passes_whatever_is_said_of_it(
    daemon: RunningDaemon, engine: FakeEngine, place: Place, why: str
) -> None:
    engine.away, engine.mute = why == "away", why == "mute"
    number = {"denied": "33155521", "away": "33155522", "mute": "33155523"}[why]
    (seen,) = finished(place(number, "9999", hold_ms=1_200)).calls
    assert seen.ended_here
    if why == "denied":
        assert talked_us(engine.wait_closed()[0]) == pytest.approx(1_200_000, abs=300_000)
    engine.away = engine.mute = False
    daemon.stop()
    daemon.start()
    [record] = {
        one.session_id: one for _, found in daemon.reconciler.runs for one in found if one.dialled == number
    }.values()
    assert (record.account_code, record.offline, record.shadow) == ("9999", True, True)
    assert record.gateway == "my-carrier.1"


def test_a_call_passes_without_a_daemon_and_has_no_end(
    daemon: RunningDaemon, engine: FakeEngine, place: Place
) -> None:
    daemon.stop()
    (seen,) = finished(place("331555666", "9999", hold_ms=1_500)).calls
    assert seen.ended_here
    daemon.start()
    [record] = [one for _, found in daemon.reconciler.runs for one in found if one.dialled == "331555666"]
    assert (record.account_code, record.offline, record.shadow) == ("9999", True, True)


def test_a_timer_from_before_the_shadow_is_taken_away(
    daemon: RunningDaemon, engine: FakeEngine, place: Place
) -> None:
    engine.accounts["2001"] = FakeAccount(100, slice_s=4, renew_before_s=1)
    daemon.stop()
    daemon.start(shadow=False)
    caller = place(NUMBER, "2001", hold_ms=9_000)
    engine.wait_for(lambda engine: bool(engine.answered_us))
    daemon.stop()
    daemon.start()
    engine.accounts["2001"].seconds = 4
    (seen,) = finished(caller).calls
    assert seen.ended_here
    (settle,) = engine.wait_closed()
    assert isinstance(settle, Settle)
    assert settle.gateway == "my-carrier.1"
    assert talked_us(settle) == pytest.approx(9_000_000, abs=300_000)


def test_the_administrator_has_a_list_of_emergency_numbers_of_his_own(
    daemon: RunningDaemon, engine: FakeEngine, place: Place
) -> None:
    finished(place("1177", "9999", hold_ms=300))
    finished(place("112", "9999", Calling.REJECTED, rejections=(404, 480, 484, 603)))
    assert not engine.of_type(Authorize)
