"""Hanging up on request, on real parts: SIPp, Asterisk, the daemon, the engine and what is written of it."""

import time
from contextlib import ExitStack

import pytest

from lab.sipp import Call, Calling, SippCaller
from pbxbill.listing.hang_ups import HangUp, hang_ups_of
from pbxbill.store.engine import transaction
from pbxbill.store.hang_ups import HangUpReason, HangUpState, ask_hang_up
from pbxbill.store.models import CdrRow
from tests.switch.ami.harness import wait_until
from tests.switch.ami.test_real_engine import SECOND_PRICE, TALK, Office, office

__all__ = ["office"]

OPEN = "SELECT session_id FROM reservations WHERE state IN ('reserved', 'answered')"
ANSWERED = "SELECT session_id FROM reservations WHERE state = 'answered'"
RINGING = Call("493080", caller="ann", calling=Calling.REJECTED, rejections=(480, 486, 487, 503, 603))


def ask(office: Office, session_id: str) -> None:
    """As the panel would, from another process."""
    with transaction(office.application.database) as session:
        asked = ask_hang_up(
            session,
            session_id,
            by="support",
            reason=HangUpReason.OPERATOR,
            now_us=office.application.clock.now_us(),
        )
        assert asked is not None


def last(office: Office, session_id: str) -> HangUp:
    with transaction(office.application.database) as session:
        return hang_ups_of(session, [session_id], office.application.clock.now_us())[session_id]


def wait_answered(office: Office, session_id: str, state: HangUpState) -> None:
    wait_until(lambda: last(office, session_id).state is not HangUpState.ASKED, 30, "an answer")
    assert last(office, session_id).state is state


def test_a_call_ends_within_a_second_and_is_charged_until_then(office: Office) -> None:
    with office.working() as charging:
        office.top_up(charging, "funds", 1000 * SECOND_PRICE)
        with SippCaller(TALK, office.site.asterisk.sip_port) as caller:
            wait_until(lambda: office.select(ANSWERED), 30, "the answer")
            [(session_id,)] = office.select(ANSWERED)
            asked_s = time.monotonic()
            ask(office, session_id)
            result = caller.wait(30)
            assert time.monotonic() - asked_s < 5  # SIPp itself takes a while to end
        [(duration_us, evidence, total)] = office.wait_settled(1)
        wait_answered(office, session_id, HangUpState.DONE)
    assert result.calls[0].talked_us == pytest.approx(duration_us, abs=200_000)
    assert total == -(-duration_us // 1_000_000) * SECOND_PRICE
    with transaction(office.application.database) as session:
        record = session.get_one(CdrRow, session_id)
        assert (record.detail, record.hangup_cause, evidence) == ("hung up by the operator", 16, "event")


def test_a_call_that_rings_ends_and_costs_nothing(office: Office) -> None:
    with office.working() as charging:
        office.top_up(charging, "funds", 1000 * SECOND_PRICE)
        with SippCaller(RINGING, office.site.asterisk.sip_port) as caller:
            wait_until(lambda: office.select(OPEN), 30, "the grant")
            [(session_id,)] = office.select(OPEN)
            ask(office, session_id)
            caller.wait(30)
        wait_answered(office, session_id, HangUpState.DONE)
    with transaction(office.application.database) as session:
        record = session.get_one(CdrRow, session_id)
        assert (record.answered_us, record.detail) == (None, "hung up by the operator")


def test_what_is_asked_while_the_daemon_is_away_is_done_by_the_next_one(office: Office) -> None:
    with ExitStack() as calling:
        with office.working() as charging:
            office.top_up(charging, "funds", 1000 * SECOND_PRICE)
            caller = calling.enter_context(SippCaller(TALK, office.site.asterisk.sip_port))
            wait_until(lambda: office.select(ANSWERED), 30, "the answer")
            [(session_id,)] = office.select(ANSWERED)
        ask(office, session_id)
        with office.working():
            caller.wait(30)
            office.wait_settled(1)
            wait_answered(office, session_id, HangUpState.DONE)
