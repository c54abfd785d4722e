"""Drafts of invoices: made of a period, reckoned again, or given up.

A draft holds the entries and charges that are on it: nobody else bills them. One that is given up releases
them, and they are on the next draft. A period has one invoice, however often and by how many it is asked for:
its key is unique, and whoever makes drafts of an account in a unit does so alone.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from pbxbill.billing.charge import Collection
from pbxbill.billing.invoices.billed import Billed, RunMemory, billed_account, is_currency
from pbxbill.billing.invoices.draft_lines import DraftLine
from pbxbill.billing.invoices.gathering import gathered_to, id_before
from pbxbill.billing.invoices.line_words import facts_to_json
from pbxbill.billing.invoices.preparing import reckon, reckoned_now
from pbxbill.billing.invoices.standing import happened, locked_invoice, named, reason_given, said
from pbxbill.billing.invoices.totals import TotalLine, Totals, total
from pbxbill.billing.period import Period
from pbxbill.billing.profiles import locked_profile, open_again
from pbxbill.billing.taxes.tax import AppliedTax
from pbxbill.billing.taxes.tax_conflicts import conflict_of, say_conflict
from pbxbill.errors import InputRefused
from pbxbill.money import minor_step
from pbxbill.store.billing_models import ChargeRow
from pbxbill.store.driver import driver_within, rows_within
from pbxbill.store.invoice_models import (
    GatheredRow,
    InvoiceEntryRow,
    InvoiceLineRow,
    InvoiceRow,
    InvoiceTaxRow,
)

_OVERLAPPING = (
    "SELECT id, number, state, to_us, total FROM invoices WHERE account_id = :account_id "
    "AND unit = :unit AND kind = 'invoice' AND period_key IS NOT NULL AND to_us > :from_us "
    "AND from_us < :to_us"
)


@dataclass(frozen=True, slots=True)
class Drafted:
    """The invoice of a period."""

    invoice_id: int
    total: int
    state: str = "draft"
    repeated: bool = False
    """It had been made before."""
    tax_conflict: str = ""
    """Why it is issued by hand alone."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """No invoice is made now; what there is waits for the next period."""

    reason: str


def draft_period(  # noqa: PLR0913, PLR0917 what names an invoice
    session: Session,
    account_id: int,
    unit: str,
    period: Period,
    now_us: int,
    run_id: int | None = None,
    memory: RunMemory | None = None,
) -> Drafted | Nothing:
    """Make the draft of an account's period in a unit, or find the invoice that was made of it."""
    memory = memory or RunMemory()
    billed = billed_account(session, account_id, unit)
    if not is_currency(billed.unit):
        return Nothing(f"{unit} is no currency: no invoice is made out in it")
    mark = gathered_to(session, account_id, unit, lock=True)
    made = _made_before(session, account_id, unit, period)
    if made is not None:
        return made
    gathered, lines = reckoned_now(session, billed, period, memory, mark)
    if gathered.is_empty:
        return Nothing("there is nothing to invoice")
    minor = minor_step(billed.unit)
    totals = total([line.for_total for line in lines], minor, billed.tax_rounding)
    if totals.total < 0:
        return Nothing(
            f"it comes to {said(totals.total, billed.unit)}: it waits for charges to be set against"
        )
    if totals.total < billed.minimum_total:
        least = said(billed.minimum_total, billed.unit)
        return Nothing(f"it comes to {said(totals.total, billed.unit)}, less than {least}: it waits")
    row = _new_invoice(billed, now_us)
    row.period_key = period_key(account_id, unit, period)
    row.from_us, row.to_us, row.run_id = period.from_us, period.to_us, run_id
    session.add(row)
    _sum_up(row, totals)
    session.flush()
    _write_lines(session, row.id, lines, totals.nets, first=1)
    _write_taxes(session, row.id, totals)
    if gathered.mark != mark:
        _set_mark(session, account_id, unit, gathered.mark)
    happened(session, row.id, "drafted", f"over {said(row.total, billed.unit)}", at_us=now_us, by="")
    session.flush()  # what happened is read in the order in which it was written
    conflict = say_conflict(session, row.id, lines, now_us)
    session.flush()
    return Drafted(row.id, row.total, tax_conflict=conflict)


def period_key(account_id: int, unit: str, period: Period) -> str:
    """What makes a period's invoice unique."""
    return f"{account_id}:{unit}:{period.to_us}"


def _made_before(session: Session, account_id: int, unit: str, period: Period) -> Drafted | None:
    values = {"account_id": account_id, "unit": unit, "from_us": period.from_us, "to_us": period.to_us}
    for id, number, state, to_us, amount in rows_within(session, _OVERLAPPING, values):
        if to_us == period.to_us:
            conflict = conflict_of(session, id) if state == "draft" else ""
            return Drafted(id, amount, state, repeated=True, tax_conflict=conflict)
        raise InputRefused(
            f"part of this period is on invoice {number or id} already; bill from that one's end on, "
            "or discard it if it is a draft"
        )
    return None


