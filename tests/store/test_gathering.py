"""What an invoice holds of everything that a wallet can give for, and the calls behind it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pbxbill import ids
from pbxbill.billing.invoices.call_list import calls_of, count_calls
from pbxbill.billing.invoices.correction_notes import invoiced as on_invoices
from pbxbill.billing.invoices.documents import document_of
from pbxbill.billing.invoices.drafting import Drafted, Nothing
from pbxbill.billing.invoices.gathering import usage_net
from pbxbill.billing.period import Period
from pbxbill.charging.events import Authorize, Direction, PostCharge
from pbxbill.ids import new_id
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.mediation.rerate import Definition, Rerating, changed_in_tax_alone
from pbxbill.rating.tariff import CycleStepKind, CycleSteps, Step, TaxMode
from pbxbill.store.accounts import account_by_code, add_endpoint
from pbxbill.store.billing_models import IssuerRow, TaxRateRow
from pbxbill.store.catalogue_models import DestinationPrefixRow, DestinationRow
from pbxbill.store.decks import add_deck_version
from pbxbill.store.driver import connect
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import TariffRow
from pbxbill.store.tariffs import NewTariff, add_tariff_version
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import FRANCE, GERMANY, BilledAccounts, rate
from tests.store.command_line import Ok, Run
from tests.store.invoiced_accounts import DAY_US, FEBRUARY, JANUARY, JANUARY_US, Invoicing, operator_id

MOBILE, FREEPHONE = "491701234567", "8001234567"
POWER = """
unit = "EUR"
tax_mode = "exclusive"
tax = 19

