"""Resellers and customers: found, opened, changed, suspended."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.account_terms import (
    Opening,
    change_account,
    offline_allowance,
    open_with_wallets,
    unit_of_tariff,
)
from pbxbill.billing.life_cycle.suspending import HAND, all_in_force, cut_calls, lift, suspend
from pbxbill.charging.status import AccountStatus
from pbxbill.errors import InputRefused
from pbxbill.listing.accounts import ACCOUNTS
from pbxbill.listing.subtrees import subtree_of
from pbxbill.money import Unit, parse_amount
from pbxbill.store.accounts import NewAccount, dialling_rule_by_name, tariff_of_issuer, unit_of
from pbxbill.store.catalogue_models import DiallingRuleRow
from pbxbill.store.models import AccountRow, EndpointRow, TariffRow
from pbxbill.store.units import units_by_code
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Amount, Code, Line, Moment, Money, Sent, left_out, moment, money
from pbxbill.web.api.listed import declare_file, declare_list
from pbxbill.web.api.problems import FieldError, Refused, said
from pbxbill.web.api.wallets import AccountPath, Wallet, wallets_of
from pbxbill.web.front import Front, needs

Found = TypeVar("Found")
TAG = "Accounts"
Name = Annotated[Line, StringConstraints(min_length=1, max_length=64)]


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


class SentEndpoint(Sent):
    """What tells the switch whose call it is."""

    kind: Literal["sip", "ip", "caller_id", "did"]
    value: Annotated[Line, StringConstraints(min_length=1, max_length=64)]


class NewAccountBody(Sent):
    """An account with its first wallet."""

    code: Code = Field(description="What people know it by; it never changes.")
    name: Annotated[Line, StringConstraints(min_length=1, max_length=200)] = left_out("Default: the code.")
    kind: Literal["customer", "reseller"] = "customer"
    mode: Literal["prepaid", "postpaid", "hybrid"] = "prepaid"
    reseller: Code = left_out("Code of who bills it. Default: the key's own account.")
    unit: Annotated[str, StringConstraints(pattern="^[A-Z0-9]{1,12}$")] = Field(
        description="What its wallet counts: EUR, say."
    )
    credit_limit: Amount = Field(default="0", description="How far below zero its wallet may go.")
    tariff: Name = left_out("What its calls are charged by. Without one it cannot call.")
    inbound_tariff: Name = left_out("What calls to its DIDs are charged by. Without one they are free.")
    dialling_rule: Name = left_out("Default: as the account above.")
    language: Literal["en", "fr", "es"] = "en"
    endpoints: Annotated[list[SentEndpoint], Field(max_length=100)] = Field(default=[])


class AccountChange(Sent):
    """What to change of an account; what is left out stays."""

    name: Annotated[Line, StringConstraints(min_length=1, max_length=200)] = left_out()
    mode: Literal["prepaid", "postpaid", "hybrid"] = left_out()
    tariff: Name = left_out()
    inbound_tariff: Name | None = left_out("null: calls to its DIDs are free.")
    dialling_rule: Name | None = left_out("null: as the account above.")
    language: Literal["en", "fr", "es"] = left_out()
    minimum_balance: Amount | None = left_out(
        "With less to spend no call to the outside begins, in its tariff's currency. null: no such floor."
    )


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
            account = open_with_wallets(session, _opening(session, front, body), change.now_us)
            shown = shown_account(session, account)
            return change.done(shown, 201)

    @api.patch("/accounts/<int:account_id>", Account, TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def change_an_account(path: AccountPath, body: AccountChange) -> Answer:
        """Change an account. Calls that are up keep the terms they began with."""
        with front.reading() as session:
            code = front.account(session, path.account_id).code
        with api.writing("account.change", code, account_id=path.account_id) as change:
            session = change.session
            account = front.account(session, path.account_id)
            change_account(session, account, _changes(session, account, body))
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


def _opening(session: Session, front: Front, body: NewAccountBody) -> Opening:
    unit = _named(lambda: unit_of(session, body.unit), "unit")
    limit = parse_amount(body.credit_limit, unit)
    if limit < 0:
        raise _wrong("credit_limit", "must be 0 or more")
    if limit and not front.actor.may(Permission.PAYMENTS_CORRECT):
        raise Refused(403, f"To give credit, the key needs {Permission.PAYMENTS_CORRECT}.")
    above = _above(session, front, body.reseller or "")
    for name in ("tariff", "inbound_tariff"):
        if getattr(body, name):
            _tariff_id(session, above.id, getattr(body, name), name)
    if body.dialling_rule:
        _rule_id(session, body.dialling_rule)
    new = NewAccount(
        body.code,
        body.name or body.code,
        kind=body.kind,
        mode=body.mode,
        parent=None if above.parent_id is None else above.code,
        tariff=body.tariff or None,
        inbound_tariff=body.inbound_tariff or None,
        dialling_rule=body.dialling_rule or None,
        language=body.language,
        offline_allowance=offline_allowance(None, body.mode, unit),
    )
    return Opening(new, unit.code, limit, tuple((x.kind, x.value) for x in body.endpoints))


def _above(session: Session, front: Front, code: str) -> AccountRow:
    """Below whom an account is opened: whoever asks, or a reseller whom he may see."""
    if not code:
        return session.get_one(AccountRow, front.scope.account_id)
    above = session.scalar(select(AccountRow).where(AccountRow.code == code))
    if (
        above is None
        or above.kind != "reseller"
        or not (above.id == front.scope.account_id or front.scope.covers(above))
    ):
        raise _wrong("reseller", "there is no such reseller")
    return above


def _changes(session: Session, account: AccountRow, body: AccountChange) -> dict[str, Any]:
    sent = body.model_dump(include=body.model_fields_set)
    for name in ("tariff", "inbound_tariff"):
        if name in sent:
            named = sent.pop(name)
            sent[f"{name}_id"] = (
                None if named is None else _tariff_id(session, account.parent_id, named, name)
            )
    if "dialling_rule" in sent:
        rule = sent.pop("dialling_rule")
        sent["dialling_rule_id"] = None if rule is None else _rule_id(session, rule)
    if sent.get("minimum_balance") is not None:
        unit = _paying(session, sent.get("tariff_id", account.tariff_id))
        if unit is None:
            raise _wrong("minimum_balance", "the account has no tariff that says what it is paid in")
        sent["minimum_balance"] = parse_amount(sent["minimum_balance"], unit)
    return sent


def _paying(session: Session, tariff_id: int | None) -> Unit | None:
    code = unit_of_tariff(session, tariff_id)
    return None if code is None else unit_of(session, code)


def _tariff_id(session: Session, issuer_id: int | None, name: str, field: str) -> int:
    return _named(lambda: tariff_of_issuer(session, issuer_id, name), field).id


def _rule_id(session: Session, name: str) -> int:
    return _named(lambda: dialling_rule_by_name(session, name), "dialling_rule").id


def _named(find: Callable[[], Found], field: str) -> Found:
    try:
        return find()
    except InputRefused as error:
        raise _wrong(field, said(error)) from None


def _wrong(field: str, detail: str) -> Refused:
    return Refused(422, errors=[FieldError(field=f"body.{field}", detail=detail)])


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
        minimum_balance=_minimum(session, account),
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


def _minimum(session: Session, account: AccountRow) -> Money | None:
    unit = _paying(session, account.tariff_id)
    if account.minimum_balance is None or unit is None:
        return None
    return money(account.minimum_balance, unit)
