"""The cells of a rate sheet as facts of a rate: each is understood in one way, or refused with what to do."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from pbxbill.errors import InputRefused
from pbxbill.money import compile_price, parse_decimal
from pbxbill.rating.deck import is_prefix
from pbxbill.rating.destination import E164_MAX_DIGITS
from pbxbill.rating.sheet_profile import MAX_STEPS, Profile, parse_increments
from pbxbill.rating.sheet_table import Cell
from pbxbill.rating.tariff import Step

MAX_DESTINATION_LENGTH = 100
MAX_BAND_LENGTH = 40
MAX_SECONDS = 86_400
MAX_CODES = 20_000
"""Prefixes that one row may stand for."""

DEFAULT_ROUTE = "*"
"""What the prefix cell of the default route holds: an empty one is more likely a mistake."""

KEEP_ZERO = frozenset({"39", "378", "379", "225", "241", "242"})
"""Countries whose area codes keep their leading 0 when dialled from abroad."""

_KEPT = 20_000
"""Cells whose meaning is remembered: a sheet repeats its prices and dates thousands of times."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_SERIAL_1900 = datetime(1899, 12, 30)  # noqa: DTZ001  the reader adds the zone
_SERIAL_1904 = datetime(1904, 1, 1)  # noqa: DTZ001  as above
_GROUPED_POINT = re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?")
_GROUPED_COMMA = re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{3})+(,[0-9]+)?")
_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+")
_AMBIGUOUS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")


class CellReader:
    """Understands cells by a sheet's profile."""

    def __init__(self, profile: Profile, *, epoch_1904: bool) -> None:
        self._profile = profile
        self._zone = ZoneInfo(profile.zone)
        self._serial_from = _SERIAL_1904 if epoch_1904 else _SERIAL_1900
        self.with_comma: str | None = None
        """A number whose decimal mark can only be the comma."""
        self.with_point: str | None = None
        self.price: Callable[[Cell], int] = lru_cache(_KEPT)(self._price)
        self.price_per_second: Callable[[Cell], int] = lru_cache(_KEPT)(self._price_per_second)
        self.moment: Callable[[Cell], int] = lru_cache(_KEPT)(self._moment)
        self.end: Callable[[Cell], int] = lru_cache(_KEPT)(self._end)
        self.increments: Callable[[Cell], tuple[int, int]] = lru_cache(_KEPT)(_increments)
        self.increment: Callable[[Cell], int] = lru_cache(_KEPT)(_increment)
        self.seconds: Callable[[Cell], int] = lru_cache(_KEPT)(_seconds)
        self.destination: Callable[[Cell], str] = lru_cache(_KEPT)(_destination)
        self.steps: Callable[[Cell], tuple[Step, ...]] = lru_cache(_KEPT)(self._steps)

    def number(self, cell: Cell) -> Decimal:
        """A number; with a comma only where it cannot mean two things, or the profile says so."""
        if isinstance(cell, Decimal):
            return cell
        if isinstance(cell, datetime):
            raise InputRefused(f"is the date {_shown(cell)}; set the column's format to text or number")
        text = cell
        sign = self._profile.currency_sign
        if sign:
            text = text.removeprefix(sign).removesuffix(sign).strip()
        match self._profile.decimal:
            case ".":
                if _GROUPED_POINT.fullmatch(text):
                    text = text.replace(",", "")
            case ",":
                if "." in text and not _GROUPED_COMMA.fullmatch(text):
                    raise InputRefused(
                        f"{cell[:40]!r} has a point, and the decimal mark is said to be the comma"
                    )
                if "." in text and "," not in text:
                    raise InputRefused(f"{cell[:40]!r} may be two numbers; write it without the point")
                text = text.replace(".", "").replace(",", ".", 1)
            case _:
                text = self._told(text)
        return parse_decimal(text)

    def _told(self, text: str) -> str:
        if "," not in text:
            if "." in text:
                self.with_point = text
            return text
        if _AMBIGUOUS.fullmatch(text):
            whole = text.replace(",", "")
            raise InputRefused(
                f"{text!r} may be {text.replace(',', '.')} or {whole}; say which mark is the decimal one "
                "by --decimal , or --decimal ."
            )
        if _COMMA.fullmatch(text) or (_GROUPED_COMMA.fullmatch(text) and "," in text):
            self.with_comma = text
            return text.replace(".", "").replace(",", ".")
        if _GROUPED_POINT.fullmatch(text):
            self.with_point = text
            return text.replace(",", "")
        return text

    def check_one_mark(self) -> None:
        """InputRefused if the sheet used both decimal marks: one of them must be something else."""
        if self.with_comma is not None and self.with_point is not None:
            raise InputRefused(
                f"the sheet has numbers with a comma ({self.with_comma!r}) and with a point "
                f"({self.with_point!r}); say which one is the decimal mark by --decimal , or --decimal ."
            )

    def _price(self, cell: Cell) -> int:
        return compile_price(self.number(cell))

    def _price_per_second(self, cell: Cell) -> int:
        return compile_price(self.number(cell)) * 60

    def _steps(self, cell: Cell) -> tuple[Step, ...]:
        steps = []
        for piece in str(cell).split():
            from_s, colon, price = piece.partition(":")
            if not colon:
                raise InputRefused(f"{piece[:40]!r} is no step; write steps like 60:0.05 600:0.02")
            steps.append(self.step(from_s, price))
        return checked_steps(steps)

    def step(self, from_s: Cell, price: Cell) -> Step:
        """One step of a price within a call."""
        per_second = self._profile.price_per == "second"
        return Step(self.seconds(from_s), (self.price_per_second if per_second else self.price)(price))

    def _moment(self, cell: Cell) -> int:
        return self._at(cell)[0]

    def _end(self, cell: Cell) -> int:
        moment_us, is_day = self._at(cell)
        if is_day and self._profile.end_date_included:
            return self._us(_local(cell, self._serial_from, self._profile.date_format) + _DAY)
        return moment_us

    def _at(self, cell: Cell) -> tuple[int, bool]:
        moment = _local(cell, self._serial_from, self._profile.date_format)
        is_day = moment.tzinfo is None and (moment.hour, moment.minute, moment.second) == (0, 0, 0)
        return self._us(moment), is_day

    def _us(self, moment: datetime) -> int:
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self._zone)
            if moment.utcoffset() != moment.replace(fold=1).utcoffset():
                raise InputRefused(
                    f"{_shown(moment)} happens twice or never in {self._profile.zone}; add the offset, "
                    "like 2026-10-25T02:30:00+02:00"
                )
        return (moment - _EPOCH) // timedelta(microseconds=1)

    def codes(self, country: Cell, cell: Cell) -> list[str]:
        """The prefixes of a country code with its area codes; the country code alone if there are none."""
        country_code = _digits(country, "country code")
        codes = [
            piece for piece in re.split(r"[,;\s]+", re.sub(r"\s*-\s*", "-", _plain_number(cell))) if piece
        ]
        if not codes:
            return [country_code]
        found: list[str] = []
        for piece in codes:
            first = piece.partition("-")[0]
            if self._profile.codes_include_country:
                if not first.startswith(country_code):
                    raise InputRefused(f"{first[:40]!r} does not begin with the country code {country_code}")
                found += _range(piece)
                continue
            if first.startswith("0") and country_code not in KEEP_ZERO:
                raise InputRefused(f"{first[:40]!r} begins with 0; an area code stands without it")
            low, dash, high = piece.partition("-")
            found += _range(country_code + low + (dash and dash + country_code + high))
        return found[: MAX_CODES + 1]


