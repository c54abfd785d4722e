"""What a list is, and a page of it: keyset paging, filters from addresses, order.

A cursor names the row at which a page ends, so that a page costs the same wherever it is and what is added
meanwhile shifts nothing.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, tuple_
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.billing.period import day_start_us
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.ids import id_of_moment
from pbxbill.money import MAX_AMOUNT
from pbxbill.rating.exchange import MAX_UNIT_SCALE
from pbxbill.store.models import UnitRow
from pbxbill.store.prefixes import begins_with

Rows = Select[*tuple[Any, ...]]
"""A query of rows with labels."""

PAGE_SIZE, MAX_PAGE_SIZE = 50, 200
MOST_LOOKED = 100_000
"""Rows that a page looks through without an index: a tenth of a second."""
MAX_EXPORTED = 1_000_000
MAX_FILTER_LENGTH = 200
MAX_CURSOR_LENGTH = 1_000
DAY_US = 86_400 * SECOND_US
AMOUNT_FORM = r"-?[0-9]{1,12}(\.[0-9]{1,9})?"
"""Of amounts in filters."""


def N_(text: str) -> str:  # noqa: N802 as gettext names it
    """Mark a text that is translated where it is shown."""
    return text


class ColumnKind(StrEnum):
    """What a value is, so that each reader sees it in his form."""

    TEXT = "text"
    CODE = "code"
    """Codes, numbers of telephones and documents: set in figures of one width."""
    MONEY = "money"
    """An integer amount; its unit is in another column."""
    COUNT = "count"
    SECONDS = "seconds"
    MOMENT = "moment"
    """Microseconds since 1970."""
    DAY = "day"
    """The same, of which only the day in the reader's zone is meant."""
    STATE = "state"
    YES_NO = "yes_no"
    PPM = "ppm"
    """Millionths, shown as per cent."""
    SENTENCE = "sentence"
    """What the product says of itself: pages and files say it in the reader's language."""
    ACTION = "action"
    """A code of the audit log, which pages and files say in words."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: the key of its value in a row, and its heading in English."""

    key: str
    heading: str
    kind: ColumnKind = ColumnKind.TEXT
    unit: str = "unit"
    """Of MONEY: the key of the unit's code in the row."""
    wide: bool = False
    """Left out where the screen is narrow."""
    only_in_files: bool = False
    """Left out of pages: there would be too many."""
    exact: bool = False
    """Of MOMENT: with its seconds."""


class FilterKind(StrEnum):
    """How a filter is entered."""

    TEXT = "text"
    CHOICE = "choice"
    DAY = "day"
    """YYYY-MM-DD, in the reader's zone."""
    NUMBER = "number"
    """A whole number, an id."""
    AMOUNT = "amount"
    """A decimal number, whatever the unit is; narrow gets it as a Decimal."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter. narrow gets the text; of DAY the microsecond at which that day begins there."""

    key: str
    label: str
    narrow: Callable[[Rows, Any], Rows]
    kind: FilterKind = FilterKind.TEXT
    choices: tuple[tuple[str, str], ...] = ()
    """Of CHOICE: values and what they are called."""
    next_day: bool = False
    """Of DAY: narrow gets the beginning of the day after, so that "to" includes its day."""
    looked_up: Callable[[Session, Any], Any] = lambda session, value: value
    """What narrow gets of a value, by a query of its own: ids that the database plans with."""


@dataclass(frozen=True, slots=True)
class Order:
    """One order: by a column that is never null, then by the row's id, both in one direction."""

    key: str
    label: str
    by: Any
    id: Any
    descending: bool = False
    joined: Callable[[Rows], Rows] = lambda query: query
    """Adds what by is of, where rows do not have it."""
    same: tuple[Any, ...] = ()
    """Columns that are by in every row: what bounds a page is said of them, too; no database finds it out."""


