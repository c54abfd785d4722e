"""The portal: what an account sees of itself, at /my. A customer has nothing else; a reseller has it beside
the panel, for what he is billed.

Sections are made as those of the panel are; endpoints are called portal.SECTION.VIEW.
"""

from collections.abc import Callable

from flask import Blueprint

from pbxbill.web.front import Front

SECTIONS: tuple[Callable[[Front], Blueprint], ...] = ()


def portal(front: Front) -> Blueprint:
    """All of the portal."""
    made = Blueprint("portal", __name__, url_prefix="/my")
    for section in SECTIONS:
        made.register_blueprint(section(front))
    return made
