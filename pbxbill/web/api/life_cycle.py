"""Life-cycle: policies of what becomes of accounts that are not filled or not used; where accounts stand."""

from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.life_cycle.life_cycle import Wanted, life_of, revive, set_life_cycle, standing_of
from pbxbill.billing.life_cycle.life_cycle_catalogue import (
    ACTIVE,
    PAUSED,
    RELEASED,
    KnownPolicy,
    import_policy,
    make_standard,
    policies_of,
    policy_by_name,
    set_state,
)
from pbxbill.billing.life_cycle.life_cycle_policy import over_us
from pbxbill.billing.life_cycle.life_cycle_written import policy_to_toml
from pbxbill.billing.life_cycle.suspending import all_in_force
from pbxbill.charging.status import AccountStatus
from pbxbill.listing.life_cycle import STAGES
from pbxbill.listing.previews import life_cycle_preview
from pbxbill.store.dunning_models import LifeCyclePolicyRow
from pbxbill.store.models import AccountRow
from pbxbill.store.units import units_by_code
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.dunning import Name
from pbxbill.web.api.fields import Id, Moment, Sent, left_out, moment, moment_or_none
from pbxbill.web.api.listed import declare_list
from pbxbill.web.api.objects import SentDay, billed_account, conflicts, field, found, issuer, wrong
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import Front, needs

TAG = "Life-cycle"
MOST_PREVIEWED = 500


class LifeCyclePolicyPath(Sent):
    """A policy, by its id."""

    policy_id: Id


class LifeCyclePolicyShown(BaseModel):
    """What becomes of accounts."""

    id: int
    name: str
    version: int
    state: str = Field(description="active, paused, stopped by its brake, or released from it.")
    standard: bool = Field(description="It counts for customers of its modes that have no other.")
    toml: str = Field(description="Its terms, as docs/dunning.md has them.")


class LifeCyclePolicies(BaseModel):
    """All of the key's account."""

    items: list[LifeCyclePolicyShown]


class SentLifeCyclePolicy(Sent):
    """A policy in TOML, as docs/dunning.md has it."""

    name: Name
    toml: Annotated[str, StringConstraints(min_length=1, max_length=100_000)]
    standard: bool = left_out("Whether it counts for customers that have no other. Default: as it is.")


class LifeCycleChange(Sent):
    """What to change of a policy; what is left out stays."""

    standard: bool = left_out("Whether it counts for customers that have no other.")
    paused: bool = left_out("Nothing is done by it; false: it goes on.")


class Barring(BaseModel):
    """Something that bars an account."""

    cause: str
    status: str
    reason: str
    since: Moment
    by: str


class Life(BaseModel):
    """Where an account stands."""

    policy: str | None = Field(description="By name; null: none counts for it.")
    own_policy: bool = Field(description="It was chosen for this account.")
    stage: str | None = Field(description="null: it is in no life-cycle.")
    since: Moment | None
    valid_to: Moment | None = Field(description="It is valid until then; null: without an end.")
    ends: Moment | None = Field(description="When its time is over, as things stand.")
    stop_on: str | None = Field(description="From this day it has no service.")
    barred_by: list[Barring] = Field(description="Everything that bars it, the worst first.")


class LifeChange(Sent):
    """What is different for one account; what is left out stays."""

    policy: Name | None = left_out("By name, one of who bills it; null: the standard one.")
    valid_to: SentDay | None = left_out("The last day; null: for ever.")
    stop_on: SentDay | None = left_out("From this day it has no service; null: no such day.")


class Revival(Sent):
    """For how long an account is brought back."""

    days: Annotated[int, Field(ge=1, le=3_650)] = left_out("Default: as its policy says.")


class PlannedStage(BaseModel):
    """What the next run would do about an account."""

    account_id: int
    account: str
    what: str = Field(description="alert, stage or stop.")
    status: str
    day: str
    policy: str | None


class HeldPolicy(BaseModel):
    """A policy that its brake would stop."""

    policy_id: int
    name: str
    accounts: int = Field(description="That would be barred within a day.")
    allowed: int


class LifeCycleRunShown(BaseModel):
    """What the next run would do, as things stand."""

    items: list[PlannedStage]
    all: bool = Field(description="False: there is more, and the first are shown.")
    held: list[HeldPolicy]


