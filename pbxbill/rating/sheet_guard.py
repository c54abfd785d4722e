"""Cells that a spreadsheet would run instead of showing: a caller's name may begin like a formula.

Every CSV and XLSX file that is written guards its cells here, with an apostrophe in front, and every
reader of such files takes the guard off again: what was written comes back as it was, whatever it was.
"""

import re

_RUN = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a formula begins with, in full width too."""
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def guarded(cell: str) -> str:
    """A cell to be written; a number, and nothing else that begins with a sign, stays bare."""
    return f"'{cell}" if _would_run(cell) else cell


def unguarded(cell: str) -> str:
    """The cell that guarded() wrote."""
    return cell[1:] if cell[:1] == "'" and _would_run(cell[1:]) else cell


def _would_run(cell: str) -> bool:
    # Apostrophes of its own are looked behind, so that the one put in front can be told from them.
    text = cell.lstrip("'")
    return text.startswith(_RUN) and _NUMBER.fullmatch(text) is None
