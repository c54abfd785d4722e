"""Dunning of all accounts: chooses what is due, brakes, and duns account by account in short transactions.

A run may come at any time and any number of them at once: what is due is in the database, and each invoice
reaches a level once. It begins with the brake: a policy that would take service from more than its share of
accounts within a day does nothing at all, and waits until somebody has looked and releases it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from pbxbill.billing.dunning.dunning import dun_account
from pbxbill.billing.dunning.dunning_catalogue import ACTIVE, RELEASED_US, STOPPED, PolicyBook
from pbxbill.billing.dunning.dunning_facts import act, all_due, enrol, takes_service, worst_level
from pbxbill.billing.dunning.dunning_policy import SEVERE, Action, Reached, Waits
from pbxbill.billing.dunning.promises_to_pay import due_promises, end_due
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import InputRefused, StoreUnavailable
from pbxbill.store.alerts import raise_alert
from pbxbill.store.dunning_models import DunningPolicyRow, DunningStateRow, DunningStepRow, SuspensionRow
from pbxbill.store.engine import reading, transaction
from pbxbill.store.invoice_models import InvoiceRow

DAY_US = 86_400 * SECOND_US
LONGEST_US = 15_000
"""A transaction takes no further account after this time: calls wait for SQLite's lock meanwhile."""
SHARE_OF_SQLITE = 1
"""On SQLite a run rests this many times as long as it held the write lock."""
FAILED_AGAIN_US = 3_600 * SECOND_US
"""An account that cannot be dunned is tried again after this time."""

_PER_POLICY = text(
    "SELECT a.parent_id, b.dunning_policy_id, COALESCE(b.group_name, ''), COUNT(*) FROM accounts a "
    "LEFT JOIN billing_profiles b ON b.account_id = a.id WHERE a.parent_id IS NOT NULL "
    "AND a.status <> 'terminated' GROUP BY a.parent_id, b.dunning_policy_id, COALESCE(b.group_name, '')"
)
_log = structlog.get_logger()


class Planned(NamedTuple):
    """What a run would do about an invoice."""

    account: str
    number: str
    unit: str
    overdue: int
    policy: str
    level: int
    action: Action
    again: bool


class Brake(NamedTuple):
    """A policy that would take service from more accounts than it may."""

    policy_id: int
    policy: str
    accounts: int
    """From which it would, with those of the last day."""
    allowed: int
    of: int
    """Accounts that it is for."""


class Preview(NamedTuple):
    """What a run would do."""

    planned: tuple[Planned, ...]
    brakes: tuple[Brake, ...]


@dataclass(slots=True)
class Dunning:
    """What a run has done."""

    accounts: int = 0
    steps: dict[Action, int] = field(default_factory=dict)
    charges: int = 0
    promises: int = 0
    """That were looked at, since their day was over."""
    failed: int = 0
    brakes: tuple[Brake, ...] = ()
    whole: bool = True
    """It came to its end; else it was stopped."""

    def told(self) -> str:
        """One line; empty: nothing was due."""
        done = [f"{count} {action.replace('_', ' ')}" for action, count in sorted(self.steps.items())]
        done += [f"{self.charges} penalties"] if self.charges else []
        done += [f"{self.promises} promises over"] if self.promises else []
        done += [f"{self.failed} accounts failed"] if self.failed else []
        done += [
            f"policy {x.policy} stopped: {x.accounts} accounts, {x.allowed} allowed" for x in self.brakes
        ]
        return ", ".join(done)


def preview(database: Engine, now_us: int) -> Preview:
    """What a run would do now, whom and what, and which policies would stop; nothing is changed."""
    with transaction(reading(database)) as session:
        book = PolicyBook(session, now_us)
        planned, losing = [], _Losing(session, book, now_us)
        for invoice in all_due(session, now_us, with_new=True):
            policy = invoice.policy(book)
            if policy is None or policy.state != ACTIVE:
                continue
            found = act(book.days(policy, invoice.zone), invoice, now_us)
            losing.note(policy.id, invoice.account_id, takes=takes_service(policy, found))
            if isinstance(found, Waits):
                continue
            again = not isinstance(found, Reached)
            number = (worst_level(policy, found.number) or found.number) if again else found.number
            action = policy.terms.levels[min(number, len(policy.terms.levels)) - 1].action
            planned.append(
                Planned(
                    invoice.code,
                    invoice.number,
                    invoice.unit,
                    invoice.overdue,
                    policy.name,
                    number,
                    action,
                    again,
                )
            )
        brakes = losing.brakes()
    return Preview(tuple(planned), brakes)


