"""Writes units: what wallets, decks and tariffs count in."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused
from pbxbill.money import Unit
from pbxbill.rating.exchange import MAX_UNIT_SCALE
from pbxbill.store.accounts import bump_catalogue
from pbxbill.store.models import UnitRow
from pbxbill.store.unit_symbols import usual_symbol

MAX_CODE_LENGTH, MAX_NAME_LENGTH, MAX_SYMBOL_LENGTH = 12, 40, 8


@dataclass(frozen=True, slots=True)
class UnitKind:
    """What units of a kind usually keep and show."""

    scale: int
    digits: int


UNIT_KINDS = {"currency": UnitKind(6, 2), "crypto": UnitKind(8, 8), "items": UnitKind(0, 0)}
"""By what people call them: money, crypto-currencies, and what is counted (seconds, messages, points)."""


def checked_unit(code: str, scale: int, digits: int) -> Unit:
    """A unit as a person asked for it; InputRefused if it cannot be one."""
    if not (code.isascii() and code.isalnum() and len(code) <= MAX_CODE_LENGTH):
        raise InputRefused(f"unit {code[:20]!r}: use up to {MAX_CODE_LENGTH} letters and digits, e.g. EUR")
    if not 0 <= digits <= scale <= MAX_UNIT_SCALE:
        raise InputRefused(
            f"a unit has 0 to {MAX_UNIT_SCALE} digits, and shows no more of them than it has; "
            "a coin of 18 is kept with 9"
        )
    return Unit(code.upper(), scale, digits)


def add_unit(session: Session, unit: Unit, name: str = "", symbol: str = "") -> UnitRow:
    """Make a unit known; its scale can never change afterwards, for amounts are counted in it."""
    if session.get(UnitRow, unit.code) is not None:
        raise InputRefused(f"unit {unit.code} exists already; `pbxbill units set {unit.code}` renames it")
    row = UnitRow(
        code=unit.code,
        scale=unit.scale,
        digits=unit.digits,
        name=_name(name),
        symbol=_symbol(symbol) or usual_symbol(unit.code),
    )
    session.add(row)
    session.flush()
    bump_catalogue(session)
    return row


def change_unit(
    session: Session,
    code: str,
    *,
    name: str | None = None,
    symbol: str | None = None,
    digits: int | None = None,
) -> UnitRow:
    """Change how a unit is shown; None leaves a thing as it is."""
    row = session.get(UnitRow, code)
    if row is None:
        raise InputRefused(f"no unit {code!r}; `pbxbill units list` shows them")
    if name is not None:
        row.name = _name(name)
    if symbol is not None:
        row.symbol = _symbol(symbol)
    if digits is not None:
        row.digits = checked_unit(code, row.scale, digits).digits
    session.flush()
    bump_catalogue(session)
    return row


def all_units(session: Session) -> list[UnitRow]:
    """Every unit, by code."""
    return list(session.scalars(select(UnitRow).order_by(UnitRow.code)))


def units_by_code(session: Session) -> dict[str, Unit]:
    """Every unit as rating knows it."""
    return {row.code: Unit(row.code, row.scale, row.digits) for row in session.scalars(select(UnitRow))}


def _name(name: str) -> str:
    if len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise InputRefused(f"a unit's name has up to {MAX_NAME_LENGTH} printable characters")
    return name


def _symbol(symbol: str) -> str:
    if len(symbol) > MAX_SYMBOL_LENGTH or not symbol.isprintable():
        raise InputRefused(f"a unit's symbol has up to {MAX_SYMBOL_LENGTH} printable characters")
    return symbol
