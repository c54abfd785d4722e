"""How long wrong codes make people wait."""

from itertools import pairwise

import pytest

from pbxbill.billing.codes.guessing import PATIENCE, GuessKind


def test_the_delay_grows_up_to_a_lock_out() -> None:
    patience = PATIENCE[GuessKind.VOUCHER_ACCOUNT]
    assert [patience.wait_s(failures) for failures in range(10)] == [
        0,
        0,
        0,
        5,
        10,
        20,
        40,
        80,
        3_600,
        3_600,
    ]


@pytest.mark.parametrize("kind", GuessKind)
def test_more_wrong_ones_never_wait_less(kind: GuessKind) -> None:
    waits = [PATIENCE[kind].wait_s(failures) for failures in (*range(300), 10**6, 10**18)]
    assert all(before <= after for before, after in pairwise(waits))


@pytest.mark.parametrize("kind", GuessKind)
def test_patience_lasts_longer_than_what_is_forgiven(kind: GuessKind) -> None:
    patience = PATIENCE[kind]
    # Else whoever waits out a lock-out would start anew each time.
    assert patience.wait_s(patience.lock_after) <= patience.forgiven_s * patience.lock_after
