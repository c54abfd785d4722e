"""Why something is refused is said in the reader's language, whatever the sentence is made of."""

import re

import pytest

from lab.messages import LANGUAGES, PACKAGE
from lab.refusals import PLACE, refusals
from pbxbill.store.access_models import UserRow
from pbxbill.web.languages import written
from pbxbill.web.refusals import CONTEXT, in_language
from tests.web.offices import Office


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_refusal_is_recognised_by_the_text_it_was_made_from(language: str) -> None:
    known = {str(x.id): str(x.string) for x in written(language) if x.context == CONTEXT}
    for _path, text in refusals(PACKAGE):
        values = {name: f"'v{number}'" for number, name in enumerate(re.findall(r"%\((\w+)\)s", text))}
        assert in_language(text % values, language) == known[text] % values


def test_a_sentence_within_a_sentence_is_told_as_well() -> None:
    inner = "'Grz' is no prefix"
    told = in_language(f"prefix '49': {inner}", "fr")
    assert in_language(inner, "fr") in told
    assert inner not in told
    both = in_language(f"{inner}; {inner}", "es")
    assert both == "; ".join([in_language(inner, "es")] * 2)


def test_what_is_not_known_stays_as_it_is() -> None:
    assert in_language("the moon is full", "fr") == "the moon is full"
    assert in_language("the moon is full", "en") == "the moon is full"


def test_places_are_told_apart_by_what_stands_around_them() -> None:
    assert PLACE.sub("?", "no plan %(name)s of %(code)s") == "no plan ? of ?"


def test_a_form_is_refused_in_the_language_of_who_sent_it(office: Office) -> None:
    with office.writing() as session:
        session.query(UserRow).filter_by(login="admin").one().language = "fr"
    form = {"login": "alice", "name": "Somebody", "role": "support", "language": "en", "zone": "UTC"}
    answer = office.browser("admin").post("/panel/users/new", form)
    assert "Il y a déjà un utilisateur" in answer.text
    assert "there is a user" not in answer.text.lower()
