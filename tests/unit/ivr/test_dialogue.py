"""Conversations at an access number, as transcripts: `<` is what the line tells, `>` what it is to do."""

from datetime import date

import pytest

from pbxbill.charging.announcement import Number, Token
from pbxbill.charging.events import DenialReason
from pbxbill.ivr.access_number import AccessTerms
from pbxbill.ivr.dialogue import Dialogue
from pbxbill.ivr.turns import (
    Act,
    Allowed,
    Ask,
    Authorize,
    CallerUnknown,
    Card,
    CardKnown,
    CheckPin,
    Cost,
    Dial,
    Ending,
    Failed,
    FindCaller,
    FindLastCall,
    Gone,
    HangUp,
    Heard,
    LastCall,
    NotAllowed,
    Part,
    PinWrong,
    Redeem,
    Refilled,
    Resumed,
    Said,
    Say,
    Started,
    Told,
    VoucherWrong,
    Wait,
)
from pbxbill.money import Unit

EUR = Unit("EUR")
PIN = "1234567890"

PLAIN = AccessTerms()
SILENT = AccessTerms(say_balance=False, say_validity=False, say_minutes=False, say_cost=False)
FRENCH_TOO = AccessTerms(languages=("en", "fr"))
TRUSTING = AccessTerms(known_callers=True)

