"""What a subscription owes, by examples computed by hand: amounts in euros, days in Berlin unless said."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from pbxbill.billing.charge import ChargeKind, Collection
from pbxbill.billing.period import BillingCycle, Period
from pbxbill.billing.proration import Proration
from pbxbill.billing.subscriptions import due_charges as module
from pbxbill.billing.subscriptions.due_charges import Due, DueCharge, Standing, Stop, due_charges
from pbxbill.billing.subscriptions.plan_terms import (
    CancellationFee,
    ChargeType,
    FeeKind,
    MinimumTerm,
    PlanCharge,
    PlanKind,
    PlanTerms,
    PriceStep,
    TermUnit,
    Timing,
)
from pbxbill.clock import SECOND_US
from pbxbill.money import Unit, format_amount, parse_amount

BERLIN = "Europe/Berlin"
EUR = Unit("EUR")
EURO = 1_000_000


def us(moment: str, zone: str = BERLIN) -> int:
    return int(datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone)).timestamp()) * SECOND_US


def day(at_us: int | None, zone: str = BERLIN) -> str:
    if at_us is None:
        return "-"
    text = datetime.fromtimestamp(-(-at_us // SECOND_US), ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")
    return text.removesuffix(" 00:00")


def monthly(
    anchor: str = "2026-01-01", zone: str = BERLIN, unit: str = "month", every: int = 1
) -> BillingCycle:
    return BillingCycle(unit, every, date.fromisoformat(anchor), zone)


def line(price: str, **facts: object) -> PlanTerms:
    return replace(PlanTerms("EUR", (PlanCharge("Line", parse_amount(price, EUR)),)), **facts)  # type: ignore[arg-type]


def standing(from_: str, cycle: BillingCycle | None = None, **facts: object) -> Standing:
    cycle = cycle or monthly()
    begin_us = us(from_, cycle.zone)
    for key in ("stops", "charged_to", "served_to"):
        if key in facts:
            facts[f"{key}_us"] = us(str(facts.pop(key)), cycle.zone)
    return replace(Standing("s", cycle, begin_us, begin_us), **facts)  # type: ignore[arg-type]


def table(charges: Iterable[DueCharge], zone: str = BERLIN) -> list[str]:
    """One line per charge: what, net, days, when it is due; the last moment of a day is shown as the next."""
    return [
        f"{x.description}: {format_amount(x.net, EUR)} for {day(x.from_us, zone)}..{day(x.to_us, zone)}"
        f" at {day(x.at_us, zone)}"
        for x in charges
    ]


def owed(terms: PlanTerms, standing: Standing, until: str, zone: str = BERLIN, **more: object) -> list[str]:
    return table(due_charges(terms, standing, us(until, zone), **more).charges, zone)  # type: ignore[arg-type]


def test_in_advance_the_first_period_is_a_part_and_the_next_are_whole() -> None:
    """Signed up on 16 April at 15:00, periods from the 1st: 15 of 30 days, 30 x 15/30 = 15."""
    due = due_charges(line("30"), standing("2026-04-16T15:00"), us("2026-06-01"))
    assert table(due.charges) == [
        "Line: 15.00 for 2026-04-16 15:00..2026-05-01 at 2026-04-16 15:00",
        "Line: 30.00 for 2026-05-01..2026-06-01 at 2026-05-01",
        "Line: 30.00 for 2026-06-01..2026-07-01 at 2026-06-01",
    ]
    assert [charge.deferred for charge in due.charges] == [15 * EURO, 30 * EURO, 30 * EURO]
    assert due.charges[0].explanation == {
        "whole": 30 * EURO,
        "used": 15,
        "of": 30,
        "by": "day",
        "period_from_us": us("2026-04-01"),
        "period_to_us": us("2026-05-01"),
    }
    assert (day(due.charged_to_us), day(due.next_us), due.over) == ("2026-07-01", "2026-07-01", False)


def test_in_arrears_a_period_is_charged_at_its_last_moment() -> None:
    terms = line("30", timing=Timing.ARREARS)
    early = due_charges(terms, standing("2026-04-16"), us("2026-05-01") - 1)
    assert (early.charges, day(early.next_us)) == ((), "2026-05-01")
    due = due_charges(terms, standing("2026-04-16"), us("2026-06-30"))
    assert table(due.charges) == [
        "Line: 15.00 for 2026-04-16..2026-05-01 at 2026-05-01",
        "Line: 30.00 for 2026-05-01..2026-06-01 at 2026-06-01",
    ]
    assert [charge.at_us for charge in due.charges] == [us("2026-05-01") - 1, us("2026-06-01") - 1]
    assert [charge.deferred for charge in due.charges] == [0, 0]


def test_month_ends_clamp_and_recover() -> None:
    assert owed(line("31"), standing("2026-01-31", monthly("2026-01-31")), "2026-04-30") == [
        "Line: 31.00 for 2026-01-31..2026-02-28 at 2026-01-31",
        "Line: 31.00 for 2026-02-28..2026-03-31 at 2026-02-28",
        "Line: 31.00 for 2026-03-31..2026-04-30 at 2026-03-31",
        "Line: 31.00 for 2026-04-30..2026-05-31 at 2026-04-30",
    ]


@pytest.mark.parametrize(
    "cycle, price, begin, stop, expected",
    [
        # A leap year's annual period has 366 days: from 1 March 2028, 306 are left: 366 x 306/366 = 306.
        (monthly("2028-01-01", BERLIN, "year"), "366", "2028-03-01", "2029-01-01", "306.00"),
        # The year from March 2027 has the 29th of February, too; one from March 2028 has not.
        (monthly("2027-03-01", BERLIN, "year"), "366", "2027-03-01", "2027-03-11", "10.00"),
        (monthly("2028-03-01", BERLIN, "year"), "365", "2028-03-01", "2028-03-11", "10.00"),
        # 29 February 2028 alone: 1 of 29 days.
        (monthly("2028-01-01", BERLIN, "month"), "29", "2028-02-29", "2028-03-01", "1.00"),
        # Days with 23 and with 25 hours count as one.
        (monthly("2026-01-01", BERLIN, "month"), "31", "2026-03-29", "2026-03-31", "2.00"),
        (monthly("2026-01-01", BERLIN, "month"), "31", "2026-10-25", "2026-10-31", "6.00"),
        # Sao Paulo had no midnight on 4 November 2018, Santiago has none on 6 September 2026.
        (monthly("2018-01-01", "America/Sao_Paulo", "month"), "30", "2018-11-04T01:00", "2018-11-05", "1.00"),
        (monthly("2026-01-06", "America/Santiago", "month"), "30", "2026-09-06T01:00", "2026-10-01", "25.00"),
        (monthly("2026-01-01", "Pacific/Auckland", "month"), "30", "2026-04-05", "2026-04-07", "2.00"),
        (monthly("2026-01-01", "Pacific/Kiritimati", "month"), "31", "2026-01-01", "2026-01-03", "2.00"),
        # A week from Thursday, and 10 days.
        (monthly("2026-05-07", BERLIN, "week"), "7", "2026-05-10", "2026-05-14", "4.00"),
        # 0.01 over 31 days: 10 of them.
        (monthly("2026-01-01", BERLIN, "month"), "0.01", "2026-01-01", "2026-01-11", "0.003226"),
    ],
)
@pytest.mark.parametrize("timing", Timing)
@pytest.mark.parametrize("known", ["before", "later"])
def test_what_the_served_days_of_a_period_cost(
    *, cycle: BillingCycle, price: str, begin: str, stop: str, expected: str, timing: Timing, known: str
) -> None:
    terms, zone = line(price, timing=timing), cycle.zone
    stretch = standing(begin, cycle)
    made: list[DueCharge] = []
    if known == "later":
        first = due_charges(terms, stretch, us(begin, zone))
        made += first.charges
        stretch = replace(stretch, charged_to_us=first.charged_to_us)
    last = due_charges(terms, replace(stretch, stops_us=us(stop, zone)), us(stop, zone))
    made += last.charges
    assert format_amount(sum(charge.net for charge in made), EUR) == expected
    assert (last.over, last.next_us, last.charged_to_us) == (True, None, us(stop, zone))


def test_a_change_within_a_period_gives_back_the_rest_of_it_and_takes_the_new_plan_s() -> None:
    """On 11 April at 15:20 from 30 to 60 a month: 20 of 30 days given back, 20; and taken, 40."""
    old = due_charges(line("30"), standing("2026-04-01"), us("2026-04-05"))
    at_us = us("2026-04-11T15:20")
    stopped = standing("2026-04-01", charged_to_us=old.charged_to_us, stops_us=at_us, stop=Stop.CHANGE)
    end = due_charges(line("30"), stopped, at_us)
    assert table(end.charges) == [
        "Line, given back: -20.00 for 2026-04-11 15:20..2026-05-01 at 2026-04-11 15:20"
    ]
    credit = end.charges[0]
    assert (credit.kind, credit.deferred, credit.reason) == (ChargeKind.CREDIT, -20 * EURO, Stop.CHANGE)
    assert (credit.explanation["used"], credit.explanation["of"]) == (20, 30)
    new = standing("2026-04-11T15:20", key="s2", set_up=False, served_to_us=at_us)
    assert owed(line("60"), new, "2026-04-12") == [
        "Line: 40.00 for 2026-04-11 15:20..2026-05-01 at 2026-04-11 15:20",
    ]


def test_a_change_at_the_end_of_the_cycle_gives_nothing_back() -> None:
    stretch = standing("2026-04-01", stops="2026-05-01", stop=Stop.CHANGE)
    due = due_charges(line("30"), stretch, us("2026-07-01"))
    assert table(due.charges) == ["Line: 30.00 for 2026-04-01..2026-05-01 at 2026-04-01"]
    assert due.over


def test_a_period_that_service_turns_out_not_to_have_reached_is_given_back_whole() -> None:
    """Charged at midnight, and told a little later that service ended at midnight."""
    charged = due_charges(line("30"), standing("2026-04-01"), us("2026-05-01"))
    stopped = standing("2026-04-01", charged_to_us=charged.charged_to_us, stops="2026-05-01")
    back = due_charges(line("30"), stopped, us("2026-05-02"))
    assert table(back.charges) == ["Line, given back: -30.00 for 2026-05-01..2026-06-01 at 2026-05-01"]
    assert back.charges[0].key not in {charge.key for charge in charged.charges}


def test_by_the_second_a_change_at_noon_halves_the_day() -> None:
    """April has 2,592,000 s. From the 11th, 12:00, 19.5 days are left: 30 x 19.5/30 = 19.50."""
    terms = line("30", proration=Proration.SECOND)
    stretch = standing(
        "2026-04-01", charged_to="2026-05-01", stops="2026-04-11T12:00", stop=Stop.CHANGE, set_up=False
    )
    assert owed(terms, stretch, "2026-04-12") == [
        "Line, given back: -19.50 for 2026-04-11 12:00..2026-05-01 at 2026-04-11 12:00",
    ]


def test_without_proration_who_begins_a_period_pays_all_of_it() -> None:
    terms = line("30", proration=Proration.NONE)
    first = standing("2026-04-16", stops="2026-04-20", stop=Stop.PAUSE)
    assert owed(terms, first, "2026-04-25") == ["Line: 30.00 for 2026-04-16..2026-04-20 at 2026-04-16"]
    paid = replace(first, charged_to_us=us("2026-05-01"))
    assert due_charges(terms, paid, us("2026-04-25")) == Due((), us("2026-04-20"), None, over=True)
    same = standing("2026-04-25", served_to="2026-04-20", set_up=False)
    assert owed(terms, same, "2026-05-01") == ["Line: 30.00 for 2026-05-01..2026-06-01 at 2026-05-01"]
    for paused in ("2026-04-20", "2026-05-01"):
        later = standing("2026-05-10", served_to=paused, set_up=False)
        assert owed(terms, later, "2026-05-10") == ["Line: 30.00 for 2026-05-10..2026-06-01 at 2026-05-10"]


def test_without_proration_an_end_that_is_taken_back_costs_nothing_more() -> None:
    terms = line("30", proration=Proration.NONE)
    stretch = standing("2026-04-01", charged_to="2026-04-16", set_up=False)
    assert owed(terms, stretch, "2026-05-01") == ["Line: 30.00 for 2026-05-01..2026-06-01 at 2026-05-01"]


def test_a_pause_is_not_paid_for() -> None:
    """Paused 11 to 21 April: 20 of 30 days are given back, then 10 of 30 taken. April costs 20."""
    charged = us("2026-05-01")
    paused = standing("2026-04-01", charged_to_us=charged, stops="2026-04-11", stop=Stop.PAUSE)
    resumed = standing("2026-04-21", key="r", set_up=False, served_to="2026-04-11")
    assert owed(line("30"), paused, "2026-04-11") + owed(line("30"), resumed, "2026-04-21") == [
        "Line, given back: -20.00 for 2026-04-11..2026-05-01 at 2026-04-11",
        "Line: 10.00 for 2026-04-21..2026-05-01 at 2026-04-21",
    ]


def test_subscribed_to_and_left_on_the_same_day_costs_the_set_up_alone() -> None:
    set_up = PlanCharge("Set-up", 25 * EURO, ChargeType.SET_UP)
    terms = replace(line("30"), charges=(*line("30").charges, set_up))
    first = due_charges(terms, standing("2026-04-10T09:00"), us("2026-04-10T09:00"))
    left = standing("2026-04-10T09:00", charged_to_us=first.charged_to_us, stops="2026-04-10T17:00")
    assert table(first.charges) == [
        "Set-up: 25.00 for -..- at 2026-04-10 09:00",
        "Line: 21.00 for 2026-04-10 09:00..2026-05-01 at 2026-04-10 09:00",
    ]
    assert owed(terms, left, "2026-04-11") == [
        "Line, given back: -21.00 for 2026-04-10 17:00..2026-05-01 at 2026-04-10 17:00"
    ]


def test_a_trial_costs_nothing() -> None:
    """Service is paid from the trial's end on; who leaves in it owes nothing, not even the fee."""
    set_up = PlanCharge("Set-up", 25 * EURO, ChargeType.SET_UP)
    fee = MinimumTerm(12, TermUnit.MONTHS, CancellationFee(FeeKind.FIXED, 50 * EURO))
    terms = replace(line("30", term=fee), charges=(set_up, *line("30").charges))
    trial = standing("2026-04-16")
    assert due_charges(terms, trial, us("2026-04-15")) == Due((), trial.from_us, trial.from_us, over=False)
    term = Period(trial.from_us, us("2027-04-16"))
    left = replace(trial, stops_us=us("2026-04-10"), term=term)
    assert due_charges(terms, left, us("2026-04-20")) == Due((), trial.from_us, None, over=True)
    assert owed(terms, trial, "2026-04-16") == [
        "Set-up: 25.00 for -..- at 2026-04-16",
        "Line: 15.00 for 2026-04-16..2026-05-01 at 2026-04-16",
    ]


