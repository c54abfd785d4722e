"""Bringing subscriptions of older versions of a plan to its newest one, each in its own transaction."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from pbxbill.billing.subscriptions.subscribing import Wanted, migrate_plan
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import Clock
from pbxbill.errors import InputRefused
from pbxbill.store.billing_models import PlanRow

Writing = Callable[[], AbstractContextManager[tuple[Session, Bookkeeper]]]
"""Opens a transaction in which money moves."""


@dataclass(slots=True)
class Migrated:
    """What became of subscriptions; one that is in neither list has the newest version already."""

    done: list[int] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    """They keep their version, and why."""


def migrate_all(
    writing: Writing, plan: PlanRow, ids: Iterable[int], wanted: Wanted, clock: Clock
) -> Migrated:
    """Bring them to the newest version; one that cannot be brought stops no other."""
    found = Migrated()
    for id in ids:
        try:
            with writing() as (session, books):
                done = migrate_plan(session, books, plan, id, wanted, clock.now_us())
        except InputRefused as refused:
            found.refused.append((id, str(refused)))
            continue
        if done is not None:
            found.done.append(id)
    return found
