"""How mail of the key's account is sent, and a message to try it.

Which server it is, and where its password lies, is said on the command line alone.
"""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from pbxbill.access.permissions import Permission
from pbxbill.billing.parties import known_addresses
from pbxbill.notify.sending import has_own_server, mail_settings, send_test
from pbxbill.notify.smtp import Delivered
from pbxbill.store.notice_models import MailOutageRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Line, Moment, Sent, moment
from pbxbill.web.api.objects import conflicts, wrong
from pbxbill.web.api.parties import TAG
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import needs

WAIT_S = 20.0
"""So long a program waits for what the test comes to."""


class MailOutage(BaseModel):
    """The server cannot be reached: messages wait, and keep their order."""

    since: Moment
    next: Moment = Field(description="When it is tried again.")
    why: str


class MailServer(BaseModel):
    """How mail is sent; of another's server only that there is one."""

    configured: bool = Field(description="False: there is none, and messages wait.")
    own: bool = Field(description="False: that of whoever is above the key's account.")
    host: str | None
    port: int | None
    security: str | None
    user: str | None
    has_password: bool | None = Field(description="In a file of the server.")
    per_minute: int | None = Field(description="Most messages in a minute; 0: as many as it takes.")
    sender: str
    sender_name: str
    reply_to: str
    outage: MailOutage | None
    test_addresses: list[str] = Field(
        description="Where a test message may go: addresses of the account and of its own users."
    )


class MailTest(Sent):
    """Whom to write to."""

    address: Annotated[Line, StringConstraints(min_length=3, max_length=254)] = Field(
        description="One of `test_addresses`."
    )


class MailTried(BaseModel):
    """What the test came to."""

    taken: bool
    why: str | None = Field(description="What the server said, where it did not take the message.")


def mail_server(api: Api) -> None:
    """Of the key's own account."""
    front = api.front

    @api.get("/company/mail-server", MailServer, TAG)
    @needs(Permission.NOTICES_READ)
    def get_mail_server() -> MailServer:
        """By which server mail of the key's account is sent, and in whose name. No secret is told."""
        own_id = front.scope.account_id
        with front.reading() as session:
            settings = mail_settings(session, own_id, front.rules.mail)
            is_own = has_own_server(session, own_id) or front.scope.is_everything
            outage = session.get(MailOutageRow, own_id)
            addresses = known_addresses(session, own_id)
        told = bool(settings.host) and is_own  # whose server it is is shown to him alone
        return MailServer(
            configured=bool(settings.host),
            own=is_own,
            host=settings.host if told else None,
            port=settings.port if told else None,
            security=settings.security if told else None,
            user=settings.user if told else None,
            has_password=bool(settings.password_file) if told else None,
            per_minute=settings.per_minute if told else None,
            sender=settings.sender,
            sender_name=settings.sender_name,
            reply_to=settings.reply_to,
            outage=None
            if outage is None
            else MailOutage(since=moment(outage.since_us), next=moment(outage.next_us), why=outage.why),
            test_addresses=addresses,
        )

    @api.post("/company/mail-server/test", MailTried, TAG)
    @needs(Permission.NOTICES_WRITE)
    def test_mail_server(body: MailTest) -> Answer:
        """Send a test message, now, and say whether the server took it. 409: there is no server."""
        own_id = front.scope.account_id
        with front.reading() as session:
            settings = mail_settings(session, own_id, front.rules.mail)
            addresses = known_addresses(session, own_id)
        if not settings.host:
            raise Refused(409, "There is no mail server yet.")
        if body.address not in addresses:
            raise wrong("address", "is none of the account's or its users'")
        # No transaction is open while the server is waited for.
        with conflicts():
            outcome = send_test(settings, body.address, front.clock.now_us(), within_s=WAIT_S)
        why = None if isinstance(outcome, Delivered) else outcome.why
        with api.writing("mail-server.test", body.address) as change:
            return change.done(MailTried(taken=why is None, why=why), 201)