def test_quantities_steps_agreed_prices_and_flat_charges() -> None:
    """12 extensions: 10 at 4 and 2 at 3; the base once; the line at the agreed 8 instead of 10."""
    terms = PlanTerms(
        "EUR",
        (
            PlanCharge("Base", 5 * EURO, counted=False),
            PlanCharge("Line", 10 * EURO),
            PlanCharge("Extension", 0, steps=(PriceStep(1, 4 * EURO), PriceStep(11, 3 * EURO))),
        ),
        collection=Collection.INVOICE,
    )
    due = due_charges(terms, standing("2026-04-01", quantity=12, agreed={"Line": 8 * EURO}), us("2026-04-01"))
    assert [
        (x.description, x.quantity // EURO, x.unit_price // EURO, x.net // EURO) for x in due.charges
    ] == [
        ("Base", 1, 5, 5),
        ("Line", 12, 8, 96),
        ("Extension", 10, 4, 40),
        ("Extension, from piece 11 on", 2, 3, 6),
    ]
    assert {charge.collection for charge in due.charges} == {Collection.INVOICE}
    nothing = due_charges(terms, standing("2026-04-01", quantity=0), us("2026-04-01"))
    assert [charge.name for charge in nothing.charges] == ["Base"]


def test_a_did_is_charged_as_dids_are() -> None:
    charges = (PlanCharge("Set-up", EURO, ChargeType.SET_UP), PlanCharge("Monthly", 2 * EURO))
    terms = PlanTerms("EUR", charges, kind=PlanKind.DID)
    due = due_charges(terms, standing("2026-04-01"), us("2026-04-01"))
    assert [charge.kind for charge in due.charges] == [ChargeKind.DID_SET_UP, ChargeKind.DID_RECURRING]


@pytest.mark.parametrize("proration", [Proration.DAY, Proration.NONE])
@pytest.mark.parametrize("timing", Timing)
@pytest.mark.parametrize(
    "begin, stop, usages, expected",
    [
        # 30 a month; April whole with usage of 12.50: 17.50 are missing. In May 31.00 were used: nothing.
        ("2026-04-01", "2026-06-01", {"2026-04-01": "12.5", "2026-05-01": "31"}, {"2026-04-01": "17.50"}),
        # From the 16th: 15 of 30 days, a minimum of 15; nothing used: all of it.
        ("2026-04-16", "2026-05-01", {}, {"2026-04-16": "15.00"}),
        # Left on 11 April: 10 of 30 days, a minimum of 10, 4 used.
        ("2026-04-01", "2026-04-11", {"2026-04-01": "4"}, {"2026-04-01": "6.00"}),
        # Just reached.
        ("2026-04-01", "2026-05-01", {"2026-04-01": "30"}, {}),
    ],
)
def test_a_minimum_spend_is_trued_up(
    *,
    proration: Proration,
    timing: Timing,
    begin: str,
    stop: str,
    usages: dict[str, str],
    expected: dict[str, str],
) -> None:
    terms = PlanTerms("EUR", minimum_spend=30 * EURO, timing=timing, proration=proration)

    def usage(part: Period) -> int:
        return parse_amount(usages.get(day(part.from_us), "0"), EUR)

    due = due_charges(terms, standing(begin, stops=stop), us("2026-07-01"), usage)
    assert {day(x.from_us): format_amount(x.net, EUR) for x in due.charges} == expected
    for charge in due.charges:
        assert (charge.kind, charge.at_us, charge.deferred) == (
            ChargeKind.MINIMUM_SPEND,
            (charge.to_us or 0) - 1,
            0,
        )


@pytest.mark.parametrize("timing", list(Timing))
@pytest.mark.parametrize(
    "usage,stop,expected",
    [
        (30, "2026-05-01", {}),
        (12, "2026-05-01", {"2026-04-01": "18.00"}),
        # It ends on the 26th: 25 of 30 days, a minimum of 25.
        (12, "2026-04-26", {"2026-04-01": "13.00"}),
        # It ends in the moment of the change: 15 of 30 days, a minimum of 15; nothing was used until then.
        (12, "2026-04-16", {"2026-04-01": "15.00"}),
    ],
)
def test_a_change_of_the_quantity_does_not_divide_a_minimum_spend(
    timing: Timing, usage: int, stop: str, expected: dict[str, str]
) -> None:
    """Nothing is used until the change on the 16th."""
    terms = PlanTerms("EUR", minimum_spend=30 * EURO, timing=timing)

    def used(part: Period) -> int:
        return usage * EURO if part.to_us > us("2026-04-16") else 0

    first = standing("2026-04-01", stops="2026-04-16", stop=Stop.QUANTITY)
    second = replace(standing("2026-04-16", stops=stop), minimum_from_us=us("2026-04-01"))
    made = [x for part in (first, second) for x in due_charges(terms, part, us("2026-07-01"), used).charges]
    assert {day(x.from_us): format_amount(x.net, EUR) for x in made} == expected


def test_a_change_of_the_quantity_with_a_period_leaves_each_its_minimum_spend() -> None:
    terms = PlanTerms("EUR", minimum_spend=30 * EURO)
    first = standing("2026-04-01", stops="2026-05-01", stop=Stop.QUANTITY)
    second = replace(standing("2026-05-01", stops="2026-06-01"), minimum_from_us=us("2026-04-01"))
    made = [x for part in (first, second) for x in due_charges(terms, part, us("2026-07-01")).charges]
    assert [(day(x.from_us), format_amount(x.net, EUR)) for x in made] == [
        ("2026-04-01", "30.00"),
        ("2026-05-01", "30.00"),
    ]


def test_a_minimum_spend_goes_on_while_service_does() -> None:
    terms = line("10", minimum_spend=30 * EURO)
    assert owed(terms, standing("2026-04-16"), "2026-06-01", usage=lambda _: 20 * EURO) == [
        "Line: 5.00 for 2026-04-16..2026-05-01 at 2026-04-16",
        "Line: 10.00 for 2026-05-01..2026-06-01 at 2026-05-01",
        "Minimum spend: 10.00 for 2026-05-01..2026-06-01 at 2026-06-01",
        "Line: 10.00 for 2026-06-01..2026-07-01 at 2026-06-01",
    ]


@pytest.mark.parametrize(
    "fee, cycle, quantity, left, expected",
    [
        (CancellationFee(FeeKind.FIXED, 50 * EURO), "month", 1, "2026-10-15", "50.00"),
        # The term is 2026. From 15 October 2.5 months remain, 3 with the one begun: 3 x 20 x 50 % = 30.
        (CancellationFee(FeeKind.REMAINING, share_ppm=500_000), "month", 1, "2026-10-15", "30.00"),
        (CancellationFee(FeeKind.REMAINING, share_ppm=500_000), "month", 2, "2026-10-01", "60.00"),
        # 20 a quarter: 3 months are 20; 20 a year: 3 x 20/12 = 5.
        (CancellationFee(FeeKind.REMAINING, share_ppm=1_000_000), "quarter", 1, "2026-10-01", "20.00"),
        (CancellationFee(FeeKind.REMAINING, share_ppm=1_000_000), "year", 1, "2026-10-01", "5.00"),
        # Weeks from Thursday, 1 January: the last two begin on 24 and on 31 December: 2 x 20.
        (CancellationFee(FeeKind.REMAINING, share_ppm=1_000_000), "week", 1, "2026-12-25", "40.00"),
        # 365 falling to 0 over the 365 days of 2026: one a day. After 100 days 265 are left.
        (CancellationFee(FeeKind.SLIDING, 365 * EURO), "month", 1, "2026-04-11", "265.00"),
        (CancellationFee(FeeKind.SLIDING, 365 * EURO), "month", 1, "2026-12-31", "1.00"),
        (CancellationFee(FeeKind.SLIDING, 365 * EURO), "month", 3, "2026-01-01T12:00", "365.00"),
        (CancellationFee(FeeKind.SLIDING, 100 * EURO), "month", 1, "2026-12-30", "0.547945"),
    ],
)
def test_cancellation_fees(fee: CancellationFee, cycle: str, quantity: int, left: str, expected: str) -> None:
    terms = line("20", cycle=cycle, term=MinimumTerm(12, TermUnit.MONTHS, fee), proration=Proration.NONE)
    term = Period(us("2026-01-01"), us("2027-01-01"))
    stretch = standing("2026-01-01", monthly(unit=cycle), quantity=quantity, stops=left, term=term)
    due = due_charges(terms, replace(stretch, charged_to_us=us(left)), us(left))
    (charged,) = [x for x in due.charges if x.kind is ChargeKind.CANCELLATION_FEE]
    assert format_amount(charged.net, EUR) == expected
    assert (charged.at_us, charged.product_class, charged.reason) == (us(left) - 1, "fee", Stop.END)
    assert charged.explanation["fee"] == fee.kind


@pytest.mark.parametrize(
    "stop, left", [(Stop.END, "2027-01-01"), (Stop.PAUSE, "2026-05-01"), (Stop.CHANGE, "2026-05-01")]
)
def test_who_stays_for_the_term_pays_no_fee(stop: Stop, left: str) -> None:
    terms = line("20", term=MinimumTerm(12, TermUnit.MONTHS, CancellationFee(FeeKind.FIXED, EURO)))
    term = Period(us("2026-01-01"), us("2027-01-01"))
    stretch = standing("2026-01-01", stops=left, stop=stop, term=term)
    due = due_charges(terms, stretch, us("2027-02-01"))
    assert {charge.kind for charge in due.charges} == {ChargeKind.RECURRING}


def test_a_long_absence_is_caught_up_with_in_several_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PERIODS", 5)
    stretch, until_us = standing("2026-01-01"), us("2026-12-31")
    made: list[DueCharge] = []
    while True:
        due = due_charges(line("10"), stretch, until_us)
        made += due.charges
        stretch = replace(stretch, charged_to_us=due.charged_to_us)
        if due.next_us is None or due.next_us > until_us:
            break
    assert len(made) == len({charge.key for charge in made}) == 12
