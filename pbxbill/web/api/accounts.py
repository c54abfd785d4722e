"""Resellers and customers: found, opened, changed, suspended."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.life_cycle.suspending import HAND, all_in_force, cut_calls, lift, suspend
from pbxbill.charging.status import AccountStatus
from pbxbill.listing.accounts import ACCOUNTS
from pbxbill.store.catalogue_models import DiallingRuleRow
from pbxbill.store.models import AccountRow, EndpointRow, TariffRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Line, Moment, Sent, moment
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
    opened: Moment
    wallets: list[Wallet]
    endpoints: list[Identified]
    barred_by: list[Barred]


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

    @api.get("/accounts/<int:account_id>", Account, TAG)
    @needs(Permission.ACCOUNTS_READ)
    def get_account(path: AccountPath) -> Account:
        """One account, with its wallets and what identifies it."""
        with front.reading() as session:
            return shown_account(session, front.account(session, path.account_id))

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
