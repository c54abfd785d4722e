"""/my/users: an account lets others in, to its own portal."""

from flask import Blueprint, url_for

from pbxbill.access.permissions import Permission
from pbxbill.listing.listing import N_
from pbxbill.listing.own_users import OWN_USERS
from pbxbill.web.front import Front
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.user_pages import UserPages, add_user_pages


def my_users(front: Front) -> Blueprint:
    """The section."""
    made = Blueprint("my_users", __name__)
    add_list(
        made,
        front,
        ListPage(
            OWN_USERS,
            "/users",
            link=lambda row: url_for("my_users.show", user_id=row["id"]),
            empty=(N_("Nobody else is let in yet"), N_("Let others in, each with a log-in of his own.")),
            actions=((N_("New user"), "my_users.new", Permission.OWN_WRITE),),
        ),
    )
    add_user_pages(made, front, UserPages("my_users", Permission.OWN_WRITE, Permission.OWN_WRITE))
    return made
