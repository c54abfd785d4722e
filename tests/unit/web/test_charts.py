"""Charts: every figure is drawn, said in words, and in a table; whatever the figures are."""

from collections.abc import Iterator
from xml.etree import ElementTree as ET

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.web.charts import HEIGHT, WIDTH, Series, bar_chart, line_chart
from pbxbill.web.languages import install_languages

FIGURES = st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=40)


@pytest.fixture(autouse=True)
def request_context() -> Iterator[None]:
    app = Flask("charts")
    install_languages(app)
    with app.test_request_context():
        yield


def parsed(chart: str) -> ET.Element:
    return ET.fromstring(chart)


def test_what_is_drawn_says_what_it_is() -> None:
    chart = bar_chart("Calls <now>", ["Mon", "Tue"], [Series("in", (3, 4)), Series("out", (1, 0))])
    figure = parsed(chart)
    assert figure.findtext("figcaption") == "Calls <now>"
    assert [x.text for x in figure.iter("title")] == [
        "Mon, in: 3",
        "Mon, out: 1",
        "Tue, in: 4",
        "Tue, out: 0",
    ]
    assert [x.text for x in figure.iter("td")] == ["3", "1", "4", "0"]
    assert "style=" not in chart


@pytest.mark.parametrize("stacked", [False, True])
@given(first=FIGURES, data=st.data())
def test_bars_stay_in_the_picture(first: list[int], data: st.DataObject, stacked: bool) -> None:
    more = data.draw(st.lists(st.integers(-(2**62), 2**62), min_size=len(first), max_size=len(first)))
    series = [Series("one", tuple(first)), Series("two", tuple(more))]
    figure = parsed(bar_chart("x", [str(x) for x in range(len(first))], series, stacked=stacked))
    bars = list(figure.iter("rect"))
    assert len(bars) == 2 * len(first)
    for bar in bars:
        x, y, width, height = (int(bar.get(name, "-1")) for name in ("x", "y", "width", "height"))
        assert x >= 0
        assert x + width <= WIDTH
        assert y >= 0
        assert y + height <= HEIGHT
        assert height >= 0


@given(figures=FIGURES)
def test_lines_stay_in_the_picture(figures: list[int]) -> None:
    figure = parsed(line_chart("x", [str(x) for x in range(len(figures))], [Series("one", tuple(figures))]))
    (line,) = figure.iter("polyline")
    for point in line.get("points", "").split():
        x, y = map(int, point.split(","))
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


def test_nothing_at_all_is_a_picture_too() -> None:
    assert parsed(line_chart("x", [], [Series("one", ())])) is not None
