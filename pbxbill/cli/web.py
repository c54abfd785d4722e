"""web: the process that serves panel, portals and API, and hears webhooks of payment gateways."""

import http.client
import os
import threading
from urllib.parse import urlsplit

import click
import structlog

from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.daemons import metrics_of, stop_with_input, stopped_by_signals, supervised_option
from pbxbill.clock import SECOND_US
from pbxbill.logs import configure_logs
from pbxbill.notice import ALIVE, READY, STOPPING, Notifier
from pbxbill.settings import mail_settings

PROBE_TIMEOUT_S = 10.0
_log = structlog.get_logger()


@click.command()
@supervised_option
@pass_context
def web(context: Context, supervised: bool) -> None:
    """Serve the panel, the portals, the API and webhooks of payment gateways, until stopped."""
    from pbxbill.access.login_sessions import SessionLimits
    from pbxbill.access.sealing import read_key_file
    from pbxbill.cli.web_installation import installation_of
    from pbxbill.web.desks import Desks
    from pbxbill.web.factory import create_app
    from pbxbill.web.rules import WebRules
    from pbxbill.web.serving import ServingSettings, WebServer

    settings = context.settings
    configure_logs(settings.log.level, settings.log.format, "web")
    section = settings.web
    serving = ServingSettings(
        section.host,
        section.port,
        section.threads,
        section.connections,
        section.timeout_s,
        upload_bytes=section.upload_mb * 1_000_000,
        trusted_proxy=section.trusted_proxy,
        streams=section.streams,
        prefix=urlsplit(section.public_url).path.rstrip("/"),
    )
    rules = WebRules(
        sealer=read_key_file(section.key_file),
        limits=SessionLimits(section.idle_min * 60 * SECOND_US, section.longest_h * 3600 * SECOND_US),
        requests_per_min=section.requests_per_min,
        most_streams=section.streams,
        upload_bytes=section.upload_mb * 1_000_000,
        mail=mail_settings(settings.mail),
        installation=installation_of(context),
    )
    notifier = Notifier()
    with context.application(plan_each=True) as application:
        desks = Desks(application, public_url=section.public_url)
        server = WebServer(create_app(desks, rules), serving)

        def stop() -> None:
            notifier.send(STOPPING)
            server.stop()

        with stopped_by_signals(stop), metrics_of(settings, settings.web_metrics_port):
            if supervised:
                threading.Thread(target=stop_with_input, args=(stop,), name="supervisor", daemon=True).start()
            beats = _Beats(notifier, section.host, server.port)
            beats.start()
            _log.info("web_serves", pid=os.getpid(), host=section.host, port=server.port)
            try:
                server.run()
            finally:
                beats.stop()
                desks.close()
    _log.info("web_stopped")


class _Beats(threading.Thread):
    """Says that the server answers, for as long as it does."""

    def __init__(self, notifier: Notifier, host: str, port: int) -> None:
        super().__init__(name="beats", daemon=True)
        self._notifier = notifier
        self._address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104  # asked, not bound
        self._stopped = threading.Event()

    def run(self) -> None:
        if not self._notifier.heard:
            return
        ready = False
        while not self._stopped.is_set():
            if self._answers():
                self._notifier.send(*(() if ready else (READY,)), ALIVE, "STATUS=it answers")
                ready = True
            self._stopped.wait(self._notifier.interval_s if ready else 0.25)

    def _answers(self) -> bool:
        # Whatever it answers: a database that is away is no reason to start the process anew.
        connection = http.client.HTTPConnection(*self._address, timeout=PROBE_TIMEOUT_S)
        try:
            connection.request("GET", "/healthz")
            return bool(connection.getresponse().status)
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        self._stopped.set()


COMMANDS = (web,)
