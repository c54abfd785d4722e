"""Numbers of documents: each issuer counts each kind of his documents by himself, without gaps.

A number is given out in the transaction that issues its document, and its sequence's row stays locked until
that ends: who rolls back, or is killed, gives the number back, and nobody waits longer than it takes to make
one document durable. (Article 226 (2) of Directive 2006/112/EC wants a sequential number that is used once;
many countries read it as one without gaps.)

The year in a number is that of the day of issue in the issuer's time zone. A format may be changed at any
time; a sequence goes on counting then, and a format that would come to a number that exists is refused. So a
prefix never ends in a digit: the 12th after "A1" would be the 112th after "A".
"""

import re
from dataclasses import dataclass

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from pbxbill.billing.period import local_date
from pbxbill.errors import InputRefused
from pbxbill.store.driver import row_lock, rows_within
from pbxbill.store.invoice_models import InvoiceRow, NumberFormatRow, NumberSequenceRow

YEAR = "{year}"
MAX_PREFIX_LENGTH, MAX_PADDING = 24, 12
MOST_BEFORE = 10**12
"""Of another system's numbers."""
_PREFIX = re.compile(r"[A-Za-z0-9/_.# -]*")


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """How documents of a kind are numbered."""

    prefix: str
    """May hold {year}."""
    padding: int = 5
    """Least digits of the count."""
    yearly: bool = True
    """Each year begins with 1."""

    def __post_init__(self) -> None:
        plain = self.prefix.replace(YEAR, "", 1)
        if len(self.prefix) > MAX_PREFIX_LENGTH or _PREFIX.fullmatch(plain) is None:
            raise InputRefused(
                f"prefix {self.prefix[:40]!r}: use up to {MAX_PREFIX_LENGTH} letters, digits and - / _ . # "
                f"with {YEAR} once, e.g. INV-{YEAR}-"
            )
        if self.prefix.endswith(YEAR) or self.prefix[-1:].isdigit():
            raise InputRefused(
                f"prefix {self.prefix!r} must not end in a digit or {YEAR}, or two numbers could look alike; "
                f"write {self.prefix}-"
            )
        if not 1 <= self.padding <= MAX_PADDING:
            raise InputRefused(f"a number is padded to 1 to {MAX_PADDING} digits, not {self.padding}")
        if self.yearly and YEAR not in self.prefix:
            raise InputRefused(
                f"numbers that begin anew each year need {YEAR} in their prefix, or they would come again; "
                f"write e.g. {self.prefix}{YEAR}-, or let them count on over the years"
            )

    def sequence_year(self, year: int) -> int:
        """Under which year its sequence of a year is kept."""
        return year if self.yearly else 0

    def number(self, year: int, count: int) -> str:
        """The number as it is printed."""
        return f"{self.prefix.replace(YEAR, str(year))}{count:0{self.padding}d}"

    def counted(self, number: str) -> tuple[int, int] | None:
        """Year of the sequence and count, if a number could be one of this format's, of whatever padding."""
        before, year, after = self.prefix.partition(YEAR)
        pattern = re.escape(before) + ("([0-9]{4})" if year else "()") + re.escape(after) + "([0-9]+)"
        found = re.fullmatch(pattern, number)
        return None if found is None else (self.sequence_year(int(found[1] or 0)), int(found[2]))


DEFAULT_FORMATS = {
    "invoice": NumberFormat("INV-{year}-"),
    "credit_note": NumberFormat("CN-{year}-"),
    "debit_note": NumberFormat("DN-{year}-"),
    "quote": NumberFormat("Q-{year}-"),
    "receipt": NumberFormat("R-{year}-"),
}
"""By kind of document, where the issuer has not said otherwise."""

# Both databases know this statement. The row stays locked until the transaction ends.
_NEXT = (
    "INSERT INTO number_sequences (issuer_id, kind, year, last) VALUES (:issuer_id, :kind, :year, 1) "
    "ON CONFLICT (issuer_id, kind, year) DO UPDATE SET last = number_sequences.last + 1 RETURNING last"
)
_BEGIN = (
    "INSERT INTO number_sequences (issuer_id, kind, year, last, first) "
    "VALUES (:issuer_id, :kind, :year, :last, :first) "
    "ON CONFLICT (issuer_id, kind, year) DO UPDATE SET last = excluded.last, first = excluded.first "
    "WHERE number_sequences.last < number_sequences.first RETURNING last"
)
_FORMAT = "SELECT prefix, padding, yearly FROM number_formats WHERE issuer_id = :issuer_id AND kind = :kind"


