"""What administrators' dialplans do around our subroutine, on a real Asterisk."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.asterisk import DIALPLAN, PrivateAsterisk
from lab.ports import free_port
from lab.sipp import Answering, Call, Calling, SippCaller, SippServer, place
from lab.site import Gateway, Phone
from pbxbill.charging.events import Authorize, Settle
from tests.switch.ami.conftest import Site
from tests.switch.ami.harness import Funds, SimpleEngine, running_daemon, wait_until

Make = Callable[..., SimpleEngine]

EXTENSIONS = """
[globals]
PBXBILL_AGI = agi://127.0.0.1:@AGI_PORT@
[phones]
exten => 1,1,Gosub(pbxbill,outbound,1(1555))
 same => n,Dial(PJSIP/1555@hangup,60,g${PBXBILL_DIAL_OPTIONS})
 same => n,Dial(PJSIP/1556@gw,60,g${PBXBILL_DIAL_OPTIONS})
 same => n,Hangup()
exten => 2,1,Gosub(pbxbill,outbound,1(1555))
 same => n,Dial(PJSIP/1555@gw,60,${PBXBILL_DIAL_OPTIONS})
exten => 3,1,Wait(100)
exten => 4,1,Answer()
 same => n,Wait(1)
 same => n,Goto(2,1)
exten => 5,1,Gosub(pbxbill,outbound,1(1555))
 same => n,Dial(Local/50@phones,60,${PBXBILL_DIAL_OPTIONS})
exten => 50,1,Dial(PJSIP/1555@gw,60,${PBXBILL_DIAL_OPTIONS})
exten => 6,1,Gosub(pbxbill,outbound,1(1555))
 same => n,Dial(PJSIP/1555@gw&PJSIP/1556@gw,60,${PBXBILL_DIAL_OPTIONS})
exten => 7,1,Gosub(pbxbill,outbound,1(1555))
 same => n,Dial(PJSIP/1555@refuse,60,${PBXBILL_DIAL_OPTIONS})
 same => n,Dial(PJSIP/1555@gw,60,${PBXBILL_DIAL_OPTIONS})
exten => 8,1,Gosub(pbxbill,outbound,1(1555))
 same => n,Dial(PJSIP/1555@gw,60)
exten => _9.,1,Gosub(pbxbill,outbound,1(${EXTEN}))
 same => n,Dial(PJSIP/${PBXBILL_NUMBER}@gw,60,${PBXBILL_DIAL_OPTIONS})
