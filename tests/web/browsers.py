"""Debian's Chromium before a served installation: pages as people see them.

    def test_something(desk: Desk) -> None:
        page = desk.page("admin")                 # logged in; width=390 is a phone, dark=True, script=False
        page.goto(desk.url + "/panel/accounts")
        assert_accessible(page)                   # axe-core finds nothing serious or critical

What a page logs as an error fails the test that opened it (Desk.close looks).
"""

import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

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

from pbxbill.billing.payments.payment_gateways import OpenGateway
from pbxbill.web.desks import Desks
from pbxbill.web.serving import ServingSettings, WebServer
from tests.web.applications import opened_app
from tests.web.offices import PASSWORD, Office

PATIENCE_MS = 15_000
PHONE, WIDE = (390, 844), (1440, 900)
GRAVE = ("serious", "critical")
AXE = Axe().axe_script
MISSING = (
    "there is no chromium. `make test` installs what the suite needs, `make dev` does so without running it."
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, for as many contexts as are asked of it."""
    # The same without windows, where it is installed, takes half as long to show a page.
    known = (os.environ.get("CHROMIUM"), *map(shutil.which, ("chromium-headless-shell", "chromium")))
    program = next((x for x in known if x), None)
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
        """A page of a browser of its own; with a log-in: logged in, by what the form sends."""
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
        # Drawing the page of the log-in each time would prove no more than tests of it do.
        context = self.browser.new_context()
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', context.request.get(self._log_in).text())
        assert token is not None
        sent = {"login": login, "password": PASSWORD, "csrf_token": token[1]}
        answer = context.request.post(
            self._log_in, form=sent, headers={"Referer": self._log_in}, max_redirects=0
        )
        assert answer.status == 303, answer.text()
        state = context.storage_state()
        context.close()
        return state

    @property
    def _log_in(self) -> str:
        return f"{self.url}/log-in"

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
def opened_desk(
    office: Office, browser: Browser, host: str = "127.0.0.1", *, opened: OpenGateway | None = None
) -> Iterator[Desk]:
    """Serve an office's database at a port of its own, without TLS, to a browser; host: as it names us."""
    settings = ServingSettings("127.0.0.1", 0, threads=4, connections=50, timeout_s=30)
    desks = Desks(office.application, opened=opened)
    with opened_app(desks) as app:
        server = WebServer(app, settings)
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


COLOURS = """() => {
  const known = new Map(), nothing = { back: "", veil: "" }, found = new Set();
  const around = (element) => {
    if (!element) return nothing;
    if (!known.has(element)) {
      const style = getComputedStyle(element), below = around(element.parentElement);
      const colour = style.backgroundColor, image = style.backgroundImage;
      const clear = colour === "rgba(0, 0, 0, 0)" && image === "none";
      // What lets nothing through hides what is behind it.
      const back = clear ? below.back : `${colour} ${image}` + (colour.startsWith("rgb(") ? "" : below.back);
      const veil = `${style.opacity} ${style.filter} ${style.mixBlendMode}`;
      known.set(element, { back, veil: veil === "1 none normal" ? below.veil : veil + below.veil });
    }
    return known.get(element);
  };
  for (const element of document.body.querySelectorAll("*")) {
    const typed = /^(INPUT|SELECT|TEXTAREA)$/.test(element.tagName);
    const says = typed || [...element.childNodes].some(x => x.nodeType === 3 && x.data.trim());
    if (!says || !element.checkVisibility()) continue;
    const style = getComputedStyle(element), { back, veil } = around(element);
    const text = [style.color, style.fontSize, style.fontWeight, style.textShadow];
    found.add([...text, element.matches(":disabled"), back, veil].join(" | "));
  }
  return [...found];
}"""
"""How each text is coloured, and what it stands on."""
_SEEN: set[str] = set()


def faults(page: Page) -> list[str]:
    """What axe-core calls serious or critical."""
    return _faults(page, {"rules": {"color-contrast": {"enabled": False}}}) + hard_to_read(page)


def hard_to_read(page: Page) -> list[str]:
    """Texts that are hard to read against what is behind them, found once of what is coloured alike.

    axe-core reckons a contrast from a text's colour, size and weight and from the backgrounds, opacities and
    shadows of what it stands in. It is asked of each page that has such a combination which no page before
    it had, in any test of the run: of all others it would answer the same.
    """
    found = set(page.evaluate(COLOURS))
    if found <= _SEEN:
        return []
    told = _faults(page, {"runOnly": ["color-contrast"]})
    if not told:
        _SEEN.update(found)
    return told


def _faults(page: Page, options: dict[str, Any]) -> list[str]:
    if not page.evaluate("() => Boolean(window.axe)"):
        page.evaluate(AXE)
    found = page.evaluate(
        """([grave, options]) => axe.run(document, options).then(results => results.violations
            .filter(x => grave.includes(x.impact))
            .map(x => [x.id, x.help, x.nodes.slice(0, 4).map(node => node.html.slice(0, 160))]))""",
        [GRAVE, {"resultTypes": ["violations"], **options}],
    )
    return [f"{rule}: {told}: {nodes}" for rule, told, nodes in found]


def assert_accessible(page: Page) -> None:
    """Nothing that axe-core calls serious or critical."""
    found = faults(page)
    assert not found, "\n".join([page.url, *found])
