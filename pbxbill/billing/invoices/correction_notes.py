"""Credit and debit notes for calls that were on an invoice when they were re-rated.

Re-rating has moved the money already, between wallet, revenue and tax. A note makes the invoice agree: what
was given back comes off what the wallet owes of it; what was taken is a document like an invoice, paid by the
wallet's funds or asked for. The entries of the corrections are on the note, so that no invoice takes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from pbxbill.billing.charge import Collection
from pbxbill.billing.invoices.billed import Billed, billed_account
from pbxbill.billing.invoices.document_words import words_for
from pbxbill.billing.invoices.drafting import new_draft, reckon_totals, taxes_from_json
from pbxbill.billing.invoices.issuing import issue
from pbxbill.billing.invoices.note_amounts import Creditable, NoteAmounts, NoteTax
from pbxbill.billing.invoices.notes import (
    NewNote,
    credit_lines,
    creditable,
    finish_note,
    lines_of,
    post_note,
    same_tax,
    taxes_query,
    write_note,
)
from pbxbill.billing.invoices.standing import (
    Part,
    allocated,
    given_to_wallet,
    locked_standing,
    named,
    post,
    postings,
    reduce_open,
    undo_written_off,
    written_off,
)
from pbxbill.billing.invoices.totals import TotalLine, Totals, total
from pbxbill.billing.taxes.tax import AppliedTax, taxed
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.events import PostEntry
from pbxbill.errors import check
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.money import half_up, minor_step
from pbxbill.store.driver import Driver
from pbxbill.store.invoice_models import InvoiceEntryRow, InvoiceLineRow, InvoiceRow
from pbxbill.store.rerating_models import CorrectionNoteRow

TAKEN_BACK = "correction-back"
"""Kind of the entry where notes had given back already what re-rating gave back again."""

# A call that a debit note corrected stays with that: what changes of it later is on the next invoice.
_INVOICED = (
    "SELECT x.session_id, x.level, x.line, e.invoice_id FROM {each_of}call_charges x "
    "JOIN invoice_entries e ON e.entry_id = x.entry_id JOIN invoices i ON i.id = e.invoice_id "
    "WHERE x.session_id {is_each_text} AND i.state NOT IN ('draft', 'discarded') "
    "AND NOT EXISTS (SELECT 1 FROM call_corrections y WHERE y.session_id = x.session_id "
    "AND y.level = x.level AND y.line = x.line AND y.invoiced AND y.new_total > y.old_total)"
)
_CORRECTED = text(
    "SELECT e.invoice_id, e.line_id, y.entry_id, COUNT(*), "
    "CAST(SUM(y.new_total - y.old_total) AS BIGINT), CAST(SUM(y.tax_delta) AS BIGINT) "
    "FROM call_corrections y JOIN wallets w ON w.id = y.wallet_id JOIN call_charges x "
    "ON x.session_id = y.session_id AND x.level = y.level AND x.line = y.line "
    "JOIN invoice_entries e ON e.entry_id = x.entry_id "
    "LEFT JOIN invoice_entries n ON n.entry_id = y.entry_id "
    "WHERE y.run_id = :run_id AND y.account_id = :account_id AND w.unit = :unit AND y.invoiced "
    "AND n.entry_id IS NULL AND (y.new_total - y.old_total) * :sign > 0 "
    "GROUP BY e.invoice_id, e.line_id, y.entry_id ORDER BY e.invoice_id, e.line_id, y.entry_id"
)


def invoiced(driver: Driver, session_ids: Sequence[str]) -> Mapping[tuple[str, int, int], int]:
    """Which charges of calls, by session, level and line, are on which issued invoice: re-rating asks."""
    if not session_ids:
        return {}
    return {tuple(row[:3]): row[3] for row in driver.select(_INVOICED, sorted(session_ids))}


class CorrectionNote(NamedTuple):
    """An issued note."""

    note_id: int
    kind: str
    number: str
    total: int
    unit: str
    account_id: int
    corrects_id: int


@dataclass(slots=True)
class _Corrected:
    """Corrections of the calls on one line."""

    calls: int = 0
    gross: int = 0
    """What the wallet was given, or gave; above zero."""
    tax: int = 0
    """What was posted as tax of it."""
    entries: set[str] = field(default_factory=set)


class _Exact(NamedTuple):
    """Amounts of a note's line before they are rounded."""

    net: int
    tax: int
    taxes: tuple[AppliedTax, ...]


