"""Dunning policies and penalty classes as people would write them: dunning_text.py reads this again."""

from collections.abc import Mapping

from pbxbill.billing.dunning.dunning_policy import After, DunningPolicy, Level, LevelNotice
from pbxbill.billing.dunning.dunning_text import WEEKDAYS
from pbxbill.billing.dunning.penalties import PenaltyTerms
from pbxbill.billing.written_terms import written_amounts, written_line, written_percent, written_table
from pbxbill.money import Unit, format_amount

FIRST_POLICY = """hour = 8
quiet_weekdays = ["saturday", "sunday"]
promise_days = 14
brake = "10"
brake_accounts = 3

[[level]]
days = 3
action = "remind"
notice = "overdue"

[[level]]
days = 7
after = "level"
action = "remind"

[[level]]
days = 14
after = "level"
action = "bar_outgoing"
"""
"""To begin one's own from."""

FIRST_PENALTY = """unit = "{unit}"
fixed = "5.00"
period = "once"
grace_days = 5
"""


def policy_to_toml(policy: DunningPolicy, units: Mapping[str, Unit]) -> str:
    """A policy, as it could have been written."""
    days = [f"{month:02}-{day:02}" for month, day in policy.quiet_yearly]
    lines = [
        *([written_amounts("minimum", policy.minimum, units)] if policy.minimum else []),
        written_line("hour", policy.hour),
        written_line("quiet_weekdays", [WEEKDAYS[x] for x in policy.quiet_weekdays]),
        written_line("quiet_holidays", policy.quiet_holidays),
        written_line("quiet_days", [*days, *policy.quiet_dates]),
        *([written_line("penalty", policy.penalty)] if policy.penalty else []),
        written_line("promise_days", policy.promise_days),
        written_line("brake", written_percent(policy.brake_ppm)),
        written_line("brake_accounts", policy.brake_accounts),
    ]
    for level in policy.levels:
        lines += ["", "[[level]]", *_level(level)]
    return "\n".join(lines) + "\n"


def _level(level: Level) -> list[str]:
    return [
        written_line("days", level.days),
        *([written_line("after", level.after.value)] if level.after is not After.DUE else []),
        written_line("action", level.action.value),
        *([written_line("notice", level.notice.value)] if level.notice is not LevelNotice.DUNNING else []),
        *([written_line("penalty", level.penalty)] if level.penalty else []),
        *([written_table("words", level.words)] if level.words else []),
    ]


def penalty_to_toml(terms: PenaltyTerms, unit: Unit) -> str:
    """A penalty class, as it could have been written."""
    lines = [
        written_line("unit", terms.unit),
        *([written_line("fixed", format_amount(terms.fixed, unit))] if terms.fixed else []),
        *([written_line("percent", written_percent(terms.percent_ppm))] if terms.percent_ppm else []),
        written_line("period", terms.every.value),
        *([written_line("minimum", format_amount(terms.minimum, unit))] if terms.minimum else []),
        *([written_line("cap", format_amount(terms.cap, unit))] if terms.cap is not None else []),
        written_line("grace_days", terms.grace_days),
        written_line("per", terms.per.value),
        written_line("product_class", terms.product_class),
    ]
    return "\n".join(lines) + "\n"
