"""Causes at FreeSWITCH's edge."""

import pytest

from pbxbill.charging.events import DenialReason
from pbxbill.charging.hangup import CAUSE_OF_DENIAL
from pbxbill.esl.causes import cause_number, cause_of_denial


@pytest.mark.parametrize("reason", DenialReason)
def test_freeswitch_hangs_up_a_denied_call_with_the_cause_that_its_record_has(reason: DenialReason) -> None:
    assert cause_number(cause_of_denial(reason)) == CAUSE_OF_DENIAL[reason]
