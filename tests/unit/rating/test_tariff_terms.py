"""Mark-ups and cycle steps as a tariff version keeps them."""

import pytest

from pbxbill.errors import InputRefused
from pbxbill.rating.tariff import CycleStepKind, CycleSteps, MarkUp, Step
from pbxbill.rating.tariff_terms import (
    cycle_steps_from_json,
    cycle_steps_to_json,
    mark_up_from_json,
    mark_up_to_json,
)


def test_a_mark_up_comes_back_as_it_was() -> None:
    mark_up = MarkUp(-50_000, 10**9, 10**8)
    assert mark_up_from_json(mark_up_to_json(mark_up)) == mark_up


def test_cycle_steps_come_back_as_they_were() -> None:
    steps = CycleSteps(CycleStepKind.VOLUME, "month", "Europe/Berlin", (Step(0, 5), Step(60, 4)), ("mobile",))
    assert cycle_steps_from_json(cycle_steps_to_json(steps)) == steps


@pytest.mark.parametrize(
    "mark_up, message",
    [
        (MarkUp(-1_000_001), "between -100 and 100,000 percent"),
        (MarkUp(absolute=2**63), "out of range"),
        (MarkUp(rounding_step=0), "rounds prices to more than nothing"),
    ],
)
def test_a_mark_up_that_makes_no_prices(mark_up: MarkUp, message: str) -> None:
    with pytest.raises(InputRefused, match=message):
        mark_up_to_json(mark_up)


@pytest.mark.parametrize(
    "cycle, zone, steps, message",
    [
        ("decade", "UTC", (Step(0, 1),), "a cycle is one of day, week, month"),
        ("month", "Mars", (Step(0, 1),), "'Mars' is no time zone"),
        ("month", "UTC", (Step(1, 1),), "the first from 0"),
        ("month", "UTC", (), "the first from 0"),
        ("month", "UTC", (Step(0, 1), Step(0, 2)), "begin one after the other"),
        ("month", "UTC", (Step(0, -1),), "negative or out of range"),
    ],
)
def test_cycle_steps_that_charge_nothing_right(
    cycle: str, zone: str, steps: tuple[Step, ...], message: str
) -> None:
    with pytest.raises(InputRefused, match=message):
        cycle_steps_to_json(CycleSteps(CycleStepKind.GRADUATED, cycle, zone, steps))
