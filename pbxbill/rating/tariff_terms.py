"""A tariff's mark-up and cycle steps as text, as a tariff version keeps them: JSON, prices as integers.

{"ppm": 200000, "absolute": 0, "rounding_step": 1}
{"kind": "volume", "cycle": "month", "zone": "UTC", "steps": [[0, 10000000000], [6000, 8000000000]],
 "destinations": ["mobile"]}
"""

import json
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pbxbill.errors import InputRefused
from pbxbill.money import MAX_AMOUNT
from pbxbill.rating.tariff import PPM, CycleStepKind, CycleSteps, MarkUp, Step

CYCLES = ("day", "week", "month", "quarter", "year")
MAX_CYCLE_STEPS = 100


def mark_up_to_json(mark_up: MarkUp) -> str:
    """The text of a mark-up."""
    return json.dumps(checked_mark_up(mark_up)._asdict(), separators=(",", ":"))


def mark_up_from_json(text: str) -> MarkUp:
    """The mark-up of a text."""
    return checked_mark_up(MarkUp(**json.loads(text)))


def checked_mark_up(mark_up: MarkUp) -> MarkUp:
    """This mark-up if prices can be made by it, else InputRefused."""
    if not -PPM <= mark_up.ppm <= 1_000 * PPM:
        raise InputRefused("a mark-up lies between -100 and 100,000 percent")
    if abs(mark_up.absolute) > MAX_AMOUNT:
        raise InputRefused("the absolute part of a mark-up is out of range")
    if not 1 <= mark_up.rounding_step <= MAX_AMOUNT:
        raise InputRefused("a mark-up rounds prices to more than nothing")
    return mark_up


def cycle_steps_to_json(steps: CycleSteps) -> str:
    """The text of cycle steps."""
    facts = {
        "kind": steps.kind.value,
        "cycle": steps.cycle,
        "zone": steps.zone,
        "steps": checked_cycle_steps(steps).steps,
        "destinations": steps.destinations,
    }
    return json.dumps(facts, separators=(",", ":"), ensure_ascii=False)


def cycle_steps_from_json(text: str) -> CycleSteps:
    """The cycle steps of a text."""
    facts = json.loads(text)
    return checked_cycle_steps(
        CycleSteps(
            CycleStepKind(facts["kind"]),
            facts["cycle"],
            facts["zone"],
            tuple(Step(*step) for step in facts["steps"]),
            tuple(facts["destinations"]),
        )
    )


def checked_cycle_steps(steps: CycleSteps) -> CycleSteps:
    """These cycle steps if calls can be charged by them, else InputRefused."""
    if steps.cycle not in CYCLES:
        raise InputRefused(f"a cycle is one of {', '.join(CYCLES)}, not {steps.cycle[:20]!r}")
    try:
        ZoneInfo(steps.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputRefused(f"{steps.zone[:40]!r} is no time zone; write e.g. Europe/Berlin") from None
    if not 1 <= len(steps.steps) <= MAX_CYCLE_STEPS or steps.steps[0].from_s != 0:
        raise InputRefused(f"cycle steps are 1 to {MAX_CYCLE_STEPS}, the first from 0")
    before = -1
    for step in steps.steps:
        if step.from_s <= before:
            raise InputRefused("cycle steps begin one after the other")
        if not 0 <= step.price_per_min <= MAX_AMOUNT:
            raise InputRefused("the price of a cycle step is negative or out of range")
        before = step.from_s
    prices = [step.price_per_min for step in steps.steps]
    if steps.kind is CycleStepKind.VOLUME and prices != sorted(prices, reverse=True):
        raise InputRefused(
            "the prices of a volume fall from step to step: calls that were paid cannot become dearer; "
            "steps that rise are graduated ones"
        )
    return steps
