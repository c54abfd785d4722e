"""Every page that links lead to, every list of the API, asked by one client alone: which is the slowest."""

import html
import http.client
import json
import re
import time
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, urljoin, urlsplit

TIMEOUT_S = 120
MOST_PAGES = 2_000
AGAIN_OVER_MS = 100
"""What took longer is asked twice more: the quickest counts, what else the machine does only adds."""
_LINK = re.compile(r'href="([^"#]+)')
_NOT_PAGES = re.compile(r"^/(static|log-out|link)|\.(csv|xlsx|pdf|docx|html|zip|ics)$|/files?/")
_ID = re.compile(r"/(?:\d+|[0-9a-f]{32})(?=/|$)")


def walk(port: int, start: str, headers: Mapping[str, str]) -> dict[str, float]:
    """Milliseconds of each page by one address of it: pages that differ in their object are one, pages that
    differ in what they are asked for are others."""
    begins = f"/{start.split('/')[1]}/"
    waiting, seen, took = [start], {_shape(start)}, dict[str, float]()
    while waiting and len(took) < MOST_PAGES:
        path = waiting.pop(0)
        took[path], body = _timed(port, path, headers)
        for link in _LINK.findall(body):
            found = urlsplit(urljoin(path, html.unescape(link)))
            if found.netloc or not found.path.startswith(begins) or _NOT_PAGES.search(found.path):
                continue
            address = found.path + (f"?{found.query}" if found.query else "")
            shape = _shape(address)
            if shape not in seen:
                seen.add(shape)
                waiting.append(address)
    return took


def walk_lists(port: int, headers: Mapping[str, str]) -> dict[str, float]:
    """The same of what the API answers without naming an object."""
    document = json.loads(_timed(port, "/api/v1/openapi.json", headers)[1])
    paths = [path for path, methods in document["paths"].items() if "get" in methods and "{" not in path]
    prefix = "" if paths and paths[0].startswith("/api/") else "/api/v1"
    asked = [prefix + x for x in paths if not re.search(r"events|stream|export|\.csv", x)]
    return {path: _timed(port, path, headers)[0] for path in asked}


def slowest(took: Mapping[str, float]) -> tuple[str, float]:
    """Which it is, and its milliseconds."""
    return max(took.items(), key=lambda x: x[1], default=("", 0.0))


def over(took: Mapping[str, float], most_ms: float) -> Iterable[tuple[str, float]]:
    """Those that took longer than they may, the slowest first."""
    return sorted(((x, y) for x, y in took.items() if y > most_ms), key=lambda x: -x[1])


def _shape(address: str) -> str:
    parts = urlsplit(address)
    asked = sorted(
        (key, "" if key in ("after", "before", "next", "account", "from", "to") else value)
        for key, value in parse_qsl(parts.query)
    )
    return f"{_ID.sub('/N', parts.path)}?{asked}"


def _timed(port: int, path: str, headers: Mapping[str, str]) -> tuple[float, str]:
    tries: list[float] = []
    body = ""
    while not tries or (len(tries) < 3 and max(tries) > AGAIN_OVER_MS):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        began = time.perf_counter()
        connection.request("GET", path, headers=dict(headers))
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
        tries.append((time.perf_counter() - began) * 1000)
        connection.close()
        if answer.status >= http.client.INTERNAL_SERVER_ERROR:
            raise RuntimeError(f"{path}: {answer.status}")
    return min(tries), body
