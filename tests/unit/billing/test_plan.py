"""Plans as people write them: read, kept, and refused with the key to change."""

import json
import re
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.billing.charge import ChargeKind, Collection
from pbxbill.billing.proration import Proration
from pbxbill.billing.subscriptions import plan
from pbxbill.billing.subscriptions.plan import plan_from_json, plan_from_toml, plan_to_json
from pbxbill.billing.subscriptions.plan_terms import (
    Anchoring,
    CancellationFee,
    ChangeAt,
    ChargeType,
    FeeKind,
    MinimumTerm,
    PlanCharge,
    PlanKind,
    PlanTerms,
    PricedPart,
    PriceStep,
    Renewal,
    TermUnit,
    Timing,
    Unpaid,
    agreed_prices,
    checked_plan,
    checked_quantity,
    period_price,
)
from pbxbill.errors import InputRefused
from pbxbill.money import Unit

EURO = 1_000_000
UNITS = {unit.code: unit for unit in (Unit("EUR"), Unit("BTC", 8, 8), Unit("CENT", 2, 2))}

SMALLEST = 'unit = "EUR"\n[[charge]]\nname = "Line"\nprice = 9.90\n'


def read(text: str) -> PlanTerms:
    return plan_from_toml(text, UNITS)


def test_the_smallest_plan() -> None:
    terms = read(SMALLEST)
    assert terms == PlanTerms("EUR", (PlanCharge("Line", 9_900_000),))
    assert (terms.cycle, terms.every, terms.timing) == ("month", 1, Timing.ADVANCE)
    assert terms.collection is Collection.WALLET


def test_the_example_of_the_docstring_has_every_key() -> None:
    example = re.search(r"((?:    .*\n|\n)+)\nOnly", str(plan.__doc__))
    assert example
    text = re.sub(r"^    ", "", example[1], flags=re.MULTILINE)
    assert read(text) == PlanTerms(
        unit="EUR",
        charges=(
            PlanCharge("Line", 9_900_000),
            PlanCharge("Extension", 0, steps=(PriceStep(1, 4 * EURO), PriceStep(11, 3 * EURO))),
        ),
        minimum_spend=10 * EURO,
        term=MinimumTerm(24, TermUnit.MONTHS, CancellationFee(FeeKind.SLIDING, 240 * EURO)),
        remind_days_before=14,
        trial_days=14,
        bundles=("500 minutes",),
        tariff="retail",
        inbound_tariff="retail-in",
    )
    keys = set(re.findall(r"^\s*(?:# |\{ )?(\w+) = ", text, re.MULTILINE))
    assert keys >= {*plan._PLAN_KEYS, *plan._CHARGE_KEYS, *plan._TERM_KEYS} - {"charge", "term", "cycles"}


@pytest.mark.parametrize(
    "line, change",
    [
        (
            'kind = "did"',
            {"kind": PlanKind.DID, "charges": (PlanCharge("Line", 9_900_000, product_class="did"),)},
        ),
        ('cycle = "day"\nevery = 10', {"cycle": "day", "every": 10}),
        ("fixed_day = 2026-01-31", {"anchoring": Anchoring.FIXED_DAY, "fixed_day": date(2026, 1, 31)}),
        ("fixed_day = 15", {"anchoring": Anchoring.FIXED_DAY, "fixed_day": date(2000, 1, 15)}),
        ('anchor = "invoice_day"', {"anchoring": Anchoring.INVOICE_DAY}),
        ('timing = "arrears"', {"timing": Timing.ARREARS}),
        ('proration = "second"', {"proration": Proration.SECOND}),
        ('collection = "invoice"', {"collection": Collection.INVOICE}),
        ('change = "cycle_end"', {"change": ChangeAt.CYCLE_END}),
        ("set_up_on_change = true", {"set_up_on_change": True}),
        ("minimum_spend = 10", {"minimum_spend": 10 * EURO}),
        (
            'renewal = "ends"\nunpaid = "keep"\nterm = { cycles = 3 }',
            {"renewal": Renewal.ENDS, "unpaid": Unpaid.KEEP, "term": MinimumTerm(3, TermUnit.CYCLES)},
        ),
        (
            'term = { months = 12, fee = "remaining", share = "33.3333" }',
            {"term": MinimumTerm(12, TermUnit.MONTHS, CancellationFee(FeeKind.REMAINING, share_ppm=333_333))},
        ),
        (
            'term = { months = 12, fee = "fixed", amount = 50 }',
            {"term": MinimumTerm(12, TermUnit.MONTHS, CancellationFee(FeeKind.FIXED, 50 * EURO))},
        ),
    ],
)
def test_what_a_line_says(line: str, change: dict[str, object]) -> None:
    terms = read(f"{line}\n{SMALLEST}")
    assert terms == replace(PlanTerms("EUR", (PlanCharge("Line", 9_900_000),)), **change)  # type: ignore[arg-type]
    assert plan_from_json(plan_to_json(terms)) == terms