def run(
    database: Engine,
    books: Bookkeeper,
    clock: Clock,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[..., None] = lambda done, of=None: None,
) -> Dunning:
    """Do all that is due now. stop: asked between transactions; tell: hears how many accounts are done."""
    done = Dunning()
    now_us = clock.now_us()
    _end_promises(database, now_us, done, stop)
    _enrol(database, now_us, stop)
    with transaction(reading(database)) as session:
        book = PolicyBook(session, now_us)
        accounts, brakes = _chosen(session, book, now_us)
    if brakes:
        _stop_policies(database, brakes, now_us)
        done.brakes = brakes
        with transaction(reading(database)) as session:
            book = PolicyBook(session, now_us)
            accounts, _ = _chosen(session, book, now_us)
    worker = _Worker(database, books, clock, book, done)
    at = 0
    while at < len(accounts):
        if stop():
            done.whole = False
            break
        at += worker.some(accounts, at, now_us)
        tell(at, len(accounts))
    return done


def _enrol(database: Engine, now_us: int, stop: Callable[[], bool]) -> None:
    """New ones, until there are no more that nobody else holds."""
    found = 1
    while found and not stop():
        with transaction(database) as session:
            found = enrol(session, now_us)


class _Worker:
    """Duns accounts, some in a transaction; those of a transaction that fails, each by itself."""

    def __init__(
        self, database: Engine, books: Bookkeeper, clock: Clock, book: PolicyBook, done: Dunning
    ) -> None:
        self._database = database
        self._books = books
        self._clock = clock
        self._book = book
        self._done = done
        self._is_sqlite = database.dialect.name == "sqlite"
        self._alone_to = 0

    def some(self, accounts: list[int], at: int, now_us: int) -> int:
        """Dun some accounts from a place of the list on; how many."""
        began_us = self._clock.monotonic_us()
        count, found = 0, []
        try:
            with transaction(self._database) as session:
                while at + count < len(accounts):
                    found.append(dun_account(session, self._books, self._book, accounts[at + count], now_us))
                    count += 1
                    late = self._clock.monotonic_us() - began_us > LONGEST_US
                    if late or at + count <= self._alone_to:
                        break
        except Exception as error:  # noqa: BLE001 a bad account stops nothing, whatever is wrong with it
            self._books.forget()
            if not count and at < self._alone_to:
                self._failed(accounts[at], error, now_us)
                return 1
            # Whoever of them it is, the others go through one by one.
            self._alone_to = at + count + 1
            return 0
        self._books.announce()
        for dunned in found:
            self._done.accounts += 1
            self._done.charges += dunned.charges
            for step in dunned.steps:
                self._done.steps[step.action] = self._done.steps.get(step.action, 0) + 1
        if self._is_sqlite:
            time.sleep(SHARE_OF_SQLITE * (self._clock.monotonic_us() - began_us) / SECOND_US)
        return count

    def _failed(self, account_id: int, error: Exception, now_us: int) -> None:
        """Leave an account for later; StoreUnavailable if it is the database that is away."""
        if isinstance(error, StoreUnavailable):
            raise error
        if not isinstance(error, InputRefused):
            _log.error("account_not_dunned", account=account_id, exc_info=error)
        self._done.failed += 1
        with transaction(self._database) as session:
            raise_alert(
                session,
                "dunning_failed",
                f"account {account_id}",
                f"{type(error).__name__}: {error}",
                account_id,
                at_us=now_us,
            )
            session.execute(
                DunningStateRow.__table__.update()  # type: ignore[attr-defined]  # a table has it
                .where(DunningStateRow.account_id == account_id, DunningStateRow.next_us <= now_us)
                .values(next_us=now_us + FAILED_AGAIN_US)
            )


