"""Calendars of time bands: immutable versions by name, and whether a deck's bands fit one."""

from collections.abc import Iterable, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused
from pbxbill.rating.band_checks import checked, first_gap
from pbxbill.rating.bands import BandCalendar
from pbxbill.rating.calendar_text import calendar_from_json, calendar_to_json
from pbxbill.rating.tariff import RateTerms
from pbxbill.store.accounts import bump_catalogue
from pbxbill.store.catalogue_models import BandCalendarRow
from pbxbill.store.models import TariffRow, TariffVersionRow


def set_calendar(session: Session, calendar: BandCalendar, now_us: int) -> BandCalendarRow:
    """Write a calendar as the newest version of its name; what was charged by an old one stays so."""
    if not 1 <= len(calendar.name) <= 64 or not calendar.name.isprintable():
        raise InputRefused("the name of a calendar has 1 to 64 characters")
    checked(calendar)
    newest = select(func.max(BandCalendarRow.number)).where(BandCalendarRow.name == calendar.name)
    row = BandCalendarRow(
        name=calendar.name,
        number=(session.scalar(newest) or 0) + 1,
        definition=calendar_to_json(calendar),
        created_us=now_us,
    )
    session.add(row)
    session.flush()
    bump_catalogue(session)
    return row


def calendar_by_name(session: Session, name: str) -> BandCalendarRow:
    """The newest version of a calendar; InputRefused if there is none of that name."""
    row = session.scalar(
        select(BandCalendarRow)
        .where(BandCalendarRow.name == name)
        .order_by(BandCalendarRow.number.desc())
        .limit(1)
    )
    if row is None:
        raise InputRefused(f"no calendar {name!r}; `pbxbill calendars set` makes one")
    return row


def calendars(session: Session) -> Sequence[BandCalendarRow]:
    """Every version of every calendar."""
    return session.scalars(
        select(BandCalendarRow).order_by(BandCalendarRow.name, BandCalendarRow.number)
    ).all()


def calendar_of(row: BandCalendarRow) -> BandCalendar:
    """The calendar that a row keeps."""
    return calendar_from_json(row.definition, row.id)


def tariffs_of_older_versions(session: Session, row: BandCalendarRow) -> list[str]:
    """Tariffs whose terms still name an earlier version of this calendar."""
    newest = (
        select(TariffVersionRow.tariff_id, func.max(TariffVersionRow.number).label("number"))
        .group_by(TariffVersionRow.tariff_id)
        .subquery()
    )
    return list(
        session.scalars(
            select(TariffRow.name)
            .join(TariffVersionRow, TariffVersionRow.tariff_id == TariffRow.id)
            .join(
                newest,
                (newest.c.tariff_id == TariffVersionRow.tariff_id)
                & (newest.c.number == TariffVersionRow.number),
            )
            .join(BandCalendarRow, BandCalendarRow.id == TariffVersionRow.calendar_id)
            .where(BandCalendarRow.name == row.name, BandCalendarRow.id != row.id)
            .order_by(TariffRow.name)
        )
    )


class BandUse:
    """Which bands the rates of a deck version know."""

    def __init__(self) -> None:
        self.bands: set[str] = set()
        self.only: set[frozenset[str]] = set()
        """Bands of the rates that have no price outside of theirs."""

    def note(self, rates: Iterable[RateTerms | None]) -> None:
        """See the terms of some rates."""
        for terms in rates:
            if terms is not None and terms.bands:
                names = frozenset(name for name, _ in terms.bands)
                self.bands |= names
                if terms.banded_only:
                    self.only.add(names)


def check_bands(where: str, row: BandCalendarRow | None, use: BandUse) -> None:
    """InputRefused if a call could not be priced: a band that the calendar lacks, or hours without a band."""
    if not use.bands:
        return
    names = ", ".join(sorted(use.bands))
    if row is None:
        raise InputRefused(
            f"{where} has no calendar, and the rates have bands ({names}); give it one (--calendar)"
        )
    calendar = calendar_of(row)
    known = {rule.band for rule in calendar.rules}
    unknown = sorted(use.bands - known)
    if unknown:
        raise InputRefused(
            f"{where}: calendar {row.name!r} has no band {unknown[0]!r}; it has {', '.join(sorted(known))}"
        )
    for bands in sorted(use.only, key=sorted):
        gap = first_gap(calendar, bands)
        if gap is not None:
            raise InputRefused(
                f"{where}: in calendar {row.name!r} no band of {', '.join(sorted(bands))} holds on {gap}, "
                "and some rates have no price outside of these bands; add rows for that time, or rows "
                "without a band"
            )
