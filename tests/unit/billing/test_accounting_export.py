"""Names, texts and days of what accounting programs are given."""

from datetime import date

import pytest

from pbxbill.billing.books.accounting_export import Exported, account_name, commodity
from pbxbill.billing.books.chart import CHART
from pbxbill.errors import InputRefused
from pbxbill.ledger.accounts import LedgerCode


def test_every_account_has_a_name_of_its_own() -> None:
    assert set(CHART) == set(LedgerCode)
    assert len({x.name for x in CHART.values()}) == len(LedgerCode)
    assert {CHART[code].kind for code in LedgerCode if code.startswith("revenue")} == {"income"}


@pytest.mark.parametrize(
    "holder, name",
    [
        ("alice", "Liabilities:Wallets:7-alice"),
        ("Müller & Söhne", "Liabilities:Wallets:7-M-ller-S-hne"),
        ("a:b/c", "Liabilities:Wallets:7-a-b-c"),
        ("東京", "Liabilities:Wallets:7"),
        ("-", "Liabilities:Wallets:7"),
    ],
)
def test_wallets_are_named_for_their_holders(holder: str, name: str) -> None:
    assert account_name(LedgerCode.WALLET, 7, holder) == name


@pytest.mark.parametrize("unit, name", [("EUR", "EUR"), ("POINTS", "POINTS"), ("1INCH", "X-1INCH")])
def test_units_are_commodities(unit: str, name: str) -> None:
    assert commodity(unit) == name


def test_days_are_whole_local_days() -> None:
    # 29 March 2026 has 23 hours in Berlin.
    day = Exported(1, "operator", "Europe/Berlin", date(2026, 3, 29), date(2026, 3, 29))
    assert day.period.to_us - day.period.from_us == 23 * 3_600_000_000


def test_an_end_before_the_beginning_is_refused() -> None:
    with pytest.raises(InputRefused, match="the last day, 2026-01-31, lies before the first, 2026-02-01"):
        Exported(1, "operator", "UTC", date(2026, 2, 1), date(2026, 1, 31))
