"""Billing runs and their accounts: how far each is, and which could not be billed."""

import json
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.listing.listing import (
    N_,
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
)
from pbxbill.store.invoice_models import BillingRunAccountRow, BillingRunRow
from pbxbill.store.models import AccountRow

RUN_STATES = ("running", "stopping", "stopped", "done")


def in_scope(scope: Scope) -> Any:
    """The condition that a run may be seen: the operator sees all, a reseller those that are his."""
    return (
        BillingRunRow.id.is_not(None) if scope.is_everything else BillingRunRow.scope_id == scope.account_id
    )


def _rows(_session: Session, scope: Scope) -> Rows:
    return select(
        BillingRunRow.id.label("id"),
        BillingRunRow.state.label("state"),
        BillingRunRow.accounts.label("accounts"),
        BillingRunRow.started_us.label("started_us"),
        BillingRunRow.ended_us.label("ended_us"),
        BillingRunRow.by.label("by"),
        BillingRunRow.definition.label("definition"),
    ).where(in_scope(scope))


def _counted(session: Session, rows: list[dict[str, Any]]) -> None:
    query = (
        select(BillingRunAccountRow.run_id, BillingRunAccountRow.state, func.count())
        .where(BillingRunAccountRow.run_id.in_([x["id"] for x in rows]))
        .group_by(BillingRunAccountRow.run_id, BillingRunAccountRow.state)
    )
    found = {(run_id, state): count for run_id, state, count in session.execute(query)}
    for row in rows:
        definition = json.loads(row.pop("definition"))
        row["until_us"] = definition["until_us"]
        row["done"] = found.get((row["id"], "done"), 0)
        row["failed"] = found.get((row["id"], "failed"), 0)


BILLING_RUNS = Listing(
    name="billing-runs",
    title=N_("Invoice runs"),
    permission=Permission.INVOICES_READ,
    columns=(
        Column("id", N_("Run"), ColumnKind.CODE),
        Column("state", N_("State"), ColumnKind.STATE),
        Column("until_us", N_("Bills up to"), ColumnKind.MOMENT),
        Column("accounts", N_("Accounts"), ColumnKind.COUNT),
        Column("done", N_("Billed"), ColumnKind.COUNT),
        Column("failed", N_("Failed"), ColumnKind.COUNT),
        Column("started_us", N_("Begun"), ColumnKind.MOMENT, wide=True),
        Column("ended_us", N_("Ended"), ColumnKind.MOMENT, wide=True),
        Column("by", N_("By"), wide=True),
    ),
    rows=_rows,
    orders=(
        Order("newest", N_("Newest first"), BillingRunRow.id, BillingRunRow.id, descending=True),
        Order("oldest", N_("Oldest first"), BillingRunRow.id, BillingRunRow.id),
    ),
    filters=(
        Filter("by", N_("By"), contains(BillingRunRow.by)),
        Filter(
            "state",
            N_("State"),
            equals(BillingRunRow.state),
            FilterKind.CHOICE,
            tuple((x, x.capitalize()) for x in RUN_STATES),
        ),
        Filter("from", N_("Begun from"), at_least(BillingRunRow.started_us), FilterKind.DAY),
        Filter("to", N_("Begun to"), below(BillingRunRow.started_us), FilterKind.DAY, next_day=True),
    ),
    finish=_counted,
)


def _account_rows(_session: Session, scope: Scope) -> Rows:
    return (
        select(
            BillingRunAccountRow.account_id.label("id"),
            AccountRow.code.label("account"),
            AccountRow.name.label("name"),
            BillingRunAccountRow.state.label("state"),
            BillingRunAccountRow.invoices.label("invoices"),
            BillingRunAccountRow.detail.label("detail"),
            BillingRunAccountRow.at_us.label("at_us"),
        )
        .join(AccountRow, AccountRow.id == BillingRunAccountRow.account_id)
        .join(BillingRunRow, BillingRunRow.id == BillingRunAccountRow.run_id)
        .where(in_scope(scope), scope.among(BillingRunAccountRow.account_id))
    )


BILLED_ACCOUNTS = Listing(
    name="billed-accounts",
    title=N_("Accounts of the run"),
    permission=Permission.INVOICES_READ,
    columns=(
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("name", N_("Name"), wide=True),
        Column("state", N_("State"), ColumnKind.STATE),
        Column("invoices", N_("Invoices"), ColumnKind.COUNT),
        Column("detail", N_("Why it failed"), ColumnKind.SENTENCE),
        Column("at_us", N_("When"), ColumnKind.MOMENT, wide=True),
    ),
    rows=_account_rows,
    orders=(Order("account", N_("Account"), AccountRow.code, BillingRunAccountRow.account_id),),
    filters=(
        Filter("q", N_("Code or name"), contains(AccountRow.code, AccountRow.name)),
        Filter(
            "state",
            N_("State"),
            equals(BillingRunAccountRow.state),
            FilterKind.CHOICE,
            (("waiting", N_("Waiting")), ("done", N_("Done")), ("failed", N_("Failed"))),
        ),
        Filter("run", N_("Run"), equals(BillingRunAccountRow.run_id), FilterKind.NUMBER),
    ),
)
"""Of one run: run says which."""
