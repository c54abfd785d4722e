"""Hang-up causes at FreeSWITCH's edge: its names against Q.850 numbers (ITU-T Q.850, RFC 6432)."""

from pbxbill.charging.events import DenialReason
from pbxbill.charging.hangup import CAUSE_OF_DENIAL, HangupCause

NUMBER_OF: dict[str, int] = {
    "UNALLOCATED_NUMBER": 1,
    "NO_ROUTE_TRANSIT_NET": 2,
    "NO_ROUTE_DESTINATION": 3,
    "CHANNEL_UNACCEPTABLE": 6,
    "NORMAL_CLEARING": 16,
    "USER_BUSY": 17,
    "NO_USER_RESPONSE": 18,
    "NO_ANSWER": 19,
    "SUBSCRIBER_ABSENT": 20,
    "CALL_REJECTED": 21,
    "NUMBER_CHANGED": 22,
    "EXCHANGE_ROUTING_ERROR": 25,
    "DESTINATION_OUT_OF_ORDER": 27,
    "INVALID_NUMBER_FORMAT": 28,
    "FACILITY_REJECTED": 29,
    "NORMAL_UNSPECIFIED": 31,
    "NORMAL_CIRCUIT_CONGESTION": 34,
    "NETWORK_OUT_OF_ORDER": 38,
    "NORMAL_TEMPORARY_FAILURE": 41,
    "SWITCH_CONGESTION": 42,
    "REQUESTED_CHAN_UNAVAIL": 44,
    "FACILITY_NOT_SUBSCRIBED": 50,
    "OUTGOING_CALL_BARRED": 52,
    "INCOMING_CALL_BARRED": 54,
    "BEARERCAPABILITY_NOTAUTH": 57,
    "BEARERCAPABILITY_NOTAVAIL": 58,
    "SERVICE_UNAVAILABLE": 63,
    "SERVICE_NOT_IMPLEMENTED": 79,
    "INCOMPATIBLE_DESTINATION": 88,
    "RECOVERY_ON_TIMER_EXPIRE": 102,
    "PROTOCOL_ERROR": 111,
    "INTERWORKING": 127,
    "ORIGINATOR_CANCEL": 16,
    "ALLOTTED_TIMEOUT": 16,
    "LOSE_RACE": 16,
    "MEDIA_TIMEOUT": 16,
    "ATTENDED_TRANSFER": 16,
    "BLIND_TRANSFER": 16,
    "SYSTEM_SHUTDOWN": 41,
    "PROGRESS_TIMEOUT": 102,
}

_NAME_OF: dict[HangupCause, str] = {
    HangupCause.UNALLOCATED_NUMBER: "UNALLOCATED_NUMBER",
    HangupCause.NO_ROUTE_DESTINATION: "NO_ROUTE_DESTINATION",
    HangupCause.CALL_REJECTED: "CALL_REJECTED",
    HangupCause.INVALID_NUMBER_FORMAT: "INVALID_NUMBER_FORMAT",
    HangupCause.NO_CIRCUIT: "NORMAL_CIRCUIT_CONGESTION",
    HangupCause.TEMPORARY_FAILURE: "NORMAL_TEMPORARY_FAILURE",
    HangupCause.SWITCH_CONGESTION: "SWITCH_CONGESTION",
    HangupCause.OUTGOING_CALLS_BARRED: "OUTGOING_CALL_BARRED",
    HangupCause.BEARER_NOT_AUTHORIZED: "BEARERCAPABILITY_NOTAUTH",
}

MONEY_ENDED = "ALLOTTED_TIMEOUT"
"""What pbxbill ends a call with. FreeSWITCH turns a name that it does not know into NORMAL_CLEARING."""
NORMAL_CLEARING = "NORMAL_CLEARING"
"""What it ends a call with on request."""


def cause_number(name: str, q850: str = "") -> int:
    """The Q.850 number of a cause: of its name where that says more, else as the switch numbers it."""
    if name in NUMBER_OF:
        return NUMBER_OF[name]
    if q850.isascii() and q850.isdigit() and int(q850[:4]) <= 127:
        return int(q850[:4])
    return HangupCause.UNKNOWN


def cause_of_denial(reason: DenialReason) -> str:
    """What FreeSWITCH hangs up with; it answers the caller 403, 404, 484, 503 or 603 for it."""
    return _NAME_OF[CAUSE_OF_DENIAL[reason]]
