"""How faults leave: pages for people, problem details for programs, a word for gateways and probes.

No page here needs the database: it may be what is missing.
"""

from http import HTTPStatus

import structlog
from flask import Flask, Response, g, render_template, request
from flask_babel import gettext, lazy_gettext
from sqlalchemy.exc import InterfaceError, OperationalError
from werkzeug.exceptions import HTTPException

from pbxbill.errors import EngineBusy, InputRefused, PbxbillError, StoreUnavailable
from pbxbill.web.api.problems import asks_api, problem_of
from pbxbill.web.appearance import Brand

PLAIN = ("/webhooks/", "/pay/", "/healthz", "/.well-known/", "/static/")
RETRY_S = 30
_MOST_TYPED = 1_000
_WORDS = {
    400: (
        lazy_gettext("This cannot be understood"),
        lazy_gettext("Go back, load the page again, and try once more."),
    ),
    403: (
        lazy_gettext("You may not do this"),
        lazy_gettext("Your role does not allow it. Ask an administrator if you need it."),
    ),
    404: (
        lazy_gettext("There is nothing here"),
        lazy_gettext("It does not exist, or it is not yours to see."),
    ),
    405: (lazy_gettext("This cannot be understood"), lazy_gettext("This address does not take that.")),
    413: (lazy_gettext("This is too large"), lazy_gettext("Send a smaller file.")),
    429: (
        lazy_gettext("Too many requests"),
        lazy_gettext("Wait a minute, then go on where you were."),
    ),
    500: (
        lazy_gettext("Something is broken here"),
        lazy_gettext("It is in our log. Nothing was changed by this request."),
    ),
    503: (
        lazy_gettext("Not now"),
        lazy_gettext("The service cannot do this at the moment. Try again in a minute; nothing was changed."),
    ),
}  # fmt: skip
_log = structlog.get_logger()


def install_errors(app: Flask) -> None:
    """Answer for every fault."""

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        if asks_api():
            return problem_of(error)
        code = error.code or 500
        if code < 400:
            return Response(error.get_body(), code, error.get_headers())
        headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
        return _answer(code, headers=headers)

    @app.errorhandler(InputRefused)
    def wrong(error: InputRefused) -> Response:
        return problem_of(error) if asks_api() else _answer(400, detail=str(error))

    @app.errorhandler(PbxbillError)
    @app.errorhandler(OperationalError)
    @app.errorhandler(InterfaceError)
    def unavailable(error: Exception) -> Response:
        # Whoever asks may ask again: gateways do so for days.
        _log.error("request_failed", path=_path(), error=str(error))
        if asks_api():
            known = isinstance(error, PbxbillError)
            return problem_of(error if known else StoreUnavailable(str(error)))
        is_busy = isinstance(error, StoreUnavailable | EngineBusy | OperationalError | InterfaceError)
        is_page = not request.path.startswith(PLAIN)
        code = 500 if is_page and not is_busy else 503
        return _answer(code, headers={"Retry-After": str(RETRY_S)} if code == 503 else {})

    @app.errorhandler(Exception)
    def broken(error: Exception) -> Response:
        if asks_api():
            return problem_of(error)
        _log.exception("request_broken", path=_path())
        return _answer(500)


def _answer(code: int, *, detail: str = "", headers: dict[str, str] | None = None) -> Response:
    if request.path.startswith(PLAIN):
        told = "Not now" if code == 503 else HTTPStatus(code).phrase
        return Response(f"{told}\n", code, headers, mimetype="text/plain")
    if code >= 500 and code != 503:
        g.brand = Brand(
            "pbxbill"
        )  # a name that is not known costs one more question when the database is busy
    title, then = _WORDS.get(code, (HTTPStatus(code).phrase, gettext("Go back and try something else.")))
    again = _typed() if code == 503 else None
    page = render_template("error.html", title=title, then=detail or then, code=code, again=again)
    return Response(page, code, headers)


def _typed() -> list[tuple[str, str]] | None:
    """What the form said that could not be taken, to be sent once more; None: it is typed again.

    A password does not go into a page, and a file cannot.
    """
    if request.method != "POST" or request.files or g.get("actor") is None:
        return None
    typed = list(request.form.items(multi=True))
    is_secret = any(word in name for name, _ in typed for word in ("password", "secret"))
    return None if is_secret or len(typed) > _MOST_TYPED else typed


def _path() -> str:
    # The key of a payment, or the token of a link, is nobody's business in a log.
    return str(request.url_rule or "?")
