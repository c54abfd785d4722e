"""Makes the Flask application: its parts, its limits, what every answer carries, and how faults leave."""

import structlog
from flask import Flask, Response, request
from sqlalchemy import text
from werkzeug.exceptions import HTTPException

from pbxbill.billing.payments.webhook_handling import MAX_BODY_BYTES
from pbxbill.errors import PbxbillError
from pbxbill.store.engine import reading, transaction
from pbxbill.web.desks import Desks
from pbxbill.web.pay_pages import pay_pages
from pbxbill.web.webhooks import webhooks

CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
HSTS = "max-age=31536000"
_log = structlog.get_logger()


def create_app(desks: Desks) -> Flask:
    """The application, with all that it works with."""
    app = Flask(__name__, static_url_path="/static")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_BODY_BYTES
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.register_blueprint(webhooks(desks))
    app.register_blueprint(pay_pages(desks))

    @app.get("/healthz")
    def healthz() -> Response:
        with transaction(reading(desks.application.database)) as session:
            session.execute(text("SELECT 1"))
        return Response("ok\n", mimetype="text/plain")

    @app.after_request
    def secured(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if desks.public_url.startswith("https://"):
            response.headers.setdefault("Strict-Transport-Security", HSTS)
        return response

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        return Response(f"{error.name}\n", error.code, mimetype="text/plain")

    @app.errorhandler(PbxbillError)
    def unavailable(error: PbxbillError) -> Response:
        # Whoever asks may ask again: gateways do so for days.
        _log.error("request_failed", path=_path(), error=str(error))
        return Response("Not now\n", 503, {"Retry-After": "30"}, mimetype="text/plain")

    @app.errorhandler(Exception)
    def broken(_error: Exception) -> Response:
        _log.exception("request_broken", path=_path())
        return Response("Internal Server Error\n", 500, mimetype="text/plain")

    return app


def _path() -> str:
    # The key of a payment is nobody's business in a log.
    return str(request.url_rule or "?")
