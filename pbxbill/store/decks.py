"""Writes rate decks and tariffs: immutable versions, in force from their date."""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import islice

from sqlalchemy import Engine, delete, func, insert, select, update
from sqlalchemy.orm import Session

from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import InputRefused
from pbxbill.rating.rate_terms import terms_to_json
from pbxbill.rating.tariff import SECONDS_PER_PRICE, Rate, RateTerms
from pbxbill.store.accounts import bump_catalogue, issuer_or_operator, unit_of
from pbxbill.store.calendars import BandUse
from pbxbill.store.deck_lookup import find_deck, newest_number
from pbxbill.store.engine import transaction
from pbxbill.store.models import DeckVersionRow, RateDeckRow, RateRow, TariffVersionRow
from pbxbill.store.tariffs import check_bands_of_tariffs

ROWS_PER_STATEMENT = 2_000
PAUSE_S = 0.01
"""Between two transactions of an import: SQLite hands its one write lock to whoever asks first, and an
importer that asks again at once would keep calls waiting."""

ABANDONED_US = 300 * SECOND_US
"""An import stamps its version with every chunk; one that has not for so long was killed."""
ROWS_PER_DELETE = 5_000

MEASURES = ("seconds", "messages", "bytes", "items")
MAX_BANDS_LENGTH = 400


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
    terms: RateTerms | None = None

    @classmethod
    def of(cls, rate: Rate) -> "NewRate":
        """A rate of a deck, to be written to another version."""
        return cls(*rate[1:])


