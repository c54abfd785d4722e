"""What people write in forms: read exactly, refused beside the field, kept."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, g
from werkzeug.datastructures import MultiDict
from wtforms.validators import Optional

from pbxbill.errors import InputRefused
from pbxbill.money import Unit
from pbxbill.web.editions import EditionField, Stale, check_edition, edition_of
from pbxbill.web.fields import (
    AmountField,
    CountField,
    DayField,
    LineField,
    MomentField,
    PanelForm,
    ZoneField,
    plain_number,
    refusals,
    required,
    sentence,
)
from pbxbill.web.languages import install_languages

EUR = Unit("EUR")


class Everything(PanelForm):
    edition = EditionField()
    name = LineField("Name", [required()])
    amount = AmountField("Amount", least=0)
    number = CountField("Number", most=10)
    day = DayField("Day")
    at = MomentField("At")
    zone = ZoneField("Zone", [Optional()])


@pytest.fixture
def app() -> Flask:
    made = Flask("forms")
    made.config.update(SECRET_KEY="test", WTF_CSRF_ENABLED=False)
    install_languages(made)
    return made


@pytest.fixture(params=["en", "fr"])
def language(app: Flask, request: pytest.FixtureRequest) -> Iterator[str]:
    with app.test_request_context(method="POST"):
        g.actor = SimpleNamespace(language=request.param, zone="Europe/Berlin")
        yield request.param


def filled(**values: Any) -> Everything:
    form = Everything(MultiDict({"name": "x", **values}))
    form.amount.unit = EUR
    return form


@pytest.mark.parametrize(
    "language, written, steps",
    [
        ("en", "12.5", 12_500_000),
        ("en", "1,234.50", 1_234_500_000),
        ("en", "0.000001", 1),
        ("fr", "12,5", 12_500_000),
        ("fr", "1 234,50", 1_234_500_000),
        ("fr", "12.5", 12_500_000),
        ("fr", "1.234,50", 1_234_500_000),
    ],
    indirect=["language"],
)
def test_amounts_are_read_as_the_language_writes_them(language: str, written: str, steps: int) -> None:
    form = filled(amount=written)
    assert form.validate(), form.errors
    assert form.amount.data == steps


@pytest.mark.parametrize("language", ["en"], indirect=True)
@pytest.mark.parametrize("written", ["12,50", "1,23,4", "abc", "1e3", "0.0000001", "-1", "٣", "9" * 40])
def test_what_is_no_amount_is_refused_and_kept(language: str, written: str) -> None:
    form = filled(amount=written)
    assert not form.validate()
    assert form.amount.errors
    assert form.amount._value() == written


@pytest.mark.parametrize("language", ["fr"], indirect=True)
def test_numbers_are_never_guessed(language: str) -> None:
    assert plain_number("0.123") == "0.123"
    with pytest.raises(InputRefused, match=r"two ways|deux"):
        plain_number("1.234")


@pytest.mark.parametrize("language", ["fr"], indirect=True)
def test_what_a_form_shows_it_can_read_again(language: str) -> None:
    form = Everything(data={"name": "x", "amount": 1_234_000})
    form.amount.unit = EUR
    assert form.amount._value() == "1,234"
    assert filled(amount=form.amount._value()).validate()


def test_days_moments_counts_and_zones(language: str) -> None:
    form = filled(day="2026-03-29", at="2026-07-01T08:30", number="10", zone="Europe/Paris")
    assert form.validate(), form.errors
    assert form.day.start_us() == 1_774_738_800_000_000  # midnight in Berlin, still in winter
    assert form.at.data == 1_782_887_400_000_000
    assert form.number.data == 10


@pytest.mark.parametrize(
    "wrong",
    [{"day": "2026-02-30"}, {"at": "yesterday"}, {"number": "11"}, {"number": "1.5"}, {"zone": "Mars/Base"}],
)
def test_what_cannot_be_read_is_told_beside_its_field(language: str, wrong: dict[str, str]) -> None:
    form = filled(**wrong)
    assert not form.validate()
    assert list(form.errors) == list(wrong)


def test_lines_lose_their_outer_spaces_and_refuse_what_cannot_be_printed(language: str) -> None:
    assert filled(name="  two   words ").name.data == "two words"
    assert not filled(name="a\x00b").validate()


def refuse(message: str) -> None:
    raise InputRefused(message)


def test_a_refusal_of_the_domain_becomes_the_forms(language: str) -> None:
    form = filled()
    with refusals(form, "amount") as refused:
        refuse("the limit is in use; `pbxbill accounts limit` tells")
    assert refused
    assert form.amount.errors == ["The limit is in use."]


def test_a_refusal_that_speaks_of_commands_alone_is_told_all_the_same() -> None:
    assert sentence("no tariff 'x'; `pbxbill tariffs list` shows them") == "No tariff 'x'."
    assert sentence("run `pbxbill init` first") == "Run `pbxbill init` first."


def test_the_second_editor_is_told_and_may_insist(language: str) -> None:
    shown = edition_of({"name": "before"})
    form = filled(edition=shown)
    with refusals(form) as refused:
        check_edition(form, {"name": "meanwhile"})
    assert refused
    assert not form.form_errors
    assert form.changed_meanwhile == (("Name", "before", "meanwhile"),)
    check_edition(filled(edition=form.edition.data), {"name": "meanwhile"})


@pytest.mark.parametrize(
    "forged", ["", "{", "[]", "[" * 10_000, '{"name": 1}', '{"other": "x"}', "x" * 30_000]
)
def test_a_forged_edition_changes_nothing(language: str, forged: str) -> None:
    form = filled(edition=forged)
    try:
        check_edition(form, {"name": "now"})
    except Stale:  # pragma: no cover
        pytest.fail("nothing was known of before")
