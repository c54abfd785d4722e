"""Values as readers of different languages see them; exact, whatever their size."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from flask import Flask, g

from pbxbill.listing.listing import Column, ColumnKind
from pbxbill.money import Unit
from pbxbill.web.formatting import (
    amount_text,
    cell,
    count,
    day,
    duration_s,
    install_filters,
    moment,
    money,
    plain_amount,
    ppm,
    short_amount_text,
    state,
)
from pbxbill.web.languages import install_languages

EUR = Unit("EUR")
NOON_US = 1_767_268_800_000_000  # 2026-01-01 12:00 UTC


@pytest.fixture
def app() -> Flask:
    made = Flask("reader")
    install_languages(made)
    install_filters(made, Unit)
    return made


@pytest.fixture(params=["en", "fr", "es"])
def language(app: Flask, request: pytest.FixtureRequest) -> Iterator[str]:
    with app.test_request_context():
        g.actor = SimpleNamespace(language=request.param, zone="America/New_York")
        yield request.param


def test_amounts_are_exact_in_every_language(language: str) -> None:
    told = {"en": "1,234.567891", "fr": "1\u202f234,567891", "es": "1.234,567891"}
    assert amount_text(1_234_567_891, EUR) == told[language]
    assert amount_text(-500_000, EUR).startswith("−0")
    assert amount_text(2**62, EUR).endswith("387904"[-6:])


def test_short_amounts_are_rounded_to_what_people_are_shown(app: Flask) -> None:
    with app.test_request_context():
        assert short_amount_text(1_995_000, EUR) == "2.00"
        assert short_amount_text(1_500, Unit("JPY", 2, 0)) == "15"


def test_money_says_its_unit_and_marks_what_is_below_zero(app: Flask) -> None:
    with app.test_request_context():
        assert money(-12_500_000, "EUR") == (
            '<span class="money negative">−12.50 <span class="unit">EUR</span></span>'
        )
        assert plain_amount(12_500_000, EUR) == "12.50 EUR"
        assert "–" in money(None, "EUR")


def test_moments_are_in_the_zone_of_the_reader(language: str) -> None:
    assert "07:00" in moment(NOON_US)
    assert 'datetime="2026-01-01T12:00:00+00:00"' in moment(NOON_US)
    assert 'datetime="2025-12-31"' in day(NOON_US - 13 * 3_600_000_000)


@pytest.mark.parametrize(
    "seconds, told",
    [(0, "0:00"), (7, "0:07"), (750, "12:30"), (3_723, "1:02:03"), (-61, "−1:01"), (None, "–")],
)
def test_durations_read_like_a_clock(seconds: int | None, told: str) -> None:
    assert duration_s(seconds) == told


def test_counts_and_shares(app: Flask) -> None:
    with app.test_request_context():
        assert count(1_234_567) == "1,234,567"
        assert ppm(200_000) == "20 %"
        assert ppm(-5_500) == "−0.55 %"


def test_a_state_is_a_word_and_never_a_colour_alone(app: Flask) -> None:
    with app.test_request_context():
        assert state("no_outgoing") == '<span class="state state-warn">no outgoing calls</span>'
        assert state("reseller") == "reseller"
        assert state("<never seen>") == "&lt;never seen&gt;"


def test_a_cell_escapes_what_people_wrote(app: Flask) -> None:
    row = {"name": "<script>", "balance": 1_000_000, "unit": "EUR", "none": None}
    with app.test_request_context():
        assert (
            cell(Column("name", "Name", ColumnKind.CODE), row) == '<span class="code">&lt;script&gt;</span>'
        )
        assert "1.00" in cell(Column("balance", "Balance", ColumnKind.MONEY), row)
        assert "–" in cell(Column("none", "None"), row)