[[component]]
name = "power"
kind = "stepped"
ranges = [{ from = 0, price = "0.20" }]
"""


@pytest.fixture
def invoicing(accounts: BilledAccounts) -> Iterator[Invoicing]:
    found = Invoicing(accounts)
    for code in ("alice", "bob"):
        found.top_up(code, "20")
    yield found
    found.database.dispose()
    assert_books_in_order(accounts.url)


def set_deck(invoicing: Invoicing, name: str, *rows: tuple[str, ...]) -> None:
    with invoicing.transaction() as session:
        add_deck_version(
            session,
            deck_name=name,
            unit="EUR",
            rates=[rate(*row) for row in rows],
            effective_from_us=0,
            source="test",
            now_us=1,
        )


def classes(invoicing: Invoicing) -> None:
    with invoicing.transaction() as session:
        session.add_all(
            [
                DestinationRow(id=1, name="Germany", kind="national"),
                DestinationRow(id=2, name="German mobiles", kind="mobile"),
                DestinationRow(id=3, name="Freephone", kind="toll_free"),
            ]
        )
        session.flush()
        prefixes = {"49": 1, "4917": 2, "800": 3}
        session.add_all([DestinationPrefixRow(prefix=p, destination_id=id) for p, id in prefixes.items()])


def test_calls_by_class_direction_and_the_free_ones(invoicing: Invoicing) -> None:
    classes(invoicing)
    set_deck(invoicing, "retail", ("49", "Germany", "0.12"), ("33", "France", "0.30"), ("800", "Free", "0"))
    with invoicing.transaction() as session:
        bob = account_by_code(session, "bob")
        bob.inbound_tariff_id = session.query(TariffRow).filter_by(name="plain").one().id
        add_endpoint(session, bob, "did", GERMANY)
        session.add(IssuerRow(account_id=operator_id(session), zone="Europe/Berlin"))
    invoicing.call("bob", 100, 3)
    invoicing.call("bob", 50, 4)
    invoicing.call("bob", 200, 4, MOBILE)
    invoicing.call("bob", 60, 5, FRANCE)
    invoicing.call("bob", 90, 6, FREEPHONE)
    invoicing.call("", 30, 7, GERMANY, did=GERMANY)
    issued = invoicing.invoice("bob")
    assert invoicing.lines(issued.invoice_id) == [
        ("Calls (1)", eur("0.30")),
        ("Calls to mobiles (1)", eur("0.40")),
        ("National calls (2)", eur("0.30")),
        ("Toll-free calls (1)", 0),
        ("Incoming calls (1)", eur("0.06")),
    ]
    seconds = invoicing.accounts.select("SELECT quantity / 1000000 FROM invoice_lines ORDER BY position")
    assert [row[0] for row in seconds] == [60, 200, 150, 90, 30]
    with invoicing.transaction() as session:
        row = session.get_one(InvoiceRow, issued.invoice_id)
        calls = list(calls_of(session, row))
        assert count_calls(session, row) == 6
        assert document_of(session, issued.invoice_id).calls == tuple(calls)
    assert [(x.started_at, x.called, x.destination, x.duration_s, x.total) for x in calls] == [
        ("2026-01-03 13:00:00", GERMANY, "Germany", 100, eur("0.20")),
        ("2026-01-04 13:00:00", GERMANY, "Germany", 50, eur("0.10")),
        ("2026-01-04 13:00:00", MOBILE, "Germany", 200, eur("0.40")),
        ("2026-01-05 13:00:00", FRANCE, "France", 60, eur("0.30")),
        ("2026-01-06 13:00:00", FREEPHONE, "Free", 90, 0),
        ("2026-01-07 13:00:00", GERMANY, "Germany", 30, eur("0.06")),
    ]


def test_calls_that_cost_nothing_are_counted_where_they_end_and_make_no_invoice(invoicing: Invoicing) -> None:
    set_deck(invoicing, "retail", ("49", "Germany", "0.12"), ("800", "Free", "0"))
    set_deck(invoicing, "wholesale", ("49", "Germany", "0.06"), ("800", "Free", "0"))
    invoicing.call("alice", 60, 4, FREEPHONE)
    assert not isinstance(invoicing.draft("alice"), Drafted)
    invoicing.call("alice", 60, 33, FREEPHONE)
    invoicing.call("alice", 60, 33)
    issued = invoicing.invoice("alice", FEBRUARY)
    # 0.12 and its tax; the free call bears the tariff's tax of nothing.
    assert invoicing.lines(issued.invoice_id) == [("Calls (2)", eur("0.12"))]
    of_reseller = invoicing.invoice("reseller", FEBRUARY)
    assert invoicing.lines(of_reseller.invoice_id) == [("Calls (2)", eur("0.06"))]
    with invoicing.transaction() as session:
        row = session.get_one(InvoiceRow, of_reseller.invoice_id)
        assert sorted(x.total for x in calls_of(session, row)) == [0, eur("0.06")]


def test_messages(invoicing: Invoicing, ok: Ok, tmp_path: Path) -> None:
    (tmp_path / "sms.csv").write_text("prefix,destination,price_per_min\n*,Messages,0.05\n")
    words = "--deck sms --unit EUR --measure messages --per 1 --effective-from 2025-01-01 --backdate --yes"
    ok("rates", "import", tmp_path / "sms.csv", *words.split())
    ok("tariffs", "add", "texting", "--deck", "sms")
    ok("services", "set", "bob", "messages", "texting")
    at_us = JANUARY_US + DAY_US
    request = Authorize(
        new_id(), "s1", new_id(), Direction.OUTBOUND, MOBILE, "2001", at_us, "bob", service="messages"
    )
    invoicing.used(request, 0, quantity=3)
    issued = invoicing.invoice("bob")
    assert invoicing.lines(issued.invoice_id) == [("Messages (1)", eur("0.15"))]
    assert invoicing.accounts.select("SELECT quantity, measure FROM invoice_lines") == [
        (3_000_000, "messages")
    ]


def test_readings_of_meters(invoicing: Invoicing, ok: Ok, tmp_path: Path) -> None:
    (tmp_path / "power.toml").write_text(POWER)
    ok("meters", "tariff", "set", "power", "--file", tmp_path / "power.toml", "--from", "2025-01-01")
    ok("meters", "add", "M1", "--account", "bob", "--tariff", "power", "--measure", "kWh")
    ok("readings", "add", "M1", "1000", "--at", "2026-01-01")
    ok("readings", "add", "M1", "1012.5", "--at", "2026-01-20")
    issued = invoicing.invoice("bob")
    # 12.5 x 0.20 = 2.50 and 19 %: 0.475 -> 0.48
    assert invoicing.lines(issued.invoice_id) == [("Meter M1: 12.5 kWh", eur("2.50"))]
    assert invoicing.row(issued.invoice_id)["total"] == eur("2.98")
    rows = invoicing.accounts.select("SELECT quantity, measure, kind, tax_exact FROM invoice_lines")
    assert rows == [(12_500_000, "kWh", "reading", eur("0.475"))]


def test_a_charge_of_which_only_the_entry_tells(invoicing: Invoicing) -> None:
    bob = invoicing.accounts.ids["bob"]
    with invoicing.accounts.engine() as engine:
        engine.execute(PostCharge("k", bob, "EUR", eur("1.19"), eur("0.19"), JANUARY_US, "Call-out"))
    issued = invoicing.invoice("bob")
    assert invoicing.lines(issued.invoice_id) == [("Call-out", eur("1"))]
    assert invoicing.accounts.select("SELECT name, ppm, tax FROM invoice_taxes") == [
        ("Tax", 190_000, eur("0.19"))
    ]


def test_a_volume_that_was_reached_gives_back(invoicing: Invoicing) -> None:
    # 0.12 a minute, from two minutes on 0.06 for all: at the third minute the first two become cheaper.
    steps = CycleSteps(CycleStepKind.VOLUME, "month", "UTC", (Step(0, 12 * 10**10), Step(120, 6 * 10**10)))
    with invoicing.transaction() as session:
        add_tariff_version(session, NewTariff("plain", "retail", cycle_steps=steps), 0)
    for _ in range(3):
        invoicing.call("bob", 60, 3)
    issued = invoicing.invoice("bob")
    lines = dict(invoicing.lines(issued.invoice_id))
    assert sum(lines.values()) == eur("0.18")  # 3 x 0.06
    assert lines["Volume discount"] < 0


def test_corrections_of_re_rating_are_on_the_next_invoice_unless_a_note_is_asked_for(
    invoicing: Invoicing,
) -> None:
    invoicing.call("bob", 100, 3)
    invoicing.call("alice", 100, 3)
    set_deck(invoicing, "retail", ("49", "Germany", "0.06"))

    def invoiced(driver: object, sessions: object) -> dict[tuple[str, int, int], int]:
        """As if alice's call were on an invoice."""
        rows = invoicing.accounts.select(
            "SELECT session_id, level, line FROM call_charges "
            f"WHERE account_id = {invoicing.accounts.ids['alice']}"
        )
        return dict.fromkeys(rows, 1)

    definition = Definition(0, 2**60)
    Rerating(lambda: connect(invoicing.accounts.url), invoicing.clock, definition, invoiced).apply(
        lambda *_: None
    )
    of_bob = invoicing.invoice("bob")
    assert invoicing.lines(of_bob.invoice_id) == [
        ("Calls (1)", eur("0.20")),
        ("Corrections of earlier calls (1)", -eur("0.10")),
    ]
    of_alice = invoicing.invoice("alice")
    assert invoicing.lines(of_alice.invoice_id) == [("Calls (1)", eur("0.20"))]
    # It stays with its note, however many invoices come.
    invoicing.call("alice", 100, 33)
    later = invoicing.invoice("alice", FEBRUARY)
    assert invoicing.lines(later.invoice_id) == [("Calls (1)", eur("0.10"))]


