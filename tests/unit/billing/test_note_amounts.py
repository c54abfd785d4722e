"""What credit notes give back: worked by hand, and never more than the invoice, whatever is asked."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.billing.invoices.note_amounts import (
    Amount,
    Creditable,
    CreditableLine,
    CreditableTax,
    Lines,
    NoteAmounts,
    NoteTax,
    TaxGroup,
    What,
    Whole,
    exact_part,
    note_amounts,
    spread,
)
from pbxbill.errors import InputRefused
from pbxbill.money import Unit, minor_step, parse_amount

EUR = Unit("EUR")
YEN = Unit("JPY", 2, 0)


def eur(text: str) -> int:
    return parse_amount(text, EUR)


def invoice(nets: Sequence[str], *taxes: tuple[str, str, set[int]], unit: Unit = EUR) -> Creditable:
    """Lines 1, 2, ... and taxes: base, tax, lines under it."""
    made = [(position, parse_amount(base, unit), parse_amount(tax, unit), ids)
            for position, (base, tax, ids) in enumerate(taxes, 1)]  # fmt: skip
    return Creditable(
        unit,
        tuple(CreditableLine(id, parse_amount(net, unit)) for id, net in enumerate(nets, 1)),
        tuple(CreditableTax(position, base, tax) for position, base, tax, _ in made),
        tuple(TaxGroup(position, tax, frozenset(ids)) for position, _, tax, ids in made),
    )


def after(before: Creditable, note: NoteAmounts) -> Creditable:
    """The invoice once a note is issued."""
    nets, taxes = dict(note.lines), {x.position: x for x in note.taxes}
    none = NoteTax(0, 0, 0)
    return replace(
        before,
        lines=tuple(x._replace(credited=x.credited + nets.get(x.id, 0)) for x in before.lines),
        taxes=tuple(
            x._replace(
                base_credited=x.base_credited + taxes.get(x.position, none).base,
                credited=x.credited + taxes.get(x.position, none).tax,
            )
            for x in before.taxes
        ),
    )


def told(note: NoteAmounts) -> tuple[dict[int, int], list[tuple[int, int]], int]:
    return dict(note.lines), [(x.base, x.tax) for x in note.taxes], note.total


# 30.00 + 70.01 = 100.01 under 19 %: 19.0019 -> 19.00; 10.05 under 7 %: 0.7035 -> 0.70. In all 129.76.
TWO_RATES = invoice(["30.00", "70.01", "10.05"], ("100.01", "19.00", {1, 2}), ("10.05", "0.70", {3}))


@pytest.mark.parametrize(
    "what, lines, taxes, total",
    [
        (Whole(), {1: "30.00", 2: "70.01", 3: "10.05"}, [("100.01", "19.00"), ("10.05", "0.70")], "129.76"),
        # 19.00 x 30.00 / 100.01 = 5.69943 -> 5.70
        (Lines(((1, None),)), {1: "30.00"}, [("30.00", "5.70")], "35.70"),
        # 19.00 x 12.34 / 100.01 = 2.34436 -> 2.34
        (Lines(((2, eur("12.34")),)), {2: "12.34"}, [("12.34", "2.34")], "14.68"),
        # 19.00 x 1.00 / 100.01 = 0.18998 -> 0.19; 0.70 x 1.00 / 10.05 = 0.06965 -> 0.07
        (
            Lines(((1, eur("1.00")), (3, eur("1.00")))),
            {1: "1.00", 3: "1.00"},
            [("1.00", "0.19"), ("1.00", "0.07")],
            "2.26",
        ),
        # 64.88 is half of 129.76. Net 110.06 / 2 = 55.03; of that line 1: 15.00, to line 2: 50.005 -> 50.01,
        # to line 3: 55.03. Taxes 64.88 - 55.03 = 9.85: 9.85 x 19.00 / 19.70 = 9.50, then 0.35.
        (
            Amount(eur("64.88")),
            {1: "15.00", 2: "35.01", 3: "5.02"},
            [("50.01", "9.50"), ("5.02", "0.35")],
            "64.88",
        ),
    ],
)
def test_a_first_note(what: What, lines: dict[int, str], taxes: list[tuple[str, str]], total: str) -> None:
    assert told(note_amounts(TWO_RATES, what)) == (
        {id: eur(net) for id, net in lines.items()},
        [(eur(base), eur(tax)) for base, tax in taxes],
        eur(total),
    )


def test_thirds_of_a_line_and_the_last_one_takes_the_rest() -> None:
    # 10.00 at 19 %: 1.90. Credited to 3.33: 0.6327 -> 0.63; to 6.66: 1.2654 -> 1.27, so 0.64; the rest 0.63.
    left = invoice(["10.00"], ("10.00", "1.90", {1}))
    found = []
    for what in (Lines(((1, eur("3.33")),)), Lines(((1, eur("3.33")),)), Whole()):
        note = note_amounts(left, what)
        found.append((note.net, note.tax))
        left = after(left, note)
    assert found == [
        (eur("3.33"), eur("0.63")),
        (eur("3.33"), eur("0.64")),
        (eur("3.34"), eur("0.63")),
    ]
    with pytest.raises(InputRefused, match="nothing is left"):
        note_amounts(left, Whole())


def test_a_total_that_no_net_and_its_tax_add_up_to_is_met_all_the_same() -> None:
    # 0.02 + 19 % = 0.02, 0.03 + 19 % = 0.04: no net gives 0.03.
    # Of 11.90, 0.03 x 10.00 / 11.90 = 0.0252 -> 0.03.
    note = note_amounts(invoice(["10.00"], ("10.00", "1.90", {1})), Amount(eur("0.03")))
    assert told(note) == ({1: eur("0.03")}, [(eur("0.03"), 0)], eur("0.03"))


def test_where_tax_is_rounded_on_lines_a_line_gives_back_its_own() -> None:
    # Three lines of 0.13 at 19 %: 0.0247 -> 0.02 each, 0.06 in all; of the invoice 0.0741 -> 0.07.
    lines = tuple(CreditableLine(id, eur("0.13")) for id in (1, 2, 3))
    groups = tuple(TaxGroup(1, eur("0.02"), frozenset({id})) for id in (1, 2, 3))
    left = Creditable(EUR, lines, (CreditableTax(1, eur("0.39"), eur("0.06")),), groups)
    for id in (1, 2, 3):
        note = note_amounts(left, Lines(((id, None),)))
        assert (note.net, note.tax) == (eur("0.13"), eur("0.02"))
        left = after(left, note)
    assert left.left == 0


def test_what_the_invoice_gave_back_itself_is_taken_back_with_the_rest() -> None:
    # 100.00 for the new plan, -40.00 of the old one: 60.00 + 20 % = 72.00.
    left = invoice(["100.00", "-40.00"], ("60.00", "12.00", {1, 2}))
    note = note_amounts(left, Whole())
    assert told(note) == ({1: eur("100"), 2: eur("-40")}, [(eur("60"), eur("12"))], eur("72"))
    with pytest.raises(InputRefused, match=r"112\.00 EUR, which is more than the 72\.00 EUR left"):
        note_amounts(left, Lines(((1, None),)))
    # Half of it: 36.00, net 30.00: 50.00 and -20.00.
    half = note_amounts(left, Amount(eur("36")))
    assert told(half) == ({1: eur("50"), 2: eur("-20")}, [(eur("30"), eur("6"))], eur("36"))


def test_a_currency_without_minor_unit() -> None:
    # 1,000 yen at 10 %: 100. A third: 333 x 100 / 1000 = 33.3 -> 33.
    note = note_amounts(invoice(["1000"], ("1000", "100", {1}), unit=YEN), Lines(((1, 333_00),)))
    assert (note.net, note.tax) == (333_00, 33_00)


def test_exempt_lines_show_their_base() -> None:
    note = note_amounts(invoice(["50.00"], ("50.00", "0", {1})), Lines(((1, eur("20")),)))
    assert note.taxes == (NoteTax(1, eur("20"), 0),)


@pytest.mark.parametrize(
    "what, sentence",
    [
        (Amount(eur("129.77")), "129.77 EUR is more than the 129.76 EUR left of it"),
        (Amount(0), "more than zero, in whole coins: not 0.00 EUR"),
        (Amount(eur("1.005")), "whole coins: not 1.005 EUR"),
        (Lines(((4, None),)), "the invoice has no line 4"),
        (Lines(((1, None), (1, None))), "line 1 is named twice"),
        (Lines(((1, eur("30.01")),)), "line 1: 30.00 EUR is left of it"),
        (Lines(((1, eur("-1")),)), "not -1.00 EUR"),
    ],
)
def test_what_cannot_be_credited(what: What, sentence: str) -> None:
    with pytest.raises(InputRefused) as refused:
        note_amounts(TWO_RATES, what)
    assert sentence in str(refused.value)


def test_a_discount_alone_is_not_credited() -> None:
    made = invoice(["10", "-3"], ("7", "0.70", {1, 2}))
    with pytest.raises(InputRefused, match=r"gave back 3\.00 EUR themselves: a debit note asks for it again"):
        note_amounts(made, Lines(((2, None),)))
    assert told(note_amounts(made, Lines(((1, None), (2, None)))))[2] == eur("7.70")


def test_a_line_is_not_credited_twice() -> None:
    left = after(TWO_RATES, note_amounts(TWO_RATES, Lines(((1, None),))))
    with pytest.raises(InputRefused, match="nothing is left of line 1"):
        note_amounts(left, Lines(((1, None),)))


# --- what holds for all of them -----------------------------------------------------------------

COIN = minor_step(EUR)
coins = st.integers(min_value=1, max_value=100_000).map(lambda number: number * COIN)


@st.composite
def invoices(draw: st.DrawFn) -> Creditable:
    """Up to six lines, some giving back, under up to three taxes that were rounded as anybody may have."""
    positive = draw(st.lists(coins, min_size=1, max_size=4))
    negative = [-x for x in draw(st.lists(coins, max_size=2)) if x < sum(positive) // 4]
    nets = draw(st.permutations(positive + negative))
    lines = tuple(CreditableLine(id, net) for id, net in enumerate(nets, 1))
    taxes, groups = [], []
    for position in range(1, draw(st.integers(0, 3)) + 1):
        ids = frozenset(draw(st.sets(st.sampled_from(range(1, len(nets) + 1)), min_size=1)))
        base = sum(nets[id - 1] for id in ids)
        if base <= 0:
            continue
        percent = draw(st.sampled_from([0, 7, 19, 25]))
        tax = base * percent // 100 // COIN * COIN + draw(st.integers(0, 1)) * COIN
        taxes.append(CreditableTax(position, base, tax))
        groups.append(TaxGroup(position, tax, ids))
    return Creditable(EUR, lines, tuple(taxes), tuple(groups))


@st.composite
def asked(draw: st.DrawFn) -> What:
    """An amount, or a few lines with whole or partial nets."""
    if draw(st.booleans()):
        return Amount(draw(coins))
    ids = draw(st.sets(st.integers(1, 6), min_size=1, max_size=3))
    return Lines(tuple((id, draw(st.none() | coins)) for id in sorted(ids)))


@given(invoices(), st.lists(asked(), max_size=8))
def test_no_sequence_of_notes_gives_back_more_and_the_last_gives_back_all(
    whole: Creditable, wishes: list[What]
) -> None:
    left = whole
    given_back: list[NoteAmounts] = []
    for what in [*wishes, Whole()]:
        try:
            note = note_amounts(left, what)
        except InputRefused:
            continue
        if isinstance(what, Amount):
            assert note.total == what.total
        given_back.append(note)
        left = after(left, note)
        for line in left.lines:
            assert min(0, line.net) <= line.credited <= max(0, line.net)
        for tax in left.taxes:
            assert 0 <= tax.credited <= tax.tax
        assert left.left >= 0
        assert all(amount % COIN == 0 for amount in (note.net, note.tax))
    assert left.left == 0
    assert sum(note.total for note in given_back) == whole.left
    assert all(line.credited == line.net for line in left.lines)
    assert all((tax.base_credited, tax.credited) == (tax.base, tax.tax) for tax in left.taxes)


@given(coins, st.lists(coins, min_size=1, max_size=6), st.integers(-(10**12), 10**12))
def test_parts_of_the_exact_amount_behind_a_line_are_all_of_it(
    net: int, parts: list[int], exact: int
) -> None:
    line = CreditableLine(1, net)
    found = 0
    for part in [*parts, net]:
        given_back = min(part, line.left)
        found += exact_part(line, given_back, exact)
        line = line._replace(credited=line.credited + given_back)
    assert found == exact


@given(st.lists(coins, min_size=1, max_size=8), st.integers(0, 100))
def test_spread_parts_are_no_larger_than_their_weights(weights: list[int], percent: int) -> None:
    amount = sum(weights) * percent // 100 // COIN * COIN
    parts = spread(amount, weights, COIN)
    assert sum(parts) == amount
    assert all(0 <= part <= weight for part, weight in zip(parts, weights, strict=True))
