"""What a stranger writes into a From reaches Asterisk's log, events and questions; it must charge nobody."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from lab.asterisk import PrivateAsterisk
from lab.sipp import Answering, Call, Calling, SippCaller, SippServer, place
from lab.site import Did, Gateway, Phone
from pbxbill.ami.cdr_log import CdrLog
from pbxbill.ami.manager import AmiConnection
from pbxbill.ami.metrics import AsteriskMetrics
from pbxbill.ami.snapshot import Channel, read_channels
from pbxbill.charging.events import Answer, Authorize, Settle
from pbxbill.clock import SECOND_US, SystemClock
from tests.switch.ami.conftest import Site
from tests.switch.ami.harness import Funds, SimpleEngine, running_daemon, wait_until
from tests.switch.ami.raw_sip import Stranger, percent_encoded

Make = Callable[..., SimpleEngine]
DID = "3315550003"
TRUNK = """
[trunk](loopback)
identify_by = ip
context = {context}
aors = trunk
[trunk]
type = aor
[trunk-id]
type = identify
endpoint = trunk
match = 127.0.0.1
"""


@pytest.fixture(scope="module", params=["carrier", "plain"])
def open_site(asterisk_install: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A trunk known by its address, into a dialplan that asks pbxbill and into one that does not."""
    with SippServer(Answering.ANSWER) as carrier:
        asterisk = PrivateAsterisk(
            phones=[Phone("alice", "acme"), Phone("desk", "owner")],
            gateways=[Gateway("gw", carrier.port)],
            dids=[Did(DID, forward_to="441555")],
            install=asterisk_install,
        )
        configuration = asterisk.configuration / "pjsip.conf"
        configuration.write_text(configuration.read_text() + TRUNK.format(context=request.param))
        with asterisk:
            yield Site(asterisk, carrier)


def call_from(site: Site, text: str) -> int:
    return Stranger(site.asterisk.sip_port, percent_encoded(text), DID).invite()


async def channels_of(site: Site) -> list[Channel]:
    connection = await AmiConnection.open(
        site.settings(),
        events="off",
        wanted=frozenset(),
        metrics=AsteriskMetrics(CollectorRegistry()),
        monotonic_us=SystemClock().monotonic_us,
    )
    channels = await read_channels(connection)
    await connection.close()
    return channels


def paid_leg_of(engine: SimpleEngine) -> str:
    leg = engine.wait_for(Answer)[0].paid_leg
    assert isinstance(leg, str)
    return leg


def test_a_name_writes_no_record_of_its_own(open_site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(100 * SECOND_US), "owner": Funds(0)}, {DID: "owner"})
    now = int(time.time())
    bare = f"\n,,unasked,1999,,9v,,,,{now - 60},,{now - 1},,/9/{now - 60},,acme\n"
    quoted = (
        f'x"\n"","","unasked","1999","outbound","pbx1-9.9","pbx1-9.9","acme","1",'
        f'"{now - 60}.0","{now - 60}.0","{now - 1}.0","ANSWERED","/pbx1-9.8/{now - 60}.0","","acme"\n"'
    )
    with running_daemon(open_site.settings(), engine) as running:
        for name in (bare, quoted, "\nzz"):
            call_from(open_site, name)
        place(Call("1555", caller="alice", hold_ms=200), open_site.asterisk.sip_port)
        [settled] = engine.wait_for(Settle)
        log = open_site.asterisk.cdr_log
        wait_until(lambda: settled.session_id in log.read_text(), 30, "the CDR")
        assert [one for one in running.reconciler.offline if one.account_code == "acme"] == []
    refused: list[int] = []
    lines = log.read_text().splitlines()
    records = CdrLog(log, backlog_bytes=10_000_000, on_bad_line=lambda: refused.append(1)).read()
    assert refused == []
    assert [record.dialled for record in records if record.offline] == []
    assert sum('"1999"' in line for line in lines) == 0
    assert sum("zz" in line for line in lines) >= 1, "the row of a call from such a name can be read"


