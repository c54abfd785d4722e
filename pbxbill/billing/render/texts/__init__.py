"""What is printed on documents beside their data, by language: built in, or the template's own."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

LANGUAGES = ("en", "de", "es", "fr")
FALLBACK = "en"


@cache
def built_in_texts(language: str) -> Mapping[str, str]:
    """The texts of the nearest language that is built in."""
    plain = language.partition("-")[0].lower()
    chosen = plain if plain in LANGUAGES else FALLBACK
    texts: dict[str, str] = tomllib.loads((Path(__file__).parent / f"{chosen}.toml").read_text("utf-8"))
    return texts


def texts_of(language: str, overrides: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """All texts in a language. A template's texts for "de" count for "de-AT" too, those for "de-AT" more."""
    plain = language.partition("-")[0]
    return {
        **built_in_texts(language),
        **(overrides.get(plain) or {}),
        **(overrides.get(language) or {}),
    }