def next_number(session: Session, issuer_id: int, kind: str, at_us: int, zone: str) -> str:
    """The number of a document that is issued now; the last thing to be asked for in its transaction."""
    of_kind = {"issuer_id": issuer_id, "kind": kind}
    layout = _default(kind)
    for prefix, padding, yearly in rows_within(session, _FORMAT + row_lock(session, "FOR SHARE"), of_kind):
        layout = NumberFormat(prefix, padding, bool(yearly))
    year = local_date(at_us, zone).year
    ((last,),) = rows_within(session, _NEXT, of_kind | {"year": layout.sequence_year(year)})
    return layout.number(year, last)


def number_formats(session: Session, issuer_id: int) -> dict[str, NumberFormat]:
    """How an issuer numbers each kind of document."""
    rows = session.scalars(select(NumberFormatRow).where(NumberFormatRow.issuer_id == issuer_id))
    return DEFAULT_FORMATS | {row.kind: _format_of(row) for row in rows}


def set_number_format(session: Session, issuer_id: int, kind: str, layout: NumberFormat) -> None:
    """Number the documents to come otherwise; InputRefused where a number could come again."""
    row = session.scalar(_format_query(issuer_id, kind).with_for_update())
    before = _default(kind) if row is None else _format_of(row)
    for other, its in number_formats(session, issuer_id).items():
        if other != kind and its.prefix == layout.prefix:
            raise InputRefused(
                f"{other.replace('_', ' ')}s are numbered {layout.prefix}... already; choose another prefix"
            )
    if (layout.prefix, layout.yearly) != (before.prefix, before.yearly):
        _refuse_numbers_again(session, issuer_id, kind, layout)
    if row is None:
        row = NumberFormatRow(issuer_id=issuer_id, kind=kind, prefix="", padding=1, yearly=False)
        session.add(row)
    row.prefix, row.padding, row.yearly = layout.prefix, layout.padding, layout.yearly
    session.flush()


def begin_numbers(session: Session, issuer_id: int, kind: str, count: int, now_us: int, zone: str) -> str:
    """Let this year's sequence begin with a count, after the numbers of another system; the first number.

    InputRefused once the sequence has given a number.
    """
    if not 1 <= count <= MOST_BEFORE:
        raise InputRefused(f"the next number is counted 1 to {MOST_BEFORE}, not {count}")
    # Held as for a change of format: nobody makes another one meanwhile.
    row = session.scalar(_format_query(issuer_id, kind).with_for_update())
    layout = _default(kind) if row is None else _format_of(row)
    day_year = local_date(now_us, zone).year
    year = layout.sequence_year(day_year)
    # Who gives the first number at this moment holds the row, or makes it: then this waits, and is refused.
    of_sequence = {"issuer_id": issuer_id, "kind": kind, "year": year, "last": count - 1, "first": count}
    if not rows_within(session, _BEGIN, of_sequence):
        first = layout.number(day_year, count)
        raise InputRefused(
            f"{kind.replace('_', ' ')}s of this sequence have numbers already: {first} cannot be the first"
        )
    _refuse_numbers_again(session, issuer_id, kind, layout)
    return layout.number(day_year, count)


def _refuse_numbers_again(session: Session, issuer_id: int, kind: str, layout: NumberFormat) -> None:
    # Who issues now holds its sequence: what it numbers is seen here once that is durable.
    sequences = session.scalars(
        select(NumberSequenceRow)
        .where(NumberSequenceRow.issuer_id == issuer_id, NumberSequenceRow.kind == kind)
        .order_by(NumberSequenceRow.year)
        .with_for_update()
    )
    reached = {row.year: row.last for row in sequences}
    numbers = session.scalars(
        select(InvoiceRow.number).where(
            InvoiceRow.issuer_id == issuer_id,
            InvoiceRow.kind == kind,
            InvoiceRow.number.startswith(layout.prefix.partition(YEAR)[0], autoescape=True),
        )
    )
    for number in numbers:
        counted = None if number is None else layout.counted(number)
        if counted is not None and counted[1] > reached.get(counted[0], 0):
            raise InputRefused(
                f"{number} exists already, and numbers made like this would come to it again; "
                "choose another prefix"
            )


def _format_query(issuer_id: int, kind: str) -> Select[NumberFormatRow]:
    _default(kind)
    return select(NumberFormatRow).where(NumberFormatRow.issuer_id == issuer_id, NumberFormatRow.kind == kind)


def _default(kind: str) -> NumberFormat:
    layout = DEFAULT_FORMATS.get(kind)
    if layout is None:
        raise InputRefused(f"{kind[:40]!r} is no kind of document; use one of {', '.join(DEFAULT_FORMATS)}")
    return layout


def _format_of(row: NumberFormatRow) -> NumberFormat:
    return NumberFormat(row.prefix, row.padding, row.yearly)
