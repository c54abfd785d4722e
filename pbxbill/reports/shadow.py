"""What pbxbill would have done with calls that it only watched: denied them, ended them, or nothing."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.charging.shadow import WouldCut, WouldDeny, read_words
from pbxbill.clock import SECOND_US
from pbxbill.listing.listing import N_, Column, ColumnKind, Rows
from pbxbill.reports.making import Making, Stage
from pbxbill.reports.report import (
    ACCOUNT,
    FROM,
    TO,
    Asked,
    Chart,
    Parameter,
    Report,
    Table,
    account_of,
    choice_of,
    period_of,
)
from pbxbill.store.models import AccountRow, CallChargeRow, CdrRow, WalletRow
from pbxbill.store.prefixes import begins_with

ROWS_READ = 10_000
_GROUPS = (("reason", N_("What would have been done")), ("customer", N_("Account")))
NOTE = N_("Not collected is what calls cost that wallets did not have: they would have ended before.")


def _shadow(session: Session, asked: Asked) -> Table:
    group = choice_of(asked, "group", _GROUPS)
    by_account = group == "customer"
    account = account_of(session, asked)
    from_us, to_us = period_of(asked)
    watched = [CdrRow.started_us >= from_us, CdrRow.started_us < to_us, CdrRow.shadow.is_not(None)]
    if account is not None:
        watched.append(begins_with(AccountRow.path, account.path))
    read = partial(_read, session, asked.making)
    counted = _counted(read, watched, by_account=by_account)
    money = _uncollected(read, watched, by_account=by_account)
    first = (
        Column("code", N_("Account"), ColumnKind.CODE)
        if by_account
        else Column("what", N_("What would have been done"), ColumnKind.STATE)
    )
    rows: list[dict[str, Any]] = []
    for key, sums in sorted(counted.items(), key=lambda x: (-x[1]["calls"], x[0])):
        rows += _of_units({first.key: key}, sums, money.get(key, Counter()))
    totals: list[dict[str, Any]] = []
    if rows:
        totals = _of_units({}, sum(counted.values(), Counter()), sum(money.values(), Counter()))
    columns = (first, *_COLUMNS)
    chart = Chart("bar", first.key, ("calls",))
    return Table(columns, rows[: asked.limit], totals, chart, (NOTE,), len(rows) > asked.limit)


_COLUMNS = (
    Column("calls", N_("Calls watched"), ColumnKind.COUNT),
    Column("denied", N_("Would be denied"), ColumnKind.COUNT),
    Column("cut", N_("Would be ended"), ColumnKind.COUNT),
    Column("beyond_s", N_("Talked beyond that"), ColumnKind.SECONDS),
    Column("uncollected", N_("Not collected"), ColumnKind.MONEY),
)


def _of_units(cells: dict[str, Any], sums: Counter[str], money: Counter[str]) -> list[dict[str, Any]]:
    """A row for each unit that is owed; the first has the counts."""
    units = sorted(money)
    counts = {name: sums[name] for name in ("calls", "denied", "cut", "beyond_s")}
    if not units:
        return [{**cells, "unit": None, **counts, "uncollected": None}]
    rows = [{**cells, "unit": unit, "uncollected": money[unit]} for unit in units]
    rows[0] |= counts
    return rows


_Read = Callable[[Rows], Iterator[Any]]


def _read(session: Session, making: Making, query: Rows) -> Iterator[Any]:
    """Rows as they come, for as long as somebody waits: each piece has a statement's time for itself."""
    done = 0
    for some in session.execute(query.execution_options(yield_per=ROWS_READ)).partitions():
        making.tell(Stage.CALLS, done)
        yield from some
        done += len(some)


def _counted(read: _Read, watched: list[Any], *, by_account: bool) -> dict[str, Counter[str]]:
    counted: dict[str, Counter[str]] = {}
    query = (
        select(CdrRow.shadow, AccountRow.code, CdrRow.answered_us, CdrRow.ended_us)
        .outerjoin(AccountRow, AccountRow.id == CdrRow.account_id)
        .where(*watched)
    )
    for words, code, answered_us, ended_us in read(query):
        told = read_words(words or "")
        sums = counted.setdefault((code or "") if by_account else _what(told), Counter())
        sums["calls"] += 1
        sums["denied"] += isinstance(told, WouldDeny)
        if isinstance(told, WouldCut):
            talked_us = 0 if answered_us is None else ended_us - answered_us
            sums["cut"] += 1
            sums["beyond_s"] += max(0, talked_us - told.after_us) // SECOND_US
    return counted


def _uncollected(read: _Read, watched: list[Any], *, by_account: bool) -> dict[str, Counter[str]]:
    """What calls cost that wallets did not have, by unit."""
    money: dict[str, Counter[str]] = {}
    query = (
        select(CdrRow.shadow, AccountRow.code, WalletRow.unit, CallChargeRow.uncollected)
        .join(CallChargeRow, CallChargeRow.session_id == CdrRow.session_id)
        .join(WalletRow, WalletRow.id == CallChargeRow.wallet_id)
        .outerjoin(AccountRow, AccountRow.id == CdrRow.account_id)
        .where(*watched, CallChargeRow.level == 0, CallChargeRow.uncollected > 0)
    )
    for words, code, unit, amount in read(query):
        key = (code or "") if by_account else _what(read_words(words or ""))
        money.setdefault(key, Counter())[unit] += amount
    return money


def _what(told: object) -> str:
    match told:
        case WouldDeny(reason):
            return reason
        case WouldCut():
            return "would_end"
        case _:
            return "would_go_on"


SHADOW = Report(
    "shadow",
    N_("Calls that were only watched"),
    N_("What would have been done with calls of switches in shadow mode, which pbxbill does not touch."),
    (FROM, TO, Parameter("group", N_("By"), choices=_GROUPS), ACCOUNT),
    _shadow,
    operators=True,
)
