"""`pbxbill carriers`, `gateways` and `margin`, on each database."""

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from pbxbill.store.catalogue_models import CallCostRow, CarrierRow
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.models import AccountRow, CallChargeRow, CdrRow, WalletRow
from pbxbill.store.rerating_models import CallCorrectionRow
from tests.store.command_line import Ok, Run, by_commands

DAY_US = 86_400_000_000
START_US = 1_770_000_000_000_000


def begin(ok: Ok) -> None:
    Path("rates.csv").write_text("prefix,destination,price_per_min\n49,Germany,0.03\n")
    ok("init")
    ok("units", "add", "USD")
    ok("rates", "import", "rates.csv", "--deck", "cheap", "--yes")
    ok("rates", "import", "rates.csv", "--deck", "dear", "--unit", "USD", "--yes")
    ok("tariffs", "add", "cheap", "--deck", "cheap")
    ok("tariffs", "add", "dear", "--deck", "dear")
    ok("carriers", "add", "Cheap Telecom", "--tariff", "cheap")
    ok("carriers", "add", "Dear Telecom", "--tariff", "dear")
    ok("gateways", "set", "cheap-1", "Cheap Telecom")
    ok("gateways", "set", "cheap-2", "Cheap Telecom")
    ok("gateways", "set", "dear", "Dear Telecom")
    ok("accounts", "add", "reseller", "--kind", "reseller", "--unit", "EUR")
    ok("accounts", "add", "alice", "--parent", "reseller", "--unit", "EUR")
    ok("accounts", "add", "bob", "--wallet-order", "USD,EUR")


BEGUN = {"operator": by_commands("carriers", begin)}


@pytest.fixture
def operator(tmp_path: Path) -> None:
    """Two carriers, one of them paid in dollars; a reseller with alice below it, and bob."""
    (tmp_path / "rates.csv").write_text("prefix,destination,price_per_min\n49,Germany,0.03\n")


