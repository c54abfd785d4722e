"""What a mail server does to a message, and what we then say of it."""

import socket
import threading
import time
from dataclasses import replace
from email import message_from_bytes
from email.policy import default

import pytest

from pbxbill.errors import InputRefused
from pbxbill.notify.smtp import (
    MAX_ATTACHMENTS_BYTES,
    Attachment,
    Bounced,
    Deferred,
    Delivered,
    Mail,
    MailSettings,
    SmtpLink,
    check_address,
    checked,
    composed,
    settings_from_json,
    settings_to_json,
)
from tests.notify.mail_servers import inbox, misbehaving

NOW_US = 1_772_000_000_000_000
MAIL = Mail("0195", "bob@example.com", "Invoice 2026-0001", "Your invoice is attached.")


def test_a_message_arrives_with_its_text_its_files_and_who_sent_it() -> None:
    with inbox() as (kept, settings):
        named = replace(settings, sender_name="Käse & Söhne", reply_to="help@operator.example")
        mail = Mail(
            MAIL.message_id,
            MAIL.recipient,
            "Rechnung 2026-0001 für März",
            "Grüße",
            "<p>Grüße</p>",
            [Attachment("2026-0001.pdf", "application/pdf", b"%PDF-1.7 \x00\xff")],
        )
        with SmtpLink(named) as link:
            assert link.deliver(mail, NOW_US) == Delivered()
    (envelope,) = kept.messages
    message = message_from_bytes(kept.contents[0], policy=default)
    assert envelope.mail_from == "billing@operator.example"
    assert envelope.rcpt_tos == ["bob@example.com"]
    assert message["Subject"] == "Rechnung 2026-0001 für März"
    assert message["From"].addresses[0].display_name == "Käse & Söhne"
    assert message["Reply-To"] == "help@operator.example"
    assert message["Message-ID"] == "<0195@operator.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime.isoformat() == "2026-02-25T06:13:20+00:00"
    parts = {part.get_content_type(): part for part in message.walk()}
    assert parts["text/plain"].get_content().strip() == "Grüße"
    assert parts["text/html"].get_content().strip() == "<p>Grüße</p>"
    (file,) = message.iter_attachments()
    assert (file.get_filename(), file.get_content()) == ("2026-0001.pdf", b"%PDF-1.7 \x00\xff")


def test_messages_of_one_sender_go_over_one_connection() -> None:
    with inbox() as (kept, settings), SmtpLink(settings) as link:
        assert [link.deliver(MAIL, NOW_US) for _ in range(3)] == [Delivered()] * 3
        assert (len(kept.messages), kept.connections) == (3, 1)


@pytest.mark.parametrize(
    "answer, outcome",
    [
        ("550 5.1.1 no such user", Bounced("550 5.1.1 no such user")),
        ("452 4.2.2 mailbox full", Deferred("452 4.2.2 mailbox full")),
    ],
)
def test_a_refused_recipient_says_why_and_the_next_message_still_goes(answer: str, outcome: object) -> None:
    with inbox() as (kept, settings), SmtpLink(settings) as link:
        kept.answers["gone@example.com"] = answer
        gone = Mail("1", "gone@example.com", "s", "t")
        assert link.deliver(gone, NOW_US) == outcome
        assert link.deliver(MAIL, NOW_US) == Delivered()
        assert [envelope.rcpt_tos for envelope in kept.messages] == [["bob@example.com"]]


def test_a_message_that_the_server_reads_and_refuses() -> None:
    with inbox() as (kept, settings), SmtpLink(settings) as link:
        kept.after_data = "554 looks like spam"
        assert link.deliver(MAIL, NOW_US) == Bounced("554 looks like spam")
        kept.after_data = "451 greylisted"
        assert link.deliver(MAIL, NOW_US) == Deferred("451 greylisted")


def test_the_password_is_read_where_the_settings_say(tmp_path, monkeypatch) -> None:
    secret = tmp_path / "password"
    secret.write_text("s3cret\n")
    with inbox(password="s3cret") as (kept, settings):
        named = replace(settings, user="billing")
        with SmtpLink(replace(named, password_file=str(secret))) as link:
            assert link.deliver(MAIL, NOW_US) == Delivered()
        monkeypatch.setenv("MAIL_PASSWORD", "wrong")
        with SmtpLink(replace(named, password_file="$MAIL_PASSWORD")) as link:
            refused = link.deliver(MAIL, NOW_US)
        assert isinstance(refused, Deferred)
        assert "refuses the password" in refused.why
        with SmtpLink(replace(named, password_file=str(tmp_path / "none"))) as link:
            unread = link.deliver(MAIL, NOW_US)
        assert isinstance(unread, Deferred)
        assert "password cannot be read" in unread.why
        assert len(kept.messages) == 1


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with SmtpLink(MailSettings(host="127.0.0.1", port=port, security="none", sender="a@b.example")) as link:
        outcome = link.deliver(MAIL, NOW_US)
    assert isinstance(outcome, Deferred)
    assert f"127.0.0.1:{port}" in outcome.why


