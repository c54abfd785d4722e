"""The margin of calls: what the operator was paid for them, and what their carriers ask.

The operator's revenue is the net charge of the accounts right below it, with what re-rating corrected of it:
what a reseller's customers pay is the reseller's. Costs and charges are brought into one unit by the exchange
rates of the call's answer.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import and_, select, union_all
from sqlalchemy.orm import Session, aliased

from pbxbill.money import Unit
from pbxbill.rating.exchange import ExchangeTable, to_wallet, worth
from pbxbill.rating.margin import Margin
from pbxbill.store.accounts import unit_of
from pbxbill.store.catalogue_models import CallCostRow, CarrierRow
from pbxbill.store.exchange import exchange_table
from pbxbill.store.models import AccountRow, CallChargeRow, CdrRow, WalletRow
from pbxbill.store.rerating_models import CallCorrectionRow
from pbxbill.store.units import units_by_code

GROUPS = ("carrier", "destination", "account")
ROWS_AT_A_TIME = 2000


@dataclass(slots=True)
class MarginLine:
    """Calls of one carrier, destination or account, in the report's unit."""

    name: str
    """Empty: no carrier, or a call of no account."""
    calls: int = 0
    billed_us: int = 0
    revenue: int = 0
    """Without tax, of calls whose cost is known."""
    cost: int = 0
    unknown_calls: int = 0
    """No carrier is known, or its deck has no rate: they have no margin."""
    unknown_revenue: int = 0
    unconverted_calls: int = 0
    """No exchange rate brings their charge or cost into the report's unit; they are in no sum."""

    @property
    def margin(self) -> Margin:
        return Margin(self.revenue, self.cost)


class _Call(NamedTuple):
    """A call's cost, joined with one of its charges or corrections: a call may come several times."""

    session_id: str
    direction: str
    group: str | None
    answered_us: int
    billed_us: int
    net: int | None
    """None: the operator was paid nothing for it."""
    unit: str | None
    cost: int | None
    cost_unit: str | None
    cost_rate_id: int | None


def margin_report(session: Session, by: str, unit_code: str, from_us: int, to_us: int) -> list[MarginLine]:
    """The margin of calls that started in [from, to), by name; memory grows with the names alone."""
    converter = _Converter(unit_of(session, unit_code), units_by_code(session), exchange_table(session))
    lines: dict[str, MarginLine] = {}
    for _, parts in groupby(_calls(session, by, from_us, to_us), key=attrgetter("session_id")):
        of_call = list(parts)
        name = of_call[0].group or ""
        line = lines.get(name)
        if line is None:
            line = lines[name] = MarginLine(name)
        _add(line, of_call, converter)
    return [lines[name] for name in sorted(lines)]


def total_of(lines: Iterable[MarginLine]) -> MarginLine:
    """The sum of all lines."""
    total = MarginLine("total")
    for line in lines:
        total.calls += line.calls
        total.billed_us += line.billed_us
        total.revenue += line.revenue
        total.cost += line.cost
        total.unknown_calls += line.unknown_calls
        total.unknown_revenue += line.unknown_revenue
        total.unconverted_calls += line.unconverted_calls
    return total


class _Converter:
    """Brings amounts into the report's unit: revenue rounded down, cost up, so that no margin is made."""

    def __init__(self, unit: Unit, units: dict[str, Unit], table: ExchangeTable) -> None:
        self._unit = unit
        self._units = units
        self._table = table

    def revenue(self, amount: int, code: str, at_us: int) -> int | None:
        """None: no rate says what it is worth."""
        if code == self._unit.code:
            return amount
        rate = self._table.find(code, self._unit.code, at_us)
        return None if rate is None else worth(amount, rate, self._unit, self._units[code])

    def cost(self, amount: int, code: str, at_us: int) -> int | None:
        """None: no rate says what it is worth."""
        if code == self._unit.code:
            return amount
        rate = self._table.find(code, self._unit.code, at_us)
        return None if rate is None else to_wallet(amount, rate, self._units[code], self._unit)


def _add(line: MarginLine, parts: list[_Call], converter: _Converter) -> None:
    call = parts[0]
    line.calls += 1
    line.billed_us += call.billed_us
    nets: dict[str, int] = {}
    for part in parts:
        if part.net is not None and part.unit is not None:
            nets[part.unit] = nets.get(part.unit, 0) + part.net
    paid = [converter.revenue(net, unit, call.answered_us) for unit, net in nets.items()]
    known = call.direction == "inbound" or call.cost_rate_id is not None
    cost: int | None = 0
    if call.cost_rate_id is not None and call.cost is not None and call.cost_unit is not None:
        cost = converter.cost(call.cost, call.cost_unit, call.answered_us)
    revenue = sum(amount for amount in paid if amount is not None)
    if cost is None or None in paid:
        line.unconverted_calls += 1
    elif known:
        line.revenue += revenue
        line.cost += cost
    else:
        line.unknown_calls += 1
        line.unknown_revenue += revenue


def _calls(session: Session, by: str, from_us: int, to_us: int) -> Iterator[_Call]:
    caller = aliased(AccountRow)
    operator_id = session.scalar(select(AccountRow.id).where(AccountRow.kind == "operator"))
    name: Any = {"carrier": CarrierRow.name, "destination": CdrRow.destination, "account": caller.code}[by]
    # Charges are joined only where the operator is paid; a call of which it is paid nothing stays, with None.
    own = aliased(AccountRow)
    period = (CdrRow.started_us >= from_us, CdrRow.started_us < to_us, CdrRow.answered_us.is_not(None))
    sessions = select(CdrRow.session_id).where(*period)
    charged = select(
        CallChargeRow.session_id,
        CallChargeRow.account_id,
        CallChargeRow.wallet_id,
        (CallChargeRow.total - CallChargeRow.tax).label("net"),
    ).where(CallChargeRow.session_id.in_(sessions))
    corrected = select(
        CallCorrectionRow.session_id,
        CallCorrectionRow.account_id,
        CallCorrectionRow.wallet_id,
        CallCorrectionRow.new_total - CallCorrectionRow.old_total - CallCorrectionRow.tax_delta,
    ).where(CallCorrectionRow.session_id.in_(sessions))
    either = union_all(charged, corrected).subquery()
    paid = (
        select(either.c.session_id, either.c.net, WalletRow.unit)
        .join(own, and_(own.id == either.c.account_id, own.parent_id == operator_id))
        .join(WalletRow, WalletRow.id == either.c.wallet_id)
        .subquery()
    )
    query = (
        select(
            CdrRow.session_id,
            CdrRow.direction,
            name,
            CdrRow.answered_us,
            CdrRow.billed_us,
            paid.c.net,
            paid.c.unit,
            CallCostRow.cost,
            CallCostRow.unit,
            CallCostRow.rate_id,
        )
        .select_from(CdrRow)
        .outerjoin(paid, paid.c.session_id == CdrRow.session_id)
        .outerjoin(CallCostRow, CallCostRow.session_id == CdrRow.session_id)
        .outerjoin(CarrierRow, CarrierRow.id == CallCostRow.carrier_id)
        .outerjoin(caller, caller.id == CdrRow.account_id)
        .where(*period)
        .order_by(CdrRow.started_us, CdrRow.session_id)
        .execution_options(yield_per=ROWS_AT_A_TIME)
    )
    for row in session.execute(query):
        yield _Call(*row)
