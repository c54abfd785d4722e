"""The calls of an invoice, one by one: as an annex or a file, in bounded memory."""

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from pbxbill.billing.document import DocumentCall
from pbxbill.billing.gathering import LONGEST_CALL_US
from pbxbill.clock import SECOND_US
from pbxbill.store.billing_models import IssuerRow
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow

ROWS_TOGETHER = 2_000

_COLUMNS = "c.started_us, c.session_id, c.caller, c.called, c.destination, c.billed_us, x.total"
_CHARGED = (
    f"SELECT {_COLUMNS} FROM invoice_entries i JOIN journal_entries e ON e.id = i.entry_id "  # noqa: S608
    "JOIN call_charges x ON x.session_id = substr(e.idempotency_key, 8, 32) AND x.entry_id = e.id "
    "JOIN cdrs c ON c.session_id = x.session_id WHERE i.invoice_id = :invoice_id AND e.kind = 'usage'"
)
_FREE = (
    f"SELECT {_COLUMNS} FROM cdrs c {{below}} JOIN call_charges x ON x.session_id = c.session_id "  # noqa: S608
    "AND x.account_id = :account_id JOIN wallets w ON w.id = x.wallet_id AND w.unit = :unit WHERE {whose} "
    "AND c.started_us >= :from_us - :longest AND c.started_us < :to_us AND c.ended_us >= :from_us "
    "AND c.ended_us < :to_us AND x.entry_id IS NULL AND x.uncollected = 0 AND c.created_us <= :until_us"
)
_OWN = {"below": "", "whose": "c.account_id = :account_id"}
_BELOW = {"below": "JOIN accounts b ON b.id = c.account_id", "whose": "b.path LIKE :path || '%'"}
_FOREVER = 2**62


def _statement(how: dict[str, str], shape: str) -> TextClause:
    return text(shape.format(calls=f"{_CHARGED} UNION ALL {_FREE.format(**how)}"))


_LISTS = {
    reseller: _statement(how, "{calls} ORDER BY 1, 2 LIMIT :most")
    for reseller, how in ((False, _OWN), (True, _BELOW))
}
_COUNTS = {
    reseller: _statement(how, "SELECT COUNT(*) FROM ({calls}) f")
    for reseller, how in ((False, _OWN), (True, _BELOW))
}


def calls_of(session: Session, row: InvoiceRow, most: int = _FOREVER) -> Iterator[DocumentCall]:
    """An invoice's calls in the order of their beginning, also those that cost nothing; local times.

    Nothing else may be asked of the session until all are read.
    """
    issuer = session.get(IssuerRow, row.issuer_id)
    zone = ZoneInfo(issuer.zone if issuer is not None else "UTC")
    reseller, values = _asked(session, row)
    result = session.execute(
        _LISTS[reseller], values | {"most": most}, execution_options={"yield_per": ROWS_TOGETHER}
    )
    for started_us, _, caller, called, destination, billed_us, total in result:
        moment = datetime.fromtimestamp(started_us // SECOND_US, UTC).astimezone(zone)
        seconds = -(-billed_us // SECOND_US)
        yield DocumentCall(moment.strftime("%Y-%m-%d %H:%M:%S"), caller, called, destination, seconds, total)


def count_calls(session: Session, row: InvoiceRow) -> int:
    """How many calls_of() an invoice there are."""
    reseller, values = _asked(session, row)
    return int(session.execute(_COUNTS[reseller], values).scalar_one())


def _asked(session: Session, row: InvoiceRow) -> tuple[bool, dict[str, int | str]]:
    account = session.get_one(AccountRow, row.account_id)
    return account.kind == "reseller", {
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
