"""What the next runs of dunning and life-cycle would do, as far as somebody may see it."""

from itertools import islice
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.billing.dunning.dunning_runs import Preview
from pbxbill.billing.life_cycle.life_cycle_catalogue import policies_of
from pbxbill.billing.life_cycle.life_cycle_runs import over_brake, planned
from pbxbill.billing.life_cycle.life_cycle_stages import Done
from pbxbill.store.dunning_models import DunningPolicyRow
from pbxbill.store.models import AccountRow


class Held(NamedTuple):
    """A policy that its brake would stop."""

    policy_id: int
    name: str
    accounts: int
    """That would be barred within a day."""
    allowed: int


class LifeCyclePreview(NamedTuple):
    """What a run would do."""

    steps: list[Done]
    is_all: bool
    held: list[Held]
    names: dict[int, str]
    """Of policies, by their ids."""


def seen_of_dunning(session: Session, scope: Scope, found: Preview) -> Preview:
    """What a run would do about accounts that may be seen, and which own policies it would stop.

    The operator is told of everybody's policies.
    """
    if scope.is_everything:
        return found
    seen = _codes(session, scope)
    policies = set(
        session.scalars(select(DunningPolicyRow.id).where(scope.issued(DunningPolicyRow.issuer_id)))
    )
    return Preview(
        tuple(x for x in found.planned if x.account in seen),
        tuple(x for x in found.brakes if x.policy_id in policies),
    )


def life_cycle_preview(session: Session, scope: Scope, now_us: int, most: int) -> LifeCyclePreview:
    """Up to so many steps of accounts that may be seen; policies of whoever looks that would be stopped."""
    own = {x.id: x.name for x in policies_of(session, None if scope.is_everything else scope.account_id)}
    held = [Held(id, own[id], *counted) for id, counted in over_brake(session, now_us).items() if id in own]
    steps = planned(session, now_us)
    if not scope.is_everything:
        seen = _codes(session, scope)
        steps = (x for x in steps if x.code in seen)
    shown = list(islice(steps, most + 1))
    return LifeCyclePreview(shown[:most], len(shown) <= most, held, own)


def _codes(session: Session, scope: Scope) -> set[str]:
    return set(session.scalars(select(AccountRow.code).where(scope.among(AccountRow.id))))