class Looked(NamedTuple):
    """What a page looks through: moments or ids, as those by which it is ordered."""

    rows: Rows
    is_scattered: bool
    """They lie among those of others, and a page looks through fewer."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One list. rows selects, within a scope, every column under its key as label, and "id"."""

    name: str
    """As in addresses and names of files: accounts."""
    title: str
    permission: Permission
    columns: tuple[Column, ...]
    rows: Callable[[Session, Scope], Rows]
    orders: tuple[Order, ...]
    """The first holds unless another is asked for."""
    filters: tuple[Filter, ...] = ()
    finish: Callable[[Session, list[dict[str, Any]]], None] = lambda session, rows: None
    """Adds to the rows of a page what a query of its own brings, once for all of them."""
    looked_through: tuple[str, ...] = ()
    """Filters that no index serves, of a list with millions of rows whose orders are by moments, or by ids
    that grow with time: a page looks through MOST_LOOKED rows that the others leave, and the next one goes on
    from there."""
    candidates: "Callable[[Session, Scope, Asked], Looked | None] | None" = None
    """What it looks through, where that is not what the others leave. It says None where it need not."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants to see of a list."""

    filters: Mapping[str, str] = field(default_factory=dict)
    """By their keys, as they were written; empty ones say nothing."""
    order: str = ""
    after: str = ""
    before: str = ""
    """Cursors of another page: what follows it, or comes before it."""
    size: int = PAGE_SIZE
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list, and cursors of what is after and before them; empty: nothing is."""

    rows: list[dict[str, Any]]
    after: str
    before: str
    looked_us: int | None = None
    """How far this page looked, where that was not to the end; rows may be few, or none."""
    nearby: str = ""
    """A cursor of what was written about the day that is looked for, if that is further on: most entries are
    written soon after what they are of."""


class FilterRefused(InputRefused):
    """A filter cannot be understood; key names it."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def page_of(session: Session, listing: Listing, scope: Scope, asked: Asked) -> Page:
    """A page; FilterRefused names the filter that cannot be understood."""
    order = _order_of(listing, asked.order)
    query = narrowed(session, listing, scope, asked)
    backwards = bool(asked.before)
    downwards = order.descending != backwards
    cursor = asked.before or asked.after
    at = _place_of(cursor, order) if cursor else None
    if at is not None:
        place, end = tuple_(order.by, order.id), tuple_(*at)
        # The first column is compared alone as well: an index on it is entered there, whatever the id is of.
        query = query.where(
            *(x <= at[0] if downwards else x >= at[0] for x in (order.by, *order.same)),
            place < end if downwards else place > end,
        )
    edge = _edge(session, listing, scope, asked, order, at)
    if edge is not None:
        query = query.where(*(x > edge if downwards else x < edge for x in (order.by, *order.same)))
    query = order.joined(query).order_by(*(x.desc() if downwards else x.asc() for x in (order.by, order.id)))
    size = max(1, min(asked.size, MAX_PAGE_SIZE))
    query = query.add_columns(order.by.label("order_by_"), order.id.label("order_id_"))
    found = [dict(x) for x in session.execute(query.limit(size + 1)).mappings()]
    is_more = len(found) > size
    found = found[:size]
    if backwards:
        found.reverse()
    places = [(x.pop("order_by_"), x.pop("order_id_")) for x in found]
    listing.finish(session, found)
    after = _cursor(places[-1]) if places and (is_more or backwards) else ""
    before = _cursor(places[0]) if places and (is_more if backwards else bool(cursor)) else ""
    if edge is None or is_more:
        return Page(found, after, before)
    further, looked_us = _beyond(order, edge, downwards=downwards), _moment_of(edge)
    if backwards:
        return Page(found, after, further, looked_us)
    return Page(found, further, before, looked_us, _nearby(listing, asked, order, edge))


def _edge(
    session: Session, listing: Listing, scope: Scope, asked: Asked, order: Order, at: tuple[Any, Any] | None
) -> Any:
    """Where a page stops looking; None: it need not, or what is left is no more than it may look through."""
    looked = (listing.candidates or _left_by_others(listing, order))(session, scope, asked)
    if looked is None:
        return None
    (by,) = looked.rows.selected_columns
    rows, downwards = looked.rows, order.descending != bool(asked.before)
    if at is not None:
        rows = rows.where(by <= at[0] if downwards else by >= at[0])
    ordered = rows.order_by(by.desc() if downwards else by.asc())
    most = MOST_LOOKED // 5 if looked.is_scattered else MOST_LOOKED
    return session.scalar(ordered.offset(most).limit(1))