@dataclass(frozen=True, slots=True)
class NewDeckVersion:
    """A version to be written; the deck is made if it is new."""

    deck: str
    unit: str
    source: str = ""
    effective_from_us: int | None = None
    """None: from the moment at which all of it is written."""
    measure: str | None = None
    """What the deck's prices are for, see rating.tariff.Tariff.per; None: as the deck is, seconds if new."""
    per: int | None = None
    follows: int | None = None
    """Number of the newest version that it was made from, 0 for none; another one there refuses it."""
    issuer_id: int | None = None
    """Whose deck; None: the operator's."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.deck) <= 64 or not self.deck.isprintable():
            raise InputRefused("the name of a deck has 1 to 64 characters")
        if self.measure is not None and self.measure not in MEASURES:
            raise InputRefused(f"a deck measures {', '.join(MEASURES)}, not {self.measure[:20]!r}")
        if self.per is not None and not 1 <= self.per <= 10**12:
            raise InputRefused("a price is for 1 to 10^12 pieces")


class _Content:
    """What the rates of a version have among them, noted as they are written."""

    def __init__(self) -> None:
        self.count = 0
        self.use = BandUse()

    def noted(self, rates: list[NewRate]) -> list[NewRate]:
        self.count += len(rates)
        self.use.note(rate.terms for rate in rates)
        return rates

    def put_into(self, version: DeckVersionRow) -> None:
        if not self.count:
            raise InputRefused("the rate deck holds no usable row")
        bands = ",".join(sorted(self.use.bands))
        if len(bands) > MAX_BANDS_LENGTH:
            raise InputRefused(f"the names of all bands have more than {MAX_BANDS_LENGTH} characters")
        version.bands, version.banded_only = bands, bool(self.use.only)
        version.rate_count = self.count


def add_deck_version(  # noqa: PLR0913  # every part of a version is named by its caller
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
    version = _open_version(session, NewDeckVersion(deck_name, unit, source, effective_from_us), now_us)
    content = _Content()
    for chunk in _chunks(rates):
        session.execute(insert(RateRow), [_columns(rate, version.id) for rate in content.noted(chunk)])
    content.put_into(version)
    check_bands_of_tariffs(session, version.deck_id, content.use)
    bump_catalogue(session)
    return version


def import_deck_version(
    database: Engine,
    new: NewDeckVersion,
    rates: Iterable[NewRate],
    clock: Clock,
    progress: Callable[[int], None] = lambda count: None,
) -> DeckVersionRow:
    """The same in many short transactions, so that calls are charged meanwhile: SQLite has one write lock.

    The version counts, all of it at once, when its rate count is set; until then nobody reads it. Whatever
    stops the import before, an interrupt included, takes it away again; what a killed one left behind is
    taken away by the next.
    """
    stamp_us = clock.now_us()
    _discard_abandoned(database, stamp_us)
    with transaction(database) as session:
        version_id = _open_version(session, new, stamp_us).id
    content = _Content()
    try:
        for chunk in _chunks(rates):
            rows = [_columns(rate, version_id) for rate in content.noted(chunk)]
            with transaction(database) as session:
                stamp_us = _stamped(session, version_id, stamp_us, clock.now_us())
                session.execute(insert(RateRow), rows)
            progress(len(rows))
            threading.Event().wait(PAUSE_S)
        with transaction(database) as session:
            stamp_us = _stamped(session, version_id, stamp_us, clock.now_us())
            version = session.get_one(DeckVersionRow, version_id)
            if new.follows not in (None, newest_number(session, version.deck_id)):
                raise InputRefused(
                    f"deck {new.deck!r} got another version meanwhile; look at the changes against that one"
                )
            content.put_into(version)
            check_bands_of_tariffs(session, version.deck_id, content.use)
            if new.effective_from_us is None:
                version.effective_from_us = stamp_us
            bump_catalogue(session)
    except BaseException:
        # Also where the database itself failed: if it is still away, the next import clears up.
        _discard(database, version_id)
        raise
    return version


def _stamped(session: Session, version_id: int, before_us: int, now_us: int) -> int:
    # An import that slept for long may have been taken for a killed one, and its id given to another.
    now_us = max(now_us, before_us + 1)
    mine = (
        DeckVersionRow.id == version_id,
        DeckVersionRow.created_us == before_us,
        DeckVersionRow.rate_count == 0,
    )
    stamped = session.scalar(
        update(DeckVersionRow).where(*mine).values(created_us=now_us).returning(DeckVersionRow.id)
    )
    if stamped is None:
        raise InputRefused("this import stood still for so long that it was cleared away; start it again")
    return now_us


def _discard_abandoned(database: Engine, now_us: int) -> None:
    with transaction(database) as session:
        abandoned = session.scalars(
            select(DeckVersionRow.id).where(
                DeckVersionRow.rate_count == 0, DeckVersionRow.created_us < now_us - ABANDONED_US
            )
        ).all()
    for version_id in abandoned:
        _discard(database, version_id)


def _discard(database: Engine, version_id: int) -> None:
    some = select(RateRow.id).where(RateRow.deck_version_id == version_id).limit(ROWS_PER_DELETE)
    while True:
        with transaction(database) as session:
            version = session.get(DeckVersionRow, version_id)
            if version is None or version.rate_count:
                return
            gone = session.execute(delete(RateRow).where(RateRow.id.in_(some)).returning(RateRow.id))
            if gone.first() is None:
                session.delete(version)
                session.flush()
                _drop_empty_deck(session, version.deck_id)
                return
        threading.Event().wait(PAUSE_S)


def _drop_empty_deck(session: Session, deck_id: int) -> None:
    # A deck that an import made goes with it, unless somebody named it meanwhile.
    used = select(DeckVersionRow.id).where(DeckVersionRow.deck_id == deck_id).limit(1)
    named = select(TariffVersionRow.id).where(TariffVersionRow.deck_id == deck_id).limit(1)
    if session.scalar(used) is None and session.scalar(named) is None:
        session.execute(delete(RateDeckRow).where(RateDeckRow.id == deck_id))


def _open_version(session: Session, new: NewDeckVersion, now_us: int) -> DeckVersionRow:
    unit_of(session, new.unit)
    deck = find_deck(session, new.deck, new.issuer_id)
    if deck is None:
        deck = RateDeckRow(
            issuer_id=issuer_or_operator(session, new.issuer_id),
            name=new.deck,
            unit=new.unit,
            measure=new.measure or "seconds",
            per=new.per or (SECONDS_PER_PRICE if new.measure in (None, "seconds") else 1),
        )
        session.add(deck)
        session.flush()
    elif deck.unit != new.unit:
        raise InputRefused(f"deck {new.deck!r} is in {deck.unit}; a version in {new.unit} cannot be added")
    elif new.measure not in (None, deck.measure) or new.per not in (None, deck.per):
        raise InputRefused(
            f"deck {new.deck!r} has prices per {deck.per} {deck.measure}, which cannot be changed; "
            "make another deck"
        )
    newest = select(func.max(DeckVersionRow.number)).where(DeckVersionRow.deck_id == deck.id)
    version = DeckVersionRow(
        deck_id=deck.id,
        number=(session.scalar(newest) or 0) + 1,
        effective_from_us=now_us if new.effective_from_us is None else new.effective_from_us,
        created_us=now_us,
        source=new.source[:200],
        rate_count=0,
    )
    session.add(version)
    session.flush()
    return version


def _chunks(rates: Iterable[NewRate]) -> Iterator[list[NewRate]]:
    remaining = iter(rates)
    while chunk := list(islice(remaining, ROWS_PER_STATEMENT)):
        yield chunk


_PLAIN_COLUMNS = tuple(f.name for f in fields(NewRate) if f.name != "terms")


def _columns(rate: NewRate, version_id: int) -> dict[str, object]:
    columns: dict[str, object] = {name: getattr(rate, name) for name in _PLAIN_COLUMNS}
    columns["terms"] = terms_to_json(rate.terms)
    columns["deck_version_id"] = version_id
    return columns
