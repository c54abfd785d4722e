"""The form that every bench prints its figures in: one JSON object, or tables for people.

A figure's name is "row.column": figures of the same row stand in one line of a table.
"""

import argparse
import json
import sys
from collections.abc import Callable
from statistics import quantiles

Value = int | float | str | None


class Figures:
    """What a bench found, and whether it reached its goals."""

    def __init__(self, bench: str) -> None:
        self.bench = bench
        self._figures: dict[str, Value] = {}
        self._goals: dict[str, dict[str, Value | bool]] = {}
        self._bounds: dict[str, str] = {}

    def add(self, row: str, **columns: Value) -> None:
        """Figures of one row, e.g. add("sqlite.reserve.200", per_s=9000)."""
        for column, value in columns.items():
            self._figures[f"{row}.{column}"] = _rounded(value)
        # What a long bench has found is not lost if it is stopped.
        progress(f"{row}: " + ", ".join(f"{column} {_rounded(value)}" for column, value in columns.items()))

    def highest(self, column: str) -> float:
        """The highest figure of a column."""
        names = [name for name in self._figures if name.rpartition(".")[2] == column]
        return max(value for name in names if isinstance(value := self._figures[name], int | float))

    def at_least(self, goal: str, value: float | None, bound: float) -> None:
        """A goal that is met from bound on; value None: it could not be measured."""
        self._bounds[goal] = "at least"
        self._judge(goal, value, bound, met=value is not None and value >= bound)

    def at_most(self, goal: str, value: float | None, bound: float) -> None:
        """A goal that is met up to bound; value None: it could not be measured."""
        self._bounds[goal] = "at most"
        self._judge(goal, value, bound, met=value is not None and value <= bound)

    def _judge(self, goal: str, value: float | None, bound: float, *, met: bool) -> None:
        self._goals[goal] = {"value": _rounded(value), "goal": bound, "met": met}

    def as_json(self) -> str:
        """One line."""
        return json.dumps({"bench": self.bench, "figures": self._figures, "goals": self._goals})

    def as_text(self) -> str:
        """Tables: rows with the same columns stand together."""
        rows: dict[str, dict[str, Value]] = {}
        for name, value in self._figures.items():
            row, _, column = name.rpartition(".")
            rows.setdefault(row, {})[column] = value
        tables: dict[tuple[str, ...], list[list[str]]] = {}
        for row, columns in rows.items():
            line = [row.replace(".", " "), *map(_text, columns.values())]
            tables.setdefault(tuple(columns), []).append(line)
        texts = [_table(["", *columns], lines) for columns, lines in tables.items()]
        goals = [
            [
                name,
                _text(goal["value"]),
                f"{self._bounds[name]} {_text(goal['goal'])}",
                "met" if goal["met"] else "MISSED",
            ]
            for name, goal in self._goals.items()
        ]
        return "\n\n".join([*texts, _table(["goal", "value", "wanted", ""], goals)])


def run(bench: str, about: str, measure: Callable[[Figures, bool], None]) -> None:
    """The command line of a bench: measure(figures, quick), then print. Exit status 0 once it has run."""
    options = _parser(bench, about).parse_args()
    figures = Figures(bench)
    measure(figures, options.quick)
    _show(figures, options.json)


def run_on_each(bench: str, about: str, measures: dict[str, Callable[[Figures, bool], None]]) -> None:
    """The same for one that takes long, {database: measure}: `--on` measures one database alone."""
    parser = _parser(bench, about)
    parser.add_argument("--on", choices=list(measures), help="measure this database alone")
    options = parser.parse_args()
    figures = Figures(bench)
    for database, measure in measures.items():
        if options.on in (None, database):
            measure(figures, options.quick)
    _show(figures, options.json)


def _parser(bench: str, about: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m bench.{bench}", description=about)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--quick", action="store_true", help="stay under a minute; rougher figures")
    return parser


def _show(figures: Figures, as_json: bool) -> None:
    print(figures.as_json() if as_json else figures.as_text())


def progress(text: str) -> None:
    """Say on standard error what is being measured."""
    print(text, file=sys.stderr, flush=True)


def percentile(values: list[float], percent: int) -> float:
    """The value that percent of the values do not exceed; percent from 1 to 99."""
    if len(values) < 2:
        return values[0] if values else 0.0
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def _rounded(value: Value) -> Value:
    if not isinstance(value, float):
        return value
    return round(value, 3) if abs(value) < 100 else round(value)


def _text(value: Value | bool) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int | float) else value


def _table(header: list[str], lines: list[list[str]]) -> str:
    widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]

    def formed(line: list[str]) -> str:
        first = line[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
        return "  ".join([first, *rest]).rstrip()

    return "\n".join(map(formed, [header, *lines]))
