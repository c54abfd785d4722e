"""Real servers for whoever asks: a database per test on each database, Redis, Asterisk.

What is missing fails the test and says how to get it; a test that is skipped unseen proves nothing.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from lab.asterisk import INSTALL
from lab.postgres import PrivatePostgres
from lab.process import ServerFailed
from lab.redis import PrivateRedis
from pbxbill.store.engine import migrate

NO_SERVER = "{fault}. `make test` installs what the suite needs, `make dev` does so without running it."


# How fast examples are made says something of the machine, and nothing of us.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits for real switches begins first: at the end no process is left alone with it."""
    items.sort(key=lambda item: "switch" not in item.path.parts)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PrivatePostgres]:
    """One PostgreSQL for the run. A test that stops or kills it starts its own instead."""
    try:
        server = PrivatePostgres()
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


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    template = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(f"sqlite:///{template}")
    return template


@pytest.fixture
def sqlite_url(_sqlite_template: Path, tmp_path: Path) -> str:
    """A fresh SQLite database file with the newest schema."""
    path = tmp_path / "pbxbill.db"
    shutil.copy(_sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres_server: PrivatePostgres) -> Iterator[str]:
    """A fresh PostgreSQL database with the newest schema."""
    template = postgres_server.template("pbxbill_template", migrate)
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
