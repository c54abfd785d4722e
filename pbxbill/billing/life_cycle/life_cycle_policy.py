"""What an account goes through that is not filled, or not used: stages, their days, and alerts before them.

A policy is plain facts; life_cycle_text.py reads it from TOML and keeps it as JSON, life_cycle.py acts by it.
The first stage comes so many days after the account's time was over: that of its validity, or of its last
sign of life and the days that it may be silent. Later ones come at their distance from the stage before,
counted from the day on which that was really reached. And no stage comes before an alert of it has been out
for as long as the shortest distance of an alert: whoever was not warned since nothing ran is warned first.
So nobody goes through several stages at once because a daemon, or a clock, was wrong for weeks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum

from pbxbill.billing.period import day_start_us, local_date
from pbxbill.charging.status import WORSE, AccountStatus
from pbxbill.clock import SECOND_US
from pbxbill.errors import TermRefused

MAX_DAYS, MAX_ALERTS = 3_650, 10
WHOLE_PPM = 1_000_000
ALERT_US = 8 * 3_600 * SECOND_US
"""How far into the day alerts are given."""
MODES = ("prepaid", "postpaid", "hybrid")


class Extends(StrEnum):
    """From when a top-up's days count."""

    TODAY = "today"
    END = "end"
    """From the end of what is valid already."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A status that an account comes to."""

    status: AccountStatus
    days: int
    """After its time was over."""


