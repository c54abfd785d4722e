"""Re-ratings that people ask for: reckoned first, looked at, then carried out or left; and the list of them.

A plan's work is done by a worker that says now and then how far it is. One that was killed leaves a plan
that nobody beats any more: it counts as stopped, and goes on where it was, since a run does nothing twice.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.correction_notes import CorrectionNote, invoiced, issue_correction_notes
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import InputRefused, PbxbillError
from pbxbill.listing.listing import (
    N_,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Listing,
    Order,
    Rows,
    at_least,
    below,
    contains,
    equals,
)
from pbxbill.listing.operators import operators
from pbxbill.mediation.rerate import Definition, Preview, Rerating, changed_in_tax_alone
from pbxbill.store.driver import Driver
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow, CdrRow
from pbxbill.store.rerating_models import ReratingPlanRow

RECKONING, READY, RUNNING, STOPPED, DONE, FAILED = (
    *("reckoning", "ready", "running"),
    *("stopped", "done", "failed"),
)
SILENT_US = 300 * SECOND_US
"""A worker that has not said a word for so long was killed."""
MAX_REASON_LENGTH = 500
Writing = Callable[[], AbstractContextManager[tuple[Session, Bookkeeper]]]
"""Opens a transaction in which money moves."""


class _StopAsked(Exception):
    """Somebody asked the worker to stop; between two transactions."""


def check_over(definition: Definition, now_us: int) -> None:
    """InputRefused unless the period is over and begins before it ends."""
    if definition.from_us >= definition.to_us:
        raise InputRefused("the period ends before it begins")
    if definition.to_us > now_us:
        raise InputRefused("the period is not over: --to lies in the future")


def issue_notes(writing: Writing, clock: Clock) -> list[CorrectionNote]:
    """Issue the notes of calls that were on invoices, also those that a run before was stopped at."""
    issued: list[CorrectionNote] = []
    while True:
        with writing() as (session, books):
            made = issue_correction_notes(session, books, clock.now_us())
        if made is None:
            return issued
        issued += made


def plan_rerating(session: Session, definition: Definition, by: str, now_us: int) -> ReratingPlanRow:
    """Write down what is wanted, to be reckoned."""
    check_over(definition, now_us)
    if (definition.tariff or definition.deck) and not definition.accounts:
        raise InputRefused("name the account whose calls another tariff or deck counts for")
    row = ReratingPlanRow(
        by=by[:200], definition=definition.as_json(), state=RECKONING, created_us=now_us, beaten_us=now_us
    )
    session.add(row)
    session.flush()
    return row


def definition_of_call(
    session: Session, scope: Scope, session_id: str
) -> tuple[Definition, AccountRow] | None:
    """One call: the microsecond in which it began, of its account. None: the scope has no such call."""
    call = session.scalar(
        select(CdrRow).where(CdrRow.session_id == session_id, scope.among(CdrRow.account_id))
    )
    account = None if call is None or call.account_id is None else session.get(AccountRow, call.account_id)
    if call is None or account is None or not scope.covers(account):
        return None
    return Definition(call.started_us, call.started_us + 1, (account.code,)), account


def definition_of(row: ReratingPlanRow) -> Definition:
    """What a plan is about."""
    values = json.loads(row.definition)
    return Definition(**values | {"accounts": tuple(values["accounts"])})


def state_of(row: ReratingPlanRow, now_us: int) -> str:
    """Its state; one whose worker was killed has stopped, or failed before it was reckoned."""
    if row.beaten_us >= now_us - SILENT_US or row.state not in (RECKONING, RUNNING):
        return row.state
    return STOPPED if row.state == RUNNING else FAILED


def begin_rerating(session: Session, plan_id: int, now_us: int) -> None:
    """Agree to what was shown, or go on where it stopped; InputRefused if it is not waiting for that."""
    row = _locked(session, plan_id)
    may_begin = row.state == READY or state_of(row, now_us) == STOPPED
    # One that failed while it corrected goes on where it was; one that could not be reckoned does not.
    if not (may_begin or (row.state == FAILED and row.preview)):
        raise InputRefused("this re-rating is not waiting to be agreed to any more; look what became of it")
    row.state, row.stops, row.done, row.reason, row.beaten_us = RUNNING, False, 0, "", now_us
    session.flush()


def stop_rerating(session: Session, plan_id: int) -> None:
    """Ask the worker to stop after the calls it is at."""
    row = _locked(session, plan_id)
    if row.state not in (RECKONING, RUNNING):
        raise InputRefused("this re-rating does not run any more")
    row.stops = True
    session.flush()


def _locked(session: Session, plan_id: int) -> ReratingPlanRow:
    query = select(ReratingPlanRow).where(ReratingPlanRow.id == plan_id).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one()


@dataclass(frozen=True, slots=True)
class Rerater:
    """Does the work of plans."""

    database: Engine
    connect: Callable[[], Driver]
    clock: Clock
    writing: Writing

    def reckon(self, plan_id: int) -> None:
        """Find out what would change; then the plan is ready."""
        self._work(plan_id, RECKONING, self._reckoned)

    def carry_out(self, plan_id: int) -> None:
        """Correct the charges, and issue the notes of those that were on invoices."""
        self._work(plan_id, RUNNING, self._carried_out)

    def _work(self, plan_id: int, state: str, work: Callable[[ReratingPlanRow], dict[str, Any]]) -> None:
        with transaction(reading(self.database)) as session:
            row = session.get(ReratingPlanRow, plan_id)
        if row is None or row.state != state:
            return
        try:
            found = work(row)
        except _StopAsked:
            # What was not reckoned to its end cannot be agreed to.
            found = {"state": STOPPED} if state == RUNNING else {"state": FAILED, "reason": "it was stopped"}
        except PbxbillError as error:
            found = {"state": FAILED, "reason": str(error)[:MAX_REASON_LENGTH]}
        except Exception:
            self._set(plan_id, {"state": FAILED, "reason": "it broke; the log says more"})
            raise
        self._set(plan_id, found)

    def _rerating(self, row: ReratingPlanRow) -> Rerating:
        return Rerating(self.connect, self.clock, definition_of(row), invoiced)

    def _reckoned(self, row: ReratingPlanRow) -> dict[str, Any]:
        preview = self._rerating(row).preview(self._beat(row.id))
        return {"state": READY, "preview": json.dumps(_shown(preview))}

    def _carried_out(self, row: ReratingPlanRow) -> dict[str, Any]:
        run_id, posted = self._rerating(row).apply(self._beat(row.id))
        notes = issue_notes(self.writing, self.clock)
        driver = self.connect()
        try:
            tax_alone = changed_in_tax_alone(driver, run_id)
        finally:
            driver.close()
        result = {
            "posted": [x._asdict() for x in posted],
            "notes": [x._asdict() for x in notes],
            "tax_alone": tax_alone,
        }
        return {"state": DONE, "run_id": run_id, "result": json.dumps(result)}

    def _beat(self, plan_id: int) -> Callable[[int, int], None]:
        def beat(done: int, total: int) -> None:
            with transaction(self.database) as session:
                row = session.get_one(ReratingPlanRow, plan_id)
                row.done, row.total, row.beaten_us = done, total, self.clock.now_us()
                stops = row.stops
            if stops:
                raise _StopAsked

        return beat

    def _set(self, plan_id: int, values: dict[str, Any]) -> None:
        with transaction(self.database) as session:
            now = {"beaten_us": self.clock.now_us(), "stops": False}
            session.execute(update(ReratingPlanRow).where(ReratingPlanRow.id == plan_id).values(values | now))


def _shown(preview: Preview) -> dict[str, Any]:
    accounts = [
        {"account_id": account_id, "unit": unit, **asdict(change)}
        for (account_id, unit), change in preview.accounts.items()
    ]
    return {"calls": preview.calls, "accounts": accounts, "reasons": preview.reasons}


def _rows(_session: Session, scope: Scope) -> Rows:
    names = ("id", "created_us", "by", "state", "definition", "done", "total", "run_id")
    return select(*(getattr(ReratingPlanRow, x).label(x) for x in names)).where(operators(scope))


def _finish(_session: Session, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        wanted = json.loads(row.pop("definition"))
        row["from_us"], row["to_us"] = wanted["from_us"], wanted["to_us"]
        row["accounts"] = ", ".join(wanted["accounts"])


def _names(query: Rows, code: str) -> Rows:
    """Those that were asked for this account: accounts stand first in what is kept, the only ones in []."""
    written = json.dumps(code)
    for sign in "!%_":
        written = written.replace(sign, f"!{sign}")
    return query.where(ReratingPlanRow.definition.like(f'%"accounts": [%{written}%]%', escape="!"))


RERATINGS = Listing(
    name="re-ratings",
    title=N_("Re-rating"),
    permission=Permission.OPERATIONS_READ,
    columns=(
        Column("created_us", N_("Asked for"), ColumnKind.MOMENT),
        Column("from_us", N_("Calls from"), ColumnKind.MOMENT),
        Column("to_us", N_("Until"), ColumnKind.MOMENT),
        Column("accounts", N_("Accounts"), ColumnKind.CODE),
        Column("by", N_("By"), wide=True),
        Column("state", N_("State"), ColumnKind.STATE),
        Column("done", N_("Calls looked at"), ColumnKind.COUNT, wide=True),
        Column("run_id", N_("Run"), ColumnKind.COUNT, wide=True),
    ),
    rows=_rows,
    orders=(
        Order("newest", N_("Newest first"), ReratingPlanRow.created_us, ReratingPlanRow.id, descending=True),
    ),
    filters=(
        Filter(
            "state",
            N_("State"),
            equals(ReratingPlanRow.state),
            FilterKind.CHOICE,
            tuple((x, x.capitalize()) for x in (RECKONING, READY, RUNNING, STOPPED, DONE, FAILED)),
        ),
        Filter("account", N_("Account's code"), _names),
        Filter("by", N_("By"), contains(ReratingPlanRow.by)),
        Filter("from", N_("From"), at_least(ReratingPlanRow.created_us), FilterKind.DAY),
        Filter("to", N_("To"), below(ReratingPlanRow.created_us), FilterKind.DAY, next_day=True),
    ),
    finish=_finish,
)
