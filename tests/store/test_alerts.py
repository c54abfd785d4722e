"""Alerts: told once an hour, and only when they are in the database."""

from pathlib import Path

import pytest

from pbxbill.clock import SECOND_US
from pbxbill.store.accounts import account_by_code
from pbxbill.store.alerts import (
    AGAIN_US,
    RAISED,
    NewAlert,
    announce_alerts,
    list_alerts,
    raise_alert,
    write_alerts,
)
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine, transaction
from tests.store.command_line import Ok, shown

NOON_US = 1_767_268_800 * SECOND_US


@pytest.fixture
def operator(ok: Ok, tmp_path: Path) -> None:
    """A reseller with one prepaid customer and two phones."""
    ok("init")
    ok("accounts", "add", "acme", "--kind", "reseller", "--mode", "postpaid", "--unit", "EUR")
    ok("accounts", "add", "alice", "--parent", "acme", "--unit", "EUR", "--sip", "2001", "--sip", "2002")


def test_an_alert_counts_once_an_hour(operator: None, ok: Ok, database_url: str) -> None:
    database, driver = open_engine(database_url), connect(database_url)
    before = RAISED.labels("spending_limit")._value.get()
    with transaction(database) as session:
        alice = account_by_code(session, "alice").id
        acme = account_by_code(session, "acme").id

        def told(at_us: int, account_id: int | None = alice, subject: str = "alice") -> bool:
            detail = "limit 1: spent"
            return (
                raise_alert(session, "spending_limit", subject, detail, account_id, at_us=at_us) is not None
            )

        assert told(NOON_US)
        assert not told(NOON_US + 1)
        assert not told(NOON_US + AGAIN_US - 1)
        assert told(NOON_US + AGAIN_US)
        assert told(NOON_US, acme)
        assert told(NOON_US, None)
        assert not told(NOON_US, None)
        assert told(NOON_US, subject="x" * 300)
        assert not told(NOON_US, subject="x" * 300)
    assert RAISED.labels("spending_limit")._value.get() == before + 5
    driver.begin()
    new = write_alerts(
        driver,
        [
            NewAlert(NOON_US + AGAIN_US + 1, "spending_limit", alice, "alice", "again"),
            NewAlert(NOON_US + 1, "short_calls", alice, "sip 2001", "d" * 600),
            NewAlert(NOON_US + 2, "short_calls", alice, "sip 2001"),
        ],
    )
    driver.commit()
    assert [(alert.kind, len(alert.detail)) for alert in new] == [("short_calls", 500)]
    announce_alerts(new)
    with transaction(database) as session:
        assert len(list_alerts(session)) == 6
        assert [row.kind for row in list_alerts(session, kind="short_calls")] == ["short_calls"]
        assert len(list_alerts(session, account_id=acme)) == 1
        assert len(list_alerts(session, most=2)) == 2
    driver.close()
    database.dispose()
    listed = shown(ok, "alerts", "--since", "2026-01-01T12:00:00.000001", "--account", "alice")
    assert [row["kind"] for row in listed] == ["spending_limit", "short_calls"]
    assert listed[1]["subject"] == "sip 2001"
    assert "sip 2001" in ok("alerts", "--kind", "short_calls")


def test_an_alert_of_work_that_was_undone_is_not_told(operator: None, database_url: str) -> None:
    database = open_engine(database_url)
    before = RAISED.labels("quarantine")._value.get()

    def work_that_fails() -> None:
        with transaction(database) as session:
            raise_alert(session, "quarantine", "file", "detail", at_us=NOON_US)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        work_that_fails()
    with transaction(database) as session:
        assert list_alerts(session) == []
    assert RAISED.labels("quarantine")._value.get() == before
    database.dispose()
