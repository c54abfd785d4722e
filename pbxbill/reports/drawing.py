"""Pictures of charts as SVG: bars, stacked bars, lines, and bars that lie where names are long. Pure.

Values are whole numbers (steps of a unit, seconds, calls) and shown() says what one is in words. Colours are
classes: pages have theirs in panel.css, for dark screens too, and files in rules of their own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from pbxbill.errors import check

WIDTH, HEIGHT = 480, 220
LEFT, RIGHT, TOP, BOTTOM = 72, 6, 10, 26
"""Room for the figures at the left and the labels below."""
TICKS = 4
MAX_LABELS = 7
MAX_POINTS = 1_000
MAX_SERIES = 6
Shown = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Series:
    """Figures of one kind, one for each label."""

    name: str
    values: tuple[int, ...]
    is_faint: bool = False
    """Drawn lightly: what it is compared with."""


class Picture(NamedTuple):
    """What is drawn, and how high it is; all are WIDTH wide."""

    drawn: Markup
    height: int = HEIGHT


def bars(labels: Sequence[str], series: Sequence[Series], shown: Shown, *, stacked: bool = False) -> Picture:
    """Bars beside each other, or on top of each other."""
    scale = _scale_of(labels, series, stacked=stacked)
    slot = scale.slot(len(labels))
    inner = max(1, slot * 7 // 10)
    across = 1 if stacked else len(series)
    width = max(1, inner // across)
    drawn = []
    for at in range(len(labels)):
        left = LEFT + at * (WIDTH - LEFT - RIGHT) // max(1, len(labels)) + (slot - inner) // 2
        base = {False: 0, True: 0}
        for number, one in enumerate(series):
            value = one.values[at]
            below = base[value < 0] if stacked else 0
            base[value < 0] += value
            top, bottom = sorted((scale.y(below), scale.y(below + value)))
            x = left if stacked else left + number * width
            what = f"{labels[at]}, {one.name}: {shown(value)}"
            drawn.append(
                Markup(
                    '<rect class="bar series-{}" x="{}" y="{}" width="{}" height="{}">'
                    "<title>{}</title></rect>"
                ).format(number + 1, x, top, max(1, width - 1), max(0, bottom - top), what)
            )
    return Picture(_grid(labels, scale, shown) + Markup("").join(drawn))


def lines(labels: Sequence[str], series: Sequence[Series], shown: Shown) -> Picture:
    """Lines, with a dot for each figure where there are few."""
    scale = _scale_of(labels, series, stacked=False)
    drawn = []
    for number, one in enumerate(series):
        points = [(scale.x(at, len(labels)), scale.y(value)) for at, value in enumerate(one.values)]
        faint = " faint" if one.is_faint else ""
        drawn.append(
            Markup('<polyline class="line series-{}{}" points="{}"/>').format(
                number + 1, faint, " ".join(f"{x},{y}" for x, y in points)
            )
        )
        if len(points) <= 62 and not one.is_faint:
            drawn += [
                Markup(
                    '<circle class="dot series-{}" cx="{}" cy="{}" r="2.5"><title>{}</title></circle>'
                ).format(number + 1, x, y, f"{label}, {one.name}: {shown(value)}")
                for (x, y), label, value in zip(points, labels, one.values, strict=True)
            ]
    return Picture(_grid(labels, scale, shown) + Markup("").join(drawn))


RANK_PITCH, RANK_BAR = 34, 9
"""Of bars that lie: from one to the next, and how thick."""
MAX_NAME_LENGTH = 38


def ranks(labels: Sequence[str], series: Sequence[Series], shown: Shown) -> Picture:
    """Bars that lie, each below its name, its figure at the right; several series follow each other."""
    check(all(len(x.values) == len(labels) for x in series), "a chart has one figure per label")
    check(len(labels) <= MAX_POINTS and len(series) <= MAX_SERIES, "a chart has too many figures")
    columns = list(zip(*(x.values for x in series), strict=True))
    low = min([0, *(sum(x for x in column if x < 0) for column in columns)])
    span = max(1, max([0, *(sum(x for x in column if x > 0) for column in columns)]) - low)
    drawn = []
    for at, (label, column) in enumerate(zip(labels, columns, strict=True)):
        top = at * RANK_PITCH + 14
        name = label if len(label) <= MAX_NAME_LENGTH else f"{label[: MAX_NAME_LENGTH - 1]}…"
        drawn.append(
            Markup('<text x="0" y="{}">{}<title>{}</title></text>').format(top, name, label)
            + Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(WIDTH, top, shown(sum(column)))
        )
        ends = {False: 0, True: 0}
        for number, (one, value) in enumerate(zip(series, column, strict=True)):
            begin = ends[value < 0]
            ends[value < 0] += value
            left, right = sorted((x - low) * WIDTH // span for x in (begin, begin + value))
            drawn.append(
                Markup(
                    '<rect class="bar series-{}" x="{}" y="{}" width="{}" height="{}">'
                    "<title>{}</title></rect>"
                ).format(
                    number + 1, left, top + 5, max(1 if value else 0, right - left), RANK_BAR,
                    f"{label}, {one.name}: {shown(value)}",
                )
            )  # fmt: skip
    return Picture(Markup("").join(drawn), len(labels) * RANK_PITCH)


@dataclass(frozen=True, slots=True)
class _Scale:
    low: int
    high: int
    step: int

    def y(self, value: int) -> int:
        room = HEIGHT - TOP - BOTTOM
        return TOP + room - (value - self.low) * room // (self.high - self.low)

    def x(self, at: int, of: int) -> int:
        return LEFT + (2 * at + 1) * (WIDTH - LEFT - RIGHT) // (2 * max(1, of))

    def slot(self, of: int) -> int:
        return (WIDTH - LEFT - RIGHT) // max(1, of)


def _scale_of(labels: Sequence[str], series: Sequence[Series], *, stacked: bool) -> _Scale:
    check(all(len(x.values) == len(labels) for x in series), "a chart has one figure per label")
    check(len(labels) <= MAX_POINTS and len(series) <= MAX_SERIES, "a chart has too many figures")
    columns = list(zip(*(x.values for x in series), strict=True))
    if stacked:
        tops = [sum(x for x in column if x > 0) for column in columns]
        bottoms = [sum(x for x in column if x < 0) for column in columns]
    else:
        tops = bottoms = [x for column in columns for x in column]
    high, low = max([0, *tops]), min([0, *bottoms])
    step = _round_step(max(1, high - low))
    return _Scale(-(-low // -step) * -step if low < 0 else 0, max(step, -(-high // step) * step), step)


def _round_step(span: int) -> int:
    """1, 2 or 5 times a power of ten, of which about TICKS make the span."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power * TICKS >= span:
                return factor * power
        power *= 10


def legend_of(series: Sequence[Series]) -> Markup:
    """What the colours are, where there are several."""
    if len(series) < 2:
        return Markup("")
    names = Markup("").join(
        Markup('<li class="series-{}">{}</li>').format(number + 1, one.name)
        for number, one in enumerate(series)
    )
    return Markup('<ul class="legend">{}</ul>').format(names)


def _grid(labels: Sequence[str], scale: _Scale, shown: Shown) -> Markup:
    lines = []
    value = scale.low
    while value <= scale.high:
        y = scale.y(value)
        kind = "axis" if value == 0 else "grid"
        lines.append(
            Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                kind, LEFT, WIDTH - RIGHT, y, y
            )
        )
        lines.append(
            Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(LEFT - 8, y + 4, shown(value))
        )
        value += scale.step
    # Long labels need room: on a phone a letter takes nine of these steps.
    room = (WIDTH - LEFT - RIGHT) // (9 * max([1, *map(len, labels)]))
    every = -(-len(labels) // max(2, min(MAX_LABELS, room))) if labels else 1
    lines += [
        Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
            scale.x(at, len(labels)), HEIGHT - 6, labels[at]
        )
        for at in range(0, len(labels), every)
    ]
    return Markup("").join(lines)