CHARGE = '\n[[charge]]\nname = "Line"\n'


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("unit = ", "the plan is not TOML"),
        ("", 'unit is missing; write unit = "..."'),
        ('unit = "DM"', "unit: there is no 'DM'; there is BTC, CENT, EUR"),
        ("unit = 3", "unit is a text of 1 to 64 characters, not '3'"),
        (
            'unit = "EUR"',
            "the plan has no price: give it a [[charge]], a tariff, an inbound_tariff or a minimum_spend",
        ),
        (
            SMALLEST + "cost = 3",
            "charge 'Line': there is no key 'cost'; there is name, price, type, quantity, steps",
        ),
        ("period = 3\n" + SMALLEST, "there is no key 'period'; there is unit, kind, cycle, every"),
        (
            'unit = "EUR"' + CHARGE,
            'charge \'Line\': it has no price; write price = "9.90" (or "0"), or steps',
        ),
        ('unit = "EUR"\n[[charge]]\nprice = 1', 'charge 1: name is missing; write name = "..."'),
        (f'unit = "EUR"{CHARGE}price = -1', "charge 'Line': price is an amount from 0 on, not '-1'"),
        (
            f'unit = "EUR"{CHARGE}price = "nine"',
            "charge 'Line': price: 'nine' is no amount; write it in digits, like 12.50",
        ),
        (f'unit = "EUR"{CHARGE}price = true', "charge 'Line': price is an amount like 12.50, not 'True'"),
        (f'unit = "EUR"{CHARGE}price = nan', "charge 'Line': price: 'nan' is not a number"),
        (f'unit = "EUR"{CHARGE}price = 0.0000015', "price: 0.0000015 has more than 6 digits after the point"),
        (f'unit = "CENT"{CHARGE}price = "0.001"', "price: 0.001 has more than 2 digits after the point"),
        (f'unit = "EUR"{CHARGE}price = 99999999999999999999', "price: 99999999999999999999 is out of range"),
        (f'unit = "EUR"{CHARGE}price = 9999999', "charge 'Line': its price is negative or out of range"),
        (
            f'unit = "EUR"{CHARGE}price = 1\ntype = "monthly"',
            "type is one of recurring, set_up, one_time, not 'monthly'",
        ),
        (f'unit = "EUR"{CHARGE}price = 1\nquantity = 3', "quantity is one of counted, flat, not '3'"),
        (f'unit = "EUR"{CHARGE}price = 1{CHARGE}price = 2', "charge 'Line': there are two of this name"),
        (
            'unit = "EUR"\n[[charge]]\nname = "a:b"\nprice = 1',
            "a name has 1 to 40 printable characters and no colon",
        ),
        (
            f'unit = "EUR"{CHARGE}price = 1\nsteps = [{{from = 1, price = 2}}]',
            "it has a price and steps; leave one",
        ),
        (
            f'unit = "EUR"{CHARGE}steps = [{{from = 2, price = 2}}]',
            "steps begin one after the other, the first from = 1",
        ),
        (f'unit = "EUR"{CHARGE}steps = [{{from = 1}}]', "charge 'Line': steps: price is missing"),
        (
            f'unit = "EUR"{CHARGE}steps = [{{upto = 1}}]',
            "charge 'Line': steps: there is no key 'upto'; there is from, price",
        ),
        (f'unit = "EUR"{CHARGE}steps = 3', "charge 'Line': steps is a list in [ ], not '3'"),
        (f'unit = "EUR"{CHARGE}steps = [3]', "charge 'Line': steps: this is no table of from, price"),
        (
            f'unit = "EUR"{CHARGE}quantity = "flat"\nsteps = [{{from = 1, price = 2}}]',
            "they need neither a price nor",
        ),
        ("charge = 3\nunit = 'EUR'", "charge: each charge of the plan begins with [[charge]]"),
        (
            'cycle = "fortnight"\n' + SMALLEST,
            "cycle, every: there is no cycle 'fortnight'; a cycle is a day, week",
        ),
        ("every = 0\n" + SMALLEST, "cycle, every: a period has 1 to 120 months, not 0"),
        ("every = 1.5\n" + SMALLEST, "every is a whole number, not '1.5'"),
        ("every = true\n" + SMALLEST, "every is a whole number, not 'True'"),
        ('anchor = "fixed_day"\n' + SMALLEST, "needs a fixed_day, e.g. fixed_day = 2026-01-01"),
        ('anchor = "sign_up"\nfixed_day = 3\n' + SMALLEST, "leave one of them out"),
        (
            "fixed_day = 32\n" + SMALLEST,
            "fixed_day is a date like 2026-01-01, or in a monthly cycle a day, 1 to 31",
        ),
        ('cycle = "week"\nfixed_day = 3\n' + SMALLEST, "fixed_day is a date like 2026-01-01"),
        ("fixed_day = 2026-01-01T10:00:00\n" + SMALLEST, "fixed_day is a date like 2026-01-01"),
        ('timing = "before"\n' + SMALLEST, "timing is one of advance, arrears, not 'before'"),
        ("set_up_on_change = 1\n" + SMALLEST, "set_up_on_change is true or false, not '1'"),
        ("minimum_spend = -1\n" + SMALLEST, "minimum_spend is an amount from 0 on, not '-1'"),
        ("trial_days = -1\n" + SMALLEST, "trial_days are 0 to 366, not -1"),
        ("remind_days_before = 400\n" + SMALLEST, "remind_days_before is 0 to 366, not 400"),
        ("bundles = [3]\n" + SMALLEST, 'bundles is a list of names, like ["500 minutes"]'),
        ('tariff = ""\n' + SMALLEST, "tariff is a text of 1 to 64 characters"),
        ('kind = "did"\ntariff = "retail"\n' + SMALLEST, "a plan of the kind did has no tariff"),
        ('renewal = "term"\n' + SMALLEST, 'renewal = "term" needs a [term] that is renewed'),
        ("term = 12\n" + SMALLEST, "term: this is no table of months, cycles"),
        (
            "term = { fee = 'fixed', amount = 1 }\n" + SMALLEST,
            "term: its length is either months = 24 or cycles = 24",
        ),
        (
            "term = { months = 1, cycles = 1 }\n" + SMALLEST,
            "term: its length is either months = 24 or cycles = 24",
        ),
        ("term = { months = 0 }\n" + SMALLEST, "term: it has 1 to 240 months, not 0"),
        ("term = { months = 3, fee = 'fixed' }\n" + SMALLEST, "term: amount is missing"),
        (
            "term = { months = 3, fee = 'half', amount = 1 }\n" + SMALLEST,
            "fee is one of fixed, remaining, sliding",
        ),
        (
            "term = { months = 3, fee = 'remaining', share = 101 }\n" + SMALLEST,
            "share is a percentage from 0 to 100",
        ),
        (
            "term = { months = 3, fee = 'remaining', amount = 1 }\n" + SMALLEST,
            'amount counts with fee = "fixed" or "sliding" only',
        ),
        (
            "term = { months = 3, amount = 1 }\n" + SMALLEST,
            'amount counts with fee = "fixed" or "sliding" only',
        ),
        (
            "term = { months = 3, product_class = 'x' }\n" + SMALLEST,
            "product_class is the fee's, and there is no fee",
        ),
        (
            SMALLEST + f"product_class = '{'p' * 33}'\n",
            "a product class has 1 to 32 printable characters",
        ),
        (
            f"term = {{ months = 3, fee = 'fixed', amount = 1, product_class = '{'p' * 33}' }}\n" + SMALLEST,
            "a product class has 1 to 32 printable characters",
        ),
    ],
)
def test_what_is_no_plan_is_refused_with_its_key(text: str, sentence: str) -> None:
    with pytest.raises(InputRefused) as refused:
        read(text)
    assert sentence in str(refused.value)


