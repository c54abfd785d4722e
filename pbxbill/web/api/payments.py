"""Money that came in: top-ups and payments entered, what an account paid, payments through gateways."""

from typing import Annotated

from flask import request
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.standing import ASKING
from pbxbill.billing.payments.account_entries import ALL, paid_entries
from pbxbill.billing.payments.payments import NewPayment
from pbxbill.billing.payments.received_payments import receive_payment
from pbxbill.billing.payments.top_ups import MAX_METHOD_LENGTH, MAX_REFERENCE_LENGTH, NewTopUp, top_up
from pbxbill.errors import InputRefused, check
from pbxbill.listing.gateway_payments import GATEWAY_PAYMENTS
from pbxbill.store.accounts import unit_of
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import WalletRow
from pbxbill.store.units import units_by_code
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Line, Moment, Money, Sent, SentMoney, left_out, moment, money
from pbxbill.web.api.listed import declare_item, declare_list
from pbxbill.web.api.objects import billed_account
from pbxbill.web.api.problems import FieldError, Refused
from pbxbill.web.api.wallets import AccountPath, WalletPath
from pbxbill.web.front import needs

TAG = "Payments"
Method = Annotated[Line, StringConstraints(max_length=MAX_METHOD_LENGTH)]
Reference = Annotated[Line, StringConstraints(max_length=MAX_REFERENCE_LENGTH)]


class SentTopUp(Sent):
    """Money received for a wallet."""

    money: SentMoney
    method: Method = Field(default="", examples=["cash"], description="How it was paid.")
    reference: Reference = Field(default="", description="What the payer or the bank says of it.")
    receipt: bool = Field(default=True, description="Make the receipt at once.")


class SentPayment(Sent):
    """Money received for invoices."""

    money: SentMoney
    method: Annotated[Line, StringConstraints(min_length=1, max_length=MAX_METHOD_LENGTH)] = Field(
        examples=["bank"]
    )
    reference: Reference = Field(default="", description="What the payer or the bank says of it.")
    invoice_ids: Annotated[list[Id], Field(min_length=1, max_length=100)] = left_out(
        "For these, in their order. Left out: for what was due first."
    )
    receipt: bool = Field(default=True, description="Make the receipt at once.")


class ToppedUp(BaseModel):
    """A top-up, as it was booked."""

    entry: str = Field(description="Of the ledger.")
    posted: Money
    available: Money
    receipt: str | None = Field(description="Its number.")


class Allocation(BaseModel):
    """What of a payment an invoice got."""

    invoice_id: int
    number: str | None
    amount: Money
    open: Money
    state: str


class Paid(BaseModel):
    """A payment, as it was booked."""

    entry: str = Field(description="Of the ledger.")
    invoices: list[Allocation]
    to_wallet: Money = Field(description="What was over.")
    receipt: str | None = Field(description="Its number.")


class Entry(BaseModel):
    """An entry of the ledger by which an account paid, or got back."""

    id: str
    at: Moment
    kind: str = Field(description="payment, top-up, allocation, write-off or reversal.")
    memo: str
    received: Money
    to_invoices: Money
    reversed_by: str | None


class Entries(BaseModel):
    """Entries, the newest first."""

    items: list[Entry]
    next: str | None


class EntriesQuery(Sent):
    """Which page."""

    size: Annotated[int, Field(ge=1, le=200)] = 50
    before: Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")] = left_out(
        "The page after: follow `next` instead."
    )


class PaymentPath(Sent):
    """A payment through a gateway, by its id."""

    payment_id: Id


