"""The web process that bench.web asks: serves until the end of its standard input."""

import sys
import threading

import structlog

from pbxbill.app import open_application
from pbxbill.web.desks import Desks
from pbxbill.web.factory import create_app
from pbxbill.web.rules import WebRules
from pbxbill.web.serving import ServingSettings, WebServer

THREADS = 8


def serve(url: str) -> None:
    """On a free port, which is printed; nobody is asked to wait for asking often."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    with open_application(url, plan_each=True) as application:
        desks = Desks(application)
        app = create_app(desks, WebRules(requests_per_min=10**6))
        server = WebServer(app, ServingSettings("127.0.0.1", 0, THREADS, 100, 60))
        print(server.port, flush=True)

        def stop() -> None:
            sys.stdin.read()
            server.stop()

        threading.Thread(target=stop, daemon=True).start()
        server.run()
        desks.close()


if __name__ == "__main__":
    serve(sys.argv[1])
