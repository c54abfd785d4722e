"""The form of a voucher's code: 16 digits or more, the last of which tells typing mistakes from guesses.

It is Damm's check digit: every single wrong digit and every two that changed places are seen. Whoever guesses
can work it out as well, so a code without the right one needs neither a look into the database nor a count.
"""

import secrets

from stdnum import damm

FEWEST_DIGITS, MOST_DIGITS = 16, 24
_GROUP = 4
_BETWEEN = " -.\t\u00a0"
"""What people type between groups."""


def drawn(digits: int = FEWEST_DIGITS) -> str:
    """A new code, from the system's source of secrets; no zero leads it, which spreadsheets would drop."""
    random = secrets.randbelow(9 * 10 ** (digits - 2)) + 10 ** (digits - 2)
    return f"{random}{damm.calc_check_digit(str(random))}"


def read(text: str) -> str | None:
    """The digits of a code as somebody typed it; None: it cannot be one."""
    if len(text) > 4 * MOST_DIGITS:
        return None
    digits = text.translate({ord(character): None for character in _BETWEEN})
    if not (digits.isascii() and digits.isdigit() and FEWEST_DIGITS <= len(digits) <= MOST_DIGITS):
        return None
    return digits if damm.is_valid(digits) else None


def grouped(code: str) -> str:
    """In groups of four, as it is printed; a spreadsheet takes it for text and keeps all its digits."""
    return " ".join(code[at : at + _GROUP] for at in range(0, len(code), _GROUP))
