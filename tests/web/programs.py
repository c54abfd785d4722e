"""Programs with keys of the API, on an installation with calls and invoices: what tests of it begin with."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Flask

from pbxbill.access.actor import Actor, Scope
from pbxbill.access.api_keys import NewKey, make_key
from pbxbill.access.permissions import PERMISSIONS_OF, Permission, Role
from pbxbill.app import open_application
from pbxbill.ids import new_id
from pbxbill.store.engine import transaction
from pbxbill.store.models import AccountRow
from pbxbill.web.desks import Desks
from pbxbill.web.rules import WebRules
from tests.store.billed_accounts import BilledAccounts, open_accounts, opened_accounts
from tests.store.invoiced_accounts import Invoicing
from tests.web.applications import opened_app

BASE = "/api/v1"
OPERATOR = "operator"
# Tests guess more often than anybody.
OF_PROGRAMS = WebRules(wrong_keys_per_min=1_000_000)


@dataclass
class Program:
    """Somebody with a key. What is answered is a werkzeug.test.TestResponse, whose json is what it is."""

    app: Flask
    key: str

    def ask(self, method: str, path: str, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"} | options.pop("headers", {})
        address = path if path.startswith("/api/") else BASE + path
        return self.app.test_client().open(address, method=method, headers=headers, **options)

    def get(self, path: str, **options: Any) -> Any:
        return self.ask("GET", path, **options)

    def post(self, path: str, body: Any, *, key: str | None = None, **options: Any) -> Any:
        """With an idempotency key of its own, unless one is named."""
        headers = {"Idempotency-Key": key or new_id()} | options.pop("headers", {})
        return self.ask("POST", path, json=body, headers=headers, **options)


@dataclass
class Installation:
    """The application, and keys for whoever is asked for."""

    app: Flask
    accounts: BilledAccounts
    invoicing: Invoicing
    desks: Desks

    def program(
        self,
        code: str = OPERATOR,
        *permissions: Permission,
        role: Role = Role.ADMIN,
        per_minute: int = 10_000,
        name: str = "",
    ) -> Program:
        """With a key of an account; without permissions: all that the role has."""
        with transaction(self.invoicing.database) as session:
            account = session.query(AccountRow).filter_by(code=code).one()
            scope = Scope(account.id, account.path)
            maker = Actor("test", scope, frozenset(Permission))
            scopes = frozenset(permissions) or PERMISSIONS_OF[role]
            new = NewKey(name or f"key of {code}", scopes, per_minute=per_minute)
            _, text = make_key(session, maker, new, self.invoicing.clock.now_us())
        return Program(self.app, text)

    def id(self, code: str) -> int:
        return self.accounts.ids[code]


@contextmanager
def installation(url: str, rules: WebRules | None = None) -> Iterator[Installation]:
    """reseller > alice, and bob, hot and carol, all of EUR, unless the database is a copy that has them."""
    accounts = opened_accounts(url)
    if not accounts.ids:
        accounts = open_accounts(url)
    invoicing = Invoicing(accounts)
    with open_application(url, clock=invoicing.clock) as application:
        desks = Desks(application)
        with opened_app(desks, rules, usual=OF_PROGRAMS, limited=True) as app:
            yield Installation(app, accounts, invoicing, desks)
            desks.close()
    invoicing.database.dispose()
