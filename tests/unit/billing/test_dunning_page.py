"""The tables of docs/dunning.md, reckoned."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from pbxbill.billing.dunning.dunning_policy import DunningPolicy, Level, WorkingDays
from pbxbill.billing.dunning.penalties import (
    Every,
    PenaltyTerms,
    first_day,
    late_periods,
    next_period_end,
    penalty,
    penalty_from_toml,
)
from pbxbill.clock import SECOND_US
from pbxbill.money import Unit, format_amount, parse_amount

PAGE = (Path(__file__).parents[3] / "docs" / "dunning.md").read_text()
EUR = Unit("EUR")
DUE_ON, PAID_ON = date(2026, 2, 15), date(2026, 5, 1)


def rows(title: str) -> list[list[str]]:
    """Of the table whose head begins so."""
    table = PAGE.partition(f"| {title} |")[2].partition("\n\n")[0].splitlines()[2:]
    assert table, title
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def us(day: date, hour: int = 0) -> int:
    return int(datetime(day.year, day.month, day.day, hour, tzinfo=UTC).timestamp()) * SECOND_US


def test_levels_that_were_found_late() -> None:
    days = WorkingDays(DunningPolicy((Level(3), Level(10), Level(20))), "UTC")
    due_us = us(DUE_ON + timedelta(days=1)) - 1
    on_time: int | None = None
    late: int | None = None
    for level, *shown in rows("level | on time"):
        on_time = days.level_us(int(level), due_us, on_time)
        late = max(days.level_us(int(level), due_us, late) or 0, us(date(2026, 3, 10), 8))
        said = [f"{x.day} {x:%B}" for x in (_day(on_time or 0), _day(late))]
        assert said == shown


def test_what_paying_late_costs() -> None:
    for words, overdue, when, each in rows("class | overdue"):
        terms = _terms(words.split())
        charged = _charged(terms, parse_amount(overdue, EUR))
        assert [day.isoformat() for day, _ in charged] == when.split(), words
        amounts = [format_amount(amount, EUR) for _, amount in charged]
        wanted = each.split()
        assert amounts == (wanted if len(wanted) > 1 else wanted * len(amounts)), words


def _day(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us // SECOND_US, UTC)


def _terms(words: list[str]) -> PenaltyTerms:
    text = ['unit = "EUR"', *(f'period = "{x}"' for x in words if x in set(Every))]
    amounts = {"fixed", "percent", "minimum", "cap"}
    text += [f'{key} = "{value}"' for key, value in pairwise(words) if key in amounts]
    text += [f"grace_days = {words[words.index('grace') + 1]}"] if "grace" in words else []
    return penalty_from_toml("\n".join(text), {"EUR": EUR})


def _charged(terms: PenaltyTerms, overdue: int) -> list[tuple[date, int]]:
    """Looked at every day until it was paid."""
    begins, counted_to, sum_ = first_day(terms, DUE_ON), None, 0
    found = []
    day = DUE_ON
    while (day := day + timedelta(days=1)) < PAID_ON:
        late = late_periods(terms, begins, counted_to, day)
        if late is None:
            continue
        assert next_period_end(terms, begins, day - timedelta(days=1)) == day
        amount = penalty(terms, overdue, late.count, charged=sum_, unit=EUR)
        counted_to, sum_ = late.to_day, sum_ + amount
        found.append((day, amount))
    return found
