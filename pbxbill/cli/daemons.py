"""run, esl and ami: the processes that steer switches, and the one that starts them all.

gevent and asyncio never meet: each daemon's code is imported only in its own process.
"""

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

import click
import structlog
from prometheus_client import REGISTRY

from pbxbill.app import Application, Charging, open_charging, steering
from pbxbill.cli.context import Context, pass_context
from pbxbill.errors import AlreadyRunning, ConfigurationError
from pbxbill.ivr.desk import CardDesk
from pbxbill.liveness import Liveness
from pbxbill.logs import configure_logs
from pbxbill.metrics import EngineCollector, metrics_server
from pbxbill.notice import ALIVE, READY, STOPPING, Notifier
from pbxbill.sections import AsteriskSection, FreeSwitchSection, SwitchSection
from pbxbill.settings import Settings, asterisk_settings, freeswitch_settings
from pbxbill.store.hang_ups import HangUpDesk
from pbxbill.supervisor import DaemonProcess, Supervisor

_log = structlog.get_logger()

switch_option = click.option("--switch", "name", help="The switch's name, if there are several.")
supervised_option = click.option("--supervised", is_flag=True, hidden=True, help="End with standard input.")


class Daemon(Protocol):
    """What both adapters offer."""

    liveness: Liveness | None

    def run(self) -> None:
        """Serve until stop()."""
        ...

    def stop(self) -> None:
        """End run() soon; from any thread."""
        ...


COMMAND_OF_TYPE = {"freeswitch": "esl", "asterisk": "ami"}


@click.command()
@pass_context
def run(context: Context) -> None:
    """Start and watch one process for each switch of the configuration, for the jobs and for the web."""
    settings = context.settings
    configure_logs(settings.log.level, settings.log.format, "run")
    if not settings.switch:
        if not settings.web.enabled:
            raise ConfigurationError("the configuration names no switch; add a [[switch]] table")
        _log.warning("no_switch_yet", remedy="add a [[switch]] table, and start anew")
    with context.application():
        pass  # a database that is not set up is said here once, not by every daemon
    path = context.config_path
    program = (sys.executable, "-m", "pbxbill", *(("--config", str(path)) if path else ()))
    daemons = [
        DaemonProcess(
            switch.name,
            (*program, COMMAND_OF_TYPE[switch.type], "--switch", switch.name, "--supervised"),
        )
        for switch in settings.switch
    ]
    if settings.jobs.enabled:
        daemons.append(DaemonProcess("jobs", (*program, "jobs", "--supervised"), steers=False))
    if settings.web.enabled:
        daemons.append(DaemonProcess("web", (*program, "web", "--supervised"), steers=False))
    supervisor = Supervisor(daemons, context.clock)
    with stopped_by_signals(supervisor.stop):
        code = supervisor.run()
    if code:
        sys.exit(code)


@click.command()
@switch_option
@supervised_option
@pass_context
def esl(context: Context, name: str | None, supervised: bool) -> None:
    """Steer a FreeSWITCH."""
    section = chosen(context.settings, "freeswitch", name)
    assert isinstance(section, FreeSwitchSection)

    def build(application: Application, charging: Charging) -> Daemon:
        from pbxbill.esl.daemon import FreeSwitchDaemon
        from pbxbill.esl.metrics import PrometheusMetrics

        daemon = FreeSwitchDaemon(
            freeswitch_settings(section),
            charging.engine,
            charging.news,
            charging.reconciler,
            application.clock,
            PrometheusMetrics(section.name),
        )
        daemon.serve_cards(CardDesk(application))
        daemon.serve_hang_ups(HangUpDesk(application.connect, application.clock, section.name, charging.news))
        return daemon

    serve(context, section, build, supervised=supervised)


