"""Charged calls of a period, page by page: what each level of them was charged, corrections included."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pbxbill.store.driver import Driver, Row

PAGE_CALLS = 10_000

_CALLS = (
    "SELECT c.session_id, c.called, c.destination, c.started_us, c.answered_us, c.billed_us FROM cdrs c "
    "WHERE c.answered_us IS NOT NULL AND c.started_us >= {from_us} AND c.started_us < {to_us} "
    "{of_accounts}ORDER BY c.started_us, c.session_id LIMIT {limit}"
)
_OF_ACCOUNTS = (
    "AND EXISTS (SELECT 1 FROM call_charges x WHERE x.session_id = c.session_id AND x.account_id {any_int}) "
)
_CHARGES = (
    "SELECT session_id, level, line, account_id, wallet_id, tariff_version_id, rate_id, exchange_id, total, "
    "tax, uncollected FROM call_charges WHERE session_id {any_text} ORDER BY session_id, level, line"
)
_CORRECTIONS = (
    "SELECT session_id, level, line, tariff_version_id, rate_id, new_total - old_total, tax_delta, "
    "uncollected_delta FROM call_corrections WHERE session_id {any_text} ORDER BY run_id"
)
_HELD = (
    "SELECT h.session_id, h.level FROM reserved_counts h JOIN counters k ON k.id = h.counter_id "
    "WHERE h.session_id {any_text} AND h.used > 0 AND k.kind IN ('bundle', 'steps')"
)
_COSTS = "SELECT session_id, unit, cost FROM call_costs WHERE rate_id IS NOT NULL AND session_id {any_text}"


class PastCall(NamedTuple):
    """An answered call."""

    session_id: str
    called: str
    destination: str
    started_us: int
    answered_us: int
    billed_us: int


class PastLine(NamedTuple):
    """What one wallet gave for one level of a call, with all corrections so far."""

    line: int
    account_id: int
    wallet_id: int
    tariff_version_id: int
    rate_id: int
    exchange_id: int | None
    total: int
    tax: int
    uncollected: int
    """In the tariff's unit."""


class PastPage(NamedTuple):
    """Calls in the order in which they began, and what belongs to them."""

    calls: list[PastCall]
    levels: dict[str, dict[int, list[PastLine]]]
    """By session and level."""
    held: set[tuple[str, int]]
    """Session and level of those that took pieces of bundles or cycle steps."""
    costs: dict[str, tuple[str, int]]
    """Unit and amount that the carrier asks for."""
    done_us: int
    """All calls that began before this moment are read."""


def pages(
    driver: Driver, from_us: int, to_us: int, account_ids: Sequence[int] | None, page_calls: int = PAGE_CALLS
) -> Iterator[PastPage]:
    """The calls that began in [from_us, to_us); account_ids: only those that one of these was charged for."""
    limit = page_calls
    while from_us < to_us:
        rows = _page(driver, from_us, to_us, account_ids, limit)
        done_us = to_us
        if len(rows) == limit:
            # What began in the same microsecond stays together.
            done_us = rows[-1][3]
            kept = [row for row in rows if row[3] < done_us]
            if not kept:
                limit *= 2
                continue
            rows = kept
        limit = page_calls
        yield _with_charges(driver, [PastCall(*row) for row in rows], done_us)
        from_us = done_us


def count(driver: Driver, from_us: int, to_us: int, account_ids: Sequence[int] | None) -> int:
    """How many calls pages() will read."""
    statement = _CALLS.partition("ORDER BY")[0].partition("FROM")[2]
    ((found,),) = _selected(driver, f"SELECT COUNT(*) FROM{statement}", from_us, to_us, account_ids, 0)
    return int(found)


def read_levels(driver: Driver, session_ids: Sequence[str]) -> dict[str, dict[int, list[PastLine]]]:
    """What calls were charged, corrections included, by session and level."""
    found: dict[str, dict[int, dict[int, PastLine]]] = {}
    for session_id, level, line, *values in driver.select(_CHARGES, session_ids):
        found.setdefault(session_id, {}).setdefault(level, {})[line] = PastLine(line, *values)
    for session_id, level, line, version_id, rate_id, total, tax, uncollected in driver.select(
        _CORRECTIONS, session_ids
    ):
        lines = found[session_id][level]
        was = lines[line]
        lines[line] = was._replace(
            tariff_version_id=version_id,
            rate_id=rate_id,
            total=was.total + total,
            tax=was.tax + tax,
            uncollected=was.uncollected + uncollected,
        )
    return {
        session_id: {level: list(lines.values()) for level, lines in levels.items()}
        for session_id, levels in found.items()
    }


def _with_charges(driver: Driver, calls: list[PastCall], done_us: int) -> PastPage:
    ids = [call.session_id for call in calls]
    held = {(session_id, level) for session_id, level in driver.select(_HELD, ids)}
    costs = {session_id: (unit, cost) for session_id, unit, cost in driver.select(_COSTS, ids)}
    return PastPage(calls, read_levels(driver, ids), held, costs, done_us)


def _page(
    driver: Driver, from_us: int, to_us: int, account_ids: Sequence[int] | None, limit: int
) -> list[Row]:
    return _selected(driver, _CALLS, from_us, to_us, account_ids, limit)


def _selected(
    driver: Driver, statement: str, from_us: int, to_us: int, account_ids: Sequence[int] | None, limit: int
) -> list[Row]:
    statement = statement.replace("{from_us}", str(int(from_us))).replace("{to_us}", str(int(to_us)))
    statement = statement.replace("{limit}", str(int(limit)))
    if account_ids is None:
        return driver.select(statement.replace("{of_accounts}", ""))
    return driver.select(statement.replace("{of_accounts}", _OF_ACCOUNTS), account_ids)
