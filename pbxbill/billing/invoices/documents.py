"""Documents: what is printed of an invoice, built from its rows, and for ever the same once it is issued.

The snapshot of an issued invoice holds all but its list of calls, which is read from call records: these are
never changed either.

Words of ours are chosen when a document is built, in its language and from facts; the snapshot keeps them.
"""

import json
from dataclasses import fields, replace
from datetime import date, timedelta
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.call_list import ZONE, calls_of, count_calls, holds_tax
from pbxbill.billing.invoices.document import (
    Document,
    DocumentCall,
    DocumentLine,
    DocumentPayment,
    DocumentTax,
    PartyBlock,
)
from pbxbill.billing.invoices.document_words import words_in
from pbxbill.billing.invoices.drafting import live_lines, taxes_from_json
from pbxbill.billing.invoices.gathering import Books, books_of, id_before
from pbxbill.billing.invoices.line_words import Words
from pbxbill.billing.invoices.wallet_funds import SplitLine, funds_for, split
from pbxbill.billing.period import local_date
from pbxbill.billing.taxes.tax import AppliedTax
from pbxbill.errors import InputRefused
from pbxbill.ids import id_of_moment
from pbxbill.money import Unit, minor_step
from pbxbill.store.billing_models import BillingProfileRow, ChargeRow
from pbxbill.store.driver import rows_within
from pbxbill.store.invoice_models import InvoiceLineRow, InvoiceRow, InvoiceTaxRow

ANNEX_CALLS = 500
"""Most calls that an annex shows; all are in the call list as a file."""

_HEAD = (
    "SELECT u.scale, u.digits, COALESCE(s.zone, 'UTC'), "
    "COALESCE(NULLIF(b.zone, ''), s.zone, 'UTC'), COALESCE(s.payment_terms, ''), "
    "COALESCE(b.language, ''), COALESCE(b.previous_balance, :no), COALESCE(b.template_id, s.template_id) "
    "FROM units u "
    "LEFT JOIN issuers s ON s.account_id = :seller LEFT JOIN billing_profiles b ON b.account_id = :buyer "
    "WHERE u.code = :unit"
)
_PARTIES = (
    "SELECT a.id, a.code, a.name, a.language, p.legal_name, p.street, p.extra, p.postal_code, p.city, "
    "p.region, p.country, p.vat_id, p.registration_id, p.contact, p.email, p.phone, p.website, p.bank_name, "
    "p.iban, p.bic "
    "FROM accounts a LEFT JOIN parties p ON p.account_id = a.id WHERE a.id IN (:seller, :buyer)"
)
_PREVIOUS = (
    "SELECT CAST(COALESCE(SUM(open), 0) AS BIGINT) FROM invoices WHERE account_id = :account_id "
    "AND unit = :unit AND id <> :id AND state <> 'draft' AND kind IN ('invoice', 'debit_note')"
)
_FIRST = "SELECT MIN(entry_id) FROM invoice_entries WHERE invoice_id = :id"
_GIVEN_BACK = (
    "SELECT CAST(COALESCE(SUM(CASE origin WHEN 'removed' THEN net_exact + tax_exact "
    "ELSE -net_exact - tax_exact END), 0) AS BIGINT) FROM invoice_lines WHERE invoice_id = :id "
    "AND collection = 'wallet' AND origin IN ('removed', 'corrected')"
)
_RECEIVED = (
    "SELECT e.at_us, e.kind, e.memo, e.id, CAST(SUM(c.amount) AS BIGINT) FROM "
    "(SELECT p.entry_id FROM postings p WHERE p.ledger_account_id = :book AND p.entry_id > :after "
    "UNION SELECT x.entry_id FROM allocations x "
    "JOIN invoices v ON v.id = x.invoice_id WHERE v.account_id = :account_id AND v.unit = :unit "
    "AND x.kind = 'payment' AND x.at_us >= :from_us AND x.at_us < :to_us) f "
    "JOIN journal_entries e ON e.id = f.entry_id JOIN postings c ON c.entry_id = e.id "
    "JOIN ledger_accounts l ON l.id = c.ledger_account_id AND l.code = 'cash' "
    "WHERE e.kind IN ('top-up', 'payment') AND e.at_us >= :from_us AND e.at_us < :to_us "
    "GROUP BY e.at_us, e.kind, e.memo, e.id ORDER BY e.at_us, e.id"
)
_DAY_US = 86_400_000_000
_WITHOUT_PRICE = ("minimum_spend", "cancellation_fee")
"""Kinds of lines whose amount is no price of anything."""