def test_a_plan_may_cost_nothing_when_it_says_so() -> None:
    assert period_price(read(SMALLEST.replace("9.90", "0")), 3, {}) == 0
    assert read('unit = "EUR"\ntariff = "retail"').charges == ()


@pytest.mark.parametrize(
    "quantity, parts, total",
    [
        # 1 to 10 at 4, 11 to 20 at 3, then 2: tiers bill zero usage at zero.
        (0, [], 0),
        (1, [(1, 1, 4)], 4),
        (10, [(1, 10, 4)], 40),
        (11, [(1, 10, 4), (11, 1, 3)], 43),
        (25, [(1, 10, 4), (11, 10, 3), (21, 5, 2)], 40 + 30 + 10),
    ],
)
def test_graduated_prices(quantity: int, parts: list[tuple[int, int, int]], total: int) -> None:
    charge = PlanCharge("x", 0, steps=(PriceStep(1, 4), PriceStep(11, 3), PriceStep(21, 2)))
    assert list(charge.parts(quantity)) == [PricedPart(*part) for part in parts]
    assert period_price(PlanTerms("EUR", (charge,)), quantity, {}) == total


def test_a_flat_fee_is_owed_for_a_quantity_of_zero_as_well() -> None:
    terms = PlanTerms("EUR", (PlanCharge("Base", 500, counted=False), PlanCharge("Line", 100)))
    assert [period_price(terms, quantity, {}) for quantity in (0, 1, 3)] == [500, 600, 800]


