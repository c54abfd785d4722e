"""Every route of the URL map, as tests walk it."""

from collections.abc import Iterator
from dataclasses import dataclass

from flask import Flask
from werkzeug.routing import Rule

from pbxbill.access.permissions import Permission
from pbxbill.web.front import needed_by

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True)
class Route:
    """One route by one method."""

    endpoint: str
    rule: str
    method: str
    parameters: tuple[str, ...]
    converters: tuple[str, ...]
    needed: Permission | str | None

    @property
    def is_api(self) -> bool:
        return self.rule.startswith("/api/")

    def path(self, values: dict[str, object]) -> str:
        """The address with these values in the place of parameters."""
        made = self.rule
        for name, converter in zip(self.parameters, self.converters, strict=True):
            value = values[name]
            if converter.startswith("any("):  # one of a few words, and no object
                value = converter[4:-1].split(",", maxsplit=1)[0].strip("'\" ")
            for written in (f"<{converter}:{name}>", f"<{name}>"):
                made = made.replace(written, str(value))
        return made


def routes_of(app: Flask) -> Iterator[Route]:
    """All of them."""
    for rule in app.url_map.iter_rules():
        names = tuple(sorted(rule.arguments))
        kinds = tuple(_converter(rule, name) for name in names)
        for method in METHODS:
            if method in (rule.methods or ()):
                needed = needed_by(app.view_functions[rule.endpoint])
                yield Route(rule.endpoint, rule.rule, method, names, kinds, needed)


def _converter(rule: Rule, name: str) -> str:
    start = rule.rule.find(f":{name}>")
    return rule.rule[rule.rule.rfind("<", 0, start) + 1 : start] if start > 0 else "default"
