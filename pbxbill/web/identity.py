"""Who asks: a browser by its cookie, a program by its key. And the one check of who may enter a route.

The cookie is a random token of which the database keeps the hash (access/login_sessions.py): a forged one
is nobody's, and whoever has none is asked to log in.
"""

import threading
from collections import OrderedDict
from typing import TypeVar
from urllib.parse import urlsplit

import structlog
from flask import Flask, Response, abort, current_app, g, redirect, request, session, url_for
from werkzeug.exceptions import TooManyRequests
from werkzeug.wrappers import Response as Redirect

from pbxbill.access import login_sessions
from pbxbill.access.actor import Actor, acting
from pbxbill.access.api_keys import NOTE_USE_EVERY_US, actor_of_key, note_use
from pbxbill.access.attempts import network_of, remember_network
from pbxbill.access.login_sessions import SEEN_EVERY_US, LoggedIn
from pbxbill.access.permissions import Permission
from pbxbill.errors import StoreUnavailable
from pbxbill.store.access_models import UserRow
from pbxbill.store.models import AccountRow
from pbxbill.web.allowance import Allowance
from pbxbill.web.front import EVERYBODY, LOGGED_IN, Front, is_background, is_grave, needed_by

API = "/api/"
MAX_NEXT_LENGTH = 2_000
MAX_REMEMBERED = 10_000
SHOWN = 16
"""So many characters of a key are no secret: pbx_ and its prefix."""
Answer = TypeVar("Answer", bound=Redirect)
_log = structlog.get_logger()


class Identity:
    """Finds out who asks, lets people in and out."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._used: OrderedDict[int, int] = OrderedDict()
        self._wrong = Allowance()
        self._right: OrderedDict[str, None] = OrderedDict()
        """What keys that were right begin with."""
        self._lock = threading.Lock()

    @property
    def cookie(self) -> str:
        """The cookie's name. Browsers take one with this prefix from the very host alone, by TLS."""
        return cookie_name(self._front, "")

    def of_page(self) -> LoggedIn | None:
        """Who comes with the cookie; asked of the database once per request."""
        if "login" not in g:
            g.login = self._of_page()
        login: LoggedIn | None = g.login
        return login

    def of_program(self) -> Actor | None:
        """Who comes with Authorization: Bearer KEY."""
        kind, _, presented = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        presented = presented.strip()
        self._refuse_guessing(presented)
        now_us = self._front.clock.now_us()
        with self._front.reading() as session:
            actor = actor_of_key(session, presented, now_us, address())
        if actor is None or actor.api_key_id is None:
            most = self._front.rules.wrong_keys_per_min
            self._wrong.count(network_of(address()), most, self._front.clock.monotonic_us())
            return None
        self._note_use(actor.api_key_id, now_us)
        with self._lock:
            self._right[presented[:SHOWN]] = None
            if len(self._right) > MAX_REMEMBERED:
                self._right.popitem(last=False)
        return actor

    def _refuse_guessing(self, presented: str) -> None:
        """429 from where keys were often wrong: the database need not be asked. One behind the same address
        whose key was right goes on."""
        most = self._front.rules.wrong_keys_per_min
        counted = self._wrong.look(network_of(address()), most, self._front.clock.monotonic_us())
        if counted.left < 0 and presented[:SHOWN] not in self._right:
            raise TooManyRequests(retry_after=counted.reset_s)

    def let_in(self, user_id: int) -> str:
        """A fresh session for a user who has proven himself: its token, for answer_with(). What the browser
        held before, another session or a half-done log-in, ends."""
        with self._front.reading() as database:
            user = database.get_one(UserRow, user_id)
            account = database.get_one(AccountRow, user.account_id)
            g.actor = login_sessions.actor_of(user, account, address())
        with self._front.changing("user.log-in", user.login) as change:
            user = change.session.get_one(UserRow, user_id)
            before = request.cookies.get(self.cookie, "")
            if before:
                login_sessions.end(change.session, user.id, login_sessions.token_hash(before))
            remember_network(change.session, user.login, address(), change.now_us)
            came = (address(), request.headers.get("User-Agent", ""))
            limits = self._front.rules.limits
            token = login_sessions.begin(change.session, user, change.now_us, limits, came)
        session.clear()
        return token

    def answer_with(self, answer: Answer, token: str) -> Answer:
        """The answer, with the cookie."""
        secure = is_secure(self._front)
        answer.set_cookie(self.cookie, token, httponly=True, secure=secure, samesite="Lax", path="/")
        return answer

    def let_out(self, answer: Redirect) -> Redirect:
        """End the session, and forget the cookie."""
        token = request.cookies.get(self.cookie, "")
        login = self.of_page()
        if login is not None and login.actor.user_id is not None:
            with self._front.writing() as database:
                login_sessions.end(database, login.actor.user_id, login_sessions.token_hash(token))
        session.clear()
        answer.delete_cookie(self.cookie, path="/", secure=is_secure(self._front), httponly=True)
        return answer

    def ask_for_proof(self) -> Redirect | None:
        """Nothing, if the password was entered lately; else the way to the page that asks for it."""
        login = self.of_page()
        # A form that was opened with it may still be sent for a while.
        patience = 1 if request.method in ("GET", "HEAD") else 2
        if login is None or login.is_proven(self._front.clock.now_us(), patience):
            return None
        asked = request.script_root + request.full_path.rstrip("?")
        back = asked if request.method == "GET" else _referring_path()
        return redirect(url_for("me.prove", next=own_path(back) or None), 303)

    def _of_page(self) -> LoggedIn | None:
        token = request.cookies.get(self.cookie, "")
        if not token:
            return None
        now_us, limits = self._front.clock.now_us(), self._front.rules.limits
        with self._front.reading() as session:
            found = login_sessions.find(session, token, now_us, limits, address())
        is_asked = not is_background(current_app.view_functions.get(request.endpoint or ""))
        if found is not None and is_asked and now_us - found.seen_us >= SEEN_EVERY_US:
            self._note_seen(found.token_hash, now_us)
        return found

    def _note_seen(self, token_hash: str, now_us: int) -> None:
        try:
            with self._front.writing() as session:
                login_sessions.note_seen(session, token_hash, now_us)
        except StoreUnavailable as error:
            # What was asked for may only read; the next request notes it.
            _log.warning("session_not_noted", error=str(error))

    def _note_use(self, api_key_id: int, now_us: int) -> None:
        with self._lock:
            if now_us - self._used.get(api_key_id, 0) < NOTE_USE_EVERY_US:
                return
            self._used[api_key_id] = now_us
            self._used.move_to_end(api_key_id)
            if len(self._used) > MAX_REMEMBERED:
                self._used.popitem(last=False)
        try:
            with self._front.writing() as session:
                note_use(session, api_key_id, now_us)
        except StoreUnavailable as error:
            _log.warning("key_use_not_noted", error=str(error))


