"""One connection to a mail server, over which messages of one sender go. Every step has a time-out.

A server that answers 4xx, hangs or is away may take the message later (RFC 5321, section 4.2.1); one that
answers 5xx never will.
"""

import json
import os
import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from pbxbill.errors import InputRefused

STEP_TIMEOUT_S = 20
"""For the server to answer one command."""
MESSAGE_TIMEOUT_S = 120
"""For a whole message: a server that answers a letter at a time would never run out of the other one."""
SECURITIES = ("starttls", "tls", "none")
MAX_ATTACHMENTS_BYTES = 20_000_000
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9-]{1,63})*|[0-9a-fA-F:.]{2,45}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class MailSettings:
    """How an issuer sends: his server and his address. The password stays outside the database."""

    host: str = ""
    port: int = 587
    security: str = "starttls"
    user: str = ""
    password_file: str = ""
    """Read when it is needed; or $NAME of an environment variable."""
    sender: str = ""
    """Address in From."""
    sender_name: str = ""
    reply_to: str = ""
    per_minute: int = 0
    """Messages that the server takes from an issuer in a minute; 0: as many as there are."""


def settings_from_json(text: str) -> MailSettings:
    """What is kept with an issuer; InputRefused for keys and values that there are not."""
    facts = json.loads(text or "{}")
    known = {field.name for field in fields(MailSettings)}
    unknown = sorted(set(facts) - known)
    if unknown:
        raise InputRefused(f"mail settings know no {unknown[0]!r}; they are: {', '.join(sorted(known))}")
    return checked(MailSettings(**facts))


def settings_to_json(settings: MailSettings) -> str:
    """For the issuer's row: what differs from the defaults."""
    defaults = asdict(MailSettings())
    return json.dumps({key: value for key, value in asdict(settings).items() if value != defaults[key]})


def checked(settings: MailSettings) -> MailSettings:
    """The settings, if they can be meant."""
    if settings.security not in SECURITIES:
        raise InputRefused(f"security {settings.security!r}: use one of {', '.join(SECURITIES)}")
    if not 1 <= settings.port <= 65535:
        raise InputRefused(f"port {settings.port}: use 1 to 65535")
    if not 0 <= settings.per_minute <= 1_000_000:
        raise InputRefused("per minute: use 1 to 1000000 messages, or 0 for as many as there are")
    if settings.host and _HOST.fullmatch(settings.host) is None:
        raise InputRefused(f"{settings.host[:80]!r} is no name of a server; write it like mail.example.com")
    for name in ("sender", "reply_to"):
        if getattr(settings, name):
            check_address(getattr(settings, name))
    return settings


def check_address(text: str) -> str:
    """An e-mail address that can stand in a header; InputRefused otherwise."""
    user, at, domain = text.rpartition("@")
    sound = at and user and "." in domain and len(text) <= 254 and text.isprintable() and " " not in text
    if not sound or "=?" in text or any(sign in text for sign in '<>,;:"()[]\\'):
        raise InputRefused(f"{text[:80]!r} is no e-mail address; write it like billing@example.com")
    return text


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a message."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Mail:
    """A message as it is to be sent."""

    message_id: str
    """Unique; the sender's domain is added to it."""
    recipient: str
    subject: str
    text: str
    html: str = ""
    attachments: Sequence[Attachment] = ()


@dataclass(frozen=True, slots=True)
class Delivered:
    """The server has taken it."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not now; trying later may help."""

    why: str


@dataclass(frozen=True, slots=True)
class Unreachable(Deferred):
    """The server cannot be worked with at all: every other message of the issuer would end the same."""


@dataclass(frozen=True, slots=True)
class Bounced:
    """Never: the server refused it for good."""

    why: str


Delivery = Delivered | Deferred | Bounced


def composed(mail: Mail, settings: MailSettings, now_us: int) -> EmailMessage:
    """The message with its headers; none of its parts can add a header."""
    message = EmailMessage(policy=SMTP)
    message["From"] = _address(settings.sender, _plain(settings.sender_name))
    message["To"] = _address(mail.recipient)
    if settings.reply_to:
        message["Reply-To"] = _address(settings.reply_to)
    message["Subject"] = _plain(mail.subject)
    message["Date"] = format_datetime(_EPOCH + timedelta(microseconds=now_us))
    domain = settings.sender.rpartition("@")[2]
    message["Message-ID"] = f"<{mail.message_id}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday notice answers it
    message.set_content(mail.text)
    if mail.html:
        message.add_alternative(mail.html, subtype="html")
    for attachment in mail.attachments:
        main, _, sub = attachment.media_type.partition("/")
        message.add_attachment(attachment.content, maintype=main, subtype=sub, filename=attachment.name)
    return message


