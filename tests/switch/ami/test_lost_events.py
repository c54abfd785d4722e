"""What happens while the link is down, or is never told, must not change what a call may cost."""

import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import pytest

from pbxbill.ami.snapshot import parse_channel
from pbxbill.ami.wire import parse_message
from pbxbill.charging.control import LiveCall
from pbxbill.charging.events import Answer, Evidence, Extend, FailurePolicy, Granted, Outcome, Settle
from pbxbill.clock import SECOND_US
from tests.switch.ami.harness import Funds, SimpleEngine, wait_until
from tests.switch.ami.small_asterisk import CALLER, PAID, small_site, wait_for_link
from tests.switch.ami.test_cdr_log import row


def test_an_extension_granted_while_the_link_is_down_moves_the_timers_after_it() -> None:
    engine = SimpleEngine({"acme": Funds(10 * SECOND_US)})
    with small_site(engine) as (asterisk, daemon):
        asterisk.answer(asterisk.ask("acme")["PBXBILL_SESSION"])
        engine.wait_for(Answer)
        wait_until(lambda: asterisk.timers_of(PAID), 30, "the first timer")
        asterisk.go_away()
        wait_for_link(daemon, up=False)
        asterisk.orders.clear()
        engine.accounts["acme"].funds_us = 100 * SECOND_US
        daemon.news.tell()
        engine.wait_for(Extend)
        asterisk.away = False
        for leg in (PAID, CALLER):
            wait_until(partial(asterisk.timers_of, leg), 30, f"the timer of {leg}")
            assert asterisk.timers_of(leg)[-1] > 30, "70 s are granted, 10 s were"


def moment(at_us: int) -> str:
    return f"{at_us // SECOND_US}.{at_us % SECOND_US:06d}"


@pytest.mark.parametrize("in_log", [True, False], ids=["in the CDR log", "nowhere"])
def test_a_call_whose_end_was_never_told_is_settled_when_no_channel_is_found(
    tmp_path: Path, in_log: bool
) -> None:
    engine = SimpleEngine({"acme": Funds(SECOND_US)})
    cdr_file = tmp_path / "pbxbill.csv"
    with small_site(engine, cdr_file=cdr_file) as (asterisk, daemon):
        session_id = asterisk.ask("acme")["PBXBILL_SESSION"]
        asterisk.answer(session_id)
        [answer] = engine.wait_for(Answer)
        answered_us = answer.answered_us
        asterisk.hang_up_untold()
        if in_log:
            answer_text, end_text = moment(answered_us), moment(answered_us + 1)
            leg = f"{session_id}/{PAID}/{answer_text}"
            cdr_file.write_text(row(session=session_id, start=answer_text, end=end_text, a=leg) + "\n")
        [settle] = engine.wait_for(Settle)
        wait_until(lambda: daemon.metric("pbxbill_ami_live_calls") == 0, 30, "the call to be forgotten")
        assert daemon.metric("pbxbill_ami_hangups_total") == 2, "the second one finds out"
    assert settle.answered_us == answered_us
    if in_log:
        assert (settle.evidence, settle.ended_us) == (Evidence.CDR_LOG, answered_us + 1)
    else:
        assert settle.evidence is Evidence.ESTIMATE
        assert settle.ended_us - answered_us == pytest.approx(SECOND_US, abs=100_000)
        assert settle.ended_us < time.time_ns() // 1000


def test_a_call_that_was_granted_from_memory_is_not_steered(monkeypatch: pytest.MonkeyPatch) -> None:
    steered: list[Granted] = []
    begin = LiveCall.__init__

    def note(live: LiveCall, granted: Granted) -> None:
        steered.append(granted)
        begin(live, granted)

    monkeypatch.setattr(LiveCall, "__init__", note)
    engine = SimpleEngine({"open": Funds(SECOND_US, failure_policy=FailurePolicy.OPEN)}, down=True)
    with small_site(engine) as (asterisk, daemon):
        told = asterisk.ask("open")
        assert (told["PBXBILL_VERDICT"], told["CDR(pbxbill_mode)"]) == ("allow", "offline")
        daemon.reconciler.called.clear()
        asterisk.answer(told["PBXBILL_SESSION"])
        assert daemon.reconciler.called.wait(30), "a session that is not in the book is compared"
        asterisk.ask("open")
    assert steered == []
    assert asterisk.orders == []
    assert engine.of(Answer) == []


@pytest.mark.parametrize("restarted", [True, False])
def test_nobody_pays_for_the_time_in_which_the_switch_was_dead(restarted: bool) -> None:
    engine = SimpleEngine({"acme": Funds(100 * SECOND_US)})
    with small_site(engine) as (asterisk, daemon):
        asterisk.answer(asterisk.ask("acme")["PBXBILL_SESSION"])
        engine.wait_for(Answer)
        asterisk.go_away()
        wait_for_link(daemon, up=False)
        lost_us = time.time_ns() // 1000
        asterisk.hang_up_untold()
        time.sleep(1)  # the outage: it must not be charged
        asterisk.started = "12:00:01" if restarted else asterisk.started
        asterisk.away = False
        [settle] = engine.wait_for(Settle)
    assert settle.evidence is Evidence.ESTIMATE
    if restarted:
        assert settle.ended_us == pytest.approx(lost_us, abs=300_000)
        assert daemon.reconciler.last_seen[-1] == pytest.approx(lost_us, abs=300_000)
    else:
        assert settle.ended_us > lost_us + 900_000, "it lived on, and nobody knows for how long"
        assert daemon.reconciler.last_seen[-1] is None


class MuteForExtensions(SimpleEngine):
    """Its database answers nothing once calls are up."""

    def submit(self, command: object, timeout_ms: int | None = None) -> Future[Outcome]:
        return Future() if isinstance(command, Extend) else super().submit(command, timeout_ms)


@pytest.mark.parametrize("policy", list(FailurePolicy))
def test_an_open_account_talks_on_when_no_extension_is_answered(policy: FailurePolicy) -> None:
    account = Funds(100 * SECOND_US, slice_us=3 * SECOND_US, failure_policy=policy)
    with small_site(MuteForExtensions({"acme": account})) as (asterisk, daemon):
        asterisk.answer(asterisk.ask("acme")["PBXBILL_SESSION"])
        daemon.engine.wait_for(Answer)
        wait_until(lambda: asterisk.timers_of(PAID), 30, "the first timer")
        hang_ups = "pbxbill_ami_hangups_total"
        if policy is FailurePolicy.OPEN:
            wait_until(lambda: len(asterisk.timers_of(PAID)) > 1, 10, "more time without an answer")
            assert daemon.metric(hang_ups) == 0
        else:
            wait_until(lambda: daemon.metric(hang_ups), 10, "the end of what was granted")
            assert len(asterisk.timers_of(PAID)) == 1


@pytest.mark.parametrize("card, spared", [("(null)", False), ("", False), ("7", True)])
def test_a_line_at_an_access_number_is_known_by_its_card(card: str, spared: bool) -> None:
    """Status says "(null)" of a variable that is not set."""
    status = f"Event: Status\r\nVariable: UNIQUEID=pbx1-1.1\r\nVariable: PBXBILL_CARD={card}"
    assert parse_channel(parse_message(status.encode())).at_access_number is spared
