"""Terms of tariffs as people write them: percentages, and prices by what was used."""

from collections.abc import Sequence

from pbxbill.errors import InputRefused
from pbxbill.money import compile_price, parse_decimal
from pbxbill.rating.rate_text import plain_price
from pbxbill.rating.tariff import PPM, Step


def percent_ppm(percent: str, what: str) -> int:
    """Millionths of a percentage like 19 or 7.7; what: as a refusal names it."""
    millionths = parse_decimal(percent) * (PPM // 100)
    if millionths != int(millionths):
        raise InputRefused(f"{what} has up to four digits after the point")
    return int(millionths)


def signed_price(text: str) -> int:
    """A price that may be below zero, as a mark-up adds it."""
    value = parse_decimal(text)
    return compile_price(abs(value)) * (-1 if value < 0 else 1)


def steps_from_text(text: str, where: str = "steps") -> tuple[Step, ...]:
    """Prices by what was used: 0:0.05 6000:0.04; where: as a refusal names it."""
    return tuple(_step(piece, where) for piece in text.split())


def steps_text(steps: Sequence[Step]) -> str:
    """The same, as it was written."""
    return " ".join(f"{step.from_s}:{plain_price(step.price_per_min)}" for step in steps)


def _step(piece: str, where: str) -> Step:
    used, colon, price = piece.partition(":")
    if not colon or not used.isascii() or not used.isdigit() or len(used) > 15:
        raise InputRefused(f"{piece[:40]!r} is no step; write steps like 0:0.05 6000:0.04")
    try:
        return Step(int(used), compile_price(parse_decimal(price)))
    except InputRefused as refused:
        raise InputRefused(f"{where}: {refused}") from None