class SmtpLink:
    """An open connection to a mail server; closed by leaving its context."""

    def __init__(self, settings: MailSettings, *, step_timeout_s: float = STEP_TIMEOUT_S) -> None:
        self._settings = settings
        self._timeout_s = step_timeout_s
        self._server: smtplib.SMTP | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._drop()

    def deliver(self, mail: Mail, now_us: int, *, within_s: float = MESSAGE_TIMEOUT_S) -> Delivery:
        """Hand a message to the server."""
        size = sum(len(attachment.content) for attachment in mail.attachments)
        if size > MAX_ATTACHMENTS_BYTES:
            return Bounced(f"its files have {size} bytes; at most {MAX_ATTACHMENTS_BYTES} are sent")
        if not self._settings.host or not self._settings.sender:
            return Unreachable("there is no mail server or no sender address; `pbxbill mail set` names them")
        try:
            message = composed(mail, self._settings, now_us)
        except (ValueError, LookupError, AttributeError) as error:  # what no header can hold
            return Bounced(f"the message cannot be written: {error}")
        watchdog = threading.Timer(within_s, self._cut)
        watchdog.daemon = True
        watchdog.start()
        try:
            try:
                server = self._connected()
            except smtplib.SMTPAuthenticationError as error:
                # The account, not the message, is wrong: somebody will mend it.
                self._drop()
                return Unreachable(f"the server refuses the password: {_text(error.smtp_error)}")
            except (smtplib.SMTPException, OSError, InputRefused, ValueError) as error:
                # ValueError: a host that is no name, a password that cannot be sent.
                self._drop()
                return Unreachable(f"{self._where}: {error}")
            server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            (code, answer) = next(iter(error.recipients.values()))
            self._reset()
            return _refused(code, answer)
        except smtplib.SMTPSenderRefused as error:
            self._reset()
            return _refused(error.smtp_code, error.smtp_error)
        except smtplib.SMTPDataError as error:
            self._reset()
            return _refused(error.smtp_code, error.smtp_error)
        except (smtplib.SMTPException, OSError, ValueError) as error:
            # It may be this message alone that the server hangs up on: the next one finds out.
            self._drop()
            return Deferred(f"{self._where}: {error}")
        finally:
            watchdog.cancel()
        return Delivered()

    @property
    def _where(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"

    def _connected(self) -> smtplib.SMTP:
        if self._server is None:
            settings = self._settings
            tls = ssl.create_default_context()
            if settings.security == "tls":
                server: smtplib.SMTP = smtplib.SMTP_SSL(timeout=self._timeout_s, context=tls)
            else:
                server = smtplib.SMTP(timeout=self._timeout_s)
            self._server = server
            server._host = settings.host  # type: ignore[attr-defined]  # what TLS checks the certificate for
            server.connect(settings.host, settings.port)
            server.ehlo()
            if settings.security == "starttls":
                server.starttls(context=tls)
                server.ehlo()
            if settings.user:
                server.login(settings.user, _password(settings.password_file))
        return self._server

    def _reset(self) -> None:
        try:
            if self._server is not None:
                self._server.rset()
        except (smtplib.SMTPException, OSError):
            self._drop()

    def _cut(self) -> None:
        # Wakes whoever waits in another thread for the server's next letter.
        server = self._server
        link = None if server is None else server.sock
        if link is not None:
            try:
                link.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed in the same moment

    def _drop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            try:
                server.quit()
            except (smtplib.SMTPException, OSError):
                server.close()


def _refused(code: int, answer: bytes | str) -> Delivery:
    why = f"{code} {_text(answer)}"
    return Bounced(why) if 500 <= code < 600 else Deferred(why)


def _text(answer: bytes | str) -> str:
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer


def _password(where: str) -> str:
    if where.startswith("$"):
        found = os.environ.get(where[1:])
        if found is None:
            raise InputRefused(f"the environment has no {where[1:]}, which is to hold the mail password")
        return found
    try:
        return Path(where).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputRefused(f"the mail password cannot be read: {error}") from None


def _plain(text: str) -> str:
    """A header's text as it is meant: what looks encoded would be decoded (RFC 2047), line ends and all."""
    words = " ".join(text.split()).replace("=?", "=\u200b?")
    return "".join(sign if sign.isprintable() or sign == "\u200b" else "\ufffd" for sign in words)


def _address(text: str, name: str = "") -> Address:
    if "=?" in text:  # it would be decoded (RFC 2047), line ends and all
        raise ValueError(f"{text[:80]!r} is no address")
    user, _, domain = text.rpartition("@")
    return Address(name, user, domain)
