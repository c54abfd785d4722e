"""Finds invoices, notes and quotes: by amount, date, status, reseller, cycle, number, dunning step, group.

Newest first, page by page: a page begins below the last row of the one before, so that a million invoices are
turned over as fast as a hundred. Sums are over all that is found.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.standing import ASKING, UNSETTLED
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import account_by_code
from pbxbill.store.billing_models import BillingProfileRow
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow

KINDS = ("quote", "invoice", "credit_note", "debit_note", "receipt")
STATES = (
    "draft",
    "issued",
    "partly_paid",
    "paid",
    "written_off",
    "discarded",
    "cancelled",
    "open",
    "accepted",
    "refused",
    "expired",
)
STATUSES = (*STATES, "unpaid", "overdue", "disputed")
"""What can be searched for: states, and what is open of invoices, past its day, or contested."""
MAX_PAGE = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to find; None: whatever it is. Times are from the first moment to before the last."""

    kinds: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    account: str | None = None
    """Code."""
    reseller: str | None = None
    """Code: all accounts below it, at any depth, and its own invoices."""
    issuer: str | None = None
    """Code of who made them."""
    unit: str | None = None
    number: str | None = None
    """Beginning of the number, in any case."""
    least: int | None = None
    most: int | None = None
    """Of the total, in the unit's steps."""
    from_us: int | None = None
    to_us: int | None = None
    """When it was issued, or made where it is not issued."""
    period_from_us: int | None = None
    period_to_us: int | None = None
    """Periods that touch this time."""
    due_before_us: int | None = None
    cycle: str | None = None
    group: str | None = None
    dunning_step: int | None = None
    run_id: int | None = None


class Found(NamedTuple):
    """One document."""

    id: int
    kind: str
    number: str | None
    state: str
    account: str
    name: str
    """Of the account."""
    unit: str
    issued_us: int | None
    created_us: int
    due_us: int | None
    from_us: int | None
    to_us: int | None
    net: int
    tax: int
    total: int
    open: int
    disputed: int
    dunning_step: int
    is_overdue: bool


