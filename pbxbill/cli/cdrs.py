"""cdrs: call records with what was charged for them."""

from collections.abc import Mapping, Sequence
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, parse_moment, print_csv, print_json, print_table, seconds
from pbxbill.clock import SECOND_US
from pbxbill.money import Unit, format_amount
from pbxbill.rating.margin import margin
from pbxbill.store.accounts import account_by_code
from pbxbill.store.catalogue_models import CallCostRow, CarrierRow
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow, CallChargeRow, CdrRow, UnitRow, WalletRow

KINDS = ("answered", "unanswered", "denied")
CSV_COLUMNS = (
    "session_id",
    "switch",
    "call_id",
    "direction",
    "account",
    "caller",
    "dialled",
    "called",
    "destination",
    "started",
    "pdd_seconds",
    "answered",
    "ended",
    "seconds",
    "charged_seconds",
    "billable_s",
    "total",
    "tax",
    "uncollected",
    "unit",
    "quantity",
    "gateway",
    "carrier",
    "cost",
    "cost_unit",
    "margin",
    "hangup_cause",
    "denial",
    "detail",
    "evidence",
)
PER_STATEMENT = 500


@click.command()
@click.option(
    "--account", "code", help="Calls that this account was charged for, its customers' calls included."
)
@click.option("--since", help="Started at or after this moment, UTC.")
@click.option("--until", help="Started before this moment, UTC.")
@click.option("--called", default="", help="The number called begins with these digits.")
@click.option("--switch", "switch_name", help="Calls of one switch.")
@click.option("--only", type=click.Choice(KINDS), help="Answered, unanswered or denied calls.")
@click.option("--limit", "most", default=50, show_default=True, type=click.IntRange(1, 1_000_000))
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@pass_context
def cdrs(context: Context, /, most: int, *, as_json: bool, as_csv: bool, **filters: Any) -> None:
    """List call records, the newest first; amounts are what the account of the record was charged."""
    with context.application() as application, transaction(reading(application.database)) as session:
        records = _records(session, filters, most)
    if as_json:
        print_json(records)
    elif as_csv:
        print_csv(CSV_COLUMNS, ([record[key] for key in CSV_COLUMNS] for record in records))
    else:
        keys = (
            "started",
            "account",
            "dialled",
            "destination",
            "seconds",
            "total",
            "unit",
            "result",
            "evidence",
        )
        titles = (
            "Started",
            "Account",
            "Dialled",
            "Destination",
            ">Seconds",
            ">Charge",
            "",
            "Result",
            "Times from",
        )
        print_table("", titles, ([record[key] for key in keys] for record in records))


def _records(session: Session, filters: dict[str, Any], most: int) -> list[dict[str, Any]]:
    query = _query(session, filters).order_by(CdrRow.started_us.desc(), CdrRow.session_id.desc()).limit(most)
    rows: Any = session.execute(query).all()
    session_ids = [row.session_id for row, _ in rows]
    units = {row.code: Unit(row.code, row.scale, row.digits) for row in session.scalars(select(UnitRow))}
    charges = _charges(session, session_ids)
    costs = _costs(session, session_ids)
    records = []
    for row, account in rows:
        charged = charges.get(row.session_id, [])
        shown = [_shown_charge(charge, payer, units[unit]) for charge, payer, unit in charged]
        margin_of_call = _margin(charged, costs.get(row.session_id), units)
        records.append(_record(row, account, shown) | margin_of_call)
    return records


def _query(session: Session, filters: dict[str, Any]) -> Any:
    query = select(CdrRow, AccountRow.code).outerjoin(AccountRow, AccountRow.id == CdrRow.account_id)
    if filters["code"] is not None:
        path = account_by_code(session, filters["code"]).path
        query = query.where(AccountRow.path.startswith(path))
    if filters["since"] is not None:
        query = query.where(CdrRow.started_us >= parse_moment(filters["since"]))
    if filters["until"] is not None:
        query = query.where(CdrRow.started_us < parse_moment(filters["until"]))
    if filters["called"]:
        query = query.where(CdrRow.called.startswith(filters["called"], autoescape=True))
    if filters["switch_name"] is not None:
        query = query.where(CdrRow.switch == filters["switch_name"])
    match filters["only"]:
        case "denied":
            query = query.where(CdrRow.denial.is_not(None))
        case "unanswered":
            query = query.where(CdrRow.denial.is_(None), CdrRow.answered_us.is_(None))
        case "answered":
            query = query.where(CdrRow.answered_us.is_not(None))
        case _:
            pass
    return query


