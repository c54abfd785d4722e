"""The built-in words of notices by language: a subject and a text per kind, in the form of templates."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

LANGUAGES = ("en", "de", "es", "fr")
FALLBACK = "en"
FRAME = "frame"
"""What stands around every notice."""
WORDS = "words"
"""What codes in facts are called: statuses, decisions, ways to pay."""


@cache
def built_in_words(language: str) -> Mapping[str, Mapping[str, str]]:
    """The words of the nearest language that is built in, by kind, with FRAME and WORDS."""
    plain = language.partition("-")[0].lower()
    chosen = plain if plain in LANGUAGES else FALLBACK
    words: dict[str, dict[str, str]] = tomllib.loads(
        (Path(__file__).parent / f"{chosen}.toml").read_text("utf-8")
    )
    return words
