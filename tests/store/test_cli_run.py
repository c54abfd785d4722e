"""The daemons as processes: started, watched, restarted, stopped, and one at a time on a switch.

What the database decides, who may steer a switch and what daemons hear of, is tried on both; how processes
are watched is the same on each, and tried on one. Jobs run beside the daemons where a test is of them.
"""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from lab.ports import free_ports
from lab.process import ServerFailed, tail, wait_until
from pbxbill.cli import cli

REPOSITORY = Path(__file__).parent.parent.parent
TIMEOUT_S = 30.0

Start = Callable[..., "Program"]

ON_ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
NO_JOBS = "[jobs]\nenabled = false\n"


class Program:
    """A pbxbill process and what it logs."""

    def __init__(self, log: Path, words: tuple[str, ...]) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pbxbill", *words],
                stdout=output,
                stderr=output,
                stdin=subprocess.PIPE,
                cwd=REPOSITORY,
            )

    @property
    def events(self) -> list[dict[str, object]]:
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def wait_for(self, event: str, count: int = 1) -> list[dict[str, object]]:
        """The events of that name, when there are so many."""
        found = lambda: sum(e["event"] == event for e in self.events) >= count  # noqa: E731
        try:
            wait_until(found, TIMEOUT_S, f"{count} x {event}")
        except ServerFailed as fault:
            pytest.fail(f"{fault} in\n{tail(self.log)}")
        return [e for e in self.events if e["event"] == event]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(TIMEOUT_S)
        if self.process.stdin is not None:
            self.process.stdin.close()


@pytest.fixture
def config(database_url: str, tmp_path: Path) -> Path:
    """Two switches that cannot be reached: daemons go on trying."""
    ami, agi, esl, outbound, metrics, _ = free_ports(6)
    path = tmp_path / "pbxbill.toml"
    path.write_text(
        f'[database]\nurl = "{database_url}"\n[log]\nformat = "json"\n[metrics]\nport = {metrics}\n{NO_JOBS}'
        f'[[switch]]\ntype = "asterisk"\nname = "pbx1"\nport = {ami}\nagi_port = {agi}\n'
        f'sounds_dir = "{tmp_path}"\n'
        f'[[switch]]\ntype = "freeswitch"\nname = "fs1"\nport = {esl}\noutbound_port = {outbound}\n'
    )
    result = CliRunner().invoke(cli, ["--config", str(path), "init"])
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture
def start(config: Path, tmp_path: Path) -> Iterator[Start]:
    programs: list[Program] = []

    def begin(*words: str) -> Program:
        program = Program(tmp_path / f"log-{len(programs)}", ("--config", str(config), *words))
        programs.append(program)
        return program

    yield begin
    for program in programs:
        program.close()


def alive(pid: object) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_run_starts_and_stops_a_process_per_switch_and_one_for_the_jobs(start: Start, config: Path) -> None:
    config.write_text(config.read_text().replace(NO_JOBS, ""))
    program = start("run")
    served = program.wait_for("daemon_serves", 2)
    assert {(e["switch"], e["process"]) for e in served} == {("pbx1", "ami"), ("fs1", "esl")}
    assert program.wait_for("jobs_run")
    assert program.end() == 0, program.log.read_text()
    assert len(program.wait_for("daemon_stopped", 2)) == 2
    assert program.wait_for("jobs_stopped")
    assert not any(alive(e["pid"]) for e in served)


@ON_ONE_DATABASE
def test_a_killed_daemon_is_started_again(start: Start) -> None:
    program = start("run")
    served = program.wait_for("daemon_serves", 2)
    victim = next(e for e in served if e["switch"] == "pbx1")
    os.kill(int(str(victim["pid"])), signal.SIGKILL)
    again = program.wait_for("daemon_serves", 3)[-1]
    assert again["switch"] == "pbx1"
    assert again["pid"] != victim["pid"]
    assert program.end(signal.SIGINT) == 0, program.log.read_text()


@ON_ONE_DATABASE
def test_daemons_end_with_their_supervisor(start: Start) -> None:
    program = start("run")
    pids = [e["pid"] for e in program.wait_for("daemon_serves", 2)]
    program.end(signal.SIGKILL)
    wait_until(lambda: not any(map(alive, pids)), TIMEOUT_S, "daemons outlive their supervisor")


def test_a_second_daemon_on_one_switch_is_refused(start: Start, config: Path) -> None:
    first = start("ami")
    first.wait_for("daemon_serves")
    second = start("ami", "--switch", "pbx1")
    assert second.process.wait(TIMEOUT_S) == 1
    (line,) = [line for line in second.log.read_text().splitlines() if line.startswith("pbxbill: ")]
    assert "switch pbx1 is steered by" in line
    assert first.process.poll() is None
    first.end(signal.SIGKILL)
    third = start("ami")  # the killed one's lease is not waited for
    third.wait_for("daemon_serves")
    assert third.end() == 0


@ON_ONE_DATABASE
def test_a_daemon_serves_metrics(start: Start, config: Path) -> None:
    program = start("esl")
    program.wait_for("daemon_serves")
    port = int(config.read_text().split("port = ")[1].split()[0]) + 1  # fs1 is the second switch
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    assert "pbxbill_charging_queue 0.0" in text
    assert "# TYPE pbxbill_esl_connected gauge" in text
    assert program.end() == 0


@ON_ONE_DATABASE
def test_run_gives_up_when_no_daemon_can_work(start: Start, config: Path) -> None:
    text = config.read_text().split("[[switch]]")
    config.write_text(f'{text[0]}[[switch]]{text[1]}secret_file = "/nonexistent"\n')
    program = start("run")
    assert program.process.wait(TIMEOUT_S) == 2
    assert "/nonexistent" in program.log.read_text()
    assert program.wait_for("no_daemon_can_run")


@ON_ONE_DATABASE
def test_before_there_is_a_switch_the_panel_is_served(start: Start, config: Path) -> None:
    (port,) = free_ports(1)
    before = config.read_text().split("[[switch]]")[0]
    config.write_text(
        f'{before}[web]\nenabled = true\nport = {port}\nkey_file = "{config.parent}/pbxbill.key"\n'
    )
    program = start("run")
    assert program.wait_for("no_switch_yet")

    def served() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/log-in", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    wait_until(served, TIMEOUT_S, "the panel is not served")
    assert program.process.poll() is None
    assert program.end() == 0, program.log.read_text()


def test_a_top_up_beside_running_daemons(start: Start, config: Path) -> None:
    program = start("run")
    program.wait_for("daemon_serves", 2)
    (config.parent / "rates.csv").write_text("prefix,destination,price_per_min\n49,Germany,0.1\n")
    for words in (
        ("rates", "import", str(config.parent / "rates.csv"), "--deck", "d", "--yes"),
        ("tariffs", "add", "t", "--deck", "d"),
        ("accounts", "add", "alice", "--tariff", "t"),
    ):
        result = CliRunner().invoke(cli, ["--config", str(config), *words])
        assert result.exit_code == 0, result.output
    top_up = start("topup", "alice", "5")
    assert top_up.process.wait(TIMEOUT_S) == 0
    assert top_up.log.read_text() == "alice: balance 5.00 EUR, available 5.00 EUR\n"
    assert program.end() == 0
