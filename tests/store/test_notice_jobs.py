"""Jobs of notices, one run after the other: what a person and a program get in the end."""

from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default

import pytest

from pbxbill.app import Application, open_application
from pbxbill.billing.notices.notice_kinds import NoticeKind
from pbxbill.billing.notices.notice_profiles import Delivery, set_delivery
from pbxbill.billing.notices.noticing import tell
from pbxbill.billing.notices.webhook_endpoints import add_endpoint
from pbxbill.billing.parties import set_party
from pbxbill.clock import SECOND_US, ManualClock
from pbxbill.jobs.job import JobWork
from pbxbill.jobs.notices import mail, notices, purging, watch, webhooks
from pbxbill.notify.outbox import WEBHOOKS_KEPT_S
from pbxbill.settings import Settings
from pbxbill.store.engine import transaction
from pbxbill.store.models import AccountRow
from pbxbill.store.switch_models import DaemonLeaseRow
from tests.notify.mail_servers import inbox
from tests.notify.web_receivers import receiver
from tests.store.billed_accounts import BilledAccounts

NOW_US = 1_772_000_000 * SECOND_US


@pytest.fixture
def application(accounts: BilledAccounts) -> Iterator[Application]:
    with open_application(accounts.url, clock=ManualClock(NOW_US)) as opened:
        yield opened


def settings(port: int) -> Settings:
    server = {"host": "127.0.0.1", "port": port, "security": "none", "sender": "noc@operator.example"}
    return Settings.model_validate({"mail": server, "webhooks": {"private_addresses": True}})


def test_a_lost_switch_reaches_a_person_and_a_program(application: Application) -> None:
    clock = application.clock
    assert isinstance(clock, ManualClock)
    with inbox() as (kept, mail_settings), receiver() as hooks:
        work = JobWork(application, settings(mail_settings.port))
        assert [job(work) for job in (watch, notices, mail, webhooks)] == [""] * 4
        with transaction(application.database) as session:
            operator = session.query(AccountRow).filter_by(kind="operator").one()
            set_party(session, operator.id, {"email": "noc@operator.example"})
            add_endpoint(session, operator, hooks.url, private=True, now_us=NOW_US)
            session.add(DaemonLeaseRow(switch="fs1", holder="host:1:1", renewed_us=NOW_US))
        clock.advance(90 * SECOND_US)
        assert watch(work) == "1 switches lost"
        assert notices(work) == "1 alerts, 2 messages"
        assert mail(work) == "1 sent, 0 tried again later, 0 given up"
        assert webhooks(work) == "1 sent, 0 tried again later, 0 given up"
        assert [job(work) for job in (watch, notices, mail, webhooks)] == [""] * 4
        assert '"type":"switch_lost"' in hooks.hooks[0].body
        message = message_from_bytes(kept.contents[0], policy=default)
        assert message["Subject"] == "Switch lost: switch fs1"
        clock.advance((WEBHOOKS_KEPT_S + 1) * SECOND_US)
        assert purging(work) == "1 old deliveries forgotten"
        work.close()


def test_a_digest_is_written_when_it_is_due(application: Application, accounts: BilledAccounts) -> None:
    clock = application.clock
    assert isinstance(clock, ManualClock)
    with transaction(application.database) as session:
        alice = accounts.ids["alice"]
        set_party(session, alice, {"email": "alice@example.com"})
        set_delivery(session, alice, Delivery(digest="daily"))
        for key in ("1", "2"):
            facts = {"amount": "1", "balance": "2"}
            tell(session, alice, NoticeKind.TOP_UP, key=key, facts=facts, now_us=NOW_US)
    with inbox() as (kept, mail_settings):
        work = JobWork(application, settings(mail_settings.port))
        assert notices(work) == ""
        clock.advance(86_400 * SECOND_US)
        assert notices(work) == "1 digests of 2 notices"
        assert mail(work) == "1 sent, 0 tried again later, 0 given up"
        assert len(kept.messages) == 1
        work.close()
