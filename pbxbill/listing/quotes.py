"""The list of quotes: of the invoices' columns and filters what offers have, and how long they are good."""

from dataclasses import replace

from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.clock import Clock
from pbxbill.listing.invoices import invoices
from pbxbill.listing.listing import N_, Column, ColumnKind, Filter, Listing, Rows, equals
from pbxbill.store.invoice_models import InvoiceRow

_COLUMNS = ("number", "account", "name", "state", "issued_us", "net", "tax", "total")
_FILTERS = ("number", "account", "status", "unit", "from", "to")
_STATUSES = ("open", "accepted", "refused", "expired")


def quotes(clock: Clock) -> Listing:
    """The list, in which what is over follows from a clock."""
    everything = invoices(clock)
    columns = {x.key: x for x in everything.columns}

    def rows(session: Session, scope: Scope) -> Rows:
        return equals(InvoiceRow.kind)(everything.rows(session, scope), "quote")

    return replace(
        everything,
        name="quotes",
        title=N_("Quotes"),
        columns=(*(columns[x] for x in _COLUMNS), Column("due_us", N_("Valid until"), ColumnKind.DAY)),
        rows=rows,
        filters=tuple(_narrowed(x) for x in everything.filters if x.key in _FILTERS),
    )


def _narrowed(known: Filter) -> Filter:
    if known.key != "status":
        return known
    return replace(known, choices=tuple(x for x in known.choices if x[0] in _STATUSES))
