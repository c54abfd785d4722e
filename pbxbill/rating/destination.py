"""Numbers as callers dial them, brought to E.164 digits by the dialling rule of their account."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pbxbill.errors import InputRefused
from pbxbill.rating.number_plan import (
    emergency_numbers,
    from_national,
    is_emergency_number,
    is_region,
    region_plan,
    trunk_prefix,
)

E164_MAX_DIGITS = 15
MAX_SHORT_CODES = 1000
EMERGENCY_EVERYWHERE = frozenset(("112", "911"))
"""What calls for help where no dialling rule names the country."""

_SEPARATORS = re.compile(r"[ \-./()]")
_IN_BRACKETS = re.compile(r"\(\s*([0-9]{1,2})\s*\)")
_DIALLED = re.compile(r"[0-9*#]{1,20}")


@dataclass(frozen=True, slots=True)
class DiallingRule:
    """How the accounts that use it dial; what it does not say is as in its country."""

    name: str
    region: str
    """ISO 3166 code: its own prefixes and emergency numbers come from there."""
    international_prefixes: tuple[str, ...] = ()
    """Empty: the country's."""
    national_prefix: str | None = None
    """None: the country's."""
    area_code: str = ""
    """Without the national prefix; numbers dialled without any prefix are local ones of this area."""
    short_codes: tuple[tuple[str, str], ...] = ()
    """What is dialled and the E.164 digits it stands for, or the same digits where it stays as it is."""
    technical_prefix: str = ""
    """Taken off before anything else is looked at."""
    emergency_numbers: tuple[str, ...] = ()
    """Beside the country's."""
    _stands_for: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not is_region(self.region):
            raise self.refused(f"{self.region!r} is no country; write DE, US, GB ...")
        digits = {
            "international prefix": self.international_prefixes,
            "national prefix": (self.national_prefix or "0",),
            "area code": (self.area_code or "0",),
            "short code's number": tuple(number for _, number in self.short_codes),
        }
        for what, texts in digits.items():
            for text in texts:
                if not _is_e164(text):
                    raise self.refused(f"{what} {text[:40]!r} is not 1 to 15 digits")
        object.__setattr__(self, "_stands_for", dict(self.short_codes))
        codes = [code for code, _ in self.short_codes]
        for text in (*codes, *self.emergency_numbers, self.technical_prefix or "0"):
            if _DIALLED.fullmatch(text) is None:
                raise self.refused(f"{text[:40]!r} cannot be dialled; use up to 20 of 0-9, * and #")
        if len(self._stands_for) != len(codes) or len(codes) > MAX_SHORT_CODES:
            raise self.refused(f"each short code stands once, and there are at most {MAX_SHORT_CODES}")

    def stands_for(self, dialled: str) -> str | None:
        """The number of a short code."""
        return self._stands_for.get(dialled)

    def refused(self, reason: str) -> InputRefused:
        """What to raise where the rule cannot be used."""
        return InputRefused(f"dialling rule {self.name[:40]}: {reason}")


def rule_from_facts(name: str, facts: Mapping[str, Any]) -> DiallingRule:
    """The rule of a TOML file; InputRefused says what is wrong with it."""
    rule = _from_facts(name, facts)
    _check_emergency_numbers(rule)
    return rule


def _check_emergency_numbers(rule: DiallingRule) -> None:
    """A short code of an emergency number may stand for that number only.

    What was dialled is looked at in such an order that no rule ever leads an emergency number elsewhere, a
    technical prefix that it begins with neither; but who wrote such a short code meant something else, and
    is told. A rule that is kept already is not refused: a later plan may know more emergency numbers, and
    its accounts must go on calling.
    """
    for number in sorted(emergency_numbers(rule.region) | set(rule.emergency_numbers)):
        leads_to = rule.stands_for(number)
        if leads_to not in (None, number):
            raise rule.refused(
                f"{number} is an emergency number, and its short code would lead to {leads_to}; take it out"
            )


def _from_facts(name: str, facts: Mapping[str, Any]) -> DiallingRule:
    if unknown := sorted(facts.keys() - _FACTS.keys()):
        raise InputRefused(f"a dialling rule knows {', '.join(_FACTS)}; not {unknown[0][:40]!r}")
    if "region" not in facts:
        raise InputRefused("a dialling rule needs its region, e.g. DE")
    for key, value in facts.items():
        wanted, words = _FACTS[key]
        members = (
            list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
        )
        if not isinstance(value, wanted) or not all(isinstance(member, str) for member in members):
            raise InputRefused(f"the {key.replace('_', ' ')} of a dialling rule is {words}")
    codes: dict[str, str] = facts.get("short_codes", {})
    return DiallingRule(
        name,
        facts["region"].upper(),
        international_prefixes=tuple(facts.get("international_prefixes", ())),
        national_prefix=facts.get("national_prefix"),
        area_code=facts.get("area_code", ""),
        # What stands for nothing else is kept as it is dialled.
        short_codes=tuple((code, number.removeprefix("+") or code) for code, number in codes.items()),
        technical_prefix=facts.get("technical_prefix", ""),
        emergency_numbers=tuple(facts.get("emergency_numbers", ())),
    )


_TEXT = (str, "a text in quotes")
_LIST = (list, "a list of texts")
_FACTS: dict[str, tuple[type, str]] = {
    "region": _TEXT,
    "international_prefixes": _LIST,
    "national_prefix": _TEXT,
    "area_code": _TEXT,
    "short_codes": (dict, "a table of texts"),
    "technical_prefix": _TEXT,
    "emergency_numbers": _LIST,
}


