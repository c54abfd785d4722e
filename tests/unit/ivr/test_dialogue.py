"""The conversations of conversations.txt: told what a line tells, the dialogue does what it is to do."""

from datetime import date
from pathlib import Path

import pytest

from pbxbill.charging.announcement import Number, Token
from pbxbill.charging.events import DenialReason
from pbxbill.ivr.access_number import AccessTerms, parse_terms
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


def conversations() -> dict[str, tuple[AccessTerms, list[str]]]:
    """The terms and the transcript of each conversation, by its name."""
    text = Path(__file__).with_name("conversations.txt").read_text()
    found = {}
    for part in text.split("\n== ")[1:]:
        name, *lines = part.strip().splitlines()
        terms = "\n".join(line.removeprefix("= ") for line in lines if line.startswith("= "))
        found[name] = parse_terms(terms), [line for line in lines if not line.startswith("= ")]
    return found


CONVERSATIONS = conversations()


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_conversation(name: str) -> None:
    terms, transcript = CONVERSATIONS[name]
    assert played(terms, transcript) == transcript


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_whoever_hangs_up_at_any_moment_has_hung_up(name: str) -> None:
    terms, transcript = CONVERSATIONS[name]
    told = [line for line in transcript if line.startswith("<")]
    for count in range(1, len(told) + 1):
        dialogue = Dialogue(terms, 0)
        for line in told[:count]:
            dialogue.take(fact(line.removeprefix("< ")), 0)
        assert dialogue.take(Gone(), 0) == HangUp()


def played(terms: AccessTerms, transcript: list[str]) -> list[str]:
    """The transcript as the dialogue would have it, by what the line tells in it."""
    dialogue, now_us, heard = Dialogue(terms, 0), 0, []
    for line in transcript:
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
        case _:
            return _ending(words)


def _ending(words: list[str]) -> Told:
    match words:
        case ["resumed", ending, balance, "cost", cost]:
            return Resumed(card_of(balance), "en", Ending(ending), Cost(euros(cost), EUR))
        case ["resumed", ending, balance]:
            return Resumed(card_of(balance), "en", Ending(ending))
        case _:
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
