"""Hang-up causes: ITU-T Q.850 numbers, and the cause each denial ends a call with."""

from enum import IntEnum

from pbxbill.charging.events import DenialReason


class HangupCause(IntEnum):
    """The Q.850 (05/1998) values that pbxbill itself sends or tells apart."""

    UNKNOWN = 0
    UNALLOCATED_NUMBER = 1
    NO_ROUTE_DESTINATION = 3
    NORMAL_CLEARING = 16
    USER_BUSY = 17
    NO_ANSWER = 19
    CALL_REJECTED = 21
    INVALID_NUMBER_FORMAT = 28
    NORMAL_UNSPECIFIED = 31
    NO_CIRCUIT = 34
    TEMPORARY_FAILURE = 41
    SWITCH_CONGESTION = 42
    OUTGOING_CALLS_BARRED = 52
    BEARER_NOT_AUTHORIZED = 57
    RECOVERY_ON_TIMER_EXPIRE = 102
    INTERWORKING = 127


CAUSE_OF_DENIAL: dict[DenialReason, HangupCause] = {
    DenialReason.CREDIT_LIMIT_REACHED: HangupCause.CALL_REJECTED,
    DenialReason.END_USER_SERVICE_DENIED: HangupCause.CALL_REJECTED,
    DenialReason.USER_UNKNOWN: HangupCause.CALL_REJECTED,
    DenialReason.RATING_FAILED: HangupCause.UNALLOCATED_NUMBER,
    DenialReason.SERVICE_UNAVAILABLE: HangupCause.TEMPORARY_FAILURE,
    DenialReason.SIMULTANEOUS_CALLS: HangupCause.NO_CIRCUIT,
    DenialReason.CALL_RATE: HangupCause.SWITCH_CONGESTION,
    DenialReason.SPENDING_LIMIT: HangupCause.CALL_REJECTED,
    DenialReason.DESTINATION_BARRED: HangupCause.OUTGOING_CALLS_BARRED,
    DenialReason.COUNTRY_HELD: HangupCause.OUTGOING_CALLS_BARRED,
    DenialReason.SHORT_CALLS: HangupCause.CALL_REJECTED,
    DenialReason.LOSS_MAKING: HangupCause.NO_ROUTE_DESTINATION,
}
"""What the switch is told; each switch maps it to its SIP answer."""
