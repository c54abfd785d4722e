"""A call on real parts whose funds run low is paid on from a saved card, and goes on."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.sipp import SippCaller
from pbxbill.app import open_desk
from pbxbill.billing.payments.auto_top_up_attempts import fill_wallets
from pbxbill.billing.payments.auto_top_ups import AutoTopUpTerms, set_auto_top_up
from pbxbill.billing.payments.balance_marks import read_marks
from pbxbill.store.engine import transaction
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import PaymentGatewayRow, SavedMethodRow
from tests.store.scripted_gateway import ScriptedGateway
from tests.switch.ami.harness import wait_until
from tests.switch.ami.test_real_engine import SECOND_PRICE, TALK, Office, office

__all__ = ["office"]

pytestmark = pytest.mark.timeout(120)
FUNDS_S, FILLED_S = 4, 5
QUIET = "UPDATE tariff_versions SET announce_balance = 0, announce_minutes = 0, announce_warning = 0"


def fill_once(office: Office) -> None:
    """0.06 EUR, which last for 5 seconds, once less than a second's worth is left that no call holds."""
    now_us = office.application.clock.now_us()
    with transaction(office.application.database) as session:
        account = session.get_one(AccountRow, office.operator.customer_id)
        gateway = PaymentGatewayRow(
            issuer_id=account.parent_id,
            name="cards",
            kind="stripe",
            settings="{}",
            enabled=True,
            created_us=0,
        )
        session.add(gateway)
        session.flush()
        session.add(
            SavedMethodRow(
                account_id=account.id,
                gateway_id=gateway.id,
                customer_ref="cus_1",
                method_ref="pm_1",
                brand="visa",
                last4="4242",
                expires="2099-01",
                state="active",
                preferred=True,
                created_us=0,
            )
        )
        session.flush()
        amount = FILLED_S * SECOND_PRICE
        set_auto_top_up(
            session, account, "EUR", AutoTopUpTerms(SECOND_PRICE, amount, daily_cap=amount), now_us
        )


@contextmanager
def jobs(office: Office, gateway: ScriptedGateway) -> Iterator[None]:
    """What `pbxbill jobs` does about balances, every quarter of a second."""
    ended = threading.Event()

    def run() -> None:
        with open_desk(office.application, opened=lambda row: gateway) as desk:
            while not ended.wait(0.25):
                read_marks(office.application.database, office.application.clock)
                fill_wallets(desk)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(20)


def test_a_live_call_is_paid_on_from_a_saved_card(office: Office, tmp_path: Path) -> None:
    gateway = ScriptedGateway(tmp_path / "gateway.json")
    with office.application.database.begin() as connection:
        connection.exec_driver_sql(QUIET)
    with office.working() as charging:
        office.top_up(charging, "funds", FUNDS_S * SECOND_PRICE)
        fill_once(office)
        with jobs(office, gateway), SippCaller(TALK, office.site.asterisk.sip_port) as caller:
            wait_until(lambda: any(call.answered_us for call in caller.calls()), 30, "the answer")
            began_s = time.monotonic()
            result = caller.wait(60)
            lasted_s = time.monotonic() - began_s
        [(_, _, total)] = office.wait_settled(1)
    assert gateway.charges == 1
    assert result.calls[0].talked_us == pytest.approx((FUNDS_S + FILLED_S) * 1_000_000, abs=400_000)
    assert lasted_s > FUNDS_S
    assert total == (FUNDS_S + FILLED_S) * SECOND_PRICE
