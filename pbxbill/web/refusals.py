"""Why the domain refused something, in the reader's language.

The domain speaks English and knows of no languages: `InputRefused(f"no plan {code!r}")`. The text that such
a sentence was made from, `no plan %(code)s`, stands in the catalogues with the context "refusal"
(lab/refusals.py finds them all); here the sentence is recognised by it. What is not recognised stays English.
"""

import re
from functools import cache

from flask_babel import get_locale

from pbxbill.web.languages import written

CONTEXT = "refusal"
_PLACE = re.compile(r"%\((\w+)\)s")
_DEEPEST = 4
"""Sentences in sentences: a file's line, its column, what is wrong with it."""


def told(message: str) -> str:
    """The same in the language of the request."""
    locale = get_locale()
    return message if locale is None else in_language(message, locale.language)


def in_language(message: str, language: str, deep: int = 0) -> str:
    """The same in a language, as far as it is known there."""
    whole, patterns = _known(language)
    if not whole or deep > _DEEPEST:
        return message
    if message in whole:
        return whole[message]
    for pattern, text in patterns:
        found = pattern.fullmatch(message)
        if found is not None:
            return text % {name: in_language(x, language, deep + 1) for name, x in found.groupdict().items()}
    for between in ("\n", "; "):
        if between in message:
            return between.join(in_language(x, language, deep + 1) for x in message.split(between))
    return message


@cache
def _known(language: str) -> tuple[dict[str, str], list[tuple[re.Pattern[str], str]]]:
    """Sentences without places; and the others, those that say most themselves first."""
    texts = {str(x.id): str(x.string) for x in written(language) if x.context == CONTEXT and x.string}
    whole = {text % (): texts[text] % () for text in texts if not _PLACE.search(text)}
    others = sorted((x for x in texts if _PLACE.search(x)), key=lambda x: -len(_PLACE.sub("", x)))
    return whole, [(_pattern(text), texts[text]) for text in others]


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