CONVERSATIONS = {
    "a PIN, a number, a call": (
        PLAIN,
        """
        < called
        > ask 10 en: enter_pin
        < keys 1234567890
        > check 1234567890
        < card 5.00
        > ask 20 en: balance_is 5 euros enter_number
        < keys 4930123
        > authorize 4930123
        < allowed 384
        > say en: you_have 6 minutes
        < said
        > dial
        """,
    ),
    "a balance that ends on a day": (
        PLAIN,
        """
        < called
        > ask 10 en: enter_pin
        < keys 1234567890
        > check 1234567890
        < card 0.50 2027-01-31
        > ask 20 en: balance_is 50 cents valid_until month_1 30 1 2 thousand 20 7 enter_number
        """,
    ),
    "terms that say nothing": (
        SILENT,
        """
        < called
        > ask 10 en: enter_pin
        < keys 1234567890
        > check 1234567890
        < card 5.00 2027-01-31
        > ask 20 en: enter_number
        < keys 4930123
        > authorize 4930123
        < allowed 60
        > dial
        """,
    ),
    "a known caller needs no PIN": (
        TRUSTING,
        """
        < called
        > find caller
        < card 5.00
        > ask 20 en: balance_is 5 euros enter_number
        """,
    ),
    "an unknown caller needs one": (
        TRUSTING,
        """
        < called
        > find caller
        < unknown
        > ask 10 en: enter_pin
        """,
    ),
    "another language": (
        FRENCH_TOO,
        """
        < called
        > ask 1 en: for_this_language 1 | fr: for_this_language 2
        < keys 3
        > ask 1 en: for_this_language 1 | fr: for_this_language 2
        < keys 2
        > ask 10 fr: enter_pin
        < keys 1234567890
        > check 1234567890
        < card 1.00
        > ask 20 fr: balance_is 1 euro enter_number
        """,
    ),
    "the language is changed in the menu": (
        FRENCH_TOO,
        """
        < called
        > ask 1 en: for_this_language 1 | fr: for_this_language 2
        < keys 1
        > ask 10 en: enter_pin
        < keys 1234567890
        > check 1234567890
        < card 1.00
        > ask 20 en: balance_is 1 euro enter_number
        < keys *
        > ask 1 en: to_call press 1 to_refill press 2 to_hear_last_call press 3 to_change_language press 4
        < keys 4
        > ask 1 en: for_this_language 1 | fr: for_this_language 2
        < keys 2
        > ask 20 fr: enter_number
        """,
    ),
    "silence is asked twice more, then goodbye": (
        PLAIN,
        """
        < called
        > ask 10 en: enter_pin
        < keys
        > ask 10 en: enter_pin
        < keys
        > ask 10 en: enter_pin
        < keys
        > say en: goodbye
        < said
        > hang up
        """,
    ),
    "silence after an answer counts anew": (
        PLAIN,
        """
        < called
        > ask 10 en: enter_pin
        < keys
        > ask 10 en: enter_pin
        < keys 1234567890
        > check 1234567890
        < card 5.00
        > ask 20 en: balance_is 5 euros enter_number
        < keys
        > ask 20 en: enter_number
        < keys
        > ask 20 en: enter_number
        < keys
        > say en: goodbye
        < said
        > hang up
        """,
    ),
    "three wrong PINs": (
        PLAIN,
        """
        < called
        > ask 10 en: enter_pin
        < keys 1
        > check 1
        < wrong
        > ask 10 en: wrong_pin enter_pin
        < keys 22222222
        > check 22222222
        < wrong
        > ask 10 en: wrong_pin enter_pin
        < keys 3333333333
        > check 3333333333
        < wrong
        > say en: wrong_pin goodbye
        < said
        > hang up
        """,
    ),
    "who guessed waits before he is asked again": (
        PLAIN,
        """
        < called
        > ask 10 en: enter_pin
        < keys 1
        > check 1
        < wrong 5
        > wait 5
        < said
        > ask 10 en: wrong_pin enter_pin
        < keys 2
        > check 2
        < wrong 600
        > say en: wrong_pin try_later goodbye
        < said
        > hang up
        """,
    ),
    "a menu without what is not offered": (
        AccessTerms(refill=False, last_call=False),
        """
        < resumed talked 5.00
        > ask 20 en: enter_number
        < keys *
        > ask 1 en: to_call press 1
        < keys 2
        > ask 1 en: to_call press 1
        < keys 1
        > ask 20 en: enter_number
        """,
    ),
    "refill by a voucher": (
        PLAIN,
        """
        < resumed failed 0.10
        > ask 20 en: number_not_allowed enter_number
        < keys *2
        > ask 1 en: to_call press 1 to_refill press 2 to_hear_last_call press 3
        < keys 2
        > ask 24 en: enter_voucher
        < keys 123
        > redeem 123
        < voucher wrong
        > ask 24 en: wrong_voucher enter_voucher
        < keys 12345678901234
        > redeem 12345678901234
        < refilled 10.00 10.10
        > ask 20 en: refilled 10 euros balance_is 10 euros and 10 cents enter_number
        """,
    ),
    "out of the voucher by *": (
        PLAIN,
        """
        < resumed busy 1.00
        > ask 20 en: busy enter_number
        < keys *
        > ask 1 en: to_call press 1 to_refill press 2 to_hear_last_call press 3
        < keys 2
        > ask 24 en: enter_voucher
        < keys *
        > ask 1 en: to_call press 1 to_refill press 2 to_hear_last_call press 3
        < keys *
        > ask 20 en: enter_number
        """,
    ),
    "who guesses vouchers is sent away": (
        PLAIN,
        """
        < resumed no_answer 1.00
        > ask 20 en: no_answer enter_number
        < keys *
        > ask 1 en: to_call press 1 to_refill press 2 to_hear_last_call press 3
        < keys 2
        > ask 24 en: enter_voucher
        < keys 99999999
        > redeem 99999999
        < voucher wrong 3600
        > say en: wrong_voucher try_later goodbye
        < said
        > hang up
        """,
    ),
    "what the last call cost": (
        PLAIN,
        """
        < resumed talked 5.00
        > ask 20 en: enter_number
        < keys *
        > ask 1 en: to_call press 1 to_refill press 2 to_hear_last_call press 3
        < keys 3
        > find last call
        < last call 0.24
        > ask 20 en: last_call_cost 20 4 cents enter_number
        < keys *
        > ask 1 en: to_call press 1 to_refill press 2 to_hear_last_call press 3
        < keys 3
        > find last call
        < last call
        > ask 20 en: no_last_call enter_number
        """,
    ),
    "after a call its cost and what is left": (
        PLAIN,
        """
        < resumed talked 4.76 cost 0.24
        > ask 20 en: last_call_cost 20 4 cents balance_is 4 euros and 70 6 cents enter_number
        """,
    ),
    "too few digits, and signs, are no number": (
        PLAIN,
        """
        < resumed talked 5.00
        > ask 20 en: enter_number
        < keys 4
        > ask 20 en: number_not_allowed enter_number
        < keys 49*30
        > ask 20 en: number_not_allowed enter_number
        < keys 4930123
        > authorize 4930123
        """,
    ),
    "no money for a call": (
        PLAIN,
        """
        < resumed talked 0.01
        > ask 20 en: enter_number
        < keys 4930123
        > authorize 4930123
        < denied credit_limit_reached
        > ask 20 en: not_enough_credit enter_number
        """,
    ),
    "a fifth number that cannot be called is the last": (
        PLAIN,
        """
        < resumed talked 5.00
        > ask 20 en: enter_number
        < keys 99
        > authorize 99
        < denied rating_failed
        > ask 20 en: number_not_allowed enter_number
        < keys 99
        > authorize 99
        < denied rating_failed
        > ask 20 en: number_not_allowed enter_number
        < keys 99
        > authorize 99
        < denied destination_barred
        > ask 20 en: number_not_allowed enter_number
        < keys 99
        > authorize 99
        < denied rating_failed
        > ask 20 en: number_not_allowed enter_number
        < keys 99
        > authorize 99
        < denied rating_failed
        > say en: number_not_allowed goodbye
        < said
        > hang up
        """,
    ),
    "the database is away": (
        PLAIN,
        """
        < called
        > ask 10 en: enter_pin
        < keys 1234567890
        > check 1234567890
        < failed
        > say en: try_later goodbye
        < said
        > hang up
        """,
    ),
    "a line without a card has an end": (
        PLAIN,
        """
        < called
        > ask 10 en: enter_pin
        < 121 s later keys 1234567890
        > say en: goodbye
        < said
        > hang up
        """,
    ),
    "so has one with a card": (
        PLAIN,
        """
        < called
        > ask 10 en: enter_pin
        < keys 1234567890
        > check 1234567890
        < 119 s later card 5.00
        > ask 20 en: balance_is 5 euros enter_number
        < 599 s later keys *
        > ask 1 en: to_call press 1 to_refill press 2 to_hear_last_call press 3
        < 2 s later keys 1
        > say en: goodbye
        < said
        > hang up
        """,
    ),
    "what was reserved is dialled, however late it is": (
        PLAIN,
        """
        < resumed talked 5.00
        > ask 20 en: enter_number
        < 599 s later keys 4930123
        > authorize 4930123
        < 2 s later allowed 60
        > say en: you_have 1 minute
        < 3 s later said
        > dial
        """,
    ),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_conversation(name: str) -> None:
    terms, transcript = CONVERSATIONS[name]
    assert played(terms, transcript) == lines_of(transcript)


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_whoever_hangs_up_at_any_moment_has_hung_up(name: str) -> None:
    terms, transcript = CONVERSATIONS[name]
    told = [line for line in lines_of(transcript) if line.startswith("<")]
    for count in range(1, len(told) + 1):
        dialogue = Dialogue(terms, 0)
        for line in told[:count]:
            dialogue.take(fact(line.removeprefix("< ")), 0)
        assert dialogue.take(Gone(), 0) == HangUp()


def lines_of(transcript: str) -> list[str]:
    return [line.strip() for line in transcript.strip().splitlines()]


def played(terms: AccessTerms, transcript: str) -> list[str]:
    """The transcript as the dialogue would have it, by what the line tells in it."""
    dialogue, now_us, heard = Dialogue(terms, 0), 0, []
    for line in lines_of(transcript):
        if line.startswith(">"):
            continue
        words = line.removeprefix("< ")
        if " s later " in words:
            after, _, words = words.partition(" s later ")
            now_us += int(after) * 1_000_000
        heard += [line, f"> {shown(dialogue.take(fact(words), now_us))}"]
    return heard


SIMPLE: dict[str, Told] = {
    "called": Started(),
    "said": Said(),
    "unknown": CallerUnknown(),
    "failed": Failed(),
}


def fact(words: str) -> Told:
    words = words.partition(" s later ")[2] or words
    return SIMPLE[words] if words in SIMPLE else _with_details(words.split())


def _with_details(words: list[str]) -> Told:
    match words:
        case ["keys", *keys]:
            return Heard("".join(keys))
        case ["card", *card]:
            return CardKnown(card_of(*card))
        case ["wrong", *wait_s]:
            return PinWrong(*map(int, wait_s))
        case ["voucher", "wrong", *wait_s]:
            return VoucherWrong(*map(int, wait_s))
        case ["refilled", amount, balance]:
            return Refilled(euros(amount), EUR, card_of(balance))
        case ["last", "call", *cost]:
            return LastCall(Cost(euros(cost[0]), EUR) if cost else None)
        case ["allowed", seconds]:
            return Allowed(int(seconds))
        case ["denied", reason]:
            return NotAllowed(DenialReason(reason))
    return _ending(words)


def _ending(words: list[str]) -> Told:
    match words:
        case ["resumed", ending, balance, "cost", cost]:
            return Resumed(card_of(balance), "en", Ending(ending), Cost(euros(cost), EUR))
        case ["resumed", ending, balance]:
            return Resumed(card_of(balance), "en", Ending(ending))
    raise AssertionError(words)


def card_of(balance: str, until: str = "") -> Card:
    return Card(7, 3, "card:7", euros(balance), EUR, date.fromisoformat(until) if until else None)


def euros(text: str) -> int:
    whole, _, part = text.partition(".")
    return int(whole) * 1_000_000 + int(part) * 10_000


def shown(act: Act) -> str:
    match act:
        case Ask(parts, most, 7, 4, secret):
            assert secret == ("enter_pin" in said(parts[-1]) or "enter_voucher" in said(parts[-1]))
            return f"ask {most} " + " | ".join(map(said, parts))
        case Say(part):
            return f"say {said(part)}"
        case Wait(wait_s):
            return f"wait {wait_s}"
        case FindCaller():
            return "find caller"
        case CheckPin(pin):
            return f"check {pin}"
        case Redeem(code):
            return f"redeem {code}"
        case FindLastCall():
            return "find last call"
        case Authorize(number):
            return f"authorize {number}"
        case Dial():
            return "dial"
        case HangUp():
            return "hang up"
        case _:
            raise AssertionError(act)


def said(part: Part) -> str:
    return f"{part.language}: " + " ".join(map(word, part.tokens))


def word(token: Token) -> str:
    return str(token.value) if isinstance(token, Number) else token.name
