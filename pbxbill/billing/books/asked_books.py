"""Whose books are asked for, of which days: what command line, panel and API begin with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from sqlalchemy.orm import Session

from pbxbill.billing.books.accounting_export import Exported, beancount_lines, csv_lines, first_day
from pbxbill.billing.books.trial_balance import FOREVER_US, TrialBalance, trial_balances
from pbxbill.billing.parties import issuer_of
from pbxbill.billing.period import day_start_us, local_date
from pbxbill.errors import InputRefused
from pbxbill.money import Unit
from pbxbill.store.driver import Driver
from pbxbill.store.models import AccountRow
from pbxbill.store.units import all_units, units_by_code

Connect = Callable[[], Driver]


class Form(StrEnum):
    """As what the journal is handed over."""

    CSV = "csv"
    BEANCOUNT = "beancount"


@dataclass(frozen=True, slots=True)
class Books:
    """Of one issuer."""

    issuer_id: int
    issuer: str
    """Account code."""
    zone: str
    units: dict[str, Unit]
    unit_names: dict[str, str]

    def exported(self, first: date, last: date, *, by_day: bool = False) -> Exported:
        """Some days of them."""
        return Exported(self.issuer_id, self.issuer, self.zone, first, last, by_day)


def books_of(session: Session, issuer: AccountRow) -> Books:
    """The books of an issuer, their zone and units."""
    names = {row.code: row.name for row in all_units(session)}
    return Books(
        issuer.id, issuer.code, issuer_of(session, issuer.id).zone, dict(units_by_code(session)), names
    )


@contextmanager
def snapshot(connect: Connect) -> Iterator[Driver]:
    """One moment of the live database, for as long as it takes."""
    driver = connect()
    try:
        driver.begin_snapshot()
        yield driver
    finally:
        driver.rollback()
        driver.close()


def balances_of_days(
    connect: Connect, books: Books, first: date | None, last: date | None, *, everybody: bool = False
) -> list[TrialBalance]:
    """Trial balances from a day to a day of the issuer's zone; everybody: of every issuer."""
    from_us = 0 if first is None else day_start_us(first, books.zone)
    to_us = FOREVER_US if last is None else day_start_us(last + timedelta(days=1), books.zone)
    if to_us <= from_us:
        raise InputRefused("the last day lies before the first")
    with snapshot(connect) as driver:
        return trial_balances(
            driver, from_us=from_us, to_us=to_us, issuer_id=None if everybody else books.issuer_id
        )


def days_until_yesterday(
    connect: Connect, books: Books, first: date | None, last: date | None, now_us: int, *, by_day: bool
) -> Exported:
    """Some days of the books; those that are not named: from the first there is until yesterday."""
    begins = first
    if begins is None:
        with snapshot(connect) as driver:
            begins = first_day(driver, books.issuer_id, books.zone)
    if begins is None:
        raise InputRefused(f"nothing is in the books of {books.issuer} yet")
    yesterday = local_date(now_us, books.zone) - timedelta(days=1)
    return books.exported(begins, last or max(begins, yesterday), by_day=by_day)


def exported_lines(connect: Connect, books: Books, asked: Exported, form: Form) -> Iterator[str]:
    """The journal for an accounting program, line by line, all of one moment."""
    with snapshot(connect) as driver:
        if form is Form.CSV:
            yield from csv_lines(driver, asked, books.units)
        else:
            yield from beancount_lines(driver, asked, books.unit_names)


def book_day(text: str) -> date:
    """A day as it is written."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InputRefused(f"{text[:40]!r} is no day; write it like 2026-01-31") from None
    return checked_day(day)


def checked_day(day: date) -> date:
    """The day, if books may have it."""
    if not 1970 <= day.year < 2300:
        raise InputRefused(f"{day} is too far away for books")
    return day