#include "@DIALPLAN@/extensions_pbxbill.conf"
"""


@pytest.fixture(scope="module")
def site(asterisk_install: Path) -> Iterator[Site]:
    """An Asterisk whose administrator wrote EXTENSIONS."""
    agi_port = free_port()
    text = EXTENSIONS.replace("@AGI_PORT@", str(agi_port)).replace("@DIALPLAN@", str(DIALPLAN))
    with (
        SippServer() as carrier,
        SippServer(Answering.ANSWER_HANG_UP, hold_ms=400) as hangup,
        SippServer(Answering.REJECT, status=503) as refuse,
        PrivateAsterisk(
            phones=[Phone("alice", "acme")],
            gateways=[
                Gateway("gw", carrier.port),
                Gateway("hangup", hangup.port),
                Gateway("refuse", refuse.port),
            ],
            install=asterisk_install,
            agi_port=agi_port,
            files={"extensions.conf": text},
        ) as asterisk,
    ):
        yield Site(asterisk, carrier)


@pytest.mark.parametrize(
    "number",
    ["2", "4", "5", "6", "7", "8"],
    ids=["plain", "answered before", "through Local", "forked", "second carrier", "without our option"],
)
def test_the_call_ends_with_the_money(site: Site, make_engine: Make, number: str) -> None:
    engine = make_engine({"acme": Funds(1_500_000)})
    with running_daemon(site.settings(), engine) as running:
        place(Call(number, caller="alice", calling=Calling.WAIT), site.asterisk.sip_port)
        [settled] = engine.wait_for(Settle)
        wait_until(lambda: running.metric("pbxbill_ami_live_calls") == 0, 30, "the call to be forgotten")
    assert settled.ended_us - settled.answered_us == pytest.approx(1_500_000, abs=300_000)
    assert len(engine.of(Authorize)) == 1


def test_a_grant_is_not_used_twice(site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(10_000_000)})
    with running_daemon(site.settings(), engine):
        result = place(Call("1", caller="alice", calling=Calling.WAIT), site.asterisk.sip_port)
        [settled] = engine.wait_for(Settle)
    assert settled.ended_us - settled.answered_us == pytest.approx(400_000, abs=300_000)
    assert result.calls[0].talked_us == pytest.approx(600_000, abs=500_000)


def test_a_grant_is_not_used_twice_when_the_daemon_is_dead(site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(10_000_000)})
    call = Call("1", caller="alice", calling=Calling.WAIT)
    with (
        running_daemon(site.settings(), engine) as running,
        SippCaller(call, site.asterisk.sip_port) as caller,
    ):
        engine.wait_for(Authorize)
        running.stop()
        result = caller.wait(40)
    assert result.calls[0].talked_us == pytest.approx(600_000, abs=500_000)


def test_a_blind_transfer_by_the_manager_leaves_the_deadline(site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(2_000_000)})
    call = Call("2", caller="alice", calling=Calling.WAIT)
    with running_daemon(site.settings(), engine), SippCaller(call, site.asterisk.sip_port) as caller:
        wait_until(lambda: any(seen.answered_us for seen in caller.calls()), 30, "the answer")
        [channel] = [name for name in site.asterisk.channels() if "alice" in name]
        transfer(site, channel)
        wait_until(lambda: len(site.asterisk.channels()) == 1, 30, "the caller's end")
        [settled] = engine.wait_for(Settle)
    assert settled.ended_us - settled.answered_us == pytest.approx(2_000_000, abs=300_000)


def transfer(site: Site, channel: str) -> None:
    login = f"Action: Login\r\nUsername: {site.asterisk.ami_user}\r\nSecret: {site.asterisk.ami_secret}\r\n"
    order = f"Action: BlindTransfer\r\nChannel: {channel}\r\nContext: phones\r\nExten: 3\r\n\r\n"
    with socket.create_connection(("127.0.0.1", site.asterisk.ami_port), timeout=5) as connection:
        connection.sendall((login + "Events: off\r\n\r\n" + order).encode())
        answer = b""
        while b"Transfer succeeded" not in answer:
            data = connection.recv(4096)
            assert data, answer
            answer += data


@pytest.mark.parametrize(
    "hostile",
    [
        "9155%2C60%2Cg)%26PJSIP%2F1666",  # 9155,60,g)&PJSIP/1666
        "9155%26PJSIP%2F1666@gw",
        "9155%40gw",
        "9155%7C1666",
        "9155;x=y",
        "9155%3B1666",
        "9155)%26(1666",
        "9155%22%261666",
        "9155$%7BEXTEN%7D",
        "9155%0d%0a1666",
    ],
)
def test_what_is_dialled_is_what_was_asked_about(site: Site, make_engine: Make, hostile: str) -> None:
    engine = make_engine({"acme": Funds(100_000_000)})
    before = len(site.carrier.calls())
    with running_daemon(site.settings(), engine):
        place(Call(hostile, caller="alice", hold_ms=200), site.asterisk.sip_port, timeout_s=10)
        wait_until(lambda: not site.asterisk.channels(), 30, "the call's end")
        asked = [request.dialled for request in engine.of(Authorize)]
    assert all(number.isalnum() for number in asked)
    # One question, one INVITE at most, to the number of the question.
    assert [seen.number for seen in site.carrier.calls()[before:]] in ([], asked)
    assert len(asked) <= 1
