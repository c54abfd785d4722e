"""What the dialplan is told to play to a caller who is denied, from the FastAGI question to its variables."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from pbxbill.ami.announce import Voice
from pbxbill.ami.authorize import Authorizer
from pbxbill.ami.calls import CallBook
from pbxbill.ami.fastagi import AgiServer
from pbxbill.ami.metrics import AsteriskMetrics
from pbxbill.ami.settings import AsteriskSettings
from pbxbill.charging.events import Announcement
from pbxbill.clock import SystemClock
from tests.switch.ami.harness import Funds, SimpleEngine

NOT_ENOUGH_CREDIT = "pbxbill/not_enough_credit"
SERVICE_DENIED = "pbxbill/service_denied"


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """A recording of the operator's own for each prompt, so that each can be told from the others."""
    for name in (NOT_ENOUGH_CREDIT, SERVICE_DENIED):
        path = tmp_path / "en" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def ask(engine: SimpleEngine, sounds: Path, *, script: str = "outbound", number: str = "1555") -> str:
    """The command that a question of the account acme, or for a DID, is answered with."""
    request = {
        "agi_network_script": script,
        "agi_uniqueid": "pbx1-1795290246.115",
        "agi_channel": "PJSIP/alice-00000031",
        "agi_callerid": "2001",
        "agi_accountcode": "acme",
        "agi_arg_1": number,
    }

    async def main() -> str:
        metrics = AsteriskMetrics(CollectorRegistry())
        settings = AsteriskSettings(name="pbx1", authorize_timeout_s=10)
        authorizer = Authorizer(settings, engine, CallBook(), Voice(sounds), SystemClock(), metrics)
        server = AgiServer(authorizer.answer, connections=10, read_timeout_s=10)
        await server.start("127.0.0.1", 0)
        assert server._server is not None
        port = server._server.sockets[0].getsockname()[1]
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write("".join(f"{name}: {value}\n" for name, value in request.items()).encode() + b"\n")
            command = (await reader.readline()).decode()
            writer.write(b"200 result=1\n")
            assert await reader.read() == b""
            writer.close()
            await server.stop()
        return command

    try:
        return asyncio.run(main())
    finally:
        engine.pool.shutdown()


def said(command: str) -> str:
    """PBXBILL_SAY of an MSet; "" when it sets none."""
    assert "PBXBILL_VERDICT=deny" in command
    pairs = dict(pair.split("=", 1) for pair in command.split('"')[1].split(","))
    return pairs.get("PBXBILL_SAY", "")


def test_a_denied_caller_hears_why(sounds: Path) -> None:
    assert said(ask(SimpleEngine({"acme": Funds(0)}), sounds)) == NOT_ENOUGH_CREDIT


def test_an_account_that_is_to_hear_nothing_is_denied_without_a_prompt(sounds: Path) -> None:
    engine = SimpleEngine({"acme": Funds(0, announcement=Announcement(denial=False))})
    command = ask(engine, sounds)
    assert said(command) == ""
    assert "PBXBILL_SAY" not in command
    assert "PBXBILL_CAUSE=21" in command


def test_an_unknown_account_hears_that_it_is_denied(sounds: Path) -> None:
    assert said(ask(SimpleEngine({}), sounds)) == SERVICE_DENIED


@pytest.mark.parametrize("spoken", [True, False])
def test_a_caller_from_outside_does_not_hear_what_the_owner_lacks(sounds: Path, spoken: bool) -> None:
    owner = Funds(0, announcement=Announcement(denial=spoken))
    engine = SimpleEngine({"owner": owner}, dids={"4930123": "owner"})
    command = ask(engine, sounds, script="inbound", number="4930123")
    assert said(command) == (SERVICE_DENIED if spoken else "")
