"""Ending a live call from the command line."""

import json

from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import Answer, Authorize, Direction, Granted, Settle, TopUp
from pbxbill.clock import SECOND_US, SystemClock
from pbxbill.ids import new_id
from pbxbill.store.driver import connect
from pbxbill.store.hang_ups import HangUpDesk
from tests.database_operator import open_database_operator
from tests.store.command_line import Ok, Run


def test_a_call_is_ended_by_its_session(database_url: str, ok: Ok, pbxbill: Run) -> None:
    operator, clock = open_database_operator(database_url), SystemClock()
    engine = ChargingEngine(lambda: connect(database_url), clock)
    engine.start()
    engine.execute(TopUp("funds", operator.customer_id, "EUR", 10_000_000, 0))
    session_id, now_us = new_id(), clock.now_us()
    asked = Authorize(session_id, "pbx1", "call", Direction.OUTBOUND, "0049891", "2001", now_us, "alice")
    assert isinstance(engine.execute(asked), Granted)
    engine.execute(Answer(session_id, now_us - 30 * SECOND_US, "leg"))
    (shown,) = json.loads(ok("calls", "--json"))
    assert shown["session_id"] == session_id

    def end(session: str, detail: str) -> None:
        engine.submit(Settle(session, now_us - 30 * SECOND_US, now_us, 16, detail=detail))

    desk = HangUpDesk(lambda: connect(database_url), clock, "pbx1")
    desk.serve(end, lambda _session: None)
    try:
        told = ok("hang-up", session_id, "--why", "fraud")
    finally:
        desk.stop()
        engine.stop()
    assert told.splitlines()[-1] == "hung up"
    assert "hung up by the operator" in ok("explain", session_id)
    refused = pbxbill("hang-up", session_id)
    assert refused.exit_code == 2
    assert "there is no live call" in refused.stderr
