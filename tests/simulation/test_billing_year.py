"""A simulated year of billing: after each month the books are in order, and at its end everything agrees.

`PBXBILL_BILLING_SEEDS=100-199 pytest tests/simulation/test_billing_year.py` lives through other years; a
failure names its seed. With `PBXBILL_BILLING_EACH=1` the books are judged after whatever happens.
"""

import os

import pytest

from pbxbill.billing.invoices import runs
from tests.books_in_order import problems_of
from tests.simulation.billing_end import BillingEnd
from tests.simulation.billing_site import BillingSite
from tests.simulation.billing_year import ACTS, BillingYear

SEEDS = os.environ.get("PBXBILL_BILLING_SEEDS", "")
EACH = bool(os.environ.get("PBXBILL_BILLING_EACH"))


def judged(year: BillingYear) -> None:
    found = problems_of(year.site.url)
    assert found == [], f"PBXBILL_BILLING_SEEDS={year.site.seed}: {found[:5]}"


def live_through(url: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> BillingYear:
    site = BillingSite(url, seed)
    site.set_ids(monkeypatch)
    monkeypatch.setattr(runs, "SHARE_OF_SQLITE", 0)
    year = BillingYear(site, acts_per_day=3 if SEEDS else 2)
    year.engine.start()
    try:
        for day in range(1, 366):
            year.day(judged if EACH else None)
            if day % 30 == 0:
                judged(year)
        year.finish()
    finally:
        year.engine.stop()
        site.database.dispose()
    judged(year)
    return year


def seeds() -> list[int]:
    first, _, last = (SEEDS or "13").partition("-")
    return list(range(int(first), int(last or first) + 1))


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", seeds())
def test_a_year_of_billing_adds_up(database_url: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if not SEEDS and database_url.startswith("postgresql"):
        seed += 100  # another year
    year = live_through(database_url, seed, monkeypatch)
    assert BillingEnd(year.site).problems() == [], f"PBXBILL_BILLING_SEEDS={seed}"
    if not SEEDS:
        # A year in which nothing happens proves nothing.
        assert set(ACTS) - set(year.done) <= {"new_version", "pay_from_wallet", "reverse", "withdraw"}
