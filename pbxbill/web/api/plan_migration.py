"""Subscriptions of older versions of a plan are brought to its newest one."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.subscriptions.migrating import migrate_all
from pbxbill.billing.subscriptions.plan_catalogue import newest_version
from pbxbill.billing.subscriptions.plan_terms import ChangeAt
from pbxbill.billing.subscriptions.subscribing import Wanted, to_migrate
from pbxbill.store.billing_models import PlanRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Code, Sent
from pbxbill.web.api.objects import account_named, found
from pbxbill.web.api.plans import TAG, PlanPath
from pbxbill.web.background import Background
from pbxbill.web.front import needs


class SentMigration(Sent):
    """When subscriptions of older versions get the newest one."""

    when: Literal["cycle_end", "now"] = Field(
        default="cycle_end", description="With their next period, or at once, pro-rated."
    )
    accounts: Annotated[list[Code], Field(max_length=200)] = Field(
        default=[], description="Only theirs, by their codes."
    )


class Migration(BaseModel):
    """What is being brought to the newest version."""

    plan_id: int
    version: int = Field(description="The newest.")
    subscriptions: int = Field(description="Of older versions, when it began.")


def plan_migration(api: Api) -> None:
    """Plans of the key's own account."""
    front = api.front
    background = Background()

    def plan_of(session: Session, id: int) -> PlanRow:
        return found(session, PlanRow, id, front.scope.issued(PlanRow.issuer_id))

    @api.post("/plans/<int:plan_id>/migration", Migration, TAG, 202)
    @needs(Permission.CATALOGUE_WRITE)
    def migrate_subscriptions(path: PlanPath, body: SentMigration) -> Answer:
        """Bring subscriptions of older versions to the newest one. It goes on in the background.

        The plan's versions say how many are left: one that cannot be brought keeps its own. It is not undone.
        """
        with front.reading() as session:
            plan = plan_of(session, path.plan_id)
            named = enumerate(body.accounts)
            accounts = [account_named(session, front.scope, x, f"accounts.{place}") for place, x in named]
            ids = to_migrate(session, plan, accounts)
        with api.writing("plan.migrate", plan.name) as change:
            newest = newest_version(change.session, plan_of(change.session, plan.id))
            told = Migration(plan_id=plan.id, version=newest.number, subscriptions=len(ids))
            answer = change.done(told, 202)
        wanted = Wanted(at=ChangeAt(body.when), by=front.actor.name)

        def work() -> None:
            with front.desks.desk() as desk:
                migrate_all(desk.writing, plan, ids, wanted, front.clock)

        background.start(f"plan-{plan.id}", work)
        return answer
