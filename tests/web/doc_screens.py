"""Takes the pictures of the example in docs/panel.md, and of docs/api.md.

    python -m tests.web.doc_screens docs/screens

The example is what test_flow_paid_invoice does: what the page tells is what is tested.
"""

import io
import sys
import tempfile
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page

from pbxbill.store.engine import migrate
from tests.web import test_flow_paid_invoice as flow
from tests.web.browsers import Desk, chromium, opened_desk
from tests.web.offices import opened_office

WIDTH, HEIGHT = 1200, 760
COLOURS = 96
"""So many are enough for pages of few colours, and make the files small."""


def main(folder: Path) -> None:
    """Take them."""
    with tempfile.TemporaryDirectory() as place, chromium() as browser:
        url = f"sqlite:///{place}/pbxbill.db"
        migrate(url)
        with opened_office(url) as office, opened_desk(office, browser) as desk:
            _example(desk, folder)
            page = desk.page("admin", width=WIDTH)
            page.goto(f"{desk.url}/api/v1/docs")
            page.locator(".opblock-tag").first.click(timeout=60_000)
            page.locator(".opblock").first.wait_for()
            _taken(page, folder / "api-docs.png")


def _example(desk: Desk, folder: Path) -> None:
    page = desk.page(width=WIDTH)
    flow.log_in(page, desk)
    flow.open_account(page)
    flow.make_plan(page)
    flow.subscribe(page)
    _taken(page, folder / "subscription.png")
    flow.call(desk)
    flow.menu(page, "Accounts")
    page.get_by_role("link", name=flow.CODE).first.click()
    _taken(page, folder / "account.png")
    desk.office.clock.step(flow.MONTH_US)
    flow.log_in(page, desk)
    with pytest.MonkeyPatch.context() as patch, flow.runs_that_wait(patch) as begun:
        flow.run(page, begun)
    flow.review(page)
    _taken(page, folder / "draft.png")
    flow.issue(page)
    flow.send(page, desk)
    flow.take_payment(page)
    _taken(page, folder / "paid-invoice.png")


def _taken(page: Page, path: Path) -> None:
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    page.evaluate("() => window.scrollTo(0, 0)")
    whole = Image.open(io.BytesIO(page.screenshot()))
    whole.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path, path.stat().st_size)  # noqa: T201  # a program of its own


if __name__ == "__main__":
    main(Path(sys.argv[1]))
