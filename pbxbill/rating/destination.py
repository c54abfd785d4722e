"""Numbers as callers dial them, brought to E.164 digits."""

E164_MAX_DIGITS = 15


def to_e164(dialled: str) -> str | None:
    """The E.164 digits of a dialled number: a leading "+" or "00" is dropped.

    None if something else than 1 to 15 digits is left: the number cannot be rated.
    """
    digits = dialled.removeprefix("+") if dialled.startswith("+") else dialled.removeprefix("00")
    if 1 <= len(digits) <= E164_MAX_DIGITS and digits.isascii() and digits.isdigit():
        return digits
    return None
