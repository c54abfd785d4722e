"""`pbxbill doctor` on a real Asterisk that `pbxbill install` set up, and on an event socket in every mood."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from lab.asterisk import PrivateAsterisk
from lab.ports import free_port
from pbxbill.cli import cli

Findings = list[dict[str, str]]

GREETING = b"Content-Type: auth/request\n\n"
WELCOME = b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n"
WRONG = b"Content-Type: command/reply\nReply-Text: -ERR invalid\n\n"
REJECTION = b"Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n"


@pytest.fixture
def doctor(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, Findings]]:
    """Writes a configuration with one switch, runs doctor, returns exit code and findings."""
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "pbxbill.toml"

    def run(**options: object) -> tuple[int, Findings]:
        lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in options.items())
        config.write_text(f'[database]\nurl = "{sqlite_url}"\n[[switch]]\nname = "pbx1"\n{lines}')
        config.chmod(0o600)
        assert CliRunner().invoke(cli, ["init"]).exit_code == 0
        result = CliRunner().invoke(cli, ["doctor", "--json"])
        return result.exit_code, json.loads(result.stdout)

    return run


def about(findings: Findings, words: str) -> dict[str, str]:
    """The one finding that speaks of it."""
    (found,) = [x for x in findings if words in x["detail"]]
    return found


class EventSocket:
    """A FreeSWITCH that answers each command from a table."""

    def __init__(self, greeting: bytes, replies: dict[str, bytes]) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._greeting, self._replies = greeting, replies
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._server.accept()
        with connection, connection.makefile("rb") as commands, suppress(ConnectionError):
            connection.sendall(self._greeting)
            for line in commands:
                command = line.decode().strip()
                if command:
                    connection.sendall(self._replies.get(command, api("-ERR no reply\n")))

    def close(self) -> None:
        self._thread.join(30)
        self._server.close()


def api(body: str) -> bytes:
    return f"Content-Type: api/response\nContent-Length: {len(body)}\n\n{body}".encode()


@pytest.fixture
def freeswitch() -> Iterator[Callable[..., int]]:
    servers: list[EventSocket] = []

    def begin(greeting: bytes = GREETING, **replies: bytes) -> int:
        table = {name.replace("_", " ", 1): reply for name, reply in replies.items()}
        servers.append(EventSocket(greeting, table))
        return servers[-1].port

    yield begin
    for server in servers:
        server.close()


def test_a_sound_freeswitch(doctor, freeswitch, tmp_path: Path) -> None:
    for part in ("en/us/callie/digits", "cdr"):
        (tmp_path / part).mkdir(parents=True)
    replies = {"auth secret": WELCOME, "api_version": api("FreeSWITCH 1.10"), "api_strepoch": api("1")}
    replies["api_module_exists mod_json_cdr"] = api("true")
    port = freeswitch(**replies)
    code, findings = doctor(
        type="freeswitch",
        port=port,
        password="secret",
        outbound_port=free_port(),
        sounds_dir=str(tmp_path),
        cdr_dir=str(tmp_path / "cdr"),
    )
    assert about(findings, "event socket answers: FreeSWITCH 1.10")["verdict"] == "ok"
    assert about(findings, "writes CDRs by mod_json_cdr")["verdict"] == "ok"
    assert about(findings, "sounds for en")["verdict"] == "ok"
    assert about(findings, "cdr is readable")["verdict"] == "ok"
    assert about(findings, "no daemon at")["verdict"] == "warn"
    clock = about(findings, "its clock is")  # 1970, says strepoch
    assert (clock["verdict"], clock["remedy"]) == ("fail", "run an NTP client (chrony) on both machines")
    assert code == 1


def test_a_wrong_password(doctor, freeswitch) -> None:
    code, findings = doctor(type="freeswitch", port=freeswitch(**{"auth x": WRONG}), password="x")
    finding = about(findings, "password is wrong")
    assert (code, finding["verdict"]) == (1, "fail")
    assert "event_socket.conf.xml" in finding["remedy"]


def test_an_access_list_that_refuses_us(doctor, freeswitch) -> None:
    code, findings = doctor(type="freeswitch", port=freeswitch(REJECTION), password="x")
    assert (code, "apply-inbound-acl" in about(findings, "access list refuses")["remedy"]) == (1, True)


def test_something_else_behind_the_port(doctor, freeswitch) -> None:
    code, findings = doctor(type="freeswitch", port=freeswitch(b"220 mail.example ESMTP\n\n"), password="x")
    assert (code, about(findings, "no event socket")["verdict"]) == (1, "fail")
    code, findings = doctor(type="asterisk", port=freeswitch(b"220 mail.example ESMTP\r\n"), secret="x")
    assert (code, about(findings, "not an Asterisk manager port")["verdict"]) == (1, "fail")


@pytest.mark.parametrize("kind", ["freeswitch", "asterisk"])
def test_nobody_there(doctor, kind: str) -> None:
    code, findings = doctor(type=kind, port=free_port())
    assert code == 1
    assert [x["verdict"] for x in findings if "Connection refused" in x["detail"]] == ["fail", "warn"]
    assert all(finding["remedy"] for finding in findings if finding["verdict"] != "ok")


@pytest.mark.timeout(60)
def test_an_asterisk_that_install_set_up(doctor, asterisk_install: Path, tmp_path: Path) -> None:
    bare = {"extensions.conf": "[general]\nstatic = yes\n", "cdr.conf": "[general]\n", "cdr_custom.conf": ""}
    asterisk = PrivateAsterisk(phones=[], install=asterisk_install, files=bare)
    manager = f"[general]\nenabled = yes\nbindaddr = 127.0.0.1\nport = {asterisk.ami_port}\n"
    manager += "channelvars = MINE\n"
    (asterisk.configuration / "manager.conf").write_text(manager)
    options = {
        "type": "asterisk",
        "port": asterisk.ami_port,
        "agi_port": free_port(),
        "secret": "a secret; with a semicolon",
        "cdr_file": str(asterisk.cdr_log),
        "sounds_dir": str(asterisk.sounds),
    }
    with asterisk:
        code, findings = doctor(**options)
        assert (code, about(findings, "the manager refuses")["verdict"]) == (1, "fail")
        etc = str(asterisk.configuration)
        result = CliRunner().invoke(cli, ["install", "asterisk", "--etc", etc, "--yes"])
        assert result.exit_code == 0, result.output
        asterisk.rx("core reload")
        asterisk.restart()
        code, findings = doctor(**options)
        assert code == 0, findings
        (asterisk.configuration / "manager_pbxbill.conf").write_text("[general](+)\ntimestampevents = yes\n")
        own = (asterisk.configuration / "manager.conf").read_text()
        own = own.replace("PBXBILL_INBOUND", "OTHER")
        (asterisk.configuration / "manager.conf").write_text(own)
        asterisk.rx("manager reload")
        code, doubts = doctor(**options)
        assert about(doubts, "events do not name PBXBILL_INBOUND")["verdict"] == "fail"
        assert about(findings, "manager answers: Asterisk")["verdict"] == "ok"
        assert about(findings, "the dialplan has the context pbxbill")["verdict"] == "ok"
        assert about(findings, "its clock is")["verdict"] == "ok"
        assert about(findings, "sounds for en")["verdict"] == "ok"
        assert "file custom" in asterisk.rx("cdr show status").lower()
        assert not [
            line for line in asterisk.log.read_text().splitlines() if "pbxbill" in line and "ERROR" in line
        ]


def test_a_configuration_that_others_may_read(doctor, tmp_path: Path) -> None:
    doctor(type="asterisk", port=free_port(), secret="x")
    (tmp_path / "pbxbill.toml").chmod(0o644)
    result = CliRunner().invoke(cli, ["doctor"])
    assert "-> chmod 600 pbxbill.toml" in result.stdout
