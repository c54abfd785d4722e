"""Money that is here already: put to invoices, moved to another account, taken back."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.payments.payments import pay_from_wallet
from pbxbill.billing.payments.taking_back import Reversal, take_back_entry
from pbxbill.billing.payments.transfers import NewTransfer, transfer_funds
from pbxbill.errors import check
from pbxbill.listing.payments import PAYMENTS, accounts_of_entries
from pbxbill.listing.sellers import kept_by_sellers
from pbxbill.store.accounts import unit_of
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow, JournalEntryRow, LedgerAccountRow, PostingRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Code, Id, Line, Money, Sent, SentMoney, left_out, money
from pbxbill.web.api.listed import declare_file, declare_list
from pbxbill.web.api.objects import account_named, billed_account, conflicts, field, wrong
from pbxbill.web.api.payments import TAG, Allocation
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.wallets import AccountPath, WalletPath
from pbxbill.web.front import needs

Reason = Annotated[Line, StringConstraints(min_length=1, max_length=200)]
CAN_BE_REVERSED = ("top-up", "payment", "write-off", "allocation")


class EntryPath(Sent):
    """An entry of the ledger."""

    entry_id: str = Field(pattern="^[0-9a-f]{32}$")


class TakeBack(Sent):
    """Why an entry is taken back."""

    reason: Reason
    owed: bool = Field(
        default=False, description="Of a top-up: also what is spent, which the account then owes."
    )


class TakenBack(BaseModel):
    """The equal and opposite entry."""

    entry: str


class FromWallet(Sent):
    """What of a wallet goes to invoices."""

    amount: SentMoney = left_out("Default: as much as is there and open.")
    invoice_ids: Annotated[list[Id], Field(min_length=1, max_length=100)] = left_out(
        "Default: what was due first."
    )


class PutToInvoices(BaseModel):
    """What invoices got."""

    entry: str
    invoices: list[Allocation]


class SentTransfer(Sent):
    """Funds for another account."""

    to: Code = Field(description="Code of the account that gets them.")
    money: SentMoney
    reason: Reason


class Transferred(BaseModel):
    """What moved."""

    entries: list[str]
    giver_balance: Money
    taker_balance: Money


def payment_corrections(api: Api) -> None:
    """All payments; and what is corrected of them."""
    front = api.front
    declare_list(api, "/payments", PAYMENTS, TAG, name="list_all_payments", id_type=str)
    declare_file(api, "/payments.csv", PAYMENTS, TAG)

    @api.post("/payments/<entry_id>/reversal", TakenBack, TAG)
    @needs(Permission.PAYMENTS_CORRECT)
    def reverse_payment(path: EntryPath, body: TakeBack) -> Answer:
        """Take an entry back by the opposite one: invoices are open again, funds leave the wallet.

        409: it cannot be; what came through a gateway is refunded instead.
        """
        with front.reading() as session:
            entry = _entry(session, path.entry_id, kept_by_sellers(front.scope, LedgerAccountRow.issuer_id))
            if entry.kind not in CAN_BE_REVERSED:
                raise Refused(409, f"A {entry.kind} is not taken back so.")
            whose = accounts_of_entries(session, [entry.id]).get(entry.id)
            if whose is not None:
                billed_account(front, session, whose[0])
        account_id = None if whose is None else whose[0]
        with api.writing("payment.reverse", path.entry_id, account_id=account_id) as change:
            wanted = Reversal(path.entry_id, body.reason, body.owed, front.actor.name)
            with conflicts():
                made = take_back_entry(change.session, change.books, wanted, change.now_us)
            return change.done(TakenBack(entry=made), 201)

    @api.post("/accounts/<int:account_id>/wallets/<unit>/allocation", PutToInvoices, TAG)
    @needs(Permission.PAYMENTS_CORRECT)
    def allocate_funds(path: WalletPath, body: FromWallet) -> Answer:
        """Pay invoices from the account's wallet. 409: nothing is open, or nothing is there."""
        sent: Any = body
        with front.reading() as session:
            account = billed_account(front, session, path.account_id)
            amount = None if sent.amount is None else _amount(session, sent.amount, path.unit, "amount")
        return paid_from_wallet(api, account, path.unit, amount, sent.invoice_ids)

    @api.post("/accounts/<int:account_id>/transfers", Transferred, TAG)
    @needs(Permission.PAYMENTS_CORRECT)
    def transfer_to_account(path: AccountPath, body: SentTransfer) -> Answer:
        """Move funds to another account. Credit, and what live calls hold, cannot be moved (409)."""
        with front.reading() as session:
            code = billed_account(front, session, path.account_id).code
            taker_id = account_named(session, front.scope, body.to, "to").id
            billed_account(front, session, taker_id)
        with api.writing("payment.transfer", code, account_id=path.account_id) as change:
            session, cause = change.session, change.cause
            check(cause is not None, "a transfer comes with a key")
            amount = _amount(session, body.money, body.money.currency, "money")
            giver, taker = front.account(session, path.account_id), front.account(session, taker_id)
            new = NewTransfer(amount, body.money.currency, str(cause), body.reason, front.actor.name)
            with conflicts():
                done = transfer_funds(session, change.books, giver, taker, new, change.now_us)
            unit = unit_of(session, body.money.currency)
            told = Transferred(
                entries=list(done.entry_ids),
                giver_balance=money(done.giver_balance, unit),
                taker_balance=money(done.taker_balance, unit),
            )
            return change.done(told, 201)


def paid_from_wallet(
    api: Api, account: AccountRow, unit_code: str, amount: int | None, invoice_ids: list[int] | None
) -> Answer:
    """Put funds of an account that may be seen to its invoices. amount: None: all that is there and open."""
    front = api.front
    with api.writing("payment.allocate", account.code, account_id=account.id) as change:
        session = change.session
        with conflicts():
            done = pay_from_wallet(
                session,
                change.books,
                front.account(session, account.id),
                unit=unit_code,
                now_us=change.now_us,
                amount=amount,
                invoice_ids=invoice_ids,
                by=front.actor.name,
            )
        unit = unit_of(session, unit_code)
        rows = [(x, session.get_one(InvoiceRow, x.invoice_id)) for x in done.parts]
        invoices = [
            Allocation(
                invoice_id=row.id,
                number=row.number,
                amount=money(part.amount, unit),
                open=money(row.open, unit),
                state=row.state,
            )
            for part, row in rows
        ]
        return change.done(PutToInvoices(entry=done.entry_id, invoices=invoices), 201)


def _amount(session: Session, sent: SentMoney, unit: str, name: str) -> int:
    with field(name):
        amount, found = sent.of(session)
    if found.code != unit:
        raise wrong(f"{name}.currency", f"is not {unit}")
    if amount <= 0:
        raise wrong(f"{name}.amount", "must be more than zero")
    return amount


def _entry(session: Session, entry_id: str, kept: Any) -> JournalEntryRow:
    """An entry in the books of whoever asks, or of a reseller below him."""
    in_books = (
        select(PostingRow.entry_id)
        .join(LedgerAccountRow, LedgerAccountRow.id == PostingRow.ledger_account_id)
        .where(PostingRow.entry_id == entry_id, kept)
    )
    row = session.scalar(select(JournalEntryRow).where(JournalEntryRow.id == entry_id, in_books.exists()))
    if row is None:
        raise Refused(404)
    return row
