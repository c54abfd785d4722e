"""Calls that somebody wants to end, on a switch that behaves as recorded: ended, charged, or refused."""

import pytest

from pbxbill.charging.events import Settle, Void
from pbxbill.charging.hanging_up import NOT_CONNECTED, WATCHED
from tests.switch.asking_desk import OPERATOR, AskingDesk

from .fake_call import FakeCall
from .fake_freeswitch import Channel
from .harness import Site


@pytest.fixture
def desk(site: Site) -> AskingDesk:
    site.hang_ups = found = AskingDesk()
    return found


def talking(site: Site) -> tuple[FakeCall, Channel, str]:
    call = FakeCall.place(site.switch, "33155512345", "2001")
    assert call.ask() == "allow"
    paid = call.connect()
    site.engine.wait_for(lambda engine: bool(engine.answered_us))
    (session_id,) = site.engine.granted
    return call, paid, session_id


def ended(site: Site) -> Settle | Void:
    (closed,) = site.engine.wait_closed()
    assert isinstance(closed, Settle | Void)
    return closed


def test_a_call_is_ended_charged_to_its_end_and_its_record_says_why(site: Site, desk: AskingDesk) -> None:
    site.start()
    _, paid, session_id = talking(site)
    desk.ask(session_id)
    desk.ask(session_id)  # nobody minds
    settle = ended(site)
    assert isinstance(settle, Settle)
    assert (settle.detail, settle.hangup_cause) == (OPERATOR, 16)
    assert settle.ended_us == paid.ended_us
    assert paid.variables["hangup_cause"] == "NORMAL_CLEARING"
    assert site.metrics.counts["hung_up"] == 1
    assert site.metrics.counts["hung_up_again"] == 0


def test_a_call_that_rings_is_ended_for_nothing(site: Site, desk: AskingDesk) -> None:
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    site.engine.wait_for(lambda engine: bool(engine.granted))
    (session_id,) = site.engine.granted
    desk.ask(session_id)
    void = ended(site)
    assert isinstance(void, Void)
    assert void.detail == OPERATOR


def test_a_switch_that_is_deaf_is_asked_again(site: Site, desk: AskingDesk) -> None:
    site.switch.faults.deaf_to_kill = 2
    site.start()
    _, _, session_id = talking(site)
    desk.ask(session_id)
    settle = ended(site)
    assert settle.detail == OPERATOR
    assert site.metrics.counts["hung_up_again"] >= 1


def test_a_call_that_nobody_wants_to_end_any_more_goes_on(site: Site, desk: AskingDesk) -> None:
    site.switch.faults.deaf_to_kill = 1
    site.start()
    call, _, session_id = talking(site)
    desk.ask(session_id)
    site.metrics.wait_for(lambda metrics: metrics.counts["hung_up"] == 1)
    desk.give_up(session_id)
    call.hang_up()
    settle = ended(site)
    assert settle.detail == ""
    assert site.metrics.counts["hung_up_again"] == 0


def test_without_the_switch_it_is_refused_at_once(site: Site, desk: AskingDesk) -> None:
    site.start()
    _, _, session_id = talking(site)
    site.switch.stop()
    site.metrics.wait_for(lambda metrics: not metrics.up)
    desk.ask(session_id)
    assert desk.wait_refused(session_id) == NOT_CONNECTED


def test_a_call_in_shadow_is_left_alone(site: Site, desk: AskingDesk) -> None:
    site.switch.faults.answer_loses_timer = True  # it has none in shadow
    site.start(shadow=True)
    call, _, session_id = talking(site)
    desk.ask(session_id)
    assert desk.wait_refused(session_id) == WATCHED
    call.hang_up()
    settle = ended(site)
    assert settle.detail == ""
    assert site.metrics.counts["hung_up"] == 0


def test_a_call_that_is_not_known_is_nobodys_trouble(site: Site, desk: AskingDesk) -> None:
    site.start()
    call, _, _ = talking(site)
    desk.ask("0" * 32)
    call.hang_up()
    settle = ended(site)
    assert settle.detail == ""
    assert desk.refused == {}
