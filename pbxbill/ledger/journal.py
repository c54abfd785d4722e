"""Journal entries: immutable, balanced when built, corrected only by reversal."""

from dataclasses import dataclass
from typing import NamedTuple

from pbxbill.errors import check


class Posting(NamedTuple):
    """One leg of an entry: debit positive, credit negative, in the ledger account's unit."""

    ledger_account_id: int
    amount: int


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A set of postings in one unit that adds up to zero."""

    id: str
    idempotency_key: str
    """Made from the cause; the same cause never posts twice."""
    kind: str
    unit: str
    at_us: int
    postings: tuple[Posting, ...]
    memo: str = ""
    reverses_id: str | None = None

    def __post_init__(self) -> None:
        balance = sum([amount for _, amount in self.postings])
        check(balance == 0, "journal entry {} does not balance", self.idempotency_key)

    def reversal(self, *, id: str, at_us: int, memo: str) -> "JournalEntry":
        """The equal and opposite entry; the idempotency key allows one per entry."""
        return JournalEntry(
            id=id,
            idempotency_key=f"reverse:{self.id}",
            kind="reversal",
            unit=self.unit,
            at_us=at_us,
            postings=tuple(Posting(p.ledger_account_id, -p.amount) for p in self.postings),
            memo=memo,
            reverses_id=self.id,
        )
