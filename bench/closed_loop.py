"""A closed loop: so many commands are outstanding at any time, and each answer sends the next one."""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

Command = TypeVar("Command")

TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of the loop took."""

    per_s: float
    latencies_ms: list[float]


def run_closed_loop(
    submit: Callable[[Command], Future[Any]], commands: Iterable[Command], in_flight: int
) -> Run:
    """Carry out the commands, in_flight of them at a time; a command that fails ends the run."""
    waiting = iter(commands)
    guard = threading.Lock()
    latencies_ms: list[float] = []
    faults: list[BaseException] = []
    finished = threading.Event()
    outstanding = in_flight

    def send_next() -> None:
        nonlocal outstanding
        with guard:
            command = None if faults else next(waiting, None)
            if command is None:
                outstanding -= 1
                if not outstanding:
                    finished.set()
                return
        sent_ns = time.perf_counter_ns()

        def answered(future: Future[Any]) -> None:
            latencies_ms.append((time.perf_counter_ns() - sent_ns) / 1e6)
            fault = future.exception()
            if fault is not None:
                faults.append(fault)
            send_next()

        submit(command).add_done_callback(answered)

    began = time.perf_counter()
    for _ in range(in_flight):
        send_next()
    if not finished.wait(TIMEOUT_S):
        raise TimeoutError(f"{outstanding} commands were not answered within {TIMEOUT_S} s")
    lasted_s = time.perf_counter() - began
    if faults:
        raise faults[0]
    return Run(len(latencies_ms) / lasted_s, latencies_ms)
