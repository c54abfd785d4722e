"""Takes pictures of the main pages, to be looked at: python -m tests.web.screenshots FOLDER [LOGIN PATH ...]

Without paths, every page that an administrator, a reseller and a customer come to, in an office with
something of everything: wide, dark, and as a phone shows it.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page

from pbxbill.store.engine import migrate
from tests.web.browsers import PHONE, WIDE, Desk, chromium, opened_desk
from tests.web.full_offices import fill
from tests.web.offices import opened_office
from tests.web.reachable import reachable

LOGINS = ("admin", "reseller", "alice")
LOOKS = {"wide": {"width": WIDE[0]}, "dark": {"width": WIDE[0], "dark": True}, "phone": {"width": PHONE[0]}}


def main(folder: Path, login: str = "", paths: tuple[str, ...] = ()) -> None:
    """Take them."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, chromium() as browser:
        url = f"sqlite:///{place}/pbxbill.db"
        migrate(url)
        with opened_office(url) as office:
            calling = fill(office, Path(place))
            with opened_desk(office, browser) as desk:
                for who in (login,) if login else LOGINS:
                    _taken(desk, who, paths or _reached(desk, who), folder)
            calling.engine.stop()


def _reached(desk: Desk, login: str) -> tuple[str, ...]:
    return tuple(reachable(desk.office, login, ("/my/" if login == "alice" else "/panel/", "/me")).values())


def _taken(desk: Desk, login: str, paths: tuple[str, ...], folder: Path) -> None:
    for look, options in LOOKS.items():
        page: Page = desk.page(login, **options)  # type: ignore[arg-type]  # as LOOKS says
        for path in paths:
            page.goto(desk.url + path)
            name = path.strip("/").replace("/", "-").replace("?", "-") or "start"
            page.screenshot(path=folder / f"{login or 'nobody'}-{name}-{look}.png", full_page=look == "phone")
            print(folder / f"{login or 'nobody'}-{name}-{look}.png")  # noqa: T201  # a program of its own


if __name__ == "__main__":
    main(Path(sys.argv[1]), "".join(sys.argv[2:3]), tuple(sys.argv[3:]))