def new_draft(session: Session, account_id: int, unit: str, now_us: int, by: str = "") -> InvoiceRow:
    """An empty draft without a period, to which lines are added."""
    billed = billed_account(session, account_id, unit)
    if not is_currency(billed.unit):
        raise InputRefused(f"{unit} is no currency: no invoice is made out in it")
    row = _new_invoice(billed, now_us)
    session.add(row)
    session.flush()
    happened(session, row.id, "drafted", "by hand", at_us=now_us, by=by)
    session.flush()
    return row


def _new_invoice(billed: Billed, now_us: int) -> InvoiceRow:
    return InvoiceRow(
        issuer_id=billed.issuer_id,
        account_id=billed.account_id,
        kind="invoice",
        state="draft",
        unit=billed.unit.code,
        created_us=now_us,
        net=0,
        tax=0,
        total=0,
        from_wallet=0,
        due=0,
        open=0,
        open_wallet=0,
        dunning_step=0,
        purchase_order=billed.purchase_order,
    )


def _sum_up(row: InvoiceRow, totals: Totals) -> None:
    row.net, row.tax, row.total, row.due = totals.net, totals.tax, totals.total, totals.total


def _write_lines(
    session: Session, invoice_id: int, lines: Sequence[DraftLine], nets: Sequence[int], first: int
) -> None:
    rows = [
        {
            "invoice_id": invoice_id,
            "position": first + number,
            "kind": line.kind.value,
            "product_class": line.product_class,
            "description": line.description,
            "told": facts_to_json(line.told),
            "quantity": line.quantity,
            "measure": line.measure,
            "unit_price": line.unit_price,
            "net_exact": line.net_exact,
            "tax_exact": line.tax_exact,
            "net": net,
            "taxes": taxes_to_json(line.taxes),
            "collection": line.collection.value,
            "ledger_code": line.ledger_code,
            "from_us": line.from_us,
            "to_us": line.to_us,
            "charge_id": line.charge_id,
            "credited": 0,
            "origin": "reckoned",
            "reason": "",
        }
        for number, (line, net) in enumerate(zip(lines, nets, strict=True))
    ]
    writing = insert(InvoiceLineRow).returning(InvoiceLineRow.id, sort_by_parameter_order=True)
    ids = list(session.scalars(writing, rows)) if rows else []
    driver = driver_within(session)
    claims = [
        (entry_id, invoice_id, line_id)
        for line, line_id in zip(lines, ids, strict=True)
        for entry_id in line.entries
    ]
    if claims:
        columns = ("entry_id", "invoice_id", "line_id")
        driver.insert(InvoiceEntryRow.__table__, columns, claims)  # type: ignore[arg-type]
    charges = [(invoice_id, line.charge_id) for line in lines if line.charge_id is not None]
    if charges:
        driver.update(ChargeRow.__table__, ("id",), ("invoice_id",), charges)  # type: ignore[arg-type]


def _write_taxes(session: Session, invoice_id: int, totals: Totals) -> None:
    rows = [
        (invoice_id, position, x.tax.name, x.tax.ppm, x.tax.category, x.tax.reason, x.base, x.amount)
        for position, x in enumerate(totals.taxes, 1)
    ]
    if rows:
        columns = ("invoice_id", "position", "name", "ppm", "category", "reason", "base", "tax")
        driver_within(session).insert(InvoiceTaxRow.__table__, columns, rows)  # type: ignore[arg-type]


def taxes_to_json(taxes: Iterable[AppliedTax]) -> str:
    """As a line keeps its taxes."""
    return json.dumps([list(tax) for tax in taxes])


def taxes_from_json(kept: str) -> tuple[AppliedTax, ...]:
    """The taxes of a line."""
    return tuple(AppliedTax(*tax) for tax in json.loads(kept))


def locked_draft(session: Session, invoice_id: int) -> InvoiceRow:
    """A draft of an invoice, for this transaction alone; InputRefused for what may not be changed."""
    row = locked_invoice(session, invoice_id)
    if row.kind != "invoice":
        raise InputRefused(f"{named(row)} is no invoice")
    if row.state == "discarded":
        raise InputRefused(f"draft {row.id} was discarded")
    if row.state != "draft":
        raise InputRefused(f"{named(row)} is issued and never changed; a credit note corrects it")
    return row


def live_lines(session: Session, invoice_id: int) -> list[InvoiceLineRow]:
    """The lines that count, in their order."""
    query = select(InvoiceLineRow).where(
        InvoiceLineRow.invoice_id == invoice_id, InvoiceLineRow.origin != "removed"
    )
    return list(session.scalars(query.order_by(InvoiceLineRow.position, InvoiceLineRow.id)))


