"""A process's word to whoever started it, as sd_notify(3) has it: ready, still working, about to stop.

systemd hears it, and so does `pbxbill run`, which hands each daemon a socket of its own.
"""

import os
import socket
from collections.abc import Mapping

import structlog

ADDRESS = "NOTIFY_SOCKET"
WATCHDOG = "WATCHDOG_USEC"
WATCHDOG_PID = "WATCHDOG_PID"
READY, ALIVE, STOPPING = "READY=1", "WATCHDOG=1", "STOPPING=1"
LONGEST_INTERVAL_S = 10.0
INTERVAL_S = 5.0

_log = structlog.get_logger()


class Notifier:
    """Sends datagrams to $NOTIFY_SOCKET; does nothing where there is none."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get(ADDRESS, "")
        self.interval_s = INTERVAL_S
        """How often ALIVE is to be sent: several times in the period after which we are given up."""
        period_us = environment.get(WATCHDOG, "")
        if period_us.isdigit() and environment.get(WATCHDOG_PID, str(os.getpid())) == str(os.getpid()):
            self.interval_s = min(max(int(period_us) / 4_000_000, 0.05), LONGEST_INTERVAL_S)

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._address)

    def send(self, *words: str) -> None:
        """Say something; a listener that is gone or slow is none of the caller's troubles."""
        if not self._address:
            return
        # An @ stands for the zero byte with which Linux' names outside the file system begin.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(words).encode(), address)
        except OSError as error:
            _log.warning("notice_not_sent", words=words[0], error=str(error))
