"""What an entry of the audit log says was changed, as people read it: names for columns, links for ids.

A name or a link of another object is given where the reader may open its page and the object is in his scope;
else its id stands there.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import current_app, url_for
from flask_babel import gettext
from markupsafe import Markup
from sqlalchemy import ColumnElement, false, or_, select, true
from sqlalchemy.orm import Session

from pbxbill.access.actor import Actor
from pbxbill.access.permissions import Permission
from pbxbill.listing.audit_log import object_text
from pbxbill.listing.listing import N_
from pbxbill.listing.sellers import kept_by_sellers
from pbxbill.store.models import AccountRow, Base, JournalEntryRow, LedgerAccountRow, PostingRow
from pbxbill.web.audit_columns import UNTOLD, column_text
from pbxbill.web.audit_things import BESIDE, TABLES, table_text
from pbxbill.web.formatting import duration_s, moment, money, ppm, yes_no
from pbxbill.web.front import needed_by
from pbxbill.web.words import english_of, word_of

NAMED_BY = ("code", "number", "login", "name", "serial", "value", "unit")
"""Which of its values names a row: the first that it has."""
OWNED_BY = ("account_id", "issuer_id", "scope_id")
POINTS_TO = {
    "account": "accounts", "parent": "accounts", "issuer": "accounts", "referrer": "accounts",
    "wallet": "wallets", "tariff": "tariffs", "inbound_tariff": "tariffs", "plan": "plans",
    "deck": "rate_decks", "bundle": "bundles", "invoice": "invoices", "charge": "charges", "user": "users",
    "subscription": "subscriptions", "carrier": "carriers", "destination": "destinations",
    "dialling_rule": "dialling_rules", "template": "templates", "calendar": "band_calendars",
    "dunning_policy": "dunning_policies", "endpoint": "endpoints", "gateway": "payment_gateways",
    "card": "calling_cards", "penalty_class": "penalty_classes", "meter": "meters", "did": "dids",
}  # fmt: skip
"""Columns NAME_id: a row of which table."""
AMOUNTS = frozenset((
    "amount", "credit_limit", "net", "tax", "total", "due", "open", "posted", "reserved", "below", "disputed",
    "daily_cap", "monthly_cap", "unit_price", "minimum_balance", "refunded", "received", "from_wallet",
    "overdraft", "tell_below", "old_total", "new_total",
))  # fmt: skip
_STATEMENT = re.compile(r"(new|changed|deleted) by a statement(?: \((\d+) rows\))?")
_HOWS = {
    "new": N_("Made"),
    "changed": N_("Changed"),
    "deleted": N_("Removed"),
    "all new": N_("Made, all at once"),
    "all changed": N_("Changed, all that it fits"),
    "all deleted": N_("Removed, all that it fits"),
}
_NUMBERED = re.compile(r"_\d+$")


@dataclass(frozen=True, slots=True)
class Value:
    """One column: its name, what it was, and what it is."""

    name: str
    before: Markup | str
    after: Markup | str


@dataclass(frozen=True, slots=True)
class Told:
    """One change, as a page shows it."""

    title: str
    name: str
    url: str
    """Of the object's page; empty: it has none, or the reader may not open it."""
    object: str
    """As the list's filter takes it; empty: the log does not say which it was."""
    how: str
    values: Sequence[Value]


def is_beside(change: Mapping[str, Any]) -> bool:
    """Whether it is what pbxbill keeps for itself."""
    return change.get("table") in BESIDE