def issue_correction_notes(
    session: Session, books: Bookkeeper, now_us: int, by: str = ""
) -> list[CorrectionNote] | None:
    """Issue the notes that re-rating asks for next, of one account, one for each invoice; None: none is left.

    Each is issued once, however many ask at once. Call it in a transaction of its own until it is None.
    """
    row = session.scalar(
        select(CorrectionNoteRow)
        .where(CorrectionNoteRow.issued_us.is_(None))
        .order_by(CorrectionNoteRow.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if row is None:
        return None
    row.issued_us = now_us
    why = _Why(f"Re-rating run {row.run_id}", row.run_id, now_us, by)
    make = _credit if row.kind == "credit" else _debit
    corrected = _corrected(session, row.run_id, row.account_id, row.unit, row.kind)
    for invoice_id in sorted(corrected):
        locked_standing(session, invoice_id)  # all of them before wallets and the sequence of numbers
    notes = [make(session, books, invoice_id, lines, why) for invoice_id, lines in corrected.items()]
    return [note for note in notes if note is not None]


class _Why(NamedTuple):
    reason: str
    """For who works with it; the note says it in the account's language."""
    run_id: int
    now_us: int
    by: str


def _printed(session: Session, row: InvoiceRow, billed: Billed, why: _Why) -> str:
    words = words_for(session, row.issuer_id, row.account_id, billed.unit)
    return words.say("note_rerated", run=words.form.number(why.run_id))


def _corrected(
    session: Session, run_id: int, account_id: int, unit: str, kind: str
) -> dict[int, dict[int, _Corrected]]:
    """What a note is about: by invoice and line."""
    found: dict[int, dict[int, _Corrected]] = {}
    sign = -1 if kind == "credit" else 1
    values = {"run_id": run_id, "account_id": account_id, "unit": unit, "sign": sign}
    for invoice_id, line_id, entry_id, calls, gross, tax in session.execute(_CORRECTED, values):
        line = found.setdefault(invoice_id, {}).setdefault(line_id, _Corrected())
        line.calls += calls
        line.gross += sign * gross
        line.tax += sign * tax
        line.entries.add(entry_id)
    return found


def _placed(
    session: Session, counting: Mapping[int, InvoiceLineRow], corrected: Mapping[int, _Corrected]
) -> tuple[dict[int, InvoiceLineRow], dict[int, _Corrected]]:
    """The lines that corrections are of, by id, and what is corrected of each.

    Calls whose line was corrected in the draft are on the one in its place; where it was removed they stay
    with it, of which nothing is left.
    """
    lines, placed = dict(counting), dict[int, _Corrected]()
    beside = {line.position: line.id for line in counting.values() if line.origin == "corrected"}
    for id, of in corrected.items():
        on = id
        if id not in counting:
            removed = session.get_one(InvoiceLineRow, id)
            on = beside.get(removed.position, id)
            lines.setdefault(on, removed)
        sums = placed.setdefault(on, _Corrected())
        sums.calls += of.calls
        sums.gross += of.gross
        sums.tax += of.tax
        sums.entries |= of.entries
    return lines, placed


def _exact(line: InvoiceLineRow, corrected: _Corrected) -> _Exact:
    """As drafts have it: a tariff's tax was taken with the call; the issuer's may be inside the price."""
    taxes = taxes_from_json(line.taxes)
    if not corrected.tax and taxes and all(x.inclusive for x in taxes):
        inside = taxed(corrected.gross, taxes)
        return _Exact(inside.net, inside.tax, taxes)
    return _Exact(corrected.gross - corrected.tax, corrected.tax, taxes)


def _credit(
    session: Session, books: Bookkeeper, invoice_id: int, corrected: dict[int, _Corrected], why: _Why
) -> CorrectionNote | None:
    row = locked_standing(session, invoice_id)
    billed = billed_account(session, row.account_id, row.unit)
    counting = lines_of(session, row.id)
    lines, corrected = _placed(session, counting, corrected)
    exact = {id: _exact(lines[id], corrected[id]) for id in corrected}
    # No more than what other notes left of a line; what re-rating gave beyond it is taken back.
    minor = minor_step(billed.unit)
    kept = {id: _at_most(exact[id], lines[id].net - lines[id].credited, minor) for id in corrected}
    totals = _totals(kept, billed)
    left = creditable(session, row, billed.unit, counting)
    amounts = _amounts(session, row, left, dict(zip(kept, totals.nets, strict=True)), totals)
    given = sum(x.gross for x in corrected.values())
    tax_given = sum(x.tax for x in corrected.values())
    # Re-rating took back as revenue all that it did not take back as tax: also tax that is inside the price.
    booked = {id: of.gross - of.tax for id, of in corrected.items()}
    again = [(LedgerCode(lines[id].ledger_code), kept[id].net - booked[id]) for id in corrected]
    if not amounts.total:
        _take_back(session, books, row, why, [*again, (LedgerCode.TAX_PAYABLE, -tax_given)], given)
        return None
    new = NewNote(row, amounts, why.reason, why.now_us, why.by, _printed(session, row, billed, why))
    note = write_note(session, new, lines)
    _claim(session, note.id, corrected, exact)
    credit_lines(lines, amounts)
    of_wallet = min(amounts.total, half_up(sum(x.net + x.tax for x in kept.values()), 1, minor))
    part, undone = _taken_off(session, row, note, of_wallet)
    moved = post_note(
        session,
        books,
        new,
        note,
        part.wallet + amounts.total - part.amount - undone.amount - given,
        [
            *again,
            (LedgerCode.TAX_PAYABLE, amounts.tax - tax_given),
            (LedgerCode.RECEIVABLE, -part.amount),
            (LedgerCode.INVOICED, part.wallet),
            (LedgerCode.WRITTEN_OFF, -undone.amount),
        ],
    )
    issued = finish_note(session, new, note, part, undone, moved)
    return CorrectionNote(
        note.id, note.kind, issued.number, issued.total, note.unit, note.account_id, invoice_id
    )


def _taken_off(session: Session, row: InvoiceRow, note: InvoiceRow, of_wallet: int) -> tuple[Part, Part]:
    """What of a note comes off what is open, and off what was given up; the rest is the wallet's.

    What re-rating gave to the wallet comes off what the wallet owes, then off what was given up of that, and
    stays in the wallet as far as it was paid. All else, such as tax that only the invoice asked for, is taken
    off as with any note.
    """
    paid = row.from_wallet + allocated(session, row.id, "payment")
    paid -= given_to_wallet(session, row.id) - note.total
    given_up = written_off(session, row.id)
    first = reduce_open(row, min(of_wallet, row.open_wallet))
    gone = undo_written_off(given_up, min(of_wallet - first.amount, given_up.wallet))
    kept = max(0, min(of_wallet - first.amount - gone.amount, paid))
    rest = note.total - first.amount - gone.amount - kept
    second = reduce_open(row, min(rest, row.open))
    given_up = Part(row.id, given_up.amount - gone.amount, given_up.wallet - gone.wallet)
    more = undo_written_off(given_up, rest - second.amount)
    return (
        Part(row.id, first.amount + second.amount, first.wallet + second.wallet),
        Part(row.id, gone.amount + more.amount, gone.wallet + more.wallet),
    )


def _at_most(exact: _Exact, left: int, minor: int) -> _Exact:
    if exact.net - left < minor:  # what a line was rounded by is no matter of its calls
        return exact
    return _Exact(left, half_up(exact.tax * left, exact.net), exact.taxes)


def _totals(kept: Mapping[int, _Exact], billed: Billed) -> Totals:
    lines = [TotalLine(x.net, x.taxes, x.tax, Collection.WALLET) for x in kept.values()]
    return total(lines, minor_step(billed.unit), billed.tax_rounding)


def _amounts(
    session: Session, row: InvoiceRow, left: Creditable, nets: dict[int, int], totals: Totals
) -> NoteAmounts:
    """Nets and taxes of a note, none of them more than what is left of it."""
    of_lines = {line.id: line.left for line in left.lines}
    capped = {id: min(net, of_lines.get(id, 0)) for id, net in nets.items()}
    of_taxes = {x.position: x for x in left.taxes}
    taxes = []
    for tax_row in session.scalars(taxes_query(row.id)):
        found = next((x for x in totals.taxes if same_tax(tax_row, x.tax)), None)
        if found is not None:
            own = of_taxes[tax_row.position]
            base_left, tax_left = own.base - own.base_credited, own.tax - own.credited
            base = min(found.base, base_left)
            # With the last of the base goes the last coin of its tax.
            tax = tax_left if base == base_left else min(found.amount, tax_left)
            taxes.append(NoteTax(tax_row.position, base, tax))
    return NoteAmounts(tuple(capped.items()), tuple(taxes))


def _take_back(
    session: Session,
    books: Bookkeeper,
    row: InvoiceRow,
    why: _Why,
    parts: Sequence[tuple[LedgerCode, int]],
    given: int,
) -> None:
    """Other notes had given back the whole of these lines: what re-rating gave once more is taken back."""
    rounding = -given - sum(amount for _, amount in parts)
    post(
        session,
        books,
        PostEntry(
            f"{TAKEN_BACK}:{row.id}:{why.reason}",
            row.account_id,
            row.unit,
            -given,
            postings(*parts, (LedgerCode.ROUNDING, rounding)),
            TAKEN_BACK,
            why.now_us,
            f"{named(row)} was credited already",
            owed=True,
        ),
    )


def _claim(
    session: Session, note_id: int, corrected: Mapping[int, _Corrected], exact: Mapping[int, _Exact]
) -> None:
    """Put the entries on the note, and the exact amounts behind them on its lines."""
    lines = session.scalars(select(InvoiceLineRow).where(InvoiceLineRow.invoice_id == note_id)).all()
    claimed: set[str] = set()
    for line in lines:
        check(line.corrects_id is not None, "line {} of a note corrects none", line.id)
        of = line.corrects_id or 0
        line.collection = "wallet"
        line.net_exact, line.tax_exact = exact[of].net, exact[of].tax
        line.quantity, line.measure = corrected[of].calls * 1_000_000, "calls"
        line.unit_price = None
        for entry_id in sorted(corrected[of].entries - claimed):
            session.add(InvoiceEntryRow(entry_id=entry_id, invoice_id=note_id, line_id=line.id))
        claimed |= corrected[of].entries
    session.flush()


def _debit(
    session: Session, books: Bookkeeper, invoice_id: int, corrected: dict[int, _Corrected], why: _Why
) -> CorrectionNote | None:
    row = locked_standing(session, invoice_id)
    billed = billed_account(session, row.account_id, row.unit)
    lines, corrected = _placed(session, lines_of(session, row.id), corrected)
    exact = {id: _exact(lines[id], of) for id, of in corrected.items()}
    note = new_draft(session, row.account_id, row.unit, why.now_us, why.by)
    note.kind, note.corrects_id, note.note = "debit_note", row.id, _printed(session, row, billed, why)
    note.from_us, note.to_us, note.purchase_order = row.from_us, row.to_us, row.purchase_order
    for position, (id, of) in enumerate(corrected.items(), 1):
        line, own = lines[id], exact[id]
        session.add(
            InvoiceLineRow(
                invoice_id=note.id,
                position=position,
                kind=line.kind,
                product_class=line.product_class,
                description=line.description,
                told=line.told,
                quantity=of.calls * 1_000_000,
                measure="calls",
                net_exact=own.net,
                tax_exact=own.tax,
                net=0,
                taxes=line.taxes,
                collection="wallet",
                ledger_code=line.ledger_code,
                from_us=line.from_us,
                to_us=line.to_us,
                corrects_id=line.id,
                origin="reckoned",
                reason=why.reason,
            )
        )
    session.flush()
    _claim(session, note.id, corrected, exact)
    reckon_totals(session, note, billed)
    issued = issue(session, books, note.id, why.now_us, why.by)
    session.refresh(note)
    check(note.number is not None, "a debit note was not issued: {}", issued)
    return CorrectionNote(
        note.id, note.kind, note.number or "", note.total, note.unit, note.account_id, invoice_id
    )