def _left_by_others(listing: Listing, order: Order) -> Callable[[Session, Scope, Asked], Looked | None]:
    def candidates(session: Session, scope: Scope, asked: Asked) -> Looked | None:
        if not is_looked_for(listing.looked_through, asked):
            return None
        quick = {key: text for key, text in asked.filters.items() if key not in listing.looked_through}
        rows = narrowed(session, listing, scope, Asked(quick, zone=asked.zone)).with_only_columns(order.by)
        # Rows of a subtree or an account lie scattered among those of others, which takes longer.
        days = {x.key for x in listing.filters if x.kind is FilterKind.DAY}
        scattered = not scope.is_everything or any(quick[key].strip() for key in quick.keys() - days)
        return Looked(rows, scattered)

    return candidates


def is_looked_for(looked_through: tuple[str, ...], asked: Asked) -> bool:
    """Whether one of the filters that no index serves is asked for."""
    return any(asked.filters.get(key, "").strip() for key in looked_through)


def _beyond(order: Order, edge: Any, *, downwards: bool) -> str:
    """What is just at the edge was left out: it comes first on the page that goes on."""
    if not downwards:
        return _cursor((edge, _first_id(order)))
    # Ids are hexadecimal: what is longer by a g comes right after one.
    return _cursor((edge + 1 if isinstance(edge, int) else f"{edge}g", _first_id(order)))


def _first_id(order: Order) -> str | int:
    return "" if order.id.type.python_type is str else -1


def _nearby(listing: Listing, asked: Asked, order: Order, edge: Any) -> str:
    key, later_us = ("to", DAY_US) if order.descending else ("from", -DAY_US)
    days = [x for x in listing.filters if x.key == key and x.kind is FilterKind.DAY]
    text = asked.filters.get(key, "").strip()
    if isinstance(edge, int) or not (days and text):
        return ""
    place = id_of_moment(_day_us(days[0], text, asked.zone) + later_us)
    is_further = place < edge if order.descending else place > edge
    return _cursor((place, _first_id(order))) if is_further else ""


def _moment_of(edge: Any) -> int:
    """Of an id: when it was made."""
    return edge if isinstance(edge, int) else int(edge[:12], 16) * 1000


def every(session: Session, listing: Listing, scope: Scope, asked: Asked) -> Iterator[dict[str, Any]]:
    """All rows that the filters leave, in order, for a file; InputRefused beyond MAX_EXPORTED."""
    count, after = 0, ""
    while True:
        page = page_of(
            session,
            listing,
            scope,
            Asked(asked.filters, asked.order, after, size=MAX_PAGE_SIZE, zone=asked.zone),
        )
        count += len(page.rows)
        if count > MAX_EXPORTED:
            raise InputRefused(f"more than {MAX_EXPORTED:,} rows: narrow the list by its filters")
        yield from page.rows
        if not page.after:
            return
        after = page.after


def is_longer(session: Session, listing: Listing, scope: Scope, asked: Asked, most: int) -> bool:
    """Whether the filters leave more rows than that: counted no further."""
    some = narrowed(session, listing, scope, asked).limit(most + 1).subquery()
    return (session.scalar(select(func.count()).select_from(some)) or 0) > most


def narrowed(session: Session, listing: Listing, scope: Scope, asked: Asked) -> Rows:
    """A list's rows as its filters leave them, in no order: what counts and sums of it are made of."""
    query = listing.rows(session, scope)
    for known in listing.filters:
        text = asked.filters.get(known.key, "").strip()
        if text:
            query = known.narrow(query, known.looked_up(session, _read(known, text, asked.zone)))
    return query


def contains(*columns: Any) -> Callable[[Rows, str], Rows]:
    """Narrow by a text that one of some columns contains, whatever the case."""
    return lambda query, text: query.where(or_(*(x.icontains(text, autoescape=True) for x in columns)))


