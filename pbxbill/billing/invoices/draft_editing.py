"""What people change of a draft before it is issued: lines added, corrected, removed, each with its reason.

Nothing is forgotten. A line that was reckoned stays when it is removed, or corrected, and counts nothing; a
corrected line stands beside it. What the wallet gave for it stays on the invoice, and what the change leaves
over of that is given back to the wallet when the invoice is issued. A charge that the invoice should have
collected is waived with its line. Discarding the draft undoes all of it.
"""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from pbxbill.billing.charge import ONE, REVENUE, ChargeKind, Collection, checked_product_class
from pbxbill.billing.invoices.billed import Billed, RunMemory, billed_account
from pbxbill.billing.invoices.drafting import locked_draft, reckon_totals, taxes_to_json
from pbxbill.billing.invoices.standing import happened, reason_given, said
from pbxbill.errors import InputRefused
from pbxbill.money import MAX_AMOUNT, half_up
from pbxbill.store.invoice_models import InvoiceLineRow, InvoiceRow

ADDABLE = (
    ChargeKind.ONE_TIME,
    ChargeKind.SET_UP,
    ChargeKind.RECURRING,
    ChargeKind.LATE_FEE,
    ChargeKind.ADJUSTMENT,
    ChargeKind.CREDIT,
)


@dataclass(frozen=True, slots=True)
class NewLine:
    """A line that a person adds; the invoice collects it."""

    description: str
    unit_price: int
    """Without tax; below zero: a discount."""
    quantity: int = ONE
    """In millionths."""
    kind: ChargeKind = ChargeKind.ONE_TIME
    product_class: str = "service"
    measure: str = "items"


@dataclass(frozen=True, slots=True)
class Correction:
    """What a line should say; None: as it is."""

    net: int | None = None
    """Without tax, exact."""
    description: str | None = None


def add_line(
    session: Session,
    invoice_id: int,
    new: NewLine,
    reason: str,
    now_us: int,
    by: str = "",
) -> int:
    """Add a line to a draft: its id."""
    row = locked_draft(session, invoice_id)
    billed = billed_account(session, row.account_id, row.unit)
    reason = reason_given(reason)
    if new.kind not in ADDABLE:
        raise InputRefused(f"a {new.kind.value} line is never added by hand; use {ADDABLE[0].value}")
    if new.quantity <= 0 or new.quantity > MAX_AMOUNT or abs(new.unit_price) > MAX_AMOUNT:
        raise InputRefused("a line needs a quantity above zero, and amounts that are not astronomic")
    net = half_up(new.unit_price * new.quantity, ONE)
    if not net or abs(net) > MAX_AMOUNT:
        raise InputRefused("a line is worth something: give it a price")
    at_us = now_us if row.to_us is None else min(now_us, row.to_us - 1)
    line = InvoiceLineRow(
        invoice_id=row.id,
        position=_last_position(session, row.id) + 1,
        kind=new.kind.value,
        product_class=checked_product_class(new.product_class),
        description=_described(new.description),
        quantity=new.quantity,
        measure=new.measure[:12],
        unit_price=new.unit_price,
        net_exact=net,
        tax_exact=0,
        net=0,
        taxes=taxes_to_json(RunMemory().taxes_of(session, billed).at(new.product_class, at_us)),
        collection=Collection.INVOICE.value,
        ledger_code=REVENUE[new.kind].value,
        credited=0,
        origin="added",
        reason=reason,
    )
    session.add(line)
    session.flush()
    id = line.id
    detail = f"line {line.position}, {line.description}, {said(net, billed.unit)}: {reason}"
    _changed(session, row, billed, "line added", detail, now_us, by)
    return id


