"""Thousands of short runs in which everything goes wrong: the promises hold after each.

`PBXBILL_SIMULATION_RUNS=100000 pytest tests/simulation` runs more; a failure names its seed, and
`PBXBILL_SIMULATION_SEED=n` runs that one alone. Every other operator charges by minutes alone; the rest
has bands, steps, bundles, mark-ups, several wallets, limits and calls that are only watched.
"""

import os

import pytest

from tests.simulation.site import Site

RUNS = int(os.environ.get("PBXBILL_SIMULATION_RUNS", "3600"))
CHUNKS = 12


def promises_broken_by(seed: int) -> list[str]:
    site = Site(seed, mixed=seed % 2 == 1)
    site.run()
    return site.broken_promises()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_the_promises_hold_whatever_happens(chunk: int) -> None:
    only = os.environ.get("PBXBILL_SIMULATION_SEED")
    seeds = [int(only)] if only else range(chunk * RUNS // CHUNKS, (chunk + 1) * RUNS // CHUNKS)
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


def test_the_mixed_runs_meet_what_they_are_meant_to_meet() -> None:
    seen = {"bundle": 0, "steps": 0, "spend": 0, "rate": 0, "burst": 0}
    seen |= {"struck": 0, "exchanged": 0, "levels": 0, "volume": 0, "watched": 0, "shrunk": 0}
    for seed in range(300):
        site = Site(seed, mixed=True)
        site.run()
        state = site.operator.state
        for key, counter in site.operator.rows.counters.items():
            seen[key.kind] += counter.used > 0
        charges = [x for cdr in state.new_cdrs for x in cdr.charges]
        seen["struck"] += len(state.struck)
        seen["exchanged"] += sum(x.exchange_id is not None and x.total > 0 for x in charges)
        seen["levels"] += sum(x.level == 2 for x in charges)
        seen["volume"] += sum(entry.kind == "volume" for entry in state.new_entries)
        seen["watched"] += sum(cdr.shadow is not None for cdr in state.new_cdrs)
        seen["shrunk"] += sum(step[1] == "shrink" for step in state.steps)
    assert all(seen.values()), seen
    assert seen["bundle"] > 100
