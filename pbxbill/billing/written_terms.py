"""Terms written out again as TOML, for whoever wants to change what is kept."""

import json
from collections.abc import Iterable, Mapping
from datetime import date

from pbxbill.money import Unit, format_amount, to_decimal

Written = str | int | bool | date


def written_line(key: str, value: Written | Iterable[Written]) -> str:
    """One key with its value."""
    return f"{key} = {_value(value)}"


def written_table(key: str, values: Mapping[str, Written]) -> str:
    """A key with a small table on one line."""
    inside = ", ".join(f"{name} = {_value(value)}" for name, value in values.items())
    return f"{key} = {{ {inside} }}"


def written_amounts(key: str, amounts: Mapping[str, int], units: Mapping[str, Unit]) -> str:
    """A key with amounts by their units."""
    return written_table(key, {code: format_amount(x, units[code]) for code, x in amounts.items()})


def written_percent(ppm: int) -> str:
    """Millionths as a percentage without zeros at its end."""
    return f"{to_decimal(ppm, 4).normalize():f}"


def _value(value: Written | Iterable[Written]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(str(value), ensure_ascii=False)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    return "[" + ", ".join(_value(x) for x in value) + "]"
