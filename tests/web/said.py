"""The texts of a page as it is sent, without a browser that draws it."""

from collections.abc import Callable
from html.parser import HTMLParser

VOID = frozenset(("area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"))
HEARD = ("aria-label", "title", "placeholder")
Attributes = dict[str, str | None]


class Said(HTMLParser):
    """Texts, with what only some readers hear; without programs, and without what says its own language."""

    def __init__(self, left_out: Callable[[str, Attributes], bool] = lambda tag, of: False) -> None:
        """left_out: elements that are not read beside those."""
        super().__init__()
        self.texts: set[str] = set()
        self._is_left_out = left_out
        self._open: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = dict(attrs)
        self.texts |= {" ".join(x.split()) for key in HEARD if (x := of.get(key))}
        if tag not in VOID:
            own_language = tag != "html" and "lang" in of
            self._open.append(tag in ("script", "style") or own_language or self._is_left_out(tag, of))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and self._open:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if not any(self._open) and (text := " ".join(data.split())):
            self.texts.add(text)
