"""The audit log: who changed what, when, and how it was before."""

import json

from flask import Blueprint, abort, render_template, request, url_for

from pbxbill.access.permissions import Permission
from pbxbill.listing.audit_log import AUDIT_LOG
from pbxbill.store.access_models import AuditRow
from pbxbill.store.models import AccountRow
from pbxbill.web.audit_words import action_text
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.audit_changes import ChangeTeller, is_beside
from pbxbill.web.panel.lists import ListPage, add_list


def audit(front: Front) -> Blueprint:
    """The section."""
    made = Blueprint("audit", __name__)
    add_list(
        made,
        front,
        ListPage(AUDIT_LOG, "/audit-log", link=lambda row: url_for("audit.show", entry_id=row["id"])),
    )

    @made.get("/audit-log/<int:entry_id>")
    @needs(Permission.AUDIT_READ)
    def show(entry_id: int) -> str:
        with front.reading() as session:
            entry = session.get(AuditRow, entry_id)
            if entry is None:
                abort(404)
            actor_for = session.get_one(AccountRow, entry.scope_id)
            if entry.scope_id != front.scope.account_id and not front.scope.covers(actor_for):
                abort(404)
            about = None if entry.account_id is None else session.get(AccountRow, entry.account_id)
            written = json.loads(entry.changes)
            changes = [x for x in written if "more" not in x]
            beside = sum(is_beside(x) for x in changes)
            whole = request.args.get("whole") == "yes"
            teller = ChangeTeller(session, front.actor)
            shown = [teller.told(x, whole=whole) for x in changes if whole or not is_beside(x)]
        opens = front.actor.may(Permission.ACCOUNTS_READ)
        about_url = ""
        if about is not None and opens and front.scope.covers(about):
            about_url = url_for("accounts.show", id=about.id)
        return render_template(
            "panel/audit_log/show.html",
            entry=entry,
            title=action_text(entry.action),
            about=about,
            about_url=about_url,
            changes=shown,
            more=sum(x["more"] for x in written if "more" in x),
            beside=beside,
            whole=whole,
        )

    return made