def reduce_the_tax_inside(invoicing: Invoicing) -> int:
    """alice called for 0.20 with 19 % inside; it should have been 7 % inside the same 0.20: the run."""
    definition = Definition(0, 2**60, ("alice",), "reduced")
    url = invoicing.accounts.url
    run_id, _ = Rerating(lambda: connect(url), invoicing.clock, definition, on_invoices).apply(
        lambda *_: None
    )
    return run_id


def tariffs_with_tax_inside(invoicing: Invoicing) -> None:
    with invoicing.transaction() as session:
        for name, ppm in (("taxed", 190_000), ("reduced", 70_000)):
            inside = NewTariff(name, "retail", tax_mode=TaxMode.INCLUSIVE, tax_ppm=ppm)
            add_tariff_version(session, inside, 1)


def test_calls_under_another_tax_come_back_under_the_old_one(invoicing: Invoicing) -> None:
    """0.20 / 1.19 = 0.168067, so 0.031933 of tax; 0.20 / 1.07 = 0.186916, so 0.013084."""
    tariffs_with_tax_inside(invoicing)
    invoicing.call("alice", 100, 3)
    reduce_the_tax_inside(invoicing)
    issued = invoicing.invoice("alice")
    taxes = invoicing.accounts.select(
        f"SELECT ppm, base, tax FROM invoice_taxes WHERE invoice_id = {issued.invoice_id} ORDER BY ppm"
    )
    assert taxes == [(70_000, eur("0.19"), eur("0.01")), (190_000, 0, 0)]
    # 0.186916 and 0.013084 are in the books, and what rounding to whole cents leaves.
    assert invoicing.balance(LedgerCode.TAX_PAYABLE, "reseller") == -eur("0.01")
    assert issued.total == eur("0.20")


