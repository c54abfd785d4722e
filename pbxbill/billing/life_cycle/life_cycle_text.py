"""Life-cycle policies as people write them, in TOML, and as they are kept, in JSON.

    alerts = [7, 1]                   # days before each stage; [] for none
    return = ["no_outgoing", "suspended", "inactive"]   # from which a top-up brings back
    forfeit = "inactive"              # at which what is left in wallets is forfeited; else it stays
    stop = "suspended"                # what an account comes to on its stop date
    modes = ["prepaid"]               # of the accounts that it is for, where it is the standard one
    brake = "10"                      # percent of the accounts that may come to a worse stage in a run
    brake_accounts = 3                # so many always may

    [validity]
    days = 30                         # whole days after that of a top-up
    minimum = { EUR = "5.00" }        # a smaller one prolongs nothing
    extends = "today"                 # or "end": its days are added to those that are left

    [inactivity]
    days = 180                        # without a call and without money

    [stages]                          # days after the account's time was over
    no_outgoing = 0
    suspended = 14
    inactive = 60
    terminated = 180

[stages], and one of [validity] and [inactivity], must be there. Any stage may be left out.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from pbxbill.billing.dunning.dunning_text import PERCENT
from pbxbill.billing.life_cycle.life_cycle_policy import (
    MODES,
    WHOLE_PPM,
    Extends,
    LifeCyclePolicy,
    Stage,
    checked_policy,
)
from pbxbill.billing.terms_table import TermsTable
from pbxbill.charging.status import AccountStatus
from pbxbill.errors import InputRefused, TermRefused
from pbxbill.money import Unit
from pbxbill.written_toml import TOMLDecodeError, read_toml

STAGES = tuple(status for status in AccountStatus if status is not AccountStatus.ACTIVE)
_KEYS = (
    *("alerts", "return", "forfeit", "stop", "modes", "brake", "brake_accounts"),
    *("validity", "inactivity", "stages"),
)
_DEFAULT = LifeCyclePolicy(())


def policy_from_toml(text: str, units: Mapping[str, Unit]) -> LifeCyclePolicy:
    """The policy that a person wrote; InputRefused names the key that is wrong, and what it may be."""
    try:
        facts = read_toml(text, parse_float=str)
    except TOMLDecodeError as error:
        raise InputRefused(f"the policy is not TOML: {error}") from None
    return policy_from_facts(facts, units)


def policy_from_facts(facts: dict[str, Any], units: Mapping[str, Unit]) -> LifeCyclePolicy:
    """The same of what was read from elsewhere, a form: the keys and values of the TOML."""
    policy = TermsTable(facts, "", _KEYS)
    stages = TermsTable(policy.needed("stages", "{ no_outgoing = 0 }"), "stages: ", STAGES, ("stages",))
    validity = TermsTable(
        facts.get("validity", {}), "validity: ", ("days", "minimum", "extends"), ("validity",)
    )
    inactivity = TermsTable(facts.get("inactivity", {}), "inactivity: ", ("days",), ("inactivity",))
    minimum = TermsTable(
        validity.facts.get("minimum", {}),
        "validity: minimum: ",
        tuple(sorted(units)),
        ("validity", "minimum"),
    )
    for table in (validity, inactivity):
        if table.facts:
            table.needed("days", "30")
    if not stages.facts:
        raise TermRefused(f"stages: name at least one of {', '.join(STAGES)}", "stages", STAGES[0])
    alerts = policy.listed("alerts") if "alerts" in policy else list(_DEFAULT.alert_days)
    if not all(isinstance(days, int) and not isinstance(days, bool) for days in alerts):
        raise policy.refused("alerts", "a list of days like [7, 1]")
    modes = policy.listed("modes") if "modes" in policy else list(_DEFAULT.modes)
    if not all(mode in MODES for mode in modes):
        raise policy.refused("modes", "a list of " + ", ".join(MODES))
    brake = policy.amount("brake", PERCENT, _DEFAULT.brake_ppm)
    if brake > WHOLE_PPM:
        raise policy.refused("brake", "a percentage from 0 to 100")
    return checked_policy(
        LifeCyclePolicy(
            stages=tuple(Stage(x, stages.whole(x, 0)) for x in STAGES if x in stages),
            validity_days=validity.whole("days", 0) if "days" in validity else None,
            minimum={code: minimum.amount(code, units[code]) for code in minimum.facts},
            extends=validity.choice("extends", Extends.TODAY),
            inactivity_days=inactivity.whole("days", 0) if "days" in inactivity else None,
            alert_days=tuple(sorted(set(alerts), reverse=True)),
            returns=_returns(policy),
            forfeit=_status(policy, "forfeit") if "forfeit" in policy else None,
            stop=_status(policy, "stop") if "stop" in policy else _DEFAULT.stop,
            modes=tuple(modes),
            brake_ppm=brake,
            brake_accounts=policy.whole("brake_accounts", _DEFAULT.brake_accounts),
        )
    )


def _returns(policy: TermsTable) -> tuple[AccountStatus, ...]:
    if "return" not in policy:
        return _DEFAULT.returns
    names = policy.listed("return")
    if not all(name in STAGES for name in names):
        raise policy.refused("return", "a list of " + ", ".join(STAGES))
    return tuple(status for status in STAGES if status in names)


def _status(policy: TermsTable, key: str) -> AccountStatus:
    if policy.facts[key] not in STAGES:
        raise policy.refused(key, "one of " + ", ".join(STAGES))
    return AccountStatus(policy.facts[key])


def policy_to_json(policy: LifeCyclePolicy) -> str:
    """The text that a policy is kept as."""
    return json.dumps(asdict(policy), separators=(",", ":"), ensure_ascii=False)


@lru_cache(maxsize=256)
def policy_from_json(text: str) -> LifeCyclePolicy:
    """The policy of a kept text; it was checked when it was made."""
    try:
        facts = json.loads(text)
        stages = tuple(Stage(AccountStatus(x["status"]), x["days"]) for x in facts.pop("stages"))
        returns = tuple(AccountStatus(x) for x in facts.pop("returns"))
        forfeit = facts.pop("forfeit")
        return LifeCyclePolicy(
            stages=stages,
            extends=Extends(facts.pop("extends")),
            alert_days=tuple(facts.pop("alert_days")),
            returns=returns,
            forfeit=None if forfeit is None else AccountStatus(forfeit),
            stop=AccountStatus(facts.pop("stop")),
            modes=tuple(facts.pop("modes")),
            **facts,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputRefused(f"this is no kept policy: {error}") from None
