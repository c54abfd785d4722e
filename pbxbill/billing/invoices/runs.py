"""Billing runs: which accounts, how far, what went wrong; each account in a transaction of its own.

A run is a row with one row for each of its accounts. Whoever works on it takes an account by locking its row,
bills it, and marks it done in the same transaction: a worker that dies leaves the account as it was, and any
number of workers share a run (on PostgreSQL at once; SQLite lets one write at a time). An account that cannot
be billed is marked failed with the reason, and stops nothing.
"""

import json
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import structlog
from sqlalchemy import ColumnElement, Engine, and_, exists, func, insert, literal, or_, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.billed import RunMemory
from pbxbill.billing.invoices.billing_account import (
    AccountBilled,
    bill_account,
    charge_ahead,
    has_subscriptions,
    prepare_account,
)
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import InputRefused, StoreUnavailable
from pbxbill.rating.cycles import CYCLES
from pbxbill.store.accounts import account_by_code
from pbxbill.store.billing_models import BillingProfileRow, SubscriptionRow
from pbxbill.store.driver import row_lock, rows_within
from pbxbill.store.engine import reading, transaction
from pbxbill.store.invoice_models import BillingRunAccountRow, BillingRunRow, InvoiceRow
from pbxbill.store.models import AccountRow

LOST_RACES = 3
SHARE_OF_SQLITE = 1
"""On SQLite a worker rests this many times as long as it held the write lock: calls need it too."""

LONGEST_US = 15_000
"""A transaction takes no further period of its account after this time."""

_NEXT_WAITING = (
    "SELECT account_id, invoices FROM billing_run_accounts WHERE run_id = :run_id AND account_id > :after "
    "AND state = 'waiting' ORDER BY account_id LIMIT 1"
)
_MARK = text(
    "UPDATE billing_run_accounts SET state = :state, detail = :detail, at_us = :at_us, "
    "invoices = COALESCE(CAST(:invoices AS INTEGER), invoices) "
    "WHERE run_id = :run_id AND account_id = :account_id"
)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Definition:
    """Which accounts a run bills, and up to when. Whatever is given must hold; nothing: all accounts."""

    until_us: int
    accounts: tuple[str, ...] = ()
    """Codes."""
    group: str = ""
    reseller: str = ""
    """Code: the accounts below it."""
    cycle: str = ""
    drafts_only: bool = False
    """Nothing is issued, whatever profiles say: somebody reviews it first."""


class Counts(NamedTuple):
    """How far a run is."""

    waiting: int
    done: int
    failed: int


class MoneyOfRun(NamedTuple):
    """What a run's invoices in a state come to."""

    unit: str
    kind: str
    state: str
    invoices: int
    total: int


class Failure(NamedTuple):
    """An account that could not be billed."""

    account: str
    why: str


def start_run(
    session: Session, definition: Definition, now_us: int, *, scope_id: int | None = None, by: str = ""
) -> int:
    """Make a run, or find the unfinished one of the same definition, which goes on.

    scope_id: the reseller whose run it is; None: the operator's.
    """
    _refuse_bad(session, definition, now_us)
    kept = json.dumps(asdict(definition), sort_keys=True)
    query = select(BillingRunRow).where(
        BillingRunRow.definition == kept,
        BillingRunRow.state != "done",
        BillingRunRow.scope_id.is_(None) if scope_id is None else BillingRunRow.scope_id == scope_id,
    )
    row = session.scalar(query.order_by(BillingRunRow.id.desc()).limit(1).with_for_update())
    if row is not None:
        row.state, row.ended_us = "running", None
        discarded = select(InvoiceRow.account_id).where(
            InvoiceRow.run_id == row.id, InvoiceRow.state == "discarded"
        )
        again = and_(
            BillingRunAccountRow.run_id == row.id,
            or_(BillingRunAccountRow.state == "failed", BillingRunAccountRow.account_id.in_(discarded)),
        )
        session.execute(update(BillingRunAccountRow).where(again).values(state="waiting", detail=""))
        return row.id
    row = BillingRunRow(
        definition=kept, state="running", accounts=0, started_us=now_us, scope_id=scope_id, by=by
    )
    session.add(row)
    session.flush()
    chosen = select(literal(row.id), AccountRow.id, literal("waiting"), literal(0), literal(""))
    chosen = chosen.outerjoin(BillingProfileRow, BillingProfileRow.account_id == AccountRow.id)
    chosen = chosen.where(*_conditions(session, definition))
    columns = ["run_id", "account_id", "state", "invoices", "detail"]
    session.execute(insert(BillingRunAccountRow).from_select(columns, chosen))
    row.accounts = sum(counts(session, row.id))
    session.flush()
    return row.id