def prefixes(cell: Cell) -> list[str]:
    """The prefixes of one cell: one, several with commas or semicolons between, or ranges like 4915-4917."""
    text = _plain_number(cell)
    if text.isascii() and text.isdigit() and not text.startswith("00") and len(text) <= E164_MAX_DIGITS:
        return [text]
    if text == DEFAULT_ROUTE:
        return [""]
    if not text:
        raise InputRefused(f"is empty; write {DEFAULT_ROUTE} for the default route")
    pieces = [piece.strip() for piece in re.split(r"[,;]", text)]
    if len(pieces) > 1 and re.fullmatch(r"[0-9]{1,3}(,[0-9]{3})+", text):
        raise InputRefused(f"{text[:40]!r} may be one number with thousands marks; write it without commas")
    found = [prefix for piece in pieces for prefix in _range(piece)]
    if len(found) > MAX_CODES:
        raise InputRefused(f"stands for more than {MAX_CODES} prefixes; split the row")
    return found


def _range(piece: str) -> list[str]:
    low, dash, high = (part.strip() for part in piece.partition("-"))
    first = _digits(low, "prefix")
    if not dash:
        return [first]
    last = _digits(high, "prefix")
    if len(first) != len(last) or int(first) > int(last):
        raise InputRefused(f"{piece[:40]!r} is no range; write it like 4915-4917, both ends of one length")
    if int(last) - int(first) >= MAX_CODES:
        raise InputRefused(f"the range {piece[:40]!r} stands for more than {MAX_CODES} prefixes")
    return [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]


def _digits(cell: Cell, what: str) -> str:
    text = _plain_number(cell)
    digits = text.removeprefix("+")
    if re.fullmatch(r"[0-9]+([.,][0-9]+)?[eE]\+?[0-9]+", text):
        raise InputRefused(
            f"{text[:40]!r} lost its digits in a spreadsheet; enter it anew in a column of text"
        )
    if not digits:
        raise InputRefused(f"a {what} is empty" if what != "prefix" else f"{text!r} is no prefix")
    if not is_prefix(digits):
        raise InputRefused(f"{text[:40]!r} is not made of up to {E164_MAX_DIGITS} digits")
    if digits.startswith("00"):
        raise InputRefused(f"{text[:40]!r} begins with 00; write the country code alone")
    return digits


