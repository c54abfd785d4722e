"""What holds at an access number: languages, who needs no PIN, how patient it is, what it offers. Pure."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from pbxbill.charging.announcement import LANGUAGES
from pbxbill.errors import InputRefused
from pbxbill.written_toml import TOMLDecodeError, read_toml

MAX_NUMBER_LENGTH = 32


@dataclass(frozen=True, slots=True)
class AccessTerms:
    """The terms of an access number."""

    languages: tuple[str, ...] = ("en",)
    """With several the caller is asked first, and may change it later."""
    known_callers: bool = False
    """Whether a registered caller ID passes without a PIN. Caller IDs can be forged."""
    pin_digits: int = 10
    """The longest PIN: nothing need be pressed after so many digits."""
    pin_attempts: int = 3
    repeats: int = 2
    """How often a question is repeated to somebody who says nothing, before goodbye."""
    answer_s: int = 7
    """How long the first digit is waited for, after the question."""
    digit_s: int = 4
    """How long the next one is waited for."""
    max_setup_s: int = 120
    """How long a line may be up before a card is known."""
    max_service_s: int = 600
    """How long questions may go on at a stretch once it is; calls do not count."""
    max_lines: int = 20
    """So many lines at once may be up on a switch without a known card."""
    say_balance: bool = True
    say_validity: bool = True
    say_minutes: bool = True
    say_cost: bool = True
    """After each call, with the new balance."""
    refill: bool = True
    last_call: bool = True

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        known = len(set(self.languages)) == len(self.languages) and set(self.languages) <= set(LANGUAGES)
        if not (self.languages and known):
            raise InputRefused(f"languages: one or more of {', '.join(LANGUAGES)}, each once")
        for name, (least, most) in RANGES.items():
            if not least <= getattr(self, name) <= most:
                raise InputRefused(f"{name}: from {least} to {most}")

    def written(self) -> str:
        """As the database keeps them."""
        return json.dumps(asdict(self), sort_keys=True)


RANGES = {
    "pin_digits": (8, 20),
    "pin_attempts": (1, 10),
    "repeats": (0, 5),
    "answer_s": (2, 30),
    "digit_s": (1, 15),
    "max_setup_s": (20, 600),
    "max_service_s": (60, 3600),
    "max_lines": (1, 1000),
}


def read_terms(definition: str) -> AccessTerms:
    """What the database keeps."""
    facts: dict[str, Any] = json.loads(definition)
    return terms_of(facts)


def parse_terms(text: str) -> AccessTerms:
    """Terms that a person wrote as TOML; InputRefused says what is wrong."""
    try:
        return terms_of(read_toml(text))
    except TOMLDecodeError as fault:
        raise InputRefused(f"this is no TOML: {fault}") from None


def terms_of(facts: dict[str, Any]) -> AccessTerms:
    """Terms from their names and values; what is not said is as AccessTerms has it."""
    standard = AccessTerms()
    names = [field.name for field in fields(AccessTerms)]
    values: dict[str, Any] = {}
    for name, value in facts.items():
        if name not in names:
            raise InputRefused(f"an access number has no {name!r}; it has {', '.join(names)}")
        if name == "languages":
            if not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
                raise InputRefused('languages: a list such as ["en", "fr"]')
            values[name] = tuple(value)
            continue
        wanted = type(getattr(standard, name))
        if type(value) is not wanted:
            raise InputRefused(f"{name}: {'true or false' if wanted is bool else 'a whole number'}")
        values[name] = value
    return AccessTerms(**values)


def access_number(text: str) -> str:
    """A number as the switch shows it; InputRefused if it is none."""
    number = text.strip().removeprefix("+")
    if not (number.isascii() and number.isdigit() and len(number) <= MAX_NUMBER_LENGTH):
        raise InputRefused(f"{text[:40]!r} is no number: 1 to {MAX_NUMBER_LENGTH} digits")
    return number
