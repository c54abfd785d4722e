"""What an access number says, put together from neutral words."""

from pbxbill.charging.announcement import (
    BALANCE_IS,
    FOR_THIS_LANGUAGE,
    LAST_CALL_COST,
    PRESS,
    REFILLED,
    TO_CALL,
    TO_CHANGE_LANGUAGE,
    TO_HEAR_LAST_CALL,
    TO_REFILL,
    VALID_UNTIL,
    YOU_HAVE,
    Number,
    Token,
    spoken_date,
    spoken_minutes,
    spoken_money,
)
from pbxbill.ivr.access_number import AccessTerms
from pbxbill.ivr.turns import Card, Cost, Refilled


def language_words(number: int) -> list[Token]:
    """In the language itself: whoever wants it understands it."""
    # FreeSWITCH's own recording is "for English, press": what is recorded ends with "press" in each language.
    return [FOR_THIS_LANGUAGE, Number(number)]


def menu_words(terms: AccessTerms) -> list[Token]:
    """What there is besides calling."""
    words: list[Token] = [TO_CALL, PRESS, Number(1)]
    if terms.refill:
        words += [TO_REFILL, PRESS, Number(2)]
    if terms.last_call:
        words += [TO_HEAR_LAST_CALL, PRESS, Number(3)]
    if len(terms.languages) > 1:
        words += [TO_CHANGE_LANGUAGE, PRESS, Number(4)]
    return words


def balance_words(card: Card, terms: AccessTerms, language: str, *, validity: bool = True) -> list[Token]:
    """What the card's account has, and until when."""
    words: list[Token] = []
    if terms.say_balance:
        words += [BALANCE_IS, *spoken_money(card.available, card.unit, language)]
    if terms.say_validity and validity and card.valid_until is not None:
        words += [VALID_UNTIL, *spoken_date(card.valid_until, language)]
    return words


def refilled_words(refilled: Refilled, language: str) -> list[Token]:
    """What a voucher brought, and what there is now."""
    return [
        REFILLED,
        *spoken_money(refilled.amount, refilled.unit, language),
        BALANCE_IS,
        *spoken_money(refilled.card.available, refilled.card.unit, language),
    ]


def cost_words(cost: Cost, language: str) -> list[Token]:
    """What a call came to."""
    return [LAST_CALL_COST, *spoken_money(cost.amount, cost.unit, language)]


def minutes_words(affordable_s: int, language: str) -> list[Token]:
    """How long the call may last."""
    return [YOU_HAVE, *spoken_minutes(affordable_s, language)]
