"""Thousands of short runs in which everything goes wrong: the promises hold after each.

`PBXBILL_SIMULATION_RUNS=100000 pytest tests/simulation` runs more; a failure names its seed, and
`PBXBILL_SIMULATION_SEED=n` runs that one alone.
"""

import os

import pytest

from tests.simulation.site import Site

RUNS = int(os.environ.get("PBXBILL_SIMULATION_RUNS", "4800"))
CHUNKS = 12


def promises_broken_by(seed: int) -> list[str]:
    site = Site(seed)
    site.run()
    return site.broken_promises()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_the_promises_hold_whatever_happens(chunk: int) -> None:
    only = os.environ.get("PBXBILL_SIMULATION_SEED")
    seeds = [int(only)] if only else range(chunk, RUNS, CHUNKS)
    for seed in seeds:
        assert promises_broken_by(seed) == [], f"PBXBILL_SIMULATION_SEED={seed}"


def test_a_run_follows_from_its_seed() -> None:
    first, second = Site(7), Site(7)
    for site in (first, second):
        site.run()
    assert [x.billed_us for x in first.operator.state.new_cdrs] == [
        x.billed_us for x in second.operator.state.new_cdrs
    ]


def test_the_runs_meet_what_they_are_meant_to_meet() -> None:
    """A simulation in which nothing happens proves nothing."""
    seen = {"calls": 0, "charged": 0, "denied": 0, "lives": 0, "estimates": 0, "uncollected": 0, "shrunk": 0}
    for seed in range(200):
        site = Site(seed)
        site.run()
        cdrs = site.operator.state.new_cdrs
        seen["calls"] += len(site.calls)
        seen["charged"] += sum(bool(x.charges) for x in cdrs)
        seen["denied"] += sum(x.denial is not None for x in cdrs)
        seen["lives"] += site.lives - 1
        seen["estimates"] += sum(x.evidence == "estimate" for x in cdrs)
        seen["uncollected"] += sum(any(y.uncollected for y in x.charges) for x in cdrs)
        seen["shrunk"] += sum(step[1] == "shrink" for step in site.operator.state.steps)
    assert all(seen.values()), seen
    assert seen["charged"] > 400
