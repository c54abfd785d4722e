"""The guards around panoramisk, against a manager that misbehaves."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import CollectorRegistry

from pbxbill.ami.manager import AmiConnection
from pbxbill.ami.metrics import AsteriskMetrics
from pbxbill.ami.settings import AsteriskSettings
from pbxbill.ami.switch_link import SwitchLink
from pbxbill.ami.wire import AmiMessage
from pbxbill.clock import SystemClock
from pbxbill.errors import CommandTimeout, ConfigurationError, InputRefused, SwitchGone
from tests.switch.ami.fake_ami import BANNER, FakeAmi, FakeSession, Script, log_in

CLOCK = SystemClock()


def settings(port: int, **changes: float) -> AsteriskSettings:
    waits = {
        "action_timeout_s": 0.3,
        "ping_interval_s": 0.05,
        "ping_timeout_s": 0.2,
        "connect_timeout_s": 1.0,
        "reconnect_first_s": 0.02,
        "reconnect_most_s": 0.1,
    }
    return AsteriskSettings("pbx1", port=port, secret="s3cret", **(waits | changes))  # type: ignore[arg-type]


async def connect(
    fake: FakeAmi, on_event: Callable[[AmiMessage], None] | None = None, **changes: float
) -> AmiConnection:
    return await AmiConnection.open(
        settings(fake.port, **changes),
        events="call",
        wanted=frozenset({b"Hangup"}),
        metrics=AsteriskMetrics(CollectorRegistry()),
        monotonic_us=CLOCK.monotonic_us,
        on_event=on_event,
    )


def run(script: Script, test: Callable[[FakeAmi], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(30), FakeAmi(script) as fake:
            await test(fake)

    asyncio.run(main())


async def obey(session: FakeSession) -> None:
    await log_in(session)
    while True:
        session.accept(await session.read_action(), Ping="Pong", Timestamp="1795290163.500000")


def test_an_action_is_answered_and_the_switchs_clock_known() -> None:
    async def test(fake: FakeAmi) -> None:
        connection = await connect(fake)
        reply = await connection.action("AbsoluteTimeout", {"Channel": "1.1", "Timeout": "3"})
        assert reply.success
        assert connection.switch_minus_monotonic_us is not None
        await connection.close()

    run(obey, test)


def test_a_bad_secret_says_what_to_change_and_never_shows_it() -> None:
    async def script(session: FakeSession) -> None:
        session.writer.write(BANNER)
        action = await session.read_action()
        session.send(Response="Error", ActionID=action["actionid"], Message="Authentication failed")

    async def test(fake: FakeAmi) -> None:
        with pytest.raises(ConfigurationError, match="secret and permit") as refused:
            await connect(fake)
        assert "s3cret" not in str(refused.value)
        assert "s3cret" not in repr(settings(1))
        link = link_to(fake)
        with pytest.raises(ConfigurationError):
            await link.run()
        assert fake.connections == 2, "it is not tried again and again"

    run(script, test)


def test_an_action_without_an_answer_gives_the_connection_up() -> None:
    async def script(session: FakeSession) -> None:
        await log_in(session)
        await session.reader.read()

    async def test(fake: FakeAmi) -> None:
        connection = await connect(fake, ping_interval_s=60)
        with pytest.raises(CommandTimeout):
            await connection.action("Status")
        assert connection.lost.done()
        with pytest.raises(SwitchGone):
            await connection.action("Status")
        await connection.close()

    run(script, test)


def test_a_ping_without_a_pong_gives_the_connection_up() -> None:
    async def script(session: FakeSession) -> None:
        await log_in(session)
        await session.reader.read()

    async def test(fake: FakeAmi) -> None:
        connection = await connect(fake)
        async with asyncio.timeout(30):
            await connection.lost
        await connection.close()

    run(script, test)


def test_pending_actions_fail_at_a_loss_and_are_never_sent_again() -> None:
    seen: list[str] = []

    async def script(session: FakeSession) -> None:
        await log_in(session)
        while True:
            action = await session.read_action()
            seen.append(action["action"])
            if action["action"] == "Originate":
                session.writer.transport.abort()
            session.accept(action, Ping="Pong")

    async def test(fake: FakeAmi) -> None:
        first = await connect(fake)
        with pytest.raises(SwitchGone):
            await first.action("Originate", {"Channel": "Local/spy@x"})
        await first.close()
        second = await connect(fake)
        await asyncio.sleep(0.2)
        await second.close()
        assert seen.count("Originate") == 1

    run(script, test)


def test_a_handler_that_raises_costs_neither_the_connection_nor_the_next_event() -> None:
    events: list[str] = []

    async def script(session: FakeSession) -> None:
        await log_in(session)
        for leg in ("bad", "good"):
            session.send(Event="Hangup", Uniqueid=leg)
        await obey_quietly(session)

    def on_event(message: AmiMessage) -> None:
        events.append(message.get("uniqueid"))
        if events[-1] == "bad":
            raise ValueError("a mistake of ours")

    async def test(fake: FakeAmi) -> None:
        connection = await connect(fake, on_event)
        assert (await connection.action("Status")).success
        assert events == ["bad", "good"]
        await connection.close()

    run(script, test)


def test_a_queued_response_and_its_late_event_tear_nothing_down() -> None:
    """Originate answers twice: "queued", then an event that holds a Response header."""

    async def script(session: FakeSession) -> None:
        await log_in(session)
        action = await session.read_action()
        session.accept(action, Message="Originate successfully queued")
        session.send(Event="OriginateResponse", ActionID=action["actionid"], Response="Failure")
        session.send(Response="Success", ActionID="nobody-asked", Message="Originate successfully queued")
        await obey_quietly(session)

    async def test(fake: FakeAmi) -> None:
        connection = await connect(fake, ping_interval_s=60)
        assert (await connection.action("Originate")).message == "Originate successfully queued"
        assert (await connection.action("Status")).success
        await connection.close()

    run(script, test)


def test_a_list_is_collected_to_its_end() -> None:
    async def script(session: FakeSession) -> None:
        await log_in(session)
        action = await session.read_action()
        session.accept(action, EventList="start", Message="Channel status will follow")
        for leg in ("1.1", "1.2"):
            session.send(Event="Status", ActionID=action["actionid"], Uniqueid=leg)
        session.send(Event="Hangup", Uniqueid="1.9")
        session.send(Event="StatusComplete", ActionID=action["actionid"], EventList="Complete")
        await session.reader.read()

    async def test(fake: FakeAmi) -> None:
        connection = await connect(fake, lambda message: None, ping_interval_s=60)
        reply = await connection.action("Status")
        assert [event.get("uniqueid") for event in reply.events] == ["1.1", "1.2"]
        await connection.close()

    run(script, test)


@pytest.mark.parametrize("value", ["1.1\r\nAction: Originate", "1.1\nx: y"])
def test_a_line_break_in_a_value_is_refused_before_it_is_sent(value: str) -> None:
    async def test(fake: FakeAmi) -> None:
        connection = await connect(fake)
        with pytest.raises(InputRefused):
            await connection.action("Hangup", {"Channel": value})
        assert not connection.lost.done()
        await connection.close()

    run(obey, test)


def link_to(fake: FakeAmi, ups: list[int] | None = None, events: list[str] | None = None) -> SwitchLink:
    async def on_up() -> None:
        if ups is not None:
            ups.append(fake.connections)

    def on_event(message: AmiMessage) -> None:
        if events is not None:
            events.append(message.get("uniqueid"))

    metrics = AsteriskMetrics(CollectorRegistry())
    changed = settings(fake.port, ping_interval_s=60, event_queue=10)
    return SwitchLink(changed, metrics, CLOCK, on_event=on_event, on_up=on_up)


def test_a_lost_connection_is_replaced_and_the_switch_looked_at_each_time() -> None:
    async def script(session: FakeSession) -> None:
        await log_in(session)
        await asyncio.sleep(0.1)

    async def test(fake: FakeAmi) -> None:
        ups: list[int] = []
        task = asyncio.create_task(link_to(fake, ups).run())
        await until(lambda: len(ups) >= 3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(script, test)


def test_a_flood_of_events_is_held_back_and_none_is_lost_or_reordered() -> None:
    async def script(session: FakeSession) -> None:
        await log_in(session)
        for number in range(5000):
            session.send(Event="Hangup", Uniqueid=str(number))
        await session.writer.drain()
        await obey_quietly(session)

    async def test(fake: FakeAmi) -> None:
        events: list[str] = []
        task = asyncio.create_task(link_to(fake, events=events).run())
        await until(lambda: len(events) >= 5000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert events[:5000] == [str(number) for number in range(5000)]

    run(script, test)


async def obey_quietly(session: FakeSession) -> None:
    while True:
        session.accept(await session.read_action(), Ping="Pong")


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about in ten seconds")
