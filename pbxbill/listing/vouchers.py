"""Lists of vouchers: batches, and the single ones by their serials."""

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
from pbxbill.listing.sellers import kept_by_sellers
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import VoucherBatchRow, VoucherRow

BATCH_STATES = (("making", N_("Being made")), ("active", N_("Active")), ("blocked", N_("Blocked")))
VOUCHER_STATES = (("new", N_("New")), ("redeemed", N_("Redeemed")), ("blocked", N_("Blocked")))


def _batches(_session: Session, scope: Scope) -> Rows:
    row = VoucherBatchRow
    return (
        select(
            row.id.label("id"),
            row.name.label("name"),
            AccountRow.code.label("issuer"),
            row.value.label("value"),
            row.unit.label("unit"),
            row.state.label("state"),
            row.count.label("count"),
            row.from_us.label("from_us"),
            row.to_us.label("to_us"),
            row.created_us.label("created_us"),
        )
        .join(AccountRow, AccountRow.id == row.issuer_id)
        .where(kept_by_sellers(scope, row.issuer_id))
    )


def _redeemed(session: Session, rows: list[dict[str, Any]]) -> None:
    counted = session.execute(
        select(VoucherRow.batch_id, func.count())
        .where(VoucherRow.batch_id.in_([x["id"] for x in rows]), VoucherRow.state == "redeemed")
        .group_by(VoucherRow.batch_id)
    )
    counts = {batch_id: count for batch_id, count in counted}  # noqa: C416  # rows are no pairs to the types
    for row in rows:
        row["redeemed"] = counts.get(row["id"], 0)


def _vouchers(_session: Session, scope: Scope) -> Rows:
    row = VoucherRow
    return (
        select(
            row.id.label("id"),
            row.serial.label("serial"),
            row.batch_id.label("batch_id"),
            VoucherBatchRow.name.label("batch"),
            VoucherBatchRow.value.label("value"),
            VoucherBatchRow.unit.label("unit"),
            row.state.label("state"),
            AccountRow.code.label("account"),
            row.redeemed_us.label("redeemed_us"),
            row.channel.label("channel"),
            row.by.label("by"),
            row.entry_id.label("entry"),
        )
        .join(VoucherBatchRow, VoucherBatchRow.id == row.batch_id)
        .outerjoin(AccountRow, AccountRow.id == row.account_id)
        .where(kept_by_sellers(scope, VoucherBatchRow.issuer_id))
    )


BATCHES = Listing(
    name="voucher-batches",
    title=N_("Vouchers"),
    permission=Permission.VOUCHERS_READ,
    columns=(
        Column("name", N_("Batch")),
        Column("issuer", N_("Whose"), ColumnKind.CODE, wide=True),
        Column("value", N_("Value of each"), ColumnKind.MONEY),
        Column("state", N_("State"), ColumnKind.STATE),
        Column("count", N_("Vouchers"), ColumnKind.COUNT),
        Column("redeemed", N_("Redeemed"), ColumnKind.COUNT),
        Column("from_us", N_("Valid from"), ColumnKind.DAY, wide=True),
        Column("to_us", N_("Valid to"), ColumnKind.DAY, wide=True),
    ),
    rows=_batches,
    orders=(
        Order("newest", N_("Newest first"), VoucherBatchRow.id, VoucherBatchRow.id, descending=True),
        Order("name", N_("Name"), VoucherBatchRow.name, VoucherBatchRow.id),
    ),
    filters=(
        Filter("q", N_("Name"), contains(VoucherBatchRow.name)),
        Filter("state", N_("State"), equals(VoucherBatchRow.state), FilterKind.CHOICE, BATCH_STATES),
    ),
    finish=_redeemed,
)

VOUCHERS = Listing(
    name="vouchers",
    title=N_("Vouchers by serial"),
    permission=Permission.VOUCHERS_READ,
    columns=(
        Column("serial", N_("Serial"), ColumnKind.CODE),
        Column("batch", N_("Batch")),
        Column("value", N_("Value"), ColumnKind.MONEY),
        Column("state", N_("State"), ColumnKind.STATE),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("redeemed_us", N_("Redeemed"), ColumnKind.MOMENT, wide=True),
        Column("channel", N_("By way of"), ColumnKind.STATE, wide=True),
        Column("by", N_("By"), wide=True),
    ),
    rows=_vouchers,
    orders=(
        Order("oldest", N_("In order"), VoucherRow.id, VoucherRow.id),
        Order("newest", N_("Newest first"), VoucherRow.id, VoucherRow.id, descending=True),
    ),
    filters=(
        Filter("serial", N_("Serial"), equals(VoucherRow.serial), FilterKind.NUMBER),
        Filter("batch_id", N_("Number of the batch"), equals(VoucherRow.batch_id), FilterKind.NUMBER),
        Filter("batch", N_("Batch"), contains(VoucherBatchRow.name)),
        Filter("state", N_("State"), equals(VoucherRow.state), FilterKind.CHOICE, VOUCHER_STATES),
        Filter("account", N_("Account's code"), equals(AccountRow.code)),
        Filter("from", N_("Redeemed from"), at_least(VoucherRow.redeemed_us), FilterKind.DAY),
        Filter("to", N_("Redeemed to"), below(VoucherRow.redeemed_us), FilterKind.DAY, next_day=True),
    ),
)
