"""Notices: who is told what, in which words, when, and once."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from email import message_from_bytes
from email.policy import default

import pytest
from sqlalchemy import select

from pbxbill.billing.notices.notice_digests import due_digests, write_digest
from pbxbill.billing.notices.notice_kinds import KINDS, NoticeKind
from pbxbill.billing.notices.notice_preview import fault_of
from pbxbill.billing.notices.notice_profiles import Delivery, choose, set_delivery
from pbxbill.billing.notices.notice_templates import NoticeWords, save_words
from pbxbill.billing.notices.noticing import Fact, Facts, Moment, Money, tell
from pbxbill.billing.notices.webhook_endpoints import add_endpoint, switch
from pbxbill.billing.parties import set_party
from pbxbill.billing.profiles import ProfileTerms, set_profile
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.notify.outbox import RETRY_S
from pbxbill.notify.sending import send_waiting
from pbxbill.store.alerts import list_alerts
from pbxbill.store.invoice_models import MessageRow
from pbxbill.store.models import AccountRow
from tests.notify.mail_servers import inbox
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.invoiced_accounts import Invoicing

TOP_UP: dict[str, Fact] = {"amount": Money(eur("12.5"), "EUR"), "balance": Money(eur("20"), "EUR")}
DECLINED: Facts = {"amount": Money(eur("12.5"), "EUR"), "why": "no funds"}


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND_US


@pytest.fixture
def invoicing(accounts: BilledAccounts) -> Iterator[Invoicing]:
    made = Invoicing(accounts)
    yield made
    made.database.dispose()


def addressed(
    invoicing: Invoicing, *emails: str, language: str = "en", zone: str = "", code: str = "alice"
) -> None:
    with invoicing.transaction() as session:
        terms = ProfileTerms(emails=emails, language=language, zone=zone)
        set_profile(session, invoicing.accounts.ids[code], terms)


def told(invoicing: Invoicing, kind: NoticeKind, facts: Facts, key: str = "1", code: str = "alice") -> int:
    with invoicing.transaction() as session:
        account_id = invoicing.accounts.ids[code]
        return tell(session, account_id, kind, key=key, facts=facts, now_us=invoicing.clock.now_us())


def messages(invoicing: Invoicing) -> list[MessageRow]:
    with invoicing.transaction() as session:
        return list(session.scalars(select(MessageRow).order_by(MessageRow.id)))


def move_to(invoicing: Invoicing, text: str) -> None:
    invoicing.clock.step(at(text) - invoicing.clock.now_us())


def words(
    invoicing: Invoicing, kind: NoticeKind, language: str, wanted: NoticeWords | None, fault: str = ""
) -> None:
    with invoicing.transaction() as session:
        issuer = session.get_one(AccountRow, invoicing.accounts.ids["reseller"])
        save_words(session, issuer, kind, language, wanted, fault, by="test", now_us=1)


def test_a_notice_is_told_once_to_each_address(invoicing: Invoicing) -> None:
    addressed(invoicing, "alice@example.com", "books@example.com", language="de")
    assert told(invoicing, NoticeKind.TOP_UP, TOP_UP) == 2
    assert told(invoicing, NoticeKind.TOP_UP, TOP_UP) == 0
    assert told(invoicing, NoticeKind.TOP_UP, TOP_UP, key="2") == 2
    assert told(invoicing, NoticeKind.PAYMENT, TOP_UP, key="2") == 2
    first = messages(invoicing)[0]
    assert (first.recipient, first.kind, first.key) == (
        "alice@example.com",
        "top_up",
        "top_up:1:alice@example.com",
    )
    assert "12,50\xa0€" in first.text


def test_nobody_to_tell_is_no_fault(invoicing: Invoicing) -> None:
    card: Facts = {"method": "Visa 4242", "day": date(2026, 3, 31)}
    assert told(invoicing, NoticeKind.CARD_EXPIRING, card) == 0


def test_a_customer_hears_from_his_reseller_in_his_own_language_and_zone(invoicing: Invoicing) -> None:
    addressed(invoicing, "alice@example.com", language="de", zone="America/New_York")
    with invoicing.transaction() as session:
        set_party(session, invoicing.accounts.ids["reseller"], {"legal_name": "Telefon & Söhne"})
        set_party(session, invoicing.accounts.ids["alice"], {"legal_name": "Alice <Müller>"})
    move_to(invoicing, "2026-07-01 02:30")
    limit: dict[str, Fact] = {"subject": "account alice", "at": Moment(invoicing.clock.now_us())}
    told(invoicing, NoticeKind.SPEND_LIMIT, limit)
    (row,) = messages(invoicing)
    assert row.text.startswith("Guten Tag Alice <Müller>,\n\n")
    assert "30.06.2026, 22:30:00" in row.text
    assert row.text.endswith("Mit freundlichen Grüßen\nTelefon & Söhne\n")
    assert "Alice &lt;Müller&gt;" in row.html
    assert "Telefon &amp; Söhne" in row.html
    assert row.issuer_id == invoicing.accounts.ids["reseller"]


def test_what_arrives_is_text_and_html(invoicing: Invoicing) -> None:
    addressed(invoicing, "alice@example.com", language="fr")
    told(invoicing, NoticeKind.TOP_UP, TOP_UP)
    with inbox() as (kept, settings):
        assert send_waiting(invoicing.database, invoicing.clock, settings).sent == 1
    mail = message_from_bytes(kept.contents[0], policy=default)
    parts = [part.get_content_type() for part in mail.walk()]
    assert parts == ["multipart/alternative", "text/plain", "text/html"]
    assert mail["Subject"] == "Nous avons reçu 12,50 €"


def test_every_kind_can_be_told_with_nothing_but_what_is_always_there(invoicing: Invoicing) -> None:
    addressed(invoicing, "alice@example.com")
    for kind in KINDS:
        assert told(invoicing, kind, {}, key=str(kind)) == 1
    assert all(row.subject and row.text for row in messages(invoicing))
    with invoicing.transaction() as session:
        assert list_alerts(session) == []


def test_own_words_are_used_until_somebody_goes_back(invoicing: Invoicing) -> None:
    addressed(invoicing, "alice@example.com", language="de-AT")
    own = NoticeWords("Danke: {{ amount }}", "Servus {{ name }}!", "<p>{{ name }}</p>")
    words(invoicing, NoticeKind.TOP_UP, "de", own)
    told(invoicing, NoticeKind.TOP_UP, TOP_UP, key="1")
    words(invoicing, NoticeKind.TOP_UP, "de", NoticeWords("{{ x }}", "y"), "subject: 'x' is undefined")
    told(invoicing, NoticeKind.TOP_UP, TOP_UP, key="2")
    words(invoicing, NoticeKind.TOP_UP, "de-AT", NoticeWords("Griaß di", "Servus"))
    told(invoicing, NoticeKind.TOP_UP, TOP_UP, key="3")
    words(invoicing, NoticeKind.TOP_UP, "de-AT", None)
    told(invoicing, NoticeKind.TOP_UP, TOP_UP, key="4")
    assert [row.subject for row in messages(invoicing)] == [
        "Danke: €12,50",
        "Danke: €12,50",
        "Griaß di",
        "Wir haben €12,50 erhalten",
    ]


def test_words_that_fail_on_real_facts_give_way_and_are_told_of(invoicing: Invoicing) -> None:
    addressed(invoicing, "alice@example.com")
    own = NoticeWords("x", "{% for n in range(level) %}{% for m in range(level) %}.{% endfor %}{% endfor %}")
    facts: dict[str, Fact] = {"number": "I-1", "open": "1", "due_on": "now", "level": 2}
    assert fault_of(NoticeKind.DUNNING, "en", own) == ""
    words(invoicing, NoticeKind.DUNNING, "en", own)
    told(invoicing, NoticeKind.DUNNING, facts)
    told(invoicing, NoticeKind.DUNNING, facts | {"level": 5_000}, key="2")
    told(invoicing, NoticeKind.DUNNING, facts | {"level": "two"}, key="3")
    assert [row.subject for row in messages(invoicing)] == ["x", "Reminder 5000: I-1", "Reminder two: I-1"]
    with invoicing.transaction() as session:
        (alert,) = list_alerts(session)
        assert (alert.kind, alert.account_id) == ("notice_template", invoicing.accounts.ids["reseller"])
        assert "text: line 1: the template does too much" in alert.detail


@pytest.mark.parametrize(
    "text, fault",
    [
        ("{{ name.__class__ }}", "text: line 1: '__class__' cannot be read here"),
        ("{{ ''.__class__.__mro__ }}", "text: line 1: '__class__' cannot be read here"),
        ("a\n{% include 'x' %}", "text: line 2: {% include %} is not for invoice templates"),
        ("{{ cycler }}", "text: line 1: 'cycler' is undefined"),
        ("{% if %}", "text: line 1: Expected an expression, got 'end of statement block'"),
        ("{{ 'x' * 1000000000 }}", "text: line 1: * is for whole numbers; join texts by ~, and divide by //"),
        (" ", "subject and text must say something, also where a fact is not there"),
    ],
)
def test_words_that_cannot_be_used(text: str, fault: str) -> None:
    assert fault_of(NoticeKind.TOP_UP, "en", NoticeWords("x", text)) == fault


def test_customers_have_no_words_of_their_own(invoicing: Invoicing) -> None:
    with invoicing.transaction() as session:
        alice = session.get_one(AccountRow, invoicing.accounts.ids["alice"])
        with pytest.raises(InputRefused, match="is a customer"):
            save_words(session, alice, NoticeKind.TOP_UP, "en", NoticeWords("x", "y"), "", by="", now_us=1)


def test_what_an_account_does_not_want_to_hear_is_not_told(invoicing: Invoicing) -> None:
    addressed(invoicing, "alice@example.com")
    with invoicing.transaction() as session:
        alice = invoicing.accounts.ids["alice"]
        choose(session, alice, NoticeKind.TOP_UP, enabled=False)
        choose(session, alice, NoticeKind.REFUND, emails=["money@example.com"])
    assert told(invoicing, NoticeKind.TOP_UP, TOP_UP) == 0
    assert told(invoicing, NoticeKind.REFUND, TOP_UP) == 1
    assert told(invoicing, NoticeKind.DUNNING, TOP_UP) == 1
    assert [row.recipient for row in messages(invoicing)] == ["money@example.com", "alice@example.com"]


@pytest.mark.parametrize(
    "now, from_, to, sent",
    [
        ("2026-07-01 23:00", 22 * 60, 7 * 60, "2026-07-02 05:00"),  # 01:00 in Berlin
        ("2026-07-01 20:30", 22 * 60, 7 * 60, "2026-07-02 05:00"),
        ("2026-07-01 12:00", 22 * 60, 7 * 60, "2026-07-01 12:00"),
        ("2026-07-01 11:00", 12 * 60, 14 * 60, "2026-07-01 12:00"),
        ("2026-07-01 12:00", 12 * 60, 14 * 60, "2026-07-01 12:00"),
        ("2026-03-28 23:30", 22 * 60, 150, "2026-03-29 01:30"),  # 02:30, which the clock skips
        ("2026-10-24 23:30", 22 * 60, 7 * 60, "2026-10-25 06:00"),  # the night is an hour longer
    ],
)
def test_quiet_hours_delay_what_is_not_urgent(
    invoicing: Invoicing, now: str, from_: int, to: int, sent: str
) -> None:
    addressed(invoicing, "alice@example.com", zone="Europe/Berlin")
    with invoicing.transaction() as session:
        set_delivery(session, invoicing.accounts.ids["alice"], Delivery(from_, to))
    move_to(invoicing, now)
    told(invoicing, NoticeKind.TOP_UP, TOP_UP)
    told(invoicing, NoticeKind.PAYMENT_DECLINED, DECLINED)
    quiet, urgent = messages(invoicing)
    assert (quiet.next_us, urgent.next_us) == (at(sent), at(now))


def test_a_digest_tells_everything_of_a_day_in_one_message(invoicing: Invoicing) -> None:
    addressed(invoicing, "alice@example.com", "books@example.com", language="de", zone="Europe/Berlin")
    with invoicing.transaction() as session:
        set_delivery(session, invoicing.accounts.ids["alice"], Delivery(digest="daily", digest_minute=480))
    for hour in range(3):
        move_to(invoicing, f"2026-07-01 {10 + hour}:00")
        told(invoicing, NoticeKind.TOP_UP, TOP_UP, key=str(hour))
    told(invoicing, NoticeKind.PAYMENT_DECLINED, DECLINED)
    assert digests(invoicing) == 0
    move_to(invoicing, "2026-07-02 06:00")
    assert digests(invoicing) == 6
    assert digests(invoicing) == 0
    with inbox() as (kept, settings):
        assert send_waiting(invoicing.database, invoicing.clock, settings).sent == 4
    mails = [message_from_bytes(content, policy=default) for content in kept.contents]
    assert [mail["Subject"] for mail in mails][2:] == ["3 Mitteilungen für Konto alice"] * 2
    text = mails[2].get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert text.count("Wir haben 12,50 € erhalten") == 3
    assert text.count("Guten Tag") == 1
    for clock in ("12:00:00", "13:00:00", "14:00:00"):
        assert f"01.07.2026, {clock}" in text
    assert sorted(row.state for row in messages(invoicing)) == ["digested"] * 6 + ["sent"] * 4


def digests(invoicing: Invoicing) -> int:
    told_of = 0
    with invoicing.transaction() as session:
        due = due_digests(session, invoicing.clock.now_us())
    for account_id, recipient in due:
        with invoicing.transaction() as session:
            told_of += write_digest(session, account_id, recipient, invoicing.clock.now_us())
    return told_of


def test_a_digest_goes_to_an_address_however_long_it_is(invoicing: Invoicing) -> None:
    address = f"{'a' * 60}@{'b' * 60}.example.com"
    alice = invoicing.accounts.ids["alice"]
    with invoicing.transaction() as session:
        set_profile(session, alice, ProfileTerms(emails=(address,)))
        set_delivery(session, alice, Delivery(digest="daily"))
        facts = {"amount": "1", "balance": "2"}
        tell(session, alice, NoticeKind.TOP_UP, key="1", facts=facts, now_us=invoicing.clock.now_us())
    invoicing.clock.advance(2 * 86_400_000_000)
    assert digests(invoicing) == 1
    assert messages(invoicing)[-1].recipient == address


def test_a_digest_that_is_interrupted_loses_nothing(invoicing: Invoicing) -> None:
    addressed(invoicing, "alice@example.com")
    with invoicing.transaction() as session:
        set_delivery(session, invoicing.accounts.ids["alice"], Delivery(digest="daily"))
    told(invoicing, NoticeKind.TOP_UP, TOP_UP)
    invoicing.clock.advance(86_400 * SECOND_US)
    with invoicing.transaction() as session:
        write_digest(session, invoicing.accounts.ids["alice"], "alice@example.com", invoicing.clock.now_us())
        session.rollback()
    assert [row.state for row in messages(invoicing)] == ["gathered"]
    assert digests(invoicing) == 1
    gathered, digest = messages(invoicing)
    assert (gathered.state, gathered.digest_id) == ("digested", digest.id)


def test_a_digest_too_long_for_one_message_comes_in_several(invoicing: Invoicing) -> None:
    addressed(invoicing, "alice@example.com")
    with invoicing.transaction() as session:
        set_delivery(session, invoicing.accounts.ids["alice"], Delivery(digest="daily"))
        for number in range(30):
            facts: dict[str, Fact] = {"amount": "1", "balance": "2", "reference": "x" * 4_000}
            alice = invoicing.accounts.ids["alice"]
            tell(session, alice, NoticeKind.TOP_UP, key=str(number), facts=facts, now_us=1)
    counted = 0
    while found := digests(invoicing):
        counted += found
    assert counted == 30
    rows = messages(invoicing)
    assert {row.state for row in rows[:30]} == {"digested"}
    assert sum(row.text.count("x" * 4_000) for row in rows[30:]) == 30


def test_programs_of_an_account_and_of_those_above_are_told(invoicing: Invoicing) -> None:
    with invoicing.transaction() as session:
        ids = {}
        for code in ("alice", "reseller", "operator", "bob"):
            account = session.scalars(select(AccountRow).where(AccountRow.code == code)).one()
            kinds = [NoticeKind.REFUND] if code == "operator" else []
            ids[code] = add_endpoint(
                session, account, f"https://{code}.example.com/", kinds=kinds, now_us=1
            ).id
    assert (
        told(invoicing, NoticeKind.TOP_UP, TOP_UP | {"at": Moment(1_500_000), "day": date(2026, 1, 2)}) == 2
    )
    assert told(invoicing, NoticeKind.REFUND, TOP_UP) == 3
    rows = messages(invoicing)
    assert [row.endpoint_id for row in rows[:2]] == [ids["alice"], ids["reseller"]]
    assert json.loads(rows[0].text) == {
        "type": "top_up",
        "timestamp": "2026-01-01T00:00:00Z",
        "data": {
            "account": "alice",
            "issuer": "reseller",
            "amount": {"amount": "12.500000", "unit": "EUR"},
            "balance": {"amount": "20.000000", "unit": "EUR"},
            "at": "1970-01-01T00:00:01.500000Z",
            "day": "2026-01-02",
        },
    }
    with invoicing.transaction() as session:
        switch(session, ids["alice"], on=False)
    assert told(invoicing, NoticeKind.TOP_UP, TOP_UP, key="2") == 1


def test_a_program_hears_what_people_switched_off(invoicing: Invoicing) -> None:
    addressed(invoicing, "alice@example.com")
    with invoicing.transaction() as session:
        alice = session.get_one(AccountRow, invoicing.accounts.ids["alice"])
        add_endpoint(session, alice, "https://example.com/", now_us=1)
        choose(session, alice.id, NoticeKind.TOP_UP, enabled=False)
    assert told(invoicing, NoticeKind.TOP_UP, TOP_UP) == 1


def test_notices_go_with_what_caused_them(invoicing: Invoicing) -> None:
    addressed(invoicing, "alice@example.com")
    with invoicing.transaction() as session:
        alice = invoicing.accounts.ids["alice"]
        assert tell(session, alice, NoticeKind.TOP_UP, key="1", facts=TOP_UP, now_us=1) == 1
        session.rollback()
    assert messages(invoicing) == []


def test_a_day_of_refusals_is_within_reach_of_the_retries() -> None:
    assert sum(RETRY_S) >= 3 * 86_400
    assert max(RETRY_S) <= 7_200
