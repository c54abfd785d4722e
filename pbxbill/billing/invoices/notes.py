"""Credit notes: an issued invoice is never changed; what was wrong in it a document of its own gives back.

A note takes off what is open of the invoice first, then what of it was given up; only what was paid goes into
the wallet. Of a charge in advance it takes back what is not earned yet from what is deferred. An invoice
whose every line was given back is cancelled. The whole of it is one transaction, one entry, one number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from pbxbill.billing.charge import ONE
from pbxbill.billing.invoices.billed import billed_account
from pbxbill.billing.invoices.documents import build_document, document_to_json
from pbxbill.billing.invoices.drafting import taxes_from_json
from pbxbill.billing.invoices.note_amounts import (
    Creditable,
    CreditableLine,
    CreditableTax,
    NoteAmounts,
    NoteTax,
    TaxGroup,
    What,
    exact_part,
    note_amounts,
)
from pbxbill.billing.invoices.numbering import next_number
from pbxbill.billing.invoices.standing import (
    STANDING,
    Part,
    allocate,
    happened,
    locked_standing,
    named,
    post,
    postings,
    reason_given,
    reduce_open,
    said,
    undo_written_off,
    written_off,
)
from pbxbill.billing.invoices.totals import TaxRounding, TotalLine, total
from pbxbill.billing.subscriptions.giving_back import locked_charges, taken_back
from pbxbill.billing.taxes.tax import AppliedTax
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.events import Moved, PostEntry
from pbxbill.errors import InputRefused
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.money import Unit, minor_step
from pbxbill.store.billing_models import ChargeRow
from pbxbill.store.invoice_models import InvoiceLineRow, InvoiceRow, InvoiceTaxRow

CREDIT_NOTE = "credit-note"
"""Kind of the journal entry."""


@dataclass(frozen=True, slots=True)
class Credited:
    """An issued credit note."""

    note_id: int
    number: str
    net: int
    tax: int
    total: int
    to_invoice: int
    """Taken off what was open."""
    to_written_off: int
    """Taken off what was given up."""
    to_wallet: int
    """Given back into the wallet."""
    entry_id: str


@dataclass(frozen=True, slots=True)
class NewNote:
    """What a note says."""

    row: InvoiceRow
    """Of the invoice, locked."""
    amounts: NoteAmounts
    reason: str
    now_us: int
    by: str
    printed: str = ""
    """What the note itself says of why; empty: the reason."""


def credit(  # noqa: PLR0913, PLR0917  # one parameter per fact
    session: Session,
    books: Bookkeeper,
    invoice_id: int,
    what: What,
    reason: str,
    now_us: int,
    by: str = "",
) -> Credited:
    """Issue a credit note for all that is left of an invoice, an amount, or some lines."""
    reason = reason_given(reason)
    row = locked_standing(session, invoice_id)
    unit = billed_account(session, row.account_id, row.unit).unit
    lines = lines_of(session, row.id)
    try:
        amounts = note_amounts(creditable(session, row, unit, lines), what)
    except InputRefused as refused:
        raise InputRefused(f"{named(row)}: {refused}") from None
    new = NewNote(row, amounts, reason, now_us, by)
    note = write_note(session, new, lines)
    part = reduce_open(row, min(amounts.total, row.open))
    undone = undo_written_off(written_off(session, row.id), amounts.total - part.amount)
    charges = locked_charges(session, [lines[id].charge_id for id, _ in amounts.lines])
    income = [leg for id, net in amounts.lines for leg in _given_back(charges, lines[id], net)]
    credit_lines(lines, amounts)
    amount = part.wallet + amounts.total - part.amount - undone.amount
    moved = post_note(
        session,
        books,
        new,
        note,
        amount,
        [
            *income,
            (LedgerCode.TAX_PAYABLE, amounts.tax),
            (LedgerCode.RECEIVABLE, -part.amount),
            (LedgerCode.INVOICED, part.wallet),
            (LedgerCode.WRITTEN_OFF, -undone.amount),
        ],
    )
    return finish_note(session, new, note, part, undone, moved)


def lines_of(session: Session, invoice_id: int) -> dict[int, InvoiceLineRow]:
    """The lines that count, by id, in their order."""
    rows = session.scalars(
        select(InvoiceLineRow)
        .where(InvoiceLineRow.invoice_id == invoice_id, InvoiceLineRow.origin != "removed")
        .order_by(InvoiceLineRow.position, InvoiceLineRow.id)
        .execution_options(populate_existing=True)
    )
    return {row.id: row for row in rows}


def creditable(
    session: Session, row: InvoiceRow, unit: Unit, lines: Mapping[int, InvoiceLineRow]
) -> Creditable:
    """What of an invoice is left for notes."""
    taxes = list(session.scalars(taxes_query(row.id)))
    given = {
        position: (int(base), int(tax))
        for position, base, tax in session.execute(
            select(InvoiceTaxRow.position, func.sum(InvoiceTaxRow.base), func.sum(InvoiceTaxRow.tax))
            .join(InvoiceRow, InvoiceRow.id == InvoiceTaxRow.invoice_id)
            .where(
                InvoiceRow.corrects_id == row.id,
                InvoiceRow.kind == "credit_note",
                InvoiceRow.state.in_(STANDING),
            )
            .group_by(InvoiceTaxRow.position)
        )
    }
    rounding = billed_account(session, row.account_id, row.unit).tax_rounding
    return Creditable(
        unit,
        tuple(CreditableLine(x.id, x.net, x.credited) for x in lines.values()),
        tuple(CreditableTax(x.position, x.base, x.tax, *given.get(x.position, (0, 0))) for x in taxes),
        tuple(_groups(taxes, list(lines.values()), rounding, minor_step(unit))),
    )


def taxes_query(invoice_id: int) -> Select[InvoiceTaxRow]:
    """The taxes of a document in their order."""
    return (
        select(InvoiceTaxRow).where(InvoiceTaxRow.invoice_id == invoice_id).order_by(InvoiceTaxRow.position)
    )


def _groups(
    taxes: Sequence[InvoiceTaxRow], lines: Sequence[InvoiceLineRow], rounding: TaxRounding, minor: int
) -> list[TaxGroup]:
    """Which lines' tax was rounded together, and what it came to."""
    under = {
        x.position: [line for line in lines if any(same_tax(x, tax) for tax in taxes_from_json(line.taxes))]
        for x in taxes
    }
    if rounding is not TaxRounding.LINE:
        return [TaxGroup(x.position, x.tax, frozenset(y.id for y in under[x.position])) for x in taxes]
    groups = []
    for x in taxes:
        for line in under[x.position]:
            alone = TotalLine(line.net_exact, taxes_from_json(line.taxes), line.tax_exact)
            own = sum(y.amount for y in total([alone], minor, rounding).taxes if same_tax(x, y.tax))
            groups.append(TaxGroup(x.position, own, frozenset({line.id})))
    return groups


