"""A price list becomes a version of a deck: read and compared first, written once somebody agreed.

setting = setting_of(database, wanted, now_us)
with RateStage() as stage:
    compare_sheet(database, wanted, setting, (stage, sheet, changes))
    check_allowed(database, wanted, changes)
    write_version(database, wanted, setting, stage, clock, progress)
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, select

from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import InputRefused
from pbxbill.money import PRICE_SCALE
from pbxbill.rating.deck_change import Finding, Plan
from pbxbill.rating.sheet import RateSheet
from pbxbill.rating.sheet_profile import Profile
from pbxbill.store.deck_changes import DeckChanges
from pbxbill.store.deck_lookup import deck_by_name, find_deck, newest_number, version_in_force
from pbxbill.store.decks import NewDeckVersion, NewRate, import_deck_version
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import DeckVersionRow
from pbxbill.store.rate_stage import RateStage
from pbxbill.store.tariffs import check_bands_of_tariffs

DAY_US = 86_400 * SECOND_US
USUAL_US = 5 * 365 * DAY_US + DAY_US
"""A row that begins further from now than five years most likely has a mistyped date."""
USUAL_MAX_PRICE = 100 * 10**PRICE_SCALE
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ImportWanted:
    """What somebody asks for."""

    deck: str
    source: str
    """Name of the file."""
    issuer_id: int | None = None
    """Whose deck; None: the operator's."""
    unit_code: str | None = None
    effective_us: int | None = None
    """When it begins to count; None: at once."""
    amend: bool = False
    """The sheet changes some rates; the deck's others stay."""
    against: str | None = None
    """A sales deck whose prices must not be below these."""
    notice_days: int | None = None
    """What becomes dearer sooner than this is refused."""
    delay_increases: bool = False
    """It begins when the notice is over instead."""
    max_price: int = USUAL_MAX_PRICE
    """Prices above are told."""
    measure: str | None = None
    per: int | None = None
    ended: tuple[str, ...] = ()
    """Of a deck that is amended: prefixes that lose their own rates."""
    profile: Profile = field(default_factory=Profile)


@dataclass(frozen=True, slots=True)
class ImportSetting:
    """What stands in the database when the import begins."""

    now_us: int
    unit: str
    follows: int
    """Number of the deck's newest version; 0: it has none."""
    old_version_id: int | None
    old_number: int | None
    later: tuple[int, int] | None
    """Number and date of a version that will replace the new one."""
    sales_version_id: int | None


def effective_moment(text: str, zone: str) -> int:
    """A date or moment as people write it."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InputRefused(f"{text[:40]!r} is no date; write 2026-01-31 or 2026-01-31T08:00:00Z") from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=ZoneInfo(zone))
    return (at - _EPOCH) // timedelta(microseconds=1)


def setting_of(database: Engine, wanted: ImportWanted, now_us: int) -> ImportSetting:
    """What the deck is now; InputRefused if it cannot take such a version."""
    effective_us = wanted.effective_us or now_us
    with transaction(reading(database)) as session:
        deck = find_deck(session, wanted.deck, wanted.issuer_id)
        unit = (wanted.unit_code or (deck.unit if deck else "EUR")).upper()
        if deck is not None and deck.unit != unit:
            raise InputRefused(f"deck {wanted.deck!r} is in {deck.unit}; a version in {unit} cannot be added")
        old = None if deck is None else version_in_force(session, deck.id, effective_us)
        if wanted.amend and old is None:
            raise InputRefused(f"deck {wanted.deck!r} has no version to amend yet; import it whole first")
        later = None
        if deck is not None:
            later = session.scalar(
                select(DeckVersionRow)
                .where(
                    DeckVersionRow.deck_id == deck.id,
                    DeckVersionRow.rate_count > 0,
                    DeckVersionRow.effective_from_us > effective_us,
                )
                .order_by(DeckVersionRow.effective_from_us)
                .limit(1)
            )
        sales = None
        if wanted.against is not None:
            sales_deck = deck_by_name(session, wanted.against, wanted.issuer_id)
            if sales_deck.unit != unit:
                raise InputRefused(
                    f"deck {wanted.against!r} is in {sales_deck.unit}; these prices are in {unit}"
                )
            sales = version_in_force(session, sales_deck.id, effective_us)
            if sales is None:
                raise InputRefused(f"deck {wanted.against!r} has no version that counts then")
        return ImportSetting(
            now_us,
            unit,
            0 if deck is None else newest_number(session, deck.id),
            old.id if old else None,
            old.number if old else None,
            (later.number, later.effective_from_us) if later else None,
            sales.id if sales else None,
        )


def check_currency(sheet: RateSheet, setting: ImportSetting) -> None:
    """Refuse a sheet whose header says another unit; rows that do are refused one by one."""
    sheet.unit = setting.unit
    if sheet.layout.currency not in (None, setting.unit):
        raise InputRefused(
            f"the header says that prices are in {sheet.layout.currency}, and the deck is in {setting.unit}; "
            f"say --unit {sheet.layout.currency} for a deck of its own, or rename the column"
        )


def compare_decks(
    database: Engine, wanted: ImportWanted, setting: ImportSetting, stage: RateStage, changes: DeckChanges
) -> None:
    """Compare what the stage read with the deck as it is; the stage then has the new version's rates."""
    if not stage.sheet_rate_count and not wanted.ended:
        raise InputRefused("the rate deck holds no usable row")
    if setting.old_version_id is not None:
        stage.take_deck(database, setting.old_version_id, "old")
    if setting.sales_version_id is not None:
        stage.take_deck(database, setting.sales_version_id, "sales")
    now_us = setting.now_us
    plan = Plan(
        wanted.effective_us or now_us,
        wanted.amend,
        None if wanted.notice_days is None else now_us + wanted.notice_days * DAY_US,
        wanted.delay_increases,
        wanted.max_price,
        (now_us - USUAL_US, now_us + USUAL_US),
        frozenset(wanted.ended),
    )
    stage.compare(plan, changes.add)
    if wanted.ended and not stage.rate_count:
        raise InputRefused("the deck would have no rate left; a deck that nobody uses may stay as it is")


def check_allowed(database: Engine, wanted: ImportWanted, changes: DeckChanges) -> None:
    """InputRefused if the notice is too short, or a tariff could not tell the bands of these rates."""
    short = changes.counts[Finding.SHORT_NOTICE]
    if short:
        first = changes.samples[Finding.SHORT_NOTICE]
        named = ", ".join(change.prefix or "*" for change in first)
        raise InputRefused(
            f"{short} prefixes would become dearer in less than {wanted.notice_days} days ({named}"
            f"{' ...' if short > len(first) else ''}); a later --effective or --delay-increases keeps the "
            "notice"
        )
    with transaction(reading(database)) as session:
        deck = find_deck(session, wanted.deck, wanted.issuer_id)
        if deck is not None:
            check_bands_of_tariffs(session, deck.id, changes.use)


def write_version(
    database: Engine,
    wanted: ImportWanted,
    setting: ImportSetting,
    stage: RateStage,
    told: tuple[Clock, Callable[[int], None]],
) -> DeckVersionRow:
    """Write what was compared; told: the clock, and who hears of each chunk of rates."""
    clock, progress = told
    new = NewDeckVersion(
        wanted.deck,
        setting.unit,
        wanted.source,
        wanted.effective_us,
        wanted.measure,
        wanted.per,
        follows=setting.follows,
        issuer_id=wanted.issuer_id,
    )
    rates = (NewRate.of(rate) for rate in stage.rates())
    return import_deck_version(database, new, rates, clock, progress)
