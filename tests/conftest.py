"""Real servers for whoever asks: a database per test on each database, Redis, Asterisk.

What is missing fails the test and says how to get it; a test that is skipped unseen proves nothing.
"""

import gc
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from lab.asterisk import INSTALL
from lab.memory import fleeting_directory
from lab.postgres import PrivatePostgres
from lab.process import ServerFailed
from lab.redis import PrivateRedis
from pbxbill.store.engine import migrate
from tests.compiled_once import compiled_once
from tests.database_contents import NOTHING, Contents, sqlite_template

NO_SERVER = "{fault}. `make test` installs what the suite needs, `make dev` does so without running it."


# How fast examples are made says something of the machine, and nothing of us.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


UNIT = Path(__file__).parent / "unit"

# Files that take longest: among those that reckon, one at a time, those that wait for
# real switches.
LONGEST = (
    "test_schemathesis.py",
    "test_day_looks.py",
    "test_real_cards.py",
    "test_report_rollups.py",
    "test_billing_year.py",
    "test_seeded.py",
    "test_reports.py",
    "test_cli_run.py",
    "test_real_engine.py",
    "test_life_cycle.py",
    "test_security_texts.py",
    "test_day_languages.py",
    "test_two_editors.py",
    "test_real_shadow.py",
    "test_mediation.py",
    "test_pdf.py",
    "test_auto_top_ups.py",
    "test_looking_through_entries.py",
    "test_flow_first_start.py",
    "test_billing_runs_at_once.py",
    "test_day_reseller.py",
    "test_real_calls.py",
    "test_billing_runs.py",
    "test_calling_cards.py",
    "test_cli_vouchers.py",
    "test_payments_at_once.py",
    "test_subscription_edges.py",
    "test_real_faults.py",
    "test_dunning.py",
    "test_flow_live_call.py",
    "test_flow_keyboard.py",
    "test_routes_say_whom.py",
    "test_real_dialplans.py",
    "test_points.py",
    "test_templates.py",
    "test_flow_paid_invoice.py",
    "test_day_customer.py",
    "test_docs_panel.py",
    "test_invoice_pages_browser.py",
    "test_invoice_pages_runs.py",
    "test_languages_of_sentences.py",
    "test_report_pages.py",
    "test_operations_pages_changes.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files begin first, and those of a moment come last: no process is left with a long one at the end.

    `make test` keeps this order; by itself pytest-xdist would begin with the files of most tests.
    """
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (rank.get(item.path.name, len(rank)), item.path.is_relative_to(UNIT)))


def pytest_sessionstart() -> None:
    """Thirteen thousand tests, and all that they load, are no garbage."""
    gc.set_threshold(100_000, 10, 10)


def pytest_collection_finish() -> None:
    """What is loaded by now stays: each full collection of garbage would look through all of it again, and
    took a third of the time of tests of the web. An application leaves a hundred thousand objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


@pytest.fixture(scope="session", autouse=True)
def _compiled_once() -> Iterator[None]:
    with compiled_once():
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PrivatePostgres]:
    """One PostgreSQL for the run, in memory. A test that stops or kills it starts its own instead."""
    try:
        server = PrivatePostgres(durable=False)
        server.start()
    except ServerFailed as fault:
        pytest.fail(NO_SERVER.format(fault=fault))
    with server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[PrivateRedis]:
    """One Redis for the run. A test that stops or kills it starts its own instead."""
    try:
        server = PrivateRedis()
        server.start()
    except ServerFailed as fault:
        pytest.fail(NO_SERVER.format(fault=fault))
    with server:
        yield server


@pytest.fixture(scope="session")
def asterisk_install() -> Path:
    """Where Asterisk is unpacked: PrivateAsterisk(install=...)."""
    if not (INSTALL / "bin" / "asterisk").exists():
        pytest.fail(NO_SERVER.format(fault=f"there is no Asterisk in {INSTALL}"))
    return INSTALL


@pytest.fixture
def contents() -> Contents:
    """What the test finds in its database; a folder whose tests all begin alike says so in its conftest."""
    return NOTHING


@pytest.fixture(scope="session")
def _sqlite_files() -> Iterator[Path]:
    directory = fleeting_directory()
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def sqlite_url(_sqlite_files: Path, contents: Contents) -> Iterator[str]:
    """A fresh SQLite database file with the newest schema."""
    directory = _sqlite_files / "test"
    directory.mkdir()
    shutil.copy(sqlite_template(_sqlite_files, contents), directory / "pbxbill.db")
    yield f"sqlite:///{directory / 'pbxbill.db'}"
    shutil.rmtree(directory)


@pytest.fixture
def postgres_url(postgres_server: PrivatePostgres, contents: Contents) -> Iterator[str]:
    """A fresh PostgreSQL database with the newest schema."""
    template = postgres_server.template("template_schema", migrate)
    if contents.fill is not None:
        template = postgres_server.template(f"template_{contents.name}", contents.fill, template)
    name = postgres_server.create_database(template)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database with the newest schema; the test runs once on each database."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without any tables; the test runs once on each database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: PrivatePostgres = request.getfixturevalue("postgres_server")
    name = server.create_database()
    yield server.url(name)
    server.drop_database(name)
