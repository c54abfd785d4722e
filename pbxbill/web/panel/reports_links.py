"""Where a row of a report leads to: the calls, invoices or accounts that it sums up, or a closer look."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

from flask import current_app, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Actor
from pbxbill.access.permissions import Permission
from pbxbill.billing.period import months_after
from pbxbill.reports.report import Report, Table
from pbxbill.store.models import AccountRow
from pbxbill.web.formatting import day_of
from pbxbill.web.report_pages import Query

Link = Callable[[Mapping[str, Any]], str | None]
_P = Permission
OF_CALLS = ("revenue", "usage", "destinations", "top-accounts", "margin", "quality", "carriers")
OF_INVOICES = {"taxes": "", "ageing": "unpaid", "payment-behaviour": "paid", "resellers": ""}
"""Reports whose rows are invoices, and of which status."""
OF_SELLERS = ("deferred", "prepaid")
"""Reports that have a row for each seller, of his customers."""


def links_of(session: Session, actor: Actor, report: Report, query: Query, table: Table) -> Link:
    """What leads on from each row; None where nothing does."""
    codes = [x["code"] for x in table.rows if x.get("code")] + [query.values.get("account", "")]
    found = select(AccountRow.code, AccountRow.kind, AccountRow.id).where(
        AccountRow.code.in_(codes), actor.scope.among(AccountRow.id)
    )
    accounts = {code: (kind, id) for code, kind, id in session.execute(found)}
    return _Rows(actor, report, query, accounts).link


def _grouped(report: Report, query: Query) -> str:
    choices = next((x.choices for x in report.parameters if x.key == "group"), ())
    return query.values.get("group", "") or (choices[0][0] if choices else _ALONE.get(report.name, ""))


_ALONE = {"destinations": "destination", "top-accounts": "customer"}


class _Rows:
    def __init__(
        self, actor: Actor, report: Report, query: Query, accounts: Mapping[str, tuple[str, int]]
    ) -> None:
        self._actor, self._report, self._query, self._accounts = actor, report, query, accounts
        self._group = _grouped(report, query)

    def link(self, row: Mapping[str, Any]) -> str | None:
        if self._report.name in OF_CALLS:
            return self._of_calls(row)
        if self._report.name in OF_INVOICES:
            return self._of_invoices(row)
        if self._report.name in OF_SELLERS and self._group == "reseller":
            is_own = row.get("code", "") not in self._accounts
            return self._again(reseller="" if is_own else row["code"], group="customer")
        if self._report.name == "vouchers":
            return self._listed("vouchers.listed", _P.VOUCHERS_READ, {})
        known = self._accounts.get(row.get("code", ""))
        return None if known is None else self._listed("accounts.show", _P.ACCOUNTS_READ, {"id": known[1]})

    def _of_calls(self, row: Mapping[str, Any]) -> str | None:
        values = self._query.values
        match self._group:
            case "day" | "hour":
                day = day_of(row["period_us"]).isoformat()
                return self._calls(**{"from": day, "to": day})
            case "week":
                begin = day_of(row["period_us"])
                return self._closer(begin, begin + timedelta(days=6 - begin.weekday()))
            case "month":
                begin = day_of(row["period_us"])
                return self._closer(begin, months_after(begin.replace(day=1), 1) - timedelta(days=1))
            case "destination" if row.get("destination"):
                return self._calls(destination=row["destination"])
            case "direction" if row.get("direction"):
                return self._calls(direction=row["direction"])
            case "customer" | "reseller":
                return self._of_account(row.get("code", ""))
            case "carrier" if row.get("carrier") and not values.get("carrier"):
                return self._again(carrier=row["carrier"], group="destination")
            case _:
                return None

    def _of_account(self, code: str) -> str | None:
        kind, _ = self._accounts.get(code, ("", 0))
        if kind == "customer":
            return self._calls(account=code)
        if kind == "reseller":
            return self._again(reseller=code, account="", group="customer")
        return None

    def _calls(self, **narrowed: str) -> str | None:
        """The list of these calls, where it can be narrowed as the report is."""
        values = self._query.values
        kept = {
            key: values.get(key, "") for key in ("from", "to", "account", "destination", "reseller")
        } | narrowed
        # The list has one account's own calls, a report also those of all below it.
        if kept["account"] and self._accounts.get(kept["account"], ("customer", 0))[0] != "customer":
            return None
        if values.get("carrier"):
            return self._listed("calls.margins", _P.REPORTS_READ, kept | {"carrier": values["carrier"]})
        return self._listed("calls.listed", _P.CALLS_READ, kept)

    def _closer(self, first: date, last: date) -> str:
        """The same by day, within the days that were asked for."""
        values = self._query.values
        days = max(first.isoformat(), values["from"]), min(last.isoformat(), values["to"] or "9999")
        return self._again(**{"from": days[0], "to": days[1], "group": "day"})

    def _again(self, **changes: str) -> str:
        groups = next((x.choices for x in self._report.parameters if x.key == "group"), ())
        if changes.get("group", "") not in [name for name, _ in groups]:
            changes.pop("group", None)
        return f"{url_for('reports.show', report=self._report.name)}?{self._query.text(**changes)}"

    def _of_invoices(self, row: Mapping[str, Any]) -> str | None:
        status = OF_INVOICES[self._report.name]
        wanted = {"status": status, "account": row.get("code", ""), "unit": row.get("unit") or ""}
        if not status:
            wanted |= {key: self._query.values.get(key, "") for key in ("from", "to")}
        if self._group == "month":
            begin = day_of(row["period_us"])
            last = months_after(begin.replace(day=1), 1) - timedelta(days=1)
            days = max(begin.isoformat(), wanted["from"]), min(last.isoformat(), wanted["to"] or "9999")
            wanted |= {"from": days[0], "to": days[1], "account": ""}
        if self._query.values.get("reseller"):
            return None
        if self._group == "reseller":
            return self._again(reseller=row.get("code", ""), group="customer")
        return self._listed("invoices.listed", _P.INVOICES_READ, wanted)

    def _listed(self, endpoint: str, permission: Permission, values: Mapping[str, Any]) -> str | None:
        if endpoint not in current_app.view_functions or not self._actor.may(permission):
            return None
        return url_for(endpoint, **{key: value for key, value in values.items() if value})
