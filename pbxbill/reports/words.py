"""Translations for what no request makes: files in the background and on the command line.

From the catalogues that the panel has; what is not translated stays English.
"""

from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

FOLDER = Path(__file__).parents[1] / "web" / "translations"


@cache
def words(language: str) -> Callable[[str], str]:
    """What translates English texts into a language."""
    path = FOLDER / language / "LC_MESSAGES" / "messages.po"
    if not language.isalpha() or not path.is_file():
        return str
    with path.open("rb") as file:
        messages = read_po(file, locale=language)
    compiled = BytesIO()
    write_mo(compiled, messages)
    compiled.seek(0)
    translate: Callable[[str], str] = Translations(compiled).gettext
    return translate
