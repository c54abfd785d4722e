"""Connections that the other side misuses: nothing waits for ever, nothing is guessed."""

import socket
import threading
from collections.abc import Callable, Iterator

import gevent
import pytest
from gevent.event import Event as Flag

from pbxbill.errors import CommandTimeout, SwitchError, SwitchGone
from pbxbill.esl.connection import EslConnection
from pbxbill.esl.wire import Event, WireError

from .fake_freeswitch import FakeFreeSwitch, event_block, frame


@pytest.fixture
def switch() -> Iterator[FakeFreeSwitch]:
    switch = FakeFreeSwitch()
    yield switch
    switch.stop()


@pytest.fixture
def connect(switch: FakeFreeSwitch) -> Iterator[Callable[..., EslConnection]]:
    made: list[EslConnection] = []

    def connect(password: str = "secret", **timeouts: float) -> EslConnection:
        timeouts = {"connect_timeout_s": 10, "command_timeout_s": 10} | timeouts
        connection = EslConnection("127.0.0.1", switch.port, password, **timeouts)
        made.append(connection)
        connection.connect()
        return connection

    yield connect
    for connection in made:
        connection.close()


def test_commands_are_answered_in_order(connect: Callable[..., EslConnection]) -> None:
    connection = connect()
    answers = connection.exchange([["api uuid_exists a"], ["api strepoch"], ["nonsense"]])
    assert [answer.reply.isdigit() for answer in answers] == [False, True, False]


def test_a_wrong_password_says_so(connect: Callable[..., EslConnection]) -> None:
    with pytest.raises(SwitchError, match="password"):
        connect("wrong")


def test_nobody_listening_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(SwitchGone, match="cannot connect"):
        EslConnection("127.0.0.1", port, "x").connect()


def test_a_switch_that_says_nothing_is_left(
    switch: FakeFreeSwitch, connect: Callable[..., EslConnection]
) -> None:
    switch.faults.silent = True
    with pytest.raises(CommandTimeout):
        connect(connect_timeout_s=0.2)


def test_the_access_list_refuses(connect: Callable[..., EslConnection]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            sock, _ = server.accept()
            sock.sendall(frame({"Content-Type": "text/rude-rejection"}, b"Access Denied, go away.\n"))
            sock.close()

        threading.Thread(target=refuse, daemon=True).start()
        with pytest.raises(SwitchGone, match="access list"):
            EslConnection("127.0.0.1", server.getsockname()[1], "x").connect()


def test_a_command_without_an_answer_closes_the_connection(
    switch: FakeFreeSwitch, connect: Callable[..., EslConnection]
) -> None:
    switch.faults.mute_commands = ("api uuid_exists",)
    connection = connect(command_timeout_s=0.2)
    with pytest.raises(CommandTimeout):
        connection.api("uuid_exists a")
    with pytest.raises(SwitchGone):
        connection.api("strepoch")


def test_who_waits_is_told_when_the_connection_is_lost(
    switch: FakeFreeSwitch, connect: Callable[..., EslConnection]
) -> None:
    switch.faults.mute_commands = ("api uuid_exists",)
    connection = connect(command_timeout_s=30)
    waiting = gevent.spawn(connection.api, "uuid_exists a")
    gevent.sleep(0.05)
    switch.cut_links()
    assert connection.closed.wait(30)
    with pytest.raises(SwitchGone):
        waiting.get(timeout=5)


@pytest.mark.parametrize("command", ["uuid_exists a\n\napi system id", "uuid_exists a\r\nb"])
def test_a_command_cannot_carry_a_second_one(
    switch: FakeFreeSwitch, connect: Callable[..., EslConnection], command: str
) -> None:
    connection = connect()
    with pytest.raises(WireError):
        connection.api(command)
    assert connection.api("strepoch").isdigit()
    assert not [heard for heard in switch.commands if "system" in heard]


def test_an_argument_cannot_carry_a_header(connect: Callable[..., EslConnection]) -> None:
    with pytest.raises(WireError):
        connect().execute("set", "a=b\nexecute-app-name: system")


def test_an_idle_connection_that_died_is_noticed(
    switch: FakeFreeSwitch, connect: Callable[..., EslConnection]
) -> None:
    connection = connect(command_timeout_s=0.2)
    switch.faults.mute_commands = ("api strepoch",)
    connection.keep_alive(0.1)
    assert connection.closed.wait(30)


def test_events_come_in_order_and_a_failing_handler_loses_one_only(
    switch: FakeFreeSwitch, connect: Callable[..., EslConnection]
) -> None:
    seen: list[str] = []
    done = Flag()

    def handle(event: Event) -> None:
        number = event.headers.get("Number")
        if number == "3":
            raise ValueError("a bug")
        seen.append(number)
        if number == "9":
            done.set()

    connection = connect()
    connection.subscribe(handle, ["CHANNEL_ANSWER"], 100)
    for number in range(10):
        block = event_block({"Event-Name": "CHANNEL_ANSWER", "Number": str(number)})
        switch.emit_raw("CHANNEL_ANSWER", frame({"Content-Type": "text/event-plain"}, block))
    assert done.wait(30)
    assert seen == [str(number) for number in range(10) if number != 3]
    assert connection.bad_events == 1


def test_a_full_queue_first_holds_the_switch_back_then_closes(
    switch: FakeFreeSwitch, connect: Callable[..., EslConnection]
) -> None:
    never = Flag()
    connection = connect()
    connection.stall_timeout_s = 0.2
    connection.subscribe(lambda _event: never.wait(), ["CHANNEL_ANSWER"], 5)
    block = event_block({"Event-Name": "CHANNEL_ANSWER"})
    switch.emit_raw("CHANNEL_ANSWER", frame({"Content-Type": "text/event-plain"}, block) * 50)
    assert connection.closed.wait(30)
    assert connection.close_reason == "events are not taken off the queue"
    never.set()


def test_a_reply_that_nobody_asked_for_closes_the_connection(
    switch: FakeFreeSwitch, connect: Callable[..., EslConnection]
) -> None:
    connection = connect()
    connection.subscribe(lambda _event: None, ["CHANNEL_ANSWER"], 5)
    switch.emit_raw("CHANNEL_ANSWER", frame({"Content-Type": "api/response"}, b"+OK\n"))
    assert connection.closed.wait(30)


def test_closing_twice_and_from_a_handler_is_harmless(
    switch: FakeFreeSwitch, connect: Callable[..., EslConnection]
) -> None:
    connection = connect()
    connection.subscribe(lambda _event: connection.close("enough"), ["CHANNEL_ANSWER"], 5)
    switch.emit_raw(
        "CHANNEL_ANSWER",
        frame({"Content-Type": "text/event-plain"}, event_block({"Event-Name": "CHANNEL_ANSWER"})),
    )
    assert connection.closed.wait(30)
    connection.close("again")
    assert connection.close_reason == "enough"
