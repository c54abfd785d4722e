"""Views that a user keeps of a page: its filters under a name. Of lists and of reports."""

from collections.abc import Sequence

from flask import abort
from flask_babel import gettext
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused
from pbxbill.store.access_models import SavedViewRow
from pbxbill.web.front import Front

MAX_VIEWS, MAX_VIEW_NAME_LENGTH, MAX_QUERY_LENGTH = 50, 64, 4_000


def views_of(session: Session, front: Front, page: str) -> Sequence[SavedViewRow]:
    """Those of a page ("list:accounts"), by name; of all pages of a kind where it ends with a colon."""
    if front.actor.user_id is None:
        return []
    own = select(SavedViewRow).where(SavedViewRow.user_id == front.actor.user_id)
    here = SavedViewRow.page.startswith(page) if page.endswith(":") else SavedViewRow.page == page
    return session.scalars(own.where(here).order_by(SavedViewRow.name, SavedViewRow.id)).all()


def keep_view(session: Session, front: Front, page: str, written: str, query: str) -> None:
    """Keep one; one of the same name is replaced. InputRefused says what is wrong."""
    name = " ".join(written.split())
    if not (0 < len(name) <= MAX_VIEW_NAME_LENGTH and name.isprintable()):
        raise InputRefused(gettext("A view's name has 1 to %(most)d characters.", most=MAX_VIEW_NAME_LENGTH))
    if len(query) > MAX_QUERY_LENGTH:
        raise InputRefused(gettext("These filters are too long to be kept."))
    user_id = front.actor.user_id
    if user_id is None:
        abort(403)
    known = views_of(session, front, page)
    same = next((x for x in known if x.name == name), None)
    if same is not None:
        same.query = query
    elif len(known) >= MAX_VIEWS:
        raise InputRefused(gettext("You keep %(most)d views of this list already.", most=MAX_VIEWS))
    else:
        session.add(SavedViewRow(user_id=user_id, page=page, name=name, query=query))


def forget_view(session: Session, front: Front, view_id: int) -> None:
    """Forget one's own; 404 for others' and for what there is not."""
    own = SavedViewRow.user_id == front.actor.user_id
    gone = session.execute(delete(SavedViewRow).where(SavedViewRow.id == view_id, own))
    if gone.rowcount == 0:  # type: ignore[attr-defined]
        abort(404)