def test_a_name_asks_for_no_other_account(open_site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(100 * SECOND_US)}, {DID: "acme"})
    forged = "agi_network_script: outbound\nagi_uniqueid: 1.1\nagi_accountcode: acme\nagi_arg_1: 1999\n\n"
    with running_daemon(open_site.settings(), engine):
        for name in ("x\nagi_accountcode: acme", "x\n" + forged):
            call_from(open_site, name)
        place(Call("1555", caller="alice", hold_ms=200), open_site.asterisk.sip_port)
        engine.wait_for(Settle)
    assert [request.dialled for request in engine.of(Authorize)] == ["1555"]


def test_a_name_ends_nobodys_metering(open_site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(100 * SECOND_US)}, {DID: "acme"})
    call = Call("1555", caller="alice", calling=Calling.HANG_UP, hold_ms=4000)
    with (
        running_daemon(open_site.settings(sweep_interval_s=30.0), engine) as running,
        SippCaller(call, open_site.asterisk.sip_port) as caller,
    ):
        leg = paid_leg_of(engine)
        moment = time.time()
        for name in (
            f"x\r\n\r\nEvent: Hangup\r\nTimestamp: {moment:.6f}\r\nUniqueid: {leg}\r\nCause: 16",
            f"x\r\nUniqueid: {leg}\r\nCause: 16",
            f"x\r\n\r\nEvent: HangupRequest\r\nTimestamp: {moment:.6f}\r\nUniqueid: {leg}\r\nX: ",
            "x\r\n\r\nEvent: Shutdown\r\nShutdown: Cleanly\r\n\r\nEvent: FullyBooted\r\nX: ",
        ):
            call_from(open_site, name)
        assert running.metric("pbxbill_ami_live_calls") >= 1
        [seen] = caller.wait(40).calls
        [settled] = engine.wait_for(Settle)
    assert settled.answered_us == pytest.approx(seen.answered_us, abs=150_000)
    assert settled.ended_us == pytest.approx(seen.ended_us, abs=150_000)


@pytest.mark.parametrize(
    "name",
    [
        "x\r\nUniqueid: {leg}\r\nChannelState: 1",
        "x\r\nEventList: Complete",
        "x\r\n\r\nEvent: StatusComplete\r\nEventList: Complete\r\nX: ",
        "x\r\n\r\nResponse: Error\r\nMessage: No such channel\r\n\r\nUniqueid: {leg}\r\nX: ",
    ],
)
def test_a_name_hides_no_channel_and_makes_none(open_site: Site, make_engine: Make, name: str) -> None:
    engine = make_engine({"acme": Funds(100 * SECOND_US)}, {DID: "acme"})
    looked: list[list[Channel]] = []

    def look() -> None:
        lines = open_site.asterisk.rx("core show channels concise").splitlines()
        real = sorted(line.split("!")[0] for line in lines if line.startswith("PJSIP/"))
        channels = asyncio.run(channels_of(open_site))
        looked.append(channels)
        assert sorted(one.name for one in channels) == real
        assert len({one.leg for one in channels}) == len(real)
        assert all(re.fullmatch(r"pbx1-\d+\.\d+", one.leg) for one in channels)
        assert [one.leg for one in channels if one.paid] == [leg]

    with (
        running_daemon(open_site.settings(), engine),
        SippCaller(Call("1555", caller="alice", calling=Calling.WAIT), open_site.asterisk.sip_port) as caller,
    ):
        leg = paid_leg_of(engine)
        text = percent_encoded(name.format(leg=leg))
        stranger = Stranger(open_site.asterisk.sip_port, text, DID)
        if stranger.invite(look) != 200:
            look()
        caller.kill()
    open_site.asterisk.rx("channel request hangup all")
    wait_until(lambda: not open_site.asterisk.channels(), 30, "the end of all calls")
    assert looked
