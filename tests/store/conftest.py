from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.books_in_order import assert_books_in_order
from tests.database_contents import NOTHING, Contents
from tests.store.billed_accounts import OPENED, BilledAccounts, opened_accounts
from tests.store.command_line import Ok, Run, by_commands, must, runs
from tests.store.invoiced_accounts import Invoicing
from tests.store.living_accounts import Living
from tests.store.subscribed_accounts import Shop, open_shop

DESTINATIONS = """\
name;class;prefixes
Germany;national;49
Berlin;local;4930
Germany mobile;mobile;4915 4916 4917
Germany premium;premium;49900
"""


@pytest.fixture(autouse=True, scope="session")
def _plain_log() -> None:
    """Tracebacks of meant faults as text: drawing them takes longer than the tests."""
    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, renderer])


@pytest.fixture
def pbxbill(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command on a database of its own."""
    monkeypatch.chdir(tmp_path)
    return runs(database_url, tmp_path)


@pytest.fixture
def ok(pbxbill: Run) -> Ok:
    """Runs a command that must succeed; what it printed."""
    return must(pbxbill)


@pytest.fixture
def contents(request: pytest.FixtureRequest) -> Contents:
    """Who asks for accounts, or for what a module names in BEGUN, finds them in the copy: opening them takes
    longer than most tests."""
    begun: dict[str, Contents] = BEGUN | getattr(request.module, "BEGUN", {})
    for name in request.fixturenames:
        if name in begun:
            return begun[name]
    return OPENED if "accounts" in request.fixturenames else NOTHING


@pytest.fixture
def accounts(database_url: str) -> BilledAccounts:
    """A reseller and a few customers, on each database; modules that need more of them add it."""
    return opened_accounts(database_url)


def _open_alice(ok: Ok) -> None:
    ok("init")
    ok("accounts", "add", "acme", "--kind", "reseller", "--mode", "postpaid", "--unit", "EUR")
    ok("accounts", "add", "alice", "--parent", "acme", "--unit", "EUR", "--sip", "2001", "--sip", "2002")


BEGUN = {"alice_and_her_phones": by_commands("alice", _open_alice)}


@pytest.fixture
def alice_and_her_phones(tmp_path: Path) -> None:
    """A reseller with one prepaid customer and two phones, and a file of destinations, not yet imported."""
    (tmp_path / "destinations.csv").write_text(DESTINATIONS)


@pytest.fixture
def shop(accounts: BilledAccounts) -> Iterator[Shop]:
    """What sells plans to them; at the end all promises must hold."""
    opened = open_shop(accounts)
    yield opened
    opened.database.dispose()
    assert accounts.problems() == []


@pytest.fixture
def living(shop: Shop) -> Living:
    """The same, whose prepaid customers go through their life-cycle."""
    found = Living(shop)
    found.policy()
    return found


@pytest.fixture
def invoicing(accounts: BilledAccounts) -> Iterator[Invoicing]:
    """What bills them; at the end the books must be in order."""
    found = Invoicing(accounts)
    yield found
    found.database.dispose()
    assert_books_in_order(accounts.url)
