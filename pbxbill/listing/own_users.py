"""Who is let in to the portal of an account, as it sees them itself."""

from dataclasses import replace

from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.listing.listing import Rows
from pbxbill.listing.users import USERS
from pbxbill.store.access_models import UserRow


def _rows(session: Session, scope: Scope) -> Rows:
    return USERS.rows(session, scope).where(UserRow.account_id == scope.account_id)


OWN_USERS = replace(
    USERS,
    name="my-users",
    permission=Permission.OWN_WRITE,
    columns=tuple(x for x in USERS.columns if x.key not in ("account", "role")),
    filters=tuple(x for x in USERS.filters if x.key not in ("account", "role")),
    rows=_rows,
)
