"""Debian's Chromium before a served installation: pages as people see them.

    def test_something(desk: Desk) -> None:
        page = desk.page("admin")                 # logged in; width=390 is a phone, dark=True, script=False
        page.goto(desk.url + "/panel/accounts")
        assert_accessible(page)                   # axe-core finds nothing serious or critical

What a page logs as an error fails the test that opened it (Desk.close looks).
"""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Response,
    expect,
    sync_playwright,
)

from pbxbill.web.desks import Desks
from pbxbill.web.serving import ServingSettings, WebServer
from tests.web.applications import made_app
from tests.web.offices import PASSWORD, Office

PATIENCE_MS = 15_000
PHONE, WIDE = (390, 844), (1440, 900)
GRAVE = ("serious", "critical")
MISSING = (
    "there is no chromium. `make test` installs what the suite needs, `make dev` does so without running it."
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, for as many contexts as are asked of it."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    assert program, MISSING
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        # In a container there are no user namespaces to build a sandbox of, and little shared memory.
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Desk:
    """A served installation and a browser before it."""

    office: Office
    browser: Browser
    url: str
    errors: list[str] = field(default_factory=list)
    """What pages logged as errors, and answers of 500 and above."""
    _states: dict[str, object] = field(default_factory=dict)
    _contexts: list[BrowserContext] = field(default_factory=list)

    def page(
        self,
        login: str = "",
        *,
        width: int = WIDE[0],
        dark: bool = False,
        script: bool = True,
        language: str = "en-GB",
    ) -> Page:
        """A page of a browser of its own; with a log-in: logged in, by the form once."""
        if login and login not in self._states:
            self._states[login] = self._logged_in(login)
        height = PHONE[1] if width < 600 else WIDE[1]
        context = self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
            locale=language,
            storage_state=self._states.get(login),  # type: ignore[arg-type]  # as Playwright gave it
        )
        return self._opened(context)

    def _opened(self, context: BrowserContext) -> Page:
        self._contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("response", self._answered)
        return page

    def _logged_in(self, login: str) -> object:
        page = self._opened(self.browser.new_context())
        page.goto(f"{self.url}/log-in")
        page.fill("[name=login]", login)
        page.fill("[name=password]", PASSWORD)
        page.press("[name=password]", "Enter")
        page.wait_for_url(lambda url: "/log-in" not in url)
        return page.context.storage_state()

    def _heard(self, message: ConsoleMessage) -> None:
        # A page that is refused on purpose is said to have failed to load.
        if message.type == "error" and "status of 4" not in message.text:
            self.errors.append(message.text)

    def _answered(self, answer: Response) -> None:
        if answer.status >= 500:
            self.errors.append(f"{answer.status} {answer.url}")

    def close(self) -> None:
        for context in self._contexts:
            context.close()
        assert not self.errors, self.errors


@contextmanager
def opened_desk(office: Office, browser: Browser, host: str = "127.0.0.1") -> Iterator[Desk]:
    """Serve an office's database at a port of its own, without TLS, to a browser; host: as it names us."""
    settings = ServingSettings("127.0.0.1", 0, threads=4, connections=50, timeout_s=30)
    desks = Desks(office.application)
    server = WebServer(made_app(desks), settings)
    desks.public_url = f"http://{host}:{server.port}"
    thread = threading.Thread(target=server.run, name="served", daemon=True)
    thread.start()
    desk = Desk(office, browser, desks.public_url)
    try:
        yield desk
        desk.close()
    finally:
        server.stop()
        thread.join(10)
        desks.close()


def assert_accessible(page: Page) -> None:
    """Nothing that axe-core calls serious or critical."""
    found = [x for x in Axe().run(page).response["violations"] if x["impact"] in GRAVE]
    told = [f"{x['id']}: {x['help']}: {[node['html'][:160] for node in x['nodes'][:4]]}" for x in found]
    assert not told, "\n".join([page.url, *told])
