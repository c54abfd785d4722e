"""What an issuer does about invoices that are not paid in time: levels, on which days, and how far at once.

A policy is plain facts; dunning_text.py reads it from TOML and keeps it as JSON, dunning.py acts by it. A
level is due so many days after the invoice was, or after the level before. It is never reached earlier than
its distance from the level before has passed since that one was really done: who was not dunned for weeks,
since nothing ran, is not dunned through all levels at once afterwards.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from pbxbill.billing.period import day_start_us, local_date
from pbxbill.charging.status import AccountStatus
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused, TermRefused, check
from pbxbill.rating.band_checks import zone_of

MAX_LEVELS, MAX_DAYS = 20, 730
MAX_QUIET_DAYS = 366
MAX_WORDS = 2_000
WHOLE_PPM = 1_000_000
_MOST_QUIET_IN_A_ROW = 366


class Action(StrEnum):
    """What is done when a level is reached. Whatever it is, the account is told of it."""

    REMIND = "remind"
    FEE = "fee"
    BAR_OUTGOING = "bar_outgoing"
    SUSPEND = "suspend"
    TERMINATE = "terminate"
    COLLECTION = "collection"
    """The invoice goes onto the list for a collection agency."""


SEVERE = {
    Action.BAR_OUTGOING: AccountStatus.NO_OUTGOING,
    Action.SUSPEND: AccountStatus.SUSPENDED,
    Action.TERMINATE: AccountStatus.TERMINATED,
}
"""What takes service away, and the status that the account has by it: the brake counts these."""


class After(StrEnum):
    """From when a level's days are counted."""

    DUE = "due"
    LEVEL = "level"
    """From the day on which the level before was done."""


class LevelNotice(StrEnum):
    """How the account is told of a level."""

    DUNNING = "dunning"
    OVERDUE = "overdue"
    """A friendlier one, which speaks of no level."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Level:
    """One step of a policy."""

    days: int
    action: Action = Action.REMIND
    after: After = After.DUE
    notice: LevelNotice = LevelNotice.DUNNING
    penalty: str = ""
    """Name of the penalty class that a fee is reckoned by."""
    words: Mapping[str, str] = field(default_factory=dict)
    """The level's own words by language, put into the notice as its message."""


