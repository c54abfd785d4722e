"""Brings pbxbill/web/translations up to date: texts of code and templates, and which are not translated.

    python -m lab.messages          (make messages)

Texts are marked by _(), gettext(), lazy_gettext(), ngettext() and N_(); refusals of the domain are found by
lab/refusals.py. A new text is added with an empty translation, one that is gone is dropped.
Nothing is guessed.
"""

import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from lab.refusals import explanations, refusals
from pbxbill.web.refusals import CONTEXT

PACKAGE = Path(__file__).parent.parent / "pbxbill"
FOLDER = PACKAGE / "web/translations"
LANGUAGES = ("fr", "es")
WIDTH = 110
ALWAYS = datetime(2026, 1, 1, tzinfo=UTC)
"""A date that changes nothing in a file whose texts did not change."""
HEADER = "# Texts of pbxbill's panel and portal: {language}. `make messages` adds what is new."
METHODS = [("**.py", "python"), ("web/templates/**.html", "jinja2")]
OPTIONS = {"web/templates/**.html": {"trimmed": "true", "silent": "false", "encoding": "utf-8"}}
KEYWORDS = {
    "_": None, "N_": None, "gettext": None, "lazy_gettext": None, "ngettext": (1, 2), "lazy_ngettext": (1, 2),
}  # fmt: skip


@cache
def texts() -> Catalog:
    """Everything that is said, as it stood when it was first asked for."""
    template = Catalog(project="pbxbill", creation_date=ALWAYS)
    found = extract_from_dir(
        PACKAGE, method_map=METHODS, options_map=OPTIONS, keywords=KEYWORDS, comment_tags=("Translators:",)
    )
    for path, _line, message, comments, context in found:
        # Without line numbers: a file that moves a little changes no translation.
        template.add(message, None, [(path, None)], auto_comments=comments, context=context)  # type: ignore[list-item]
    for where, text in (*refusals(PACKAGE), *explanations()):
        stands = where.relative_to(PACKAGE) if where.is_absolute() else where
        template.add(text, None, [(str(stands), None)], context=CONTEXT)  # type: ignore[list-item]
    return template


def main() -> int:
    """Write the catalogues; how many texts each lacks."""
    template = texts()
    for language in LANGUAGES:
        path = FOLDER / language / "LC_MESSAGES/messages.po"
        path.parent.mkdir(parents=True, exist_ok=True)
        known = Catalog(locale=language, project="pbxbill", creation_date=ALWAYS)
        if path.is_file():
            with path.open("rb") as file:
                known = read_po(file, locale=language)
        known.update(template, no_fuzzy_matching=True)
        known.fuzzy, known.creation_date, known.revision_date = False, ALWAYS, ALWAYS
        known.header_comment = HEADER.format(language=language)
        known.last_translator = known.language_team = known.msgid_bugs_address = "pbxbill"
        with path.open("wb") as file:
            write_po(
                file,
                known,
                width=WIDTH,
                ignore_obsolete=True,
                sort_output=True,
                include_lineno=False,
                omit_header=False,
            )
        lacking = [
            x
            for x in known
            if x.id and not (all(x.string) if isinstance(x.string, tuple | list) else x.string)
        ]
        print(f"{language}: {len(known)} texts, {len(lacking)} not translated")
    return 0


if __name__ == "__main__":
    sys.exit(main())
