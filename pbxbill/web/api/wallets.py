"""Wallets of an account: what is on them, what calls hold, how far below zero they may go."""

from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.account_terms import set_credit_limit
from pbxbill.errors import InputRefused
from pbxbill.money import Unit, parse_amount
from pbxbill.store.accounts import unit_of
from pbxbill.store.models import WalletRow
from pbxbill.store.units import units_by_code
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Amount, Id, Money, Sent, money
from pbxbill.web.api.objects import billed_account
from pbxbill.web.api.problems import Refused, said
from pbxbill.web.front import needs

TAG = "Wallets"


class AccountPath(Sent):
    """An account, by its number."""

    account_id: Id


class WalletPath(AccountPath):
    """A wallet of an account, by what it counts."""

    unit: str = Field(pattern="^[A-Z0-9]{1,12}$", description="EUR, say.")


class Wallet(BaseModel):
    """A balance in one currency or other unit."""

    unit: str
    posted: Money = Field(description="What the ledger says.")
    reserved: Money = Field(description="Held by calls that are up.")
    credit_limit: Money = Field(description="How far below zero it may go.")
    available: Money = Field(description="What a new call finds: posted - reserved + credit limit.")


class Wallets(BaseModel):
    """All wallets of an account."""

    items: list[Wallet]


class NewLimit(Sent):
    """How far below zero a wallet may go."""

    credit_limit: Amount = Field(examples=["50.00"], description="In the wallet's unit; 0: not at all.")


def wallets(api: Api) -> None:
    """Wallets, and their credit limits."""
    front = api.front

    @api.get("/accounts/<int:account_id>/wallets", Wallets, TAG)
    @needs(Permission.ACCOUNTS_READ)
    def list_wallets(path: AccountPath) -> Wallets:
        """The wallets of an account."""
        with front.reading() as session:
            front.account(session, path.account_id)
            return Wallets(items=wallets_of(session, path.account_id))

    @api.get(
        "/accounts/<int:account_id>/wallets/<unit>", Wallet, TAG, moving=("posted", "reserved", "available")
    )
    @needs(Permission.ACCOUNTS_READ)
    def get_wallet(path: WalletPath) -> Wallet:
        """One wallet of an account."""
        with front.reading() as session:
            front.account(session, path.account_id)
            return _wallet(session, path)

    @api.put(
        "/accounts/<int:account_id>/wallets/<unit>/credit-limit",
        Wallet,
        TAG,
        of="/accounts/<int:account_id>/wallets/<unit>",
    )
    @needs(Permission.PAYMENTS_CORRECT)
    def set_limit(path: WalletPath, body: NewLimit) -> Answer:
        """Set how far below zero a wallet may go.

        Live calls follow within a second. 409 where calls and charges hold more than the limit would leave.
        """
        with front.reading() as session:
            account = billed_account(front, session, path.account_id)
            _wallet(session, path)
        with api.writing("wallet.limit", account.code, account_id=account.id) as change:
            session = change.session
            unit = unit_of(session, path.unit)
            amount = parse_amount(body.credit_limit, unit)
            try:
                set_credit_limit(session, change.books, account, unit, limit=amount, now_us=change.now_us)
            except InputRefused as error:
                raise Refused(409 if amount >= 0 else 422, said(error)) from None
            return change.done(_wallet(session, path))


def wallets_of(session: Session, account_id: int) -> list[Wallet]:
    """The wallets of an account, by their units."""
    query = select(WalletRow).where(WalletRow.account_id == account_id).order_by(WalletRow.unit)
    units = units_by_code(session)
    return [shown_wallet(row, units) for row in session.scalars(query)]


def shown_wallet(row: WalletRow, units: dict[str, Unit]) -> Wallet:
    """A wallet as it stands."""
    unit = units[row.unit]
    return Wallet(
        unit=row.unit,
        posted=money(row.posted, unit),
        reserved=money(row.reserved, unit),
        credit_limit=money(row.credit_limit, unit),
        available=money(row.posted - row.reserved + row.credit_limit, unit),
    )


def _wallet(session: Session, path: WalletPath) -> Wallet:
    query = select(WalletRow).where(WalletRow.account_id == path.account_id, WalletRow.unit == path.unit)
    row = session.scalar(query.execution_options(populate_existing=True))
    if row is None:
        raise Refused(404)
    return shown_wallet(row, units_by_code(session))
