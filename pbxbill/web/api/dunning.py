"""Dunning: what is overdue and how far it is, policies, promises to pay."""

from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.dunning.dunning_catalogue import (
    Policy,
    all_policies,
    assign,
    import_policy,
    pause,
    policy_by_name,
    release,
)
from pbxbill.billing.dunning.promises_to_pay import NewPromise, promise, withdraw
from pbxbill.billing.invoices.standing import ASKING
from pbxbill.listing.collection import COLLECTION
from pbxbill.listing.dunning import IN_DUNNING, PROMISES, STEPS
from pbxbill.store.accounts import unit_of
from pbxbill.store.dunning_models import DunningPolicyRow, PromiseToPayRow
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow
from pbxbill.web.api.api import Answer, Api, Writing
from pbxbill.web.api.fields import Id, Line, Sent, SentMoney, left_out
from pbxbill.web.api.listed import declare_file, declare_item, declare_list
from pbxbill.web.api.objects import SentDay, billed_account, conflicts, field, found, issuer, wrong
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import Front, needs

TAG = "Dunning"
Name = Annotated[Line, StringConstraints(min_length=1, max_length=64)]


class PolicyPath(Sent):
    """A policy, by its id."""

    policy_id: Id


class PromisePath(Sent):
    """A promise, by its id."""

    promise_id: Id


class DunningPolicyShown(BaseModel):
    """How accounts are dunned."""

    id: int
    name: str
    version: int
    state: str = Field(description="active, paused, or stopped by its brake.")
    standard: bool = Field(description="It counts for accounts that have no other.")
    groups: list[str]
    levels: int


class Policies(BaseModel):
    """All of the key's account."""

    items: list[DunningPolicyShown]


class SentPolicy(Sent):
    """A policy in TOML, as docs/dunning.md has it."""

    name: Name
    toml: Annotated[str, StringConstraints(min_length=1, max_length=100_000)]


class Assigned(Sent):
    """By which policy an account is dunned."""

    policy: Name | None = Field(description="Its name; null: as its group or the standard says.")


class SentPromise(Sent):
    """What an account promises to pay."""

    until: SentDay
    invoice_id: Id = left_out("For one invoice. Default: for all that is overdue in the currency.")
    unit: Annotated[str, StringConstraints(pattern="^[A-Z0-9]{1,12}$")] = Field(examples=["EUR"])
    money: SentMoney = left_out("Default: all that is open.")
    remark: Annotated[Line, StringConstraints(max_length=200)] = ""


def dunning(api: Api) -> None:
    """States, steps, policies."""
    front = api.front
    declare_list(api, "/dunning", IN_DUNNING, TAG)
    declare_file(api, "/dunning.csv", IN_DUNNING, TAG)
    declare_list(api, "/dunning-steps", STEPS, TAG)
    declare_list(api, "/collection", COLLECTION, TAG)
    declare_file(api, "/collection.csv", COLLECTION, TAG)

    @api.get("/dunning-policies", Policies, TAG)
    @needs(Permission.DUNNING_READ)
    def list_dunning_policies() -> Policies:
        """Policies of the key's own account."""
        with front.reading() as session:
            rows = all_policies(session, issuer(session, front.scope))
            return Policies(items=[shown_policy(x) for x in rows])

    @api.post("/dunning-policies", DunningPolicyShown, TAG)
    @needs(Permission.DUNNING_WRITE)
    def write_dunning_policy(body: SentPolicy) -> Answer:
        """Write a policy, or the newest version of the one of that name."""
        with api.writing("dunning.policy", body.name) as change:
            seller = issuer(change.session, front.scope)
            with field("toml"):
                made = import_policy(change.session, seller, body.name, body.toml, change.now_us)
            return change.done(shown_policy(made), 201)

    def turned(action: str, path: PolicyPath, turn: Any) -> Answer:
        with front.reading() as session:
            name = _policy(front, session, path.policy_id).name
        with api.writing(action, name) as change:
            _policy(front, change.session, path.policy_id)
            with conflicts():
                turn(change)
            change.session.flush()
            seller = issuer(change.session, front.scope)
            return change.done(shown_policy(policy_by_name(change.session, seller, name)), 201)

    @api.post("/dunning-policies/<int:policy_id>/pause", DunningPolicyShown, TAG)
    @needs(Permission.DUNNING_WRITE)
    def pause_dunning_policy(path: PolicyPath) -> Answer:
        """Have nothing done by a policy until it is released."""
        return turned("dunning.pause", path, lambda change: pause(change.session, path.policy_id))

    @api.post("/dunning-policies/<int:policy_id>/release", DunningPolicyShown, TAG)
    @needs(Permission.DUNNING_WRITE)
    def release_dunning_policy(path: PolicyPath) -> Answer:
        """Let a policy go on. What is due by it is done with the next run, whatever its brake says."""

        def go_on(change: Writing) -> None:
            release(change.session, path.policy_id, change.now_us)

        return turned("dunning.release", path, go_on)

    @api.put("/accounts/<int:account_id>/dunning-policy", Assigned, TAG)
    @needs(Permission.DUNNING_WRITE)
    def assign_dunning_policy(path: AccountPath, body: Assigned) -> Answer:
        """Say by which policy of who bills it an account is dunned."""
        with front.reading() as session:
            code = billed_account(front, session, path.account_id).code
        with api.writing("dunning.assign", code, account_id=path.account_id) as change:
            account = billed_account(front, change.session, path.account_id)
            policy = None
            if body.policy is not None:
                seller = change.session.get_one(AccountRow, account.parent_id)
                with field("policy"):
                    policy = policy_by_name(change.session, seller, body.policy)
            assign(change.session, account, policy, change.now_us)
            return change.done(body)


