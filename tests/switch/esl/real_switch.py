"""Calls of phones through a real FreeSWITCH, and the daemon beside it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from lab.freeswitch import PrivateFreeSwitch
from lab.sipp import Call, Calling, SippCaller, SippResult
from pbxbill.esl.settings import FreeSwitchSettings

from .fake_engine import FakeEngine, FakeNews, FakeReconciler
from .harness import CountingMetrics, RunningDaemon

Place = Callable[..., SippCaller]
"""Number, phone and how it calls."""


@contextmanager
def placing(freeswitch: PrivateFreeSwitch) -> Iterator[Place]:
    """Place calls from a phone; those that still go on at the end are ended."""
    with ExitStack() as stack:

        def place(number: str, phone: str, calling: Calling = Calling.HANG_UP, **details: Any) -> SippCaller:
            call = replace(Call(number, phone, calling, password=f"pw{phone}"), **details)
            return stack.enter_context(SippCaller(call, freeswitch.sip_port, timeout_s=60))

        yield place


def finished(caller: SippCaller) -> SippResult:
    """What the phone saw of its call."""
    result = caller.wait()
    assert result.failed == 0, result.log
    return result


@contextmanager
def running_daemon(
    freeswitch: PrivateFreeSwitch, engine: FakeEngine, **changes: Any
) -> Iterator[RunningDaemon]:
    """A daemon that steers the switch's calls."""
    settings = FreeSwitchSettings(
        name=freeswitch.name,
        port=freeswitch.esl_port,
        password=freeswitch.esl_password,
        outbound_port=freeswitch.socket_port,
        sounds_dir=str(freeswitch.sounds),
        cdr_dir=str(freeswitch.cdr_log),
    )
    running = RunningDaemon(
        replace(settings, **changes), engine, FakeNews(), FakeReconciler(engine), CountingMetrics()
    )
    running.start()
    try:
        yield running
    finally:
        running.stop()
