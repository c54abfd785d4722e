"""What a run counts and adds up, as its report shows it."""

from dataclasses import dataclass, field
from typing import NamedTuple

from pbxbill.mediation.items import Fate, Posted


class TallyKey(NamedTuple):
    """Of one line of the tallies."""

    name: str
    """money, by account and unit; reason, of what is in quarantine."""
    subject: str
    unit: str


@dataclass(slots=True)
class Sums:
    """One line of the tallies."""

    records: int = 0
    total: int = 0
    uncollected: int = 0


COUNTS = ("read", "filtered", "rated", "unanswered", "duplicates", "quarantined")


@dataclass(slots=True)
class Tally:
    """Counts and sums; read = filtered + rated + unanswered + duplicates + quarantined."""

    read: int = 0
    filtered: int = 0
    rated: int = 0
    unanswered: int = 0
    duplicates: int = 0
    quarantined: int = 0
    sums: dict[TallyKey, Sums] = field(default_factory=dict)
    """By account its id, by reason its name."""

    def count(self, posted: Posted, filtered: int) -> None:
        """Add a batch."""
        fates = posted.fates
        self.read += len(fates) + filtered
        self.filtered += filtered
        self.rated += fates.count(Fate.RATED)
        self.unanswered += fates.count(Fate.UNANSWERED)
        self.duplicates += fates.count(Fate.DUPLICATE)
        self.quarantined += fates.count(Fate.QUARANTINED)
        for account_id, unit, total, uncollected in posted.charges:
            sums = self.sums.setdefault(TallyKey("money", str(account_id), unit), Sums())
            sums.records += 1
            sums.total += total
            sums.uncollected += uncollected
        for position, unusable in posted.unusable.items():
            if fates[position] is Fate.QUARANTINED:
                key = TallyKey("reason", unusable.reason, "")
                self.sums.setdefault(key, Sums()).records += 1

    def clear(self) -> None:
        """Nothing was counted."""
        for name in COUNTS:
            setattr(self, name, 0)
        self.sums.clear()

    def add(self, batch: "Tally") -> None:
        """Take over what a batch counted, once it is durable."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(batch, name))
        for key, more in batch.sums.items():
            sums = self.sums.setdefault(key, Sums())
            sums.records += more.records
            sums.total += more.total
            sums.uncollected += more.uncollected

    def reasons(self) -> dict[str, int]:
        """How many went to quarantine, by reason."""
        return {key.subject: sums.records for key, sums in self.sums.items() if key.name == "reason"}