class Calls:
    """Writes records of calls as charging would."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.count = 0

    def __call__(
        self,
        account: str,
        charged: list[tuple[str, str, int, int]],
        cost: tuple[str, str, int | None, int] | None,
        destination: str = "Germany",
        direction: str = "outbound",
    ) -> None:
        """charged: (account, unit, total, tax); cost: (carrier, unit, rate, cost)."""
        self.count += 1
        session_id = f"{self.count:032d}"
        database = open_engine(self.url)
        with transaction(database) as session:
            ids = {row.code: row.id for row in session.scalars(select(AccountRow))}
            at_us = START_US + self.count
            session.add(
                CdrRow(
                    **dict.fromkeys(("caller", "dialled", "called", "detail"), ""),
                    **dict.fromkeys(("granted_us", "hangup_cause"), 0),
                    session_id=session_id,
                    switch="s1",
                    call_id=session_id,
                    direction=direction,
                    account_id=ids[account],
                    destination=destination,
                    started_us=at_us,
                    answered_us=at_us,
                    ended_us=at_us + 60_000_000,
                    billed_us=60_000_000,
                    evidence="event",
                    created_us=at_us,
                )
            )
            for line, (payer, unit, total, tax) in enumerate(charged):
                wallet = session.scalar(
                    select(WalletRow.id).where(WalletRow.account_id == ids[payer], WalletRow.unit == unit)
                )
                session.add(
                    CallChargeRow(
                        session_id=session_id,
                        level=0 if payer == account else 1,
                        line=line,
                        account_id=ids[payer],
                        wallet_id=wallet,
                        tariff_version_id=1,
                        rate_id=1,
                        billable_s=60,
                        total=total,
                        tax=tax,
                        uncollected=0,
                    )
                )
            if cost is not None:
                carrier, unit, rate_id, amount = cost
                carrier_id = session.scalar(select(CarrierRow.id).where(CarrierRow.name == carrier))
                session.add(
                    CallCostRow(
                        session_id=session_id,
                        gateway="g",
                        carrier_id=carrier_id,
                        tariff_version_id=1,
                        rate_id=rate_id,
                        unit=unit,
                        billable_s=60,
                        cost=amount,
                    )
                )
        database.dispose()


@pytest.fixture
def calls(operator: None, ok: Ok, database_url: str) -> Calls:
    ok("exchange", "set", "USD", "EUR", "0.80", "--effective-from", "2026-01-01")
    return Calls(database_url)


def report(ok: Ok, by: str = "carrier", unit: str = "EUR") -> dict[str, dict]:
    told = json.loads(
        ok("margin", "--from", "2026-02-01", "--to", "2026-03-01", "--by", by, "--unit", unit, "--json")
    )
    return {line["name"]: line for line in [*told["lines"], told["total"]]}


def sums(line: dict) -> tuple[str, str, str, str | None]:
    return line["revenue"], line["cost"], line["margin"], line["margin_percent"]


@pytest.mark.usefixtures("operator")
def test_carriers_and_their_gateways(ok: Ok) -> None:
    assert json.loads(ok("carriers", "list", "--json")) == [
        {"name": "Cheap Telecom", "tariff": "cheap", "unit": "EUR", "gateways": ["cheap-1", "cheap-2"]},
        {"name": "Dear Telecom", "tariff": "dear", "unit": "USD", "gateways": ["dear"]},
    ]
    ok("gateways", "remove", "cheap-2")
    ok("gateways", "set", "dear", "Cheap Telecom")
    assert json.loads(ok("gateways", "list", "--json")) == [
        {"gateway": "cheap-1", "carrier": "Cheap Telecom"},
        {"gateway": "dear", "carrier": "Cheap Telecom"},
    ]
    assert "from now on" in ok("carriers", "add", "Dear Telecom", "--tariff", "cheap")


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize(
    "words,reason",
    [
        (("carriers", "add", "X", "--tariff", "none"), "no tariff 'none'"),
        (("carriers", "add", "", "--tariff", "cheap"), "1 to 64 printable"),
        (("gateways", "set", "g", "Nobody"), "no carrier 'Nobody'"),
        (("gateways", "remove", "g"), "no gateway 'g'"),
        (("margin",), "choose a --unit: EUR, USD"),
        (("margin", "--unit", "GBP"), "no unit 'GBP'"),
        (("margin", "--from", "2026-02-01", "--to", "2026-02-01"), "must lie before"),
    ],
)
def test_what_cannot_be(pbxbill: Run, words: tuple[str, ...], reason: str) -> None:
    result = pbxbill(*words)
    assert result.exit_code == 2
    assert reason in result.stderr


def test_the_margin_is_what_the_operator_was_paid_less_what_the_carrier_asks(ok: Ok, calls: Calls) -> None:
    """docs/carriers.md: 0.119 with 19 % tax brings 0.10, of which a carrier asks 0.03 for the minute."""
    calls("bob", [("bob", "EUR", 119_000, 19_000)], ("Cheap Telecom", "EUR", 1, 30_000))
    found = report(ok)
    assert sums(found["Cheap Telecom"]) == ("0.10", "0.03", "0.07", "70.0")
    assert found["total"]["calls"] == 1


def test_only_what_the_operators_own_accounts_pay_is_its_revenue(ok: Ok, calls: Calls) -> None:
    charged = [("alice", "EUR", 500_000, 0), ("reseller", "EUR", 50_000, 0)]
    calls("alice", charged, ("Cheap Telecom", "EUR", 1, 30_000))
    assert sums(report(ok, "account")["alice"]) == ("0.05", "0.03", "0.02", "40.0")


def test_what_re_rating_corrected_counts(ok: Ok, calls: Calls, database_url: str) -> None:
    calls("bob", [("bob", "EUR", 119_000, 19_000)], ("Cheap Telecom", "EUR", 1, 30_000))
    database = open_engine(database_url)
    with transaction(database) as session:
        of_call = ("session_id", "level", "line", "account_id", "wallet_id", "tariff_version_id", "rate_id")
        row = session.scalars(select(CallChargeRow)).one()
        session.add(
            CallCorrectionRow(
                **{name: getattr(row, name) for name in of_call},
                run_id=1,
                billable_s=60,
                old_total=119_000,
                new_total=59_500,
                tax_delta=-9_500,
                uncollected_delta=0,
                at_us=START_US,
            )
        )
    database.dispose()
    assert sums(report(ok)["Cheap Telecom"]) == ("0.05", "0.03", "0.02", "40.0")


def test_costs_and_wallets_in_other_units(ok: Ok, calls: Calls) -> None:
    charged = [("bob", "USD", 100_000, 0), ("bob", "EUR", 20_000, 0)]
    calls("bob", charged, ("Dear Telecom", "USD", 2, 30_001))
    assert sums(report(ok)["Dear Telecom"]) == ("0.10", "0.024001", "0.075999", "76.0")
    assert sums(report(ok, unit="USD")["Dear Telecom"]) == ("0.125", "0.030001", "0.094999", "76.0")


def test_a_free_call_costs_all_the_same(ok: Ok, calls: Calls) -> None:
    calls("bob", [], ("Cheap Telecom", "EUR", 1, 30_000))
    assert sums(report(ok)["Cheap Telecom"]) == ("0.00", "0.03", "-0.03", None)


def test_an_inbound_call_needs_no_carrier(ok: Ok, calls: Calls) -> None:
    calls("bob", [("bob", "EUR", 10_000, 0)], None, destination="DID", direction="inbound")
    assert sums(report(ok, "destination")["DID"]) == ("0.01", "0.00", "0.01", "100.0")


def test_calls_of_unknown_cost_are_counted_apart(ok: Ok, calls: Calls) -> None:
    calls("bob", [("bob", "EUR", 100_000, 0)], None)
    calls("bob", [("bob", "EUR", 100_000, 0)], ("Cheap Telecom", "EUR", None, 0), "Germany")
    calls("bob", [("bob", "EUR", 100_000, 0)], ("Cheap Telecom", "EUR", 1, 120_000), "Germany")
    found = report(ok)
    assert sums(found["Cheap Telecom"]) == ("0.10", "0.12", "-0.02", "-20.0")
    assert found["Cheap Telecom"]["unknown_cost_calls"] == 1
    assert found[""]["unknown_cost_revenue"] == "0.10"
    total = found["total"]
    assert (total["calls"], total["unknown_cost_calls"], total["unknown_cost_revenue"]) == (3, 2, "0.20")


def test_calls_that_no_exchange_rate_reaches_are_named(ok: Ok, pbxbill: Run, calls: Calls) -> None:
    ok("units", "add", "GBP")
    calls("bob", [("bob", "EUR", 100_000, 0)], ("Cheap Telecom", "EUR", 1, 30_000))
    assert report(ok, unit="GBP")["total"]["unconverted_calls"] == 1
    told = pbxbill("margin", "--from", "2026-02-01", "--to", "2026-03-01", "--unit", "GBP")
    assert "no exchange rate leads to GBP: 1" in told.stderr


def test_the_report_reads_as_a_table(ok: Ok, calls: Calls) -> None:
    calls("bob", [("bob", "EUR", 119_000, 19_000)], ("Cheap Telecom", "EUR", 1, 30_000))
    told = ok("margin", "--from", "2026-02-01", "--to", "2026-03-01", "--unit", "EUR")
    assert "in EUR, without tax" in told
    assert next(line for line in told.splitlines() if "Cheap Telecom" in line).split() == [
        *("Cheap", "Telecom", "1", "0:01:00", "0.10", "0.03", "0.07", "70.0", "0", "0.00"),
    ]


def test_a_record_shows_what_its_carrier_leaves(ok: Ok, calls: Calls) -> None:
    calls("bob", [("bob", "EUR", 1_190_000, 190_000)], ("Cheap Telecom", "EUR", 1, 400_000))
    calls("bob", [("bob", "EUR", 1_190_000, 190_000)], ("Dear Telecom", "USD", 1, 400_000))
    abroad, home = json.loads(ok("cdrs", "--json"))
    assert (home["carrier"], home["cost"], home["margin"]) == ("Cheap Telecom", "0.40", "0.60")
    assert (abroad["cost"], abroad["cost_unit"], abroad["margin"]) == ("0.40", "USD", None)