def promises(api: Api) -> None:
    """Promises to pay."""
    front = api.front
    types = declare_list(api, "/promises", PROMISES, TAG)
    declare_item(api, "/promises/<int:promise_id>", types, TAG, "get_promise", "One promise to pay.")

    @api.post("/accounts/<int:account_id>/promises", types.item, TAG)
    @needs(Permission.DUNNING_WRITE)
    def make_promise(path: AccountPath, body: SentPromise) -> Answer:
        """Write down what an account promises to pay; it is not dunned for that until then."""
        sent: Any = body
        with front.reading() as session:
            code = billed_account(front, session, path.account_id).code
        with api.writing("promise.make", code, account_id=path.account_id) as change:
            session = change.session
            account = billed_account(front, session, path.account_id)
            with field("unit"):
                unit = unit_of(session, body.unit)
            amount = None
            if sent.money is not None:
                with field("money"):
                    amount, known = sent.money.of(session)
                if known.code != unit.code or amount <= 0:
                    raise wrong("money", f"must be more than zero, in {unit.code}")
            if sent.invoice_id is not None:
                row = session.get(InvoiceRow, sent.invoice_id)
                if row is None or row.account_id != account.id or row.kind not in ASKING:
                    raise wrong("invoice_id", "the account has no such invoice")
            new = NewPromise(
                unit.code,
                date.fromisoformat(body.until),
                sent.invoice_id,
                amount,
                body.remark,
                front.actor.name,
            )
            with conflicts():
                made = promise(session, account, new, change.now_us)
            return change.done(types.shown(session, front.scope, made.id), 201)

    @api.post("/promises/<int:promise_id>/withdrawal", types.item, TAG)
    @needs(Permission.DUNNING_WRITE)
    def withdraw_promise(path: PromisePath) -> Answer:
        """Take a promise back: dunning goes on. 409: it is over."""

        def seen(session: Session) -> PromiseToPayRow:
            among = front.scope.among(PromiseToPayRow.account_id)
            row = found(session, PromiseToPayRow, path.promise_id, among)
            billed_account(front, session, row.account_id)
            return row

        with front.reading() as session:
            account_id = seen(session).account_id
        with api.writing("promise.withdraw", str(path.promise_id), account_id=account_id) as change:
            seen(change.session)
            with conflicts():
                withdraw(change.session, path.promise_id, change.now_us, front.actor.name)
            return change.done(types.shown(change.session, front.scope, path.promise_id), 201)


def _policy(front: Front, session: Session, id: int) -> DunningPolicyRow:
    row = session.get(DunningPolicyRow, id)
    if row is None or row.issuer_id != front.scope.account_id:
        raise Refused(404)
    return row


def shown_policy(policy: Policy) -> DunningPolicyShown:
    """A policy without its terms."""
    return DunningPolicyShown(
        id=policy.id,
        name=policy.name,
        version=policy.version,
        state=policy.state,
        standard=policy.standard,
        groups=list(policy.groups),
        levels=len(policy.terms.levels),
    )