def _charges(session: Session, session_ids: Sequence[str]) -> dict[str, list[tuple[CallChargeRow, str, str]]]:
    """By session its charges, from the lowest level up, each with its account's code and its unit's."""
    found: dict[str, list[tuple[CallChargeRow, str, str]]] = {}
    for start in range(0, len(session_ids), PER_STATEMENT):
        rows = session.execute(
            select(CallChargeRow, AccountRow.code, WalletRow.unit)
            .join(AccountRow, AccountRow.id == CallChargeRow.account_id)
            .join(WalletRow, WalletRow.id == CallChargeRow.wallet_id)
            .where(CallChargeRow.session_id.in_(session_ids[start : start + PER_STATEMENT]))
            .order_by(CallChargeRow.session_id, CallChargeRow.level, CallChargeRow.line)
        )
        for row, account, unit in rows:
            found.setdefault(row.session_id, []).append((row, account, unit))
    return found


def _shown_charge(row: CallChargeRow, account: str, unit: Unit) -> dict[str, Any]:
    return {
        "level": row.level,
        "line": row.line,
        "account": account,
        "billable_s": row.billable_s,
        "total": format_amount(row.total, unit),
        "tax": format_amount(row.tax, unit),
        "uncollected": format_amount(row.uncollected, unit),
        "unit": unit.code,
        "entry": row.entry_id,
    }


def _costs(session: Session, session_ids: Sequence[str]) -> dict[str, tuple[CallCostRow, str]]:
    found: dict[str, tuple[CallCostRow, str]] = {}
    for start in range(0, len(session_ids), PER_STATEMENT):
        rows = session.execute(
            select(CallCostRow, CarrierRow.name)
            .join(CarrierRow, CarrierRow.id == CallCostRow.carrier_id)
            .where(CallCostRow.session_id.in_(session_ids[start : start + PER_STATEMENT]))
        )
        found.update((row.session_id, (row, carrier)) for row, carrier in rows)
    return found


def _margin(
    charges: Sequence[tuple[CallChargeRow, str, str]],
    costed: tuple[CallCostRow, str] | None,
    units: Mapping[str, Unit],
) -> dict[str, Any]:
    """What the carrier asks, and what it leaves of the topmost charge where both are in one unit."""
    if costed is None:
        return dict.fromkeys(("gateway", "carrier", "cost", "cost_unit", "margin"))
    row, carrier = costed
    known = row.rate_id is not None
    unit = units[row.unit]
    top = max((charge.level for charge, _, _ in charges), default=0)
    paid = [(charge, code) for charge, _, code in charges if charge.level == top]
    left = None
    if known and all(code == row.unit for _, code in paid):
        left = margin(sum(charge.total - charge.tax for charge, _ in paid), unit, row.cost, unit).amount
    return {
        "gateway": row.gateway,
        "carrier": carrier,
        "cost": format_amount(row.cost, unit) if known else None,
        "cost_unit": row.unit,
        "margin": None if left is None else format_amount(left, unit),
    }


def _together(charges: list[dict[str, Any]], key: str) -> str | None:
    """One value of a level: as a rule it has one wallet, else what each gave."""
    return " + ".join(charge[key] for charge in charges) or None


def _record(row: CdrRow, account: str | None, charges: list[dict[str, Any]]) -> dict[str, Any]:
    first = charges[0]["level"] if charges else 0
    own = [charge for charge in charges if charge["level"] == first]
    used = row.direction == "usage"
    result = row.denial or ("answered" if row.answered_us is not None else "unanswered")
    return {
        "session_id": row.session_id,
        "switch": row.switch,
        "call_id": row.call_id,
        "direction": row.direction,
        "account": account,
        "caller": row.caller,
        "dialled": row.dialled,
        "called": row.called,
        "destination": row.destination,
        "started": moment(row.started_us),
        "pdd_seconds": None if row.ringing_us is None else seconds(row.ringing_us, 3),
        "answered": moment(row.answered_us),
        "ended": moment(row.ended_us),
        "seconds": None if row.answered_us is None else seconds(max(0, row.ended_us - row.answered_us), 3),
        "charged_seconds": None if row.answered_us is None or used else seconds(row.billed_us, 3),
        "billable_s": own[0]["billable_s"] if own else None,
        "quantity": row.billed_us // SECOND_US if used else None,
        "total": _together(own, "total"),
        "tax": _together(own, "tax"),
        "uncollected": own[-1]["uncollected"] if own else None,
        "unit": _together(own, "unit"),
        "hangup_cause": row.hangup_cause,
        "denial": row.denial,
        "detail": row.detail,
        "evidence": row.evidence,
        "shadow": row.shadow,
        "result": f"{result}, cause {row.hangup_cause}",
        "charges": charges,
    }


COMMANDS = (cdrs,)
