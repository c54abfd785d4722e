"""The panel: operators, resellers and distributors at /panel, each with the accounts of his scope.

A section is a module with a function that makes its blueprint from the Front; SECTIONS names them all.
Its routes stand below /panel, its endpoints are called panel.SECTION.VIEW.
"""

from collections.abc import Callable

from flask import Blueprint

from pbxbill.web.front import Front

SECTIONS: tuple[Callable[[Front], Blueprint], ...] = ()


def panel(front: Front) -> Blueprint:
    """All of the panel."""
    made = Blueprint("panel", __name__, url_prefix="/panel")
    for section in SECTIONS:
        made.register_blueprint(section(front))
    return made
