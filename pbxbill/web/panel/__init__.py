"""The panel: operators, resellers and distributors at /panel, each with the accounts of his scope.

A section is a module with a function that makes its blueprint from the Front; SECTIONS names them all.
Its routes stand below /panel; its endpoints are called SECTION.VIEW, as the menu names them.
"""

from collections.abc import Callable

from flask import Blueprint

from pbxbill.web.front import Front

SECTIONS: tuple[Callable[[Front], Blueprint], ...] = ()
PREFIX = "/panel"