class _Head(NamedTuple):
    """What a document goes by beside its rows."""

    scale: int
    digits: int
    zone: str
    """The issuer's: of the dates on which documents are issued, and due."""
    period_zone: str
    """In which the account's periods lie."""
    payment_terms: str
    language: str
    """Empty: the account's."""
    previous_balance: bool
    template_id: int | None


_TAXES = select(
    InvoiceTaxRow.name,
    InvoiceTaxRow.ppm,
    InvoiceTaxRow.category,
    InvoiceTaxRow.base,
    InvoiceTaxRow.tax,
    InvoiceTaxRow.reason,
).order_by(InvoiceTaxRow.position)


def document_of(session: Session, invoice_id: int, *, with_calls: bool = True) -> Document:
    """The document of an invoice, note, quote or receipt; InputRefused if there is none.

    with_calls: with the list of calls, where the account gets it as an annex.
    """
    row = session.get(InvoiceRow, invoice_id)
    if row is None:
        raise InputRefused(f"there is no invoice {invoice_id}")
    found = document_from_json(row.snapshot) if row.snapshot is not None else build_document(session, row)
    if not with_calls or row.kind != "invoice":
        return found
    profile = session.get(BillingProfileRow, row.account_id)
    if profile is not None and profile.call_list != "annex":
        return found
    calls = tuple(calls_of(session, row, most=ANNEX_CALLS))
    left_out = count_calls(session, row) - len(calls) if len(calls) == ANNEX_CALLS else 0
    amounts = "" if not found.taxes else "gross" if holds_tax(session, row) else "net"
    return replace(found, calls=calls, calls_left_out=left_out, call_amounts=amounts)


def build_document(session: Session, row: InvoiceRow) -> Document:
    """A document from its rows, as they are now."""
    values = {"seller": row.issuer_id, "buyer": row.account_id, "unit": row.unit, "no": False}
    head = _Head(*rows_within(session, _HEAD, values)[0])
    unit, zone, of_periods = Unit(row.unit, head.scale, head.digits), head.zone, head.period_zone
    seller, buyer, of_account = _parties(session, row)
    language = head.language or of_account
    words = words_in(session, language, unit, row.issuer_id, head.template_id)
    books = books_of(session, row.account_id, row.unit) if row.kind == "invoice" else None
    rows = live_lines(session, row.id)
    taxes = session.execute(_TAXES.where(InvoiceTaxRow.invoice_id == row.id))
    from_wallet, due = _met(session, row, rows, unit, books)
    corrected = session.get(InvoiceRow, row.corrects_id) if row.corrects_id is not None else None
    return Document(
        kind=row.kind,
        number=row.number or "",
        draft=row.state == "draft",
        language=language,
        unit=unit,
        issued_on=local_date(row.issued_us if row.issued_us is not None else row.created_us, zone),
        due_on=None if row.due_us is None else local_date(row.due_us, zone),
        from_date=None if row.from_us is None else local_date(row.from_us, of_periods),
        to_date=None if row.to_us is None else local_date(row.to_us - 1, of_periods),
        seller=seller,
        buyer=buyer,
        lines=_lines(session, rows, words, of_periods),
        taxes=tuple(
            DocumentTax(words.tax_name(name), ppm, category, base, tax, words.reason(reason))
            for name, ppm, category, base, tax, reason in taxes
        ),
        net=row.net,
        tax=row.tax,
        total=row.total,
        from_wallet=from_wallet,
        due=due,
        purchase_order=row.purchase_order,
        corrects=(corrected.number or "") if corrected is not None else "",
        corrects_on=_corrected_on(corrected, zone),
        payment_terms=head.payment_terms,
        note=row.note,
        previous_balance=_previous(session, row) if head.previous_balance else None,
        payments=_received(session, row, of_periods, books, words),
        extra={ZONE: of_periods} if row.kind == "invoice" else {},
    )


