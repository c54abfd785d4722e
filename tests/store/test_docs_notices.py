"""docs/notices.md: its commands run, its template and its verification work, its table is the program's."""

import json
import re
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from pbxbill.billing.notices.notice_facts import Money
from pbxbill.billing.notices.notice_kinds import KINDS, NoticeKind
from pbxbill.billing.notices.notice_profiles import addressee_of
from pbxbill.billing.notices.noticing import payload_of
from pbxbill.clock import SECOND_US, ManualClock, SystemClock
from pbxbill.notify.posting import FAILING_US, RETRY_S
from pbxbill.notify.webhook import TOTAL_TIMEOUT_S, Hook, headers_of
from pbxbill.store.engine import open_engine, transaction
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.command_line import Ok, Run
from tests.store.documented import DOCS, follow, moment_us

PAGE = (DOCS / "notices.md").read_text()
BODY = re.findall(r"```json\n(.*?)\n```", PAGE, re.DOTALL)[0]
SECRET = re.findall(r"--secret (whsec_\S+)", PAGE)[0]


def test_the_page_says_what_happens(pbxbill: Run, ok: Ok, tmp_path: Path) -> None:
    ok("init")
    ok("accounts", "add", "alice", "--unit", "EUR")
    assert follow(PAGE, pbxbill, ManualClock(0), tmp_path) == 16
    refused = pbxbill("notices", "templates", "set", "low_balance", "bad.toml")
    assert refused.exit_code == 3
    said = re.findall(r"says `(text: [^`]*)`", PAGE)
    assert said[0] in refused.output
    assert ok("notices", "templates", "preview", "low_balance").startswith("Subject: €3.48 left\n")


def test_the_table_of_kinds() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]*) \|$", PAGE, re.MULTILINE)
    assert [row[0] for row in rows] == [str(kind) for kind in KINDS]
    for name, about, facts, marks in rows:
        terms = KINDS[NoticeKind(name)]
        assert about == terms.about
        assert facts == ", ".join([*terms.facts, *(f"[{fact}]" for fact in terms.may_have)])
        assert ("urgent" in marks, "always on" in marks, "operator's" in marks) == (
            terms.urgent,
            terms.required,
            terms.internal,
        )


def test_a_receiver_verifies_as_the_page_shows() -> None:
    made: dict[str, object] = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], made)
    received = made["received"]
    assert callable(received)
    now_us = SystemClock().now_us()
    headers = headers_of(Hook("https://example.com/", "msg_1", BODY, (SECRET,)), now_us)
    assert received(SECRET, headers, BODY.encode()) == json.loads(BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY.replace("3.48", "9.99"), headers)


def test_the_body_is_what_is_posted(accounts: BilledAccounts) -> None:
    database = open_engine(accounts.url)
    facts = {"balance": Money(eur("3.48"), "EUR"), "threshold": Money(eur("5"), "EUR")}
    with transaction(database) as session:
        who = addressee_of(session, accounts.ids["alice"], NoticeKind.LOW_BALANCE)
        posted = payload_of(
            session, who, NoticeKind.LOW_BALANCE, facts, moment_us("2026-03-31 10:14") + 56 * SECOND_US
        )
    database.dispose()
    assert posted == BODY.replace('"issuer":"operator"', '"issuer":"reseller"')


def test_the_numbers_of_the_page() -> None:
    told = {"5 s": 5, "5 min": 300, "30 min": 1_800, "2 h": 7_200, "5 h": 18_000, "10 h": 36_000}
    told |= {"14 h": 50_400, "20 h": 72_000, "24 h": 86_400}
    assert tuple(told.values()) == RETRY_S
    assert all(words in PAGE for words in told)
    assert FAILING_US == 5 * 86_400 * SECOND_US
    assert f"within {TOTAL_TIMEOUT_S} seconds" in PAGE