def accounts_of(session: Session, definition: Definition, now_us: int) -> int:
    """How many accounts a run of this definition would look at."""
    _refuse_bad(session, definition, now_us)
    chosen = select(AccountRow.id).outerjoin(BillingProfileRow, BillingProfileRow.account_id == AccountRow.id)
    found = chosen.where(*_conditions(session, definition)).subquery()
    return session.scalar(select(func.count()).select_from(found)) or 0


def definition_of(session: Session, run_id: int) -> Definition:
    """What a run bills; InputRefused if there is none of that number."""
    row = session.get(BillingRunRow, run_id)
    if row is None:
        raise InputRefused(f"there is no billing run {run_id}; `pbxbill bill list` shows them")
    facts = json.loads(row.definition)
    return Definition(**facts | {"accounts": tuple(facts["accounts"])})


def counts(session: Session, run_id: int) -> Counts:
    """How far a run is."""
    query = select(BillingRunAccountRow.state, func.count()).where(BillingRunAccountRow.run_id == run_id)
    found = {state: count for state, count in session.execute(query.group_by(BillingRunAccountRow.state))}  # noqa: C416
    return Counts(found.get("waiting", 0), found.get("done", 0), found.get("failed", 0))


def money_of(session: Session, run_id: int) -> list[MoneyOfRun]:
    """The invoices of a run, by unit and state."""
    columns = (InvoiceRow.unit, InvoiceRow.kind, InvoiceRow.state)
    query = select(*columns, func.count(), func.sum(InvoiceRow.total)).where(InvoiceRow.run_id == run_id)
    rows = session.execute(query.group_by(*columns).order_by(*columns))
    return [MoneyOfRun(unit, kind, state, count, int(total)) for unit, kind, state, count, total in rows]


def failures(session: Session, run_id: int, most: int = 100) -> list[Failure]:
    """Accounts of a run that could not be billed, and why."""
    query = (
        select(AccountRow.code, BillingRunAccountRow.detail)
        .join(AccountRow, AccountRow.id == BillingRunAccountRow.account_id)
        .where(BillingRunAccountRow.run_id == run_id, BillingRunAccountRow.state == "failed")
        .order_by(AccountRow.code)
    )
    return [Failure(*row) for row in session.execute(query.limit(most))]


def invoices_of(session: Session, run_id: int, states: Collection[str]) -> Sequence[int]:
    """A run's invoices in some states, in their order; InputRefused if there is no such run."""
    if session.get(BillingRunRow, run_id) is None:
        raise InputRefused(f"there is no billing run {run_id}; `pbxbill bill list` shows them")
    query = select(InvoiceRow.id).where(InvoiceRow.run_id == run_id, InvoiceRow.state.in_(states))
    return session.scalars(query.order_by(InvoiceRow.id)).all()


class _Looked(NamedTuple):
    """An account that a worker is done with; None: it failed."""

    billed: AccountBilled | None


