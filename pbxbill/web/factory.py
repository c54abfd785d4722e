"""Makes the Flask application: its parts, its limits, what every answer carries, and how faults leave."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Flask, Response, current_app, redirect, request, url_for
from flask_wtf import CSRFProtect
from sqlalchemy import text
from werkzeug.wrappers import Response as Redirect

from pbxbill.billing.payments.webhook_handling import MAX_BODY_BYTES
from pbxbill.store.engine import reading, transaction
from pbxbill.web import panel, portal
from pbxbill.web.api import api
from pbxbill.web.appearance import install_appearance
from pbxbill.web.desks import Desks
from pbxbill.web.error_pages import PLAIN, install_errors
from pbxbill.web.front import Front, open_to_all
from pbxbill.web.identity import Identity, cookie_name, install_access, is_secure
from pbxbill.web.late_rules import IdConverter, LateRule
from pbxbill.web.own import own_pages
from pbxbill.web.panel.first_steps import leads_there
from pbxbill.web.panel.navigation import menu
from pbxbill.web.pay_pages import pay_pages
from pbxbill.web.policies import CONTENT_POLICY, PAGE_POLICY
from pbxbill.web.request_limits import install_limits, limit_tries
from pbxbill.web.rules import WebRules
from pbxbill.web.serving import LARGER
from pbxbill.web.webhooks import webhooks

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
    "Cache-Control": "no-store",
}
HSTS = "max-age=31536000"
TRIED = {
    "log_in.show": True,
    "log_in.second_factor": True,
    "me.prove": True,
    "links.choose": False,
    "links.forgotten": False,
    "passkeys.log_in": False,
}
"""What is guessed at, and whether its redirect says that it was right."""


def create_app(desks: Desks, rules: WebRules | None = None) -> Flask:
    """The application, with all that it works with."""
    app = Flask(__name__, static_url_path="/static")
    app.url_rule_class = LateRule
    app.url_map.converters["int"] = IdConverter
    front = Front(desks, rules)
    identity = Identity(front)
    _configure(app, front)
    install_appearance(app, front)
    install_errors(app)
    install_access(app, identity)
    csrf = CSRFProtect(app)
    install_limits(app, front)
    # These are not asked by browsers that take a cookie along.
    for blueprint in (webhooks(desks), pay_pages(desks), *api(front, front.rules.most_streams)):
        csrf.exempt(blueprint)
        app.register_blueprint(blueprint)
    for blueprint in own_pages(front, identity):
        app.register_blueprint(blueprint)
    for endpoint, forgives in TRIED.items():
        limit_tries(app, endpoint, forgives=forgives)
    _register(app, front, panel.SECTIONS, panel.PREFIX)
    _register(app, front, portal.SECTIONS, portal.PREFIX)
    _add_small_pages(app, front, identity)
    _open_files(app)
    _secure(app, front)
    return app


def _configure(app: Flask, front: Front) -> None:
    keys = front.rules.sealer.signing_keys()
    app.config.update(
        SECRET_KEY=keys[0],
        SECRET_KEY_FALLBACKS=keys[1:],
        SESSION_COOKIE_NAME=cookie_name(front, "-form"),
        SESSION_COOKIE_SECURE=is_secure(front),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        # The token lives as long as the browser's session; what it protects ends with the log-in.
        WTF_CSRF_TIME_LIMIT=None,
        # It would ask for a Referer as a proxy may not pass it on. The token and SameSite stand.
        WTF_CSRF_SSL_STRICT=False,
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES,
        MAX_FORM_PARTS=2_000,
    )
    app.extensions["pbxbill_rules"] = front.rules
    app.extensions["pbxbill_later"] = front.desks.later
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True

    @app.before_request
    def let_larger_in() -> None:
        if request.path.startswith(LARGER):
            request.max_content_length = front.rules.upload_bytes


def _register(
    app: Flask, front: Front, sections: tuple[Callable[[Front], Blueprint], ...], prefix: str
) -> None:
    for section in sections:
        blueprint = section(front)
        app.register_blueprint(blueprint, url_prefix=prefix + (blueprint.url_prefix or ""))


def _add_small_pages(app: Flask, front: Front, identity: Identity) -> None:
    @app.get("/")
    @open_to_all
    def home() -> Redirect:
        login = identity.of_page()
        if login is None:
            return redirect(url_for("log_in.show"), 303)
        if leads_there(front, login.actor):
            return redirect(url_for("first_steps.show"), 303)
        groups = current_app.extensions["pbxbill_menu"](login.actor)
        shown = menu(groups, login.actor.permissions, app.view_functions)
        first = shown[0].items[0].endpoint if shown else "me.show"
        return redirect(url_for(first), 303)

    @app.get("/healthz")
    @open_to_all
    def healthz() -> Response:
        with transaction(reading(front.desks.application.database)) as session:
            session.execute(text("SELECT 1"))
        return Response("ok\n", mimetype="text/plain")


def _open_files(app: Flask) -> None:
    """Files that come with us are for everybody."""
    for endpoint, view in list(app.view_functions.items()):
        if endpoint == "static" or endpoint.endswith(".static"):
            app.view_functions[endpoint] = open_to_all(_file_of(view))


def _file_of(view: Callable[..., Any]) -> Callable[..., Any]:
    # Of a blueprint it is a method, which can note nothing.
    def file(**named: Any) -> Any:
        return view(**named)

    return file


def _secure(app: Flask, front: Front) -> None:
    @app.after_request
    def secured(response: Response) -> Response:
        is_page = not request.path.startswith(PLAIN)
        response.headers.setdefault("Content-Security-Policy", PAGE_POLICY if is_page else CONTENT_POLICY)
        # Forms of pages are sent with their origin; who pays elsewhere takes nothing along.
        response.headers.setdefault("Referrer-Policy", "same-origin" if is_page else "no-referrer")
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if is_secure(front):
            response.headers.setdefault("Strict-Transport-Security", HSTS)
        return response
