"""Books: the trial balance, and the journal entry by entry."""

from typing import Any

from flask import Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.books.asked_books import Books, Form, balances_of_days, book_day, books_of
from pbxbill.billing.books.trial_balance import TrialBalance, Wallets
from pbxbill.errors import InputRefused
from pbxbill.listing.journal import JOURNAL, EntryFacts, journal_entry, sellers_of
from pbxbill.money import Unit
from pbxbill.store.accounts import unit_of
from pbxbill.web.api.api import Api, File
from pbxbill.web.api.fields import Moment, Money, Sent, left_out, moment, money
from pbxbill.web.api.listed import declare_file, declare_list
from pbxbill.web.api.objects import SentDay
from pbxbill.web.api.payment_corrections import EntryPath
from pbxbill.web.api.problems import FieldError, Refused, said
from pbxbill.web.front import Front, needs
from pbxbill.web.journal_file import MIMETYPES, journal_file

TAG = "Books"
POSTINGS = File(MIMETYPES[Form.CSV], "UTF-8, with a heading, RFC 4180.")
BEANCOUNT = File(MIMETYPES[Form.BEANCOUNT], "UTF-8, as Beancount reads it.")


class TrialBalanceQuery(Sent):
    """Whose books, of which days."""

    issuer: str = Field(default="", max_length=64, description="Account code. Default: the key's own.")
    first: SentDay = left_out("From this day, in the issuer's zone. Default: the first there is.")
    last: SentDay = left_out("To the end of this day. Default: all.")


class JournalQuery(Sent):
    """Whose journal, of which days."""

    issuer: str = Field(default="", max_length=64, description="Account code. Default: the key's own.")
    first: SentDay = Field(description="From this day, in the issuer's zone.")
    last: SentDay = Field(description="To the end of this day.")
    by_day: bool = Field(default=False, description="Usage summed up by day, not an entry for each call.")


class AccountBalance(BaseModel):
    """An account of the chart over the time. Debit is above zero, credit below."""

    account: str
    opening: Money
    debit: Money
    credit: Money = Field(description="Above zero, too.")
    closing: Money


class WalletsTold(BaseModel):
    """What of wallets is whose."""

    funds: Money = Field(description="What holders have.")
    unbilled: Money = Field(description="What they owe, and no invoice asks for.")


class UnitBalance(BaseModel):
    """An issuer's books in a unit."""

    issuer: str
    unit: str
    accounts: list[AccountBalance]
    opening: WalletsTold
    closing: WalletsTold


class TrialBalances(BaseModel):
    """In each unit."""

    items: list[UnitBalance]


class PostingShown(BaseModel):
    """A leg of an entry."""

    account: str = Field(description="Of the chart.")
    holder: str | None = Field(description="Account code, where it is a wallet.")
    amount: Money = Field(description="Debit above zero, credit below.")


class EntryDocument(BaseModel):
    """A document that an entry belongs to."""

    invoice_id: int
    number: str | None
    account: str
    role: str


class JournalEntry(BaseModel):
    """An entry, and what it belongs to."""

    id: str
    at: Moment
    kind: str
    memo: str
    issuer: str
    postings: list[PostingShown]
    documents: list[EntryDocument]
    session_id: str | None = Field(description="Of its call.")
    reverses: str | None
    reversed_by: str | None


def books(api: Api) -> None:
    """Books of the key's account, and of resellers below it."""
    front = api.front
    declare_list(api, "/journal-entries", JOURNAL, TAG, name="list_journal_entries", id_type=str)
    declare_file(api, "/journal-entries.csv", JOURNAL, TAG)

    _declare_export(api)

    @api.get("/journal-entries/<entry_id>", JournalEntry, TAG)
    @needs(Permission.REPORTS_READ)
    def get_journal_entry(path: EntryPath) -> JournalEntry:
        """One entry with its postings."""
        with front.reading() as session:
            facts = journal_entry(session, front.scope, path.entry_id)
            if facts is None:
                raise Refused(404)
            return _entry(facts, unit_of(session, facts.entry.unit))

    @api.get("/trial-balance", TrialBalances, TAG)
    @needs(Permission.REPORTS_READ)
    def get_trial_balance(query: TrialBalanceQuery) -> TrialBalances:
        """The trial balance: every posting is read, which takes seconds for millions of them."""
        sent: Any = query
        with front.reading() as session:
            asked = _books(front, session, query.issuer)
        try:
            days = [None if x is None else book_day(x) for x in (sent.first, sent.last)]
            found = balances_of_days(front.desks.application.connect, asked, *days)
        except InputRefused as error:
            raise _wrong("last", said(error)) from None
        return TrialBalances(items=[_balance(x) for x in found])


def _declare_export(api: Api) -> None:
    front = api.front

    def exported(query: JournalQuery, form: Form) -> Response:
        with front.reading() as session:
            books = _books(front, session, query.issuer)
        try:
            asked = books.exported(book_day(query.first), book_day(query.last), by_day=query.by_day)
        except InputRefused as error:
            raise _wrong("last", said(error)) from None
        return journal_file(front.desks.application.connect, books, asked, form)

    @api.get("/journal-export.csv", POSTINGS, TAG)
    @needs(Permission.REPORTS_READ)
    def export_books(query: JournalQuery) -> Response:
        """The journal for an accounting program, as CSV: a line for each posting, as docs/books.md has it."""
        return exported(query, Form.CSV)

    @api.get("/journal-export.beancount", BEANCOUNT, TAG)
    @needs(Permission.REPORTS_READ)
    def export_books_as_beancount(query: JournalQuery) -> Response:
        """The journal for Beancount: opening balances, entries, and checks of what each account has."""
        return exported(query, Form.BEANCOUNT)


def _books(front: Front, session: Session, issuer: str) -> Books:
    """Of the key's own account, or of a seller below it."""
    for seller in sellers_of(session, front.scope):
        if seller.code == issuer if issuer else seller.id == front.scope.account_id:
            return books_of(session, seller)
    raise _wrong("issuer", "there are no such books")


def _wrong(name: str, detail: str) -> Refused:
    return Refused(422, errors=[FieldError(field=f"query.{name}", detail=detail)])


def _entry(facts: EntryFacts, unit: Unit) -> JournalEntry:
    row = facts.entry
    return JournalEntry(
        id=row.id,
        at=moment(row.at_us),
        kind=row.kind,
        memo=row.memo,
        issuer=facts.issuer,
        postings=[
            PostingShown(account=x.ledger.value, holder=x.holder, amount=money(x.amount, unit))
            for x in facts.legs
        ],
        documents=[
            EntryDocument(invoice_id=x.invoice_id, number=x.number, account=x.account, role=x.role)
            for x in facts.documents
        ],
        session_id=facts.session_id,
        reverses=row.reverses_id,
        reversed_by=facts.reversed_by,
    )


def _balance(found: TrialBalance) -> UnitBalance:
    unit = found.unit

    def wallets(x: Wallets) -> WalletsTold:
        return WalletsTold(funds=money(x.funds, unit), unbilled=money(x.unbilled, unit))

    return UnitBalance(
        issuer=found.issuer,
        unit=unit.code,
        accounts=[
            AccountBalance(
                account=x.code.value,
                opening=money(x.opening, unit),
                debit=money(x.debit, unit),
                credit=money(x.credit, unit),
                closing=money(x.closing, unit),
            )
            for x in found.accounts
        ],
        opening=wallets(found.opening),
        closing=wallets(found.closing),
    )
