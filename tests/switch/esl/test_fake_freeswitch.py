"""The fake against the recordings: where both know a command, they answer the same bytes."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pbxbill.esl.wire import Framer

from .conftest import RECORDINGS
from .fake_freeswitch import Channel, FakeFreeSwitch, event_block

KNOWN = ("uuid_exists", "uuid_kill", "uuid_dump", "uuid_getvar", "sched_hangup", "sched_del", "nosuchcommand")


def dialogue(name: str) -> list[tuple[str, str]]:
    """Each api command of a recording with its answer."""
    sent = (RECORDINGS / f"{name}.sent").read_text().split("\n\n")
    framer = Framer()
    replies = iter(
        message
        for message in framer.feed((RECORDINGS / f"{name}.recv").read_bytes())
        if message.content_type in ("command/reply", "api/response")
    )
    commands = (command for command in sent if command.strip())
    return [(command, message.reply) for command, message in zip(commands, replies, strict=False)]


@pytest.fixture
def switch() -> FakeFreeSwitch:
    fake = FakeFreeSwitch()
    fake.stop()  # only its api is asked
    return fake


def test_it_answers_for_dead_channels_as_recorded(switch: FakeFreeSwitch) -> None:
    compared = 0
    for command, reply in dialogue("06_basic_commands"):
        name = command.removeprefix("api ").split(" ")[0]
        is_plain = command.startswith("api ") and not command.endswith((" json", " xml"))
        if is_plain and name in KNOWN and " x" not in command.replace(" x y", ""):
            assert switch.api(command.removeprefix("api ")) == reply, command
            compared += 1
    assert compared >= 5


def test_it_answers_for_a_live_channel_as_recorded(switch: FakeFreeSwitch) -> None:
    target = "24d9d7f1-ccac-4f49-a939-c570ea0b6824"
    switch.channels[target] = Channel("inbound", "9300", "1001", uuid=target)
    recorded = dict(reversed(dialogue("09_api_on_live_call")))  # the first answer: later the channel is gone
    for command in (f"uuid_exists {target}", f"uuid_getvar {target} nosuchvar"):
        assert switch.api(command) == recorded[f"api {command}"]
    assert re.fullmatch(
        r"\+OK[^\n]*\n", recorded[f"api uuid_setvar_multi {target} lab_a=1;lab_b=two words;lab_c=x=y"]
    )
    assert switch.api(f"uuid_setvar_multi {target} lab_a=1;lab_b=two words;lab_c=x=y") == "+OK\n"
    for name, value in (("lab_b", "two words"), ("lab_c", "x=y")):
        assert (
            switch.api(f"uuid_getvar {target} {name}")
            == value
            == recorded[f"api uuid_getvar {target} {name}"]
        )


def test_its_events_have_the_headers_of_recorded_ones(recording: Callable[[str], bytes]) -> None:
    ours = Channel("outbound", "33", "100", {"answer_uepoch": "1", "end_uepoch": "2"}, other="x")
    names = set(ours.headers("CHANNEL_HANGUP_COMPLETE", "core"))
    (recorded, *_) = (
        message.event()
        for message in Framer().feed(recording("01_plain"))
        if message.content_type == "text/event-plain"
        and b"Event-Name: CHANNEL_HANGUP_COMPLETE" in message.body
    )
    assert names <= set(recorded.headers)


def test_it_encodes_values_as_recorded(recording: Callable[[str], bytes]) -> None:
    assert b"variable_effective_caller_id_name: Ext%201001,%20%C3%A9%20%26%20co\n" in recording("10a")
    block = event_block({"variable_effective_caller_id_name": "Ext 1001, é & co"})
    assert block == b"variable_effective_caller_id_name: Ext%201001,%20%C3%A9%20%26%20co\n\n"


def test_recordings_are_there() -> None:
    assert len(list(Path(RECORDINGS).glob("*.recv"))) >= 10
