"""How accounts are dunned: policies, penalty classes, what a run would do, and what is lifted."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.dunning.dunning_catalogue import (
    Policy,
    assign_penalty,
    import_penalty,
    make_standard,
    penalty_by_name,
    penalty_classes,
    policy_by_name,
    set_groups,
)
from pbxbill.billing.dunning.dunning_runs import preview
from pbxbill.billing.dunning.dunning_written import penalty_to_toml, policy_to_toml
from pbxbill.billing.dunning.lifting import lift_by_hand
from pbxbill.billing.dunning.penalties import penalty_from_json
from pbxbill.billing.dunning.promises_to_pay import policy_of
from pbxbill.billing.invoices.standing import ASKING
from pbxbill.listing.previews import seen_of_dunning
from pbxbill.store.billing_models import BillingProfileRow
from pbxbill.store.dunning_models import DunningPolicyRow, PenaltyClassRow
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow
from pbxbill.store.units import units_by_code
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.drafts import own_invoice
from pbxbill.web.api.dunning import TAG, DunningPolicyShown, Name, PolicyPath, shown_policy
from pbxbill.web.api.fields import Id, Line, Money, Sent, left_out, money
from pbxbill.web.api.objects import billed_account, conflicts, field, found, issuer
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import Front, needs

MOST_SHOWN = 500


class PenaltyPath(Sent):
    """A penalty class, by its id."""

    class_id: Id


class InvoicePath(Sent):
    """An invoice, by its id."""

    invoice_id: Id


class WholePolicy(DunningPolicyShown):
    """A policy with its terms."""

    toml: str = Field(description="As docs/dunning.md has them.")


class PolicyChange(Sent):
    """What to change of a policy; what is left out stays. Its terms: write it anew."""

    standard: Literal[True] = left_out(
        "It counts for accounts that have no other, until another is made the standard one."
    )
    groups: Annotated[list[Name], Field(max_length=100)] = left_out("Of billing profiles; all of them.")


class SentPenalty(Sent):
    """A penalty class in TOML, as docs/dunning.md has it."""

    name: Name
    toml: Annotated[str, StringConstraints(min_length=1, max_length=100_000)]


class Penalty(BaseModel):
    """What paying late costs."""

    id: int
    name: str
    toml: str


class Penalties(BaseModel):
    """All of the key's account."""

    items: list[Penalty]


class AccountPolicy(BaseModel):
    """By which policy an account is dunned."""

    policy: str | None = Field(description="By name; null: by none.")
    own: bool = Field(description="It was chosen for this account.")
    penalty_class: str | None = Field(description="Chosen for this account; null: as the policy says.")


class AssignedPenalty(Sent):
    """Which penalty class counts for an account."""

    penalty_class: Name | None = Field(description="Its name; null: as the policy says.")


class PlannedStep(BaseModel):
    """What the next run would do about an invoice."""

    account: str
    number: str
    overdue: Money
    policy: str
    level: int
    action: str
    again: bool


class StoppedPolicy(BaseModel):
    """A policy that its brake would stop."""

    policy_id: int
    policy: str
    accounts: int = Field(description="From which it would take service, with those of the last day.")
    allowed: int
    of: int


class DunningRunShown(BaseModel):
    """What the next run would do, as things stand."""

    items: list[PlannedStep]
    total: int = Field(description="How many steps there are; the first are shown.")
    held: list[StoppedPolicy]


class Lifting(Sent):
    """Why what dunning did is lifted."""

    reason: Annotated[Line, StringConstraints(min_length=1, max_length=200)]


class Lifted(BaseModel):
    """An account that works again."""

    invoice_id: int
    account_id: int
    status: str = Field(description="Of the account, now.")


def dunning_policies(api: Api) -> None:
    """Policies whole, penalty classes, what is looked at, what is lifted."""
    _declare_policies(api)
    _declare_penalties(api)
    _declare_looks(api)
    _declare_lifting(api)


def _declare_policies(api: Api) -> None:
    front = api.front

    @api.get("/dunning-policies/<int:policy_id>", WholePolicy, TAG, moving=("state",))
    @needs(Permission.DUNNING_READ)
    def get_dunning_policy(path: PolicyPath) -> WholePolicy:
        """One policy, with its terms."""
        with front.reading() as session:
            return _whole(session, _policy(front, session, path.policy_id))

    @api.patch("/dunning-policies/<int:policy_id>", WholePolicy, TAG)
    @needs(Permission.DUNNING_WRITE)
    def change_dunning_policy(path: PolicyPath, body: PolicyChange) -> Answer:
        """Say for whom a policy is. 409: a group goes by another."""
        sent: Any = body
        with front.reading() as session:
            name = _policy(front, session, path.policy_id).name
        with api.writing("dunning.policy", name) as change:
            session = change.session
            _policy(front, session, path.policy_id)
            if sent.standard:
                make_standard(session, path.policy_id, change.now_us)
            if sent.groups is not None:
                with conflicts():
                    set_groups(session, path.policy_id, tuple(sent.groups), change.now_us)
            return change.done(_whole(session, _policy(front, session, path.policy_id)))

    @api.get("/accounts/<int:account_id>/dunning-policy", AccountPolicy, TAG)
    @needs(Permission.DUNNING_READ)
    def get_account_dunning_policy(path: AccountPath) -> AccountPolicy:
        """By which policy an account is dunned, and what paying late costs it."""
        with front.reading() as session:
            return _of_account(session, front.account(session, path.account_id), front.clock.now_us())

    @api.put(
        "/accounts/<int:account_id>/penalty-class",
        AccountPolicy,
        TAG,
        of="/accounts/<int:account_id>/dunning-policy",
    )
    @needs(Permission.DUNNING_WRITE)
    def assign_penalty_class(path: AccountPath, body: AssignedPenalty) -> Answer:
        """Say which penalty class of who bills it counts for an account."""
        with front.reading() as session:
            code = billed_account(front, session, path.account_id).code
        with api.writing("dunning.assign", code, account_id=path.account_id) as change:
            session = change.session
            account = billed_account(front, session, path.account_id)
            penalty = None
            if body.penalty_class is not None:
                seller = session.get_one(AccountRow, account.parent_id)
                with field("penalty_class"):
                    penalty = penalty_by_name(session, seller, body.penalty_class)
            assign_penalty(session, account, penalty, change.now_us)
            return change.done(_of_account(session, account, change.now_us))


