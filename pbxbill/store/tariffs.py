"""Writes tariffs, immutable version by version, and sees to it that their calendars fit their decks."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused, TermRefused
from pbxbill.money import Rounding
from pbxbill.rating.rate_terms import terms_from_json
from pbxbill.rating.tariff import PPM, CycleSteps, MarkUp, TaxMode
from pbxbill.rating.tariff_terms import (
    cycle_steps_from_json,
    cycle_steps_to_json,
    mark_up_from_json,
    mark_up_to_json,
)
from pbxbill.store.accounts import bump_catalogue, issuer_or_operator, unit_of
from pbxbill.store.calendars import BandUse, calendar_by_name, check_bands
from pbxbill.store.catalogue_models import BandCalendarRow
from pbxbill.store.deck_lookup import deck_by_name, version_in_force
from pbxbill.store.models import DeckVersionRow, RateDeckRow, RateRow, TariffRow, TariffVersionRow
from pbxbill.store.points_units import refuse_points


@dataclass(frozen=True, slots=True)
class NewTariff:
    """Terms of a tariff version; see rating.tariff.Tariff."""

    name: str
    deck: str | None
    """None: its prices are a mark-up on those of the account above."""
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
    calendar: str | None = None
    """Name of the calendar whose bands its rates know."""
    mark_up: MarkUp | None = None
    refuse_loss: bool = False
    cycle_steps: CycleSteps | None = None
    unit: str | None = None
    """Of a tariff without a deck; a deck has its own."""
    issuer_id: int | None = None
    """Whose tariff, and deck; None: the operator's."""

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
        if self.deck is not None and self.mark_up is not None:
            raise InputRefused("a tariff has a deck or a mark-up on the prices above it, not both")
        if self.deck is None and self.mark_up is None:
            raise InputRefused("a tariff needs a deck, or a mark-up on the prices above it")
        if self.deck is None and self.unit is None:
            raise InputRefused("a tariff without a deck needs a unit")


def add_tariff_version(session: Session, new: NewTariff, now_us: int) -> TariffVersionRow:
    """Write a tariff's terms as its newest version; running calls keep the version they began with."""
    if new.tax_mode is not TaxMode.NONE and not new.tax_ppm:
        # Not a fault of NewTariff: versions that were written so before are read as they are.
        how = "added to the prices" if new.tax_mode is TaxMode.EXCLUSIVE else "included in the prices"
        raise TermRefused(f"a tax {how} needs its percent; without tax its mode is none", "tax")
    deck = deck_by_name(session, new.deck, new.issuer_id) if new.deck is not None else None
    unit = unit_of(session, str(new.unit)).code if deck is None else deck.unit
    if new.unit not in (None, unit):
        raise InputRefused(f"deck {new.deck!r} is in {unit}, not in {new.unit}")
    refuse_points(session, unit)
    calendar = None if new.calendar is None else calendar_by_name(session, new.calendar)
    if deck is not None:
        _check_deck(session, new, deck, calendar, now_us)
    owner_id = issuer_or_operator(session, new.issuer_id)
    tariff = session.scalar(
        select(TariffRow).where(TariffRow.issuer_id == owner_id, TariffRow.name == new.name)
    )
    if tariff is None:
        tariff = TariffRow(issuer_id=owner_id, name=_checked_name(new.name))
        session.add(tariff)
        session.flush()
    newest = select(func.max(TariffVersionRow.number)).where(TariffVersionRow.tariff_id == tariff.id)
    version = TariffVersionRow(
        tariff_id=tariff.id,
        number=(session.scalar(newest) or 0) + 1,
        deck_id=None if deck is None else deck.id,
        unit=unit,
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
        calendar_id=None if calendar is None else calendar.id,
        mark_up=None if new.mark_up is None else mark_up_to_json(new.mark_up),
        refuse_loss=new.refuse_loss,
        cycle_steps=None if new.cycle_steps is None else cycle_steps_to_json(new.cycle_steps),
        created_us=now_us,
    )
    session.add(version)
    session.flush()
    bump_catalogue(session)
    return version


