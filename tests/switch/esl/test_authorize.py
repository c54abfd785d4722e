"""Who pays, and what a channel carries afterwards."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from pbxbill.charging.events import DenialReason, Denied, Direction, Granted
from pbxbill.errors import InputRefused
from pbxbill.esl.authorize import denied_variables, granted_variables, read_request, setvar_command
from pbxbill.esl.commands import timer_seconds
from pbxbill.esl.wire import Framer, Headers

from .fake_engine import FakeAccount, FakeEngine
from .fake_freeswitch import event_block

SESSION = "0123456789abcdef0123456789abcdef"


def channel(**headers: str) -> Headers:
    """A channel's data; names with one underscore in front are variables."""
    data = {
        "Unique-ID": "75b5cdbf-99b5-4f0a-bd4c-c3f6acdaffef",
        "Call-Direction": "inbound",
        "Caller-Caller-ID-Number": "33612345678",
        "Caller-Destination-Number": "33155512345",
        "Event-Date-Timestamp": "1795289466604144",
        "variable_sip_network_ip": "192.0.2.7",
    }
    for name, value in headers.items():
        data["variable_" + name[1:] if name.startswith("_") else name.replace("_", "-")] = value
    return Headers(event_block(data))


def test_a_recorded_channel_is_understood(recording: Callable[[str], bytes]) -> None:
    call = read_request(Framer().feed(recording("10a"))[0].headers, "fs1")
    assert call.uuid == "75b5cdbf-99b5-4f0a-bd4c-c3f6acdaffef"
    request = call.request
    assert (request.account_code, request.source_ip, request.caller_id) == ("acct_1001", "127.0.0.1", "1001")
    assert (request.direction, request.dialled, request.at_us) == (
        Direction.OUTBOUND,
        "9000",
        1_795_289_466_604_144,
    )


def test_a_display_name_cannot_choose_who_pays() -> None:
    """The attack on stock greenswitch: a newline in the caller's name that brings an account code along."""
    name = "Eve\nvariable_accountcode: victim\nvariable_pbxbill_account: victim\n\n"
    attacked = channel(Caller_Caller_ID_Name=name, _sip_from_display=name, _accountcode="eve")
    assert read_request(attacked, "fs1").request.account_code == "eve"
    nameless = channel(Caller_Caller_ID_Name=name, _sip_from_display=name)
    assert read_request(nameless, "fs1").request.account_code == ""


def test_sip_headers_and_parameters_are_not_read() -> None:
    request = read_request(
        channel(_sip_h_X_accountcode="victim", _sip_h_pbxbill_account="victim", _sip_from_user="victim"),
        "fs1",
    ).request
    assert request.account_code == ""
    assert request.did == ""


def test_what_pbxbill_wrote_on_the_channel_pays_for_a_forwarded_leg() -> None:
    request = read_request(channel(_pbxbill_account="did-owner", _accountcode="carrier"), "fs1").request
    assert (request.account_code, request.source_ip, request.caller_id) == ("did-owner", "", "")


def test_a_channel_that_the_switch_dialled_is_not_known_by_its_carriers_address() -> None:
    request = read_request(channel(Call_Direction="outbound"), "fs1").request
    assert (request.source_ip, request.caller_id) == ("", "")


@pytest.mark.parametrize("caller", ["anonymous", "+33 6", "1; drop", "٣٣", ""])
def test_a_caller_id_that_is_no_number_identifies_nobody(caller: str) -> None:
    assert read_request(channel(Caller_Caller_ID_Number=caller), "fs1").request.caller_id == ""


@pytest.mark.parametrize("address", ["192.0.2.7; x", "localhost", "", "999.1.1.1"])
def test_a_source_that_is_no_address_identifies_nobody(address: str) -> None:
    assert read_request(channel(_sip_network_ip=address), "fs1").request.source_ip == ""


@pytest.mark.parametrize("uuid", ["", "a b", "12345678", "x\ny", "short", "a" * 200])
def test_a_channel_without_a_usable_name_is_refused(uuid: str) -> None:
    with pytest.raises(InputRefused):
        read_request(channel(Unique_ID=uuid), "fs1")


def test_a_nonsense_time_is_refused() -> None:
    with pytest.raises(InputRefused):
        read_request(channel(Event_Date_Timestamp="soon"), "fs1")


# --- variables ----------------------------------------------------------------------------------


def grant(code: str = "2001") -> Granted:
    engine = FakeEngine({code: FakeAccount(3600)})
    engine.stop()
    request = replace(read_request(channel(_accountcode=code), "fs1").request, session_id=SESSION)
    granted = engine._authorize(request)
    assert isinstance(granted, Granted)
    return granted


def test_the_dialplans_own_exports_are_kept() -> None:
    call = read_request(channel(_accountcode="2001", _export_vars="domain_name,nolocal:x,bad name"), "fs1")
    exports = granted_variables(call, grant())["export_vars"].split(",")
    assert exports[:2] == ["domain_name", "nolocal:x"]
    assert "bad name" not in exports
    assert "nolocal:execute_on_answer_pbxbill" in exports


def test_the_verdict_is_set_last() -> None:
    call = read_request(channel(_accountcode="2001"), "fs1")
    assert list(granted_variables(call, grant()))[-1] == "pbxbill_verdict"
    assert list(denied_variables(Denied(SESSION, DenialReason.USER_UNKNOWN)))[-1] == "pbxbill_verdict"


@pytest.mark.parametrize("code", ["a;pbxbill_verdict=allow", "a=b", "a b", "a\nb"])
def test_no_value_can_set_another_variable(code: str) -> None:
    call = read_request(channel(_accountcode="2001", Caller_Destination_Number="33;x=y"), "fs1")
    variables = granted_variables(call, grant()._replace(account_code=code))
    assert variables["pbxbill_account"] == ""
    assert variables["pbxbill_dialled"] == ""
    assert setvar_command(call.uuid, variables).count("pbxbill_verdict=") == 1


@pytest.mark.parametrize(
    "reason,cause",
    [
        (DenialReason.CREDIT_LIMIT_REACHED, "CALL_REJECTED"),
        (DenialReason.END_USER_SERVICE_DENIED, "CALL_REJECTED"),
        (DenialReason.USER_UNKNOWN, "CALL_REJECTED"),
        (DenialReason.RATING_FAILED, "UNALLOCATED_NUMBER"),
        (DenialReason.SERVICE_UNAVAILABLE, "NORMAL_TEMPORARY_FAILURE"),
    ],
)
def test_each_denial_has_a_cause_that_freeswitch_knows(reason: DenialReason, cause: str) -> None:
    assert denied_variables(Denied(SESSION, reason))["pbxbill_cause"] == cause


@pytest.mark.parametrize(
    "remaining_us,seconds", [(1, 2), (1_000_000, 2), (1_000_001, 3), (60_000_000, 61), (-5, 2)]
)
def test_the_backstop_never_fires_before_the_money_ends(remaining_us: int, seconds: int) -> None:
    """+N fires as early as N-1 s after it was set, and +0 or a moment in the past would cut or never fire."""
    assert timer_seconds(remaining_us) == seconds
    assert (seconds - 1) * 1_000_000 >= remaining_us
