"""Hanging up on request on a real FreeSWITCH: both parties hear it, the time until then is charged."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lab.freeswitch import PrivateFreeSwitch
from lab.sipp import Answering, Calling, SippServer
from lab.site import Gateway, Phone
from pbxbill.charging.events import Settle, Void
from tests.switch.asking_desk import OPERATOR, AskingDesk

from .fake_engine import FakeAccount, FakeEngine
from .harness import RunningDaemon
from .real_switch import Place, finished, running_daemon

NUMBER = "33155512345"


@pytest.fixture(scope="module")
def freeswitch() -> Iterator[PrivateFreeSwitch]:
    with ExitStack() as stack:
        carrier = stack.enter_context(SippServer(Answering.ANSWER))
        silent = stack.enter_context(SippServer(Answering.RING))
        yield stack.enter_context(
            PrivateFreeSwitch(
                phones=[Phone("2001", "2001", "pw2001")],
                gateways=[Gateway("carrier", carrier.port), Gateway("silent", silent.port, "99")],
                name="fs1",
            )
        )


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    engine = FakeEngine({"2001": FakeAccount(3600)})
    yield engine
    engine.stop()


@pytest.fixture
def desk() -> AskingDesk:
    return AskingDesk()


@pytest.fixture
def daemon(freeswitch: PrivateFreeSwitch, engine: FakeEngine, desk: AskingDesk) -> Iterator[RunningDaemon]:
    with running_daemon(freeswitch, engine) as running:
        running.stop()
        running.hang_ups = desk
        running.start()
        yield running


def test_a_call_is_ended_at_once_and_charged_until_then(
    daemon: RunningDaemon, engine: FakeEngine, desk: AskingDesk, place: Place
) -> None:
    caller = place(NUMBER, "2001", Calling.WAIT)
    engine.wait_for(lambda engine: bool(engine.answered_us))
    (session_id,) = engine.granted
    desk.ask(session_id)
    (seen,) = finished(caller).calls
    (settle,) = engine.wait_closed()
    assert isinstance(settle, Settle)
    assert settle.answered_us is not None
    assert (settle.detail, settle.hangup_cause) == (OPERATOR, 16)
    assert seen.talked_us == pytest.approx(settle.ended_us - settle.answered_us, abs=150_000)
    assert daemon.metrics.counts["hung_up_again"] == 0


def test_a_call_that_rings_is_ended_and_costs_nothing(
    daemon: RunningDaemon, engine: FakeEngine, desk: AskingDesk, place: Place
) -> None:
    caller = place(f"{NUMBER[:-2]}99", "2001", Calling.REJECTED, rejections=(480, 486, 487, 503, 603))
    engine.wait_for(lambda engine: bool(engine.granted))
    (session_id,) = engine.granted
    desk.ask(session_id)
    finished(caller)
    (void,) = engine.wait_closed()
    assert isinstance(void, Void)
    assert void.detail == OPERATOR
