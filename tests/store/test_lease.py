"""One daemon steers a switch; a second is refused, and a dead one's switch can be taken at once."""

import os
import subprocess
import sys
import threading

import pytest

from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import Adjust, Authorize, Direction, Granted, Moved, Refused, TopUp
from pbxbill.clock import SECOND_US, ManualClock, SystemClock
from pbxbill.errors import AlreadyRunning
from pbxbill.ids import new_id
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.lease import STALE_US, SwitchLease
from pbxbill.store.switch_models import DaemonLeaseRow
from tests.database_operator import open_database_operator

HOLDER = """
import sys, time
from pbxbill.clock import SystemClock
from pbxbill.ids import new_id
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine
from pbxbill.store.lease import SwitchLease
SwitchLease(open_engine(sys.argv[1]), "pbx1", SystemClock()).acquire()
print("held", flush=True)
time.sleep(60)
"""


def test_the_second_daemon_is_refused_until_the_first_is_killed(database_url: str) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, database_url], stdout=subprocess.PIPE, text=True)
    engine = open_engine(database_url)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        second = SwitchLease(engine, "pbx1", ManualClock(_renewed_us(database_url)))
        with pytest.raises(AlreadyRunning, match=f":{holder.pid}:"):
            second.acquire()
        SwitchLease(engine, "pbx2", ManualClock()).acquire()  # another switch is free
    finally:
        holder.kill()
        holder.wait(30)
        if holder.stdout is not None:
            holder.stdout.close()
    second.acquire()
    second.release()
    engine.dispose()


def test_a_lease_of_another_machine_is_taken_when_it_is_stale(database_url: str) -> None:
    engine = open_engine(database_url)
    clock = ManualClock()
    with transaction(engine) as session:
        row = DaemonLeaseRow(switch="pbx1", holder="elsewhere:1:1", renewed_us=clock.now_us())
        session.add(row)
    lease = SwitchLease(engine, "pbx1", clock)
    with pytest.raises(AlreadyRunning, match="elsewhere"):
        lease.acquire()
    clock.advance(STALE_US + SECOND_US)
    lease.acquire()
    engine.dispose()


def test_who_lost_the_lease_is_told(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pbxbill.store.lease.RENEW_S", 0.05)
    engine = open_engine(database_url)
    lease = SwitchLease(engine, "pbx1", ManualClock())
    lease.acquire()
    lost = threading.Event()
    lease.keep(lost.set)
    with transaction(engine) as session:
        row = session.get(DaemonLeaseRow, "pbx1")
        assert row is not None
        assert f":{os.getpid()}:" in row.holder
        row.holder = "elsewhere:1:1"
    assert lost.wait(30)
    lease.release()
    with transaction(engine) as session:
        assert session.get(DaemonLeaseRow, "pbx1") is not None, "what another holds is not released"
    engine.dispose()


def _renewed_us(url: str) -> int:
    engine = open_engine(url)
    with transaction(engine) as session:
        row = session.get(DaemonLeaseRow, "pbx1")
        assert row is not None
        renewed_us = row.renewed_us
    engine.dispose()
    return renewed_us


def test_live_calls_are_shortened_only_while_a_daemon_steers_their_switch(database_url: str) -> None:
    operator = open_database_operator(database_url)
    clock = SystemClock()
    charging = ChargingEngine(lambda: connect(database_url), clock)
    charging.start()
    charging.execute(TopUp("funds", operator.customer_id, "EUR", 720_000, clock.now_us()))  # one minute
    request = Authorize(
        new_id(), "pbx1", "call", Direction.OUTBOUND, "4930123456", "", clock.now_us(), "alice"
    )
    granted = charging.execute(request)
    assert isinstance(granted, Granted)
    assert granted.granted_us == 60 * SECOND_US
    back = Adjust("back", operator.customer_id, "EUR", -360_000, clock.now_us())
    assert isinstance(charging.execute(back), Refused)
    engine = open_engine(database_url)
    lease = SwitchLease(engine, "pbx1", clock)
    lease.acquire()
    moved = charging.execute(back)
    assert isinstance(moved, Moved)
    assert moved.shortened == (request.session_id,)
    lease.release()
    engine.dispose()
    charging.stop()
