"""Life-cycle policies as people would write them: life_cycle_text.py reads this again."""

from collections.abc import Mapping

from pbxbill.billing.life_cycle.life_cycle_policy import LifeCyclePolicy
from pbxbill.billing.written_terms import written_amounts, written_line, written_percent
from pbxbill.money import Unit

FIRST_POLICY = """alerts = [7, 1]
modes = ["prepaid"]
brake = "10"
brake_accounts = 3

[validity]
days = 30

[stages]
no_outgoing = 0
suspended = 14
inactive = 60
"""
"""To begin one's own from."""


def policy_to_toml(policy: LifeCyclePolicy, units: Mapping[str, Unit]) -> str:
    """A policy, as it could have been written."""
    lines = [
        written_line("alerts", policy.alert_days),
        written_line("return", [x.value for x in policy.returns]),
        *([written_line("forfeit", policy.forfeit.value)] if policy.forfeit is not None else []),
        written_line("stop", policy.stop.value),
        written_line("modes", policy.modes),
        written_line("brake", written_percent(policy.brake_ppm)),
        written_line("brake_accounts", policy.brake_accounts),
    ]
    if policy.validity_days is not None:
        lines += ["", "[validity]", written_line("days", policy.validity_days)]
        lines += [written_amounts("minimum", policy.minimum, units)] if policy.minimum else []
        lines += [written_line("extends", policy.extends.value)]
    if policy.inactivity_days is not None:
        lines += ["", "[inactivity]", written_line("days", policy.inactivity_days)]
    lines += ["", "[stages]", *(written_line(x.status.value, x.days) for x in policy.stages)]
    return "\n".join(lines) + "\n"