def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    released = threading.Event()
    with misbehaving(lambda _connection: released.wait(20)) as settings:
        with SmtpLink(settings, step_timeout_s=0.3) as link:
            outcome = link.deliver(MAIL, NOW_US)
        released.set()
    assert isinstance(outcome, Deferred)
    assert "timed out" in outcome.why


def test_a_server_that_drips_its_answer_is_cut_off() -> None:
    def drip(connection: socket.socket) -> None:
        for _ in range(200):
            connection.sendall(b"2")
            time.sleep(0.05)

    with misbehaving(drip) as settings, SmtpLink(settings, step_timeout_s=5) as link:
        began_s = time.monotonic()
        outcome = link.deliver(MAIL, NOW_US, within_s=0.5)
        assert time.monotonic() - began_s < 4
    assert isinstance(outcome, Deferred)


def test_a_server_without_tls_is_not_given_the_message_where_tls_is_asked_for() -> None:
    with (
        inbox() as (kept, settings),
        SmtpLink(replace(settings, security="starttls")) as link,
    ):
        outcome = link.deliver(MAIL, NOW_US)
    assert isinstance(outcome, Deferred)
    assert "STARTTLS" in outcome.why
    assert kept.messages == []


def test_files_that_no_mailbox_takes_are_refused_before_they_are_sent() -> None:
    huge = Attachment("calls.csv", "text/csv", bytes(MAX_ATTACHMENTS_BYTES + 1))
    with inbox() as (kept, settings), SmtpLink(settings) as link:
        outcome = link.deliver(Mail("1", "bob@example.com", "s", "t", attachments=[huge]), NOW_US)
    assert isinstance(outcome, Bounced)
    assert kept.messages == []


def test_an_issuer_without_a_server_waits() -> None:
    with SmtpLink(MailSettings()) as link:
        assert isinstance(link.deliver(MAIL, NOW_US), Deferred)


def test_no_part_of_a_message_adds_a_header() -> None:
    mail = Mail("1", "bob@example.com", "Hello\r\nBcc: eve@example.com", "t")
    message = composed(mail, MailSettings(sender="a@b.example", sender_name="A\nBcc: x"[:1]), NOW_US)
    assert message["Bcc"] is None
    assert message["Subject"] == "Hello Bcc: eve@example.com"


def test_an_address_that_would_be_decoded_adds_no_header() -> None:
    for address in ("=?utf-8?q?=0d=0aBcc=3a?=@example.com", "=?utf-8?b?DQpCY2M6?=@example.com"):
        with pytest.raises(InputRefused, match="no e-mail address"):
            check_address(address)
        with pytest.raises(ValueError, match="no address"):
            composed(Mail("1", address, "Hello", "t"), MailSettings(sender="a@b.example"), NOW_US)


@pytest.mark.parametrize(
    "text", ["bob", "bob@", "@example.com", "a b@example.com", "a@b", "a@b.c\nBcc: d@e.f", "a,b@c.de"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InputRefused, match="no e-mail address"):
        check_address(text)


def test_settings_are_kept_as_json_and_what_is_wrong_in_them_is_said() -> None:
    settings = MailSettings(host="mail.example.com", sender="a@b.example", port=25, security="none")
    assert settings_from_json(settings_to_json(settings)) == settings
    assert settings_from_json("{}") == MailSettings()
    with pytest.raises(InputRefused, match="know no 'hots'"):
        settings_from_json('{"hots": "x"}')
    with pytest.raises(InputRefused, match="security"):
        settings_from_json('{"security": "ssl3"}')
    with pytest.raises(InputRefused, match="port"):
        settings_from_json('{"port": 0}')


@pytest.mark.parametrize(
    "text",
    [
        "=?utf-8?q?=0d=0aReply-To:_thief@evil.example=0d=0a=0d=0a<h1>pay_here</h1>?=",
        "=?utf-8?b?DQpYLUI6IDE=?=",
        "a\x00b\x1b[31m",
    ],
)
def test_what_looks_encoded_is_shown_and_never_obeyed(text: str) -> None:
    mail = Mail("1", "bob@example.com", f"Invoice from {text}", "the text")
    raw = composed(mail, MailSettings(sender="a@b.example", sender_name=text), NOW_US).as_bytes()
    message = message_from_bytes(raw, policy=default)
    names = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted"]
    assert sorted(message.keys()) == sorted(
        [*names, "Content-Type", "Content-Transfer-Encoding", "MIME-Version"]
    )
    assert message.get_content().strip() == "the text"


@pytest.mark.parametrize("host", ["mail..example.com", "a" * 64 + ".example", "mail example", "-x.example"])
def test_a_server_of_no_possible_name_is_refused_when_it_is_set(host: str) -> None:
    with pytest.raises(InputRefused, match="no name of a server"):
        checked(MailSettings(host=host))


def test_a_password_that_cannot_be_sent_holds_up_the_message_and_nothing_else(tmp_path) -> None:
    secret = tmp_path / "password"
    secret.write_text("pässword")
    with inbox(password="x") as (_, settings):
        named = replace(settings, user="billing", password_file=str(secret))
        with SmtpLink(named) as link:
            assert isinstance(link.deliver(MAIL, NOW_US), Deferred)
        with SmtpLink(replace(named, password_file="a\x00b")) as link:
            assert isinstance(link.deliver(MAIL, NOW_US), Deferred)