def _checked_name(name: str) -> str:
    if not (name.isprintable() and 0 < len(name) <= 64):
        raise InputRefused("a tariff's name has 1 to 64 printable characters")
    return name


def newest_terms(session: Session, tariff: TariffRow) -> NewTariff:
    """The terms of a tariff's newest version."""
    row, deck, calendar = session.execute(
        select(TariffVersionRow, RateDeckRow.name, BandCalendarRow.name)
        .outerjoin(RateDeckRow, RateDeckRow.id == TariffVersionRow.deck_id)
        .outerjoin(BandCalendarRow, BandCalendarRow.id == TariffVersionRow.calendar_id)
        .where(TariffVersionRow.tariff_id == tariff.id)
        .order_by(TariffVersionRow.number.desc())
        .limit(1)
    ).one()
    return NewTariff(
        name=tariff.name,
        issuer_id=tariff.issuer_id,
        deck=deck,
        tax_mode=TaxMode(row.tax_mode),
        tax_ppm=row.tax_ppm,
        rounding=Rounding(row.rounding),
        rounding_step=row.rounding_step,
        slice_s=row.slice_s,
        renew_before_s=row.renew_before_s,
        max_call_s=row.max_call_s,
        announce_balance=row.announce_balance,
        announce_minutes=row.announce_minutes,
        announce_warning=row.announce_warning,
        announce_denial=row.announce_denial,
        calendar=calendar,
        mark_up=None if row.mark_up is None else mark_up_from_json(row.mark_up),
        refuse_loss=row.refuse_loss,
        cycle_steps=None if row.cycle_steps is None else cycle_steps_from_json(row.cycle_steps),
        unit=row.unit if row.deck_id is None else None,
    )


def _check_deck(
    session: Session, new: NewTariff, deck: RateDeckRow, calendar: BandCalendarRow | None, now_us: int
) -> None:
    # The version in force, and those that will be.
    in_force = version_in_force(session, deck.id, now_us)
    since_us = now_us if in_force is None else in_force.effective_from_us
    versions = session.scalars(
        select(DeckVersionRow).where(
            DeckVersionRow.deck_id == deck.id,
            DeckVersionRow.rate_count > 0,
            DeckVersionRow.effective_from_us >= since_us,
        )
    )
    for version in versions:
        if version.bands:
            where = f"tariff {new.name!r}: version {version.number} of deck {deck.name!r}"
            check_bands(where, calendar, _band_use(session, version))


def _band_use(session: Session, version: DeckVersionRow) -> BandUse:
    use = BandUse()
    use.bands.update(version.bands.split(","))
    if version.banded_only:
        banded = select(RateRow.terms).where(
            RateRow.deck_version_id == version.id, RateRow.terms.is_not(None)
        )
        rows = session.scalars(banded.execution_options(yield_per=10_000))
        use.note(terms_from_json(text) for text in rows)
    return use


def check_bands_of_tariffs(session: Session, deck_id: int, use: BandUse) -> None:
    """InputRefused if a tariff on this deck could not tell which of these bands a call falls into."""
    if not use.bands:
        return
    newest = (
        select(TariffVersionRow.tariff_id, func.max(TariffVersionRow.number).label("number"))
        .group_by(TariffVersionRow.tariff_id)
        .subquery()
    )
    rows = session.execute(
        select(TariffRow.name, TariffVersionRow.calendar_id)
        .join(TariffVersionRow, TariffVersionRow.tariff_id == TariffRow.id)
        .join(
            newest,
            (newest.c.tariff_id == TariffVersionRow.tariff_id) & (newest.c.number == TariffVersionRow.number),
        )
        .where(TariffVersionRow.deck_id == deck_id)
        .order_by(TariffRow.name)
    )
    for name, calendar_id in rows:
        calendar = None if calendar_id is None else session.get(BandCalendarRow, calendar_id)
        check_bands(f"tariff {name!r}", calendar, use)