def _chosen(session: Session, book: PolicyBook, now_us: int) -> tuple[list[int], tuple[Brake, ...]]:
    """The accounts at which there is something to look now, and the policies that must stop."""
    accounts: list[int] = []
    losing = _Losing(session, book, now_us)
    for invoice in all_due(session, now_us):
        policy = invoice.policy(book)
        if policy is None or policy.state != ACTIVE:
            continue
        if not accounts or accounts[-1] != invoice.account_id:
            accounts.append(invoice.account_id)
        # Days are reckoned for those alone whose next level takes service: they are few.
        next_levels = policy.terms.levels[invoice.level : invoice.level + 1]
        if (invoice.level and invoice.since_us is None) or any(x.action in SEVERE for x in next_levels):
            found = act(book.days(policy, invoice.zone), invoice, now_us)
            losing.note(policy.id, invoice.account_id, takes=takes_service(policy, found))
    return accounts, losing.brakes()


class _Losing:
    """Accounts that lose service by each policy: in the last day, and by what is due now."""

    def __init__(self, session: Session, book: PolicyBook, now_us: int) -> None:
        self._session = session
        self._book = book
        self._now_us = now_us
        self._accounts: dict[int, set[int]] = {}

    def note(self, policy_id: int, account_id: int, *, takes: bool) -> None:
        """See what is due about an invoice."""
        if takes:
            self._accounts.setdefault(policy_id, set()).add(account_id)

    def brakes(self) -> tuple[Brake, ...]:
        """The policies that would go too far."""
        if not self._accounts:
            return ()
        found = []
        counted = self._counted()
        for policy_id, accounts in sorted(self._accounts.items()):
            policy = self._book.by_id[policy_id]
            # Released for longer than that it was by a clock that has been set back.
            if self._now_us < (policy.released_to_us or 0) <= self._now_us + RELEASED_US:
                continue
            all_of_day = accounts | self._lost_today(policy_id)
            allowed = policy.terms.brake(counted.get(policy_id, 0))
            if len(all_of_day) > allowed:
                of = counted.get(policy_id, 0)
                found.append(Brake(policy_id, policy.name, len(all_of_day), allowed, of))
        return tuple(found)

    def _counted(self) -> dict[int, int]:
        counts: dict[int, int] = {}
        for issuer_id, chosen_id, group, count in self._session.execute(_PER_POLICY):
            policy = self._book.of(issuer_id, chosen_id, group)
            if policy is not None:
                counts[policy.id] = counts.get(policy.id, 0) + count
        return counts

    def _lost_today(self, policy_id: int) -> set[int]:
        query = (
            select(InvoiceRow.account_id)
            .join(DunningStepRow, DunningStepRow.invoice_id == InvoiceRow.id)
            .join(SuspensionRow, SuspensionRow.id == DunningStepRow.suspension_id)
            .where(
                DunningStepRow.policy_id == policy_id,
                # What was lifted and put back today is as bad as what is new.
                SuspensionRow.from_us > self._now_us - DAY_US,
                SuspensionRow.lifted_us.is_(None),
            )
            .distinct()
        )
        return set(self._session.scalars(query))


def _stop_policies(database: Engine, brakes: tuple[Brake, ...], now_us: int) -> None:
    with transaction(database) as session:
        for brake in brakes:
            row = session.get_one(DunningPolicyRow, brake.policy_id, with_for_update=True)
            row.state = STOPPED
            detail = (
                f"{brake.accounts} of {brake.of} accounts would have lost service within a day, "
                f"{brake.allowed} may; `pbxbill dunning run --dry-run` shows whom, "
                f"`pbxbill dunning release` lets it go on"
            )
            raise_alert(session, "dunning_stopped", f"policy {brake.policy}", detail, at_us=now_us)


def _end_promises(database: Engine, now_us: int, done: Dunning, stop: Callable[[], bool]) -> None:
    """Promises whose day is over are broken, or kept, before anything else is looked at."""
    while not stop():
        with transaction(reading(database)) as session:
            account_ids = due_promises(session, now_us)
        if not account_ids:
            return
        for account_id in account_ids:
            with transaction(database) as session:
                done.promises += end_due(session, account_id, now_us)