def test_another_tax_in_the_same_amount_of_invoiced_calls_is_counted(invoicing: Invoicing) -> None:
    tariffs_with_tax_inside(invoicing)
    invoicing.call("alice", 100, 3)
    invoicing.invoice("alice")
    run_id = reduce_the_tax_inside(invoicing)
    driver = connect(invoicing.accounts.url)
    try:
        assert changed_in_tax_alone(driver, run_id) == 1
    finally:
        driver.close()
    assert not isinstance(invoicing.draft("alice", FEBRUARY), Drafted)


def test_usage_of_a_period_is_what_was_used_in_it_invoiced_or_not(invoicing: Invoicing) -> None:
    def net(code: str, period: Period) -> int:
        with invoicing.transaction() as session:
            return usage_net(session, invoicing.accounts.ids[code], "EUR", period)

    invoicing.call("alice", 100, 3)  # 0.20 and tax
    invoicing.call("alice", 50, 31)
    invoicing.call("alice", 25, 32)
    invoicing.charge("alice", "9", collection="wallet")
    invoicing.post("alice", "-2", "adjustment", 4, LedgerCode.ADJUSTMENT)
    assert (net("alice", JANUARY), net("alice", FEBRUARY)) == (eur("0.30"), eur("0.05"))
    drafted = invoicing.draft("alice")
    assert isinstance(drafted, Drafted)
    assert net("alice", JANUARY) == eur("0.30")
    invoicing.call("alice", 10, 3)
    invoicing.issue(drafted.invoice_id)
    assert (net("alice", JANUARY), net("alice", FEBRUARY)) == (eur("0.32"), eur("0.05"))
    half = Period(JANUARY_US, JANUARY_US + 10 * DAY_US)
    assert net("alice", half) == eur("0.22")
    assert net("hot", JANUARY) == 0


def test_taxes_that_change_within_a_period_are_told_apart(invoicing: Invoicing) -> None:
    with invoicing.transaction() as session:
        for percent, from_us, to_us in (
            (16, 0, JANUARY_US + 10 * DAY_US),
            (19, JANUARY_US + 10 * DAY_US, None),
        ):
            row = TaxRateRow(issuer_id=operator_id(session), name="VAT", ppm=percent * 10_000, category="S")
            row.from_us, row.to_us, row.compound, row.inclusive = from_us, to_us, False, False
            session.add(row)
    invoicing.call("bob", 1000, 10)
    invoicing.call("bob", 1000, 11)
    issued = invoicing.invoice("bob")
    taxes = invoicing.accounts.select("SELECT ppm, base, tax FROM invoice_taxes ORDER BY ppm")
    assert taxes == [(160_000, eur("2"), eur("0.32")), (190_000, eur("2"), eur("0.38"))]
    assert issued.due == eur("0.70")


class AheadBy:
    """The time of ids, on a server whose clock runs ahead."""

    def __init__(self) -> None:
        self.days = 0

    def time_ns(self) -> int:
        return time.time_ns() + self.days * DAY_US * 1_000


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> AheadBy:
    found = AheadBy()
    monkeypatch.setattr(ids, "time", found)
    return found


def test_what_is_used_after_the_clock_was_put_right_is_invoiced(invoicing: Invoicing, ahead: AheadBy) -> None:
    ahead.days = 3
    invoicing.call("carol", 100, 3)
    ahead.days = 0
    assert invoicing.invoice("carol").total == eur("0.20")
    invoicing.call("carol", 100, 40)
    assert invoicing.invoice("carol", FEBRUARY).total == eur("0.20")


def test_what_an_invoice_of_the_wrong_time_leaves_behind_is_found(
    invoicing: Invoicing, ahead: AheadBy, ok: Ok, pbxbill: Run
) -> None:
    ahead.days = 3
    invoicing.call("carol", 100, 3)
    invoicing.invoice("carol")
    ahead.days = 0
    invoicing.call("carol", 100, 40)
    assert invoicing.draft("carol", FEBRUARY) == Nothing("there is nothing to invoice")
    verified = pbxbill("verify")
    assert verified.exit_code == 1
    assert "1 entries over 200000 in EUR are on no invoice" in verified.stdout
    assert ok("bill", "look-back") == "carol: 1 entries over 0.20 EUR are on its next invoice\n"
    assert invoicing.invoice("carol", FEBRUARY).total == eur("0.20")
    assert ok("bill", "look-back") == "nothing was passed over\n"
