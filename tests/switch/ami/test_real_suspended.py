"""A suspended account on real parts: its calls are denied, help and support pass, a lift counts at once."""

import time

import pytest

from lab.sipp import Call, Calling, SippCaller, place
from pbxbill.billing.life_cycle.suspending import HAND, lift, suspend
from pbxbill.billing.parties import Issuer, set_issuer
from pbxbill.charging.status import AccountStatus
from pbxbill.store.engine import transaction
from pbxbill.store.models import AccountRow
from tests.switch.ami.harness import wait_until
from tests.switch.ami.test_real_engine import SECOND_PRICE, TALK, Office, office

__all__ = ["office"]

NUMBER, SUPPORT = "4930123", "4930999"


OPEN = "SELECT session_id FROM reservations WHERE state = 'reserved' AND destination = 'Germany'"
QUIET = "UPDATE tariff_versions SET announce_balance = 0, announce_minutes = 0, announce_denial = 0"


def bar(office: Office, status: AccountStatus, *, cut: bool = False) -> None:
    """As another process would: past the daemon's engine."""
    now_us = office.application.clock.now_us()
    with transaction(office.application.database) as session:
        suspend(
            session,
            office.operator.customer_id,
            status,
            cause=HAND,
            reason="test",
            now_us=now_us,
            cut=cut,
        )


def unbar(office: Office) -> None:
    with transaction(office.application.database) as session:
        lift(session, office.operator.customer_id, cause=HAND, now_us=office.application.clock.now_us())


def refused(office: Office, number: str) -> bool:
    call = Call(number, caller="ann", calling=Calling.REJECTED, rejections=(403, 603))
    return place(call, office.site.asterisk.sip_port).successful == 1


def passes(office: Office, number: str) -> bool:
    return place(Call(number, caller="ann", hold_ms=300), office.site.asterisk.sip_port).successful == 1


@pytest.mark.parametrize("status", [AccountStatus.NO_OUTGOING, AccountStatus.SUSPENDED])
def test_help_and_support_are_reached_and_the_bar_is_lifted_within_a_second(
    office: Office, status: AccountStatus
) -> None:
    with transaction(office.application.database) as session:
        operator_id = session.get_one(AccountRow, office.operator.customer_id).parent_id
        assert operator_id is not None
        set_issuer(session, operator_id, Issuer(support_numbers=SUPPORT))
    with office.application.database.begin() as connection:
        connection.exec_driver_sql(QUIET)
    with office.working() as charging:
        office.top_up(charging, "funds", 100 * SECOND_PRICE)
        assert passes(office, NUMBER)
        bar(office, status)
        assert refused(office, NUMBER)
        assert passes(office, "112")
        assert passes(office, SUPPORT)
        unbar(office)
        lifted_s = time.monotonic()
        with SippCaller(TALK, office.site.asterisk.sip_port) as caller:
            wait_until(lambda: office.select(OPEN), 30, "the grant")
            assert time.monotonic() - lifted_s < 2  # SIPp itself takes a while to start
            wait_until(lambda: any(call.answered_us for call in caller.calls()), 30, "the answer")
            bar(office, AccountStatus.TERMINATED)
            caller.kill()
        assert refused(office, SUPPORT)
        assert passes(office, "112")
    denials = office.select("SELECT dialled, detail FROM cdrs WHERE denial IS NOT NULL ORDER BY started_us")
    assert [dialled for dialled, _ in denials] == [NUMBER, SUPPORT]
    assert all(detail.startswith("account alice ") for _, detail in denials)


def test_a_call_that_is_cut_ends_with_its_slice(office: Office) -> None:
    with office.application.database.begin() as connection:
        connection.exec_driver_sql("UPDATE tariff_versions SET slice_s = 4, renew_before_s = 1")
    with office.working() as charging:
        office.top_up(charging, "funds", 100 * SECOND_PRICE)
        with SippCaller(TALK, office.site.asterisk.sip_port) as caller:
            wait_until(lambda: any(call.answered_us for call in caller.calls()), 30, "the answer")
            bar(office, AccountStatus.SUSPENDED, cut=True)
            result = caller.wait(40)
        [(_, _, total)] = office.wait_settled(1)
    assert result.calls[0].talked_us == pytest.approx(4_000_000, abs=400_000)
    assert total == 4 * SECOND_PRICE
