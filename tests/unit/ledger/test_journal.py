"""Entries balance when they are built and are undone by their opposite."""

from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.errors import InvariantBroken
from pbxbill.ledger.journal import JournalEntry, Posting


def entry_of(*amounts: int) -> JournalEntry:
    return JournalEntry(
        id="e1",
        idempotency_key="settle:s1",
        kind="usage",
        unit="EUR",
        at_us=10,
        postings=tuple(Posting(account_id, amount) for account_id, amount in enumerate(amounts, 1)),
        memo="call to Germany",
    )


def test_a_call_with_tax_is_one_balanced_entry() -> None:
    entry = entry_of(1_190_000, -1_000_000, -190_000)
    assert [posting.amount for posting in entry.postings] == [1_190_000, -1_000_000, -190_000]


@pytest.mark.parametrize("amounts", [(1,), (1, -2), (1_190_000, -1_000_000, -189_999)])
def test_an_entry_that_does_not_balance_cannot_be_built(amounts: tuple[int, ...]) -> None:
    with pytest.raises(InvariantBroken, match="settle:s1 does not balance"):
        entry_of(*amounts)


@given(st.lists(st.integers(-(2**62), 2**62), max_size=6))
def test_a_reversal_brings_every_account_back(amounts: list[int]) -> None:
    entry = entry_of(*amounts, -sum(amounts))
    reversal = entry.reversal(id="e2", at_us=20, memo="wrong rate")
    sums: dict[int, int] = {}
    for posting in entry.postings + reversal.postings:
        sums[posting.ledger_account_id] = sums.get(posting.ledger_account_id, 0) + posting.amount
    assert set(sums.values()) == {0}


def test_a_reversal_names_what_it_reverses_and_can_be_posted_once() -> None:
    entry = entry_of(5, -5)
    first = entry.reversal(id="e2", at_us=20, memo="wrong rate")
    second = entry.reversal(id="e3", at_us=30, memo="again")
    assert (first.reverses_id, first.kind, first.unit, first.at_us) == ("e1", "reversal", "EUR", 20)
    assert first.idempotency_key == second.idempotency_key == "reverse:e1"


def test_an_entry_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        entry_of(5, -5).memo = "other"  # type: ignore[misc]
