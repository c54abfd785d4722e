"""The machine's clock counts in microseconds; the manual one moves only when told to."""

import time

from pbxbill.clock import SECOND_US, ManualClock, SystemClock


def test_the_system_clock_reads_utc_in_microseconds() -> None:
    before_us = time.time_ns() // 1000
    now_us = SystemClock().now_us()
    assert before_us <= now_us <= time.time_ns() // 1000


def test_the_monotonic_counter_never_falls() -> None:
    clock = SystemClock()
    readings = [clock.monotonic_us() for _ in range(1000)]
    assert readings == sorted(readings)


def test_a_manual_clock_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(now_us=5 * SECOND_US)
    assert (clock.now_us(), clock.monotonic_us()) == (5 * SECOND_US, 0)
    clock.advance(3)
    assert (clock.now_us(), clock.monotonic_us()) == (5 * SECOND_US + 3, 3)


def test_a_stepped_clock_keeps_its_monotonic_counter() -> None:
    clock = ManualClock()
    start_us = clock.now_us()
    clock.step(-3600 * SECOND_US)
    assert (clock.now_us(), clock.monotonic_us()) == (start_us - 3600 * SECOND_US, 0)