def same_tax(row: InvoiceTaxRow, tax: AppliedTax) -> bool:
    """Whether a line's tax is summed up in this one."""
    return (row.name, row.ppm, row.category, row.reason) == (tax.name, tax.ppm, tax.category, tax.reason)


def write_note(session: Session, new: NewNote, lines: Mapping[int, InvoiceLineRow]) -> InvoiceRow:
    """The note with its lines, which are the invoice's in part, and taxes; not yet its number and entry."""
    row, amounts = new.row, new.amounts
    note = InvoiceRow(
        issuer_id=row.issuer_id,
        account_id=row.account_id,
        kind="credit_note",
        state="issued",
        unit=row.unit,
        from_us=row.from_us,
        to_us=row.to_us,
        created_us=new.now_us,
        issued_us=new.now_us,
        net=amounts.net,
        tax=amounts.tax,
        total=amounts.total,
        from_wallet=amounts.total,
        due=0,
        open=0,
        open_wallet=0,
        corrects_id=row.id,
        dunning_step=0,
        purchase_order=row.purchase_order,
        note=new.printed or new.reason,
    )
    session.add(note)
    session.flush()
    for position, (id, net) in enumerate(amounts.lines, 1):
        session.add(_note_line(note.id, position, lines[id], net, new.reason))
    known = {x.position: x for x in session.scalars(taxes_query(row.id))}
    for tax in amounts.taxes:
        session.add(_note_tax(note.id, known[tax.position], tax))
    session.flush()
    return note