class Sum(NamedTuple):
    """What is found of a kind in a unit."""

    kind: str
    unit: str
    documents: int
    net: int
    tax: int
    total: int
    open: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some of what was found."""

    rows: tuple[Found, ...]
    next_id: int | None
    """Give it as before_id for the next page; None: this is the last."""


_COLUMNS = (
    InvoiceRow.id,
    InvoiceRow.kind,
    InvoiceRow.number,
    InvoiceRow.state,
    AccountRow.code,
    AccountRow.name,
    InvoiceRow.unit,
    InvoiceRow.issued_us,
    InvoiceRow.created_us,
    InvoiceRow.due_us,
    InvoiceRow.from_us,
    InvoiceRow.to_us,
    InvoiceRow.net,
    InvoiceRow.tax,
    InvoiceRow.total,
    InvoiceRow.open,
    InvoiceRow.disputed,
    InvoiceRow.dunning_step,
)


def search(
    session: Session, wanted: Wanted, now_us: int, *, limit: int = 50, before_id: int | None = None
) -> Page:
    """A page of what is wanted."""
    if not 0 < limit <= MAX_PAGE:
        raise InputRefused(f"a page holds 1 to {MAX_PAGE} documents")
    overdue = _overdue(now_us)
    columns: list[ColumnElement[Any]] = [*_COLUMNS, overdue]  # type: ignore[list-item]
    query = _found(session, select(*columns), wanted, now_us)
    if before_id is not None:
        query = query.where(InvoiceRow.id < before_id)
    rows = session.execute(query.order_by(InvoiceRow.id.desc()).limit(limit + 1)).all()
    found = tuple(Found(*row) for row in rows[:limit])
    return Page(found, found[-1].id if len(rows) > limit else None)


def sums(session: Session, wanted: Wanted, now_us: int) -> list[Sum]:
    """What all that is wanted comes to, by kind and unit."""
    amounts = (InvoiceRow.net, InvoiceRow.tax, InvoiceRow.total, InvoiceRow.open)
    columns = (InvoiceRow.kind, InvoiceRow.unit, func.count(), *(func.sum(x) for x in amounts))
    query = _found(session, select(*columns), wanted, now_us)
    query = query.group_by(InvoiceRow.kind, InvoiceRow.unit).order_by(InvoiceRow.kind, InvoiceRow.unit)
    return [Sum(kind, unit, *map(int, rest)) for kind, unit, *rest in session.execute(query)]


def find(session: Session, text: str, kinds: Sequence[str] = KINDS) -> InvoiceRow:
    """The one document of a number or an id, as a person names it."""
    query = select(InvoiceRow).where(InvoiceRow.number == text, InvoiceRow.kind.in_(kinds))
    rows = list(session.scalars(query.order_by(InvoiceRow.id).limit(3)))
    if not rows and text.isascii() and text.isdigit() and len(text) < 18:
        own = session.get(InvoiceRow, int(text))
        rows = [own] if own is not None and own.kind in kinds else []
    if not rows:
        raise InputRefused(f"there is no document {text[:64]!r}; `pbxbill invoices list` shows them")
    if len(rows) > 1:
        ids = ", ".join(str(row.id) for row in rows)
        raise InputRefused(f"several issuers have a document {text!r}: name it by its id ({ids})")
    return rows[0]


def _found(
    session: Session, query: Select[*tuple[Any, ...]], wanted: Wanted, now_us: int
) -> Select[*tuple[Any, ...]]:
    query = query.select_from(InvoiceRow).join(AccountRow, AccountRow.id == InvoiceRow.account_id)
    return query.where(*_conditions(session, wanted, now_us))


def _conditions(session: Session, wanted: Wanted, now_us: int) -> list[ColumnElement[bool]]:
    when = func.coalesce(InvoiceRow.issued_us, InvoiceRow.created_us)
    # Compared only where something is wanted: no column can be less than nothing.
    plain: list[tuple[Any, Callable[[Any], ColumnElement[bool]]]] = [
        (wanted.unit, lambda x: InvoiceRow.unit == x),
        (wanted.least, lambda x: InvoiceRow.total >= x),
        (wanted.most, lambda x: InvoiceRow.total <= x),
        (wanted.from_us, lambda x: when >= x),
        (wanted.to_us, lambda x: when < x),
        (wanted.period_from_us, lambda x: InvoiceRow.to_us > x),
        (wanted.period_to_us, lambda x: InvoiceRow.from_us < x),
        (wanted.due_before_us, lambda x: InvoiceRow.due_us < x),
        (wanted.dunning_step, lambda x: InvoiceRow.dunning_step == x),
        (wanted.run_id, lambda x: InvoiceRow.run_id == x),
        (wanted.cycle, of_cycle),
        (wanted.group, of_group),
        (wanted.number, lambda x: InvoiceRow.number.istartswith(x, autoescape=True)),
    ]
    conditions = [condition(value) for value, condition in plain if value is not None]
    if wanted.kinds:
        conditions.append(InvoiceRow.kind.in_(_known(wanted.kinds, KINDS, "kind")))
    if wanted.statuses:
        known = _known(wanted.statuses, STATUSES, "status")
        conditions.append(or_(*(status_condition(status, now_us) for status in known)))
    if wanted.account is not None:
        conditions.append(InvoiceRow.account_id == account_by_code(session, wanted.account).id)
    if wanted.issuer is not None:
        conditions.append(InvoiceRow.issuer_id == account_by_code(session, wanted.issuer).id)
    if wanted.reseller is not None:
        path = account_by_code(session, wanted.reseller).path
        conditions.append(AccountRow.path.startswith(path, autoescape=True))
    return conditions


def of_cycle(cycle: str) -> ColumnElement[bool]:
    """Of accounts that are billed so often; without a profile it is by the month."""
    return _of_profile(BillingProfileRow.cycle, cycle, "month")


def of_group(name: str) -> ColumnElement[bool]:
    """Of accounts in a billing group; without a profile they are in none."""
    return _of_profile(BillingProfileRow.group_name, name, "")


def _of_profile(column: Any, wanted: str, otherwise: str) -> ColumnElement[bool]:
    # The few profiles that differ are looked up, not that of each invoice.
    accounts = select(BillingProfileRow.account_id)
    if wanted == otherwise:
        return InvoiceRow.account_id.not_in(accounts.where(column != wanted))
    return InvoiceRow.account_id.in_(accounts.where(column == wanted))


def status_condition(status: str, now_us: int) -> ColumnElement[bool]:
    """What it is to have one of STATUSES."""
    match status:
        case "overdue":
            return _overdue(now_us)
        case "unpaid":
            return and_(InvoiceRow.kind.in_(ASKING), InvoiceRow.state.in_(UNSETTLED))
        case "disputed":
            return InvoiceRow.disputed_us.is_not(None)
        case "expired":
            open_quote = and_(InvoiceRow.kind == "quote", InvoiceRow.state == "open")
            return or_(InvoiceRow.state == "expired", and_(open_quote, InvoiceRow.due_us <= now_us))
        case "open":
            later = or_(InvoiceRow.due_us.is_(None), InvoiceRow.due_us > now_us)
            return and_(InvoiceRow.state == "open", later)
        case _:
            return InvoiceRow.state == status


def _overdue(now_us: int) -> ColumnElement[bool]:
    """Something is open past the day by which it was to be paid."""
    return and_(
        InvoiceRow.state.in_(UNSETTLED),
        InvoiceRow.kind.in_(ASKING),
        InvoiceRow.open > 0,
        func.coalesce(InvoiceRow.due_us, now_us) < now_us,
    )


def _known(words: Sequence[str], allowed: Sequence[str], what: str) -> Sequence[str]:
    for word in words:
        if word not in allowed:
            raise InputRefused(f"{what} {word[:40]!r}: use one of {', '.join(allowed)}")
    return words
