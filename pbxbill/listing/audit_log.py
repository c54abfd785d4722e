"""The audit log as a list: who did what to what, of which area, and all that was done with one object."""

import re
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Select, and_, any_, func, or_, select, true
from sqlalchemy.orm import Session, aliased

from pbxbill.access.actor import Scope
from pbxbill.access.audit import MAX_KEY_LENGTH, key_text
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
from pbxbill.store.access_models import AuditObjectRow, AuditRow
from pbxbill.store.models import AccountRow
from pbxbill.store.prefixes import begins_with

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
_OBJECT = re.compile(rf"([a-z_]{{1,64}})[ /]([^\s\"\\]{{1,{MAX_KEY_LENGTH}}})")


def _done_by(session: Session, scope: Scope) -> ColumnElement[bool]:
    """What was done for the account for which somebody acts, or for those below it."""
    if scope.own:
        return AuditRow.scope_id == scope.account_id
    if scope.is_everything:
        return true()
    ids = select(AccountRow.id).where(begins_with(AccountRow.path, scope.path))
    if session.get_bind().dialect.name == "sqlite":
        return AuditRow.scope_id.in_(ids)
    # With IN, or by the accounts alone, PostgreSQL reads the log from its end until a page is full.
    entry = aliased(AuditRow)
    return AuditRow.id == _any_of(select(entry.id).where(entry.scope_id == _any_of(ids)))


def _any_of(ids: Select[int]) -> ColumnElement[Any]:
    """What is compared by the index with each id that is found first."""
    return any_(func.array(ids.scalar_subquery(), type_=ARRAY(BigInteger)))


def _audit(session: Session, scope: Scope) -> Rows:
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
        .where(_done_by(session, scope))
    )


def _of_area(query: Rows, area: str) -> Rows:
    if area == CHANGES:
        return query.where(AuditRow.action.not_in(LOG_INS))
    if area == COMMANDS:
        return query.where(AuditRow.action.not_like("%.%"))
    return query.where(or_(*(AuditRow.action.like(f"{x}.%") for x in AREAS[area][1])))


def object_text(table: str, key: list[Any]) -> str:
    """An object as the filter takes it: invoices 17."""
    return f"{table} {key_text(key)}"


def _of_object(query: Rows, text: str) -> Rows:
    """What names the object among what it changed; of an account also all that was about it."""
    found = _OBJECT.fullmatch(text)
    if found is None:
        raise FilterRefused("object", f"{text[:40]!r} is no object; write it as invoices 17")
    # Both columns of the order are joined: the object's own entries are then read in it.
    entry = and_(AuditObjectRow.entry_id == AuditRow.id, AuditObjectRow.at_us == AuditRow.at_us)
    return query.join(AuditObjectRow, entry).where(
        AuditObjectRow.object_table == found[1], AuditObjectRow.object_key == found[2]
    )


def _of_account(query: Rows, code: str) -> Rows:
    return query.where(
        AuditRow.account_id == select(AccountRow.id).where(AccountRow.code == code).scalar_subquery()
    )


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
    orders=(Order("newest", N_("Newest first"), AuditRow.at_us, AuditRow.id, descending=True),),
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
        Filter("account", N_("Account's code"), _of_account),
        Filter("from", N_("From"), at_least(AuditRow.at_us), FilterKind.DAY),
        Filter("to", N_("To"), below(AuditRow.at_us), FilterKind.DAY, next_day=True),
        Filter("object", N_("One object, e.g. invoices 17"), _of_object),
        Filter("action", N_("Its code, e.g. invoice.issue"), begins(AuditRow.action)),
    ),
    looked_through=("actor", "area", "q", "action"),
)