def _corrected_on(corrected: InvoiceRow | None, zone: str) -> date | None:
    if corrected is None or corrected.issued_us is None:
        return None
    return local_date(corrected.issued_us, zone)


def _parties(session: Session, row: InvoiceRow) -> tuple[PartyBlock, PartyBlock, str]:
    rows = rows_within(session, _PARTIES, {"seller": row.issuer_id, "buyer": row.account_id})
    found = {values[0]: values for values in rows}
    buyer = found[row.account_id]
    return _party(found[row.issuer_id]), _party(buyer), buyer[3]


def _party(values: Any) -> PartyBlock:
    _, code, name, _, legal_name, *rest = values
    return PartyBlock(code, legal_name or name or code, *(value or "" for value in rest))


def _met(
    session: Session, row: InvoiceRow, rows: list[InvoiceLineRow], unit: Unit, books: Books | None
) -> tuple[int, int]:
    """What the wallet has paid, and what is due: of a draft as it would be were it issued now."""
    if books is None or row.state != "draft":
        return row.from_wallet, row.due
    lines = [
        SplitLine(x.collection == "wallet", x.net_exact, x.tax_exact, taxes_from_json(x.taxes)) for x in rows
    ]
    met = split(
        row.total, lines, funds_for(session, row, books) + given_back(session, row.id), minor_step(unit)
    )
    return met.from_wallet, met.due


def given_back(session: Session, invoice_id: int) -> int:
    """What wallets gave for lines of a draft that were removed, or corrected to less."""
    return int(rows_within(session, _GIVEN_BACK, {"id": invoice_id})[0][0])


def _lines(session: Session, rows: list[InvoiceLineRow], words: Words, zone: str) -> tuple[DocumentLine, ...]:
    known = _explanations(session, rows)
    taxed = [taxes_from_json(x.taxes) for x in rows]
    any_tax = any(taxed)
    return tuple(
        _line(number, x, taxes, words, known.get(x.id, {}), zone, any_tax=any_tax)
        for number, (x, taxes) in enumerate(zip(rows, taxed, strict=True), 1)
    )


def _explanations(session: Session, rows: list[InvoiceLineRow]) -> dict[int, dict[str, Any]]:
    """How the charges of lines came about, or of those lines that they correct; by the line's id."""
    of_lines = {x.corrects_id for x in rows if x.charge_id is None and x.corrects_id is not None}
    corrected: dict[int, int | None] = {}
    if of_lines:
        query = select(InvoiceLineRow.id, InvoiceLineRow.charge_id).where(InvoiceLineRow.id.in_(of_lines))
        corrected = {id: charge_id for id, charge_id in session.execute(query)}  # noqa: C416
    charges = {x.id: x.charge_id or corrected.get(x.corrects_id or 0) for x in rows}
    ids = {id for id in charges.values() if id is not None}
    if not ids:
        return {}
    kept = select(ChargeRow.id, ChargeRow.explanation).where(ChargeRow.id.in_(ids))
    explained = {id: json.loads(told) for id, told in session.execute(kept) if told}
    return {id: explained[charge] for id, charge in charges.items() if charge in explained}


