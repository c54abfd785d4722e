"""What routes of panel, portal and API work with: who asks, what he may, and transactions with his name.

Every route says with needs() or open_to_all() whom it is for; one that says neither is refused. That is
checked here, before any route runs, and nowhere else.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import abort, g
from flask_babel import gettext
from sqlalchemy import Select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Actor, Scope, account_in_scope
from pbxbill.access.audit import audited
from pbxbill.access.login_sessions import LoggedIn
from pbxbill.access.permissions import Permission
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import Clock
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow
from pbxbill.web.desks import Desks
from pbxbill.web.editions import says_edition
from pbxbill.web.rules import WebRules
from pbxbill.web.turns import take_turn

View = TypeVar("View", bound=Callable[..., Any])
Row = TypeVar("Row")
EVERYBODY = "everybody"
LOGGED_IN = "logged in"
CHANGING = "changing"


def needs(permission: Permission) -> Callable[[View], View]:
    """The route is for whoever may do this."""
    return lambda view: _said(view, permission)


def open_to_all(view: View) -> View:
    """The route proves itself who may use it, or is for everybody."""
    return _said(view, EVERYBODY)


def for_users(view: View) -> View:
    """The route is for whoever is logged in, whatever he may: his own settings."""
    return _said(view, LOGGED_IN)


def needed_by(view: Callable[..., Any]) -> Permission | str | None:
    """What a route needs; None: it does not say."""
    found: Permission | str | None = getattr(view, "needed", None)
    return found


def grave(view: View) -> View:
    """Who was not asked for his password lately is asked for it first: users, keys, what opens doors."""
    view.grave = True  # type: ignore[attr-defined]  # as below
    return view


def grave_to_change(view: View) -> View:
    """The same of what is sent to a route, and not of looking at its page."""
    view.grave = CHANGING  # type: ignore[attr-defined]  # as below
    return view


def is_grave(view: Callable[..., Any], method: str = "POST") -> bool:
    """Whether it is one of those, asked by a method."""
    kept = getattr(view, "grave", False)
    return bool(kept) and not (kept == CHANGING and method in ("GET", "HEAD"))


def background(view: View) -> View:
    """Pages ask this route by themselves: that somebody sits there does not follow from it."""
    view.background = True  # type: ignore[attr-defined]  # as below
    return view


def is_background(view: Callable[..., Any] | None) -> bool:
    """Whether it is one of those."""
    return bool(getattr(view, "background", False))


def _said(view: View, needed: Permission | str) -> View:
    view.needed = needed  # type: ignore[attr-defined]  # kept with the view, where the check finds it
    return view


@dataclass(frozen=True, slots=True)
class Change:
    """A transaction in which rows change and money moves."""

    session: Session
    books: Bookkeeper
    now_us: int


_within: ContextVar[Session | None] = ContextVar("within", default=None)


class Front:
    """One for the application."""

    def __init__(self, desks: Desks, rules: WebRules | None = None) -> None:
        self.desks = desks
        self.rules = rules or WebRules()

    @property
    def clock(self) -> Clock:
        """The application's."""
        return self.desks.application.clock

    @property
    def actor(self) -> Actor:
        """Who asks; only in routes that need a permission or a log-in."""
        actor: Actor = g.actor
        return actor

    @property
    def login(self) -> LoggedIn:
        """The session of who asks; only in pages that need a permission or a log-in."""
        login: LoggedIn = g.login
        return login

    @property
    def scope(self) -> Scope:
        """What he may see."""
        return self.actor.scope

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that changes nothing."""
        held = _within.get()
        if held is not None:
            yield held
            return
        with transaction(reading(self.desks.application.database)) as session:
            yield session

    @staticmethod
    @contextmanager
    def within(change: Change) -> Iterator[None]:
        """Let reading() be of a change's own transaction: it sees what is about to be changed."""
        token = _within.set(change.session)
        try:
            yield
        finally:
            _within.reset(token)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that the audit log need not tell of: what somebody does before he is known."""
        with self.desks.desk() as desk, desk.writing() as (session, _books):
            yield session

    @contextmanager
    def changing(self, action: str, subject: str, *, account_id: int | None = None) -> Iterator[Change]:
        """A transaction that the audit log tells of: what was done, to what, and to whose account.

        A fault undoes all of it; live calls hear of money after the commit. Who saves a form that
        says what it showed (editions.py) does so alone.
        """
        now_us = self.clock.now_us()
        with (
            self.desks.desk() as desk,
            desk.writing() as (session, books),
            audited(session, self.actor, action, subject, now_us=now_us, account_id=account_id),
        ):
            if says_edition():
                take_turn(session)
            yield Change(session, books, now_us)

    @staticmethod
    def one(session: Session, query: Select[Row]) -> Row:
        """The row that a query finds within the scope; 404 where it finds none."""
        row = session.scalar(query)
        if row is None:
            abort(404)
        return row

    def account(self, session: Session, account_id: int) -> AccountRow:
        """An account of the scope; 404 for any other."""
        account = account_in_scope(session, self.scope, account_id)
        if account is None:
            abort(404)
        return account

    def billed(self, session: Session, account_id: int) -> AccountRow:
        """One whose money is the matter of who acts; 403: it would move the books of a reseller between."""
        account = self.account(session, account_id)
        if not self.scope.bills(account):
            abort(403, gettext("Account %(code)s is billed by the reseller above it.", code=account.code))
        return account
