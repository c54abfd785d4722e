"""What a caller is told, as neutral tokens: numbers, money and minutes in English, French and Spanish.

Pure functions. A switch adapter maps each token to its own sound file and plays a tone for a word that it
has no file for. Amounts and minutes are rounded down: nobody is told more than there is.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from pbxbill.charging.events import DenialReason, Granted
from pbxbill.errors import check
from pbxbill.money import Unit

LANGUAGES = ("en", "fr", "es")

MAX_SPOKEN = 999_999_999
"""Larger numbers are said as this one: there are no sounds for more, and no caller waits for them."""


class Form(StrEnum):
    """The form of a number word before a noun."""

    PLAIN = "plain"
    """one, un, uno"""
    FEMININE = "feminine"
    """une, una, veintiuna, doscientas"""
    SHORT = "short"
    """Spanish before a masculine noun: un, veintiún"""


@dataclass(frozen=True, slots=True)
class Number:
    """A number of one word: 0-20 and the tens; in Spanish also 21-29, 100 (cien), 200 to 900."""

    value: int
    form: Form = Form.PLAIN


@dataclass(frozen=True, slots=True)
class Word:
    """Any other word or phrase, see WORDS; a currency without words of its own is its code in lower case."""

    name: str


Token = Number | Word

AND = Word("and")
MINUS = Word("minus")
POINT = Word("point")
HUNDRED = Word("hundred")
CIENTO = Word("ciento")
"""Spanish 100 before a smaller number."""
THOUSAND = Word("thousand")
MILLION = Word("million")
MILLIONS = Word("millions")
MINUTE = Word("minute")
MINUTES = Word("minutes")
SECOND = Word("second")
SECONDS = Word("seconds")
BALANCE_IS = Word("balance_is")
YOU_HAVE = Word("you_have")
LEFT = Word("left")
ONE_MINUTE_LEFT = Word("one_minute_left")
NOT_ENOUGH_CREDIT = Word("not_enough_credit")
SERVICE_DENIED = Word("service_denied")
NUMBER_NOT_ALLOWED = Word("number_not_allowed")
TRY_LATER = Word("try_later")
FOR_THIS_LANGUAGE = Word("for_this_language")
PRESS = Word("press")
ENTER_PIN = Word("enter_pin")
WRONG_PIN = Word("wrong_pin")
ENTER_NUMBER = Word("enter_number")
ENTER_VOUCHER = Word("enter_voucher")
WRONG_VOUCHER = Word("wrong_voucher")
REFILLED = Word("refilled")
"""Before the voucher's value."""
VALID_UNTIL = Word("valid_until")
LAST_CALL_COST = Word("last_call_cost")
NO_LAST_CALL = Word("no_last_call")
TO_CALL = Word("to_call")
TO_REFILL = Word("to_refill")
TO_HEAR_LAST_CALL = Word("to_hear_last_call")
TO_CHANGE_LANGUAGE = Word("to_change_language")
BUSY = Word("busy")
NO_ANSWER = Word("no_answer")
GOODBYE = Word("goodbye")
MONTHS = tuple(Word(f"month_{month}") for month in range(1, 13))

SELF_SERVICE = (
    *(FOR_THIS_LANGUAGE, PRESS, ENTER_PIN, WRONG_PIN, ENTER_NUMBER, ENTER_VOUCHER, WRONG_VOUCHER, REFILLED),
    *(VALID_UNTIL, LAST_CALL_COST, NO_LAST_CALL, TO_CALL, TO_REFILL, TO_HEAR_LAST_CALL, TO_CHANGE_LANGUAGE),
    *(BUSY, NO_ANSWER, GOODBYE, *MONTHS),
)
"""What access numbers say besides."""

PROMPT_OF_DENIAL: dict[DenialReason, Word] = {
    DenialReason.CREDIT_LIMIT_REACHED: NOT_ENOUGH_CREDIT,
    DenialReason.END_USER_SERVICE_DENIED: SERVICE_DENIED,
    DenialReason.USER_UNKNOWN: SERVICE_DENIED,
    DenialReason.RATING_FAILED: NUMBER_NOT_ALLOWED,
    DenialReason.SERVICE_UNAVAILABLE: TRY_LATER,
    DenialReason.SIMULTANEOUS_CALLS: TRY_LATER,
    DenialReason.CALL_RATE: TRY_LATER,
    DenialReason.SPENDING_LIMIT: SERVICE_DENIED,
    DenialReason.DESTINATION_BARRED: NUMBER_NOT_ALLOWED,
    DenialReason.COUNTRY_HELD: NUMBER_NOT_ALLOWED,
    DenialReason.SHORT_CALLS: TRY_LATER,
    DenialReason.LOSS_MAKING: NUMBER_NOT_ALLOWED,
}


