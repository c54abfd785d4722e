"""FastAGI with clients that are hostile, slow or hang up, and what the dialplan is told."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pbxbill.ami.authorize import (
    denied_variables,
    granted_variables,
    parse_question,
    source_address,
)
from pbxbill.ami.fastagi import AgiRequest, AgiServer, AgiSession, quoted
from pbxbill.charging.events import Direction, Granted
from pbxbill.charging.hangup import HangupCause
from pbxbill.errors import ConfigurationError, InputRefused, SwitchError, SwitchGone
from tests.switch.ami.harness import Funds, SimpleEngine

REQUEST = {
    "agi_network_script": "outbound",
    "agi_uniqueid": "pbx1-1795290246.115",
    "agi_channel": "PJSIP/alice-00000031",
    "agi_callerid": "2001",
    "agi_calleridname": "agi_accountcode: rich",
    "agi_accountcode": "acme",
    "agi_arg_1": "+441555",
    "agi_arg_2": "192.0.2.7:5060",
    "agi_arg_3": "Ring",
}
Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def lines(fields: dict[str, str]) -> bytes:
    return "".join(f"{name}: {value}\n" for name, value in fields.items()).encode() + b"\n"


def serve(client: Client, handler: Callable[[AgiSession], Awaitable[None]], connections: int = 10) -> None:
    async def main() -> None:
        server = AgiServer(handler, connections=connections, read_timeout_s=0.3)
        await server.start("127.0.0.1", 0)
        assert server._server is not None
        port = server._server.sockets[0].getsockname()[1]
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await client(reader, writer)
            writer.close()
            await server.stop()

    asyncio.run(main())


def outcome_of(answers: bytes, *commands: str) -> list[object]:
    """What the handler gets for its commands when Asterisk answers so."""
    seen: list[object] = []

    async def handler(session: AgiSession) -> None:
        for command in commands:
            try:
                seen.append(await session.command(command))
            except SwitchError as failure:
                seen.append(type(failure))

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(lines(REQUEST) + answers)
        await reader.read()

    serve(client, handler)
    return seen


def test_a_reply_with_a_value() -> None:
    [reply] = outcome_of(b"200 result=1 (acct (x) y)\n", "GET VARIABLE X")
    assert (reply.code, reply.result, reply.value) == (200, "1", "acct (x) y")  # type: ignore[attr-defined]


def test_a_reply_over_several_lines() -> None:
    usage = b"520-Invalid command syntax.  Proper usage follows:\nUsage: X\n520 End of proper usage.\n"
    first, second = outcome_of(usage + b"200 result=1\n", "X", "Y")
    assert (first.code, second.code) == (520, 200)  # type: ignore[attr-defined]


def test_a_hang_up_in_between_is_final() -> None:
    assert outcome_of(b"HANGUP\n200 result=1\n", "EXEC", "EXEC") == [SwitchGone, SwitchGone]


@pytest.mark.parametrize("answers", [b"nonsense\n", b"200 " + b"x" * 10_000 + b"\n"])
def test_nonsense_ends_the_session(answers: bytes) -> None:
    assert outcome_of(answers, "EXEC")[0] is SwitchError


def test_a_switch_that_does_not_answer_is_given_up() -> None:
    [failure] = outcome_of(b"", "EXEC")
    assert issubclass(failure, SwitchError)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "sent",
    [b"", b"agi_network: yes\n", b"x" * 100_000, b"agi_a: b\n" * 1000, b"\xff\xfe\x00\n\x00"],
    ids=["port scan", "half a request", "no line end", "endless headers", "no text"],
)
def test_a_client_that_is_no_asterisk_is_closed(sent: bytes) -> None:
    called: list[AgiSession] = []

    async def handler(session: AgiSession) -> None:
        called.append(session)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass  # closed with unread bytes: as good

    serve(client, handler)
    assert not called


def test_more_connections_than_allowed_are_turned_away() -> None:
    async def handler(session: AgiSession) -> None:
        raise AssertionError("there is no place")

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass  # aborted, so that nothing lingers

    serve(client, handler, connections=0)


@pytest.mark.parametrize("command", ["X\nEXEC System rm", "X\rY", "X\0", "X" * 5000])
def test_a_command_cannot_become_two(command: str) -> None:
    failures: list[type[Exception]] = []

    async def handler(session: AgiSession) -> None:
        try:
            await session.command(command)
        except InputRefused:
            failures.append(InputRefused)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(lines(REQUEST))
        assert await reader.read() == b""

    serve(client, handler)
    assert failures == [InputRefused]


def test_quoting() -> None:
    assert quoted('a "b" \\') == '"a \\"b\\" \\\\"'
    with pytest.raises(InputRefused):
        quoted("a\nb")


def test_nobody_but_the_switch_may_ask() -> None:
    async def handler(session: AgiSession) -> None:
        raise AssertionError("a stranger was let in")

    async def main() -> None:
        server = AgiServer(handler, connections=5, read_timeout_s=0.3, switch_host="192.0.2.1")
        await server.start("127.0.0.1", 0)
        assert server._server is not None
        server._peers -= {"127.0.0.1"}
        port = server._server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(lines(REQUEST))
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass  # aborted: as good
        writer.close()
        await server.stop()

    asyncio.run(main())


def test_a_taken_port_is_the_administrators_business() -> None:
    async def handler(session: AgiSession) -> None:
        raise AssertionError("nobody asks")

    async def main() -> None:
        first = AgiServer(handler, connections=5, read_timeout_s=0.3)
        second = AgiServer(handler, connections=5, read_timeout_s=0.3)
        await first.start("127.0.0.1", 0)
        assert first._server is not None
        port = first._server.sockets[0].getsockname()[1]
        with pytest.raises(ConfigurationError, match="another pbxbill"):
            await second.start("127.0.0.1", port)
        await first.stop()

    asyncio.run(main())


# --- questions and verdicts -----------------------------------------------------------------------


def ask(**changes: str) -> object:
    return parse_question(AgiRequest(REQUEST | changes), switch="pbx1", now_us=5)


def test_the_account_is_the_endpoints_own() -> None:
    question = parse_question(AgiRequest(REQUEST), switch="pbx1", now_us=5)
    request = question.request
    assert (request.account_code, request.source_ip, request.caller_id) == ("acme", "192.0.2.7", "2001")
    assert (request.dialled, request.direction, request.call_id) == (
        "+441555",
        Direction.OUTBOUND,
        "pbx1-1795290246.115",
    )


def test_a_call_to_a_did_is_known_by_the_did_alone() -> None:
    changes = {"agi_network_script": "inbound", "agi_arg_1": "3315550001"}
    request = parse_question(AgiRequest(REQUEST | changes), switch="pbx1", now_us=5).request
    assert (request.direction, request.did) == (Direction.INBOUND, "3315550001")
    assert (request.account_code, request.source_ip, request.caller_id) == ("", "", "")


def test_a_forwarded_leg_is_paid_by_the_dids_account_not_by_the_trunks() -> None:
    changes = {"agi_network_script": "forward", "agi_arg_4": "owner"}
    question = parse_question(AgiRequest(REQUEST | changes), switch="pbx1", now_us=5)
    assert (question.request.account_code, question.request.source_ip) == ("owner", "")


@pytest.mark.parametrize(
    "changes",
    [
        {"agi_network_script": "shell"},
        {"agi_network_script": "forward"},
        {"agi_uniqueid": ""},
        {"agi_uniqueid": "1,TIMEOUT(absolute)=0"},
    ],
)
def test_what_is_no_question_of_ours_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(InputRefused):
        ask(**changes)


@pytest.mark.parametrize(
    "text, address",
    [
        ("192.0.2.7:5060", "192.0.2.7"),
        ("[2001:db8::1]:5060", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("evil", ""),
        ("1.2.3.4.5:6", ""),
    ],
)
def test_source_addresses(text: str, address: str) -> None:
    assert source_address(text) == address


def test_the_verdict_is_the_last_word() -> None:
    question = parse_question(AgiRequest(REQUEST), switch="pbx1", now_us=5)
    engine = SimpleEngine({"acme": Funds(90_500_000)})
    granted = engine._authorize(question.request)
    assert isinstance(granted, Granted)
    variables = granted_variables(granted, question, "vm-youhave&digits/1", "fr")
    assert list(variables)[-1] == "PBXBILL_VERDICT"
    assert variables["__PBXBILL_GRANTED"] == "60.000"
    assert variables["TIMEOUT(absolute)"] == "240.000"
    assert (variables["PBXBILL_SAY"], variables["PBXBILL_LANGUAGE"]) == ("vm-youhave&digits/1", "fr")
    assert variables["CDR(pbxbill_mode)"] == "online"
    offline = granted_variables(granted._replace(offline=True), question, "", "")
    assert offline["CDR(pbxbill_mode)"] == "offline"


def test_a_denial_has_its_cause() -> None:
    assert denied_variables(HangupCause.CALL_REJECTED, "", "")["PBXBILL_CAUSE"] == "21"
    assert denied_variables(HangupCause.TEMPORARY_FAILURE, "", "")["PBXBILL_CAUSE"] == "42"