@dataclass(frozen=True, slots=True)
class DunningPolicy:
    """One version of a policy."""

    levels: tuple[Level, ...]
    minimum: Mapping[str, int] = field(default_factory=dict)
    """By unit: an invoice of which less is overdue is left alone."""
    hour: int = 8
    """Nothing is done before this hour of the account's day."""
    quiet_weekdays: tuple[int, ...] = ()
    """Monday is 0."""
    quiet_holidays: bool = False
    """Public ones of the issuer's country."""
    quiet_dates: tuple[date, ...] = ()
    quiet_yearly: tuple[tuple[int, int], ...] = ()
    """(month, day) of each year."""
    penalty: str = ""
    """Name of the penalty class that all overdue invoices are charged by; empty: none."""
    promise_days: int = 14
    """How far ahead an account may promise to pay."""
    brake_ppm: int = 100_000
    """Of the accounts that the policy is for, so many may lose service by dunning within a day."""
    brake_accounts: int = 3
    """So many always may, however few accounts there are."""

    def days_after_due(self, number: int) -> int:
        """The day of a level, counted from 1, if every level is done on its day."""
        level = self.levels[number - 1]
        if number > 1 and level.after is After.LEVEL:
            return self.days_after_due(number - 1) + level.days
        return level.days

    def gap_days(self, number: int) -> int:
        """Days between a level and the one before it, which is the due day for the first."""
        before = self.days_after_due(number - 1) if number > 1 else 0
        return self.days_after_due(number) - before

    def brake(self, accounts: int) -> int:
        """How many of so many accounts may lose service within a day."""
        return max(self.brake_accounts, accounts * self.brake_ppm // WHOLE_PPM)

    def least(self, unit: str) -> int:
        """What must be overdue of an invoice."""
        return max(1, self.minimum.get(unit, 0))


@dataclass(frozen=True, slots=True)
class WorkingDays:
    """The days of an account on which a policy acts."""

    policy: DunningPolicy
    zone: str
    holidays: Collection[date] = frozenset()

    def is_quiet(self, day: date) -> bool:
        """Whether nothing is done on a local day."""
        policy = self.policy
        return (
            day.weekday() in policy.quiet_weekdays
            or day in policy.quiet_dates
            or (day.month, day.day) in policy.quiet_yearly
            or (policy.quiet_holidays and day in self.holidays)
        )

    def begin_us(self, day: date) -> int:
        """When a policy begins to act on a day, or on the next one that is not quiet."""
        for _ in range(_MOST_QUIET_IN_A_ROW):
            if not self.is_quiet(day):
                break
            day += timedelta(days=1)
        else:
            raise InputRefused("the policy has no day in a year that is not quiet")
        # By the clock on the wall, also on days on which it is changed.
        at = datetime.combine(day, time(self.policy.hour), zone_of(self.zone))
        return max(day_start_us(day, self.zone), int(at.timestamp()) * SECOND_US)

    def open_us(self, at_us: int) -> int:
        """The moment itself if the policy acts then, or the next one at which it does."""
        return max(at_us, self.begin_us(local_date(at_us, self.zone)))

    def level_us(self, number: int, due_us: int, former_us: int | None) -> int | None:
        """When a level is due; former_us: when the one before it was done. None: there is no such level."""
        if number > len(self.policy.levels):
            return None
        day = local_date(due_us, self.zone) + timedelta(days=self.policy.days_after_due(number))
        if former_us is not None:
            since = local_date(former_us, self.zone) + timedelta(days=self.policy.gap_days(number))
            day = since if self.policy.levels[number - 1].after is After.LEVEL else max(day, since)
        return self.begin_us(day)


@dataclass(frozen=True, slots=True)
class Standing:
    """An invoice as dunning looks at it."""

    unit: str
    overdue: int
    """What is open and not disputed."""
    due_us: int
    level: int
    """The last one that was reached."""
    former_us: int | None
    """When that was."""
    promised_to_us: int | None = None
    closed: bool = False
    """The account was closed, and not by dunning."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A level is to be done now."""

    number: int


@dataclass(frozen=True, slots=True)
class Waits:
    """Until a moment there is nothing to do; None: until something changes."""

    until_us: int | None
    why: str


def asks(policy: DunningPolicy, invoice: Standing) -> bool:
    """Whether the policy wants the account's money now; if not, nothing may be barred for the invoice."""
    return (
        invoice.overdue >= policy.least(invoice.unit)
        and invoice.promised_to_us is None
        and not invoice.closed
    )


def decide(days: WorkingDays, invoice: Standing, now_us: int) -> Reached | Waits:
    """What dunning does about an invoice now."""
    if invoice.closed:
        return Waits(None, "the account is closed")
    if invoice.overdue < days.policy.least(invoice.unit):
        return Waits(None, "nothing is overdue that is worth dunning")
    if invoice.promised_to_us is not None:
        return Waits(invoice.promised_to_us, "payment is promised")
    number = invoice.level + 1
    due_us = days.level_us(number, invoice.due_us, invoice.former_us)
    if due_us is None:
        return Waits(None, "all levels are done")
    open_us = max(due_us, days.open_us(now_us))
    return Reached(number) if open_us <= now_us else Waits(open_us, f"level {number} comes then")


def checked_policy(policy: DunningPolicy) -> DunningPolicy:
    """The policy if it can be acted by; InputRefused says what to change."""
    if not 0 < len(policy.levels) <= MAX_LEVELS:
        raise TermRefused(
            f"level: a policy has 1 to {MAX_LEVELS} of them; each begins with [[level]]", "level"
        )
    for number, level in enumerate(policy.levels, 1):
        _check_level(policy, number, level)
    if not 0 <= policy.hour <= 22:
        raise TermRefused(f"hour is 0 to 22, not {policy.hour}", "hour")
    if len(set(policy.quiet_weekdays)) == 7:
        raise TermRefused(
            "quiet_weekdays: all of them are quiet, and nothing would ever be done", "quiet_weekdays"
        )
    if len(policy.quiet_dates) + len(policy.quiet_yearly) > MAX_QUIET_DAYS // 2:
        raise TermRefused(f"quiet_days: up to {MAX_QUIET_DAYS // 2} of them", "quiet_days")
    if not 0 <= policy.promise_days <= MAX_DAYS:
        raise TermRefused(f"promise_days is 0 to {MAX_DAYS}, not {policy.promise_days}", "promise_days")
    if not 0 <= policy.brake_ppm <= WHOLE_PPM:
        raise TermRefused("brake is a percentage from 0 to 100", "brake")
    if policy.brake_accounts < 0:
        raise TermRefused("brake_accounts is 0 or more", "brake_accounts")
    return policy


def _check_level(policy: DunningPolicy, number: int, level: Level) -> None:
    where, place = f"level {number}: ", ("level", number)
    if not 0 <= level.days <= MAX_DAYS:
        raise TermRefused(f"{where}days is 0 to {MAX_DAYS}, not {level.days}", *place, "days")
    # Two levels on one day would be one level.
    if policy.gap_days(number) < 1:
        before = "the due day" if number == 1 else f"level {number - 1}"
        raise TermRefused(f"{where}it comes at least one day after {before}: change its days", *place, "days")
    if (level.action is Action.FEE) != bool(level.penalty):
        raise TermRefused(
            f'{where}action = "fee" and penalty = "NAME" of a penalty class go together', *place, "penalty"
        )
    if number < len(policy.levels) and level.action is Action.COLLECTION:
        raise TermRefused(
            f"{where}collection is the last thing that is done; make it the last level", *place, "action"
        )
    for language, words in level.words.items():
        if not 0 < len(words) <= MAX_WORDS:
            raise TermRefused(f"{where}words.{language}: 1 to {MAX_WORDS} characters", *place, "words")
    check(policy.days_after_due(number) >= 0, "level {} lies before the due day", number)
