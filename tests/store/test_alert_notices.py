"""Alerts reach those whom they concern, once; a lost switch or carrier is noticed, once each time."""

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from pbxbill.billing.notices.alert_notices import TELLABLE_US, tell_alerts
from pbxbill.billing.notices.watching import (
    ANSWERED_BEFORE,
    CARRIER_BEFORE_US,
    CARRIER_LOST_US,
    SILENT_US,
    lost_carriers,
    lost_switches,
)
from pbxbill.billing.parties import set_party
from pbxbill.clock import SECOND_US
from pbxbill.ids import new_id
from pbxbill.store.alerts import AGAIN_US, list_alerts, raise_alert
from pbxbill.store.catalogue_models import CallCostRow, CarrierRow
from pbxbill.store.invoice_models import MessageRow
from pbxbill.store.models import AccountRow, CdrRow, TariffRow
from pbxbill.store.switch_models import DaemonLeaseRow
from tests.store.billed_accounts import BilledAccounts
from tests.store.invoiced_accounts import Invoicing

MINUTE_US = 60 * SECOND_US


@pytest.fixture
def invoicing(accounts: BilledAccounts) -> Iterator[Invoicing]:
    made = Invoicing(accounts)
    with made.transaction() as session:
        operator = session.scalars(select(AccountRow.id).where(AccountRow.kind == "operator")).one()
        emails = {
            operator: "noc@operator.example",
            accounts.ids["reseller"]: "office@reseller.example",
            accounts.ids["alice"]: "alice@example.com",
        }
        for id, email in emails.items():
            set_party(session, id, {"email": email, "legal_name": email})
    yield made
    made.database.dispose()


def alert(invoicing: Invoicing, kind: str, subject: str, code: str | None = None) -> None:
    with invoicing.transaction() as session:
        account_id = None if code is None else invoicing.accounts.ids[code]
        raise_alert(session, kind, subject, "why", account_id, at_us=invoicing.clock.now_us())


def told(invoicing: Invoicing) -> list[tuple[str, str]]:
    """Kind and address of the messages that this look at the alerts made."""
    with invoicing.transaction() as session:
        before = set(session.scalars(select(MessageRow.id)))
        tell_alerts(session, invoicing.clock.now_us())
        rows = session.scalars(select(MessageRow).order_by(MessageRow.id))
        return [(row.kind, row.recipient) for row in rows if row.id not in before]


def test_an_accounts_alert_goes_to_it_and_to_its_issuer(invoicing: Invoicing) -> None:
    alert(invoicing, "spending_limit", "account alice", "alice")
    alert(invoicing, "country_held", "account alice, country CU", "alice")
    assert told(invoicing) == [
        ("spend_limit", "alice@example.com"),
        ("spend_limit", "office@reseller.example"),
        ("new_country", "alice@example.com"),
        ("new_country", "office@reseller.example"),
    ]
    assert told(invoicing) == []
    with invoicing.transaction() as session:
        subjects = [row.subject for row in session.scalars(select(MessageRow).order_by(MessageRow.id))]
    assert subjects[:2] == ["Spending limit reached", "Spending limit reached by alice"]


def test_the_installations_alerts_go_to_the_operator(invoicing: Invoicing) -> None:
    alert(invoicing, "quarantine", "cdrs.csv")
    alert(invoicing, "switch_lost", "switch fs1")
    alert(invoicing, "carrier_lost", "carrier a")
    alert(invoicing, "job_failed", "renewals")
    alert(invoicing, "refund_unclear", "refund 1", "alice")
    alert(invoicing, "call_rate", "account alice", "alice")
    assert told(invoicing) == [
        (kind, "noc@operator.example")
        for kind in ("quarantine", "switch_lost", "carrier_lost", "alert", "alert")
    ]


def test_old_alerts_are_no_news(invoicing: Invoicing) -> None:
    alert(invoicing, "quarantine", "cdrs.csv")
    invoicing.clock.advance(TELLABLE_US + 1)
    assert told(invoicing) == []


def test_a_daemon_that_is_silent_is_told_of_once_each_time(invoicing: Invoicing) -> None:
    clock = invoicing.clock
    with invoicing.transaction() as session:
        session.add(DaemonLeaseRow(switch="fs1", holder="host:17:1", renewed_us=clock.now_us()))
    assert lost(invoicing) == 0
    clock.advance(SILENT_US)
    assert lost(invoicing) == 0
    clock.advance(1)
    assert lost(invoicing) == 1
    for _ in range(3):
        clock.advance(AGAIN_US)
        assert lost(invoicing) == 0
    with invoicing.transaction() as session:
        session.get_one(DaemonLeaseRow, "fs1").renewed_us = clock.now_us()
    assert lost(invoicing) == 0
    clock.advance(2 * SILENT_US)
    assert lost(invoicing) == 1
    assert told(invoicing) == [("switch_lost", "noc@operator.example")] * 2


def lost(invoicing: Invoicing) -> int:
    with invoicing.transaction() as session:
        return lost_switches(session, invoicing.clock.now_us())


def calls(invoicing: Invoicing, count: int, carrier_id: int | None, cause: int = 16) -> None:
    with invoicing.transaction() as session:
        for _ in range(count):
            id, now_us = new_id(), invoicing.clock.now_us()
            session.add(
                CdrRow(
                    session_id=id,
                    switch="fs1",
                    call_id=id,
                    direction="outbound",
                    account_id=None,
                    caller="",
                    dialled="49",
                    called="49",
                    destination="Germany",
                    started_us=now_us,
                    answered_us=None if carrier_id is None else now_us,
                    ended_us=now_us,
                    billed_us=0,
                    granted_us=0,
                    hangup_cause=cause,
                    denial=None,
                    detail="",
                    evidence="event",
                    created_us=now_us,
                )
            )
            if carrier_id is not None:
                session.add(
                    CallCostRow(
                        session_id=id,
                        gateway="gw",
                        carrier_id=carrier_id,
                        tariff_version_id=1,
                        rate_id=None,
                        unit="EUR",
                        billable_s=0,
                        cost=0,
                    )
                )


def test_a_carrier_that_answers_no_more_is_told_of_once(invoicing: Invoicing) -> None:
    clock = invoicing.clock
    with invoicing.transaction() as session:
        tariff_id = session.scalars(select(TariffRow.id)).first()
        assert tariff_id is not None
        carrier = CarrierRow(name="cheap", tariff_id=tariff_id)
        session.add(carrier)
        session.flush()
        cheap = carrier.id
    calls(invoicing, ANSWERED_BEFORE, cheap)
    clock.advance(CARRIER_LOST_US + MINUTE_US)
    assert carriers(invoicing) == 0  # a quiet hour is no loss
    calls(invoicing, 10, None, cause=17)
    assert carriers(invoicing) == 0  # busy is none either
    calls(invoicing, 10, None, cause=34)
    assert carriers(invoicing) == 1
    assert carriers(invoicing) == 0
    clock.advance(CARRIER_LOST_US)
    calls(invoicing, 10, None, cause=34)
    assert carriers(invoicing) == 0
    calls(invoicing, ANSWERED_BEFORE, cheap)
    clock.advance(CARRIER_LOST_US + CARRIER_BEFORE_US // 2)
    calls(invoicing, 10, None, cause=34)
    assert carriers(invoicing) == 0  # it was told within the hour
    with invoicing.transaction() as session:
        assert [x.subject for x in list_alerts(session)] == ["carrier cheap"]


def carriers(invoicing: Invoicing) -> int:
    with invoicing.transaction() as session:
        return lost_carriers(session, invoicing.clock.now_us())