def install_access(app: Flask, identity: Identity) -> None:
    """Ask before every route whom it is for. One that does not say is for nobody."""

    @app.before_request
    def check_access() -> Response | Redirect | None:
        if request.endpoint is None:
            return None  # there is no such route
        needed = needed_by(app.view_functions[request.endpoint])
        if needed == EVERYBODY:
            return None
        if needed is None:
            _log.error("route_says_nothing", endpoint=request.endpoint)
            abort(403)
        if request.path.startswith(API):
            actor = identity.of_program()
            if actor is None:
                abort(401)
        else:
            login = identity.of_page()
            if login is None:
                return _ask_to_log_in()
            actor = login.actor
            g.theme = login.theme
        g.actor = acting(actor, needed)
        if needed != LOGGED_IN and not (isinstance(needed, Permission) and actor.may(needed)):
            abort(403)
        if is_grave(app.view_functions[request.endpoint], request.method):
            return identity.ask_for_proof()
        return None


def _ask_to_log_in() -> Response | Redirect:
    # A script of a page cannot follow to a page that people fill in.
    if (
        "text/html" not in request.headers.get("Accept", "text/html, */*")
        and not request.accept_mimetypes["*/*"]
    ):
        return Response("Log in again\n", 401, mimetype="text/plain")
    if request.method not in ("GET", "HEAD"):
        return redirect(url_for("log_in.show"), 303)
    asked = request.script_root + request.full_path.rstrip("?")
    return redirect(url_for("log_in.show", next=asked if len(asked) <= MAX_NEXT_LENGTH else None), 303)


def _referring_path() -> str:
    parts = urlsplit(request.referrer or "")
    return parts.path + ("?" + parts.query if parts.query else "")


def own_path(text: str | None) -> str:
    """An address of this site as somebody asked for it; empty where it is one of another, or none."""
    if not text or len(text) > MAX_NEXT_LENGTH or not text.isprintable() or "\\" in text:
        return ""
    # Browsers read //host and /\host as another site.
    if not text.startswith("/") or text.startswith("//"):
        return ""
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return "" if parts.scheme or parts.netloc else text


def address() -> str:
    """Where the request comes from, as the proxy says it."""
    return (request.remote_addr or "")[:64]


def is_secure(front: Front) -> bool:
    """Whether people reach us by TLS."""
    return front.desks.public_url.startswith("https://")


def cookie_name(front: Front, part: str) -> str:
    """pbxbill, with the prefix by which browsers keep it from other hosts where they can."""
    return ("__Host-pbxbill" if is_secure(front) else "pbxbill") + part
