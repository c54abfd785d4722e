"""How much later the far side's phone gets its INVITE because pbxbill is asked, and the highest clean rate.

Callers with and without pbxbill in their dialplan take turns on one Asterisk, in short rounds whose order
alternates. A call's delay is from the INVITE that its caller sent to the INVITE that the carrier got, both
by SIPp's stamps (one machine, one clock), matched by the dialled number, which is each call's own. Beside
the kernel's stamps of the same packets, 400 delays were off by 0.03 ms (p50), 0.5 ms (p99), 0.8 ms (the
most), with and without pbxbill alike.

The added delay of a percentile is the difference of the two sides' percentiles. The highest clean rate is
found by doubling, then by halving the step. A rate is clean if no call fails and none takes so long that its
caller would have to send the INVITE again. Without pbxbill means without its daemon there.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from bench.figures import Figures, percentile, progress, run
from bench.switch_site import NUMBER, SwitchSite, open_switch_site
from lab.process import wait_until
from lab.sipp import Call, Calling, SippResult, place
from lab.site import Phone

ABOUT = (
    "delay from INVITE to the far side's INVITE, and the highest clean call rate, with and without pbxbill"
)
GOAL_MS = 15.0
CALLS_PER_S = 20
FIRST_PER_S = 50
PLENTY_S = 10**7

WITH, WITHOUT = "with", "without"
PHONES = (Phone(WITH, "payer"), Phone(WITHOUT, context="plain"))
PATIENCE_S = 10

T1_MS = 500
"""SIP's first retransmission: a caller that waits longer for the call to go on calls again."""


@dataclass(frozen=True, slots=True)
class Burst:
    """Calls that were placed at one rate."""

    result: SippResult
    delays_ms: list[float]

    @property
    def is_clean(self) -> bool:
        """Whether everybody got through, in time."""
        through = len(self.delays_ms) == len(self.result.calls)
        return not self.result.failed and through and max(self.delays_ms, default=0) < T1_MS


class Callers:
    """Places bursts of calls, each with numbers of its own."""

    def __init__(self, site: SwitchSite) -> None:
        self._site = site
        self._runs = count(100)

    def burst(self, side: str, calls: int, rate_per_s: int, hold_ms: int) -> Burst:
        """All calls of one side at a steady rate, until the last one's end."""
        self._clear()
        call = Call(
            f"{NUMBER}{next(self._runs)}",
            caller=side,
            calling=Calling.HANG_UP,
            hold_ms=hold_ms,
            count=calls,
            rate_per_s=rate_per_s,
            numbered=True,
        )
        result = place(call, self._site.asterisk.sip_port, timeout_s=calls / rate_per_s + PATIENCE_S)
        arrived_us = {seen.number: seen.invited_us for seen in self._site.carrier.calls()}
        delays_us = [
            arrived_us[seen.number] - seen.invited_us for seen in result.calls if seen.number in arrived_us
        ]
        return Burst(result, [delay / 1000 for delay in delays_us])

    def _clear(self) -> None:
        # A burst that was too much leaves calls behind, which would be the next one's load.
        asterisk = self._site.asterisk
        if asterisk.channels():
            asterisk.rx("channel request hangup all")
            wait_until(lambda: not asterisk.channels(), 60, "channels of the burst before are gone")


def measure_delay(figures: Figures, callers: Callers, rounds: int, calls: int) -> None:
    """Both sides by turns at 20 calls a second."""
    delays_ms: dict[str, list[float]] = {WITH: [], WITHOUT: []}
    failed = dict.fromkeys(delays_ms, 0)
    for number in range(-1, rounds):  # the first one warms up and does not count
        progress(f"{CALLS_PER_S} calls/s, round {number + 1} of {rounds}")
        for side in (WITH, WITHOUT) if number % 2 else (WITHOUT, WITH):
            burst = callers.burst(side, calls, CALLS_PER_S, hold_ms=500)
            if number >= 0:
                delays_ms[side] += burst.delays_ms
                failed[side] += burst.result.failed
    for side, delays in delays_ms.items():
        figures.add(
            f"setup.{side}",
            calls=len(delays),
            failed=failed[side],
            p50_ms=percentile(delays, 50),
            p90_ms=percentile(delays, 90),
            p99_ms=percentile(delays, 99),
            most_ms=max(delays, default=0.0),
        )
    added = {
        percent: percentile(delays_ms[WITH], percent) - percentile(delays_ms[WITHOUT], percent)
        for percent in (50, 90, 99)
    }
    figures.add("setup.added", p50_ms=added[50], p90_ms=added[90], p99_ms=added[99])
    complete = all(delays_ms.values()) and not any(failed.values())
    figures.at_most("added_p99_ms", added[99] if complete else None, GOAL_MS)


def highest_clean_rate(
    burst: Callable[[int], Burst], first_per_s: int, closest: float
) -> tuple[int, Burst | None]:
    """The highest rate that stayed clean, found to within a factor of `closest`."""
    clean: tuple[int, Burst | None] = (0, None)
    rate_per_s, unclean_per_s = first_per_s, None
    while True:
        tried = burst(rate_per_s)
        if tried.is_clean:
            clean = (rate_per_s, tried)
        else:
            unclean_per_s = rate_per_s
        if unclean_per_s is None:
            rate_per_s = clean[0] * 2
        elif clean[0] and unclean_per_s > clean[0] * closest:
            rate_per_s = (clean[0] + unclean_per_s) // 2
        elif clean[0] or rate_per_s <= 1:
            return clean
        else:
            rate_per_s //= 2


def measure_rates(figures: Figures, site: SwitchSite, callers: Callers, quick: bool) -> None:
    """The highest clean rate of both sides, who take turns; the daemon runs when this begins and ends."""
    burst_s, closest, turns = (2, 1.5, 1) if quick else (4, 1.1, 2)
    best: dict[str, tuple[int, Burst | None]] = {}
    for side in (WITH, WITHOUT) * turns:

        def burst(rate_per_s: int, side: str = side) -> Burst:
            tried = callers.burst(side, rate_per_s * burst_s, rate_per_s, hold_ms=300)
            verdict = "clean" if tried.is_clean else f"not clean, {tried.result.failed} failed"
            p99_ms = percentile(tried.delays_ms, 99)
            progress(f"{side} pbxbill, {rate_per_s} calls/s: {verdict}, p99 {p99_ms:.0f} ms")
            return tried

        if side == WITHOUT:
            site.daemon.stop()
        found = highest_clean_rate(burst, FIRST_PER_S, closest)
        best[side] = max(best.get(side, found), found, key=lambda one: one[0])
        if side == WITHOUT:
            site.daemon.start()
    for side, (rate_per_s, there) in best.items():
        delay_ms = None if there is None else percentile(there.delays_ms, 99)
        figures.add(f"clean_rate.{side}", calls_per_s=rate_per_s, p99_ms_there=delay_ms)


def measure(figures: Figures, quick: bool) -> None:
    """The delay first, then the rates."""
    busy_before = os.getloadavg()[0]
    with open_switch_site(PHONES, {"payer": PLENTY_S}) as site:
        callers = Callers(site)
        site.daemon.start()
        measure_delay(figures, callers, rounds=3 if quick else 15, calls=30 if quick else 40)
        measure_rates(figures, site, callers, quick)
    # Who else needs the processors decides about p99: with pbxbill two more threads must get their turn.
    figures.add("machine", processors=os.cpu_count(), load_before=busy_before)


if __name__ == "__main__":
    run("setup_delay", ABOUT, measure)
