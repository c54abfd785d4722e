"""The lists of destinations and of their prefixes, and of dialling rules."""

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
    contains,
    equals,
)
from pbxbill.rating.destination import rule_from_json
from pbxbill.rating.number_plan import KINDS, region_plan
from pbxbill.store.catalogue_models import DestinationPrefixRow, DestinationRow, DiallingRuleRow
from pbxbill.store.models import AccountRow

PREFIXES_SHOWN = 8


def _rows(_session: Session, _scope: Scope) -> Rows:
    # They are the operator's, and the same for everybody: limits and bundles of all go by them.
    return select(
        DestinationRow.id.label("id"), DestinationRow.name.label("name"), DestinationRow.kind.label("kind")
    )


def _prefixes(session: Session, rows: list[dict[str, Any]]) -> None:
    ids = [x["id"] for x in rows]
    place = func.row_number().over(
        partition_by=DestinationPrefixRow.destination_id, order_by=DestinationPrefixRow.prefix
    )
    numbered = (
        select(
            DestinationPrefixRow.destination_id.label("id"),
            DestinationPrefixRow.prefix.label("prefix"),
            place.label("place"),
        )
        .where(DestinationPrefixRow.destination_id.in_(ids))
        .subquery()
    )
    shown: dict[int, list[str]] = {}
    for id, prefix in session.execute(
        select(numbered.c.id, numbered.c.prefix)
        .where(numbered.c.place <= PREFIXES_SHOWN)
        .order_by(numbered.c.prefix)
    ):
        shown.setdefault(id, []).append(prefix)
    counted = session.execute(
        select(DestinationPrefixRow.destination_id, func.count())
        .where(DestinationPrefixRow.destination_id.in_(ids))
        .group_by(DestinationPrefixRow.destination_id)
    )
    counts: dict[int, int] = {row[0]: row[1] for row in counted}
    for row in rows:
        row["count"] = counts.get(row["id"], 0)
        more = " …" if row["count"] > PREFIXES_SHOWN else ""
        row["prefixes"] = " ".join(shown.get(row["id"], [])) + more


def _with_prefix(query: Rows, text: str) -> Rows:
    digits = "".join(x for x in text if x.isascii() and x.isdigit())
    # Those of the prefix, and the one that holds the number or prefix that was written.
    leads = [digits[:length] for length in range(1, len(digits) + 1)]
    found = select(DestinationPrefixRow.destination_id).where(
        DestinationPrefixRow.prefix.in_(leads)
        | DestinationPrefixRow.prefix.startswith(digits, autoescape=True)
    )
    return query.where(DestinationRow.id.in_(found))


DESTINATIONS = Listing(
    name="destinations",
    title=N_("Destinations"),
    permission=Permission.CATALOGUE_READ,
    columns=(
        Column("name", N_("Name")),
        Column("kind", N_("Class"), ColumnKind.STATE),
        Column("count", N_("Prefixes"), ColumnKind.COUNT),
        Column("prefixes", N_("Begin with"), ColumnKind.TEXT, wide=True),
    ),
    rows=_rows,
    orders=(Order("name", N_("Name"), DestinationRow.name, DestinationRow.id),),
    filters=(
        Filter("q", N_("Name"), contains(DestinationRow.name)),
        Filter("prefix", N_("Prefix or number"), _with_prefix),
        Filter(
            "kind",
            N_("Class"),
            equals(DestinationRow.kind),
            FilterKind.CHOICE,
            tuple((x, x.replace("_", " ").capitalize()) for x in KINDS),
        ),
    ),
    finish=_prefixes,
)


def _rule_rows(_session: Session, _scope: Scope) -> Rows:
    return select(
        DiallingRuleRow.id.label("id"),
        DiallingRuleRow.name.label("name"),
        DiallingRuleRow.definition.label("definition"),
    )


def _rule_facts(session: Session, rows: list[dict[str, Any]]) -> None:
    counted = session.execute(
        select(AccountRow.dialling_rule_id, func.count())
        .where(AccountRow.dialling_rule_id.in_([x["id"] for x in rows]))
        .group_by(AccountRow.dialling_rule_id)
    )
    counts: dict[int | None, int] = {row[0]: row[1] for row in counted}
    for row in rows:
        rule = rule_from_json(row["name"], row.pop("definition"))
        plan = region_plan(rule.region)
        row |= {
            "region": rule.region,
            "abroad": " ".join(rule.international_prefixes) or plan.international_prefix.pattern,
            "national": plan.national_prefix if rule.national_prefix is None else rule.national_prefix,
            "area_code": rule.area_code,
            "technical_prefix": rule.technical_prefix,
            "accounts": counts.get(row["id"], 0),
        }


DIALLING_RULES = Listing(
    name="dialling-rules",
    title=N_("Dialling rules"),
    permission=Permission.CATALOGUE_READ,
    columns=(
        Column("name", N_("Name")),
        Column("region", N_("Country"), ColumnKind.CODE),
        Column("abroad", N_("Before numbers abroad"), ColumnKind.CODE),
        Column("national", N_("Before national numbers"), ColumnKind.CODE, wide=True),
        Column("area_code", N_("Area code"), ColumnKind.CODE, wide=True),
        Column("technical_prefix", N_("Technical prefix"), ColumnKind.CODE, wide=True),
        Column("accounts", N_("Accounts"), ColumnKind.COUNT, wide=True),
    ),
    rows=_rule_rows,
    orders=(Order("name", N_("Name"), DiallingRuleRow.name, DiallingRuleRow.id),),
    filters=(Filter("q", N_("Name"), contains(DiallingRuleRow.name)),),
    finish=_rule_facts,
)
