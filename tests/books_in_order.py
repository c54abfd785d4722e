"""Invoices, the ledger and charging agree: what a test ends with."""

from pbxbill.billing.promises import verify_all
from pbxbill.clock import Clock, SystemClock
from pbxbill.store.driver import connect


def assert_books_in_order(url: str) -> None:
    """Every promise that `pbxbill verify` proves holds."""
    assert problems_of(url) == []


def problems_of(url: str, clock: Clock | None = None) -> list[str]:
    """Everything that is not in order, as sentences."""
    driver = connect(url)
    try:
        proven = verify_all(driver, clock or SystemClock())
    finally:
        driver.close()
    return [f"{x.name}: {problem}" for x in proven for problem in x.problems]