def life_cycle(api: Api) -> None:
    """Stages, policies, accounts."""
    front = api.front
    declare_list(api, "/life-cycle", STAGES, TAG, name="list_life_cycle_stages")

    @api.get("/life-cycle-preview", LifeCycleRunShown, TAG)
    @needs(Permission.DUNNING_READ)
    def preview_life_cycle() -> LifeCycleRunShown:
        """What the next run would do. Nothing is changed by looking."""
        with front.reading() as session:
            run = life_cycle_preview(session, front.scope, front.clock.now_us(), MOST_PREVIEWED)
        items = [
            PlannedStage(
                account_id=x.account_id,
                account=x.code,
                what=x.what,
                status=x.status.value,
                day=x.day.isoformat(),
                policy=run.names.get(x.policy_id or 0),
            )
            for x in run.steps
        ]
        held = [HeldPolicy(**x._asdict()) for x in run.held]
        return LifeCycleRunShown(items=items, all=run.is_all, held=held)

    _declare_policies(api)
    _declare_accounts(api)


def _declare_policies(api: Api) -> None:
    front = api.front

    @api.get("/life-cycle-policies", LifeCyclePolicies, TAG)
    @needs(Permission.DUNNING_READ)
    def list_life_cycle_policies() -> LifeCyclePolicies:
        """Policies of the key's own account."""
        with front.reading() as session:
            own = policies_of(session, front.scope.account_id)
            return LifeCyclePolicies(items=[_shown(session, x) for x in own])

    @api.get("/life-cycle-policies/<int:policy_id>", LifeCyclePolicyShown, TAG, moving=("state",))
    @needs(Permission.DUNNING_READ)
    def get_life_cycle_policy(path: LifeCyclePolicyPath) -> LifeCyclePolicyShown:
        """One policy."""
        with front.reading() as session:
            return _shown(session, _policy(front, session, path.policy_id))

    @api.post("/life-cycle-policies", LifeCyclePolicyShown, TAG)
    @needs(Permission.DUNNING_WRITE)
    def write_life_cycle_policy(body: SentLifeCyclePolicy) -> Answer:
        """Write a policy, or the newest version of the one of that name. It counts at once."""
        with api.writing("life-cycle.policy", body.name) as change:
            seller = issuer(change.session, front.scope)
            with field("toml"):
                made = import_policy(change.session, seller, body.name, body.toml, change.now_us)
            _set_standard(change.session, seller, made, body.standard)
            return change.done(_shown(change.session, _policy(front, change.session, made.id)), 201)

    @api.patch("/life-cycle-policies/<int:policy_id>", LifeCyclePolicyShown, TAG)
    @needs(Permission.DUNNING_WRITE)
    def change_life_cycle_policy(path: LifeCyclePolicyPath, body: LifeCycleChange) -> Answer:
        """Make a policy the standard one, or no more; pause it, or let it go on.

        409: its brake stopped it, so that it has to be released.
        """
        sent: Any = body
        with front.reading() as session:
            name = _policy(front, session, path.policy_id).name
        with api.writing("life-cycle.change", name) as change:
            session = change.session
            seller, now = issuer(session, front.scope), _policy(front, session, path.policy_id)
            _set_standard(session, seller, now, sent.standard)
            if sent.paused is not None:
                if not sent.paused and now.state not in (ACTIVE, PAUSED, RELEASED):
                    raise Refused(409, "Its brake stopped it: release it.")
                set_state(session, seller, name, PAUSED if sent.paused else ACTIVE, change.now_us)
            return change.done(_shown(session, _policy(front, session, path.policy_id)))

    @api.post("/life-cycle-policies/<int:policy_id>/release", LifeCyclePolicyShown, TAG)
    @needs(Permission.DUNNING_WRITE)
    def release_life_cycle_policy(path: LifeCyclePolicyPath) -> Answer:
        """Let the next run go without the brake of a policy: look at the preview first."""
        with front.reading() as session:
            name = _policy(front, session, path.policy_id).name
        with api.writing("life-cycle.release", name) as change:
            session = change.session
            _policy(front, session, path.policy_id)
            set_state(session, issuer(session, front.scope), name, RELEASED, change.now_us)
            return change.done(_shown(session, _policy(front, session, path.policy_id)), 201)


