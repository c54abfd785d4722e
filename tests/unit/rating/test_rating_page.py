"""docs/rating.md computed again: each of its tables, by the terms in the box above it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pbxbill.clock import SECOND_US
from pbxbill.money import Rounding, Unit, compile_price, parse_amount, parse_decimal
from pbxbill.rating.allotment import UNLIMITED, Allotment
from pbxbill.rating.bands import BandCalendar
from pbxbill.rating.calendar_text import calendar_from_toml
from pbxbill.rating.exchange import EXCHANGE_SCALE, ExchangeRate, to_wallet
from pbxbill.rating.mark_up import marked_up
from pbxbill.rating.rater import affordable, charge
from pbxbill.rating.tariff import BandPrice, MarkUp, Rate, RateTerms, Step, Tariff, TaxMode

PAGE = Path(__file__).parents[3] / "docs" / "rating.md"
EUR = Unit("EUR")
ABOVE = Tariff(1, "above", 1, EUR)
PLAIN = Rate(1, "49", "Germany", 0)
NO_TERMS = RateTerms()
RETAIL = Tariff(1, "Retail", 1, EUR)
LONGEST_S = 7_200
NOT_COMPUTED = {"because"}


@dataclass
class Terms:
    """What a box says."""

    rate: Rate = PLAIN
    terms: RateTerms = NO_TERMS
    tariff: Tariff = RETAIL
    allotments: list[Allotment] = field(default_factory=list)


def price(text: str) -> int:
    return compile_price(parse_decimal(text))


def terms_of(box: str, calendar: BandCalendar | None) -> Terms:
    found = Terms()
    tariff: dict[str, object] = {"calendar": calendar}
    for line in box.splitlines():
        word, _, rest = line.partition(" ")
        match word:
            case "band":
                name, _, prices = rest.partition(" price ")
                entry = (name, BandPrice(**priced(f"price {prices}")))
                found.terms = found.terms._replace(bands=(*found.terms.bands, entry))
            case "step":
                from_s, cost = rest.split()
                steps = (*found.terms.steps, Step(int(from_s), price(cost)))
                found.terms = found.terms._replace(steps=steps)
            case "maximum":
                found.terms = found.terms._replace(maximum_charge=price(rest))
            case "ends":
                found.terms = found.terms._replace(ends_at_maximum=True)
            case "bundle" | "cycle":
                found.allotments.append(allotment_of(line))
            case "tax":
                mode, percent = rest.split()
                tariff |= {"tax_mode": TaxMode(mode), "tax_ppm": int(percent) * 10_000}
            case "rounding":
                how, _, step = rest.split()
                tariff |= {"rounding": Rounding(how), "rounding_step": parse_amount(step, EUR)}
            case _:
                found.rate = found.rate._replace(**priced(line))
    found.rate = found.rate._replace(terms=found.terms if found.terms != RateTerms() else None)
    found.tariff = Tariff(1, "Retail", 1, EUR, **tariff)  # type: ignore[arg-type]
    return found


def priced(line: str) -> dict[str, Any]:
    """Words and numbers in turn, e.g. "price 0.06 increments 60/60 fee 0.02"."""
    words = line.split()
    found: dict[str, Any] = {}
    for word, value in zip(words[::2], words[1::2], strict=True):
        if word == "increments":
            first, following = value.split("/")
            found |= {"initial_increment_s": int(first), "following_increment_s": int(following)}
        elif word == "free":
            found["free_s"] = int(value)
        else:
            names = {"price": "price_per_min", "fee": "connection_fee", "minimum": "minimum_charge"}
            found[names[word]] = price(value)
    return found


def allotment_of(line: str) -> Allotment:
    step = re.fullmatch(r"cycle step (\d+|rest) ([\d.]+)", line)
    if step:
        available = UNLIMITED if step[1] == "rest" else int(step[1])
        return Allotment(1, available, price_per_min=price(step[2]))
    bundle = re.fullmatch(r"bundle (\d+)(?: increments (\d+)/(\d+))?( fee owed)?( calls)?", line)
    assert bundle is not None, line
    return Allotment(
        1,
        int(bundle[1]),
        int(bundle[2] or 1),
        int(bundle[3] or 1),
        fee_owed=bundle[4] is not None,
        whole_call=bundle[5] is not None,
    )


def examples() -> Iterator[tuple[Terms, dict[str, str]]]:
    """Every row of a table, with the terms of the last box and the calendar of the last one before it."""
    calendar: BandCalendar | None = None
    terms = Terms()
    header: list[str] = []
    page = re.sub(
        r"```(\w+)\n(.*?)```", lambda box: f"\0{box[1]} {box[2].encode().hex()}", PAGE.read_text(), flags=re.S
    )
    for line in page.splitlines():
        if line.startswith("\0"):
            kind, _, box = line[1:].partition(" ")
            text = bytes.fromhex(box).decode()
            if kind == "toml":
                calendar = calendar_from_toml(text)
                terms = terms_of("", calendar)
            else:
                terms = terms_of(text, calendar)
        elif line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if not header:
                header = cells
            elif not set(line) <= set("|-"):
                yield terms, dict(zip(header, cells, strict=True))
        else:
            header = []


def seconds(cell: str) -> int:
    return int(cell.removesuffix(" s"))


def check_call(terms: Terms, row: dict[str, str]) -> None:
    """A row of one call, on the rate of its box."""
    rate = (
        terms.rate._replace(**priced(f"increments {row['increments']}"))
        if "increments" in row
        else terms.rate
    )
    start_us = 0
    if "answered" in row:
        calendar = terms.tariff.calendar
        assert calendar is not None
        moment = datetime.fromisoformat(row["answered"]).replace(tzinfo=ZoneInfo(calendar.zone))
        start_us = int(moment.timestamp()) * SECOND_US
        if "band" in row:
            assert calendar.band_at(start_us) == row["band"]
    if "lasts" in row:
        funds = parse_amount(row["funds"], EUR)
        lasts_us = affordable(rate, terms.tariff, funds, LONGEST_S, start_us, terms.allotments)
        assert lasts_us == seconds(row["lasts"]) * SECOND_US
    if "length" in row:
        call = charge(rate, terms.tariff, seconds(row["length"]) * SECOND_US, start_us, terms.allotments)
        assert call.total == parse_amount(row["charge"], EUR)
        found = {"billable": call.billable_s, "from bundle": sum(call.taken)}
        assert {name: seconds(row[name]) for name in found if name in row} == {
            name: value for name, value in found.items() if name in row
        }
        if "tax" in row:
            assert call.tax == parse_amount(row["tax"], EUR)


def check_mark_up(row: dict[str, str]) -> None:
    mark_up = MarkUp(
        int(row["percent"].removesuffix(" %")) * 10_000, price(row["absolute"]), price(row["to"])
    )
    rate = Rate(1, "49", "Germany", price(row["price above"]))
    assert marked_up(rate, mark_up, ABOVE).price_per_min == price(row["price"])


def check_exchange(row: dict[str, str]) -> None:
    worth = parse_decimal(row["rate"].split()[3]).scaleb(EXCHANGE_SCALE)
    rate = ExchangeRate(1, "EUR", "USD", int(worth), 0)
    usd = Unit("USD", 5)
    taken = to_wallet(parse_amount(row["owed"].removesuffix(" EUR"), EUR), rate, EUR, usd)
    assert taken == parse_amount(row["taken"].removesuffix(" USD"), usd)


CALL_COLUMNS = {
    "increments",
    "length",
    "billable",
    "charge",
    "tax",
    "answered",
    "band",
    "funds",
    "lasts",
    "from bundle",
}
EXAMPLES = list(examples())


def test_the_page_has_examples_of_everything() -> None:
    shown = {column for _, row in EXAMPLES for column in row}
    assert shown == CALL_COLUMNS | NOT_COMPUTED | {
        "price above",
        "percent",
        "absolute",
        "to",
        "price",
        "owed",
        "rate",
        "taken",
    }
    assert len(EXAMPLES) > 50


@pytest.mark.parametrize("terms, row", EXAMPLES, ids=[" ".join(row.values()) for _, row in EXAMPLES])
def test_an_example_is_right(terms: Terms, row: dict[str, str]) -> None:
    if "price above" in row:
        check_mark_up(row)
    elif "owed" in row:
        check_exchange(row)
    else:
        assert {"charge", "lasts", "band"} & row.keys()
        check_call(terms, row)
