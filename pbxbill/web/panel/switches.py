"""Switches: which daemons steer them, what they carry, and what trying them out finds.

They are as many as an installation has machines: all on one page, in no list.
"""

from flask import Blueprint, abort, render_template

from pbxbill.access.permissions import Permission
from pbxbill.listing.switches import switches_now
from pbxbill.web.front import Front, needs
from pbxbill.web.installation import Checked


def switches(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("switches", __name__)
    installation = front.rules.installation

    @section.get("/switches")
    @needs(Permission.OPERATIONS_READ)
    def listed() -> str:
        return _page(front, None)

    @section.post("/switches/check")
    @needs(Permission.OPERATIONS_READ)
    def check() -> str:
        if installation.diagnose is None:
            abort(404)
        return _page(front, list(installation.diagnose()))

    return section


def _page(front: Front, checked: list[Checked] | None) -> str:
    if not front.scope.is_everything:
        abort(404)
    installation = front.rules.installation
    known = {x.name: x for x in installation.switches}
    with front.reading() as session:
        found = switches_now(session, known, front.clock.now_us())
    order = {"fail": 0, "warn": 1, "ok": 2}
    return render_template(
        "panel/switches/list.html",
        switches=found,
        known=known,
        checked=None if checked is None else sorted(checked, key=lambda x: order.get(x.verdict, 0)),
        can_check=installation.diagnose is not None,
    )