class ChangeTeller:
    """Tells one reader of changes."""

    def __init__(self, session: Session, actor: Actor) -> None:
        self._session, self._actor = session, actor
        self._models = {x.local_table.name: x.class_ for x in Base.registry.mappers}  # type: ignore[attr-defined]
        self._rows: dict[tuple[str, str], Any] = {}

    def told(self, change: Mapping[str, Any], *, whole: bool = False) -> Told:
        """A change in words; whole: with what tells a reader nothing."""
        table, key = change["table"], change["key"]
        row = self._row(table, key) if key else None
        return Told(
            table_text(table),
            self._name(row) if row is not None else " ".join(map(str, key or ())),
            self._url(table, key) if row is not None else "",
            object_text(table, key) if key else "",
            _how(change["how"]),
            tuple(self._values(change, row, whole=whole)),
        )

    def _values(self, change: Mapping[str, Any], row: Any, *, whole: bool) -> Iterator[Value]:
        before, after = change["before"], change["after"]
        unit = after.get("unit") or before.get("unit") or self._unit(row, {**before, **after})
        for name in dict.fromkeys((*before, *after)):
            column = _NUMBERED.sub("", name.removeprefix("where ")) if name.startswith("where ") else name
            if column in UNTOLD and not whole:
                continue
            text = column_text(column)
            if column != name:
                text = gettext("of those whose “%(name)s” is", name=text)
            was, is_now = (
                self._value(column, x[name], unit) if name in x else Markup() for x in (before, after)
            )
            if was or is_now:
                yield Value(text, was, is_now)

    def _unit(self, row: Any, values: Mapping[str, Any]) -> str | None:
        if row is not None and isinstance(getattr(row, "unit", None), str):
            return str(row.unit)
        wallet = self._row("wallets", [values["wallet_id"]]) if values.get("wallet_id") else None
        return None if wallet is None else str(wallet.unit)

    def _value(self, column: str, value: Any, unit: str | None) -> Markup | str:
        if value is None or value == "":
            return ""
        if isinstance(value, bool):
            return yes_no(value)
        if isinstance(value, int):
            return self._number(column, value, unit)
        return word_of(str(value)) if english_of(str(value)) else str(value)

    def _number(self, column: str, value: int, unit: str | None) -> Markup | str:
        if column.endswith("_us"):
            return moment(value, seconds=True) if value else ""
        if column.endswith("_s"):
            return duration_s(value)
        if column == "ppm" or column.endswith("_ppm"):
            return ppm(value)
        if column in AMOUNTS and unit is not None:
            return money(value, unit)
        table = POINTS_TO.get(column.removesuffix("_id")) if column.endswith("_id") else None
        return str(value) if table is None else self._pointer(table, value)

    def _pointer(self, table: str, id: int) -> Markup | str:
        row = self._row(table, [id])
        if row is None:
            return str(id)
        url = self._url(table, [id])
        return Markup('<a href="{}">{}</a>').format(url, self._name(row)) if url else self._name(row)

    @staticmethod
    def _name(row: Any) -> str:
        if isinstance(row, JournalEntryRow):
            return word_of(row.kind)
        found = (getattr(row, x, None) for x in NAMED_BY)
        return next((str(x) for x in found if x), str(getattr(row, "id", "")))

    def _row(self, table: str, key: Sequence[Any]) -> Any:
        """A row that the reader may see; None where it is gone, or is none of his."""
        at = (table, ",".join(map(str, key)))
        if at not in self._rows:
            self._rows[at] = self._read(table, key)
        return self._rows[at]

    def _read(self, table: str, key: Sequence[Any]) -> Any:
        model = self._models.get(table)
        columns = [] if model is None else list(model.__table__.primary_key.columns)
        if model is None or len(columns) != len(key):
            return None
        kinds = (int if x.type.python_type is int else str for x in columns)
        if not all(isinstance(value, kind) for value, kind in zip(key, kinds, strict=True)):
            return None  # it is written as text where it is neither
        named = (column == value for column, value in zip(columns, key, strict=True))
        return self._session.scalar(select(model).where(*named, self._in_scope(model)))

    def _in_scope(self, model: Any) -> ColumnElement[bool]:
        scope = self._actor.scope
        if scope.is_everything:
            return true()
        if model is JournalEntryRow:
            at = LedgerAccountRow.id == PostingRow.ledger_account_id
            own = (
                PostingRow.entry_id == JournalEntryRow.id,
                kept_by_sellers(scope, LedgerAccountRow.issuer_id),
            )
            return select(PostingRow.entry_id).join(LedgerAccountRow, at).where(*own).exists()
        columns = [getattr(model, x) for x in OWNED_BY if hasattr(model, x)]
        if model is AccountRow:
            columns = [AccountRow.id]
        # What belongs to nobody is the operator's.
        return or_(false(), *(y for x in columns for y in (scope.among(x), scope.issued(x))))

    def _url(self, table: str, key: Sequence[Any]) -> str:
        endpoint = TABLES.get(table, ("", ""))[1]
        view = current_app.view_functions.get(endpoint)
        if view is None:
            return ""
        needed = needed_by(view)
        if isinstance(needed, Permission) and not self._actor.may(needed):
            return ""
        rule = next(x for x in current_app.url_map.iter_rules(endpoint) if len(x.arguments) == 1)
        return url_for(endpoint, **{next(iter(rule.arguments)): key[0]})


def _how(how: str) -> str:
    statement = _STATEMENT.fullmatch(how)
    if statement is not None:
        how = f"all {statement[1]}"
    known = _HOWS.get(how)
    return how if known is None else str(gettext(known))
