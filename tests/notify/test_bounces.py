"""What mail servers send back."""

from email.message import EmailMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest

from pbxbill.notify.bounces import Bounce, NoBounce, read_bounce

STATUS = """\
Reporting-MTA: dns; mx.example.com

Final-Recipient: rfc822; bob@example.com
Action: {action}
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <bob@example.com>: Recipient address rejected
"""


def notification(action: str = "failed", original: str = "text/rfc822-headers") -> bytes:
    """As Postfix sends them: a text for people, the status for programs, the message that failed."""
    report = MIMEMultipart("report", report_type="delivery-status")
    report["From"], report["Subject"] = "MAILER-DAEMON@example.com", "Undelivered Mail Returned to Sender"
    report.attach(MIMEText("I'm sorry to have to inform you ..."))
    status = EmailMessage()
    status["Content-Type"] = "message/delivery-status"
    raw = report.as_bytes()
    boundary = report.get_boundary()
    assert boundary is not None
    end = f"--{boundary}--".encode()
    own = b"Message-ID: <0195aa@pbxbill.example.com>\nSubject: Invoice\nTo: bob@example.com\n"
    parts = [
        b"Content-Type: message/delivery-status\n\n" + STATUS.format(action=action).encode(),
        f"Content-Type: {original}\n\n".encode()
        + own
        + (b"\nHello\n" if original == "message/rfc822" else b""),
    ]
    for part in parts:
        raw = raw.replace(end, f"--{boundary}\n".encode() + part + b"\n" + end)
    return raw


@pytest.mark.parametrize("original", ["text/rfc822-headers", "message/rfc822"])
def test_a_failed_message_is_named_with_the_reason(original: str) -> None:
    bounce = read_bounce(notification(original=original))
    assert bounce == Bounce(
        "0195aa@pbxbill.example.com",
        "rfc822; bob@example.com smtp; 550 5.1.1 <bob@example.com>: Recipient address rejected",
    )


def test_a_delay_is_no_bounce() -> None:
    assert read_bounce(notification(action="delayed")) == NoBounce("it reports no failure")


@pytest.mark.parametrize("raw", [b"", b"Subject: out of office\n\nback on Monday", b"\xff\xfe\x00" * 100])
def test_anything_else_is_no_bounce(raw: bytes) -> None:
    assert read_bounce(raw) == NoBounce("it is no delivery status notification")


def test_a_notification_without_the_message_is_no_bounce_that_could_be_recorded() -> None:
    lost = notification().replace(b"Message-ID: <0195aa@pbxbill.example.com>\n", b"")
    assert isinstance(read_bounce(lost), NoBounce)


@pytest.mark.parametrize("id", [b"<>", b"<[>", b"<a@[>", b"", b"<" + b"(" * 5000 + b">"])
def test_hostile_ids_are_no_bounce(id: bytes) -> None:
    raw = notification(original="message/rfc822").replace(b"<0195aa@pbxbill.example.com>", id)
    assert not isinstance(read_bounce(raw), Bounce) or id.strip(b"<>")


def test_a_mail_nested_without_end_is_no_bounce() -> None:
    nested = b"Content-Type: message/rfc822\n\n" * 3000 + b"Subject: x\n\ny"
    assert isinstance(read_bounce(nested), NoBounce)
