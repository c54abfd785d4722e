"""Every text of panel and portal is said in every language, with the same places for values."""

import re

import pytest
from babel.messages.pofile import read_po

from lab.messages import FOLDER, LANGUAGES, texts

PLACES = re.compile(r"%\(\w+\)[sd]|%%")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated(language: str) -> None:
    with (FOLDER / language / "LC_MESSAGES/messages.po").open("rb") as file:
        known = read_po(file, locale=language)
    lacking: list[object] = []
    wrong: list[object] = []
    for message in texts():
        if not message.id:
            continue
        ids = list(message.id) if isinstance(message.id, tuple | list) else [message.id]
        found = known.get(ids[0], message.context)
        said = found.string if found is not None else ""
        forms = [x or "" for x in (said if isinstance(said, tuple | list) else [said])]
        if not all(forms):
            lacking.append(message.id)
        elif any(sorted(PLACES.findall(x)) not in [sorted(PLACES.findall(y)) for y in ids] for x in forms):
            wrong.append(message.id)
    assert lacking == [], "`make messages` adds them to the catalogues, to be translated"
    assert wrong == []


def test_no_text_holds_markup() -> None:
    # What is translated stands in a page as it is: an element in it would be one of the page.
    held = [x.id for x in texts() if x.context is None and re.search(r"<[a-z/]|&[a-z#]", str(x.id))]
    assert held == []
