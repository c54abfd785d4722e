"""An installation with users of every kind, and browsers in their hands: what tests of the web begin with."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from pbxbill.access import passwords
from pbxbill.access.permissions import Role
from pbxbill.access.users import NewUser, add_user
from pbxbill.app import Application, open_application
from pbxbill.clock import ManualClock
from pbxbill.store.access_models import UserRow
from pbxbill.store.accounts import NewAccount, open_account, open_wallet
from pbxbill.store.engine import open_engine, reading, transaction
from pbxbill.store.models import AccountRow
from pbxbill.web.desks import Desks
from pbxbill.web.rules import WebRules
from tests.database_contents import Contents
from tests.database_operator import open_database_operator
from tests.web.applications import opened_app

PASSWORD = "seven green bottles"
URL = "https://bill.example"
passwords._hasher = PasswordHasher(
    time_cost=1, memory_cost=64, parallelism=1
)  # how slow it is, is its matter
_HASH = passwords.hashed(PASSWORD)

USERS = {
    "admin": ("operator", Role.ADMIN),
    "finance": ("operator", Role.FINANCE),
    "support": ("operator", Role.SUPPORT),
    "cashier": ("operator", Role.DISTRIBUTOR),
    "reseller": ("reseller", Role.RESELLER),
    "shop": ("reseller", Role.DISTRIBUTOR),
    "reseller-books": ("reseller", Role.CUSTOMER),
    "alice": ("alice", Role.CUSTOMER),
    "other": ("other", Role.RESELLER),
    "olga": ("olga", Role.CUSTOMER),
}
"""Log-ins: of which account, and in which role. reseller has alice below it, other has olga."""


@dataclass
class Office:
    """The application, its clock, and a browser for whoever is asked for."""

    app: Flask
    application: Application
    clock: ManualClock
    url: str
    browsers: dict[str, "Browser"] = field(default_factory=dict)

    def browser(self, login: str = "") -> "Browser":
        """A browser of its own; with a log-in: logged in."""
        made = Browser(self.app.test_client())
        if login:
            answer = made.log_in(login)
            assert answer.status_code == 303, answer.text
        return made

    def seat(self, login: str) -> "Browser":
        """The browser in which a user stays logged in."""
        if login not in self.browsers:
            self.browsers[login] = self.browser(login)
        return self.browsers[login]

    @contextmanager
    def writing(self) -> Iterator[Session]:
        with transaction(self.application.database) as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        with transaction(reading(self.application.database)) as session:
            yield session

    def user(self, login: str) -> UserRow:
        with self.reading() as session:
            return session.scalars(select(UserRow).where(UserRow.login == login)).one()

    def account_id(self, code: str) -> int:
        with self.reading() as session:
            return session.scalars(select(AccountRow.id).where(AccountRow.code == code)).one()


@dataclass
class Browser:
    """Keeps cookies, and sends forms with the token that their page carries."""

    client: FlaskClient

    def get(self, path: str, **options: object) -> TestResponse:
        return self.client.get(path, base_url=URL, **options)

    def post(self, path: str, data: Mapping[str, object] | None = None, *, page: str = "") -> TestResponse:
        """Send a form as the page (path, unless another is named) shows it."""
        sent = {"csrf_token": self.token(page or path), **(data or {})}
        return self.client.post(path, data=sent, base_url=URL)

    def token(self, page: str) -> str:
        found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', self.get(page).text)
        return found[1] if found else ""

    def log_in(self, login: str, password: str = PASSWORD, **more: object) -> TestResponse:
        return self.post("/log-in", {"login": login, "password": password, **more})


def fill_office(url: str) -> None:
    """An operator, two resellers with a customer each, and USERS, whose password is PASSWORD."""
    open_database_operator(url)
    now_us = ManualClock().now_us()
    database = open_engine(url)
    with transaction(database) as session:
        other = NewAccount("other", "Other", kind="reseller", mode="postpaid", tariff="wholesale")
        open_wallet(session, open_account(session, other, 0), "EUR", credit_limit=1_000_000_000)
        olga = NewAccount("olga", "Olga", parent="other", tariff="retail")
        open_wallet(session, open_account(session, olga, 0), "EUR")
        accounts = {x.code: x for x in session.scalars(select(AccountRow))}
        for login, (code, role) in USERS.items():
            new = NewUser(login, login.title(), role, f"{login}@example.com")
            add_user(session, accounts[code], new, now_us).password_hash = _HASH
    database.dispose()


OFFICE = Contents("office", fill_office)


@contextmanager
def opened_office(url: str, rules: WebRules | None = None) -> Iterator[Office]:
    """The application on what fill_office leaves in a database: in this, or in that of which it is a copy."""
    database = open_engine(url)
    with transaction(reading(database)) as session:
        is_filled = session.scalar(select(UserRow.id).limit(1)) is not None
    database.dispose()
    if not is_filled:
        fill_office(url)
    clock = ManualClock()
    with open_application(url, clock=clock) as application:
        desks = Desks(application, public_url=URL)
        with opened_app(desks, rules) as app:
            yield Office(app, application, clock, url)
            desks.close()