def reckon_totals(session: Session, row: InvoiceRow, billed: Billed) -> None:
    """Sum a draft up after its lines were changed; InputRefused if it would come to less than nothing."""
    session.flush()
    lines = live_lines(session, row.id)
    totals = total(
        [
            TotalLine(
                line.net_exact, taxes_from_json(line.taxes), line.tax_exact, Collection(line.collection)
            )
            for line in lines
        ],
        minor_step(billed.unit),
        billed.tax_rounding,
    )
    if totals.total < 0:
        raise InputRefused(
            f"the draft would come to {said(totals.total, billed.unit)}; an invoice is never below zero"
        )
    for line, net in zip(lines, totals.nets, strict=True):
        line.net = net
    _sum_up(row, totals)
    session.execute(delete(InvoiceTaxRow).where(InvoiceTaxRow.invoice_id == row.id))
    _write_taxes(session, row.id, totals)
    session.flush()


def recalculate(
    session: Session, invoice_id: int, now_us: int, by: str = "", memory: RunMemory | None = None
) -> Drafted:
    """Reckon a draft anew, with what has arrived of its period; what people did to its lines stays."""
    row = locked_draft(session, invoice_id)
    if row.from_us is None or row.to_us is None or row.period_key is None:
        raise InputRefused(f"draft {row.id} was made by hand: there is no period to reckon")
    billed = billed_account(session, row.account_id, row.unit)
    gathered_to(session, row.account_id, row.unit, lock=True)
    kept = list(
        session.scalars(
            select(InvoiceLineRow)
            .where(InvoiceLineRow.invoice_id == row.id, InvoiceLineRow.origin != "reckoned")
            .order_by(InvoiceLineRow.position, InvoiceLineRow.id)
        )
    )
    _release(session, row, {line.id for line in kept})
    period = Period(row.from_us, row.to_us)
    gathered, lines = reckon(session, billed, period, memory or RunMemory())
    if kept:
        # Which of the calls that cost nothing stand on lines that people changed nobody can say.
        lines = [line for line in lines if line.entries or line.charge_id is not None]
    _write_lines(session, row.id, lines, [0] * len(lines), first=1)
    moved: dict[int, int] = {}  # a corrected line stays where the one is that it stands for
    for line in kept:
        line.position = moved.setdefault(line.position, len(lines) + 1 + len(moved))
    _set_mark(session, row.account_id, row.unit, gathered.mark)
    reckon_totals(session, row, billed)
    happened(session, row.id, "recalculated", f"over {said(row.total, billed.unit)}", at_us=now_us, by=by)
    session.flush()
    conflict = say_conflict(session, row.id, lines, now_us, by)
    session.flush()
    return Drafted(row.id, row.total, tax_conflict=conflict)


def discard(session: Session, invoice_id: int, reason: str, now_us: int, by: str = "") -> bool:
    """Give a draft up; whether its period is open again.

    If it is, the next run makes its invoice anew. Else later invoices stand in the way: what was on it is on
    the next one.
    """
    # Whoever bills an account locks its profile first.
    account_id = session.scalar(select(InvoiceRow.account_id).where(InvoiceRow.id == invoice_id))
    profile = None if account_id is None else locked_profile(session, account_id)
    row = locked_draft(session, invoice_id)
    gathered_to(session, row.account_id, row.unit, lock=True)
    _release(session, row, None)
    of_period = row.period_key is not None
    row.state, row.period_key = "discarded", None
    happened(session, row.id, "discarded", reason_given(reason), at_us=now_us, by=by)
    session.flush()
    if not of_period or row.from_us is None or row.to_us is None:
        return False
    opened = profile is None or open_again(session, profile, Period(row.from_us, row.to_us))
    session.flush()
    return opened


def _release(session: Session, row: InvoiceRow, kept_ids: set[int] | None) -> None:
    """Give entries and charges back, but for those on some lines; None: all, and the lines stay."""
    claims = [InvoiceEntryRow.invoice_id == row.id]
    charges = [ChargeRow.invoice_id == row.id]
    if kept_ids:
        claims.append(InvoiceEntryRow.line_id.not_in(kept_ids))
        on_kept = select(InvoiceLineRow.charge_id).where(
            InvoiceLineRow.id.in_(kept_ids), InvoiceLineRow.charge_id.is_not(None)
        )
        charges.append(ChargeRow.id.not_in(on_kept))
    oldest = session.scalar(select(func.min(InvoiceEntryRow.entry_id)).where(*claims))
    session.execute(delete(InvoiceEntryRow).where(*claims), execution_options={"synchronize_session": False})
    session.execute(
        update(ChargeRow).where(*charges).values(invoice_id=None),
        execution_options={"synchronize_session": False},
    )
    if kept_ids is not None:
        lines = [InvoiceLineRow.invoice_id == row.id, InvoiceLineRow.origin == "reckoned"]
        session.execute(delete(InvoiceLineRow).where(*lines))
    if oldest is not None:
        mark = gathered_to(session, row.account_id, row.unit)
        _set_mark(session, row.account_id, row.unit, min(mark, id_before(oldest, 1)))


def _set_mark(session: Session, account_id: int, unit: str, entry_id: str) -> None:
    session.execute(
        update(GatheredRow)
        .where(GatheredRow.account_id == account_id, GatheredRow.unit == unit)
        .values(entry_id=entry_id),
        execution_options={"synchronize_session": False},
    )
