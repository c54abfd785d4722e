"""What commands change stands in the audit log: who called which command, about what, and what it changed.

Context.application() has every transaction that writes told of here; no command has to think of it.
"""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Actor, Scope
from pbxbill.access.audit import MAX_ROWS, Seen, watched, write_audit
from pbxbill.clock import Clock
from pbxbill.store.access_models import UserRow
from pbxbill.store.engine import transaction
from pbxbill.store.models import AccountRow

BY_THEMSELVES = frozenset(("run", "esl", "ami", "web", "jobs", "jobs run"))
"""These work for nobody at the terminal: what they do is in runs and journals, or told by who asked."""
UNSAID = frozenset(("value", "columns", "secret", "pin"))
"""Arguments that may hold what is nobody's business."""


class CommandTeller:
    """Tells of one command. It has room for so many changes, however many transactions it takes."""

    def __init__(self, command: click.Context, clock: Clock) -> None:
        self._action = command_path(command)
        self._said = said(command)
        self._clock = clock
        self._room = MAX_ROWS
        self._more = 0

    @contextmanager
    def __call__(self, session: Session, *, money: bool) -> Iterator[None]:
        """A transaction of it."""
        with watched(session, max(0, self._room)) as seen:
            yield
        if self._room <= 0:
            self._more += seen.more or int(money)
        elif seen or money:
            self._room -= max(1, len(seen.changes))
            self._write(session, seen)

    def finish(self, database: Engine) -> None:
        """Say how much there was no room for. database: one that nothing is told of."""
        if not self._more:
            return
        with transaction(database) as session:
            self._write(session, Seen(room=0, more=self._more))

    def _write(self, session: Session, seen: Seen) -> None:
        operator_id = session.scalars(select(AccountRow.id).where(AccountRow.kind == "operator")).one()
        write_audit(
            session,
            Actor(user_of_terminal(), Scope(operator_id, "/"), frozenset()),
            self._action[:64],
            " ".join(self._said.values()),
            seen,
            now_us=self._clock.now_us(),
            account_id=self._account_id(session),
        )

    def _account_id(self, session: Session) -> int | None:
        """Whom it is about, where its arguments say so."""
        login = self._said.get("login", "").lower()
        if login:
            return session.scalar(select(UserRow.account_id).where(UserRow.login == login))
        code = self._said.get("account") or self._said.get("code")
        return session.scalar(select(AccountRow.id).where(AccountRow.code == code)) if code else None


def teller_of(clock: Clock) -> CommandTeller | None:
    """What tells of the command that runs; None: it works by itself, or there is none."""
    command = click.get_current_context(silent=True)
    if command is None or command_path(command) in BY_THEMSELVES:
        return None
    return CommandTeller(command, clock)


def command_path(command: click.Context) -> str:
    """As it was called, without the program's own name: accounts add."""
    words: list[str] = []
    at: click.Context | None = command
    while at is not None and at.parent is not None:
        words.insert(0, at.info_name or "")
        at = at.parent
    return " ".join(words)


def said(command: click.Context) -> dict[str, str]:
    """What it was called with, as far as anybody may know: arguments, and never options."""
    arguments = {x.name for x in command.command.params if isinstance(x, click.Argument)} - UNSAID
    if {"account", "code"} <= arguments:
        arguments.discard("code")  # a voucher's: worth money until it is used
    given = {name: command.params.get(name) for name in command.params if name in arguments}
    return {name: _text(value) for name, value in given.items() if value not in (None, ())}


def user_of_terminal() -> str:
    """As whom a command acts: whoever is logged in there."""
    try:
        return f"cli:{os.environ.get('SUDO_USER') or getpass.getuser()}"
    except (OSError, KeyError):  # no such user: a container
        return "cli:?"


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