def _note_line(note_id: int, position: int, line: InvoiceLineRow, net: int, reason: str) -> InvoiceLineRow:
    whole = net == line.net
    return InvoiceLineRow(
        invoice_id=note_id,
        position=position,
        kind=line.kind,
        product_class=line.product_class,
        description=line.description,
        told=line.told,
        quantity=line.quantity if whole else ONE,
        measure=line.measure if whole else "items",
        unit_price=line.unit_price if whole else net,
        net_exact=net,
        tax_exact=0,
        net=net,
        taxes=line.taxes,
        collection="invoice",
        ledger_code=line.ledger_code,
        from_us=line.from_us,
        to_us=line.to_us,
        corrects_id=line.id,
        origin="reckoned",
        reason=reason,
    )


def _note_tax(note_id: int, of: InvoiceTaxRow, tax: NoteTax) -> InvoiceTaxRow:
    return InvoiceTaxRow(
        invoice_id=note_id,
        position=of.position,
        name=of.name,
        ppm=of.ppm,
        category=of.category,
        reason=of.reason,
        base=tax.base,
        tax=tax.tax,
    )


def _given_back(
    charges: Mapping[int, ChargeRow], line: InvoiceLineRow, net: int
) -> list[tuple[LedgerCode, int]]:
    """Where the exact amount behind a part of a line is taken back from."""
    exact = exact_part(CreditableLine(line.id, line.net, line.credited), net, line.net_exact)
    charge = None if line.charge_id is None else charges[line.charge_id]
    return [part for part in taken_back(charge, LedgerCode(line.ledger_code), exact) if part[1]]


def credit_lines(lines: Mapping[int, InvoiceLineRow], amounts: NoteAmounts) -> None:
    """Write down what notes gave back of each line."""
    for id, net in amounts.lines:
        lines[id].credited += net


def post_note(
    session: Session,
    books: Bookkeeper,
    new: NewNote,
    note: InvoiceRow,
    amount: int,
    parts: Sequence[tuple[LedgerCode, int]],
) -> Moved:
    """Post a note; what rounding adds or takes is posted with it."""
    rounding = amount - sum(part for _, part in parts)
    memo = f"{named(new.row)}: {new.reason}"
    command = PostEntry(
        f"{CREDIT_NOTE}:{note.id}",
        note.account_id,
        note.unit,
        amount,
        # What re-rating gave back of a paid invoice leaves nothing to move: there is an entry all the same.
        postings(*parts, (LedgerCode.ROUNDING, rounding)) or ((LedgerCode.RECEIVABLE, 0),),
        CREDIT_NOTE,
        new.now_us,
        memo,
        owed=True,
    )
    return post(session, books, command)


def finish_note(
    session: Session, new: NewNote, note: InvoiceRow, part: Part, undone: Part, moved: Moved
) -> Credited:
    """Allocate a note, number it and keep it as it is printed."""
    note.entry_id = moved.entry_id
    billed = billed_account(session, note.account_id, note.unit)
    # What was given up is credited now, in the write-off's place.
    parts = [("credit_note", Part(part.invoice_id, part.amount + undone.amount, part.wallet + undone.wallet))]
    if undone.amount:
        parts.insert(0, ("write_off", Part(undone.invoice_id, -undone.amount, -undone.wallet)))
    for kind, of in parts:
        allocate(
            session,
            of,
            kind=kind,
            entry_id=moved.entry_id,
            now_us=new.now_us,
            memo=new.reason,
            note_id=note.id,
        )
    session.flush()
    document = build_document(session, note)
    # Whoever issues for the same issuer waits from here on until this is committed.
    number = next_number(session, note.issuer_id, note.kind, new.now_us, billed.zone)
    note.number, note.snapshot = number, document_to_json(replace(document, number=number))
    told = f"{named(note)} over {said(note.total, billed.unit)}: {new.reason}"
    happened(session, part.invoice_id, "credited", told, at_us=new.now_us, by=new.by)
    happened(session, note.id, "issued", f"for {named(new.row)}", at_us=new.now_us, by=new.by)
    session.flush()
    return Credited(
        note.id,
        number,
        note.net,
        note.tax,
        note.total,
        part.amount,
        undone.amount,
        note.total - part.amount - undone.amount,
        moved.entry_id,
    )
