"""Messages on their way: once per cause, in order, tried again, never in two hands at once."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Engine, select

from lab.ports import free_port
from pbxbill.clock import SECOND_US, ManualClock
from pbxbill.notify.outbox import (
    CLAIM_S,
    GIVE_UP_S,
    OUTAGE_RETRY_S,
    RETRY_S,
    NewMessage,
    claim,
    counts,
    enqueue,
    mark_bounced,
    mark_failed,
    mark_sent,
    retry,
    still_ours,
)
from pbxbill.notify.sending import TOGETHER, TURN_CLAIMS, mail_settings, send_waiting
from pbxbill.notify.smtp import MailSettings, settings_to_json
from pbxbill.store.alerts import list_alerts
from pbxbill.store.billing_models import IssuerRow, PartyRow
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.invoice_models import InvoiceEventRow, InvoiceFileRow, InvoiceRow, MessageRow
from pbxbill.store.notice_models import MailOutageRow
from tests.notify.mail_servers import inbox
from tests.store.billed_accounts import BilledAccounts, open_accounts

NOW_US = 1_772_000_000 * SECOND_US


@pytest.fixture
def accounts(database_url: str) -> BilledAccounts:
    return open_accounts(database_url)


@pytest.fixture
def database(accounts: BilledAccounts) -> Iterator[Engine]:
    engine = open_engine(accounts.url)
    yield engine
    engine.dispose()


@pytest.fixture
def operator(accounts: BilledAccounts) -> int:
    ((id,),) = accounts.select("SELECT id FROM accounts WHERE kind = 'operator'")
    return int(id)


def put(database: Engine, issuer_id: int, key: str, recipient: str = "bob@example.com", **more) -> bool:
    message = NewMessage(key, issuer_id, None, "invoice", recipient, f"Subject {key}", f"Text {key}", **more)
    with transaction(database) as session:
        return enqueue(session, message, NOW_US)


def states(database: Engine) -> dict[str, tuple[str, str]]:
    with transaction(database) as session:
        rows = session.scalars(select(MessageRow).order_by(MessageRow.id)).all()
        return {row.key: (row.state, row.error) for row in rows}


def test_one_cause_is_told_once(database: Engine, operator: int) -> None:
    assert put(database, operator, "invoice:1")
    assert not put(database, operator, "invoice:1")
    assert states(database) == {"invoice:1": ("waiting", "")}


def test_a_message_is_in_one_hand_at_a_time_until_that_hand_has_died(database: Engine, operator: int) -> None:
    put(database, operator, "a")
    put(database, operator, "b")
    with transaction(database) as session:
        assert [row.key for row in claim(session, NOW_US, 1)] == ["a"]
    with transaction(database) as session:
        assert [row.key for row in claim(session, NOW_US, 10)] == ["b"]
    later_us = NOW_US + (CLAIM_S + 1) * SECOND_US
    with transaction(database) as session:
        assert [row.key for row in claim(session, later_us, 10)] == ["a", "b"]


def test_failed_attempts_wait_ever_longer_and_end(database: Engine, operator: int) -> None:
    put(database, operator, "a")
    at_us = NOW_US
    for wait_s in RETRY_S:
        with transaction(database) as session:
            (row,) = claim(session, at_us, 10)
            assert mark_failed(session, row.id, "450 busy", at_us, permanent=False) == "waiting"
        with transaction(database) as session:
            assert claim(session, at_us + wait_s * SECOND_US - 1, 10) == []
        at_us += wait_s * SECOND_US
    with transaction(database) as session:
        (row,) = claim(session, at_us, 10)
        assert mark_failed(session, row.id, "450 busy", at_us, permanent=False) == "failed"
    assert states(database) == {"a": ("failed", "450 busy")}
    with transaction(database) as session:
        assert retry(session, [row.id], at_us) == 1
        assert [row.key for row in claim(session, at_us, 10)] == ["a"]


def test_what_was_sent_is_not_sent_again_by_hand(database: Engine, operator: int) -> None:
    put(database, operator, "a")
    with transaction(database) as session:
        (row,) = claim(session, NOW_US, 10)
        mark_sent(session, row.id, NOW_US)
    with transaction(database) as session:
        assert retry(session, [row.id], NOW_US) == 0
        assert counts(session) == {"sent": 1}


def test_a_notification_that_comes_back_is_recorded(database: Engine, operator: int) -> None:
    put(database, operator, "a")
    with transaction(database) as session:
        (row,) = claim(session, NOW_US, 10)
        mark_sent(session, row.id, NOW_US)
    with transaction(database) as session:
        assert mark_bounced(session, f"<{row.message_id}@operator.example>", "550 no such user") is not None
        assert mark_bounced(session, "unknown@example.com", "550") is None
    assert states(database) == {"a": ("bounced", "550 no such user")}


def test_the_outbox_is_emptied_into_the_mail_server_with_the_files_of_invoices(
    database: Engine, operator: int, accounts: BilledAccounts
) -> None:
    invoice_id = _invoice(database, operator, accounts.ids["alice"])
    put(database, operator, "a", invoice_id=invoice_id)
    put(database, operator, "b", "gone@example.com")
    put(database, operator, "c", "full@example.com")
    clock = ManualClock(NOW_US)
    with inbox() as (kept, settings):
        kept.answers = {"gone@example.com": "550 no such user", "full@example.com": "452 full"}
        sent = send_waiting(database, clock, settings)
        assert (sent.sent, sent.waiting, sent.failed) == (1, 1, 1)
        assert kept.connections == 1
        kept.answers = {}
        clock.advance(RETRY_S[0] * SECOND_US)
        sent = send_waiting(database, clock, settings)
        assert (sent.sent, sent.waiting, sent.failed) == (1, 0, 0)
        contents = list(kept.contents)
    assert b"INV-1.pdf" in contents[0]
    assert b"INV-1.pdf" not in contents[1]
    assert states(database) == {
        "a": ("sent", ""),
        "b": ("bounced", "550 no such user"),
        "c": ("sent", ""),
    }
    with transaction(database) as session:
        (event,) = session.scalars(select(InvoiceEventRow)).all()
        assert (event.invoice_id, event.kind, event.detail) == (invoice_id, "sent", "to bob@example.com")


def test_many_messages_stop_where_they_are_told_to(database: Engine, operator: int) -> None:
    for number in range(45):
        put(database, operator, f"m{number}")
    with inbox() as (kept, settings):
        assert send_waiting(database, ManualClock(NOW_US), settings, most=30).sent == 30
        assert send_waiting(database, ManualClock(NOW_US), settings, stop=lambda: True).sent == 0
        assert send_waiting(database, ManualClock(NOW_US), settings).sent == 15
        subjects = [content.split(b"Subject: ")[1].splitlines()[0] for content in kept.contents]
    assert subjects == [b"Subject m%d" % number for number in range(45)]


def test_an_issuer_sends_by_his_own_server_else_by_the_operators_in_his_name(
    database: Engine, accounts: BilledAccounts
) -> None:
    reseller = accounts.ids["reseller"]
    default = MailSettings(host="mail.operator.example", sender="billing@operator.example")
    with transaction(database) as session:
        session.add(PartyRow(account_id=reseller, legal_name="Phones Ltd", email="office@phones.example"))
    with transaction(database) as session:
        found = mail_settings(session, reseller, default)
        assert (found.host, found.sender) == ("mail.operator.example", "billing@operator.example")
        assert (found.sender_name, found.reply_to) == ("Phones Ltd", "office@phones.example")
        ((operator_id,),) = accounts.select("SELECT id FROM accounts WHERE kind = 'operator'")
        theirs = MailSettings(host="mx.operator.example", sender="us@operator.example", sender_name="Us")
        session.add(IssuerRow(account_id=operator_id, mail=settings_to_json(theirs)))
        session.flush()
        found = mail_settings(session, reseller, MailSettings())
        assert (found.host, found.sender) == ("mx.operator.example", "us@operator.example")
        assert (found.sender_name, found.reply_to) == ("Phones Ltd", "office@phones.example")
        own = MailSettings(host="mail.phones.example", sender="bills@phones.example", sender_name="Phones")
        session.add(IssuerRow(account_id=reseller, mail=settings_to_json(own)))
        session.flush()
        assert mail_settings(session, reseller, default) == own


def _invoice(database: Engine, issuer_id: int, account_id: int) -> int:
    with transaction(database) as session:
        row = InvoiceRow(
            issuer_id=issuer_id,
            account_id=account_id,
            kind="invoice",
            state="paid",
            number="INV-1",
            unit="EUR",
            created_us=NOW_US,
            net=0,
            tax=0,
            total=0,
            from_wallet=0,
            due=0,
            open=0,
            open_wallet=0,
            dunning_step=0,
        )
        session.add(row)
        session.flush()
        content = b"%PDF-1.7"
        session.add(
            InvoiceFileRow(
                invoice_id=row.id,
                kind="pdf",
                name="INV-1.pdf",
                sha256="0" * 64,
                content=content,
                created_us=NOW_US,
            )
        )
        return row.id


def test_settings_that_one_issuer_keeps_wrong_hold_up_nobody_else(
    database: Engine, operator: int, accounts: BilledAccounts
) -> None:
    with transaction(database) as session:
        session.add(IssuerRow(account_id=accounts.ids["reseller"], mail='{"host": "mail..example.com"}'))
    put(database, accounts.ids["reseller"], "bad")
    put(database, operator, "good")
    with inbox() as (kept, settings):
        sent = send_waiting(database, ManualClock(NOW_US), settings)
        assert (sent.sent, sent.waiting) == (1, 1)
        assert len(kept.messages) == 1
    assert states(database)["bad"][0] == "waiting"


def test_a_message_that_somebody_else_took_meanwhile_is_left_to_him(database: Engine, operator: int) -> None:
    put(database, operator, "a")
    with transaction(database) as session:
        (row,) = claim(session, NOW_US, 10)
    with transaction(database) as session:
        assert still_ours(session, row.id, NOW_US, NOW_US + 1)
        assert not still_ours(session, row.id, NOW_US, NOW_US + 2)


def test_long_addresses_are_told_apart(database: Engine, operator: int) -> None:
    long = "x" * 150
    assert put(database, operator, f"invoice:1:{long}a@example.com")
    assert put(database, operator, f"invoice:1:{long}b@example.com")
    assert not put(database, operator, f"invoice:1:{long}b@example.com")


def test_a_day_without_the_mail_server_delays_everything_and_loses_nothing(
    database: Engine, operator: int
) -> None:
    clock = ManualClock(NOW_US)
    nobody = MailSettings(host="127.0.0.1", port=free_port(), security="none", sender="billing@op.example")
    for hour in range(25):
        with transaction(database) as session:
            message = NewMessage(f"m{hour}", operator, None, "invoice", "bob@example.com", f"S{hour}", "T")
            assert enqueue(session, message, clock.now_us())
        assert send_waiting(database, clock, nobody).sent == 0
        clock.advance(3_600 * SECOND_US)
    with inbox() as (kept, settings):
        assert send_waiting(database, clock, settings).sent == 25
        subjects = [content.split(b"Subject: ")[1].splitlines()[0] for content in kept.contents]
    assert subjects == [b"S%d" % hour for hour in range(25)]
    with transaction(database) as session:
        assert [x.kind for x in list_alerts(session)] == ["mail_down"]
        assert session.get(MailOutageRow, operator) is None
        assert {row.attempts for row in session.scalars(select(MessageRow))} == {0}


def test_a_server_that_is_away_is_left_alone_for_a_while(database: Engine, operator: int) -> None:
    clock = ManualClock(NOW_US)
    nobody = MailSettings(host="127.0.0.1", port=free_port(), security="none", sender="billing@op.example")
    put(database, operator, "a")
    send_waiting(database, clock, nobody)
    with inbox() as (_kept, settings):
        assert send_waiting(database, clock, settings).sent == 0
        clock.advance(OUTAGE_RETRY_S[0] * SECOND_US)
        assert send_waiting(database, clock, settings).sent == 1


def test_what_a_clock_noted_that_was_a_year_ahead_holds_up_no_mail(database: Engine, operator: int) -> None:
    clock = ManualClock(NOW_US + 365 * 86_400 * SECOND_US)
    nobody = MailSettings(host="127.0.0.1", port=free_port(), security="none", sender="billing@op.example")
    for key in ("a", "b"):
        with transaction(database) as session:
            message = NewMessage(key, operator, None, "x", "bob@example.com", "S", "T")
            enqueue(session, message, clock.now_us())
        if key == "a":
            send_waiting(database, clock, nobody)
        else:
            with transaction(database) as session:
                assert len(claim(session, clock.now_us(), 10)) == 2  # by a process that dies
    clock.advance(-365 * 86_400 * SECOND_US)
    put(database, operator, "c")
    with inbox() as (_kept, settings):
        assert send_waiting(database, clock, settings).sent == 3


def test_a_message_that_could_not_be_tried_for_a_week_is_listed_and_retried_by_hand(
    database: Engine, operator: int
) -> None:
    clock = ManualClock(NOW_US)
    put(database, operator, "a")
    send_waiting(database, clock, MailSettings())
    clock.advance(GIVE_UP_S * SECOND_US)
    put(database, operator, "b")
    send_waiting(database, clock, MailSettings())
    assert {key: state for key, (state, _why) in states(database).items()} == {"a": "failed", "b": "failed"}
    with transaction(database) as session:
        assert retry(session, list(session.scalars(select(MessageRow.id))), clock.now_us()) == 2
    with inbox() as (kept, settings):
        assert send_waiting(database, clock, settings).sent == 2
        assert len(kept.messages) == 2


def test_an_issuer_sends_no_faster_than_his_server_takes_it(database: Engine, operator: int) -> None:
    clock = ManualClock(NOW_US)
    for number in range(7):
        put(database, operator, f"m{number}")
    with inbox() as (_kept, settings):
        slow = replace(settings, per_minute=3)
        assert [_sent_then_a_minute(database, clock, slow) for _ in range(4)] == [3, 3, 1, 0]


def _sent_then_a_minute(database: Engine, clock: ManualClock, settings: MailSettings) -> int:
    sent = send_waiting(database, clock, settings).sent
    clock.advance(60 * SECOND_US)
    return sent


def test_many_messages_of_one_issuer_do_not_hold_up_the_others(
    database: Engine, operator: int, accounts: BilledAccounts
) -> None:
    for number in range(TOGETHER * TURN_CLAIMS + 50):
        put(database, operator, f"m{number}")
    put(database, accounts.ids["reseller"], "other", "carol@example.com")
    with inbox() as (kept, settings):
        send_waiting(database, ManualClock(NOW_US), settings)
        recipients = [envelope.rcpt_tos[0] for envelope in kept.messages]
    assert recipients.index("carol@example.com") == TOGETHER * TURN_CLAIMS
    assert len(recipients) == TOGETHER * TURN_CLAIMS + 51


def test_a_message_waits_until_its_moment(database: Engine, operator: int) -> None:
    put(database, operator, "quiet", not_before_us=NOW_US + 60 * SECOND_US)
    put(database, operator, "digest", gathered=True)
    clock = ManualClock(NOW_US)
    with inbox() as (_kept, settings):
        assert send_waiting(database, clock, settings).sent == 0
        clock.advance(60 * SECOND_US)
        assert send_waiting(database, clock, settings).sent == 1
    assert states(database)["digest"][0] == "gathered"
