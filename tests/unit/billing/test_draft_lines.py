"""Lines of drafts from what was gathered: words, quantities, and whose tax it is."""

from pbxbill.billing.charge import ChargeKind, Collection
from pbxbill.billing.invoices.draft_lines import lines_of
from pbxbill.billing.invoices.gathered_items import GatheredCharge, GatheredItem
from pbxbill.billing.invoices.gathering import Gathered, UsageKey, UsageSum
from pbxbill.billing.period import Period
from pbxbill.billing.taxes.tax import AppliedTax
from tests.small_operator import eur

JANUARY = Period(1_767_225_600_000_000, 1_769_904_000_000_000)
VAT = AppliedTax("VAT", 190_000, "S", compound=False, inclusive=False)
INSIDE = VAT._replace(inclusive=True)


class Fixed:
    """Taxes that are always the same."""

    def __init__(self, *taxes: AppliedTax) -> None:
        self.taxes = taxes

    def at(self, product_class: str, at_us: int) -> tuple[AppliedTax, ...]:
        return self.taxes

    def taken(self, ppm: int, product_class: str, at_us: int) -> tuple[AppliedTax, ...]:
        return (AppliedTax("Taken", ppm, "S", compound=False, inclusive=True),)

    def conflict(self, ppm: int | None, product_class: str, at_us: int) -> str:
        return ""


def usage(
    what: str = "outbound", where: str = "", measure: str = "seconds", ppm: int | None = None
) -> UsageKey:
    return UsageKey(what, where, measure, ppm, 0)


def test_usage_is_told_by_direction_class_and_measure() -> None:
    gathered = Gathered(
        {
            usage("usage", "mobile", "messages"): UsageSum(0, 3, 3, eur("0.27")),
            usage("inbound"): UsageSum(0, 2, 90, eur("0.10")),
            usage("outbound", "mobile"): UsageSum(0, 7, 420, eur("1.40")),
            usage("outbound"): UsageSum(0, 1, 60, eur("0.12")),
            usage("outbound", "moon"): UsageSum(0, 1, 1, eur("9")),
            usage("usage", "", "bytes"): UsageSum(0, 1, 1_000, eur("0.01")),
            usage("volume", measure="items"): UsageSum(0, 2, 0, eur("-0.50")),
            usage("correction", measure="calls"): UsageSum(0, 4, 4, eur("-0.04")),
        }
    )
    lines = lines_of(gathered, JANUARY, Fixed())
    assert [(x.description, x.quantity // 1_000_000, x.measure, x.net_exact) for x in lines] == [
        ("Calls (1)", 60, "seconds", eur("0.12")),
        ("Calls to mobiles (7)", 420, "seconds", eur("1.40")),
        ("Calls, moon (1)", 1, "seconds", eur("9")),
        ("Incoming calls (2)", 90, "seconds", eur("0.10")),
        ("Data (1)", 1_000, "bytes", eur("0.01")),
        ("Messages, mobile (3)", 3, "messages", eur("0.27")),
        ("Volume discount", 1, "items", eur("-0.50")),
        ("Corrections of earlier calls (4)", 4, "calls", eur("-0.04")),
    ]


def test_usage_of_a_taxed_tariff_keeps_what_was_taken() -> None:
    gathered = Gathered({usage(ppm=190_000): UsageSum(0, 1, 60, eur("1.19"), eur("0.19"))})
    (line,) = lines_of(gathered, JANUARY, Fixed())
    assert (line.net_exact, line.tax_exact, line.taxes[0].name) == (eur("1"), eur("0.19"), "Taken")


def test_usage_without_tax_falls_under_the_issuers() -> None:
    gathered = Gathered({usage(): UsageSum(0, 1, 60, eur("1"))})
    (line,) = lines_of(gathered, JANUARY, Fixed(VAT))
    assert (line.net_exact, line.tax_exact, line.taxes) == (eur("1"), 0, (VAT,))


def test_an_inclusive_tax_is_inside_what_the_wallet_gave() -> None:
    gathered = Gathered({usage(): UsageSum(0, 1, 60, eur("1.19"))})
    (line,) = lines_of(gathered, JANUARY, Fixed(INSIDE))
    assert (line.net_exact, line.tax_exact, line.taxes) == (eur("1"), eur("0.19"), (INSIDE,))


def test_an_adjustment_falls_under_no_tax() -> None:
    item = GatheredItem("e", ChargeKind.ADJUSTMENT, "Fine", 1, "items", eur("3"), 0, None, True, 0)
    (line,) = lines_of(Gathered(items=[item]), JANUARY, Fixed(VAT))
    assert (line.net_exact, line.taxes, line.ledger_code) == (eur("3"), (), "adjustment")


def test_charges_come_first_in_the_order_of_their_service() -> None:
    def charge(id: int, entry_id: str | None, from_us: int | None) -> GatheredCharge:
        tax = eur("1.9") if entry_id else 0
        return GatheredCharge(
            id, entry_id, "recurring", f"c{id}", "service", 1, eur("10"), eur("10"), tax, 5, from_us, None
        )

    gathered = Gathered(
        {usage(): UsageSum(0, 1, 60, 1)},
        charges=[charge(3, None, 9), charge(2, "e2", 7), charge(1, None, None)],
    )
    lines = lines_of(gathered, JANUARY, Fixed(VAT))
    assert [(x.description, x.collection, x.tax_exact, x.entries) for x in lines] == [
        ("c1", Collection.INVOICE, 0, []),
        ("c2", Collection.WALLET, eur("1.9"), ["e2"]),
        ("c3", Collection.INVOICE, 0, []),
        ("Calls (1)", Collection.WALLET, 0, []),
    ]


def test_a_tax_that_was_taken_stays_though_none_is_owed_any_more() -> None:
    charge = GatheredCharge(
        1, "e", "recurring", "Line", "service", 1, eur("10"), eur("10"), eur("1.9"), 5, None, None
    )
    (line,) = lines_of(Gathered(charges=[charge]), JANUARY, Fixed())
    assert [(tax.name, tax.ppm) for tax in line.taxes] == [("Taken", 190_000)]
