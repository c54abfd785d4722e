"""Templates of documents: which version of each is in use, and who uses it."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.listing.listing import N_, Column, ColumnKind, Filter, Listing, Order, Rows, contains
from pbxbill.store.billing_models import BillingProfileRow, IssuerRow
from pbxbill.store.invoice_models import TemplateRow, TemplateVersionRow


def _rows(_session: Session, scope: Scope) -> Rows:
    return select(
        TemplateRow.id.label("id"),
        TemplateRow.name.label("name"),
        TemplateRow.issuer_id.label("issuer_id"),
        TemplateRow.current_version.label("current"),
    ).where(scope.issued(TemplateRow.issuer_id))


def _versions(session: Session, rows: list[dict[str, Any]]) -> None:
    ids = [x["id"] for x in rows]
    newest = (
        select(TemplateVersionRow.template_id, func.max(TemplateVersionRow.number).label("number"))
        .where(TemplateVersionRow.template_id.in_(ids))
        .group_by(TemplateVersionRow.template_id)
        .subquery()
    )
    last = {
        template_id: (number, saved_us, error)
        for template_id, number, saved_us, error in session.execute(
            select(
                TemplateVersionRow.template_id,
                TemplateVersionRow.number,
                TemplateVersionRow.created_us,
                TemplateVersionRow.error,
            ).join(
                newest,
                (newest.c.template_id == TemplateVersionRow.template_id)
                & (newest.c.number == TemplateVersionRow.number),
            )
        )
    }
    counted = select(BillingProfileRow.template_id, func.count().label("accounts")).where(
        BillingProfileRow.template_id.in_(ids)
    )
    chosen: dict[int | None, int] = {
        row.template_id: row.accounts
        for row in session.execute(counted.group_by(BillingProfileRow.template_id))
    }
    standard = set(session.scalars(select(IssuerRow.template_id).where(IssuerRow.template_id.in_(ids))))
    for row in rows:
        number, saved_us, error = last.get(row["id"], (0, None, ""))
        row |= {
            "newest": number,
            "saved_us": saved_us,
            "state": "fail" if error else "ok",
            "standard": row["id"] in standard,
            "accounts": chosen.get(row["id"], 0),
        }


INVOICE_TEMPLATES = Listing(
    name="invoice-templates",
    title=N_("Templates"),
    permission=Permission.INVOICES_READ,
    columns=(
        Column("name", N_("Name")),
        Column("current", N_("Version in use"), ColumnKind.COUNT),
        Column("newest", N_("Newest version"), ColumnKind.COUNT),
        Column("state", N_("The newest"), ColumnKind.STATE),
        Column("standard", N_("For all documents"), ColumnKind.YES_NO),
        Column("accounts", N_("Accounts that chose it"), ColumnKind.COUNT, wide=True),
        Column("saved_us", N_("Saved"), ColumnKind.MOMENT, wide=True),
    ),
    rows=_rows,
    orders=(Order("name", N_("Name"), TemplateRow.name, TemplateRow.id),),
    filters=(Filter("q", N_("Name"), contains(TemplateRow.name)),),
    finish=_versions,
)