def _declare_penalties(api: Api) -> None:
    front = api.front

    def seen(session: Session, id: int) -> PenaltyClassRow:
        return found(session, PenaltyClassRow, id, front.scope.issued(PenaltyClassRow.issuer_id))

    @api.get("/penalty-classes", Penalties, TAG)
    @needs(Permission.DUNNING_READ)
    def list_penalty_classes() -> Penalties:
        """Penalty classes of the key's own account."""
        with front.reading() as session:
            known = penalty_classes(session, issuer(session, front.scope))
            return Penalties(items=[_penalty(session, seen(session, x.id)) for x in known])

    @api.get("/penalty-classes/<int:class_id>", Penalty, TAG)
    @needs(Permission.DUNNING_READ)
    def get_penalty_class(path: PenaltyPath) -> Penalty:
        """One penalty class."""
        with front.reading() as session:
            return _penalty(session, seen(session, path.class_id))

    @api.post("/penalty-classes", Penalty, TAG)
    @needs(Permission.DUNNING_WRITE)
    def write_penalty_class(body: SentPenalty) -> Answer:
        """Write a penalty class, or change the one of that name: what is charged from now on goes by it."""
        with api.writing("penalty.change", body.name) as change:
            seller = issuer(change.session, front.scope)
            with field("toml"):
                made = import_penalty(change.session, seller, body.name, body.toml, change.now_us)
            change.session.flush()
            return change.done(_penalty(change.session, seen(change.session, made.id)), 201)


def _declare_looks(api: Api) -> None:
    front = api.front

    @api.get("/dunning-preview", DunningRunShown, TAG)
    @needs(Permission.DUNNING_READ)
    def preview_dunning() -> DunningRunShown:
        """What the next run would do. Nothing is changed by looking."""
        run = preview(front.desks.application.database, front.clock.now_us())
        with front.reading() as session:
            seen = seen_of_dunning(session, front.scope, run)
            units = units_by_code(session)
        items = [
            PlannedStep(
                account=x.account,
                number=x.number,
                overdue=money(x.overdue, units[x.unit]),
                policy=x.policy,
                level=x.level,
                action=x.action.value,
                again=x.again,
            )
            for x in seen.planned[:MOST_SHOWN]
        ]
        held = [StoppedPolicy(**x._asdict()) for x in seen.brakes]
        return DunningRunShown(items=items, total=len(seen.planned), held=held)


def _declare_lifting(api: Api) -> None:
    front = api.front

    def seen(session: Session, id: int) -> InvoiceRow:
        asks = InvoiceRow.kind.in_(ASKING) & InvoiceRow.number.is_not(None)
        found(session, InvoiceRow, id, asks & front.scope.among(InvoiceRow.account_id))
        return own_invoice(front, session, id)

    @api.post("/invoices/<int:invoice_id>/dunning/lifting", Lifted, TAG)
    @needs(Permission.DUNNING_WRITE)
    def lift_dunning(path: InvoicePath, body: Lifting) -> Answer:
        """Lift what dunning did to an account for an invoice, even that it was closed.

        Later levels still come. 403: a reseller below issued it. 409: it has done nothing that lasts.
        """
        with front.reading() as session:
            row = seen(session, path.invoice_id)
            account_id, number = row.account_id, row.number or ""
        with api.writing("dunning.lift", number, account_id=account_id) as change:
            session = change.session
            seen(session, path.invoice_id)
            with conflicts():
                lift_by_hand(
                    session,
                    path.invoice_id,
                    reason=body.reason,
                    now_us=change.now_us,
                    by=front.actor.name,
                )
            session.flush()
            status = session.scalars(select(AccountRow.status).where(AccountRow.id == account_id)).one()
            return change.done(Lifted(invoice_id=path.invoice_id, account_id=account_id, status=status), 201)


def _policy(front: Front, session: Session, id: int) -> Policy:
    session.flush()
    session.expire_all()
    row = found(session, DunningPolicyRow, id, front.scope.issued(DunningPolicyRow.issuer_id))
    return policy_by_name(session, issuer(session, front.scope), row.name)


def _whole(session: Session, policy: Policy) -> WholePolicy:
    return WholePolicy(
        **shown_policy(policy).model_dump(), toml=policy_to_toml(policy.terms, units_by_code(session))
    )


def _penalty(session: Session, row: PenaltyClassRow) -> Penalty:
    terms = penalty_from_json(row.definition)
    text = penalty_to_toml(terms, units_by_code(session)[terms.unit])
    return Penalty(id=row.id, name=row.name, toml=text)


def _of_account(session: Session, account: AccountRow, now_us: int) -> AccountPolicy:
    session.flush()
    profile = session.get(BillingProfileRow, account.id)
    chosen = None if profile is None or profile.penalty_class_id is None else profile.penalty_class_id
    penalty = None if chosen is None else session.get_one(PenaltyClassRow, chosen)
    policy = policy_of(session, account, now_us)
    return AccountPolicy(
        policy=None if policy is None else policy.name,
        own=profile is not None and profile.dunning_policy_id is not None,
        penalty_class=None if penalty is None else penalty.name,
    )
