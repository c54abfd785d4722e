"""Tax rates of an issuer, and which accounts owe no tax, or not one of them."""

from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.clock import Clock
from pbxbill.listing.listing import (
    N_,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Listing,
    Order,
    Rows,
    contains,
    equals,
)
from pbxbill.store.billing_models import TaxExemptionRow, TaxRateRow
from pbxbill.store.models import AccountRow

_WHEN = (("now", N_("Now")), ("past", N_("Over")), ("coming", N_("To come")))


def _holds(row: Any, clock: Clock) -> Any:
    def narrow(query: Rows, value: str) -> Rows:
        now_us = clock.now_us()
        match value:
            case "now":
                return query.where(row.from_us <= now_us, or_(row.to_us.is_(None), row.to_us > now_us))
            case "past":
                return query.where(row.to_us <= now_us)
            case _:
                return query.where(row.from_us > now_us)

    return narrow


def _last_days(_session: Session, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if row["to_us"] is not None:
            row["to_us"] -= 1  # its last day, not the one after


def _rates(_session: Session, scope: Scope) -> Rows:
    columns = (
        "id", "name", "ppm", "category", "country", "region", "product_class", "from_us", "to_us",
        "compound", "inclusive", "position", "reason",
    )  # fmt: skip
    return select(*(getattr(TaxRateRow, x).label(x) for x in columns)).where(
        scope.issued(TaxRateRow.issuer_id)
    )


def tax_rates(clock: Clock) -> Listing:
    """Of the issuer who acts."""
    return Listing(
        name="tax-rates",
        title=N_("Tax rates"),
        permission=Permission.INVOICES_READ,
        columns=(
            Column("name", N_("Tax")),
            Column("ppm", N_("Rate"), ColumnKind.PPM),
            Column("category", N_("Category"), ColumnKind.CODE, wide=True),
            Column("country", N_("Country"), ColumnKind.CODE),
            Column("region", N_("Region"), wide=True),
            Column("product_class", N_("Product class"), ColumnKind.CODE),
            Column("from_us", N_("First day"), ColumnKind.DAY),
            Column("to_us", N_("Last day"), ColumnKind.DAY),
            Column("compound", N_("Compound"), ColumnKind.YES_NO, wide=True),
            Column("inclusive", N_("Inside prices"), ColumnKind.YES_NO, wide=True),
            Column("reason", N_("Printed reason"), wide=True),
        ),
        rows=_rates,
        orders=(
            Order("reckoned", N_("As they are reckoned"), TaxRateRow.position, TaxRateRow.id),
            Order("newest", N_("Newest first"), TaxRateRow.id, TaxRateRow.id, descending=True),
        ),
        filters=(
            Filter("q", N_("Tax"), contains(TaxRateRow.name)),
            Filter("country", N_("Country"), equals(TaxRateRow.country)),
            Filter("holds", N_("Holds"), _holds(TaxRateRow, clock), FilterKind.CHOICE, _WHEN),
        ),
        finish=_last_days,
    )


def _exemptions(_session: Session, scope: Scope) -> Rows:
    return (
        select(
            TaxExemptionRow.id.label("id"),
            AccountRow.code.label("account"),
            AccountRow.name.label("name"),
            TaxExemptionRow.tax_name.label("tax"),
            TaxExemptionRow.reason.label("reason"),
            TaxExemptionRow.certificate.label("certificate"),
            TaxExemptionRow.from_us.label("from_us"),
            TaxExemptionRow.to_us.label("to_us"),
        )
        .join(AccountRow, AccountRow.id == TaxExemptionRow.account_id)
        .where(scope.among(TaxExemptionRow.account_id))
    )


def tax_exemptions(clock: Clock) -> Listing:
    """Of the accounts of a scope."""
    return Listing(
        name="tax-exemptions",
        title=N_("Tax exemptions"),
        permission=Permission.INVOICES_READ,
        columns=(
            Column("account", N_("Account"), ColumnKind.CODE),
            Column("name", N_("Name"), wide=True),
            Column("tax", N_("Tax that it does not owe")),
            Column("reason", N_("Printed reason")),
            Column("certificate", N_("Certificate"), ColumnKind.CODE, wide=True),
            Column("from_us", N_("First day"), ColumnKind.DAY),
            Column("to_us", N_("Last day"), ColumnKind.DAY),
        ),
        rows=_exemptions,
        orders=(
            Order("newest", N_("Newest first"), TaxExemptionRow.id, TaxExemptionRow.id, descending=True),
            Order("account", N_("Account"), AccountRow.code, TaxExemptionRow.id),
        ),
        filters=(
            Filter("q", N_("Code or name"), contains(AccountRow.code, AccountRow.name)),
            Filter("account", N_("Account's code"), equals(AccountRow.code)),
            Filter("holds", N_("Holds"), _holds(TaxExemptionRow, clock), FilterKind.CHOICE, _WHEN),
        ),
        finish=_last_days,
    )