def payments(api: Api) -> None:
    """Top-ups, payments, what was paid."""
    front = api.front
    types = declare_list(api, "/gateway-payments", GATEWAY_PAYMENTS, TAG)
    one = "/gateway-payments/<int:payment_id>"
    declare_item(api, one, types, TAG, "get_gateway_payment", "One payment through a gateway.")

    @api.get("/accounts/<int:account_id>/wallets/<unit>/payments", Entries, TAG)
    @needs(Permission.PAYMENTS_READ)
    def list_payments(path: WalletPath, query: EntriesQuery) -> Entries:
        """What an account paid in a currency: top-ups, payments of invoices, and what was taken back."""
        with front.reading() as session:
            front.account(session, path.account_id)
            units = units_by_code(session)
            if path.unit not in units:
                raise Refused(404)
            found = paid_entries(
                session,
                path.account_id,
                path.unit,
                kinds=ALL,
                before=query.before or "",
                most=query.size + 1,
            )
        unit, is_more = units[path.unit], len(found) > query.size
        found = found[: query.size]
        here = f"{request.script_root}{request.path}?size={query.size}"
        return Entries(
            items=[
                Entry(
                    id=x.id,
                    at=moment(x.at_us),
                    kind=x.kind,
                    memo=x.memo,
                    received=money(x.received, unit),
                    to_invoices=money(x.to_invoices, unit),
                    reversed_by=x.reversed_by,
                )
                for x in found
            ],
            next=f"{here}&before={found[-1].id}" if is_more else None,
        )

    @api.post("/accounts/<int:account_id>/top-ups", ToppedUp, TAG)
    @needs(Permission.PAYMENTS_TAKE)
    def enter_top_up(path: AccountPath, body: SentTopUp) -> Answer:
        """Enter money received for a wallet. Live calls last longer within a second."""
        with front.reading() as session:
            account = billed_account(front, session, path.account_id)
            amount, unit = _received(session, path.account_id, body.money)
        with api.writing("top_up.enter", account.code, account_id=account.id) as change:
            cause = change.cause
            check(cause is not None, "a top-up comes with a key")
            new = NewTopUp(
                amount,
                unit,
                body.method,
                str(cause),
                body.reference,
                front.actor.name[:64],
                receipt=body.receipt,
            )
            done = top_up(change.session, change.books, account, new, change.now_us)
            shown = unit_of(change.session, unit)
            told = ToppedUp(
                entry=done.entry_id,
                posted=money(done.balance, shown),
                available=money(done.available, shown),
                receipt=None if done.receipt is None else done.receipt.number,
            )
            return change.done(told, 201)

    @api.post("/accounts/<int:account_id>/payments", Paid, TAG)
    @needs(Permission.PAYMENTS_TAKE)
    def enter_payment(path: AccountPath, body: SentPayment) -> Answer:
        """Enter money received for invoices; what is over goes into the wallet."""
        with front.reading() as session:
            account = billed_account(front, session, path.account_id)
            amount, unit = _received(session, path.account_id, body.money)
            _check_invoices(session, path.account_id, body.invoice_ids or [])
        with api.writing("payment.enter", account.code, account_id=account.id) as change:
            cause = change.cause
            check(cause is not None, "a payment comes with a key")
            new = NewPayment(
                amount,
                unit,
                body.method,
                str(cause),
                tuple(body.invoice_ids) if body.invoice_ids else None,
                body.reference,
                front.actor.name[:64],
            )
            session = change.session
            done = receive_payment(
                session, change.books, account, new, change.now_us, with_receipt=body.receipt
            )
            shown = unit_of(session, unit)
            rows = [(x, session.get_one(InvoiceRow, x.invoice_id)) for x in done.allocated.parts]
            told = Paid(
                entry=done.allocated.entry_id,
                invoices=[
                    Allocation(
                        invoice_id=row.id,
                        number=row.number,
                        amount=money(part.amount, shown),
                        open=money(row.open, shown),
                        state=row.state,
                    )
                    for part, row in rows
                ],
                to_wallet=money(done.allocated.to_wallet, shown),
                receipt=None if done.receipt is None else done.receipt.number,
            )
            return change.done(told, 201)


def _received(session: Session, account_id: int, sent: SentMoney) -> tuple[int, str]:
    """What came in, for a wallet that there is."""
    try:
        amount, unit = sent.of(session)
    except InputRefused as error:
        raise Refused(422, errors=[FieldError(field="body.money", detail=str(error))]) from None
    if amount <= 0:
        raise Refused(422, errors=[FieldError(field="body.money.amount", detail="must be more than zero")])
    wallet = select(WalletRow.id).where(WalletRow.account_id == account_id, WalletRow.unit == unit.code)
    if session.scalar(wallet) is None:
        told = f"the account has no {unit.code} wallet"
        raise Refused(422, errors=[FieldError(field="body.money.currency", detail=told)])
    return amount, unit.code


def _check_invoices(session: Session, account_id: int, invoice_ids: list[int]) -> None:
    """Others' invoices, and those that there are none of, look alike."""
    query = select(InvoiceRow.id).where(
        InvoiceRow.id.in_(invoice_ids), InvoiceRow.account_id == account_id, InvoiceRow.kind.in_(ASKING)
    )
    known = set(session.scalars(query))
    errors = [
        FieldError(field=f"body.invoice_ids.{place}", detail="the account has no such invoice")
        for place, id in enumerate(invoice_ids)
        if id not in known
    ]
    if errors:
        raise Refused(422, errors=errors[:20])
