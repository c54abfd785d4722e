"""The list of alerts: what somebody should know of, and whether it is dealt with."""

from typing import Any

from sqlalchemy import ColumnElement, case, select, true
from sqlalchemy.orm import Session

from pbxbill.access.actor import Actor, Scope
from pbxbill.access.permissions import Permission
from pbxbill.listing.listing import (
    N_,
    Asked,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Listing,
    Order,
    Rows,
    at_least,
    below,
    contains,
    equals,
    narrowed,
)
from pbxbill.store.catalogue_models import AlertRow
from pbxbill.store.models import AccountRow

_STATE = case((AlertRow.done_us.is_(None), "open"), else_="done")


def _rows(_session: Session, scope: Scope) -> Rows:
    names = ("id", "at_us", "kind", "account_id", "subject", "detail", "done_us", "done_by")
    columns = [getattr(AlertRow, x).label(x) for x in names]
    return select(*columns, _STATE.label("state")).where(alert_seen(scope))


def _finish(session: Session, rows: list[dict[str, Any]]) -> None:
    ids = {x["account_id"] for x in rows if x["account_id"] is not None}
    named = session.execute(select(AccountRow.id, AccountRow.code).where(AccountRow.id.in_(ids)))
    codes = {row.id: row.code for row in named}
    for row in rows:
        row["account"] = codes.get(row["account_id"])


def _of_account(query: Rows, code: str) -> Rows:
    return query.where(
        AlertRow.account_id == select(AccountRow.id).where(AccountRow.code == code).scalar_subquery()
    )


ALERTS = Listing(
    name="alerts",
    title=N_("Alerts"),
    permission=Permission.NOTICES_READ,
    columns=(
        Column("at_us", N_("When"), ColumnKind.MOMENT),
        Column("kind", N_("Kind"), ColumnKind.STATE),
        Column("subject", N_("About"), ColumnKind.SENTENCE),
        Column("detail", N_("What happened"), ColumnKind.SENTENCE, wide=True),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("state", N_("State"), ColumnKind.STATE),
    ),
    rows=_rows,
    orders=(Order("newest", N_("Newest first"), AlertRow.at_us, AlertRow.id, descending=True),),
    filters=(
        Filter("q", N_("About"), contains(AlertRow.subject, AlertRow.detail)),
        Filter(
            "state",
            N_("State"),
            lambda query, state: query.where(state == _STATE),
            FilterKind.CHOICE,
            (("open", "Open"), ("done", "Done")),
        ),
        Filter("kind", N_("Kind"), equals(AlertRow.kind)),
        Filter("account", N_("Account's code"), _of_account),
        Filter("from", N_("From"), at_least(AlertRow.at_us), FilterKind.DAY),
        Filter("to", N_("To"), below(AlertRow.at_us), FilterKind.DAY, next_day=True),
    ),
    finish=_finish,
)
"""Who sells sees what concerns his accounts; who takes cash for somebody sees none."""


def alert_seen(scope: Scope) -> ColumnElement[bool]:
    """The condition that an alert may be seen. Those without an account are of the installation itself."""
    return true() if scope.is_everything else scope.among(AlertRow.account_id)


def may_mark(actor: Actor, account_id: int | None) -> bool:
    """Whether somebody says that an alert of an account is dealt with.

    What is of the installation itself is the matter of whoever runs it.
    """
    return actor.may(Permission.OPERATIONS_WRITE if account_id is None else Permission.NOTICES_WRITE)


def open_alerts(session: Session, actor: Actor, asked: Asked) -> list[int]:
    """Ids of those that filters leave, that nobody has dealt with and he may; FilterRefused as page_of()."""
    chosen = narrowed(session, ALERTS, actor.scope, asked).subquery()
    query = select(chosen.c.id).where(chosen.c.done_us.is_(None))
    if not may_mark(actor, None):
        query = query.where(chosen.c.account_id.is_not(None))
    return list(session.scalars(query))