def test_agreed_prices_take_the_place_of_the_plan_s() -> None:
    steps = (PriceStep(1, 4 * EURO), PriceStep(3, 3 * EURO))
    terms = PlanTerms("EUR", (PlanCharge("Line", 10 * EURO), PlanCharge("Extension", 0, steps=steps)))
    agreed = agreed_prices(terms, UNITS["EUR"], {"Extension": "2.50"})
    assert period_price(terms, 4, {}) == (40 + 2 * 4 + 2 * 3) * EURO
    assert period_price(terms, 4, agreed) == (40 + 10) * EURO


@pytest.mark.parametrize(
    "prices, sentence",
    [
        ({"Lines": "3"}, "the plan has no charge 'Lines'; it has: Line"),
        ({"Line": "-3"}, "the agreed price of 'Line' is negative or out of range"),
        ({"Line": "3.1234567"}, "has more than 6 digits"),
    ],
)
def test_what_cannot_be_agreed(prices: dict[str, str], sentence: str) -> None:
    with pytest.raises(InputRefused, match=sentence):
        agreed_prices(read(SMALLEST), UNITS["EUR"], prices)


@pytest.mark.parametrize("quantity", [-1, 1_000_001])
def test_what_is_no_quantity(quantity: int) -> None:
    with pytest.raises(InputRefused, match="a quantity is 0 to 1000000"):
        checked_quantity(quantity)


def test_what_a_did_costs_is_booked_as_dids_are() -> None:
    terms = read('kind = "did"\n' + SMALLEST + 'type = "set_up"\n[[charge]]\nname = "Monthly"\nprice = 2\n')
    kinds = [terms.charge_kind(charge) for charge in terms.charges]
    assert kinds == [ChargeKind.DID_SET_UP, ChargeKind.DID_RECURRING]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"unit": "EUR"}', json.dumps({"unit": "EUR", "charges": 3})]
)
def test_what_is_no_kept_plan(text: str) -> None:
    with pytest.raises(InputRefused, match="no kept plan"):
        plan_from_json(text)


names = st.text("abcäß中 -_", min_size=1, max_size=20)
amounts = st.integers(0, 10**12)
steps = st.lists(st.integers(2, 1000), unique=True, max_size=4).flatmap(
    lambda begins: st.tuples(*(st.builds(PriceStep, st.just(n), amounts) for n in [1, *sorted(begins)]))
)
charges = st.builds(
    lambda name, price, kind, counted, graduated, product_class: PlanCharge(
        name, 0 if graduated else price, kind, counted or bool(graduated), graduated, product_class
    ),
    names,
    amounts,
    st.sampled_from(ChargeType),
    st.booleans(),
    st.just(()) | steps,
    names,
)
fees = st.builds(CancellationFee, st.sampled_from(FeeKind), amounts, st.integers(0, 10**6), names)
terms_of_plans = st.builds(
    PlanTerms,
    unit=st.sampled_from(["EUR", "BTC"]),
    charges=st.lists(charges, min_size=1, max_size=5, unique_by=lambda charge: charge.name).map(tuple),
    cycle=st.sampled_from(["day", "week", "month", "quarter", "year"]),
    every=st.integers(1, 10),
    timing=st.sampled_from(Timing),
    proration=st.sampled_from(Proration),
    collection=st.sampled_from(Collection),
    change=st.sampled_from(ChangeAt),
    set_up_on_change=st.booleans(),
    minimum_spend=amounts,
    term=st.none() | st.builds(MinimumTerm, st.integers(1, 240), st.sampled_from(TermUnit), st.none() | fees),
    renewal=st.sampled_from([Renewal.CYCLE, Renewal.ENDS]),
    unpaid=st.sampled_from(Unpaid),
    remind_days_before=st.integers(0, 60),
    trial_days=st.integers(0, 60),
    bundles=st.lists(names, unique=True).map(tuple),
    tariff=names | st.just(""),
    inbound_tariff=names | st.just(""),
)


def anchored(terms: PlanTerms, day: date | None) -> PlanTerms:
    anchoring = Anchoring.SIGN_UP if day is None else Anchoring.FIXED_DAY
    return replace(terms, anchoring=anchoring, fixed_day=day)


@given(st.builds(anchored, terms_of_plans, st.none() | st.dates(date(1900, 1, 1), date(8999, 1, 1))))
def test_every_plan_is_kept_as_it_is(terms: PlanTerms) -> None:
    assert plan_from_json(plan_to_json(checked_plan(terms))) == terms
