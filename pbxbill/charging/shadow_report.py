"""What pbxbill recorded beside what the switch's own log says: which calls differ, and by how much."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from pbxbill.charging.reconcile import TIMES_TOLERANCE_US, SwitchRecord


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A call as pbxbill keeps it."""

    session_id: str
    account: str
    dialled: str
    started_us: int
    answered_us: int | None
    ended_us: int
    hangup_cause: int
    denied: bool
    """Nobody could be charged for it: turned away, or let pass in shadow. It is not compared."""
    shadow: str | None

    @property
    def talked_us(self) -> int:
        """From the answer to the end; 0 without an answer."""
        return 0 if self.answered_us is None else max(0, self.ended_us - self.answered_us)


@dataclass(frozen=True, slots=True)
class CallDifference:
    """A call that both have, and not alike; positive: the switch's log says more."""

    call: RecordedCall
    record: SwitchRecord
    apart_us: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found."""

    alike: int
    different: tuple[CallDifference, ...]
    only_here: tuple[RecordedCall, ...]
    only_there: tuple[SwitchRecord, ...]

    @property
    def differs(self) -> bool:
        """Whether anything does."""
        return bool(self.different or self.only_here or self.only_there)


def compare(
    calls: Iterable[RecordedCall],
    records: Mapping[str, SwitchRecord],
    known: Collection[str],
    *,
    causes: bool,
) -> Comparison:
    """records: by session. known: their sessions that are recorded here, also outside the calls' period.

    causes: the log has them. Asterisk's only says whether somebody answered.
    """
    alike, different, only_here = 0, [], []
    for call in calls:
        record = records.get(call.session_id)
        if call.denied:
            continue
        if record is None:
            only_here.append(call)
            continue
        talked_us = 0 if record.answered_us is None else record.ended_us - record.answered_us
        apart_us = talked_us - call.talked_us
        same_answer = (call.answered_us is None) == (record.answered_us is None)
        same_cause = not causes or call.hangup_cause == record.hangup_cause
        if same_answer and same_cause and abs(apart_us) <= TIMES_TOLERANCE_US:
            alike += 1
        else:
            different.append(CallDifference(call, record, apart_us))
    only_there = tuple(record for session_id, record in records.items() if session_id not in known)
    return Comparison(alike, tuple(different), tuple(only_here), only_there)
