from collections.abc import Iterator

import pytest

from pbxbill.charging.state import ChargedAccount
from tests.small_operator import RETAIL, WHOLESALE, SmallOperator


@pytest.fixture
def operator() -> Iterator[SmallOperator]:
    """An operator that must have kept every promise when the test is over."""
    operator = SmallOperator()
    yield operator
    assert operator.broken_promises() == []


@pytest.fixture
def retail(operator: SmallOperator) -> int:
    return operator.tariff(RETAIL)


@pytest.fixture
def wholesale(operator: SmallOperator) -> int:
    return operator.tariff(WHOLESALE)


@pytest.fixture
def alice(operator: SmallOperator, retail: int) -> ChargedAccount:
    """A prepaid account with one euro: 500 seconds to Germany."""
    return operator.account("alice", tariff=retail, funds="1")
