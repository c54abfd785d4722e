"""/my/users: an account lets others in, to its own portal."""

from flask import Blueprint, render_template
from sqlalchemy import select

from pbxbill.access.permissions import Permission
from pbxbill.store.access_models import UserRow
from pbxbill.web.front import Front, needs
from pbxbill.web.user_pages import UserPages, add_user_pages


def my_users(front: Front) -> Blueprint:
    """The section."""
    made = Blueprint("my_users", __name__)

    @made.get("/users")
    @needs(Permission.OWN_WRITE)
    def listed() -> str:
        with front.reading() as session:
            query = select(UserRow).where(UserRow.account_id == front.scope.account_id)
            rows = session.scalars(query.order_by(UserRow.login)).all()
        return render_template("panel/users/own.html", users=rows)

    add_user_pages(made, front, UserPages("my_users", Permission.OWN_WRITE, Permission.OWN_WRITE))
    return made
