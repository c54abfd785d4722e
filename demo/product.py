"""The product as its user has it: a configuration file, the commands, and `pbxbill run`."""

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from demo import script, site
from lab.asterisk import PrivateAsterisk
from lab.freeswitch import PrivateFreeSwitch
from lab.ports import free_port
from lab.process import ChildProcess, ServerFailed, tail

COMMAND_TIMEOUT_S = 60
USUAL_EVENING = datetime(2026, 1, 1, 18, tzinfo=site.ZONE)

Switch = PrivateAsterisk | PrivateFreeSwitch


class Product:
    """One installation in a directory of its own."""

    def __init__(self, directory: Path, switch: Switch) -> None:
        self.directory = directory
        self.config = directory / "pbxbill.toml"
        self.log = directory / "pbxbill.log"
        self.metrics_port = free_port(run=3)  # of the switch, of the jobs, of the web
        self.web_port = free_port()
        self._daemon: ChildProcess | None = None
        self.told_at_first = ""
        """What `pbxbill init` printed: the first administrator's link as well."""
        directory.mkdir(parents=True, exist_ok=True)
        self.config.write_text(_configuration(switch, self.metrics_port, self.web_port))

    @property
    def web_url(self) -> str:
        """Where gateways and payers find it."""
        return f"http://127.0.0.1:{self.web_port}"

    def command(self, *words: str) -> str:
        """What a command prints. Inside this process, since each new one would take half a second to load."""
        from pbxbill.cli import cli

        result = CliRunner().invoke(cli, ["--config", str(self.config), *words])
        if result.exit_code != 0:
            raise ServerFailed(f"pbxbill {' '.join(words)}: {result.output or result.exception!r}")
        return result.output

    def json(self, *words: str) -> Any:
        """What a command prints for programs."""
        return json.loads(self.command(*words, "--json"))

    def program(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command in a process of its own, as in a terminal."""
        return subprocess.run(
            [sys.executable, "-m", "pbxbill", "--config", self.config, *words],
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )

    def set_up(self, seconds: int) -> None:
        """An empty database, then the sample operator."""
        self.told_at_first = self.command("init", "--operator", "Sample Telecom")
        for deck, sheet in site.DECKS.items():
            self.command("rates", "import", str(sheet), "--deck", deck, "--yes")
        self._set_calendar(USUAL_EVENING)
        for tariff in site.TARIFFS:
            self._offer(tariff)
        self.command("carriers", "add", site.CARRIER, "--tariff", site.ATLANTIC.name)
        for gateway in site.CARRIER_GATEWAYS:
            self.command("gateways", "set", gateway, site.CARRIER)
        pieces, destination = str(site.BUNDLE_S), site.BUNDLE_DESTINATION
        self.command("bundles", "add", site.BUNDLE, "--pieces", pieces, "--destination", destination)
        for subscriber in site.SUBSCRIBERS:
            self._open(subscriber, script.funds(subscriber, seconds))

    def begin_evening(self, at_us: int) -> None:
        """A new version of the calendar, by which the evening begins then; the daemon serves already."""
        self._set_calendar(datetime.fromtimestamp(at_us // 1_000_000, UTC))
        for tariff in site.TARIFFS:
            if tariff.calendar:
                self.command("tariffs", "set", tariff.name, "--calendar", tariff.calendar)

    def _set_calendar(self, evening_from: datetime) -> None:
        file = self.directory / f"{site.CALENDAR}.toml"
        file.write_text(site.calendar(evening_from))
        self.command("calendars", "set", site.CALENDAR, "--file", str(file))

    def _offer(self, tariff: site.Tariff) -> None:
        words = ["--slice-s", str(tariff.slice_s), "--renew-before-s", str(tariff.renew_before_s)]
        terms = {
            "--deck": tariff.deck,
            "--calendar": tariff.calendar,
            "--unit": "" if tariff.deck else "EUR",
            "--mark-up": tariff.mark_up_percent,
            "--mark-up-rounding": tariff.mark_up_rounding,
        }
        words += [word for option, value in terms.items() if value for word in (option, value)]
        if tariff.tax_percent != "0":
            words += ["--tax-mode", "exclusive", "--tax", tariff.tax_percent]
        words += [
            f"--{'' if tariff.speaks else 'no-'}announce-{what}" for what in ("balance", "minutes", "warning")
        ]
        self.command("tariffs", "add", tariff.name, *words)

    def _open(self, subscriber: site.Subscriber, funds: str) -> None:
        words = [
            subscriber.code,
            "--name",
            subscriber.name,
            "--kind",
            subscriber.kind,
            "--mode",
            subscriber.mode,
        ]
        words += ["--tariff", subscriber.tariff.name, "--language", subscriber.language]
        words += ["--parent", subscriber.reseller] if subscriber.reseller else []
        words += ["--limit", subscriber.credit_limit] if subscriber.credit_limit else []
        words += ["--sip", subscriber.code] if subscriber.phone else []
        words += [word for did in subscriber.dids for word in ("--did", did)]
        words += ["--inbound-tariff", site.INBOUND.name] if subscriber.dids else []
        self.command("accounts", "add", *words)
        if funds:
            self.command("topup", subscriber.code, funds, "--key", f"first-payment-{subscriber.code}")
        if subscriber.bundle:
            self.command("bundles", "give", subscriber.code, subscriber.bundle)
        if subscriber.calls_at_once:
            most = str(subscriber.calls_at_once)
            self.command("limits", "set", subscriber.code, "simultaneous_calls", most)

    def start(self) -> None:
        """`pbxbill run`, until its processes serve."""
        self._daemon = ChildProcess(
            [sys.executable, "-m", "pbxbill", "--config", self.config, "run"],
            self.log,
            environment={"PBXBILL_LOG__FORMAT": "json"},
        )
        self._daemon.wait_ready(self._serves, 60)

    def _serves(self) -> bool:
        log = self.log.read_text(errors="replace")
        return "daemon_serves" in log and "web_serves" in log and "jobs_run" in log

    def stop(self) -> int:
        """SIGTERM, as systemd would; the exit code."""
        return self._daemon.stop(signal.SIGTERM, timeout_s=30) if self._daemon is not None else 0

    def log_end(self) -> str:
        return tail(self.log)


def _configuration(switch: Switch, metrics_port: int, web_port: int) -> str:
    lines = ["[database]", 'url = "sqlite:///pbxbill.db"', "", "[metrics]", f"port = {metrics_port}", ""]
    lines += [
        "[web]",
        "enabled = true",
        f"port = {web_port}",
        f'public_url = "http://127.0.0.1:{web_port}"',
        "",
    ]
    lines += ["[[switch]]", f"name = {json.dumps(switch.name)}", 'host = "127.0.0.1"']
    if isinstance(switch, PrivateAsterisk):
        values: dict[str, str | int] = {
            "type": "asterisk",
            "port": switch.ami_port,
            "username": switch.ami_user,
            "secret": switch.ami_secret,
            "agi_port": switch.agi_port,
            "cdr_file": str(switch.cdr_log),
            "cdr_interval_s": 2,  # what passed unasked is in the records before the demonstration ends
            "sounds_dir": str(switch.sounds),
        }
    else:
        values = {
            "type": "freeswitch",
            "port": switch.esl_port,
            "password": switch.esl_password,
            "outbound_port": switch.socket_port,
            "cdr_dir": str(switch.cdr_log),
            "sounds_dir": str(switch.sounds),
        }
    return "\n".join([*lines, *(f"{name} = {json.dumps(value)}" for name, value in values.items()), ""])
