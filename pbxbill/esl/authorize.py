"""A channel's data becomes an Authorize; the outcome becomes variables of the channel. No socket here.

Who pays is never taken from what a caller sent: the account code is the switch's own knowledge of the
endpoint (its user directory, or the administrator's dialplan), or what pbxbill wrote on the channel before.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address

from pbxbill.charging.events import Authorize, Denied, Direction, Granted
from pbxbill.errors import InputRefused
from pbxbill.esl.causes import cause_of_denial
from pbxbill.esl.commands import answer_timer
from pbxbill.esl.events import ON_ANSWER, is_channel_id, leg_of, moment
from pbxbill.esl.wire import Headers
from pbxbill.ids import new_id

_DIGITS = re.compile(r"\+?[0-9]{1,32}")
_CODE = re.compile(r"[A-Za-z0-9_.@+-]{1,64}")
_NAME = re.compile(r"[A-Za-z0-9_:.-]{1,128}")
MAX_EXPORTS = 100


@dataclass(frozen=True, slots=True)
class CallRequest:
    """One channel that asks whether it may go on."""

    request: Authorize
    uuid: str
    answered: bool
    exports: tuple[str, ...]
    """What the channel exports already."""
    pays_for: str
    """The session that this channel is itself the paid leg of, "" if none."""


def read_request(headers: Headers, switch: str, *, shadow: bool = False) -> CallRequest:
    """What a channel asks; InputRefused if its data makes no sense."""
    uuid = headers.get("Unique-ID")
    if not is_channel_id(uuid):
        raise InputRefused(f"Unique-ID {uuid[:60]!r}")
    at_us = moment(headers, "Event-Date-Timestamp")
    if not at_us:
        raise InputRefused("a channel without a time")
    inbound = headers.variable("pbxbill_direction") == Direction.INBOUND
    dialled = headers.variable("pbxbill_number") or headers.get("Caller-Destination-Number")
    caller = headers.get("Caller-Caller-ID-Number")
    # What pbxbill wrote before: the owner of the DID that is being forwarded, or who pays for this paid leg.
    written_account = headers.variable("pbxbill_account")
    # A channel that the switch dialled has a carrier's address, and a number that says nothing of who pays.
    by_origin = not inbound and not written_account and headers.get("Call-Direction") == "inbound"
    leg = leg_of(headers)
    request = Authorize(
        session_id=new_id(),
        switch=switch,
        call_id=uuid,
        direction=Direction.INBOUND if inbound else Direction.OUTBOUND,
        dialled=dialled[:64],
        caller=caller[:64],
        at_us=at_us,
        account_code="" if inbound else written_account or headers.variable("accountcode"),
        source_ip=_address(headers.variable("sip_network_ip")) if by_origin else "",
        caller_id=caller.removeprefix("+") if by_origin and _DIGITS.fullmatch(caller) else "",
        did=dialled[:64] if inbound else "",
        shadow=shadow,
    )
    exports = headers.variable("export_vars").split(",")[:MAX_EXPORTS]
    return CallRequest(
        request=request,
        uuid=uuid,
        answered=headers.get("Answer-State") == "answered",
        exports=tuple(name for name in exports if _NAME.fullmatch(name)),
        pays_for=leg.paid_session if leg is not None else "",
    )


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        return ""


def granted_variables(call: CallRequest, granted: Granted) -> dict[str, str]:
    """What the channel carries from here on. The verdict stands last: without it there is none."""
    request = call.request
    variables = {
        "pbxbill_account": _plain(granted.account_code, _CODE),
        "pbxbill_dialled": _plain(request.dialled, _DIGITS),
        "pbxbill_offline": "true" if granted.offline else "false",
        "pbxbill_shadow": "true" if granted.shadow else "false",
    }
    # In shadow it is emptied: an earlier call on this channel may have left one.
    timer = "" if granted.shadow else answer_timer(granted.granted_us)
    if request.direction is Direction.INBOUND:
        did = variables.pop("pbxbill_dialled")  # a forwarded call will have dialled another number
        variables |= {"pbxbill_did": did, "pbxbill_leg_session": granted.session_id, ON_ANSWER: timer}
    else:
        variables |= {"pbxbill_session": granted.session_id, "pbxbill_caller": call.uuid}
        # `nolocal:` keeps it off this channel, which may be answered for an announcement.
        variables[f"nolocal:{ON_ANSWER}"] = timer
        names = list(variables)
        if call.pays_for:
            variables["pbxbill_leg_session"] = call.pays_for
        variables["export_vars"] = ",".join([*(name for name in call.exports if name not in names), *names])
    return variables | {"pbxbill_verdict": "allow"}


def denied_variables(denied: Denied) -> dict[str, str]:
    """What the dialplan is told of a denial."""
    return {"pbxbill_cause": cause_of_denial(denied.reason), "pbxbill_verdict": "deny"}


def setvar_command(uuid: str, variables: dict[str, str]) -> str:
    """One command that sets them all, at once: a queued `set` would be done at some later moment."""
    return f"uuid_setvar_multi {uuid} " + ";".join(f"{name}={value}" for name, value in variables.items())


def _plain(text: str, form: re.Pattern[str]) -> str:
    """text if it has the form, else "": a semicolon would set another variable."""
    return text if form.fullmatch(text) else ""