class Worker:
    """Bills accounts of a run until none waits."""

    def __init__(self, database: Engine, books: Bookkeeper, clock: Clock, run_id: int) -> None:
        self._database = database
        self._books = books
        self._clock = clock
        self._run_id = run_id
        with transaction(reading(database)) as session:
            self._definition = definition_of(session, run_id)
        self._memory = RunMemory()
        self._after = 0
        """Accounts up to this one were looked at: the search for the next one begins behind it."""
        self._began_us = 0
        self._is_sqlite = database.dialect.name == "sqlite"

    def work(
        self,
        stop: Callable[[], bool] = lambda: False,
        tell: Callable[[AccountBilled | None], None] = lambda billed: None,
    ) -> bool:
        """Go on until every account was looked at, or stop() says so; whether it got to the end.

        tell: hears of each account; None: it failed.
        """
        while not stop():
            self._began_us = self._clock.monotonic_us()
            found = self._next()
            if found is None:
                return True
            if found.billed is None or found.billed.is_whole:
                tell(found.billed)
            if self._is_sqlite:
                time.sleep(SHARE_OF_SQLITE * (self._clock.monotonic_us() - self._began_us) / SECOND_US)
        return False

    def _next(self) -> _Looked | None:
        """Bill one account that waits, or some of its periods; None if there is none."""
        for attempt in range(1, LOST_RACES + 1):
            account_id = 0
            try:
                if self._is_sqlite:
                    account_id = self._peek()
                    if not account_id:
                        return None
                    self._prepare(account_id)
                with transaction(self._database) as session:
                    claimed = self._claim(session)
                    if claimed is None:
                        return None
                    account_id, invoices = claimed
                    billed = self._bill(session, account_id)
                    invoices += sum(invoice.made for invoice in billed.invoices)
                    state = "done" if billed.is_whole else "waiting"
                    self._mark(session, account_id, state, invoices=invoices)
            except (StoreUnavailable, IntegrityError) as error:
                # A deadlock or a row that another process won, or a database that is away for a moment.
                self._books.forget()
                if attempt == LOST_RACES and account_id:
                    return self._failed(account_id, error)
                if attempt == LOST_RACES:
                    raise
                _log.info("billing_account_again", account=account_id, error=str(error))
                time.sleep(0.1 * 2**attempt)
                continue
            except Exception as error:
                self._books.forget()
                if not account_id:
                    raise
                return self._failed(account_id, error)
            self._books.announce()
            if billed.is_whole:
                self._after = account_id
            return _Looked(billed)
        return None

    def _claim(self, session: Session) -> tuple[int, int] | None:
        """The next account that waits, and how many invoices the run has made of it."""
        values = {"run_id": self._run_id, "after": self._after}
        found = rows_within(session, _NEXT_WAITING + row_lock(session, "FOR UPDATE SKIP LOCKED"), values)
        return (found[0][0], found[0][1]) if found else None

    def _peek(self) -> int:
        """The account that will be next; 0 if there is none."""
        with transaction(reading(self._database)) as session:
            claimed = self._claim(session)
        return 0 if claimed is None else claimed[0]

    def _prepare(self, account_id: int) -> None:
        """Do before the write lock is taken what can be done without it."""
        self._memory.prepared.clear()
        until_us = self._definition.until_us
        with transaction(reading(self._database)) as session:
            subscribed = has_subscriptions(session, account_id)
            if not subscribed:
                prepare_account(session, account_id, until_us, self._memory)
        if subscribed:
            with transaction(self._database) as session:
                charge_ahead(session, self._books, account_id, until_us, self._clock.now_us())
            self._books.announce()
            with transaction(reading(self._database)) as session:
                prepare_account(session, account_id, until_us, self._memory)
        self._began_us = self._clock.monotonic_us()

    def _bill(self, session: Session, account_id: int) -> AccountBilled:
        return bill_account(
            session,
            self._books,
            account_id,
            self._definition.until_us,
            self._clock.now_us(),
            run_id=self._run_id,
            drafts_only=self._definition.drafts_only,
            memory=self._memory,
            go_on=self._go_on,
        )

    def _go_on(self) -> bool:
        """Whether to take another period into the transaction: calls wait for SQLite's lock meanwhile."""
        return self._clock.monotonic_us() - self._began_us < LONGEST_US

    def _failed(self, account_id: int, error: Exception) -> _Looked:
        """Say why an account could not be billed; StoreUnavailable if it is the database that is away."""
        expected = isinstance(error, InputRefused)
        if not expected:
            _log.error("account_not_billed", run=self._run_id, account=account_id, exc_info=error)
        why = str(error) if expected else f"{type(error).__name__}: {error}"
        with transaction(self._database) as session:
            self._mark(session, account_id, "failed", detail=why[:500])
        self._after = account_id
        return _Looked(None)

    def _mark(
        self, session: Session, account_id: int, state: str, *, invoices: int | None = None, detail: str = ""
    ) -> None:
        session.flush()
        values = {"run_id": self._run_id, "account_id": account_id, "state": state, "detail": detail}
        session.execute(_MARK, values | {"invoices": invoices, "at_us": self._clock.now_us()})


