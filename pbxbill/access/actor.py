"""Who acts, and for which accounts: what every request of panel, portal and API carries."""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, select, true
from sqlalchemy.orm import Session

from pbxbill.access.permissions import OWN, Permission
from pbxbill.store.models import AccountRow
from pbxbill.store.prefixes import begins_with


@dataclass(frozen=True, slots=True)
class Scope:
    """The accounts that somebody may see: those below one account, or that one alone.

    What is the operator's own (decks, plans, carriers) belongs to its account, a reseller's to his.
    """

    account_id: int
    """Whom he acts for: the issuer of what is below, or the account itself."""
    path: str
    """Its path in the tree, "/" for the operator."""
    own: bool = False
    """Only the account itself: a customer, or a reseller who looks at what he is billed."""

    @property
    def is_everything(self) -> bool:
        """The operator's: nothing has to be compared."""
        return self.path == "/" and not self.own

    def covers(self, account: AccountRow) -> bool:
        """Whether an account may be seen. Who sells does not see himself as one of his customers."""
        if self.own:
            return account.id == self.account_id
        return account.path.startswith(self.path) and account.id != self.account_id

    def bills(self, account: AccountRow) -> bool:
        """Whether what an account owes is his matter: a reseller's where no other is between them."""
        return self.is_everything or account.parent_id == self.account_id

    def among(self, account_id: Any) -> ColumnElement[bool]:
        """The condition that a column with an account's id names an account that may be seen."""
        if self.own:
            return _of(account_id == self.account_id)
        if self.is_everything:
            return true()
        below = select(AccountRow.id).where(
            begins_with(AccountRow.path, self.path), AccountRow.id != self.account_id
        )
        return _of(account_id.in_(below))

    def issued(self, issuer_id: Any) -> ColumnElement[bool]:
        """The condition that a column with an issuer's id names the one who acts: what he himself made."""
        return _of(issuer_id == self.account_id)


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who is logged in, or a program with a key."""

    name: str
    """As the audit log and `by` columns say it: a user's log-in, or key:NAME."""
    scope: Scope
    permissions: frozenset[Permission]
    user_id: int | None = None
    api_key_id: int | None = None
    language: str = "en"
    zone: str = "UTC"
    address: str = ""
    """Where he asks from."""
    per_minute: int = 0
    """How often a program may ask; 0 for people, who have the limit of the application."""
    ends_us: int | None = None
    """When a program's key ends; None: never by itself."""

    def may(self, permission: Permission) -> bool:
        """Whether it is allowed."""
        return permission in self.permissions


def acting(actor: Actor, needed: Permission | str) -> Actor:
    """As whom he acts where a route needs this: what is his own he sees for his own account alone.

    A reseller has both: his customers in the panel, and what he is billed himself in the portal.
    """
    if needed not in OWN or actor.scope.own:
        return actor
    return replace(actor, scope=replace(actor.scope, own=True))


def account_in_scope(session: Session, scope: Scope, account_id: int) -> AccountRow | None:
    """An account that may be seen; None for others and for what does not exist, which look alike."""
    account = session.get(AccountRow, account_id)
    return account if account is not None and scope.covers(account) else None


def _of(condition: Any) -> ColumnElement[bool]:
    found: ColumnElement[bool] = condition
    return found
