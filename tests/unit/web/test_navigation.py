"""The menus: whoever sees a line may open it, and lines without a section are left out."""

import pytest

from pbxbill.access.permissions import PERMISSIONS_OF, Role
from pbxbill.web.icons import icon
from pbxbill.web.panel.navigation import PANEL, PORTAL, menu

EVERY = [item for group in (*PANEL, *PORTAL) for item in group.items]


@pytest.mark.parametrize("role", Role)
def test_a_menu_shows_what_its_reader_may_open(role: Role) -> None:
    shown = menu((*PANEL, *PORTAL), PERMISSIONS_OF[role], {x.endpoint for x in EVERY})
    assert {x for group in shown for x in group.items} == {
        x for x in EVERY if x.permission in PERMISSIONS_OF[role]
    }
    assert all(group.items for group in shown)


def test_what_is_not_there_is_not_shown() -> None:
    assert menu(PANEL, PERMISSIONS_OF[Role.ADMIN], ()) == ()


def test_every_line_has_an_icon_and_a_place_of_its_own() -> None:
    assert all("<svg" in icon(x.icon) for x in EVERY)
    assert len({x.endpoint for x in EVERY}) == len(EVERY)
