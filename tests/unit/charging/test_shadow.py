"""Shadow mode: a call is charged like any other, and its switch is asked for nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from pbxbill.charging.control import Action, LiveCall, Phase, Submit
from pbxbill.charging.events import (
    Announcement,
    Answer,
    Answered,
    Authorize,
    DenialReason,
    Denied,
    Direction,
    Evidence,
    Extend,
    Extended,
    FailurePolicy,
    Granted,
    Settle,
)
from pbxbill.charging.reconcile import SwitchRecord
from pbxbill.charging.shadow import (
    WouldCut,
    WouldDeny,
    WouldNot,
    for_the_switch,
    read_words,
)
from pbxbill.charging.shadow_report import RecordedCall, compare
from tests.unit.charging.test_control import ANSWERED_US, GRANTED, SESSION, S

REQUEST = Authorize(SESSION, "fs1", "call", Direction.OUTBOUND, "4930", "100", ANSWERED_US, account_code="a")


def live(**terms: Any) -> tuple[LiveCall, list[Action]]:
    call = LiveCall(GRANTED._replace(shadow=True, **terms))
    actions = call.answered(
        answered_us=ANSWERED_US, paid_leg="leg", elapsed_us=0, now_us=0, gateway="carrier"
    )
    return call, actions


def steered(call: LiveCall, until_s: int, answer: Callable[[Extend], Extended | None]) -> list[Action]:
    """Tick whenever it is due; extensions are answered at once, or fail."""
    done: list[Action] = []
    now_us = 0
    for _ in range(10_000):
        if call.due_us is None or call.due_us > until_s * S:
            return done
        now_us = max(now_us, call.due_us)
        actions = call.tick(now_us)
        while actions:
            action = actions.pop(0)
            done.append(action)
            assert isinstance(action, Submit)
            if isinstance(action.command, Extend):
                outcome = answer(action.command)
                actions += (
                    call.granted_now(outcome, now_us) if outcome else call.failed(action.command, now_us)
                )
    raise AssertionError("it asks without end")


def test_nothing_is_asked_of_the_switch_when_the_money_ends() -> None:
    call, actions = live(affordable_us=90 * S)
    assert actions == [Submit(Answer(SESSION, ANSWERED_US, "leg", "carrier"))]
    actions += call.granted_now(Answered(SESSION, 60 * S, final=False, deadline_us=0), 0)
    actions += steered(call, 3600, lambda extend: Extended(SESSION, 90 * S, final=True, affordable_us=90 * S))
    assert all(isinstance(action, Submit) for action in actions)
    assert call.phase is Phase.TALKING
    assert call.last_paid_us(3600 * S) is None
    end = call.ended(answered_us=ANSWERED_US, ended_us=ANSWERED_US + 3600 * S, hangup_cause=16)
    assert end == [
        Submit(Settle(SESSION, ANSWERED_US, ANSWERED_US + 3600 * S, 16, Evidence.EVENT, "carrier"))
    ]


@pytest.mark.parametrize("policy", list(FailurePolicy))
def test_an_engine_that_is_away_for_long_is_asked_again_and_again_but_not_without_end(
    policy: FailurePolicy,
) -> None:
    call, _ = live(failure_policy=policy)
    actions = steered(call, 300, lambda extend: None)
    assert 50 < len(actions) < 400
    assert call.phase is Phase.TALKING


def test_a_grant_that_does_not_grow_is_not_asked_for_without_end() -> None:
    call, _ = live()
    stuck = Extended(SESSION, 60 * S, final=False, affordable_us=60 * S)
    assert len(steered(call, 300, lambda extend: stuck)) < 400


def test_the_longest_call_passes_by() -> None:
    call, _ = live(max_call_us=120 * S)
    actions = steered(
        call, 3600, lambda extend: Extended(SESSION, extend.want_us, final=False, affordable_us=9_000 * S)
    )
    assert len(actions) == 1
    assert call.phase is Phase.TALKING


def test_money_that_is_taken_away_shortens_nothing() -> None:
    call, _ = live()
    asked = call.wallet_changed(10 * S)
    assert [type(action.command) for action in asked if isinstance(action, Submit)] == [Extend]
    assert call.granted_now(Extended(SESSION, 1 * S, final=True, affordable_us=1 * S), 10 * S) == []
    assert call.phase is Phase.TALKING


def test_a_session_that_is_closed_leaves_the_call_alone() -> None:
    call, _ = live()
    assert call.session_closed(10 * S) == []
    assert call.closed
    assert call.due_us is None


# --- what reaches the switch ----------------------------------------------------------------------


def test_a_denial_becomes_a_call_that_passes() -> None:
    denied = Denied(SESSION, DenialReason.USER_UNKNOWN, Announcement("fr"))
    passed = for_the_switch(denied, Authorize(**_fields(REQUEST) | {"shadow": True}))
    assert isinstance(passed, Granted)
    assert (passed.session_id, passed.account_code) == (SESSION, "a")
    assert passed.shadow
    assert passed.offline
    assert for_the_switch(denied, REQUEST) is denied


@pytest.mark.parametrize("whole_switch", [True, False])
def test_a_grant_in_shadow_is_silent(whole_switch: bool) -> None:
    loud = GRANTED._replace(
        shadow=not whole_switch, announcement=Announcement(balance=True, minutes=True, warning=True)
    )
    passed = for_the_switch(loud, Authorize(**_fields(REQUEST) | {"shadow": whole_switch}))
    assert isinstance(passed, Granted)
    assert passed.shadow
    said = passed.announcement
    assert not any((said.balance, said.minutes, said.warning, said.denial))


def test_a_grant_that_is_not_in_shadow_is_what_it_was() -> None:
    assert for_the_switch(GRANTED, REQUEST) is GRANTED


def _fields(request: Authorize) -> dict[str, Any]:
    return {name: getattr(request, name) for name in request.__slots__}


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", list(DenialReason))
@pytest.mark.parametrize("detail", ["", ": no rate for 4930", ":\n"])
def test_a_denial_in_words(reason: DenialReason, detail: str) -> None:
    assert read_words(f"would have been denied: {reason}{detail}") == WouldDeny(reason.value)


@pytest.mark.parametrize("after_s", [0, 1, 5, 86_400])
def test_a_cut_in_words(after_s: int) -> None:
    assert read_words(f"would have been cut after {after_s} s") == WouldCut(after_s * S)


@pytest.mark.parametrize("words", ["", "denied", "would have been cut after -1 s", "\0"])
def test_words_of_others_say_nothing(words: str) -> None:
    assert read_words(words) == WouldNot()


# --- the comparison ---------------------------------------------------------------------------------


def call_of(name: str, talked_s: int | None = 10, cause: int = 16, *, denied: bool = False) -> RecordedCall:
    answered_us = None if talked_s is None else ANSWERED_US
    ended_us = ANSWERED_US + (talked_s or 0) * S
    return RecordedCall(name, "a", "4930", ANSWERED_US, answered_us, ended_us, cause, denied, None)


def record_of(name: str, talked_s: int | None = 10, cause: int = 16) -> SwitchRecord:
    answered_us = None if talked_s is None else ANSWERED_US + 7
    ended_us = ANSWERED_US + 7 + (talked_s or 0) * S
    return SwitchRecord(
        name, "id", "a", Direction.OUTBOUND, "1", "4930", ANSWERED_US, answered_us, ended_us, cause, ""
    )


def test_calls_are_compared_one_by_one() -> None:
    calls = [
        call_of("alike"),
        call_of("longer there"),
        call_of("answered here", 3),
        call_of("other cause"),
        call_of("here"),
        call_of("turned away", None, denied=True),
        call_of("unanswered", None, 17),
    ]
    records = [
        record_of("alike"),
        record_of("longer there", 12),
        record_of("answered here", None),
        record_of("other cause", cause=41),
        record_of("there"),
        record_of("known from before"),
        record_of("unanswered", None, 17),
    ]
    log = {record.session_id: record for record in records}
    known = {call.session_id for call in calls} | {"known from before"}
    found = compare(calls, log, known, causes=True)
    assert found.alike == 2
    assert [(x.call.session_id, x.apart_us) for x in found.different] == [
        ("longer there", 2 * S),
        ("answered here", -3 * S),
        ("other cause", 0),
    ]
    assert [call.session_id for call in found.only_here] == ["here"]
    assert [record.session_id for record in found.only_there] == ["there"]
    assert found.differs
    assert [x.call.session_id for x in compare(calls, log, known, causes=False).different] == [
        "longer there",
        "answered here",
    ]


def test_calls_that_are_alike_differ_in_nothing() -> None:
    assert not compare([call_of("x")], {"x": record_of("x")}, {"x"}, causes=True).differs
