"""Which roles there are, and what each permits."""

from pydantic import BaseModel, Field

from pbxbill.access.permissions import PERMISSIONS_OF, ROLES_OF_KIND, Permission
from pbxbill.access.users import roles_known_to
from pbxbill.store.models import AccountRow
from pbxbill.web.api.api import Api
from pbxbill.web.api.users import TAG
from pbxbill.web.front import needs
from pbxbill.web.permission_words import PERMISSIONS, ROLES


class PermissionShown(BaseModel):
    """One thing that somebody may do."""

    name: str = Field(description="As scopes of keys have it.")
    about: str


class RoleShown(BaseModel):
    """What a user is for the account that he acts for."""

    name: str
    about: str
    account_kinds: list[str] = Field(description="Kinds of accounts whose users may have it.")
    permissions: list[PermissionShown]


class Roles(BaseModel):
    """All that users of the key's account, and of those below it, may have."""

    items: list[RoleShown]


def roles(api: Api) -> None:
    """Roles."""
    front = api.front

    @api.get("/roles", Roles, TAG)
    @needs(Permission.USERS_READ)
    def list_roles() -> Roles:
        """Which roles users may have, and what each permits."""
        with front.reading() as session:
            known = roles_known_to(session.get_one(AccountRow, front.scope.account_id))
        return Roles(
            items=[
                RoleShown(
                    name=role.value,
                    about=ROLES[role],
                    account_kinds=[kind for kind, given in ROLES_OF_KIND.items() if role in given],
                    permissions=[
                        PermissionShown(name=x.value, about=PERMISSIONS[x])
                        for x in Permission
                        if x in PERMISSIONS_OF[role]
                    ],
                )
                for role in known
            ]
        )