def begins(*columns: Any) -> Callable[[Rows, str], Rows]:
    """Narrow by how one of some columns begins, in the case written: an index serves it."""
    return lambda query, text: query.where(or_(*(begins_with(x, text) for x in columns)))


def equals(column: Any) -> Callable[[Rows, Any], Rows]:
    """Narrow by a value."""
    return lambda query, value: query.where(column == value)


def at_least(column: Any) -> Callable[[Rows, Any], Rows]:
    """Narrow to values from here on."""
    return lambda query, value: query.where(column >= value)


def below(column: Any) -> Callable[[Rows, Any], Rows]:
    """Narrow to values before this one."""
    return lambda query, value: query.where(column < value)


def amount_at_least(column: Any, unit: Any) -> Callable[[Rows, Any], Rows]:
    """Narrow to amounts from here on; unit: the column with their units' codes."""
    return lambda query, value: query.where(_in_steps(unit, value, ROUND_CEILING, lambda x: column >= x))


def amount_at_most(column: Any, unit: Any) -> Callable[[Rows, Any], Rows]:
    """Narrow to amounts up to this one; unit: the column with their units' codes."""
    return lambda query, value: query.where(_in_steps(unit, value, ROUND_FLOOR, lambda x: column <= x))


def _in_steps(
    unit: Any, value: Decimal, rounding: str, condition: Callable[[int], ColumnElement[bool]]
) -> ColumnElement[bool]:
    # Amounts are whole steps, and units differ in how small theirs are.
    each = []
    for scale in range(MAX_UNIT_SCALE + 1):
        steps = int(value.scaleb(scale).to_integral_value(rounding))
        of_scale = unit.in_(select(UnitRow.code).where(UnitRow.scale == scale))
        each.append(and_(of_scale, condition(max(-MAX_AMOUNT, min(steps, MAX_AMOUNT)))))
    return or_(*each)


def _read(known: Filter, text: str, zone: str) -> Any:
    if len(text) > MAX_FILTER_LENGTH or "\x00" in text:
        raise FilterRefused(known.key, f"up to {MAX_FILTER_LENGTH} characters")
    match known.kind:
        case FilterKind.CHOICE:
            if text not in (value for value, _ in known.choices):
                raise FilterRefused(known.key, f"{text[:40]!r} is none of its values")
            return text
        case FilterKind.DAY:
            return _day_us(known, text, zone)
        case FilterKind.NUMBER:
            if not (text.isascii() and text.isdigit() and len(text) <= 18):
                raise FilterRefused(known.key, f"{text[:40]!r} is not a whole number")
            return int(text)
        case FilterKind.AMOUNT:
            if not re.fullmatch(AMOUNT_FORM, text):
                raise FilterRefused(known.key, f"{text[:40]!r} is not an amount; write it as 1234.50")
            return Decimal(text)
        case _:
            return text


def _day_us(known: Filter, text: str, zone: str) -> int:
    try:
        day = date.fromisoformat(text)
        return day_start_us(date.fromordinal(day.toordinal() + known.next_day), zone)
    except (ValueError, InputRefused):
        raise FilterRefused(known.key, f"{text[:40]!r} is not a day; write it as 2026-01-31") from None


def _order_of(listing: Listing, key: str) -> Order:
    if not key:
        return listing.orders[0]
    for order in listing.orders:
        if order.key == key:
            return order
    raise FilterRefused("order", f"{key[:40]!r} is none of: {', '.join(x.key for x in listing.orders)}")


def _cursor(place: tuple[Any, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _place_of(cursor: str, order: Order) -> tuple[Any, Any]:
    types = order.by.type.python_type, order.id.type.python_type
    try:
        if len(cursor) > MAX_CURSOR_LENGTH:
            raise ValueError
        padded = cursor + "=" * (-len(cursor) % 4)
        by, id = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        # The database would call another type a fault of ours.
        if (type(by), type(id)) != types or any(isinstance(x, int) and abs(x) >= 2**63 for x in (by, id)):
            raise ValueError
    except (ValueError, TypeError, RecursionError):
        raise FilterRefused("after", "this page's address is damaged; begin with the first page") from None
    return by, id
