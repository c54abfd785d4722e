"""Users and API keys of the account of whoever asks; users and keys of the accounts below it as well."""

from flask import Blueprint, render_template, url_for

from pbxbill.access.permissions import PERMISSIONS_OF, Permission
from pbxbill.access.users import roles_known_to
from pbxbill.listing.listing import N_
from pbxbill.listing.users import ACCOUNT_API_KEYS, API_KEYS, USERS
from pbxbill.store.models import AccountRow
from pbxbill.web.front import Front, needs
from pbxbill.web.key_pages import KeyPages, add_key_pages
from pbxbill.web.panel.account_tabs import account_tabs
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.permission_words import ROLES, permission_text
from pbxbill.web.user_pages import UserPages, add_user_pages


def users(front: Front) -> Blueprint:
    """The section of users."""
    made = Blueprint("users", __name__)
    add_list(
        made,
        front,
        ListPage(
            USERS,
            "/users",
            link=lambda row: url_for("users.show", user_id=row["id"]),
            template="panel/users/list.html",
        ),
    )
    add_user_pages(made, front, UserPages("users", Permission.USERS_READ, Permission.USERS_WRITE))

    @made.get("/roles")
    @needs(Permission.USERS_READ)
    def roles() -> str:
        with front.reading() as session:
            known = roles_known_to(session.get_one(AccountRow, front.scope.account_id))
        told = [
            (role.value, ROLES[role], [permission_text(x) for x in Permission if x in PERMISSIONS_OF[role]])
            for role in known
        ]
        return render_template("panel/users/roles.html", roles=told)

    return made


def api_keys(front: Front) -> Blueprint:
    """The section of API keys."""
    made = Blueprint("api_keys", __name__)
    add_key_pages(
        made,
        front,
        KeyPages(
            "/api-keys",
            API_KEYS,
            Permission.USERS_WRITE,
            empty=(N_("No API keys yet"), N_("Make one for each program, with no more than it needs.")),
        ),
    )
    return made


def account_api_keys(front: Front) -> Blueprint:
    """Keys that open the portal of an account, made by who sells to it."""
    made = Blueprint("account_api_keys", __name__)

    def more(account: AccountRow) -> dict[str, object]:
        return {"account": account, "tabs": account_tabs(account, front.actor), "tab": "api_keys"}

    add_key_pages(
        made,
        front,
        KeyPages(
            "/accounts/<int:id>/api-keys",
            ACCOUNT_API_KEYS,
            Permission.USERS_WRITE,
            empty=(
                N_("No program uses this account yet"),
                N_("A key lets softphones and web shops of the customer see the account and pay for it."),
            ),
            template="panel/api_keys/of_account.html",
            more=more,
        ),
    )
    return made
