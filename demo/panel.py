"""The panel, opened as a person opens it: a one-time link, a password, then the calls that are up."""

import re
import secrets
from collections.abc import Iterator
from typing import Any

import requests

from demo.product import Product
from demo.promise import Promise
from lab.process import ServerFailed

WATCHER = "watcher"
TIMEOUT_S = 10
LOOKS_EVERY_S = 2
_LINK = re.compile(r"https?://\S+/link/\S+")
_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


class PanelVisit:
    """Somebody who watches the live calls."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self._browser = requests.Session()
        self._next_s = 0.0
        self.looks = 0
        self.most = 0
        """Calls that were seen at once."""
        self.missing: set[str] = set()
        """Calls that were up before and after a look, and not on the page."""

    def log_in(self) -> None:
        """Choose a password by the link that the administrator was given."""
        told = self._product.command("users", "add", WATCHER, "--role", "support")
        link = link_in(told)
        page = self._read(link)
        token = _TOKEN.search(page)
        if token is None:
            raise ServerFailed("the page of a one-time link has no form")
        password = secrets.token_urlsafe(24)
        chosen = {"csrf_token": token.group(1), "password": password, "again": password}
        answer = self._browser.post(link, chosen, timeout=TIMEOUT_S)
        if not answer.ok or "/log-in" in answer.url:
            raise ServerFailed(
                f"a one-time link did not let its holder in: {answer.status_code} {answer.url}"
            )

    def look(self, calls: list[dict[str, Any]], elapsed_s: float) -> None:
        """Compare the page with the calls that are up, now and then."""
        if elapsed_s < self._next_s:
            return
        self._next_s = elapsed_s + LOOKS_EVERY_S
        page = self._read(f"{self._product.web_url}/panel/live-calls")
        after = {x["session_id"] for x in self._product.json("calls")}
        up = {x["session_id"] for x in calls} & after
        self.looks += 1
        self.missing |= {x for x in up if x not in page}
        self.most = max(self.most, sum(x in page for x in up))

    def _read(self, url: str) -> str:
        answer = self._browser.get(url, timeout=TIMEOUT_S)
        if not answer.ok:
            raise ServerFailed(f"the panel answers {answer.status_code} to {url}")
        return answer.text

    def examine(self) -> Iterator[Promise]:
        """What it saw."""
        yield Promise(
            "the panel shows the calls that are up",
            self.looks > 0 and self.most > 1 and not self.missing,
            f"{self.looks} looks, up to {self.most} calls at once, {len(self.missing)} missing",
        )


def link_in(told: str) -> str:
    """The one-time link in what a command printed."""
    found = _LINK.search(told)
    if found is None:
        raise ServerFailed(f"there is no link in: {told}")
    return found.group()
