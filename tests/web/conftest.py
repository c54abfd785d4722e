from collections.abc import Iterator

import pytest

from tests.web.offices import Office, opened_office


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
