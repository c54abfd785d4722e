import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.database_contents import NOTHING, Contents, sqlite_template
from tests.store.billed_accounts import OPENED
from tests.web.browsers import Desk, chromium, opened_desk
from tests.web.offices import OFFICE, Office, opened_office

INSTALLED = {"installed", "installed_on_each", "talked"}
"""What fixtures of modules are called that open an installation."""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages wait until work in the background is done, on a slow machine too; who holds it says otherwise."""
    monkeypatch.setattr("pbxbill.web.background.PATIENCE_S", 60.0)


@pytest.fixture
def contents(request: pytest.FixtureRequest) -> Contents:
    """Who asks for an office, or for an installation, finds its accounts in the copy."""
    if {"office", "office_on_each"} & set(request.fixturenames):
        return OFFICE
    return OPENED if INSTALLED & set(request.fixturenames) else NOTHING


@pytest.fixture
def office(sqlite_url: str) -> Iterator[Office]:
    """An operator, two resellers with a customer each, and users of every role."""
    with opened_office(sqlite_url) as opened:
        yield opened


@pytest.fixture
def office_on_each(database_url: str) -> Iterator[Office]:
    """The same on each database."""
    with opened_office(database_url) as opened:
        yield opened


@pytest.fixture(scope="module")
def module_url(_sqlite_files: Path) -> Iterator[str]:
    """The SQLite file of an office, one for all tests of a module."""
    folder = _sqlite_files / "module"
    folder.mkdir()
    shutil.copy(sqlite_template(_sqlite_files, OFFICE), folder / "pbxbill.db")
    yield f"sqlite:///{folder / 'pbxbill.db'}"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def walked(module_url: str) -> Iterator[Office]:
    """One for all tests of a module: for those that ask much and change nothing."""
    with opened_office(module_url) as opened:
        yield opened


@pytest.fixture(scope="module")
def full(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """The same with something of everything."""
    from tests.web.full_offices import fill  # with half of all modules here

    with opened_office(module_url) as opened:
        calling = fill(opened, tmp_path_factory.mktemp("full"))
        yield opened
        calling.engine.stop()


@pytest.fixture(scope="module")
def chromium_browser() -> Iterator[Browser]:
    """Debian's Chromium, one for a module: while Playwright has it, its thread runs no other asyncio."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def desk(office: Office, chromium_browser: Browser) -> Iterator[Desk]:
    """The office, served, and a browser before it."""
    with opened_desk(office, chromium_browser) as opened:
        yield opened
