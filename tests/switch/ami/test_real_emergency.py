"""Emergency numbers on a real Asterisk: they pass, whatever the daemon says or whether there is one."""

from collections.abc import Callable

import pytest

from lab.sipp import Call, Calling, place
from pbxbill.ami.cdr_log import CdrLog
from pbxbill.charging.reconcile import SwitchRecord
from pbxbill.clock import SECOND_US
from tests.switch.ami.conftest import Site
from tests.switch.ami.harness import Funds, SimpleEngine, running_daemon, wait_until
from tests.switch.ami.test_real_faults import mute_server

Make = Callable[..., SimpleEngine]


def record_of(site: Site, number: str) -> SwitchRecord:
    def found() -> list[SwitchRecord]:
        log = CdrLog(site.asterisk.cdr_log, backlog_bytes=10_000_000)
        return [one for one in log.read() if one.offline and one.dialled == number]

    wait_until(lambda: bool(found()), 30, "the record")
    return found()[-1]


@pytest.mark.parametrize("mute", [False, True], ids=["unreachable", "mute"])
def test_help_is_reached_without_a_daemon_and_at_once(site: Site, mute: bool) -> None:
    call = Call("112", caller="alice", hold_ms=3000)  # longer than PBXBILL_OFFLINE_SECONDS
    if mute:
        with mute_server(site.asterisk.agi_port):
            result = place(call, site.asterisk.sip_port)
    else:
        result = place(call, site.asterisk.sip_port)
    [seen] = result.calls
    assert result.successful == 1, result.log
    assert seen.ended_here, "no timer ends it"
    assert seen.answered_us is not None
    assert seen.answered_us - seen.invited_us < SECOND_US // 2
    record = record_of(site, "112")
    assert (record.account_code, record.gateway) == ("acme", "gw")


@pytest.mark.parametrize("caller", ["bob", "carl"], ids=["unknown or suspended", "empty wallet"])
def test_help_is_reached_by_whom_the_engine_would_deny(site: Site, make_engine: Make, caller: str) -> None:
    engine = make_engine({"poor": Funds(0)})
    mark = site.mark()
    with running_daemon(site.settings(), engine) as running:
        result = place(Call("911", caller=caller, hold_ms=700), site.asterisk.sip_port)
        refused = place(
            Call("9115", caller=caller, calling=Calling.REJECTED, rejections=(403, 603)),
            site.asterisk.sip_port,
        )
        wait_until(
            lambda: [one for one in running.reconciler.offline if one.dialled == "911"], 30, "the record"
        )
    assert (result.successful, refused.successful) == (1, 1)
    assert "911@gw" in site.log_since(mark)
    assert "9115@gw" not in site.log_since(mark)


def test_the_administrator_has_a_list_of_his_own(site: Site) -> None:
    site.asterisk.rx("dialplan set global PBXBILL_EMERGENCY 113|1177")
    try:
        own = place(Call("1177", caller="alice", hold_ms=300), site.asterisk.sip_port)
        other = place(
            Call("112", caller="alice", calling=Calling.REJECTED, rejections=(503,)), site.asterisk.sip_port
        )
    finally:
        site.asterisk.rx('dialplan set global PBXBILL_EMERGENCY ""')
    assert (own.successful, other.successful) == (1, 1)


@pytest.mark.parametrize("number", ["1121", "0112", "911911", "112112"])
def test_what_only_looks_like_one_is_asked_about(site: Site, number: str) -> None:
    refused = place(
        Call(number, caller="alice", calling=Calling.REJECTED, rejections=(503,)), site.asterisk.sip_port
    )
    assert refused.successful == 1