@dataclass(frozen=True, slots=True)
class _Currency:
    one: str
    many: str
    minor_one: str
    minor_many: str
    feminine: tuple[str, ...] = ()
    """Languages in which the major word is feminine."""


_CURRENCIES: dict[str, _Currency] = {
    "EUR": _Currency("euro", "euros", "cent", "cents"),
    "USD": _Currency("dollar", "dollars", "cent", "cents"),
    "CAD": _Currency("dollar", "dollars", "cent", "cents"),
    "AUD": _Currency("dollar", "dollars", "cent", "cents"),
    "GBP": _Currency("pound", "pounds", "penny", "pence", feminine=("fr", "es")),
    "CHF": _Currency("franc", "francs", "centime", "centimes"),
    "MXN": _Currency("peso", "pesos", "centavo", "centavos"),
}

WORDS: frozenset[str] = frozenset(
    {
        word.name
        for word in (
            AND,
            MINUS,
            POINT,
            HUNDRED,
            CIENTO,
            THOUSAND,
            MILLION,
            MILLIONS,
            MINUTE,
            MINUTES,
            SECOND,
            SECONDS,
            BALANCE_IS,
            YOU_HAVE,
            LEFT,
            ONE_MINUTE_LEFT,
            NOT_ENOUGH_CREDIT,
            SERVICE_DENIED,
            NUMBER_NOT_ALLOWED,
            TRY_LATER,
            *SELF_SERVICE,
        )
    }
    | {
        name
        for currency in _CURRENCIES.values()
        for name in (currency.one, currency.many, currency.minor_one, currency.minor_many)
    }
)
"""Every name a Word can have, but for the codes of other currencies."""


def known_language(language: str) -> str:
    """The language to speak: fr for fr, fr-CA, FR_fr; English for what is not spoken here."""
    short = language[:2].lower()
    return short if short in LANGUAGES else "en"


# --- numbers ----------------------------------------------------------------------------------


def spoken_number(n: int, language: str, form: Form = Form.PLAIN) -> list[Token]:
    """The words of n in a language; form is that of the noun which follows."""
    if n < 0:
        return [MINUS, *spoken_number(-n, language, form)]
    n = min(n, MAX_SPOKEN)
    if n == 0:
        return [Number(0)]
    below_million = {"en": _english, "fr": _french, "es": _spanish}[known_language(language)]
    millions, rest = divmod(n, 1_000_000)
    tokens: list[Token] = []
    if millions:
        # "million" is a masculine noun: un millón, veintiún millones, un million.
        noun_form = Form.SHORT if known_language(language) == "es" else Form.PLAIN
        tokens += below_million(millions, noun_form)
        tokens.append(MILLIONS if millions > 1 else MILLION)
    if rest:
        tokens += below_million(rest, form)
    return tokens


def _english(n: int, form: Form) -> list[Token]:
    tokens: list[Token] = []
    thousands, n = divmod(n, 1000)
    if thousands:
        tokens += [*_english(thousands, form), THOUSAND]
    hundreds, n = divmod(n, 100)
    if hundreds:
        tokens += [Number(hundreds), HUNDRED]
    if n > 20 and n % 10:
        tokens += [Number(n - n % 10), Number(n % 10)]
    elif n:
        tokens.append(Number(n))
    return tokens


def _french(n: int, form: Form) -> list[Token]:
    """In French of France: soixante et onze, quatre-vingt-onze."""
    tokens: list[Token] = []
    thousands, n = divmod(n, 1000)
    if thousands > 1:
        tokens += _french(thousands, Form.PLAIN)
    if thousands:
        tokens.append(THOUSAND)  # mille, never "un mille"
    hundreds, n = divmod(n, 100)
    if hundreds > 1:
        tokens.append(Number(hundreds))
    if hundreds:
        tokens.append(HUNDRED)
    if n <= 20:
        return tokens + ([_gendered(n, form)] if n else [])
    tens = n - n % 10
    if tens in (70, 90):
        tens -= 10  # 70-79 and 90-99 count on from 60 and 80
    tokens.append(Number(tens))
    unit = n - tens
    if unit in (1, 11) and tens != 80:
        tokens.append(AND)
    return tokens + ([_gendered(unit, form)] if unit else [])


def _gendered(n: int, form: Form) -> Number:
    return Number(n, form) if n == 1 and form is Form.FEMININE else Number(n)


