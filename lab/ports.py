"""Free ports on 127.0.0.1 that no other run of this machine is given while this process lives.

A port is leased by a lock on a file, which the kernel releases when the process ends, however it ends.
Asking the kernel for a port (port 0) would not do: it may give the same one to the next who asks,
long before a server that is still starting has bound it.
"""

import fcntl
import os
import socket
import tempfile
import threading
from pathlib import Path

FIRST_PORT, LAST_PORT = 11_000, 31_999
"""Below the range from which Linux takes the ports of outgoing connections (32768 and up)."""

_leased: dict[int, int] = {}
_lease_guard = threading.Lock()


class NoFreePort(RuntimeError):
    """Every port of the range is taken."""


def free_ports(count: int) -> list[int]:
    """Ports that are free for TCP and UDP, leased until this process ends."""
    return [free_port() for _ in range(count)]


def free_port(run: int = 1) -> int:
    """The first of so many ports in a row that are free for TCP and UDP, leased until this process ends."""
    locks = Path(tempfile.gettempdir()) / f"pbxbill-ports-{os.getuid()}"
    locks.mkdir(mode=0o700, exist_ok=True)
    span = LAST_PORT - FIRST_PORT + 1 - run
    with _lease_guard:
        # Runs start at different places, so that they rarely try each other's ports at all.
        offset = os.getpid() * 97 % span
        for step in range(span):
            first = FIRST_PORT + (offset + step) % span
            if _lease_all(locks, range(first, first + run)):
                return first
    raise NoFreePort(f"no port between {FIRST_PORT} and {LAST_PORT} is free on 127.0.0.1")


def _lease_all(locks: Path, ports: range) -> bool:
    if any(port in _leased for port in ports):
        return False
    for port in ports:
        if not _lease(locks / str(port), port):
            for other in range(ports.start, port):
                os.close(_leased.pop(other))
            return False
    return True


def _lease(lock: Path, port: int) -> bool:
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    if not _is_free(port):
        os.close(descriptor)
        return False
    _leased[port] = descriptor
    return True


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
