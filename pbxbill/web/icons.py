"""Icons, drawn into the page: the sprite that they come from is a megabyte, of which a page shows ten."""

import re
from functools import cache
from pathlib import Path

import flask_bootstrap
from markupsafe import Markup

from pbxbill.errors import check

_SPRITE = Path(flask_bootstrap.__file__).parent / "static/bootstrap5/icons/bootstrap-icons.svg"
_SYMBOL = re.compile(
    r'<symbol class="[^"]*" viewBox="([0-9. ]+)" id="([a-z0-9-]+)">(.*?)</symbol>', re.DOTALL
)


@cache
def icon(name: str) -> Markup:
    """An icon of Bootstrap's by its name. It is no content: what it means stands beside it in words."""
    found = _symbols().get(name)
    check(found is not None, "there is no icon {}", name)
    assert found is not None
    box, paths = found
    return Markup(  # noqa: S704  # ours, and the package's own drawing
        f'<svg class="icon" viewBox="{box}" fill="currentColor" aria-hidden="true">{paths}</svg>'
    )


@cache
def _symbols() -> dict[str, tuple[str, str]]:
    return {name: (box, paths) for box, name, paths in _SYMBOL.findall(_SPRITE.read_text())}
