"""The demonstration's script says what it means, at any length."""

from decimal import Decimal

import pytest

from demo import script, site
from demo.script import Outcome, funds, scenes
from lab.sipp import Calling

SUFFIXES = (site.BUSY_SUFFIX, site.RINGING_SUFFIX, site.HANGING_UP_SUFFIX)


@pytest.mark.parametrize("seconds", [10, 30, 60, 600])
def test_a_caller_who_talks_and_hangs_up_reaches_somebody_who_answers(seconds):
    talking = [
        scene.call.number
        for scene in scenes(seconds)
        if scene.call.calling is Calling.HANG_UP and not scene.from_carrier
    ]
    assert talking
    assert not [number for number in talking if number.endswith(SUFFIXES)]


@pytest.mark.parametrize("seconds", [30, 60, 600])
def test_calls_are_placed_until_shortly_before_the_end(seconds):
    last_s = max(scene.at_s for scene in scenes(seconds))
    assert seconds - 12 <= last_s < seconds


def test_only_denied_calls_belong_to_nobody():
    codes = {subscriber.code for subscriber in site.SUBSCRIBERS}
    for scene in scenes(60):
        assert (scene.account in codes) == (scene.outcome is not Outcome.DENIED), scene.title


def test_money_that_is_to_end_lasts_a_quarter_of_the_demonstration():
    per_second = script.MOROCCO_PER_MIN * Decimal("1.2") / 60
    assert 15 <= Decimal(funds(site.EMIL, 60)) / per_second < 16
    assert 90 <= Decimal(funds(site.DORA, 60)) / per_second < 91
    assert funds(site.ANNA, 60) == "5.00"


def test_every_denied_scene_names_its_reason():
    for scene in scenes(60):
        assert bool(scene.denial) == (scene.outcome is Outcome.DENIED), scene.title


def test_one_call_more_than_the_limit_comes_while_the_others_are_up():
    chen = [scene for scene in scenes(30) if scene.call.caller == site.CHEN.phone]
    refused = next(scene for scene in chen if scene.denial == "simultaneous_calls")
    talking = [scene for scene in chen if scene.outcome is Outcome.TALKED]
    assert sum(scene.call.count for scene in talking) == site.CHEN.calls_at_once
    assert all(each.at_s < refused.at_s < each.at_s + each.call.hold_ms / 1000 for each in talking)
