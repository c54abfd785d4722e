"""Which pages a user comes to by following links, one address for each route of the URL map."""

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from tests.web.offices import Office

LINK = re.compile(r'(?:href|action)="(/[^"#]*)')
FILES = ("_csv", "_xlsx")
TRIES = 25
"""Of addresses of one route, until one is a page."""


@dataclass(frozen=True, slots=True)
class Found:
    """A page, as it was when somebody came to it."""

    endpoint: str
    path: str
    text: str


def reachable(office: Office, login: str, starts: Iterable[str]) -> dict[str, str]:
    """Addresses by endpoint, of pages alone: files and what scripts ask for are none."""
    return {page.endpoint: page.path for page in reached(office, login, starts)}


def reached(office: Office, login: str, starts: Iterable[str]) -> Iterator[Found]:
    """Each page once, by its endpoint."""
    browser = office.seat(login) if login else office.browser()
    matcher = office.app.url_map.bind("bill.example", url_scheme="https")
    found: set[str] = set()
    tried: Counter[str] = Counter()
    waiting, known = list(starts), set(starts)
    while waiting:
        path = waiting.pop(0)
        try:
            endpoint = str(matcher.match(path.partition("?")[0], method="GET")[0])
        except (HTTPException, RequestRedirect):
            continue
        if endpoint in found or tried[endpoint] >= TRIES or endpoint.endswith(FILES):
            continue
        tried[endpoint] += 1
        with browser.get(path) as answer:
            assert answer.status_code < 500, path
            text = answer.get_data(as_text=True) if answer.mimetype == "text/html" else ""
            is_page = "<html" in text
            if answer.status_code != 200 or not is_page or "Content-Disposition" in answer.headers:
                continue
        found.add(endpoint)
        yield Found(endpoint, path, text)
        links = dict.fromkeys(html.unescape(x) for x in LINK.findall(text))
        waiting += [x for x in links if x not in known]
        known |= links.keys()
