"""Lines on their way from a source to their charge, and what became of them."""

import json
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from pbxbill.mediation.record import RAW_KEPT, Reason, Unusable, UsageRecord, record_key
from pbxbill.mediation.splitting import Columns
from pbxbill.store.driver import Driver

QUARANTINED = (
    "SELECT record_key, id, state, run_id, source, line, raw, fields FROM quarantined_records "
    "WHERE record_key {any_text}"
)


class Item(NamedTuple):
    """One line on its way: what was read, and what it was read from."""

    key: str
    source: str
    line: int
    raw: bytes
    columns: Columns
    record: UsageRecord | Unusable
    quarantine_id: int = 0
    """Its row, of a record that is tried again."""

    @property
    def shown(self) -> str:
        """The beginning of its line, as it is kept in quarantine."""
        return storable(self.raw[:RAW_KEPT].decode("utf-8", "replace"))


class Fate(StrEnum):
    """What became of an item."""

    RATED = "rated"
    UNANSWERED = "unanswered"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"


class Quarantined(NamedTuple):
    """A row in quarantine."""

    id: int
    state: str
    run_id: int
    source: str
    line: int
    raw: str
    fields: str

    def is_of(self, item: Item) -> bool:
        """Whether it holds the same record, even if its columns were corrected meanwhile."""
        if item.quarantine_id:
            return item.quarantine_id == self.id
        return self.raw == item.shown or json.loads(self.fields) == item.columns


class Charged(NamedTuple):
    """What one level was charged for one item."""

    account_id: int
    unit: str
    total: int
    uncollected: int


class Posted(NamedTuple):
    """What a batch did, item by item."""

    items: list[Item]
    """As they are kept: what contradicts another record has a key of its own."""
    fates: list[Fate]
    unusable: dict[int, Unusable]
    """By position in the batch."""
    charges: list[Charged]
    known: dict[str, Quarantined]
    """Rows that the quarantine has of the batch's items already, by key."""


AlsoWrite = Callable[[Driver, Posted], None]


class RunMark(NamedTuple):
    """Which run posts, and since when; the default is of no run."""

    run_id: int = 0
    started_us: int = 0


def known_in_quarantine(driver: Driver, keys: list[str]) -> dict[str, Quarantined]:
    """The rows of keys that have one."""
    return {key: Quarantined(*row) for key, *row in driver.select(QUARANTINED, keys)} if keys else {}


def contradicting(item: Item, what: str) -> tuple[Item, Unusable]:
    """An item that has another record's key but is another one; it is kept under a key of its own."""
    columns = [f"{name}={text}" for name, text in sorted(item.columns.items())]
    detail = f"fingerprint: {what}; correct one of them, name more columns in the mapping, or drop it"
    why = Unusable(Reason.CONTRADICTORY, detail[:280], "fingerprint")
    return item._replace(key=record_key(item.key, columns or [item.shown]), record=why), why


def storable(text: str) -> str:
    """What every database takes: no NULs, no halves of characters."""
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