def _declare_accounts(api: Api) -> None:
    front = api.front

    @api.get(
        "/accounts/<int:account_id>/life-cycle", Life, TAG, moving=("stage", "since", "ends", "barred_by")
    )
    @needs(Permission.DUNNING_READ)
    def get_account_life_cycle(path: AccountPath) -> Life:
        """Where an account stands, and everything that bars it."""
        with front.reading() as session:
            return _life(session, front.account(session, path.account_id))

    @api.patch("/accounts/<int:account_id>/life-cycle", Life, TAG)
    @needs(Permission.DUNNING_WRITE)
    def change_account_life_cycle(path: AccountPath, body: LifeChange) -> Answer:
        """Say what is different for an account. What that means is done with the next run."""
        with front.reading() as session:
            code = billed_account(front, session, path.account_id).code
        with api.writing("life-cycle.set", code, account_id=path.account_id) as change:
            session = change.session
            account = billed_account(front, session, path.account_id)
            if account.parent_id is None:
                raise Refused(404)
            with conflicts():
                set_life_cycle(
                    session, account, _wanted(session, account, body), change.now_us, by=front.actor.name
                )
            return change.done(_life(session, account))

    @api.post("/accounts/<int:account_id>/life-cycle/revival", Life, TAG)
    @needs(Permission.DUNNING_WRITE)
    def revive_account(path: AccountPath, body: Revival) -> Answer:
        """Bring an account back from any stage. What else bars it stays. 409: nothing of it bars it."""
        with front.reading() as session:
            code = billed_account(front, session, path.account_id).code
        with api.writing("life-cycle.revive", code, account_id=path.account_id) as change:
            session = change.session
            account = billed_account(front, session, path.account_id)
            with conflicts():
                revive(session, account.id, change.now_us, days=body.days, by=front.actor.name)
            return change.done(_life(session, account), 201)


def _wanted(session: Session, account: AccountRow, body: LifeChange) -> Wanted:
    sent: Any = body
    named = body.model_fields_set
    policy = None
    if sent.policy is not None:
        with field("policy"):
            policy = policy_by_name(session, session.get_one(AccountRow, account.parent_id), sent.policy)
    if not named:
        raise wrong("policy", "say what to change")
    return Wanted(
        policy=policy,
        standard="policy" in named and policy is None,
        valid_to=None if sent.valid_to is None else date.fromisoformat(sent.valid_to),
        for_ever="valid_to" in named and sent.valid_to is None,
        stop_on=None if sent.stop_on is None else date.fromisoformat(sent.stop_on),
        never="stop_on" in named and sent.stop_on is None,
    )


def _set_standard(session: Session, seller: AccountRow, policy: KnownPolicy, standard: bool | None) -> None:
    if standard is not None and standard != policy.standard:
        make_standard(session, seller, policy.id if standard else None)


def _policy(front: Front, session: Session, id: int) -> KnownPolicy:
    session.flush()
    session.expire_all()
    row = found(session, LifeCyclePolicyRow, id, front.scope.issued(LifeCyclePolicyRow.issuer_id))
    return policy_by_name(session, issuer(session, front.scope), row.name)


def _shown(session: Session, policy: KnownPolicy) -> LifeCyclePolicyShown:
    return LifeCyclePolicyShown(
        id=policy.id,
        name=policy.name,
        version=policy.version,
        state=policy.state,
        standard=policy.standard,
        toml=policy_to_toml(policy.terms, units_by_code(session)),
    )


def _life(session: Session, account: AccountRow) -> Life:
    session.flush()
    session.expire_all()
    life = life_of(session, account)
    barred = [
        Barring(cause=x.cause, status=x.status, reason=x.reason, since=moment(x.from_us), by=x.by)
        for x in all_in_force(session, account.id)
    ]
    if life is None:
        return Life(
            policy=None,
            own_policy=False,
            stage=None,
            since=None,
            valid_to=None,
            ends=None,
            stop_on=None,
            barred_by=barred,
        )
    return Life(
        policy=None if life.policy is None else life.policy.name,
        own_policy=life.row.policy_id is not None,
        stage=AccountStatus(life.row.stage).value,
        since=moment_or_none(life.row.since_us),
        valid_to=moment_or_none(life.row.valid_to_us),
        ends=moment_or_none(over_us(life.terms, standing_of(session, life), life.zone)),
        stop_on=life.row.stop_on or None,
        barred_by=barred,
    )