def _plain_number(cell: Cell) -> str:
    if isinstance(cell, datetime):
        raise InputRefused(f"is the date {_shown(cell)}; set the column's format to text")
    if isinstance(cell, Decimal):
        if cell != cell.to_integral_value():
            raise InputRefused(f"{cell} is not made of up to {E164_MAX_DIGITS} digits")
        return f"{cell.to_integral_value():f}"
    return cell


def _destination(cell: Cell) -> str:
    text = str(cell)
    if not text:
        raise InputRefused("is empty")
    if len(text) > MAX_DESTINATION_LENGTH:
        raise InputRefused(f"is longer than {MAX_DESTINATION_LENGTH} characters")
    for character in text:
        if not character.isprintable():
            raise InputRefused(f"holds the invisible character U+{ord(character):04X}")
    if text[0] == "=":
        raise InputRefused(f"{text[:40]!r} begins like a formula; write the name alone")
    if not isinstance(cell, str) or re.fullmatch(r"[0-9.,+ ]+", text):
        raise InputRefused(f"{text[:40]!r} is a number and no name; are two columns swapped?")
    return text


def band_name(cell: Cell) -> str:
    """The name of a band, as the calendars know it; empty: the price outside of bands."""
    text = str(cell)
    if len(text) > MAX_BAND_LENGTH or not text.isprintable() or "," in text:
        raise InputRefused(f"{text[:40]!r} is no name of up to {MAX_BAND_LENGTH} characters without a comma")
    return text


def yes_or_no(cell: Cell) -> bool:
    """A cell that says yes or no."""
    answer = str(cell).casefold()
    if answer not in ("yes", "no", "true", "false"):
        raise InputRefused(f"{str(cell)[:40]!r} is neither yes nor no")
    return answer in ("yes", "true")


def checked_steps(steps: list[Step]) -> tuple[Step, ...]:
    """These steps, if each begins after the one before."""
    if len(steps) > MAX_STEPS:
        raise InputRefused(f"a price has at most {MAX_STEPS} steps")
    before_s = 0
    for step in steps:
        if step.from_s <= before_s:
            raise InputRefused("steps begin one after the other, the first after more than 0 seconds")
        before_s = step.from_s
    return tuple(steps)


def _seconds(cell: Cell) -> int:
    text = _as_text(cell)
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) <= MAX_SECONDS):
        raise InputRefused(f"{text[:40]!r} is not a whole number of seconds up to {MAX_SECONDS}")
    return int(text)


def _increment(cell: Cell) -> int:
    seconds = _seconds(cell)
    if seconds < 1:
        raise InputRefused("an increment is at least 1 second")
    return seconds


def _increments(cell: Cell) -> tuple[int, int]:
    return parse_increments(_as_text(cell))


def _as_text(cell: Cell) -> str:
    if isinstance(cell, datetime):
        raise InputRefused(
            f"is the date {_shown(cell)}, which a spreadsheet made of something like 1/1 or 30/6; set the "
            "column's format to text and enter it anew"
        )
    if isinstance(cell, Decimal):
        return f"{cell.to_integral_value():f}" if cell == cell.to_integral_value() else str(cell)
    return cell


def _local(cell: Cell, serial_from: datetime, date_format: str | None) -> datetime:
    if isinstance(cell, datetime):
        return cell
    if isinstance(cell, Decimal):
        if not 1 <= cell < 2_958_466:
            raise InputRefused(f"{cell} is no date of a spreadsheet")
        return serial_from + timedelta(microseconds=int(cell * 86_400_000_000))
    if date_format is not None:
        try:
            return datetime.strptime(cell, date_format)  # noqa: DTZ007  as above
        except ValueError:
            pass  # an ISO date is understood as well
    try:
        return datetime.fromisoformat(cell if cell.isascii() and "-" in cell else "")
    except ValueError:
        pass
    if re.fullmatch(r"[0-9]{5}", cell):
        raise InputRefused(f"{cell!r} is a spreadsheet's day number; set the column's format to 2026-01-31")
    hint = "write it like 2026-01-31 or 2026-01-31T08:00:00Z"
    if re.fullmatch(r"[0-9]{1,4}[./-][0-9]{1,2}[./-][0-9]{1,4}.*", cell):
        hint += ", or say the order of day and month by --date-format, e.g. %d.%m.%Y or %m/%d/%Y"
    raise InputRefused(f"{cell[:40]!r} is no date; {hint}")


def _shown(moment: datetime) -> str:
    return moment.isoformat(" ", "minutes")