def _spanish(n: int, form: Form) -> list[Token]:
    tokens: list[Token] = []
    thousands, n = divmod(n, 1000)
    if thousands > 1:
        # The noun's gender reaches the hundreds of thousands: doscientas mil libras, but veintiún mil.
        tokens += _spanish_below_thousand(thousands, form if form is Form.FEMININE else Form.SHORT)
    if thousands:
        tokens.append(THOUSAND)  # mil, never "un mil"
    return tokens + _spanish_below_thousand(n, form)


def _spanish_below_thousand(n: int, form: Form) -> list[Token]:
    if n == 100:
        return [Number(100)]
    tokens: list[Token] = []
    hundreds, n = divmod(n, 100)
    if hundreds == 1:
        tokens.append(CIENTO)
    elif hundreds:
        tokens.append(Number(100 * hundreds, form if form is Form.FEMININE else Form.PLAIN))
    if n > 30 and n % 10:
        tokens += [Number(n - n % 10), AND]
        n %= 10
    if n:
        tokens.append(Number(n, form) if n in (1, 21) else Number(n))
    return tokens


# --- money and time -----------------------------------------------------------------------------


def _is_singular(n: int, language: str) -> bool:
    return n == 1 or (n == 0 and language == "fr")


def _form(language: str, feminine: bool) -> Form:
    if feminine and language != "en":
        return Form.FEMININE
    return Form.SHORT if language == "es" else Form.PLAIN


def spoken_money(amount: int, unit: Unit, language: str) -> list[Token]:
    """An amount: "twelve euros and fifty cents"; units without words of their own: "12 point 5 btc"."""
    check(0 <= unit.digits <= unit.scale, f"unit {unit.code} shows more digits than it has")
    language = known_language(language)
    shown = amount // 10 ** (unit.scale - unit.digits)
    if shown < 0:
        return [MINUS, *_money(-shown, unit, language)]
    return _money(shown, unit, language)


def _money(shown: int, unit: Unit, language: str) -> list[Token]:
    whole, part = divmod(shown, 10**unit.digits)
    currency = _CURRENCIES.get(unit.code.upper())
    if currency is None or unit.digits != 2:
        return [*_decimal(whole, part, unit.digits, language), _unit_word(whole, part, unit, language)]
    form = _form(language, feminine=language in currency.feminine)
    tokens: list[Token] = []
    if whole or not part:
        word = currency.one if _is_singular(whole, language) else currency.many
        tokens += [*spoken_number(whole, language, form), Word(word)]
    if whole and part:
        tokens.append(AND)
    if part:
        minor = currency.minor_one if part == 1 else currency.minor_many
        tokens += [*spoken_number(part, language, _form(language, feminine=False)), Word(minor)]
    return tokens


def _decimal(whole: int, part: int, digits: int, language: str) -> list[Token]:
    tokens = spoken_number(whole, language)
    if part:
        tokens.append(POINT)
        tokens += [Number(int(digit)) for digit in f"{part:0{digits}d}".rstrip("0")]
    return tokens


def _unit_word(whole: int, part: int, unit: Unit, language: str) -> Word:
    currency = _CURRENCIES.get(unit.code.upper())
    if currency is None:
        return Word(unit.code.lower())
    singular = not part and _is_singular(whole, language)
    return Word(currency.one if singular else currency.many)


def spoken_minutes(seconds: int, language: str) -> list[Token]:
    """A duration in whole minutes, or in seconds below one minute."""
    language = known_language(language)
    seconds = max(seconds, 0)
    feminine = language == "fr"  # une minute, une seconde; un minuto, un segundo
    if seconds < 60:
        word = SECOND if _is_singular(seconds, language) else SECONDS
        return [*spoken_number(seconds, language, _form(language, feminine)), word]
    minutes = seconds // 60
    return [
        *spoken_number(minutes, language, _form(language, feminine)),
        MINUTE if minutes == 1 else MINUTES,
    ]


def spoken_date(day: date, language: str) -> list[Token]:
    """A day: "November 22 2026", "22 novembre 2026"."""
    language = known_language(language)
    month, year = MONTHS[day.month - 1], spoken_number(day.year, language)
    number = spoken_number(day.day, language)
    return [month, *number, *year] if language == "en" else [*number, month, *year]


# --- whole announcements ------------------------------------------------------------------------


def before_the_call(granted: Granted) -> list[Token]:
    """What the account's announcement asks to be said before the call; empty: nothing."""
    language = granted.announcement.language
    tokens: list[Token] = []
    if granted.announcement.balance:
        tokens += [BALANCE_IS, *spoken_money(granted.available, granted.unit, language)]
    if granted.announcement.minutes:
        tokens += [YOU_HAVE, *spoken_minutes(granted.affordable_us // 1_000_000, language)]
    return tokens
