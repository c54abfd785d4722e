"""TOML that people write, read so that whatever is wrong with it is one kind of fault.

tomllib counts neither how deep tables lie in each other nor how many digits a number has: Python's own limits
would end the program with faults that name no line of ours.
"""

import tomllib
from collections.abc import Callable
from tomllib import TOMLDecodeError
from typing import Any

__all__ = ["TOMLDecodeError", "read_toml"]

MAX_DEPTH = 16
"""Of tables and arrays in each other; what we read has four."""

_DEEP = f"tables and arrays lie more than {MAX_DEPTH} deep in each other"


def read_toml(text: str, *, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """What a text says; TOMLDecodeError, with its reason, for whatever cannot be read."""
    try:
        facts = tomllib.loads(text, parse_float=parse_float)
    except TOMLDecodeError:
        raise
    except RecursionError:
        raise TOMLDecodeError(_DEEP) from None
    except (ValueError, ArithmeticError) as fault:
        raise TOMLDecodeError(f"a number or a time that is out of range: {str(fault)[:100]}") from None
    level: list[Any] = [facts]
    for _ in range(MAX_DEPTH):
        level = [part for whole in level for part in _parts(whole)]
        if not level:
            return facts
    raise TOMLDecodeError(_DEEP)


def _parts(whole: Any) -> list[Any]:
    if isinstance(whole, dict):
        return list(whole.values())
    return whole if isinstance(whole, list) else []
