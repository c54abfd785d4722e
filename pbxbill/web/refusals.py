"""Why the domain refused something, in the reader's language.

The domain speaks English and knows of no languages: `InputRefused(f"no plan {code!r}")`. The text that such
a sentence was made from, `no plan %(code)s`, stands in the catalogues with the context "refusal"
(lab/refusals.py finds them all); here the sentence is recognised by it. So are what alerts, events and jobs
say. In what stands in its places, amounts get the language's form and words of the database are said as the
panel says them. What is not recognised stays English.
"""

import re
from decimal import Decimal
from functools import cache, lru_cache

from babel.numbers import format_decimal
from flask_babel import get_locale

from pbxbill.web.languages import catalogue, written
from pbxbill.web.words import english_of

CONTEXT = "refusal"
_PLACE = re.compile(r"%\((\w+)\)s")
_AMOUNT = re.compile(r"(?<![\w.,:-])(-?\d+\.(\d+))(?= [A-Z]{3,}\b|$)")
_WORD = re.compile(r"(?<![\w./'-])[a-z]+(?:_[a-z]+)+(?![\w./'-])")
_PLACES_OF_WORDS = {
    "action", "cycle", "evidence", "how", "kind", "measure", "per", "short", "state", "status", "value",
    "way", "what", "window", "word",
}  # fmt: skip
"""Places in which no names stand: elsewhere "prepaid" may be what a tariff is called."""
_KNOWN_MESSAGES = 4_096
_DEEPEST = 4
"""Sentences in sentences: a file's line, its column, what is wrong with it."""


def told(message: str | None) -> str:
    """The same in the language of the request; nothing of nothing."""
    locale = get_locale()
    return message or "" if locale is None or not message else in_language(message, locale.language)


@lru_cache(_KNOWN_MESSAGES)
def in_language(message: str, language: str, deep: int = 0) -> str:
    """The same in a language, as far as it is known there."""
    whole, patterns = _known(language)
    if not whole or deep > _DEEPEST:
        return message
    if message in whole:
        return whole[message]
    for longest, pattern, text in patterns:
        found = pattern.fullmatch(message) if longest in message else None
        if found is not None:
            return text % {name: _in_place(name, x, language, deep) for name, x in found.groupdict().items()}
    for between in ("\n", "; ", ", ", " = "):
        if between in message:
            return between.join(in_language(x, language, deep + 1) for x in message.split(between))
    return _values_in(message, language)


def _in_place(name: str, value: str, language: str, deep: int) -> str:
    """What stands in a place: a word of the database where such stand, or a sentence in the sentence."""
    english = english_of(value) if name.rstrip("_0123456789") in _PLACES_OF_WORDS else None
    return in_language(value, language, deep + 1) if english is None else catalogue(language).gettext(english)


def _values_in(text: str, language: str) -> str:
    """What no sentence is: its amounts and its words of the database."""

    def amount(found: re.Match[str]) -> str:
        pattern = f"#,##0.{'0' * len(found[2])}"
        return format_decimal(Decimal(found[1]), pattern, language).replace("-", "\N{MINUS SIGN}")

    def word(found: re.Match[str]) -> str:
        english = english_of(found[0])
        return found[0] if english is None else catalogue(language).gettext(english)

    return _WORD.sub(word, _AMOUNT.sub(amount, text))


@cache
def _known(language: str) -> tuple[dict[str, str], list[tuple[str, re.Pattern[str], str]]]:
    """Sentences without places; and the others, those that say most themselves first."""
    texts = {str(x.id): str(x.string) for x in written(language) if x.context == CONTEXT and x.string}
    whole = {text % (): texts[text] % () for text in texts if not _PLACE.search(text)}
    others = sorted((x for x in texts if _PLACE.search(x)), key=lambda x: -len(_PLACE.sub("", x)))
    return whole, [(_longest(text), _pattern(text), texts[text]) for text in others]


def _longest(text: str) -> str:
    """The longest part that a sentence itself says: a message without it is another's."""
    return max((x.replace("%%", "%") for x in _PLACE.split(text)[::2]), key=len)


def _pattern(text: str) -> re.Pattern[str]:
    seen: set[str] = set()
    pattern = ""
    for number, part in enumerate(_PLACE.split(text)):
        if number % 2 == 0:
            pattern += re.escape(part.replace("%%", "%"))
        else:
            pattern += f"(?P={part})" if part in seen else f"(?P<{part}>.+?)"
            seen.add(part)
    return re.compile(pattern, re.DOTALL)
