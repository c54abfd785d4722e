"""Life-cycle policies: when an account is alerted and barred, also after nothing ran for weeks."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.billing.life_cycle.life_cycle_policy import (
    ALERT_US,
    Alert,
    Extends,
    LifeCyclePolicy,
    Reach,
    Stage,
    Standing,
    Wait,
    after_alert,
    decide,
    decide_stop,
    valid_to,
)
from pbxbill.billing.life_cycle.life_cycle_text import policy_from_json, policy_from_toml, policy_to_json
from pbxbill.billing.period import day_start_us, local_date
from pbxbill.charging.status import WORSE, AccountStatus
from pbxbill.errors import InputRefused
from pbxbill.money import Unit, format_amount

BERLIN = "Europe/Berlin"
DAY_US = 86_400_000_000
UNITS = {"EUR": Unit("EUR")}
TEXT = """
alerts = [1, 7]
forfeit = "inactive"
brake = "2.5"
[validity]
days = 30
minimum = { EUR = "5.00" }
[inactivity]
days = 90
[stages]
no_outgoing = 0
suspended = 14
inactive = 60
terminated = 180
"""
POLICY = policy_from_toml(TEXT, UNITS)


def at(day: str, hour: int = 0) -> int:
    return day_start_us(date.fromisoformat(day), BERLIN) + hour * 3_600_000_000


def account(valid_to: str, stage: str = "active", since: str = "2026-01-01") -> Standing:
    return Standing(AccountStatus(stage), at(since), at(valid_to), None, None, None)


class Life:
    """One account and the clock: whoever looks does what is due, as life_cycle_stages does."""

    def __init__(self, policy: LifeCyclePolicy, standing: Standing) -> None:
        self.policy = policy
        self.standing = standing
        self.told: list[tuple[str, date]] = []
        self.reached: list[tuple[str, date]] = []

    def look(self, now_us: int) -> None:
        if self.standing.planned_us is not None and self.standing.planned_us > now_us:
            return
        today = local_date(now_us, BERLIN)
        while True:
            match decide(self.policy, self.standing, BERLIN, now_us):
                case Wait(until_us):
                    assert until_us is None or until_us > now_us
                    planned_us = until_us if until_us is not None else now_us + 100 * 365 * DAY_US
                    self.standing = replace(self.standing, planned_us=planned_us)
                    return
                case Alert() as alert:
                    self.told.append((str(alert.status), today))
                    planned_us = after_alert(self.policy, alert, BERLIN, now_us)
                    assert planned_us > now_us
                    self.standing = replace(self.standing, alerted_us=alert.at_us, planned_us=planned_us)
                    return
                case Reach(status):
                    self.reached.append((str(status), today))
                    self.standing = Standing(status, now_us, self.standing.valid_to_us, None, None, now_us)

    def days(self, first: str, last: str) -> None:
        """Look every few hours."""
        now_us = at(first)
        while now_us < at(last):
            self.look(now_us)
            now_us += 6 * 3_600_000_000 + 1_800_000_000


def test_an_account_that_is_not_filled_goes_through_all_stages_each_told_ahead() -> None:
    life = Life(POLICY, account("2026-03-01"))
    life.days("2026-01-01", "2026-12-31")
    assert [(status, str(day)) for status, day in life.reached] == [
        ("no_outgoing", "2026-03-01"),
        ("suspended", "2026-03-15"),
        ("inactive", "2026-04-30"),
        ("terminated", "2026-08-28"),
    ]
    assert [(status, str(day)) for status, day in life.told] == [
        ("no_outgoing", "2026-02-22"),
        ("no_outgoing", "2026-02-28"),
        ("suspended", "2026-03-08"),
        ("suspended", "2026-03-14"),
        ("inactive", "2026-04-23"),
        ("inactive", "2026-04-29"),
        ("terminated", "2026-08-21"),
        ("terminated", "2026-08-27"),
    ]


def test_after_a_year_of_silence_of_ours_it_is_alerted_first_and_goes_stage_by_stage() -> None:
    life = Life(POLICY, account("2026-03-01"))
    life.days("2027-06-01", "2028-03-01")
    assert [(status, str(day)) for status, day in life.told[:1]] == [("no_outgoing", "2027-06-01")]
    assert [(status, str(day)) for status, day in life.reached] == [
        ("no_outgoing", "2027-06-02"),
        ("suspended", "2027-06-16"),
        ("inactive", "2027-08-01"),
        ("terminated", "2027-11-29"),
    ]


def test_one_that_was_alerted_in_time_is_barred_as_it_was_told_however_late_we_are() -> None:
    life = Life(POLICY, account("2026-03-01"))
    life.days("2026-02-22", "2026-02-23")
    assert len(life.told) == 1
    life.days("2026-03-20", "2026-03-21")
    assert [(status, str(day)) for status, day in life.reached] == [("no_outgoing", "2026-03-20")]


@given(
    looks=st.lists(st.integers(0, 3_000_000), min_size=1, max_size=60),
    alerts=st.sampled_from(((7, 1), (3,), (30, 14, 2))),
)
def test_however_often_anybody_looks_no_stage_is_skipped_untold_or_too_soon(
    looks: list[int], alerts: tuple[int, ...]
) -> None:
    """Looks minutes apart, years apart, and with a clock that is set back."""
    policy = replace(POLICY, alert_days=alerts)
    life = Life(policy, account("2026-03-01"))
    now_us = at("2026-01-10")
    last: tuple[int, date] | None = None
    for number, minutes in enumerate(looks):
        now_us += minutes * 60_000_000 * (-1 if number % 5 == 4 else 1)
        before = len(life.reached)
        life.look(now_us)
        for status, day in life.reached[before:]:
            assert day >= date(2026, 3, 1)
            place = [stage.status for stage in policy.stages].index(AccountStatus(status))
            assert place == (0 if last is None else last[0] + 1)
            if last is not None:
                assert (day - last[1]).days >= policy.gap_days(policy.stages[place])
            told = [x for what, x in life.told if what == status]
            assert any((day - x).days >= alerts[-1] for x in told)
            last = (place, day)


def test_an_alert_that_was_told_while_a_clock_was_years_ahead_is_told_anew() -> None:
    wrong = replace(account("2026-03-01"), alerted_us=at("2036-01-01"), planned_us=at("2026-02-27"))
    assert isinstance(decide(POLICY, wrong, BERLIN, at("2026-02-27")), Alert)


def test_silence_is_over_with_a_call_or_money_whichever_was_last() -> None:
    policy = replace(POLICY, validity_days=None, alert_days=())
    silent = Standing(AccountStatus.ACTIVE, at("2026-01-01"), None, None, None, None)
    assert decide(policy, silent, BERLIN, at("2026-01-02")) == Wait(at("2026-04-02"))
    called = replace(silent, called_us=at("2026-03-31", 23))
    assert decide(policy, called, BERLIN, at("2026-04-02")) == Wait(at("2026-06-30"))
    assert decide(policy, called, BERLIN, at("2026-06-30")) == Reach(AccountStatus.NO_OUTGOING)


@pytest.mark.parametrize(
    "extends, before, after",
    [
        ("today", None, "2026-07-01"),
        ("today", "2026-06-15", "2026-07-01"),
        ("today", "2026-12-01", "2026-12-01"),  # never shortened
        ("end", "2026-06-15", "2026-07-15"),
        ("end", "2026-02-01", "2026-07-01"),
    ],
)
def test_a_top_up_of_the_last_of_may_is_good_for_thirty_days_of_june(
    extends: str, before: str | None, after: str
) -> None:
    policy = replace(POLICY, extends=Extends(extends))
    before_us = None if before is None else at(before)
    assert valid_to(policy, 30, at("2026-05-31", 23), before_us, BERLIN) == at(after)


def test_a_stop_date_is_told_and_kept() -> None:
    stop_on = date(2026, 3, 10)

    def step(now: int, planned: int | None = None) -> object:
        return decide_stop(POLICY, stop_on, planned, BERLIN, now)

    assert step(at("2026-02-01")) == Wait(at("2026-03-03") + ALERT_US)
    told = at("2026-03-03") + ALERT_US
    assert step(told, told) == Alert(AccountStatus.SUSPENDED, at("2026-03-10"), 7)
    assert step(told, told + 1) == Wait(at("2026-03-09") + ALERT_US)
    assert step(at("2026-03-10")) == Reach(AccountStatus.SUSPENDED)


def test_what_is_kept_is_what_was_written() -> None:
    assert policy_from_json(policy_to_json(POLICY)) == POLICY
    assert format_amount(POLICY.minimum["EUR"], UNITS["EUR"]) == "5.00"
    assert (POLICY.alert_days, POLICY.brake_ppm, POLICY.forfeit) == ((7, 1), 25_000, "inactive")
    assert POLICY.prolongs("EUR", POLICY.minimum["EUR"])
    assert not POLICY.prolongs("EUR", POLICY.minimum["EUR"] - 1)
    assert [WORSE[x.status] for x in POLICY.stages] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("", "stages is missing"),
        ("[stages]", "name at least one of"),
        ("[stages]\nsuspended = 1", "say in \\[validity\\] or \\[inactivity\\]"),
        ("[stages]\nclosed = 1", "there is no key 'closed'"),
        ("[validity]\ndays = 0\n[stages]\nsuspended = 1", "validity: days is 1 to"),
        ("[validity]\n[stages]\nsuspended = 1\n[inactivity]\nextends = 1", "no key 'extends'"),
        ("[validity]\nextends = 'end'\n[stages]\nsuspended = 1", "validity: days is missing"),
        ("[validity]\ndays = 9\n[stages]\nno_outgoing = 5\nsuspended = 5", "suspended comes later than"),
        ("[validity]\ndays = 9\nminimum = { USD = '1' }\n[stages]\nsuspended = 5", "no key 'USD'"),
        ("alerts = [0]\n[validity]\ndays = 9\n[stages]\nsuspended = 5", "each 1 to"),
        ("alerts = ['a']\n[validity]\ndays = 9\n[stages]\nsuspended = 5", "a list of days"),
        ("forfeit = 'terminated'\n[validity]\ndays = 9\n[stages]\nsuspended = 5", "none of the policy's"),
        ("return = ['active']\n[validity]\ndays = 9\n[stages]\nsuspended = 5", "return is a list of"),
        ("stop = 'never'\n[validity]\ndays = 9\n[stages]\nsuspended = 5", "stop is one of"),
        ("modes = []\n[validity]\ndays = 9\n[stages]\nsuspended = 5", "name at least one of prepaid"),
        ("brake = '101'\n[validity]\ndays = 9\n[stages]\nsuspended = 5", "percentage from 0 to 100"),
        ("brake_accounts = -1\n[validity]\ndays = 9\n[stages]\nsuspended = 5", "0 or more"),
        ("[stages", "is not TOML"),
    ],
)
def test_a_policy_that_is_wrong_is_refused_by_what_is_wrong(text: str, sentence: str) -> None:
    with pytest.raises(InputRefused, match=sentence):
        policy_from_toml(text, UNITS)


def test_the_brake_lets_a_few_accounts_pass_however_few_there_are() -> None:
    assert [POLICY.brake(accounts) for accounts in (1, 100, 1_000)] == [3, 3, 25]
    assert Stage(AccountStatus.SUSPENDED, 14) == POLICY.next_stage(AccountStatus.NO_OUTGOING)
    assert POLICY.next_stage(AccountStatus.TERMINATED) is None
