"""How many durable reserves and settles a second the charging engine does, beside the raw group commit.

The engine and the raw statements take turns on one database, in short rounds whose order alternates,
so that what else the machine does meets both. The ratio is the median of the rounds' ratios.
"""

import gc
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import Any

from bench.charging_raw import RawGroupCommit, RawReserve, RawSettle, open_raw
from bench.closed_loop import Run, run_closed_loop
from bench.figures import Figures, percentile, progress, run
from bench.postgres import measured_postgres
from bench.site import EUR, Increments, OpenedWallet, made_up_rates, open_site, temporary_sqlite
from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import Authorize, Direction, Settle
from pbxbill.clock import SECOND_US, SystemClock
from pbxbill.ids import new_id
from pbxbill.store.decks import NewRate
from pbxbill.store.driver import connect
from pbxbill.store.engine import migrate

ABOUT = "durable reserves and settles per second, beside the raw group-commit statement"
GOAL = 0.5
WALLETS = 200
CALL_US = 30 * SECOND_US


@dataclass(frozen=True, slots=True)
class Load:
    """How many commands are outstanding, on how many wallets, and how many make up a round."""

    name: str
    in_flight: int
    wallets: int
    commands: int


LOADS = (
    Load("1", 1, WALLETS, 200),
    Load("32", 32, WALLETS, 1_500),
    Load("200", 200, WALLETS, 3_000),
    Load("200_hot", 200, 1, 3_000),
)
VERBS = ("reserve", "settle")


class EngineSide:
    """The product: rating, decisions, chain, history, idempotency, and the group commit."""

    def __init__(self, engine: ChargingEngine, wallets: Sequence[OpenedWallet], rates: Sequence[NewRate]):
        self._engine = engine
        self._wallets = wallets
        self._rates = rates
        self._random = Random(1)
        self._sessions: list[str] = []
        self._clock = SystemClock()

    def submit(self, command: Authorize | Settle) -> Future[Any]:
        return self._engine.submit(command)

    def reserves(self, load: Load) -> list[Authorize]:
        self._sessions = [new_id() for _ in range(load.commands)]
        now_us = self._clock.now_us()
        return [
            Authorize(
                session_id,
                "bench",
                session_id,
                Direction.OUTBOUND,
                f"{self._random.choice(self._rates).prefix}5551234",
                "2001",
                now_us,
                account_code=self._wallets[index % load.wallets].code,
            )
            for index, session_id in enumerate(self._sessions)
        ]

    def settles(self) -> list[Settle]:
        now_us = self._clock.now_us()
        return [Settle(session_id, now_us, now_us + CALL_US, 16) for session_id in self._sessions]


class RawSide:
    """The same rows by hand."""

    def __init__(self, raw: RawGroupCommit, wallets: Sequence[OpenedWallet]) -> None:
        self._raw = raw
        self._wallets = wallets
        self._sessions: list[tuple[str, OpenedWallet]] = []

    def submit(self, command: RawReserve | RawSettle) -> Future[Any]:
        return self._raw.submit(command)

    def reserves(self, load: Load) -> list[RawReserve]:
        self._sessions = [(new_id(), self._wallets[index % load.wallets]) for index in range(load.commands)]
        return [RawReserve(*session) for session in self._sessions]

    def settles(self) -> list[RawSettle]:
        return [RawSettle(*session) for session in self._sessions]


@contextmanager
def both_sides(url: str) -> Iterator[tuple[EngineSide, RawSide]]:
    """The engine and the raw statements on one new database, each with wallets of its own."""
    rates = made_up_rates(10_000, Increments(60, 60))
    codes = [f"c{number}" for number in range(2 * WALLETS)]
    wallets = open_site(url, rates, codes, credit_limit=10**6 * EUR)
    engine = ChargingEngine(lambda: connect(url), SystemClock())
    engine.start()
    raw = open_raw(url)
    # As the daemons do: what was loaded stays, so the garbage collector need not walk it again and again.
    gc.collect()
    gc.freeze()
    try:
        yield EngineSide(engine, wallets[:WALLETS], rates), RawSide(raw, wallets[WALLETS:])
    finally:
        raw.stop()
        engine.stop()
        gc.unfreeze()


def measure_database(figures: Figures, database: str, url: str, rounds: int) -> None:
    """All loads on one database."""
    with both_sides(url) as (product, raw):
        for load in LOADS:
            progress(f"{database}, {load.name} in flight, {rounds} rounds")
            runs: dict[tuple[str, str], list[Run]] = {}
            for number in range(-1, rounds):  # the first one warms up and does not count
                order: list[tuple[str, EngineSide | RawSide]] = [("engine", product), ("raw", raw)]
                for side, party in order if number % 2 else reversed(order):
                    for verb, took in zip(VERBS, _round(party, load), strict=True):
                        if number >= 0:
                            runs.setdefault((side, verb), []).append(took)
            for verb in VERBS:
                _report(figures, f"{database}.{verb}.{load.name}", runs["engine", verb], runs["raw", verb])


def _round(party: Any, load: Load) -> tuple[Run, Run]:
    reserve = run_closed_loop(party.submit, party.reserves(load), load.in_flight)
    settle = run_closed_loop(party.submit, party.settles(), load.in_flight)
    return reserve, settle


def _report(figures: Figures, name: str, engine: list[Run], raw: list[Run]) -> None:
    ratio = median(ours.per_s / theirs.per_s for ours, theirs in zip(engine, raw, strict=True))
    latencies_ms = [ms for run_ in engine for ms in run_.latencies_ms]
    raw_latencies_ms = [ms for run_ in raw for ms in run_.latencies_ms]
    figures.add(
        name,
        per_s=median(run_.per_s for run_ in engine),
        raw_per_s=median(run_.per_s for run_ in raw),
        p50_ms=percentile(latencies_ms, 50),
        p99_ms=percentile(latencies_ms, 99),
        raw_p50_ms=percentile(raw_latencies_ms, 50),
        raw_p99_ms=percentile(raw_latencies_ms, 99),
    )
    figures.at_least(f"{name}.ratio_to_raw", ratio, GOAL)


def measure(figures: Figures, quick: bool) -> None:
    """Both databases; PostgreSQL only where its programs are installed."""
    rounds = 2 if quick else 9
    with temporary_sqlite() as url:
        measure_database(figures, "sqlite", url, rounds)
    with measured_postgres(figures) as server:
        if server is None:
            for name in (f"postgresql.{verb}.{load.name}" for load in LOADS for verb in VERBS):
                figures.at_least(f"{name}.ratio_to_raw", None, GOAL)
            return
        url = server.url(server.create_database())
        migrate(url)
        measure_database(figures, "postgresql", url, rounds)


if __name__ == "__main__":
    run("charging", ABOUT, measure)
