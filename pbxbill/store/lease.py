"""The lease of a switch: one daemon steers it, a second one is refused.

The holder renews its row every few seconds. A row is taken over when it is stale, or when its holder ran
on this machine and is gone, so that a daemon restarted after a kill need not wait.
"""

import os
import platform
import threading
from collections.abc import Callable
from pathlib import Path

import structlog
from sqlalchemy import ColumnElement, Engine, delete, select, text, update

from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import AlreadyRunning, StoreUnavailable
from pbxbill.store.engine import transaction
from pbxbill.store.switch_models import DaemonLeaseRow

STALE_US = 15 * SECOND_US
RENEW_S = 3

_log = structlog.get_logger()


class SwitchLease:
    """This process's claim on one switch."""

    def __init__(self, engine: Engine, switch: str, clock: Clock) -> None:
        self._engine = engine
        self._switch = switch
        self._clock = clock
        self._holder = f"{platform.node()}:{os.getpid()}:{_process_start(os.getpid())}"
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        """Claim the switch; AlreadyRunning while another daemon holds it."""
        now_us = self._clock.now_us()
        with transaction(self._engine) as session:
            session.execute(
                text(
                    "INSERT INTO daemon_leases (switch, holder, renewed_us) "
                    "VALUES (:switch, :holder, :now_us) ON CONFLICT DO NOTHING"
                ),
                {"switch": self._switch, "holder": self._holder, "now_us": now_us},
            )
            row = session.scalars(
                select(DaemonLeaseRow).where(DaemonLeaseRow.switch == self._switch).with_for_update()
            ).one()
            fresh = abs(now_us - row.renewed_us) < STALE_US
            if row.holder != self._holder and fresh and not _is_gone(row.holder):
                raise AlreadyRunning(
                    f"switch {self._switch} is steered by {row.holder}; stop that daemon first, "
                    f"or wait {STALE_US // SECOND_US} seconds if its machine died"
                )
            row.holder = self._holder
            row.renewed_us = now_us

    def keep(self, lost: Callable[[], None]) -> None:
        """Renew in the background; lost() is called if another daemon took the switch over."""
        self._thread = threading.Thread(target=self._renew_until_stopped, args=(lost,), daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give the switch back, if it is still ours."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(5)
        try:
            with transaction(self._engine) as session:
                session.execute(delete(DaemonLeaseRow).where(*self._mine()))
        except StoreUnavailable as error:
            _log.warning("lease_not_released", switch=self._switch, error=str(error))

    def _mine(self) -> tuple[ColumnElement[bool], ...]:
        return (DaemonLeaseRow.switch == self._switch, DaemonLeaseRow.holder == self._holder)

    def _renew_until_stopped(self, lost: Callable[[], None]) -> None:
        while not self._stopped.wait(RENEW_S):
            try:
                with transaction(self._engine) as session:
                    renewed = session.execute(
                        update(DaemonLeaseRow).where(*self._mine()).values(renewed_us=self._clock.now_us())
                    )
                    kept = renewed.rowcount == 1  # type: ignore[attr-defined]
            except StoreUnavailable as error:
                _log.warning("lease_not_renewed", switch=self._switch, error=str(error))
                continue
            if not kept:
                _log.error("lease_lost", switch=self._switch)
                lost()
                return


def _process_start(pid: int) -> str:
    # The process's start in clock ticks tells it from a later one with the same number.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (FileNotFoundError, IndexError):
        return ""


def _is_gone(holder: str) -> bool:
    host, pid, start = holder.rsplit(":", 2)
    return host == platform.node() and _process_start(int(pid)) != start
