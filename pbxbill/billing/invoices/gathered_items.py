"""What is a line of its own on an invoice: charges, readings of meters, adjustments by hand."""

import json
import tomllib
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy.orm import Session

from pbxbill.billing.charge import ONE, ChargeKind
from pbxbill.billing.invoices.line_words import ENGLISH, Facts
from pbxbill.billing.taxes.tax import PPM
from pbxbill.money import half_up
from pbxbill.store.driver import Driver, row_lock, rows_within

if TYPE_CHECKING:
    from pbxbill.billing.invoices.gathering import Head


_COLUMNS = (
    "c.id, c.entry_id, c.kind, c.description, c.product_class, c.quantity, c.unit_price, c.net, c.tax, "
    "c.at_us, c.from_us, c.to_us, c.explanation, c.gives_back"
)
_OF_ENTRIES = f"SELECT {_COLUMNS} FROM {{each_of}}charges c WHERE c.entry_id {{is_each_text}}"  # noqa: S608
_ASKED = (
    "FROM charges c WHERE c.account_id = :account_id AND c.unit = :unit "
    "AND c.at_us <= :to_us AND c.collection = 'invoice' AND c.invoice_id IS NULL"
)
_TO_ASK_FOR = f"SELECT {_COLUMNS} {_ASKED} ORDER BY c.at_us, c.id"
_LOCKED = f"SELECT c.id {_ASKED} ORDER BY c.id"
_READINGS = (
    "SELECT r.meter_id, r.at_us, r.consumed, r.explanation, m.code, m.measure FROM meter_readings r "
    "JOIN meters m ON m.id = r.meter_id WHERE r.meter_id {any_int} AND r.at_us {any_int}"
)
_METER_TARIFFS = "SELECT name, number, terms FROM meter_tariffs WHERE name {any_text}"


class GatheredCharge(NamedTuple):
    """A row of `charges`; with an entry it was taken from the wallet."""

    id: int
    entry_id: str | None
    kind: str
    description: str
    product_class: str
    quantity: int
    unit_price: int
    net: int
    tax: int
    at_us: int
    from_us: int | None
    to_us: int | None
    explanation: str = ""
    gives_back: str = ""


class GatheredItem(NamedTuple):
    """Something else that the wallet gave for."""

    entry_id: str
    kind: ChargeKind
    description: str
    quantity: int
    measure: str
    gross: int
    tax: int
    ppm: int | None
    """Of the tax that was taken; None: none was."""
    untaxed: bool
    """It falls under no tax at all."""
    at_us: int
    from_us: int | None = None
    told: Facts | None = None
    """What it is about; None: somebody wrote the description."""

    @classmethod
    def adjustment(cls, head: "Head") -> "GatheredItem":
        """Money taken by hand: no supply, so no tax."""
        facts: Facts | None = None if head.memo else {"of": "adjustment"}
        return cls(
            head.entry_id,
            ChargeKind.ADJUSTMENT,
            head.memo if facts is None else ENGLISH.description(facts),
            ONE,
            "items",
            head.gross,
            0,
            None,
            True,
            head.at_us,
            told=facts,
        )

    @classmethod
    def of(cls, head: "Head") -> "GatheredItem":
        """A charge of which only the entry tells."""
        net = head.gross - head.tax
        ppm = half_up(head.tax * PPM, net, 100) if head.tax and net > 0 else None
        facts: Facts | None = None if head.memo else {"of": "unnamed"}
        return cls(
            head.entry_id,
            ChargeKind.ONE_TIME,
            head.memo if facts is None else ENGLISH.description(facts),
            ONE,
            "items",
            head.gross,
            head.tax,
            ppm,
            False,
            head.at_us,
            told=facts,
        )


def charges_to_ask_for(session: Session, account_id: int, unit: str, to_us: int) -> list[GatheredCharge]:
    """Charges that the next invoice collects."""
    values = {"account_id": account_id, "unit": unit, "to_us": to_us}
    return [GatheredCharge(*row) for row in rows_within(session, _TO_ASK_FOR, values)]


def lock_charges_to_ask_for(session: Session, account_id: int, unit: str, to_us: int) -> None:
    """Whoever withdraws one of them now is waited for, and nobody does until the transaction ends."""
    lock = row_lock(session)
    if lock:
        values = {"account_id": account_id, "unit": unit, "to_us": to_us}
        rows_within(session, _LOCKED + lock, values)


def charges_of_entries(driver: Driver, heads: Sequence["Head"]) -> tuple[list[GatheredCharge], list["Head"]]:
    """The charges that entries took, and entries of which no charge knows."""
    if not heads:
        return [], []
    rows = driver.select(_OF_ENTRIES, [head.entry_id for head in heads])
    found = {row[1]: GatheredCharge(*row) for row in rows}
    return list(found.values()), [head for head in heads if head.entry_id not in found]


def readings_of(driver: Driver, heads: Sequence["Head"]) -> tuple[list[GatheredItem], list["Head"]]:
    """A line for each reading, and the entries that are something else."""
    places = {
        (int(parts[1]), int(parts[2])): head
        for head in heads
        if (parts := head.key.split(":"))[0] == "reading" and len(parts) == 3
    }
    if not places:
        return [], list(heads)
    meters, moments = {place[0] for place in places}, {place[1] for place in places}
    rows = driver.select(_READINGS, sorted(meters), sorted(moments))
    told = {row[:2]: (*row[2:3], json.loads(row[3]), *row[4:]) for row in rows if row[:2] in places}
    taxed = {told[place][1]["tariff"] for place, head in places.items() if head.tax and place in told}
    rates = _meter_tax(driver, taxed)
    items = []
    for place in sorted(told):
        consumed, how, code, measure = told[place]
        head = places[place]
        # A tariff's tax may come to nothing on one reading: then nothing was taken, and nothing is said.
        ppm = rates.get((how["tariff"], how["version"])) if head.tax else None
        facts: Facts = {"of": "reading", "meter": code, "consumed": consumed, "measure": measure}
        items.append(
            GatheredItem(
                head.entry_id,
                ChargeKind.READING,
                ENGLISH.description(facts),
                consumed,
                measure[:12],
                head.gross,
                head.tax,
                ppm,
                False,
                head.at_us,
                how["from_us"],
                facts,
            )
        )
    known = {places[place].entry_id for place in told}
    return items, [head for head in heads if head.entry_id not in known]


def _meter_tax(driver: Driver, names: set[str]) -> dict[tuple[str, int], int]:
    if not names:
        return {}
    return {
        (name, number): int(
            Decimal(str(tomllib.loads(terms, parse_float=Decimal).get("tax", 0))) * (PPM // 100)
        )
        for name, number, terms in driver.select(_METER_TARIFFS, sorted(names))
    }
