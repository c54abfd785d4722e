"""Resellers and customers: found, opened, changed, suspended."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.account_terms import change_account, open_with_wallets, paying_unit
from pbxbill.billing.life_cycle.suspending import HAND, all_in_force, cut_calls, lift, suspend
from pbxbill.charging.status import AccountStatus
from pbxbill.listing.accounts import ACCOUNTS
from pbxbill.listing.subtrees import subtree_of
from pbxbill.money import Unit
from pbxbill.store.catalogue_models import DiallingRuleRow
from pbxbill.store.models import AccountRow, EndpointRow, TariffRow
from pbxbill.store.units import units_by_code
from pbxbill.web.api.account_terms import AccountChange, NewAccountBody, changes_of, opened_at, opening_of
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Line, Moment, Money, Sent, moment, money
from pbxbill.web.api.listed import declare_file, declare_list
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.wallets import AccountPath, Wallet, wallets_of
from pbxbill.web.front import needs

TAG = "Accounts"


class Identified(BaseModel):
    """What tells the switch whose call it is."""

    kind: str
    value: str
    tech_prefix: str
    status: str


class Barred(BaseModel):
    """Why an account is barred."""

    cause: str
    status: str
    since: Moment
    reason: str


class Account(BaseModel):
    """A reseller or customer."""

    id: int
    code: str
    name: str
    kind: str
    mode: str
    status: str
    reseller: str | None = Field(description="Code of who bills it; null: the operator.")
    tariff: str | None
    inbound_tariff: str | None
    language: str
    failure_policy: str
    dialling_rule: str | None = Field(description="Null: as the account above.")
    wallet_order: list[str]
    shadow: bool
    minimum_balance: Money | None
    offline_allowance: Money | None = Field(
        description="The most that calls may cost which nobody could authorize, beyond its limit."
    )
    announce_balance: bool | None = Field(description="null, here and below: as the tariff says.")
    announce_minutes: bool | None
    announce_warning: bool | None
    announce_denial: bool | None
    opened: Moment
    wallets: list[Wallet]
    endpoints: list[Identified]
    barred_by: list[Barred]


class SumBelow(BaseModel):
    """Wallets of accounts below one, in one unit."""

    wallets: int
    posted: Money = Field(description="What the ledger says.")
    available: Money = Field(description="What new calls find, credit limits counted in.")


class Below(BaseModel):
    """All accounts below one, itself left out."""

    accounts: int
    resellers: int = Field(description="So many of them.")
    sums: list[SumBelow]


class Suspend(Sent):
    """How to bar an account."""

    status: Literal["no_outgoing", "suspended", "inactive"] = Field(
        default="suspended",
        description="no_outgoing: calls to its DIDs still come in; inactive: recurring charges rest as well.",
    )
    reason: Annotated[Line, StringConstraints(min_length=1, max_length=200)] = Field(
        description="Kept, and told the account."
    )
    cut: bool = Field(default=False, description="Calls that are up end with the slice they have.")


def accounts(api: Api) -> None:
    """Accounts."""
    front = api.front
    declare_list(api, "/accounts", ACCOUNTS, TAG)
    declare_file(api, "/accounts.csv", ACCOUNTS, TAG)

    @api.get(
        "/accounts/<int:account_id>", Account, TAG, moving=("wallets", "barred_by", "status", "endpoints")
    )
    @needs(Permission.ACCOUNTS_READ)
    def get_account(path: AccountPath) -> Account:
        """One account, with its wallets and what identifies it."""
        with front.reading() as session:
            return shown_account(session, front.account(session, path.account_id))

    @api.get("/accounts/<int:account_id>/subtree", Below, TAG)
    @needs(Permission.ACCOUNTS_READ)
    def get_subtree(path: AccountPath) -> Below:
        """What is below a reseller, at any depth: how many accounts, and the sums of their wallets."""
        with front.reading() as session:
            found = subtree_of(session, front.account(session, path.account_id))
            units = units_by_code(session)
        return Below(
            accounts=found.accounts,
            resellers=found.resellers,
            sums=[
                SumBelow(
                    wallets=x.wallets,
                    posted=money(x.posted, units[x.unit]),
                    available=money(x.available, units[x.unit]),
                )
                for x in found.sums
            ],
        )

    @api.post("/accounts", Account, TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def open_account(body: NewAccountBody) -> Answer:
        """Open an account with a wallet. 409: there is one of that code."""
        with api.writing("account.open", body.code) as change:
            session = change.session
            if session.scalar(select(AccountRow.id).where(AccountRow.code == body.code)) is not None:
                raise Refused(409, "There is an account of that code.")
            opened_us = opened_at(body, change.now_us)
            account = open_with_wallets(session, opening_of(session, front, body), change.now_us, opened_us)
            return change.done(shown_account(session, account), 201)

    @api.patch("/accounts/<int:account_id>", Account, TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def change_an_account(path: AccountPath, body: AccountChange) -> Answer:
        """Change an account. Calls that are up keep the terms they began with."""
        with front.reading() as session:
            code = front.account(session, path.account_id).code
        with api.writing("account.change", code, account_id=path.account_id) as change:
            session = change.session
            account = front.account(session, path.account_id)
            change_account(session, account, changes_of(session, front, account, body))
            return change.done(shown_account(session, account))

    @api.post("/accounts/<int:account_id>/suspension", Account, TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def suspend_account(path: AccountPath, body: Suspend) -> Answer:
        """Bar new calls of an account and of all below it. Emergency calls and support numbers pass."""
        with front.reading() as session:
            account = front.account(session, path.account_id)
        if account.status == AccountStatus.TERMINATED:
            raise Refused(409, "The account is terminated.")
        with api.writing("account.suspend", account.code, account_id=account.id) as change:
            suspend(
                change.session,
                account.id,
                AccountStatus(body.status),
                cause=HAND,
                reason=body.reason,
                now_us=change.now_us,
                by=front.actor.name,
                cut=body.cut,
            )
            answer = change.done(shown_account(change.session, _again(change.session, account.id)), 201)
        if body.cut:  # a call that was being granted in that moment is cut as well
            with front.changing("account.cut_calls", account.code, account_id=account.id) as after:
                cut_calls(after.session, account.id, after.now_us)
        return answer

    @api.delete("/accounts/<int:account_id>/suspension", TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def resume_account(path: AccountPath) -> Answer:
        """Lift what was barred by hand. What dunning or its life-cycle barred stays: `barred_by` says so.

        409: nothing was barred by hand.
        """
        with front.reading() as session:
            account = front.account(session, path.account_id)
        with api.writing("account.resume", account.code, account_id=account.id) as change:
            lifted = lift(change.session, account.id, cause=HAND, now_us=change.now_us, by=front.actor.name)
            if not lifted:
                raise Refused(409, "Nothing was barred by hand.")
            return change.done(None)


def _again(session: Session, account_id: int) -> AccountRow:
    query = select(AccountRow).where(AccountRow.id == account_id)
    return session.scalars(query.execution_options(populate_existing=True)).one()


def shown_account(session: Session, account: AccountRow) -> Account:
    """An account as it stands."""
    unit = paying_unit(session, account)
    above = None if account.parent_id is None else session.get(AccountRow, account.parent_id)
    rule_id = account.dialling_rule_id
    rule = None if rule_id is None else session.get(DiallingRuleRow, rule_id)
    endpoints = session.scalars(
        select(EndpointRow)
        .where(EndpointRow.account_id == account.id)
        .order_by(EndpointRow.kind, EndpointRow.value)
        .limit(1000)
    )
    return Account(
        id=account.id,
        code=account.code,
        name=account.name,
        kind=account.kind,
        mode=account.mode,
        status=account.status,
        reseller=above.code if above is not None and above.kind != "operator" else None,
        tariff=_tariff(session, account.tariff_id),
        inbound_tariff=_tariff(session, account.inbound_tariff_id),
        language=account.language,
        failure_policy=account.failure_policy,
        dialling_rule=None if rule is None else rule.name,
        wallet_order=account.wallet_order.split(",") if account.wallet_order else [],
        shadow=account.shadow,
        minimum_balance=_amount(account.minimum_balance, unit),
        offline_allowance=_amount(account.offline_allowance, unit),
        announce_balance=account.announce_balance,
        announce_minutes=account.announce_minutes,
        announce_warning=account.announce_warning,
        announce_denial=account.announce_denial,
        opened=moment(account.created_us),
        wallets=wallets_of(session, account.id),
        endpoints=[
            Identified(kind=x.kind, value=x.value, tech_prefix=x.tech_prefix, status=x.status)
            for x in endpoints
        ],
        barred_by=[
            Barred(cause=x.cause, status=x.status, since=moment(x.from_us), reason=x.reason)
            for x in all_in_force(session, account.id)
        ],
    )


def _tariff(session: Session, tariff_id: int | None) -> str | None:
    row = None if tariff_id is None else session.get(TariffRow, tariff_id)
    return None if row is None else row.name


def _amount(amount: int | None, unit: Unit | None) -> Money | None:
    return None if amount is None or unit is None else money(amount, unit)
