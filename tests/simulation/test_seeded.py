"""Thousands of short runs in which everything goes wrong: the promises hold after each.

`PBXBILL_SIMULATION_RUNS=100000 pytest tests/simulation` runs more; a failure names its seed, and
`PBXBILL_SIMULATION_SEED=n` runs that one alone. Every other operator charges by minutes alone; the rest
has bands, steps, bundles, mark-ups, several wallets, limits and calls that are only watched. What they meet
is counted as they run.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.simulation.site import Site

RUNS = int(os.environ.get("PBXBILL_SIMULATION_RUNS", "3600"))
CHUNKS = 12
MEETS = ("calls", "charged", "denied", "lives", "estimates", "uncollected", "shrunk")
MIXED_MEETS = (
    "bundle",
    "steps",
    "spend",
    "rate",
    "burst",
    "struck",
    "exchanged",
    "levels",
    "volume",
    "watched",
    "shrunk",
)


def met_by(site: Site) -> Counter[str]:
    """What happened in a run whose operator charges by minutes alone."""
    state = site.operator.state
    cdrs = state.new_cdrs
    return Counter(
        calls=len(site.calls),
        charged=sum(bool(x.charges) for x in cdrs),
        denied=sum(x.denial is not None for x in cdrs),
        lives=site.lives - 1,
        estimates=sum(x.evidence == "estimate" for x in cdrs),
        uncollected=sum(any(y.uncollected for y in x.charges) for x in cdrs),
        shrunk=sum(step[1] == "shrink" for step in state.steps),
    )


def met_by_mixed(site: Site) -> Counter[str]:
    """What happened in a run of the others."""
    state = site.operator.state
    charges = [x for cdr in state.new_cdrs for x in cdr.charges]
    seen = Counter(
        struck=len(state.struck),
        exchanged=sum(x.exchange_id is not None and x.total > 0 for x in charges),
        levels=sum(x.level == 2 for x in charges),
        volume=sum(entry.kind == "volume" for entry in state.new_entries),
        watched=sum(cdr.shadow is not None for cdr in state.new_cdrs),
        shrunk=sum(step[1] == "shrink" for step in state.steps),
    )
    for key, counter in site.operator.rows.counters.items():
        seen[key.kind] += counter.used > 0
    return seen


@dataclass
class Met:
    """What all runs of this process met."""

    runs: int = 0
    plain: Counter[str] = field(default_factory=Counter)
    mixed: Counter[str] = field(default_factory=Counter)


@pytest.fixture(scope="module")
def met() -> Iterator[Met]:
    """A simulation in which nothing happens proves nothing: all of it together meets what it is meant to."""
    found = Met()
    yield found
    if found.runs == RUNS:
        assert all(found.plain[x] for x in MEETS), found
        assert all(found.mixed[x] for x in MIXED_MEETS), found
        assert found.plain["charged"] > RUNS
        assert found.mixed["bundle"] > RUNS // 6


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_the_promises_hold_whatever_happens(met: Met, chunk: int) -> None:
    only = os.environ.get("PBXBILL_SIMULATION_SEED")
    seeds = [int(only)] if only else range(chunk * RUNS // CHUNKS, (chunk + 1) * RUNS // CHUNKS)
    for seed in seeds:
        is_mixed = seed % 2 == 1
        site = Site(seed, mixed=is_mixed)
        site.run()
        assert site.broken_promises() == [], f"PBXBILL_SIMULATION_SEED={seed}"
        met.runs += 1
        if is_mixed:
            met.mixed += met_by_mixed(site)
        else:
            met.plain += met_by(site)


def test_a_run_follows_from_its_seed() -> None:
    first, second = Site(7), Site(7)
    for site in (first, second):
        site.run()
    assert [x.billed_us for x in first.operator.state.new_cdrs] == [
        x.billed_us for x in second.operator.state.new_cdrs
    ]
