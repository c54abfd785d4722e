"""What is kept with an account: its ledger, notes that it does not see; another wallet; its end."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.life_cycle.suspending import HAND, cut_calls
from pbxbill.billing.life_cycle.terminating import terminate
from pbxbill.listing.ledger import LEDGER
from pbxbill.money import parse_amount
from pbxbill.store.access_models import AccountNoteRow
from pbxbill.store.accounts import open_wallet, unit_of
from pbxbill.store.models import AccountRow
from pbxbill.web.api.accounts import TAG, Account, shown_account
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Amount, Code, Id, Line, Moment, Sent, left_out, moment
from pbxbill.web.api.listed import declare_file, declare_list
from pbxbill.web.api.objects import billed_account, conflicts, field, found, wrong
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import Front, needs

MOST_NOTES = 200


class NotePath(AccountPath):
    """A note, by its id."""

    note_id: Id


class SentNote(Sent):
    """What somebody wants to remember."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=4_000)]


class Note(BaseModel):
    """What somebody wanted to remember. The account does not see it."""

    id: int
    at: Moment
    by: str
    text: str


class Notes(BaseModel):
    """The newest first."""

    items: list[Note] = Field(description=f"Up to {MOST_NOTES}.")


class NewWallet(Sent):
    """A wallet in a unit in which the account has none."""

    unit: Annotated[str, StringConstraints(pattern="^[A-Z0-9]{1,12}$")] = Field(examples=["EUR"])
    credit_limit: Amount = left_out("How far below zero it may go; needs `payments:correct`.")


class Termination(Sent):
    """That an account is closed for good."""

    code: Code = Field(description="The account's own, so that no other is meant.")
    reason: Annotated[Line, StringConstraints(min_length=1, max_length=200)]


def account_records(api: Api) -> None:
    """Of accounts in scope."""
    front = api.front
    declare_list(api, "/ledger", LEDGER, TAG, id_type=str)
    declare_file(api, "/ledger.csv", LEDGER, TAG)
    _declare_notes(api)

    @api.post("/accounts/<int:account_id>/wallets", Account, TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def open_another_wallet(path: AccountPath, body: NewWallet) -> Answer:
        """Give an account another wallet. 409: it has one in that unit."""
        sent: Any = body
        with front.reading() as session:
            code = front.account(session, path.account_id).code
        if sent.credit_limit is not None and not front.actor.may(Permission.PAYMENTS_CORRECT):
            raise Refused(403, "Credit is given by who may correct payments.")
        with api.writing("wallet.open", code, account_id=path.account_id) as change:
            session = change.session
            account = front.account(session, path.account_id)
            with field("unit"):
                unit = unit_of(session, body.unit)
            limit = 0
            if sent.credit_limit is not None:
                with field("credit_limit"):
                    limit = parse_amount(sent.credit_limit, unit)
                if limit < 0:
                    raise wrong("credit_limit", "is not below zero")
            with conflicts():
                open_wallet(session, account, body.unit, limit)
            return change.done(shown_account(session, _again(front, session, account.id)), 201)

    @api.post("/accounts/<int:account_id>/termination", Account, TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def terminate_account(path: AccountPath, body: Termination) -> Answer:
        """Close an account for good, and end what it has: subscriptions, numbers, calls that are up.

        409: it is closed, or it cannot be.
        """
        with front.reading() as session:
            code = billed_account(front, session, path.account_id).code
        if body.code != code:
            raise wrong("code", "is not the code of this account")
        id = path.account_id
        with api.writing("account.terminate", code, account_id=id) as change:
            billed_account(front, change.session, id)
            with conflicts():
                terminate(
                    change.session,
                    change.books,
                    id,
                    cause=HAND,
                    reason=body.reason,
                    now_us=change.now_us,
                    by=front.actor.name,
                )
            answer = change.done(shown_account(change.session, _again(front, change.session, id)), 201)
        # A call that was being granted in that moment is cut as well.
        with front.changing("account.cut_calls", code, account_id=id) as after:
            cut_calls(after.session, id, after.now_us)
        return answer


def _declare_notes(api: Api) -> None:
    front = api.front
    rule = "/accounts/<int:account_id>/notes"

    def mine() -> ColumnElement[bool]:
        return front.scope.issued(AccountNoteRow.issuer_id)

    @api.get(rule, Notes, TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def list_notes(path: AccountPath) -> Notes:
        """What the key's account noted about an account."""
        with front.reading() as session:
            front.account(session, path.account_id)
            query = (
                select(AccountNoteRow)
                .where(AccountNoteRow.account_id == path.account_id, mine())
                .order_by(AccountNoteRow.id.desc())
                .limit(MOST_NOTES)
            )
            return Notes(items=[_note(x) for x in session.scalars(query)])

    @api.post(rule, Note, TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def add_note(path: AccountPath, body: SentNote) -> Answer:
        """Note something about an account, which does not see it."""
        text = body.text.strip()
        if not text:
            raise wrong("text", "says nothing")
        with front.reading() as session:
            code = front.account(session, path.account_id).code
        with api.writing("note.add", code, account_id=path.account_id) as change:
            front.account(change.session, path.account_id)
            row = AccountNoteRow(
                account_id=path.account_id,
                issuer_id=front.scope.account_id,
                at_us=change.now_us,
                by=front.actor.name,
                text=text,
            )
            change.session.add(row)
            change.session.flush()
            return change.done(_note(row), 201)

    @api.delete(f"{rule}/<int:note_id>", TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def remove_note(path: NotePath) -> Answer:
        """Take a note away."""
        with front.reading() as session:
            code = front.account(session, path.account_id).code
        with api.writing("note.remove", code, account_id=path.account_id) as change:
            front.account(change.session, path.account_id)
            condition = (AccountNoteRow.account_id == path.account_id) & mine()
            change.session.delete(found(change.session, AccountNoteRow, path.note_id, condition))
            return change.done(None)


def _note(row: AccountNoteRow) -> Note:
    return Note(id=row.id, at=moment(row.at_us), by=row.by, text=row.text)


def _again(front: Front, session: Session, id: int) -> AccountRow:
    session.flush()
    session.expire_all()
    return front.account(session, id)