def correct_line(
    session: Session,
    line_id: int,
    correction: Correction,
    reason: str,
    now_us: int,
    by: str = "",
) -> int:
    """Change what a draft's line says: the id of the line that counts now.

    Of what the wallet gave already less can be asked for, and the rest is given back; for more, add a line.
    """
    row, line, billed = _line_of_draft(session, line_id)
    reason = reason_given(reason)
    net = line.net_exact if correction.net is None else correction.net
    from_wallet = line.collection == Collection.WALLET
    if abs(net) > MAX_AMOUNT:
        raise InputRefused("the amount is out of range")
    given = _given(session, line) if from_wallet else net
    if from_wallet and not min(0, given) <= net <= max(0, given):
        raise InputRefused(
            f"the wallet gave {said(given, billed.unit)} for this line: correct it to something between that "
            "and nothing, or add a line"
        )
    detail = f"line {line.position}, {line.description}, from {said(line.net_exact, billed.unit)} to "
    detail += f"{said(net, billed.unit)}: {reason}"
    if line.origin == "reckoned":
        line = _beside(session, line, reason)
    if from_wallet and line.net_exact:
        line.tax_exact = half_up(line.tax_exact * net, line.net_exact) if net else 0
    if net != line.net_exact:
        line.unit_price = None
    line.net_exact, line.reason = net, reason
    if correction.description is not None:
        line.description, line.told = _described(correction.description), ""
    session.flush()
    id = line.id
    _changed(session, row, billed, "line corrected", detail, now_us, by)
    return id


def remove_line(session: Session, line_id: int, reason: str, now_us: int, by: str = "") -> None:
    """Let a line of a draft count nothing."""
    row, line, billed = _line_of_draft(session, line_id)
    reason = reason_given(reason)
    detail = f"line {line.position}, {line.description}, {said(line.net_exact, billed.unit)}: {reason}"
    if line.origin == "corrected":
        session.delete(line)  # the line that it stood for is removed already, and stays
    else:
        line.origin, line.reason, line.net = "removed", reason, 0
    session.flush()
    _changed(session, row, billed, "line removed", detail, now_us, by)


def _beside(session: Session, line: InvoiceLineRow, reason: str) -> InvoiceLineRow:
    """A line that is put in the place of a reckoned one, which counts nothing from now on."""
    kept = {column.name for column in InvoiceLineRow.__table__.columns} - {"id", "origin"}
    beside = InvoiceLineRow(origin="corrected", **{name: getattr(line, name) for name in kept})
    line.origin, line.net, line.reason = "removed", 0, reason
    session.add(beside)
    session.flush()
    return beside


def _given(session: Session, line: InvoiceLineRow) -> int:
    """What the wallet gave for a line, without tax: of a corrected one, for that in whose place it stands."""
    if line.origin != "corrected":
        return line.net_exact
    first = (
        session.query(InvoiceLineRow)
        .filter_by(invoice_id=line.invoice_id, position=line.position, origin="removed")
        .order_by(InvoiceLineRow.id)
        .first()
    )
    return line.net_exact if first is None else first.net_exact


def _line_of_draft(session: Session, line_id: int) -> tuple[InvoiceRow, InvoiceLineRow, Billed]:
    line = session.get(InvoiceLineRow, line_id)
    if line is None:
        raise InputRefused(f"there is no line {line_id}")
    row = locked_draft(session, line.invoice_id)
    session.refresh(line)
    if line.origin == "removed":
        raise InputRefused(f"line {line_id} was removed: {line.reason}")
    return row, line, billed_account(session, row.account_id, row.unit)


def _last_position(session: Session, invoice_id: int) -> int:
    rows = session.query(InvoiceLineRow.position).filter_by(invoice_id=invoice_id)
    return max((position for (position,) in rows), default=0)


def _described(text: str) -> str:
    text = text.strip()
    if not text or len(text) > 300 or not text.isprintable():
        raise InputRefused("a line needs a description of up to 300 printable characters")
    return text


def _changed(  # noqa: PLR0913, PLR0917  what an event is made of
    session: Session, row: InvoiceRow, billed: Billed, kind: str, detail: str, now_us: int, by: str
) -> None:
    happened(session, row.id, kind, detail, at_us=now_us, by=by)
    reckon_totals(session, row, billed)
