"""Writes and reads exchange rates: one unit in another from a moment on, never changed afterwards."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused
from pbxbill.money import Unit, parse_amount
from pbxbill.rating.exchange import EXCHANGE_SCALE, ExchangeRate, ExchangeTable, wallet_order
from pbxbill.rating.exchange_sheet import ExchangeSheet, RefusedCells
from pbxbill.store.accounts import bump_catalogue, unit_of
from pbxbill.store.catalogue_models import ExchangeRateRow
from pbxbill.store.models import AccountRow, TariffVersionRow, UnitRow

EXCHANGE_COLUMNS = "id, from_unit, to_unit, rate, effective_from_us"
"""As ExchangeRate has them, for those who read the table by statement."""

_RATE = Unit("", EXCHANGE_SCALE)


class NewExchangeRate(NamedTuple):
    """An exchange rate to be written."""

    from_unit: str
    to_unit: str
    rate: int
    """In EXCHANGE_SCALE digits."""
    effective_from_us: int


class ExchangeWriter:
    """Checks new rates against those that there are, and writes them in one transaction."""

    def __init__(self, session: Session, source: str, now_us: int) -> None:
        self._session = session
        self._source = source[:200]
        self._now_us = now_us
        self._units = set(session.scalars(select(UnitRow.code)))
        self._known: dict[tuple[str, str], set[int]] = {}
        self.written = 0

    def check(self, new: NewExchangeRate) -> None:
        """InputRefused if a unit is unknown, or the moment has a rate already or by one checked before."""
        for code in (new.from_unit, new.to_unit):
            if code not in self._units:
                unit_of(self._session, code)  # says which there are
        if new.from_unit == new.to_unit:
            raise InputRefused(f"{new.from_unit} in itself needs no rate")
        taken = self._moments(new.from_unit, new.to_unit)
        if new.effective_from_us in taken:
            raise InputRefused(
                f"{new.from_unit} in {new.to_unit} has a rate from this moment already, which charges may "
                "have used; set the new one from a later moment"
            )
        taken.add(new.effective_from_us)

    def add(self, new: NewExchangeRate) -> None:
        """Write a rate; InputRefused as check() says."""
        self.check(new)
        self._session.add(
            ExchangeRateRow(**new._asdict(), source=self._source, created_us=self._now_us),
        )
        self.written += 1

    def finish(self) -> None:
        """Let the engines know."""
        self._session.flush()
        if self.written:
            bump_catalogue(self._session)

    def _moments(self, from_unit: str, to_unit: str) -> set[int]:
        pair = (from_unit, to_unit)
        if pair not in self._known:
            query = select(ExchangeRateRow.effective_from_us).where(
                ExchangeRateRow.from_unit == from_unit, ExchangeRateRow.to_unit == to_unit
            )
            self._known[pair] = set(self._session.scalars(query))
        return self._known[pair]


class SheetRead(NamedTuple):
    """What a sheet of exchange rates comes to."""

    rates: list[NewExchangeRate]
    refused: list[RefusedCells]


def read_rates(writer: ExchangeWriter, sheet: ExchangeSheet, default_us: int, *, write: bool) -> SheetRead:
    """Read a sheet; write its rates, or see only which could be. default_us: for rows that say no date."""
    found = SheetRead([], [])
    for row in sheet.rows():
        if isinstance(row, RefusedCells):
            found.refused.append(row)
            continue
        from_us = default_us if row.effective_from_us is None else row.effective_from_us
        try:
            new = NewExchangeRate(row.from_unit, row.to_unit, parse_exchange_rate(row.rate), from_us)
            if write:
                writer.add(new)
            else:
                writer.check(new)
        except InputRefused as refusal:
            found.refused.append(sheet.refused(row, str(refusal)))
        else:
            found.rates.append(new)
    if write:
        writer.finish()
    return found


def parse_exchange_rate(text: str) -> int:
    """A rate that a person wrote, in EXCHANGE_SCALE digits; InputRefused if it is none or too fine."""
    try:
        rate = parse_amount(text, _RATE)
    except InputRefused as refusal:
        raise InputRefused(f"{refusal}; the rate of the other direction serves as well") from None
    if rate <= 0:
        raise InputRefused(f"{text[:40]!r}: an exchange rate is above zero")
    return rate


def exchange_rates(session: Session, codes: Iterable[str] = ()) -> list[ExchangeRateRow]:
    """Rates of these units, or of all, by pair, the newest first."""
    query = select(ExchangeRateRow).order_by(
        ExchangeRateRow.from_unit, ExchangeRateRow.to_unit, ExchangeRateRow.effective_from_us.desc()
    )
    for code in codes:
        query = query.where((ExchangeRateRow.from_unit == code) | (ExchangeRateRow.to_unit == code))
    return list(session.scalars(query))


def exchange_table(session: Session) -> ExchangeTable:
    """All rates, to convert by."""
    return ExchangeTable(
        ExchangeRate(row.id, row.from_unit, row.to_unit, row.rate, row.effective_from_us)
        for row in session.scalars(select(ExchangeRateRow))
    )


def pairs_without_rate(session: Session, account: AccountRow, now_us: int) -> list[tuple[str, str]]:
    """(tariff's unit, wallet's unit) of wallets in an account's order that no exchange rate lets pay."""
    if account.wallet_order is None or account.tariff_id is None:
        return []
    query = select(TariffVersionRow.unit).where(TariffVersionRow.tariff_id == account.tariff_id)
    unit = session.scalar(query.order_by(TariffVersionRow.number.desc()).limit(1))
    if unit is None:
        return []
    table = exchange_table(session)
    others = [code for code in wallet_order(account.wallet_order, unit) if code != unit]
    return [(unit, code) for code in others if table.find(unit, code, now_us) is None]
