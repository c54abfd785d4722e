"""A private Asterisk with the product beside it, as an administrator runs them: `pbxbill ami`, SQLite, SIPp.

Numbers begin with 44207946 and cost a cent a second, by the second, so that funds in cents are call time in
seconds. Nothing is announced, so that what is measured is the decision and not the words.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bench.site import CENT_PER_MIN, EUR, UNIT, Increments, made_up_rates
from lab.asterisk import PrivateAsterisk
from lab.process import ChildProcess, wait_until
from lab.sipp import Answering, SippServer
from lab.site import Gateway, Phone
from pbxbill.app import open_application, open_charging
from pbxbill.charging.events import TopUp
from pbxbill.clock import SystemClock
from pbxbill.store.accounts import (
    NewAccount,
    account_by_code,
    add_endpoint,
    ensure_unit,
    open_account,
    open_operator,
    open_wallet,
)
from pbxbill.store.decks import NewRate, add_deck_version
from pbxbill.store.engine import migrate, open_engine, transaction
from pbxbill.store.models import CdrRow, ReservationRow
from pbxbill.store.tariffs import NewTariff, add_tariff_version

NUMBER = "44207946"
"""What every dialled number begins with."""
CENT = EUR // 100
START_TIMEOUT_S = 30
OPEN_STATES = ("reserved", "answered")


@dataclass(frozen=True, slots=True)
class Slices:
    """How long a slice is and when it is renewed, seconds."""

    slice_s: int = 60
    renew_before_s: int = 15


class Daemon:
    """`pbxbill ami` in a process of its own."""

    def __init__(self, directory: Path, asterisk: PrivateAsterisk, database_url: str) -> None:
        self._config = directory / "pbxbill.toml"
        self._log = directory / "pbxbill.log"
        self._config.write_text(_configuration(asterisk, database_url))
        self._process: ChildProcess | None = None

    def start(self) -> None:
        """Start it, and return when it has compared itself with the switch."""
        began = self._log.stat().st_size if self._log.exists() else 0
        self._process = ChildProcess(
            [sys.executable, "-m", "pbxbill", "--config", self._config, "ami"],
            self._log,
            environment={"PBXBILL_LOG__FORMAT": "json"},
        )
        self._process.wait_ready(lambda: b"ami_connected" in self._log.read_bytes()[began:], START_TIMEOUT_S)

    def stop(self) -> None:
        """SIGTERM, as systemd would."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()


@dataclass(frozen=True, slots=True)
class SwitchSite:
    """What runs."""

    asterisk: PrivateAsterisk
    carrier: SippServer
    daemon: Daemon
    database_url: str

    def cdrs(self) -> dict[str, CdrRow]:
        """The rated CDRs, by dialled number: callers of a bench dial a number of their own for each call."""
        with self._session() as session:
            return {row.dialled: row for row in session.scalars(select(CdrRow))}

    def wait_all_closed(self, timeout_s: float) -> None:
        """Until every reservation is settled or voided."""
        wait_until(lambda: not self._open_reservations(), timeout_s, "open reservations")

    def _open_reservations(self) -> int:
        still_open = select(func.count()).where(ReservationRow.state.in_(OPEN_STATES))
        with self._session() as session:
            return session.scalar(still_open) or 0

    @contextmanager
    def _session(self) -> Iterator[Session]:
        engine = open_engine(self.database_url)
        try:
            with transaction(engine) as session:
                yield session
        finally:
            engine.dispose()


@contextmanager
def open_switch_site(
    phones: Sequence[Phone], funds_s: Mapping[str, int], slices: Slices | None = None, *, ring_ms: int = 100
) -> Iterator[SwitchSite]:
    """Asterisk, a carrier that answers, and a database; the daemon is not started yet.

    funds_s: the prepaid accounts, by the account code that phones have, and the call time they can pay.
    """
    with tempfile.TemporaryDirectory(prefix="pbxbill-bench-") as folder:
        directory = Path(folder)
        database_url = f"sqlite:///{directory / 'pbxbill.db'}"
        migrate(database_url)
        _open_accounts(database_url, funds_s, slices or Slices())
        with (
            SippServer(Answering.ANSWER, rings_ms=(0, ring_ms)) as carrier,
            PrivateAsterisk(
                phones=phones, gateways=[Gateway("carrier1", carrier.port)], directory=directory / "asterisk"
            ) as asterisk,
        ):
            daemon = Daemon(directory, asterisk, database_url)
            try:
                yield SwitchSite(asterisk, carrier, daemon, database_url)
            finally:
                daemon.stop()


def _open_accounts(url: str, funds_s: Mapping[str, int], slices: Slices) -> None:
    now_us = SystemClock().now_us()
    engine = open_engine(url)
    # Among made-up ones, so that the rate has to be looked for.
    rates = [rate for rate in made_up_rates(10_000, Increments(60, 60)) if not rate.prefix.startswith("44")]
    rates.append(NewRate("44", "United Kingdom", 60 * CENT_PER_MIN))
    tariff = NewTariff(
        "retail",
        "deck",
        slice_s=slices.slice_s,
        renew_before_s=slices.renew_before_s,
        announce_balance=False,
        announce_minutes=False,
        announce_warning=False,
    )
    with transaction(engine) as session:
        ensure_unit(session, UNIT)
        open_operator(session, "Operator", now_us)
        add_deck_version(
            session,
            deck_name="deck",
            unit=UNIT.code,
            rates=rates,
            effective_from_us=0,
            source="made up",
            now_us=now_us,
        )
        add_tariff_version(session, tariff, now_us)
        for code in funds_s:
            account = open_account(session, NewAccount(code, code, tariff="retail"), now_us)
            open_wallet(session, account, UNIT.code)
            add_endpoint(session, account, "sip", code)
        ids = {code: account_by_code(session, code).id for code in funds_s}
    engine.dispose()
    with open_application(url) as application, open_charging(application) as charging:
        for code, seconds in funds_s.items():
            top_up = TopUp(f"funds-{code}", ids[code], UNIT.code, seconds * CENT, now_us)
            charging.engine.execute(top_up)


def _configuration(asterisk: PrivateAsterisk, database_url: str) -> str:
    switch: dict[str, str | int] = {
        "type": "asterisk",
        "name": asterisk.name,
        "host": "127.0.0.1",
        "port": asterisk.ami_port,
        "username": asterisk.ami_user,
        "secret": asterisk.ami_secret,
        "agi_port": asterisk.agi_port,
        "cdr_file": str(asterisk.cdr_log),
        "sounds_dir": str(asterisk.sounds),
    }
    lines = ["[database]", f"url = {json.dumps(database_url)}", "[metrics]", "enabled = false", "[[switch]]"]
    return "\n".join([*lines, *(f"{name} = {json.dumps(value)}" for name, value in switch.items()), ""])
