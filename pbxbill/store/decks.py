"""Writes rate decks and tariffs: immutable versions, in force from their date."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Engine, delete, func, insert, select
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused
from pbxbill.money import Rounding
from pbxbill.rating.tariff import PPM, TaxMode
from pbxbill.store.accounts import bump_catalogue, unit_of
from pbxbill.store.engine import transaction
from pbxbill.store.models import DeckVersionRow, RateDeckRow, RateRow, TariffRow, TariffVersionRow

ROWS_PER_STATEMENT = 500
PAUSE_S = 0.01
"""Between two transactions of an import: SQLite hands its one write lock to whoever asks first, and an
importer that asks again at once would keep calls waiting."""


@dataclass(frozen=True, slots=True)
class NewRate:
    """A rate row to be written; prices have money.PRICE_SCALE digits."""

    prefix: str
    destination: str
    price_per_min: int
    connection_fee: int = 0
    minimum_charge: int = 0
    initial_increment_s: int = 1
    following_increment_s: int = 1
    free_s: int = 0
    effective_from_us: int | None = None
    effective_to_us: int | None = None


@dataclass(frozen=True, slots=True)
class NewTariff:
    """Terms of a tariff version; see rating.tariff.Tariff."""

    name: str
    deck: str
    tax_mode: TaxMode = TaxMode.NONE
    tax_ppm: int = 0
    rounding: Rounding = Rounding.HALF_UP
    rounding_step: int = 1
    slice_s: int = 60
    renew_before_s: int = 15
    max_call_s: int = 14_400
    announce_balance: bool = True
    announce_minutes: bool = True
    announce_warning: bool = True
    announce_denial: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.tax_ppm <= PPM:
            raise InputRefused("a tax rate lies between 0 and 100 percent")
        if not 1 <= self.rounding_step <= 10**9:
            raise InputRefused("a rounding step lies between 1 and 1,000,000,000 of the unit's steps")
        if not 2 <= self.slice_s <= 3600:
            raise InputRefused("a slice lasts 2 to 3600 seconds")
        if not 1 <= self.renew_before_s < self.slice_s:
            raise InputRefused("a slice must be renewed at least a second before its end, after its start")
        if not self.slice_s <= self.max_call_s <= 7 * 86_400:
            raise InputRefused("the longest call lasts at least a slice and at most seven days")


def deck_by_name(session: Session, name: str) -> RateDeckRow:
    """A deck; InputRefused if there is none of that name."""
    deck = session.scalar(select(RateDeckRow).where(RateDeckRow.name == name))
    if deck is None:
        raise InputRefused(f"no rate deck {name!r}; `pbxbill rates import` makes one")
    return deck


def add_deck_version(  # noqa: PLR0913 every part of a version is named by its caller
    session: Session,
    *,
    deck_name: str,
    unit: str,
    rates: Iterable[NewRate],
    effective_from_us: int,
    source: str,
    now_us: int,
) -> DeckVersionRow:
    """Write a deck version, all of it or nothing; the deck is made if it is new."""
    version = _open_version(session, deck_name, unit, effective_from_us, source, now_us)
    count = 0
    for chunk in _chunks(rates):
        session.execute(insert(RateRow), [_columns(rate, version.id) for rate in chunk])
        count += len(chunk)
    if not count:
        raise InputRefused("the rate deck holds no usable row")
    version.rate_count = count
    bump_catalogue(session)
    return version


def import_deck_version(  # noqa: PLR0913  # what a version is made of
    database: Engine,
    *,
    deck_name: str,
    unit: str,
    rates: Iterable[NewRate],
    effective_from_us: int,
    source: str,
    now_us: int,
) -> DeckVersionRow:
    """The same in many short transactions, so that calls are charged meanwhile: SQLite has one write lock.

    The version counts, all of it at once, when its rate count is set; until then nobody reads it.
    """
    with transaction(database) as session:
        version = _open_version(session, deck_name, unit, effective_from_us, source, now_us)
    count = 0
    try:
        for chunk in _chunks(rates):
            rows = [_columns(rate, version.id) for rate in chunk]
            with transaction(database) as session:
                session.execute(insert(RateRow), rows)
            count += len(chunk)
            threading.Event().wait(PAUSE_S)
        if not count:
            raise InputRefused("the rate deck holds no usable row")
        with transaction(database) as session:
            version = session.merge(version)
            version.rate_count = count
            bump_catalogue(session)
    except InputRefused:
        _discard(database, version.id)
        raise
    return version


def _discard(database: Engine, version_id: int) -> None:
    with transaction(database) as session:
        session.execute(delete(RateRow).where(RateRow.deck_version_id == version_id))
        session.execute(delete(DeckVersionRow).where(DeckVersionRow.id == version_id))


def _open_version(
    session: Session, deck_name: str, unit: str, effective_from_us: int, source: str, now_us: int
) -> DeckVersionRow:
    unit_of(session, unit)
    deck = session.scalar(select(RateDeckRow).where(RateDeckRow.name == deck_name))
    if deck is None:
        deck = RateDeckRow(name=deck_name, unit=unit)
        session.add(deck)
        session.flush()
    elif deck.unit != unit:
        raise InputRefused(f"deck {deck_name!r} is in {deck.unit}; a version in {unit} cannot be added")
    newest = select(func.max(DeckVersionRow.number)).where(DeckVersionRow.deck_id == deck.id)
    version = DeckVersionRow(
        deck_id=deck.id,
        number=(session.scalar(newest) or 0) + 1,
        effective_from_us=effective_from_us,
        created_us=now_us,
        source=source,
        rate_count=0,
    )
    session.add(version)
    session.flush()
    return version


def _chunks(rates: Iterable[NewRate]) -> Iterator[list[NewRate]]:
    remaining = iter(rates)
    while chunk := list(islice(remaining, ROWS_PER_STATEMENT)):
        yield chunk


def _columns(rate: NewRate, version_id: int) -> dict[str, object]:
    columns: dict[str, object] = {name: getattr(rate, name) for name in NewRate.__slots__}
    return columns | {"deck_version_id": version_id}


def add_tariff_version(session: Session, new: NewTariff, now_us: int) -> TariffVersionRow:
    """Write a tariff's terms as its newest version; running calls keep the version they began with."""
    deck = deck_by_name(session, new.deck)
    tariff = session.scalar(select(TariffRow).where(TariffRow.name == new.name))
    if tariff is None:
        tariff = TariffRow(name=new.name)
        session.add(tariff)
        session.flush()
    newest = select(func.max(TariffVersionRow.number)).where(TariffVersionRow.tariff_id == tariff.id)
    version = TariffVersionRow(
        tariff_id=tariff.id,
        number=(session.scalar(newest) or 0) + 1,
        deck_id=deck.id,
        unit=deck.unit,
        tax_mode=new.tax_mode,
        tax_ppm=new.tax_ppm,
        rounding=new.rounding,
        rounding_step=new.rounding_step,
        slice_s=new.slice_s,
        renew_before_s=new.renew_before_s,
        max_call_s=new.max_call_s,
        announce_balance=new.announce_balance,
        announce_minutes=new.announce_minutes,
        announce_warning=new.announce_warning,
        announce_denial=new.announce_denial,
        created_us=now_us,
    )
    session.add(version)
    session.flush()
    bump_catalogue(session)
    return version
