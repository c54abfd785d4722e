"""The states of a reservation: one table, and what it promises."""

import pytest

from pbxbill.ledger.reservation import (
    OPEN_STATES,
    TRANSITIONS,
    Reservation,
    ReservationState,
    Verb,
)

CLOSED_STATES = set(ReservationState) - OPEN_STATES


@pytest.mark.parametrize("state", sorted(CLOSED_STATES))
@pytest.mark.parametrize("verb", Verb)
def test_a_closed_reservation_never_changes_again(state: ReservationState, verb: Verb) -> None:
    assert (state, verb) not in TRANSITIONS


@pytest.mark.parametrize("state", sorted(OPEN_STATES))
@pytest.mark.parametrize(
    "verb, closed", [(Verb.SETTLE, ReservationState.SETTLED), (Verb.VOID, ReservationState.VOIDED)]
)
def test_every_open_reservation_can_be_closed(
    state: ReservationState, verb: Verb, closed: ReservationState
) -> None:
    assert TRANSITIONS[state, verb] is closed


@pytest.mark.parametrize("verb", [Verb.EXTEND, Verb.SHRINK])
@pytest.mark.parametrize("state", sorted(OPEN_STATES))
def test_moving_the_deadline_keeps_the_state(state: ReservationState, verb: Verb) -> None:
    assert TRANSITIONS[state, verb] is state


def test_an_answer_may_be_told_twice_but_never_taken_back() -> None:
    assert TRANSITIONS[ReservationState.RESERVED, Verb.ANSWER] is ReservationState.ANSWERED
    assert TRANSITIONS[ReservationState.ANSWERED, Verb.ANSWER] is ReservationState.ANSWERED
    assert ReservationState.RESERVED not in {
        after for (before, _), after in TRANSITIONS.items() if before is ReservationState.ANSWERED
    }


@pytest.mark.parametrize("answered_us, deadline_us", [(None, None), (1_000, 60_001_000)])
def test_the_deadline_counts_from_the_answer(answered_us: int | None, deadline_us: int | None) -> None:
    reservation = Reservation(
        session_id="s1",
        switch="asterisk-1",
        call_id="c1",
        direction="outbound",
        account_id=1,
        caller="100",
        dialled="0049301",
        called="49301",
        destination="Germany, Berlin",
        state=ReservationState.RESERVED if answered_us is None else ReservationState.ANSWERED,
        requested_us=0,
        answered_us=answered_us,
        paid_leg="leg-b",
        granted_us=60_000_000,
        final=False,
        slice_s=60,
        renew_before_s=15,
        max_call_s=14_400,
        failure_policy="closed",
        endpoint_id=None,
        gateway="",
        shadow=None,
        ringing_us=None,
        levels=(),
    )
    assert reservation.deadline_us == deadline_us
