"""Post-dial delay on a real FreeSWITCH; collected where FREESWITCH_BIN names one, see conftest.py."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lab.freeswitch import PrivateFreeSwitch
from lab.process import wait_until
from lab.sipp import Answering, Calling, SippServer
from lab.site import Gateway, Phone
from pbxbill.charging.events import Announcement, Answer, Settle, Void
from pbxbill.clock import SystemClock
from pbxbill.esl.cdr_log import CdrLog

from .fake_engine import FakeAccount, FakeEngine
from .harness import RunningDaemon
from .real_switch import Place, finished

NUMBER, EARLY, BUSY = "33155512345", "33155512388", "33155512399"
SILENT_MS, RING_MS = 800, 600
NEAR_US = 250_000
"""How far FreeSWITCH's moments may lie from SIPp's on a busy machine."""


@pytest.fixture(scope="module")
def freeswitch() -> Iterator[PrivateFreeSwitch]:
    """A carrier that rings late, one that sends media late, and one that rings late and refuses."""
    late = (SILENT_MS, RING_MS)
    with ExitStack() as stack:
        carrier = stack.enter_context(SippServer(Answering.ANSWER, rings_ms=late))
        early = stack.enter_context(SippServer(Answering.EARLY_MEDIA, rings_ms=late))
        busy = stack.enter_context(SippServer(Answering.REJECT, rings_ms=late, status=486))
        yield stack.enter_context(
            PrivateFreeSwitch(
                phones=[Phone(name, name, f"pw{name}") for name in ("2001", "2002")],
                gateways=[
                    Gateway("carrier", carrier.port),
                    Gateway("early", early.port, "88"),
                    Gateway("busy", busy.port, "99"),
                ],
                name="fs1",
            )
        )


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    told = Announcement(balance=True, minutes=True)
    engine = FakeEngine({"2001": FakeAccount(3600), "2002": FakeAccount(3600, announcement=told)})
    yield engine
    engine.stop()


@pytest.mark.parametrize(
    "number, phone",
    [(NUMBER, "2001"), (NUMBER, "2002"), (EARLY, "2001")],
    ids=["rings", "rings after an announcement", "early media"],
)
def test_it_is_the_time_until_the_carrier_is_heard(
    daemon: RunningDaemon,
    engine: FakeEngine,
    freeswitch: PrivateFreeSwitch,
    place: Place,
    number: str,
    phone: str,
) -> None:
    finished(place(number, phone, hold_ms=300))
    (settle,) = engine.wait_closed()
    (answer,) = engine.of_type(Answer)
    assert isinstance(settle, Settle)
    assert answer.ringing_us == settle.ringing_us == pytest.approx(SILENT_MS * 1000, abs=NEAR_US)
    log = CdrLog(str(freeswitch.cdr_log), SystemClock())

    def told() -> list[int | None]:
        return [x.ringing_us for x in log.read(0).records if x.session_id == settle.session_id and x.paid_leg]

    wait_until(told, 10, "the record of the paid leg")
    assert told() == [settle.ringing_us]


def test_a_call_that_is_refused_has_it_too(daemon: RunningDaemon, engine: FakeEngine, place: Place) -> None:
    finished(place(BUSY, "2001", Calling.REJECTED, rejections=(486,)))
    (void,) = engine.wait_closed()
    assert isinstance(void, Void)
    assert void.ringing_us == pytest.approx(SILENT_MS * 1000, abs=NEAR_US)


def test_a_call_that_is_given_up_has_it_too(daemon: RunningDaemon, engine: FakeEngine, place: Place) -> None:
    finished(place(NUMBER, "2001", Calling.CANCEL, hold_ms=300))
    (void,) = engine.wait_closed()
    assert isinstance(void, Void)
    assert void.ringing_us == pytest.approx(SILENT_MS * 1000, abs=NEAR_US)
