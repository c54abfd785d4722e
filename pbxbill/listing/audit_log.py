"""The audit log as a list: who did what to what, of which area, and all that was done with one object."""

import json
import re
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.listing.listing import (
    N_,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    FilterRefused,
    Listing,
    Order,
    Rows,
    at_least,
    begins,
    below,
    contains,
    equals,
)
from pbxbill.listing.users import within
from pbxbill.store.access_models import AuditRow
from pbxbill.store.models import AccountRow

LOG_INS = ("user.log-in", "user.session-end", "view.keep", "view.forget")
"""What people do without changing anything for others."""
AREAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "accounts": (
        N_("Accounts"),
        (
            "account", "billing", "country", "endpoint", "limit", "note", "party", "request", "service",
            "subscription", "wallet",
        ),
    ),
    "calls": (N_("Calls"), ("call", "calls", "quarantine", "rerating")),
    "prices": (
        N_("Prices"),
        (
            "bundle", "calendar", "deck", "destination", "destinations", "dialling-rule", "exchange",
            "meter", "meter-tariff", "plan", "points", "rates", "tariff", "tax", "unit",
        ),
    ),
    "numbers": (N_("Numbers"), ("access-number", "number", "numbers")),
    "invoices": (
        N_("Invoices"),
        ("charge", "draft", "invoice", "invoices", "issuer", "quote", "run", "template"),
    ),
    "payments": (N_("Payments"), ("auto-top-up", "card", "gateway", "payment", "top_up", "voucher")),
    "dunning": (N_("Dunning"), ("dispute", "dunning", "life-cycle", "penalty", "promise")),
    "notices": (N_("Notices"), ("alert", "message", "notice", "thresholds", "webhook", "mail-server")),
    "operations": (N_("Operations"), ("carrier", "job", "report")),
    "access": (N_("Users and API keys"), ("key", "user", "view")),
    "company": (N_("Company"), ("brand", "operator")),
}  # fmt: skip
"""Parts of the panel, and how the codes of what is done there begin."""
CHANGES, COMMANDS = "changes", "commands"
_HOWS = ("new", "changed", "deleted")


def _audit(_session: Session, scope: Scope) -> Rows:
    return (
        select(
            AuditRow.id.label("id"),
            AuditRow.at_us.label("at_us"),
            AuditRow.actor.label("actor"),
            AuditRow.action.label("action"),
            AuditRow.subject.label("subject"),
            AccountRow.code.label("account"),
            AuditRow.address.label("address"),
        )
        .outerjoin(AccountRow, AccountRow.id == AuditRow.account_id)
        .where(within(scope, AuditRow.scope_id))
    )


def _of_area(query: Rows, area: str) -> Rows:
    if area == CHANGES:
        return query.where(AuditRow.action.not_in(LOG_INS))
    if area == COMMANDS:
        return query.where(AuditRow.action.not_like("%.%"))
    return query.where(or_(*(AuditRow.action.like(f"{x}.%") for x in AREAS[area][1])))


def object_text(table: str, key: list[Any]) -> str:
    """An object as the filter takes it: invoices 17."""
    return f"{table} {','.join(map(str, key))}"


def _of_object(query: Rows, text: str) -> Rows:
    """What names the object among what it changed; of an account also all that was about it."""
    found = re.fullmatch(r"([a-z_]{1,64})[ /]([^\s\"\\]{1,128})", text)
    if found is None:
        raise FilterRefused("object", f"{text[:40]!r} is no object; write it as invoices 17")
    table, key = found[1], [int(x) if x.isdigit() and x.isascii() else x for x in found[2].split(",")]
    return query.where(or_(*_namings(table, key)))


def _namings(table: str, key: list[Any]) -> list[ColumnElement[bool]]:
    # As access/audit.py writes a change: its key follows its table and how it changed.
    written = (
        json.dumps({"table": table, "how": how, "key": key}, ensure_ascii=False)[1:-1] for how in _HOWS
    )
    namings = [AuditRow.changes.contains(x, autoescape=True) for x in written]
    if table == AccountRow.__tablename__ and isinstance(key[0], int) and key[0] < 2**63:
        namings.append(and_(AuditRow.account_id.is_not(None), AuditRow.account_id == key[0]))
    return namings


AUDIT_LOG = Listing(
    name="audit-log",
    title=N_("Audit log"),
    permission=Permission.AUDIT_READ,
    columns=(
        Column("at_us", N_("When"), ColumnKind.MOMENT, exact=True),
        Column("actor", N_("Who"), ColumnKind.CODE),
        Column("action", N_("What"), ColumnKind.ACTION),
        Column("subject", N_("To what")),
        Column("account", N_("Account"), ColumnKind.CODE, wide=True),
        Column("address", N_("From"), ColumnKind.CODE, wide=True),
    ),
    rows=_audit,
    orders=(Order("newest", N_("Newest first"), AuditRow.id, AuditRow.id, descending=True),),
    filters=(
        Filter("actor", N_("Who"), equals(AuditRow.actor)),
        Filter(
            "area",
            N_("What"),
            _of_area,
            FilterKind.CHOICE,
            (
                (CHANGES, N_("All but log-ins and views")),
                *((key, label) for key, (label, _) in AREAS.items()),
                (COMMANDS, N_("On the command line")),
            ),
        ),
        Filter("q", N_("To what"), contains(AuditRow.subject)),
        Filter("account", N_("Account's code"), equals(AccountRow.code)),
        Filter("from", N_("From"), at_least(AuditRow.at_us), FilterKind.DAY),
        Filter("to", N_("To"), below(AuditRow.at_us), FilterKind.DAY, next_day=True),
        Filter("object", N_("One object, e.g. invoices 17"), _of_object),
        Filter("action", N_("Its code, e.g. invoice.issue"), begins(AuditRow.action)),
    ),
)