@click.command()
@switch_option
@supervised_option
@pass_context
def ami(context: Context, name: str | None, supervised: bool) -> None:
    """Steer an Asterisk."""
    section = chosen(context.settings, "asterisk", name)
    assert isinstance(section, AsteriskSection)

    def build(application: Application, charging: Charging) -> Daemon:
        from pbxbill.ami.daemon import AsteriskDaemon
        from pbxbill.ami.metrics import AsteriskMetrics

        daemon = AsteriskDaemon(
            asterisk_settings(section),
            charging.engine,
            charging.news,
            charging.reconciler,
            application.clock,
            AsteriskMetrics(),
        )
        daemon.serve_cards(CardDesk(application))
        daemon.serve_hang_ups(HangUpDesk(application.connect, application.clock, section.name, charging.news))
        return daemon

    serve(context, section, build, supervised=supervised)


def chosen(settings: Settings, kind: str, name: str | None) -> SwitchSection:
    """The switch that a command is about."""
    candidates = settings.switches(kind)
    if name is not None:
        candidates = [switch for switch in candidates if switch.name == name]
        if not candidates:
            known = ", ".join(switch.name for switch in settings.switches(kind)) or "none"
            raise ConfigurationError(f"the configuration names no {kind} switch {name!r}; there are: {known}")
    if not candidates:
        raise ConfigurationError(
            f'the configuration names no {kind} switch; add a [[switch]] with type = "{kind}"'
        )
    if len(candidates) > 1:
        names = ", ".join(switch.name for switch in candidates)
        raise ConfigurationError(f"several {kind} switches are configured ({names}); choose one by --switch")
    return candidates[0]


def serve(
    context: Context,
    section: SwitchSection,
    build: Callable[[Application, Charging], Daemon],
    *,
    supervised: bool,
) -> None:
    """Run a daemon with everything it needs until a signal, the supervisor's end or the loss of its lease."""
    settings = context.settings
    configure_logs(settings.log.level, settings.log.format, COMMAND_OF_TYPE[section.type])
    structlog.contextvars.bind_contextvars(switch=section.name)
    daemon: Daemon | None = None
    lost = threading.Event()
    stopping = threading.Event()
    notifier = Notifier()

    def stop() -> None:
        stopping.set()
        notifier.send(STOPPING)
        if daemon is not None:
            daemon.stop()

    def lose() -> None:
        lost.set()
        stop()

    with (
        stopped_by_signals(stop),
        context.application() as application,
        steering(application, section.name, lose),
        metrics_of(settings, settings.metrics_port(section.name)),
        open_charging(application, listen=True) as charging,
    ):
        collector = EngineCollector(charging.engine)
        REGISTRY.register(collector)
        daemon = build(application, charging)
        daemon.liveness = liveness_of(application, charging, notifier)
        gc.collect()
        gc.freeze()  # decks and code stay for the life of the process: no pause to look through them
        if supervised:
            threading.Thread(target=stop_with_input, args=(stop,), name="supervisor", daemon=True).start()
        if not stopping.is_set():
            _log.info("daemon_serves", pid=os.getpid())
            daemon.run()
        REGISTRY.unregister(collector)
    if lost.is_set():
        raise AlreadyRunning(f"another daemon took over switch {section.name}")
    _log.info("daemon_stopped")


def liveness_of(application: Application, charging: Charging, notifier: Notifier) -> Liveness | None:
    """What says that the daemon works; None where nobody listens."""
    if not notifier.heard:
        return None

    def tell(first: bool, status: str) -> None:
        notifier.send(*((READY,) if first else ()), ALIVE, f"STATUS={status}")

    return Liveness(charging.engine, application.clock, tell, notifier.interval_s)


@contextmanager
def metrics_of(settings: Settings, port: int) -> Iterator[None]:
    """Serve metrics where the configuration wants them."""
    if not settings.metrics.enabled:
        yield
        return
    with metrics_server(settings.metrics.host, port):
        yield


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call stop() on SIGTERM and SIGINT."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_with_input(stop: Callable[[], None]) -> None:
    """Call stop() once the supervisor is gone; returns then."""
    # The supervisor writes nothing; the end of its pipe is the end of the supervisor.
    while os.read(0, 1024):
        pass
    stop()


COMMANDS = (run, esl, ami)