def _line(  # noqa: PLR0913  what a line is made of
    number: int,
    row: InvoiceLineRow,
    taxes: tuple[AppliedTax, ...],
    words: Words,
    explanation: dict[str, Any],
    zone: str,
    *,
    any_tax: bool,
) -> DocumentLine:
    # Not subject to tax (O) may stand on an invoice alone only: beside taxed lines it is a rate of zero (Z).
    untaxed = "Z" if any_tax else "O"
    return DocumentLine(
        number,
        row.kind,
        words.description(json.loads(row.told)) if row.told else row.description,
        row.quantity,
        row.measure,
        None if row.kind in _WITHOUT_PRICE else row.unit_price,
        row.net,
        tuple(words.tax_name(tax.name) for tax in taxes),
        taxes[0].category if taxes else untaxed,
        taxes[0].ppm if taxes else 0,
        None if row.from_us is None else local_date(row.from_us, zone),
        _last_day(row.from_us, row.to_us, zone, by_day=explanation.get("by") == "day"),
        words.reckoned(explanation) if row.charge_id is not None else "",
    )


def _last_day(from_us: int | None, to_us: int | None, zone: str, *, by_day: bool) -> date | None:
    """The last day that belongs to a line; where days are charged, that of a change is the new plan's."""
    if to_us is None:
        return None
    if not by_day or from_us is None:
        return local_date(to_us - 1, zone)
    return max(local_date(from_us, zone), local_date(to_us, zone) - timedelta(days=1))


def _previous(session: Session, row: InvoiceRow) -> int | None:
    if row.kind != "invoice":
        return None
    values = {"account_id": row.account_id, "unit": row.unit, "id": row.id}
    return int(rows_within(session, _PREVIOUS, values)[0][0])


def _received(
    session: Session, row: InvoiceRow, zone: str, books: Books | None, words: Words
) -> tuple[DocumentPayment, ...]:
    """Top-ups and payments of the invoice's period."""
    if books is None or row.from_us is None or row.to_us is None:
        return ()
    # Ids that are older than the period and than what was posted for it belong to nothing in it.
    ((first,),) = rows_within(session, _FIRST, {"id": row.id})
    of_period = id_of_moment(row.from_us - _DAY_US)
    values = {
        "account_id": row.account_id,
        "unit": row.unit,
        "book": books.wallet,
        "after": of_period if first is None else min(of_period, id_before(first, _DAY_US // 1000)),
        "from_us": row.from_us,
        "to_us": row.to_us,
    }
    return tuple(
        DocumentPayment(local_date(at_us, zone), words.received(kind, memo), amount)
        for at_us, kind, memo, _, amount in rows_within(session, _RECEIVED, values)
    )


def keep_snapshot(session: Session, row: InvoiceRow) -> None:
    """Keep the document of what has just been issued: it is what is rendered, for ever."""
    session.flush()
    row.snapshot = document_to_json(build_document(session, row))
    session.flush()


def document_to_json(document: Document) -> str:
    """As it is kept."""
    return json.dumps(document, default=_plain, ensure_ascii=False, separators=(",", ":"))


def _plain(value: object) -> str | dict[str, object]:
    if isinstance(value, date):
        return value.isoformat()
    # Each part is a flat dataclass: asdict() would copy all that is in it.
    return {part.name: getattr(value, part.name) for part in fields(value)}  # type: ignore[arg-type]


def document_from_json(kept: str) -> Document:
    """The document that was kept, exactly."""
    values: dict[str, Any] = json.loads(kept)
    for name in ("issued_on", "due_on", "from_date", "to_date", "corrects_on"):
        values[name] = _day(values[name])
    return Document(
        **values
        | {
            "unit": Unit(**values["unit"]),
            "seller": PartyBlock(**values["seller"]),
            "buyer": PartyBlock(**values["buyer"]),
            "lines": tuple(_line_from(x) for x in values["lines"]),
            "taxes": tuple(DocumentTax(**x) for x in values["taxes"]),
            "payments": tuple(DocumentPayment(**x | {"on": _day(x["on"])}) for x in values["payments"]),
            "calls": tuple(DocumentCall(**x) for x in values["calls"]),
        }
    )


def _line_from(values: dict[str, Any]) -> DocumentLine:
    return DocumentLine(
        **values
        | {
            "tax_names": tuple(values["tax_names"]),
            "from_date": _day(values["from_date"]),
            "to_date": _day(values["to_date"]),
        }
    )


def _day(kept: str | None) -> date | None:
    return None if kept is None else date.fromisoformat(kept)
