"""The languages of the panel: English in the code, others from translations/*.po, read when first needed.

A catalogue is compiled in memory: what is installed is what translators edit, and nothing has to be built.
"""

from functools import cache
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from flask import Flask, g, request
from flask_babel import Babel, Domain, get_locale

FOLDER = Path(__file__).parent / "translations"
LANGUAGES = {"en": "English", "fr": "Français", "es": "Español"}
"""Each by its own name."""


@cache
def written(language: str) -> Catalog:
    """What translators wrote; nothing for English."""
    path = FOLDER / language / "LC_MESSAGES" / "messages.po"
    if not path.is_file():
        return Catalog()
    with path.open("rb") as file:
        return read_po(file, locale=language)


@cache
def catalogue(language: str) -> Translations | NullTranslations:
    """The translations of a language; none for English."""
    messages = written(language)
    if not len(messages):
        return NullTranslations()
    compiled = BytesIO()
    write_mo(compiled, messages)
    compiled.seek(0)
    return Translations(compiled)


class _WrittenDomain(Domain):  # type: ignore[misc]  # flask_babel has no types
    """Takes translations from the catalogues above."""

    def get_translations(self) -> Translations | NullTranslations:
        locale = get_locale()
        return NullTranslations() if locale is None else catalogue(locale.language)


class _WrittenBabel(Babel):  # type: ignore[misc]  # flask_babel has no types
    """Flask-Babel with these catalogues."""

    domain_instance = _WrittenDomain()


def install_languages(app: Flask) -> None:
    """Choose the language of each request: the user's own, or what his browser asks for."""
    _WrittenBabel(app, locale_selector=language_of_request, timezone_selector=_zone_of_request)


def language_of_request() -> str:
    """One of LANGUAGES."""
    actor = g.get("actor")
    if actor is not None and actor.language in LANGUAGES:
        language: str = actor.language
        return language
    return request.accept_languages.best_match(list(LANGUAGES), "en") or "en"


def _zone_of_request() -> str:
    actor = g.get("actor")
    zone: str = actor.zone if actor is not None else "UTC"
    return zone
