"""What a call would cost by a tariff as it stands, without any account: one look into its deck.

Nothing is compiled and nothing is kept, so that a deck of a million rates answers at once.
"""

from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.money import Rounding
from pbxbill.rating.calendar_text import calendar_from_json
from pbxbill.rating.destination import to_e164
from pbxbill.rating.mark_up import marked_up
from pbxbill.rating.rate_terms import terms_from_json
from pbxbill.rating.rater import Charge, charge
from pbxbill.rating.tariff import SECONDS_PER_PRICE, Rate, Tariff, TaxMode
from pbxbill.rating.tariff_terms import cycle_steps_from_json, mark_up_from_json
from pbxbill.store.accounts import unit_of
from pbxbill.store.catalogue_models import BandCalendarRow
from pbxbill.store.deck_lookup import version_in_force
from pbxbill.store.models import AccountRow, DeckVersionRow, RateDeckRow, RateRow, TariffRow, TariffVersionRow

_SEPARATORS = str.maketrans("", "", " -./()")
"""What people write between digits."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a call would cost."""

    called: str
    rate: Rate
    """With every mark-up on it."""
    deck: str
    deck_version: int
    tariff: Tariff
    charge: Charge


def newest_version_of(session: Session, tariff_id: int) -> TariffVersionRow:
    """The terms of a tariff that count for new calls."""
    return session.scalars(
        select(TariffVersionRow)
        .where(TariffVersionRow.tariff_id == tariff_id)
        .order_by(TariffVersionRow.number.desc())
        .limit(1)
    ).one()


def try_tariff(session: Session, tariff: TariffRow, dialled: str, duration_s: int, at_us: int) -> Trial:
    """A call to a number by a tariff; InputRefused says why there is no price."""
    called = to_e164(dialled.translate(_SEPARATORS), None)
    if called is None:
        raise InputRefused(f"{dialled[:40]!r} is no number that can be called")
    rate, terms, version, deck = _rate(session, tariff, called, at_us)
    if terms.measure != "seconds":
        raise InputRefused(f"this tariff has prices for {terms.measure}, not for calls")
    found = charge(rate, terms, duration_s * SECOND_US, at_us)
    return Trial(called, rate, deck, version.number, terms, found)


def _rate(
    session: Session, tariff: TariffRow, called: str, at_us: int
) -> tuple[Rate, Tariff, DeckVersionRow, str]:
    row = newest_version_of(session, tariff.id)
    terms = _tariff(session, tariff, row)
    if row.deck_id is None:
        above = _charged_by(session, tariff)
        rate, upper, version, deck = _rate(session, above, called, at_us)
        mark_up = terms.mark_up
        if mark_up is None or upper.unit != terms.unit:
            raise InputRefused("a mark-up needs prices above it in the same unit")
        return marked_up(rate, mark_up, upper), terms, version, deck
    deck_row = session.get_one(RateDeckRow, row.deck_id)
    in_force = version_in_force(session, row.deck_id, at_us)
    if in_force is None:
        raise InputRefused(f"no version of {deck_row.name!r} counts at that time")
    found = rate_of(session, in_force.id, called, at_us)
    if found is None:
        raise InputRefused(f"version {in_force.number} of {deck_row.name!r} has no rate for {called}")
    return found, terms, in_force, deck_row.name


def rate_of(session: Session, deck_version_id: int, called: str, at_us: int) -> Rate | None:
    """The rate of a deck version for a number: that of the longest prefix in force."""
    prefixes = [called[:length] for length in range(len(called) + 1)]
    rows = session.scalars(
        select(RateRow).where(
            RateRow.deck_version_id == deck_version_id,
            RateRow.prefix.in_(prefixes),
            or_(RateRow.effective_from_us.is_(None), RateRow.effective_from_us <= at_us),
            or_(RateRow.effective_to_us.is_(None), RateRow.effective_to_us > at_us),
        )
    ).all()
    if not rows:
        return None
    row = max(rows, key=lambda x: len(x.prefix))
    return Rate(
        row.id,
        row.prefix,
        row.destination,
        row.price_per_min,
        row.connection_fee,
        row.minimum_charge,
        row.initial_increment_s,
        row.following_increment_s,
        row.free_s,
        row.effective_from_us,
        row.effective_to_us,
        terms_from_json(row.terms),
    )


def _charged_by(session: Session, tariff: TariffRow) -> TariffRow:
    issuer = session.get_one(AccountRow, tariff.issuer_id)
    if issuer.tariff_id is None:
        raise InputRefused(
            f"tariff {tariff.name!r} is a mark-up on what {issuer.name} is charged, who has no tariff: "
            "what it comes to depends on whose accounts have it"
        )
    return session.get_one(TariffRow, issuer.tariff_id)


def _tariff(session: Session, tariff: TariffRow, row: TariffVersionRow) -> Tariff:
    deck = None if row.deck_id is None else session.get_one(RateDeckRow, row.deck_id)
    calendar = None if row.calendar_id is None else session.get_one(BandCalendarRow, row.calendar_id)
    return Tariff(
        version_id=row.id,
        name=tariff.name,
        deck_id=row.deck_id or 0,
        unit=unit_of(session, row.unit),
        tax_mode=TaxMode(row.tax_mode),
        tax_ppm=row.tax_ppm,
        rounding=Rounding(row.rounding),
        rounding_step=row.rounding_step,
        slice_s=row.slice_s,
        renew_before_s=row.renew_before_s,
        max_call_s=row.max_call_s,
        calendar=None if calendar is None else calendar_from_json(calendar.definition, calendar.id),
        measure="seconds" if deck is None else deck.measure,
        per=SECONDS_PER_PRICE if deck is None else deck.per,
        mark_up=None if row.mark_up is None else mark_up_from_json(row.mark_up),
        cycle_steps=None if row.cycle_steps is None else cycle_steps_from_json(row.cycle_steps),
        tariff_id=tariff.id,
    )
