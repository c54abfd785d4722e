"""Numbers of documents: once each, without gaps, whoever issues at once, gives up or dies."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.numbering import (
    NumberFormat,
    begin_numbers,
    next_number,
    number_formats,
    set_number_format,
)
from pbxbill.billing.promises import BILLING_RULES
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import ensure_unit, open_operator
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.invoice_models import InvoiceRow, NumberSequenceRow
from tests.small_operator import EUR
from tests.store.billed_accounts import BilledAccounts
from tests.store.numbering_process import HOUR_US, NEW_YEARS_EVE_US, issue_document
from tests.store.other_process import Process, go, line, started

PROCESSES, DOCUMENTS = 6, 25
YEAR_2026_US, YEAR_2027_US = NEW_YEARS_EVE_US, NEW_YEARS_EVE_US + HOUR_US


@contextmanager
def issuing_process(url: str, *words: object) -> Iterator[Process]:
    """A process that waits for a line before it begins."""
    with started("numbering_process", url, *words) as process:
        yield process


@pytest.fixture
def database(accounts: BilledAccounts) -> Iterator[Engine]:
    engine = open_engine(accounts.url)
    yield engine
    engine.dispose()


@pytest.fixture
def issuer(database: Engine) -> int:
    with transaction(database) as session:
        ensure_unit(session, EUR)
        return open_operator(session, "Operator", 0).id


def numbers(database: Engine) -> dict[tuple[int, str, str], list[int]]:
    """Counts by issuer, kind and prefix, in order."""
    found = defaultdict(list)
    with transaction(database) as session:
        for row in session.scalars(select(InvoiceRow)):
            assert row.number is not None
            prefix, _, count = row.number.rpartition("-")
            found[row.issuer_id, row.kind, prefix].append(int(count))
    return {key: sorted(counts) for key, counts in found.items()}


def test_many_processes_that_roll_back_and_die_leave_no_gap_and_no_number_twice(
    accounts: BilledAccounts, database: Engine, issuer: int
) -> None:
    """Six processes issue for two issuers, in two kinds and years; every third document is undone, and three
    of the processes are killed between a number and its commit."""
    issuers = f"{issuer},{accounts.ids['reseller']}"
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                issuing_process(accounts.url, "many", issuers, seed, DOCUMENTS, 9 if seed < 3 else -1)
            )
            for seed in range(PROCESSES)
        ]
        assert [line(process) for process in processes] == ["ready"] * PROCESSES
        for process in processes:
            go(process)
        assert [process.wait(100) for process in processes] == [-9, -9, -9, 0, 0, 0]
    found = numbers(database)
    assert len(found) == 8  # of two issuers, kinds and years each
    for counts in found.values():
        assert counts == list(range(1, len(counts) + 1))
    assert sum(map(len, found.values())) >= PROCESSES // 2 * DOCUMENTS // 2
    with transaction(database) as session:
        assert session.scalar(select(func.sum(NumberSequenceRow.last))) == sum(map(len, found.values()))


def test_a_number_whose_process_died_is_given_to_the_next(
    accounts: BilledAccounts, database: Engine, issuer: int
) -> None:
    with issuing_process(accounts.url, "hold", issuer) as holder:
        assert line(holder) == "INV-2026-00001"
        with issuing_process(accounts.url, "hold", issuer) as waiting:
            holder.kill()
            holder.wait(30)
            assert line(waiting) == "INV-2026-00001"
    with transaction(database) as session:
        assert issue_document(session, issuer, "invoice", YEAR_2026_US) == "INV-2026-00001"


def test_the_year_is_that_of_the_issuers_day(database: Engine, issuer: int) -> None:
    """23:00 in Berlin is 2026; an hour later, still 2026 in UTC, is 2027."""
    with transaction(database) as session:
        assert next_number(session, issuer, "invoice", YEAR_2026_US, "Europe/Berlin") == "INV-2026-00001"
        assert next_number(session, issuer, "invoice", YEAR_2027_US, "Europe/Berlin") == "INV-2027-00001"
        assert next_number(session, issuer, "invoice", YEAR_2027_US, "UTC") == "INV-2026-00002"
        assert next_number(session, issuer, "quote", YEAR_2027_US, "Pacific/Auckland") == "Q-2027-00001"


def test_who_gives_up_gives_the_number_back(database: Engine, issuer: int) -> None:
    session = Session(database)
    assert issue_document(session, issuer, "invoice", YEAR_2026_US) == "INV-2026-00001"
    session.rollback()
    session.close()
    with transaction(database) as session:
        assert issue_document(session, issuer, "invoice", YEAR_2026_US) == "INV-2026-00001"


FORMATS = [
    (NumberFormat("INV-{year}-", 2), "INV-2026-03"),  # counts on, and shorter
    (NumberFormat("{year}/", 3), "2026/004"),  # counts on: the sequence is the year's
    (NumberFormat("RE-", 6, yearly=False), "RE-000001"),
    (NumberFormat("RE-{year}-", 1, yearly=False), "RE-2026-2"),
    (NumberFormat("", 4, yearly=False), "0003"),
    (NumberFormat("INV-{year}-", 5), "INV-2026-00005"),  # back where it was: counts on
]


def test_a_format_may_change_at_any_time(database: Engine, issuer: int) -> None:
    with transaction(database) as session:
        for count in (1, 2):
            assert issue_document(session, issuer, "invoice", YEAR_2026_US) == f"INV-2026-0000{count}"
        for layout, number in FORMATS:
            set_number_format(session, issuer, "invoice", layout)
            assert number_formats(session, issuer)["invoice"] == layout
            assert issue_document(session, issuer, "invoice", YEAR_2026_US) == number


def test_a_format_that_would_come_to_a_number_again_is_refused(database: Engine, issuer: int) -> None:
    with transaction(database) as session:
        set_number_format(session, issuer, "invoice", NumberFormat("A-{year}-", 1, yearly=False))
        for at_us in (YEAR_2026_US, YEAR_2027_US):
            issue_document(session, issuer, "invoice", at_us)
        # Each year's own sequence would begin with 1.
        with pytest.raises(InputRefused, match="A-2026-1 exists already"):
            set_number_format(session, issuer, "invoice", NumberFormat("A-{year}-"))
        set_number_format(session, issuer, "invoice", NumberFormat("{year}-"))
        for count in (1, 2, 3):
            assert issue_document(session, issuer, "invoice", YEAR_2027_US) == f"2027-{count:05d}"
        # Counted over the years were two; a prefix with the year written out would come to 00003 again.
        with pytest.raises(InputRefused, match="2027-00003 exists already"):
            set_number_format(session, issuer, "invoice", NumberFormat("2027-", yearly=False))


def test_issuers_and_kinds_count_by_themselves(
    accounts: BilledAccounts, database: Engine, issuer: int
) -> None:
    with transaction(database) as session:
        for account_id in (issuer, accounts.ids["reseller"]):
            assert issue_document(session, account_id, "invoice", YEAR_2026_US) == "INV-2026-00001"
            assert issue_document(session, account_id, "credit_note", YEAR_2026_US) == "CN-2026-00001"
        with pytest.raises(InputRefused, match="credit notes are numbered CN-"):
            set_number_format(session, issuer, "invoice", NumberFormat("CN-{year}-"))
        with pytest.raises(InputRefused, match="'bill' is no kind of document"):
            next_number(session, issuer, "bill", YEAR_2026_US, "UTC")


def test_a_sequence_goes_on_from_another_systems_numbers(database: Engine, issuer: int) -> None:
    with transaction(database) as session:
        assert begin_numbers(session, issuer, "invoice", 999, YEAR_2026_US, "UTC") == "INV-2026-00999"
    with transaction(database) as session:  # a mistake: no number is given yet
        assert begin_numbers(session, issuer, "invoice", 418, YEAR_2026_US, "UTC") == "INV-2026-00418"
    with transaction(database) as session:
        assert issue_document(session, issuer, "invoice", YEAR_2026_US) == "INV-2026-00418"
        assert issue_document(session, issuer, "invoice", YEAR_2026_US) == "INV-2026-00419"
        assert issue_document(session, issuer, "credit_note", YEAR_2026_US) == "CN-2026-00001"
    for kind, count in (("invoice", 500), ("credit_note", 7)):
        with pytest.raises(InputRefused, match="cannot be the first"), transaction(database) as session:
            begin_numbers(session, issuer, kind, count, YEAR_2026_US, "UTC")
    with pytest.raises(InputRefused, match="counted 1 to"), transaction(database) as session:
        begin_numbers(session, issuer, "quote", 0, YEAR_2026_US, "UTC")
    with transaction(database) as session:
        search = next(x for rule in BILLING_RULES if "no gaps" in rule.name for x in rule.searches)
        assert session.execute(text(search.statement)).all() == []
