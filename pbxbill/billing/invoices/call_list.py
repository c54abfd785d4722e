"""The calls of an invoice, one by one: as an annex or a file, in bounded memory.

Their amounts add up to the lines: they are without the tax that was taken with them. Where the issuer's tax
is inside the price of usage no call knows its own, and all amounts are with tax.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from pbxbill.billing.charge import ChargeKind
from pbxbill.billing.invoices.document import DocumentCall
from pbxbill.billing.invoices.drafting import live_lines, taxes_from_json
from pbxbill.billing.invoices.gathering import BELOW, LONGEST_CALL_US
from pbxbill.billing.profiles import profile_of
from pbxbill.clock import SECOND_US
from pbxbill.store.billing_models import IssuerRow
from pbxbill.store.driver import is_in
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow

ROWS_TOGETHER = 2_000
ZONE = "zone"
"""Of what is kept with an issued invoice: in which zone its periods and times are."""

_COLUMNS = "c.started_us, c.session_id, c.caller, c.called, c.destination, c.billed_us, x.total, x.tax"
_CHARGED = (
    f"SELECT {_COLUMNS} FROM invoice_entries i JOIN journal_entries e ON e.id = i.entry_id "  # noqa: S608
    "JOIN call_charges x ON x.session_id = substr(e.idempotency_key, 8, 32) AND x.entry_id = e.id "
    "JOIN cdrs c ON c.session_id = x.session_id WHERE i.invoice_id = :invoice_id AND e.kind = 'usage'"
)
_FREE = (
    f"SELECT {_COLUMNS} FROM cdrs c JOIN call_charges x ON x.session_id = c.session_id "  # noqa: S608
    "AND x.account_id = :account_id JOIN wallets w ON w.id = x.wallet_id AND w.unit = :unit "
    "WHERE c.account_id {whose} AND c.started_us >= :from_us - :longest AND c.started_us < :to_us "
    "AND c.ended_us >= :from_us AND c.ended_us < :to_us AND x.entry_id IS NULL AND x.uncollected = 0 "
    "AND c.created_us <= :until_us"
)
_TAXED_ALONE, _UNTAXED = (
    text(f"SELECT 1 FROM ({_CHARGED} AND {which} LIMIT 1) f")  # noqa: S608 words are ours
    for which in ("x.tax <> 0", "x.tax = 0 AND x.total <> 0")
)
"""Calls whose tariff took its own tax, and others."""
_LIST = "{calls} ORDER BY 1, 2 LIMIT :most"
_COUNT = "SELECT COUNT(*) FROM ({calls}) f"
_FOREVER = 2**62


def calls_of(session: Session, row: InvoiceRow, most: int = _FOREVER) -> Iterator[DocumentCall]:
    """An invoice's calls in the order of their beginning, also those that cost nothing.

    Times are in the zone of its periods. Nothing else may be asked of the session until all are read.
    """
    zone, gross = ZoneInfo(zone_of_document(session, row)), holds_tax(session, row)
    statement, values = _asked(session, row, _LIST)
    result = session.execute(
        statement, values | {"most": most}, execution_options={"yield_per": ROWS_TOGETHER}
    )
    for started_us, _, caller, called, destination, billed_us, total, tax in result:
        moment = datetime.fromtimestamp(started_us // SECOND_US, UTC).astimezone(zone)
        seconds = -(-billed_us // SECOND_US)
        begun = moment.strftime("%Y-%m-%d %H:%M:%S")
        inside = 0 if gross else tax
        yield DocumentCall(begun, caller, called, destination, seconds, total - inside, inside)


def count_calls(session: Session, row: InvoiceRow) -> int:
    """How many calls_of() an invoice there are."""
    return int(session.execute(*_asked(session, row, _COUNT)).scalar_one())


def holds_tax(session: Session, row: InvoiceRow) -> bool:
    """Whether the amounts of an invoice's calls are with tax."""
    usage = [x for x in live_lines(session, row.id) if x.kind == ChargeKind.USAGE]
    inside = [any(tax.inclusive and tax.ppm for tax in taxes_from_json(x.taxes)) for x in usage]
    if not any(inside):
        return False
    values = {"invoice_id": row.id}
    if session.execute(_TAXED_ALONE, values).first() is None:
        return True
    return all(inside) and session.execute(_UNTAXED, values).first() is not None


def zone_of_document(session: Session, row: InvoiceRow) -> str:
    """In which its periods and days are, on the document as on every page."""
    if row.snapshot is None:
        return profile_of(session, row.account_id).cycle.zone
    kept: dict[str, str] = json.loads(row.snapshot).get("extra", {})
    if ZONE in kept:
        return kept[ZONE]
    issuer = session.get(IssuerRow, row.issuer_id)  # documents of before keep the times that they had
    return issuer.zone if issuer is not None else "UTC"


def _asked(session: Session, row: InvoiceRow, shape: str) -> tuple[TextClause, dict[str, int | str]]:
    account = session.get_one(AccountRow, row.account_id)
    whose = is_in(session, BELOW) if account.kind == "reseller" else "= :account_id"
    return text(shape.format(calls=f"{_CHARGED} UNION ALL {_FREE.format(whose=whose)}")), {
        "invoice_id": row.id,
        "account_id": row.account_id,
        "unit": row.unit,
        "path": account.path,
        "from_us": row.from_us or 0,
        "to_us": row.to_us or 0,
        "longest": LONGEST_CALL_US,
        # What became known after it was issued is on no document.
        "until_us": _FOREVER if row.issued_us is None else row.issued_us,
    }
