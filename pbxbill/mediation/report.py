"""What a run did, for people and programs."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused
from pbxbill.mediation.runs import Run, state_at
from pbxbill.mediation.tally import COUNTS
from pbxbill.money import Unit, format_amount
from pbxbill.store.mediation_models import MediationRunRow, MediationTallyRow
from pbxbill.store.models import AccountRow, UnitRow


def report_of_row(session: Session, run_id: int, now_us: int, *, with_money: bool = True) -> dict[str, Any]:
    """A run of the past, or one that goes on; InputRefused if there is none of that number.

    with_money: what each account was charged as well, of which there may be as many as accounts.
    """
    query = select(MediationRunRow, state_at(now_us)).where(MediationRunRow.id == run_id)
    row, state = session.execute(query).one_or_none() or (None, "")
    if row is None:
        raise InputRefused(f"no mediation run {run_id}; `pbxbill mediation runs` lists them")
    table = MediationTallyRow
    of_run = select(table).where(table.run_id == run_id)
    if not with_money:
        of_run = of_run.where(table.name != "money")
    sums = session.scalars(of_run).all()
    money = [(int(x.subject), x.unit, x.records, x.total, x.uncollected) for x in sums if x.name == "money"]
    return {
        "run": row.id,
        "source": row.source,
        "mapping": row.mapping,
        "switch": row.switch,
        "state": state,
        "detail": row.detail,
        "started_us": row.started_us,
        "ended_us": row.ended_us,
        "line": row.line,
        **{name: getattr(row, name) for name in COUNTS},
        "reasons": {x.subject: x.records for x in sums if x.name == "reason"},
        **({"money": _money(session, money)} if with_money else {}),
    }


def report_of(session: Session, run: Run, state: str, detail: str) -> dict[str, Any]:
    """A run that was not kept: a dry one."""
    sums = run.tally.sums.items()
    money = [
        (int(key.subject), key.unit, x.records, x.total, x.uncollected)
        for key, x in sums
        if key.name == "money"
    ]
    return {
        "run": run.id,
        "source": run.source,
        "switch": run.switch,
        "state": state,
        "detail": detail,
        "line": run.checkpoint.line,
        **{name: getattr(run.tally, name) for name in COUNTS},
        "reasons": run.tally.reasons(),
        "money": _money(session, money),
    }


def _money(session: Session, sums: list[tuple[int, str, int, int, int]]) -> list[dict[str, Any]]:
    named = session.execute(select(AccountRow.id, AccountRow.code))
    codes = {row.id: row.code for row in named}
    units = {row.code: Unit(row.code, row.scale, row.digits) for row in session.scalars(select(UnitRow))}
    return [
        {
            "account": codes.get(account_id, str(account_id)),
            "unit": unit,
            "records": records,
            "total": format_amount(total, units[unit]),
            "uncollected": format_amount(uncollected, units[unit]),
        }
        for account_id, unit, records, total, uncollected in sorted(
            sums, key=lambda x: (codes.get(x[0], ""), x[1])
        )
    ]
