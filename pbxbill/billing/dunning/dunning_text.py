"""Dunning policies as people write them, in TOML, and as they are kept, in JSON.

    minimum = { EUR = "5.00" }        # of which less is overdue, an invoice is left alone
    hour = 8                          # nothing is done before this hour of the account's day
    quiet_weekdays = ["saturday", "sunday"]
    quiet_holidays = true             # public holidays of the issuer's country
    quiet_days = ["12-24", 2026-05-15]
    penalty = "interest"              # penalty class that every overdue invoice is charged by
    promise_days = 14                 # how far ahead an account may promise to pay
    brake = "10"                      # percent of the accounts that may lose service within a day
    brake_accounts = 3                # so many always may

    [[level]]
    days = 3                          # after the due day; after = "level": after the level before
    action = "remind"                 # fee, bar_outgoing, suspend, terminate or collection
    notice = "overdue"                # or "dunning", "none"
    words = { en = "Perhaps you have overlooked our invoice {number} over {open}." }

    [[level]]
    days = 7
    after = "level"
    action = "fee"
    penalty = "reminder"              # penalty class of the fee

Only one [[level]] must be there. What is left out is as above, but for minimum, quiet days and penalties:
there are none then.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from pbxbill.billing.dunning.dunning_policy import (
    WHOLE_PPM,
    Action,
    After,
    DunningPolicy,
    Level,
    LevelNotice,
    checked_policy,
)
from pbxbill.billing.terms_table import TermsTable
from pbxbill.errors import InputRefused, TermRefused
from pbxbill.money import Unit
from pbxbill.written_toml import TOMLDecodeError, read_toml

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
PLACEHOLDERS = ("number", "open", "due_on", "days", "fee", "level", "name", "code")
"""What the words of a level may hold in braces."""
PERCENT = Unit("percent", scale=4)
_POLICY_KEYS = (
    *("minimum", "hour", "quiet_weekdays", "quiet_holidays", "quiet_days", "penalty", "promise_days"),
    *("brake", "brake_accounts", "level"),
)
_LEVEL_KEYS = ("days", "after", "action", "notice", "penalty", "words")
_LANGUAGE = re.compile(r"[a-z]{2}(-[A-Z]{2})?")
_YEARLY = re.compile(r"(\d\d)-(\d\d)")
_BRACES = re.compile(r"\{([^{}]*)\}")


def policy_from_toml(text: str, units: Mapping[str, Unit]) -> DunningPolicy:
    """The policy that a person wrote; InputRefused names the key that is wrong, and what it may be."""
    try:
        # A binary fraction would not be what was written: numbers with a point stay text.
        facts = read_toml(text, parse_float=str)
    except TOMLDecodeError as error:
        raise InputRefused(f"the policy is not TOML: {error}") from None
    return policy_from_facts(facts, units)


def policy_from_facts(facts: dict[str, Any], units: Mapping[str, Unit]) -> DunningPolicy:
    """The same of what was read from elsewhere, a form: the keys and values of the TOML."""
    policy = TermsTable(facts, "", _POLICY_KEYS)
    levels = policy.facts.get("level", [])
    if not isinstance(levels, list):
        raise InputRefused("level: each level of the policy begins with [[level]]")
    dates, yearly = _quiet_days(policy)
    brake = policy.amount("brake", PERCENT, 100_000)
    if brake > WHOLE_PPM:
        raise policy.refused("brake", "a percentage from 0 to 100")
    return checked_policy(
        DunningPolicy(
            levels=tuple(_level(facts, number) for number, facts in enumerate(levels, 1)),
            minimum=_minimum(policy, units),
            hour=policy.whole("hour", 8),
            quiet_weekdays=_weekdays(policy),
            quiet_holidays=policy.flag("quiet_holidays"),
            quiet_dates=dates,
            quiet_yearly=yearly,
            penalty=policy.text("penalty") if "penalty" in policy else "",
            promise_days=policy.whole("promise_days", 14),
            brake_ppm=brake,
            brake_accounts=policy.whole("brake_accounts", 3),
        )
    )


def _minimum(policy: TermsTable, units: Mapping[str, Unit]) -> dict[str, int]:
    if "minimum" not in policy:
        return {}
    found = TermsTable(policy.facts["minimum"], "minimum: ", tuple(sorted(units)), ("minimum",))
    return {code: found.amount(code, units[code]) for code in found.facts}


def _weekdays(policy: TermsTable) -> tuple[int, ...]:
    names = policy.listed("quiet_weekdays")
    if not all(name in WEEKDAYS for name in names):
        raise policy.refused("quiet_weekdays", "a list of " + ", ".join(WEEKDAYS))
    return tuple(sorted({WEEKDAYS.index(name) for name in names}))


def _quiet_days(policy: TermsTable) -> tuple[tuple[date, ...], tuple[tuple[int, int], ...]]:
    dates: set[date] = set()
    yearly: set[tuple[int, int]] = set()
    for day in policy.listed("quiet_days"):
        if isinstance(day, date) and not isinstance(day, datetime):
            dates.add(day)
            continue
        found = _YEARLY.fullmatch(day) if isinstance(day, str) else None
        try:
            # In a leap year the 29th of February is a day, too.
            known = None if found is None else date(2024, int(found[1]), int(found[2]))
        except ValueError:
            known = None
        if known is None:
            raise policy.refused("quiet_days", 'a list of days like "12-24" or 2026-12-24')
        yearly.add((known.month, known.day))
    return tuple(sorted(dates)), tuple(sorted(yearly))


def _level(facts: Any, number: int) -> Level:
    level = TermsTable(facts, f"level {number}: ", _LEVEL_KEYS, ("level", number))
    level.needed("days", "7")
    words = level.facts.get("words", {})
    if not isinstance(words, dict) or not all(isinstance(x, str) for x in words.values()):
        raise level.refused("words", 'texts by language, like { en = "..." }')
    for language, text in words.items():
        if not _LANGUAGE.fullmatch(language):
            raise TermRefused(
                f"level {number}: words: {language[:20]!r} is no language like en or pt-BR",
                *("level", number, "words"),
            )
        for name in _BRACES.findall(text):
            if name not in PLACEHOLDERS:
                raise TermRefused(
                    f"level {number}: words.{language}: there is no {{{name[:40]}}}; "
                    f"there is {', '.join(PLACEHOLDERS)}",
                    *("level", number, "words"),
                )
    return Level(
        days=level.whole("days", 0),
        action=level.choice("action", Action.REMIND),
        after=level.choice("after", After.DUE),
        notice=level.choice("notice", LevelNotice.DUNNING),
        penalty=level.text("penalty") if "penalty" in level else "",
        words=dict(words),
    )


def said_in(level: Level, language: str, facts: Mapping[str, str | int]) -> str:
    """The level's own words for somebody who reads a language, filled in; empty: it has none."""
    words = level.words
    text = words.get(language) or words.get(language[:2]) or words.get("en") or next(iter(words.values()), "")
    return _BRACES.sub(lambda found: str(facts.get(found[1], "")), text)


def policy_to_json(policy: DunningPolicy) -> str:
    """The text that a policy is kept as."""
    facts = asdict(policy)
    facts["quiet_dates"] = [day.isoformat() for day in policy.quiet_dates]
    return json.dumps(facts, separators=(",", ":"), ensure_ascii=False)


@lru_cache(maxsize=256)
def policy_from_json(text: str) -> DunningPolicy:
    """The policy of a kept text; it was checked when it was made."""
    try:
        facts = json.loads(text)
        levels = tuple(
            Level(
                **{
                    **level,
                    "action": Action(level["action"]),
                    "after": After(level["after"]),
                    "notice": LevelNotice(level["notice"]),
                }
            )
            for level in facts.pop("levels")
        )
        dates = tuple(date.fromisoformat(day) for day in facts.pop("quiet_dates"))
        yearly = tuple((month, day) for month, day in facts.pop("quiet_yearly"))
        weekdays = tuple(facts.pop("quiet_weekdays"))
        return DunningPolicy(
            levels=levels, quiet_dates=dates, quiet_yearly=yearly, quiet_weekdays=weekdays, **facts
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputRefused(f"this is no kept policy: {error}") from None