def rule_from_json(name: str, text: str) -> DiallingRule:
    """The rule of a database row."""
    return _from_facts(name, json.loads(text))


def rule_to_json(rule: DiallingRule) -> str:
    """What rule_from_json() reads: all that differs from the country's own."""
    facts: dict[str, Any] = {"region": rule.region}
    for key in ("international_prefixes", "emergency_numbers"):
        if getattr(rule, key):
            facts[key] = list(getattr(rule, key))
    for key in ("area_code", "technical_prefix"):
        if getattr(rule, key):
            facts[key] = getattr(rule, key)
    if rule.national_prefix is not None:
        facts["national_prefix"] = rule.national_prefix
    if rule.short_codes:
        facts["short_codes"] = dict(rule.short_codes)
    return json.dumps(facts, ensure_ascii=False)


def to_e164(dialled: str, rule: DiallingRule | None = None) -> str | None:
    """The E.164 digits of a dialled number, or a short number that the rule keeps as it is.

    Without a rule a leading "+" or "00" is dropped. None if something else than 1 to 15 digits is left:
    the number cannot be rated.
    """
    if rule is not None:
        return _by_rule(dialled, rule)
    digits = dialled.removeprefix("+") if dialled.startswith("+") else dialled.removeprefix("00")
    return digits if _is_e164(digits) else None


def is_emergency(dialled: str, rule: DiallingRule | None = None) -> bool:
    """Whether exactly an emergency number was dialled: it is connected whatever the account's funds are.

    One digit more, and it is another number: 9110 calls nobody's help.
    """
    if len(dialled) > 40:
        return False
    return _is_emergency(_bare(dialled), rule)


def is_short_number(number: str, rule: DiallingRule) -> bool:
    """Whether what to_e164() made is an emergency number or a short code that was kept, not E.164 digits."""
    return rule.stands_for(number) == number or _is_emergency(number, rule)


def _by_rule(dialled: str, rule: DiallingRule) -> str | None:
    if len(dialled) > 64:
        return None
    number = _bare(_without_trunk_zero(dialled, rule) if "(" in dialled else dialled)
    plus = number.startswith("+")
    # First of all, so that neither a technical prefix nor a short code can lead a call for help elsewhere.
    if not plus and _calls_for_help(number, rule):
        return number if _is_e164(number) else None
    if not plus and rule.technical_prefix:
        number = number.removeprefix(rule.technical_prefix)
        plus = number.startswith("+")
    if plus:
        digits = number[1:]
        return digits if _is_e164(digits) else None
    if _calls_for_help(number, rule):
        return number if _is_e164(number) else None
    stands_for = rule.stands_for(number)
    if stands_for is not None:
        return stands_for
    if not (1 <= len(number) <= 2 * E164_MAX_DIGITS and number.isascii() and number.isdigit()):
        return None
    abroad = _behind_international_prefix(number, rule)
    if abroad is None:
        abroad = _within_country(number, rule)
    return abroad if abroad is not None and _is_e164(abroad) else None


def _without_trunk_zero(written: str, rule: DiallingRule) -> str:
    """+49 (0)30 is how people write +4930: the zero is for callers within the country alone.

    Only where brackets hold exactly what the country dials before its area codes, and stand directly behind
    its code. Italy dials nothing, so that the zero of +39 (0)6 belongs to the number and stays.
    """
    for brackets in _IN_BRACKETS.finditer(written):
        before = _bare(written[: brackets.start()])
        if rule.technical_prefix and not before.startswith("+"):
            before = before.removeprefix(rule.technical_prefix)
        code = before[1:] if before.startswith("+") else _behind_international_prefix(before, rule)
        if code and trunk_prefix(code) == brackets[1]:
            return written[: brackets.start()] + written[brackets.end() :]
    return written


def _behind_international_prefix(number: str, rule: DiallingRule) -> str | None:
    if rule.international_prefixes:
        fitting = [prefix for prefix in rule.international_prefixes if number.startswith(prefix)]
        return number[len(max(fitting, key=len)) :] if fitting else None
    found = region_plan(rule.region).international_prefix.match(number)
    return number[found.end() :] if found is not None else None


def _within_country(number: str, rule: DiallingRule) -> str | None:
    own_prefix = rule.national_prefix
    if own_prefix is None:
        return from_national(number, rule.region, rule.area_code)
    calling_code = region_plan(rule.region).calling_code
    if own_prefix and number.startswith(own_prefix):
        return calling_code + number[len(own_prefix) :]
    return f"{calling_code}{rule.area_code}{number}"


def _is_emergency(number: str, rule: DiallingRule | None) -> bool:
    digits = number.removeprefix("+")
    if rule is None:
        return digits in EMERGENCY_EVERYWHERE
    return _calls_for_help(digits, rule) or _calls_for_help(digits.removeprefix(rule.technical_prefix), rule)


def _calls_for_help(number: str, rule: DiallingRule) -> bool:
    if number in rule.emergency_numbers:
        return True
    return number.isascii() and number.isdigit() and is_emergency_number(number, rule.region)


def _bare(dialled: str) -> str:
    return dialled if dialled.isalnum() else _SEPARATORS.sub("", dialled)


def _is_e164(digits: str) -> bool:
    return 1 <= len(digits) <= E164_MAX_DIGITS and digits.isascii() and digits.isdigit()