def end_run(session: Session, run_id: int, now_us: int) -> str:
    """Say that nobody works on a run any more: done if every account was looked at, else stopped."""
    row = session.get_one(BillingRunRow, run_id, with_for_update=True)
    row.state = "stopped" if counts(session, run_id).waiting else "done"
    row.ended_us = now_us
    return row.state


def preview(
    database: Engine,
    books: Bookkeeper,
    clock: Clock,
    definition: Definition,
    tell: Callable[[str, AccountBilled | Failure], None],
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Bill each account of a definition and undo it again: what a run would do.

    tell: hears of each account, by its code.
    """
    memory = RunMemory()
    with transaction(database) as session:
        _refuse_bad(session, definition, clock.now_us())
        query = select(AccountRow.id, AccountRow.code)
        query = query.outerjoin(BillingProfileRow, BillingProfileRow.account_id == AccountRow.id)
        wanted = session.execute(query.where(*_conditions(session, definition)).order_by(AccountRow.id)).all()
    for account_id, code in wanted:
        if stop():
            return
        with Session(database) as session:
            found = _tried(session, books, clock.now_us(), definition, account_id, code, memory)
            session.rollback()
        books.forget()
        tell(code, found)


def _tried(  # noqa: PLR0913, PLR0917 what billing an account goes by
    session: Session,
    books: Bookkeeper,
    now_us: int,
    definition: Definition,
    account_id: int,
    code: str,
    memory: RunMemory,
) -> AccountBilled | Failure:
    try:
        return bill_account(
            session,
            books,
            account_id,
            definition.until_us,
            now_us,
            drafts_only=definition.drafts_only,
            memory=memory,
        )
    except InputRefused as error:
        return Failure(code, str(error))
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 a bad account stops nothing, whatever is wrong with it
        _log.error("account_not_billed", account=account_id, exc_info=error)
        return Failure(code, f"{type(error).__name__}: {error}"[:500])


def _refuse_bad(session: Session, definition: Definition, now_us: int) -> None:
    if definition.until_us > now_us:
        raise InputRefused("a run bills what is over: --until lies in the future")
    if definition.cycle and definition.cycle not in CYCLES:
        raise InputRefused(f"there is no cycle {definition.cycle[:40]!r}; use one of {', '.join(CYCLES)}")
    of_group = select(BillingProfileRow.account_id).where(BillingProfileRow.group_name == definition.group)
    if definition.group and session.scalar(of_group.limit(1)) is None:
        raise InputRefused(
            f"nobody is in the group {definition.group[:64]!r}; "
            "`pbxbill billing set --group` puts accounts into one"
        )
    for code in definition.accounts:
        if account_by_code(session, code).parent_id is None:
            raise InputRefused("the operator is billed by nobody")


def _conditions(session: Session, definition: Definition) -> list[ColumnElement[bool]]:
    """Accounts of the definition for which something is to be done."""
    profile, until_us = BillingProfileRow, definition.until_us
    subscription_due = exists().where(
        SubscriptionRow.account_id == AccountRow.id, SubscriptionRow.due_us <= until_us
    )
    found = [
        AccountRow.parent_id.is_not(None),
        AccountRow.created_us < until_us,
        or_(profile.account_id.is_(None), profile.next_us <= until_us, subscription_due),
    ]
    if definition.accounts:
        ids = [account_by_code(session, code).id for code in definition.accounts]
        found.append(AccountRow.id.in_(ids))
    if definition.group:
        found.append(profile.group_name == definition.group)
    if definition.reseller:
        reseller = account_by_code(session, definition.reseller)
        found.append(AccountRow.path.startswith(reseller.path, autoescape=True))
        found.append(AccountRow.id != reseller.id)
    if definition.cycle:
        found.append(func.coalesce(profile.cycle, "month") == definition.cycle)
    return found
