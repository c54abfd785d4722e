"""What every page of panel and portal looks like and knows: language, theme, menu, brand, icons, files.

install_appearance() is called once by the factory. Templates get `reader` (see Reader), icon(), asset() and
the filters of formatting.py.
"""

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import font_source_sans_pro  # type: ignore[import-untyped]  # it says where its files are, no more
import structlog
from flask import Blueprint, Flask, Response, current_app, g, request, url_for
from flask_babel import get_locale
from flask_bootstrap import Bootstrap5
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Actor
from pbxbill.billing.brands import brand_of, brand_of_host, name_of_host
from pbxbill.errors import StoreUnavailable
from pbxbill.money import Unit
from pbxbill.store.accounts import unit_of
from pbxbill.store.models import AccountRow
from pbxbill.web.formatting import install_filters
from pbxbill.web.front import Front
from pbxbill.web.icons import icon
from pbxbill.web.languages import LANGUAGES, install_languages
from pbxbill.web.panel.first_steps import guided
from pbxbill.web.panel.navigation import PANEL, PORTAL, Group, menu

THEMES = ("auto", "light", "dark")
YEAR_S = 365 * 86_400
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Brand:
    """Whose panel or portal it is."""

    name: str
    account_id: int = 0
    stylesheet: str = ""
    """The address of its colours; empty: the usual ones."""
    logo: str = ""
    footer: str = ""
    support_email: str = ""
    support_phone: str = ""
    support_url: str = ""

    @property
    def has_foot(self) -> bool:
        """Whether it says anything at the foot of a page."""
        return bool(self.footer or self.support_email or self.support_phone or self.support_url)


class Reader:
    """What a page knows of who reads it; asked for when a template needs it."""

    def __init__(self, front: Front) -> None:
        self._front = front

    @property
    def actor(self) -> Actor | None:
        """Who is logged in."""
        actor: Actor | None = g.get("actor")
        return actor

    @property
    def language(self) -> str:
        """One of LANGUAGES."""
        locale = get_locale()
        return locale.language if locale is not None else "en"

    @property
    def theme(self) -> str:
        """One of THEMES: as this browser was told, or as the user's settings say."""
        chosen = request.cookies.get("theme") or g.get("theme") or "auto"
        return chosen if chosen in THEMES else "auto"

    @property
    def menu(self) -> tuple[Group, ...]:
        """What stands at the side."""
        actor = self.actor
        if actor is None:
            return ()
        groups = current_app.extensions["pbxbill_menu"](actor)
        return menu(groups, actor.permissions, current_app.view_functions)

    @property
    def brand(self) -> Brand:
        """Who sells to the reader: himself in his panel, who is above him in the portal."""
        if "brand" not in g:
            g.brand = self._found_brand()
        brand: Brand = g.brand
        return brand

    def _found_brand(self) -> Brand:
        try:
            with self._front.reading() as session:
                actor = self.actor
                if actor is None:
                    # Where everybody logs in, nobody else's name stands, whatever he calls his host.
                    is_ours = name_of_host(request.host) == self._front.desks.public_host
                    by_host = None if is_ours else brand_of_host(session, request.host)
                    is_it = (
                        AccountRow.kind == "operator"
                        if by_host is None
                        else AccountRow.id == by_host.account_id
                    )
                    found = session.scalar(select(AccountRow).where(is_it))
                else:
                    found = session.get(AccountRow, actor.scope.account_id)
                    if found is not None and actor.scope.own and found.parent_id is not None:
                        found = session.get(AccountRow, found.parent_id)
                return Brand("pbxbill") if found is None else _brand(session, found)
        except StoreUnavailable as error:
            # The page that says so must not need the database either.
            _log.warning("brand_unknown", error=str(error))
            return Brand("pbxbill")


def _brand(session: Session, account: AccountRow) -> Brand:
    row = brand_of(session, account.id)
    if row is None:
        return Brand(account.name, account.id)
    named: dict[str, Any] = {"account_id": account.id, "version": row.version}
    return Brand(
        row.name or account.name,
        account.id,
        url_for("brand_files.style", **named) if row.colour else "",
        url_for("brand_files.logo", **named) if row.logo_type else "",
        row.footer,
        row.support_email,
        row.support_phone,
        row.support_url,
    )


class _Units:
    """Units by their codes, read once: what a unit's figures mean never changes."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._known: dict[str, Unit] = {}

    def __call__(self, code: str) -> Unit:
        if code not in self._known:
            with self._front.reading() as session:
                self._known[code] = unit_of(session, code)
        return self._known[code]


def install_appearance(app: Flask, front: Front) -> None:
    """Give an application its looks."""
    app.config["BOOTSTRAP_SERVE_LOCAL"] = True
    Bootstrap5(app)
    fonts = Path(font_source_sans_pro.__file__).parent / "files"
    app.register_blueprint(
        Blueprint("fonts", __name__, static_folder=str(fonts), static_url_path="/static/fonts")
    )
    install_languages(app)
    install_filters(app, _Units(front))
    guide = guided(front)
    app.extensions["pbxbill_menu"] = lambda actor: guide(menu_of(actor), actor)
    app.jinja_env.globals.update(
        icon=icon,
        asset=asset,
        reader=Reader(front),
        languages=LANGUAGES,
        themes=THEMES,
        endpoints=app.view_functions,
    )

    @app.after_request
    def kept(response: Response) -> Response:
        if request.args.get("v") and (request.endpoint or "").endswith("static"):
            # The address changes with the file.
            response.headers["Cache-Control"] = f"public, max-age={YEAR_S}, immutable"
        return response


def menu_of(actor: Actor) -> tuple[Group, ...]:
    """The menu of an actor, before permissions narrow it."""
    return PORTAL if actor.scope.own else PANEL


def asset(filename: str, endpoint: str = "static") -> str:
    """The address of a file that browsers may keep until it changes."""
    name = endpoint.rpartition(".")[0]
    folder: Any = current_app.blueprints[name].static_folder if name else current_app.static_folder
    return url_for(endpoint, filename=filename, v=_mark(Path(folder) / filename))


@cache
def _mark(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()[:10]