@dataclass(frozen=True, slots=True)
class LifeCyclePolicy:
    """One version of a policy."""

    stages: tuple[Stage, ...]
    """Each worse than the one before."""
    validity_days: int | None = None
    """For how many whole days after its own a top-up makes the account valid; None: for ever."""
    minimum: Mapping[str, int] = field(default_factory=dict)
    """By unit: a smaller top-up prolongs nothing."""
    extends: Extends = Extends.TODAY
    inactivity_days: int | None = None
    """Without a call, and without money, its time is over after so many days; None: it may be silent."""
    alert_days: tuple[int, ...] = (7, 1)
    """So many days before each stage, the longest first."""
    returns: tuple[AccountStatus, ...] = (
        AccountStatus.NO_OUTGOING,
        AccountStatus.SUSPENDED,
        AccountStatus.INACTIVE,
    )
    """Stages from which a top-up that prolongs brings the account back; from others an operator does."""
    forfeit: AccountStatus | None = None
    """At this stage what is left in its wallets is forfeited; None: it stays."""
    stop: AccountStatus = AccountStatus.SUSPENDED
    """What an account comes to on its stop date."""
    modes: tuple[str, ...] = ("prepaid",)
    """Accounts that the policy is for, where it is the issuer's standard one."""
    brake_ppm: int = 100_000
    """Of the accounts that it is for, so many may come to a worse stage in one run."""
    brake_accounts: int = 3
    """So many always may, however few accounts there are."""

    def brake(self, accounts: int) -> int:
        """How many of so many accounts may come to a worse stage in one run."""
        return max(self.brake_accounts, accounts * self.brake_ppm // WHOLE_PPM)

    def next_stage(self, stage: AccountStatus) -> Stage | None:
        """The one that comes after a status."""
        return next((x for x in self.stages if WORSE[x.status] > WORSE[stage]), None)

    def gap_days(self, stage: Stage) -> int:
        """Days between the stage before and this one."""
        place = self.stages.index(stage)
        return stage.days - self.stages[place - 1].days if place else stage.days

    def prolongs(self, unit: str, amount: int) -> bool:
        """Whether a top-up is large enough."""
        return amount > 0 and amount >= self.minimum.get(unit, 0)


@dataclass(frozen=True, slots=True)
class Standing:
    """An account as its life-cycle looks at it."""

    stage: AccountStatus
    since_us: int
    """It is at this stage; while it is active also: the last top-up that counted."""
    valid_to_us: int | None
    called_us: int | None
    """Its last call."""
    alerted_us: int | None
    """The moment that the last alert told."""
    planned_us: int | None
    """When this was to be looked at: alerts before it were given."""


@dataclass(frozen=True, slots=True)
class Alert:
    """The account is to be told of a stage that comes."""

    status: AccountStatus
    at_us: int
    days: int


@dataclass(frozen=True, slots=True)
class Reach:
    """A stage is to be entered now."""

    status: AccountStatus


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is to be done until a moment; None: until something changes."""

    until_us: int | None


Step = Alert | Reach | Wait


def valid_to(policy: LifeCyclePolicy, days: int, now_us: int, valid_to_us: int | None, zone: str) -> int:
    """To when an account is valid that got so many days more; never earlier than it was."""
    day = local_date(now_us, zone) + timedelta(days=1)
    if policy.extends is Extends.END and valid_to_us is not None:
        day = max(day, local_date(valid_to_us, zone))
    return max(day_start_us(day + timedelta(days=days), zone), valid_to_us or 0)


def over_us(policy: LifeCyclePolicy, account: Standing, zone: str) -> int | None:
    """When an active account's time is over; None: never."""
    moments = [] if account.valid_to_us is None else [account.valid_to_us]
    if policy.inactivity_days is not None:
        alive = local_date(max(account.since_us, account.called_us or 0), zone)
        moments.append(day_start_us(alive + timedelta(days=policy.inactivity_days + 1), zone))
    return min(moments, default=None)


def stage_day(policy: LifeCyclePolicy, account: Standing, stage: Stage, zone: str) -> date | None:
    """The day of an account's next stage."""
    if account.stage is not AccountStatus.ACTIVE:
        return local_date(account.since_us, zone) + timedelta(days=policy.gap_days(stage))
    ends_us = over_us(policy, account, zone)
    return None if ends_us is None else local_date(ends_us, zone) + timedelta(days=stage.days)


def decide(policy: LifeCyclePolicy, account: Standing, zone: str, now_us: int) -> Step:
    """What is to be done about an account now."""
    stage = policy.next_stage(account.stage)
    day = None if stage is None else stage_day(policy, account, stage, zone)
    if stage is None or day is None:
        return Wait(None)
    nominal_us = day_start_us(day, zone)
    if not policy.alert_days:
        return Reach(stage.status) if now_us >= nominal_us else Wait(nominal_us)
    today = local_date(now_us, zone)
    told_us = _told(policy, account, day, today, zone)
    if told_us is None:
        first_us = _alerts_us(policy, day, zone)[0]
        if now_us < first_us:
            return Wait(first_us)
        day = max(day, today + timedelta(days=policy.alert_days[-1]))
        return Alert(stage.status, day_start_us(day, zone), (day - today).days)
    if now_us >= told_us:
        return Reach(stage.status)
    day = local_date(told_us, zone)
    alerts = _alerts_us(policy, day, zone)
    planned_us = now_us if account.planned_us is None else account.planned_us
    if any(planned_us <= at_us <= now_us for at_us in alerts[1:]):
        return Alert(stage.status, told_us, (day - today).days)
    return Wait(min(at_us for at_us in (*alerts, told_us) if at_us > now_us))


def after_alert(policy: LifeCyclePolicy, alert: Alert, zone: str, now_us: int) -> int:
    """When an account is to be looked at that was alerted now."""
    alerts = _alerts_us(policy, local_date(alert.at_us, zone), zone)
    return min(at_us for at_us in (*alerts, max(alert.at_us, now_us + 1)) if at_us > now_us)


def _alerts_us(policy: LifeCyclePolicy, day: date, zone: str) -> list[int]:
    """When alerts of a day are due, the earliest first: nobody wants one at midnight."""
    return [day_start_us(day - timedelta(days=days), zone) + ALERT_US for days in policy.alert_days]


def _told(policy: LifeCyclePolicy, account: Standing, day: date, today: date, zone: str) -> int | None:
    """The moment of the stage as the account was told it; None: it was not told of this one.

    A moment much later than it could be today was told while a clock was wrong.
    """
    told_us = account.alerted_us
    if told_us is None or told_us < day_start_us(day, zone):
        return None
    latest = max(day, today + timedelta(days=policy.alert_days[0] + 1))
    return told_us if told_us <= day_start_us(latest, zone) else None


def decide_stop(
    policy: LifeCyclePolicy, stop_on: date, planned_us: int | None, zone: str, now_us: int
) -> Step:
    """The same for the day on which an account's service ends: it was agreed, and waits for no alert."""
    stops_us = day_start_us(stop_on, zone)
    if now_us >= stops_us:
        return Reach(policy.stop)
    alerts = _alerts_us(policy, stop_on, zone)
    from_us = now_us if planned_us is None else planned_us
    if any(from_us <= at_us <= now_us for at_us in alerts):
        return Alert(policy.stop, stops_us, (stop_on - local_date(now_us, zone)).days)
    return Wait(min(at_us for at_us in (*alerts, stops_us) if at_us > now_us))


def checked_policy(policy: LifeCyclePolicy) -> LifeCyclePolicy:
    """The policy if it can be acted by; InputRefused says what to change."""
    if policy.validity_days is None and policy.inactivity_days is None and policy.stages:
        raise TermRefused(
            "say in [validity] or [inactivity] after how many days the stages begin", "validity", "days"
        )
    for name, days in (("validity", policy.validity_days), ("inactivity", policy.inactivity_days)):
        if days is not None and not 1 <= days <= MAX_DAYS:
            raise TermRefused(f"{name}: days is 1 to {MAX_DAYS}, not {days}", name, "days")
    before: Stage | None = None
    for stage in policy.stages:
        if not 0 <= stage.days <= MAX_DAYS:
            raise TermRefused(
                f"stages: {stage.status} comes after 0 to {MAX_DAYS} days, not {stage.days}",
                *("stages", stage.status),
            )
        if before is not None and stage.days <= before.days:
            raise TermRefused(
                f"stages: {stage.status} comes later than {before.status}, which comes after "
                f"{before.days} days",
                *("stages", stage.status),
            )
        before = stage
    if len(policy.alert_days) > MAX_ALERTS or not all(1 <= x <= MAX_DAYS for x in policy.alert_days):
        raise TermRefused(
            f"alerts: up to {MAX_ALERTS} of them, each 1 to {MAX_DAYS} days before a stage", "alerts"
        )
    statuses = {stage.status for stage in policy.stages}
    if policy.forfeit is not None and policy.forfeit not in statuses:
        raise TermRefused(f"forfeit: {policy.forfeit} is none of the policy's stages", "forfeit")
    if not policy.modes:
        raise TermRefused(f"modes: name at least one of {', '.join(MODES)}", "modes")
    if not 0 <= policy.brake_ppm <= WHOLE_PPM or policy.brake_accounts < 0:
        raise TermRefused("brake is a percentage from 0 to 100, brake_accounts 0 or more", "brake")
    return policy
