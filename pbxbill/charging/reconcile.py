"""Reconciliation: what is up on the switch and what its CDR log says, against open reservations.

Runs when a daemon starts and each time it reconnects. What ended meanwhile is settled with its true
times, what lives is taken up again, what never was is voided; every difference is kept for the report.
"""

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import structlog

from pbxbill.charging.batch import read_reservations
from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import (
    Authorize,
    Denied,
    Direction,
    Evidence,
    Expire,
    Granted,
    Outcome,
    Settle,
    SettleOffline,
    Void,
)
from pbxbill.clock import SECOND_US, Clock
from pbxbill.ids import is_id
from pbxbill.ledger.reservation import Reservation, ReservationState
from pbxbill.store import switch_models
from pbxbill.store.driver import Driver

SETUP_GRACE_US = 5 * SECOND_US
"""A call requested this shortly before the snapshot may not be visible in it yet."""

RECORD_WAIT_S = 3
"""How long a switch may take to write the record of a call that just ended."""

TIMES_TOLERANCE_US = 100_000
"""Event and record may differ by this much (FreeSWITCH rounds to 20 ms) before it is reported."""

FUTURE_TOLERANCE_US = 60 * SECOND_US
"""How far the switch's clock may be ahead; a record that ended later than that is not believed."""

LOOK_BACK_US = 600 * SECOND_US
"""Records this long before the last reconciliation are read again."""

COMMAND_TIMEOUT_MS = 30_000

_log = structlog.get_logger()

OPEN_SESSIONS = (
    "SELECT session_id FROM reservations WHERE state IN ('reserved', 'answered') AND switch {any_text}"
)
LAST_RUN = "SELECT MAX(at_us) FROM reconciliations WHERE switch {any_text}"
REPORTED = "SELECT session_id, kind FROM reconciliation_differences WHERE session_id {any_text}"
CDR_TIMES = "SELECT session_id, answered_us, ended_us, evidence FROM cdrs WHERE session_id {any_text}"
IMPORTED = (
    "SELECT call_id, switch FROM cdrs "
    "WHERE evidence = 'import' AND answered_us IS NOT NULL AND call_id {any_text}"
)

UNNAMED_SWITCH = "import"
"""Of imported records whose switch nobody named."""


@dataclass(frozen=True, slots=True)
class LiveChannel:
    """A paid leg that is up on the switch now, or a call in set-up (answered_us None)."""

    session_id: str
    paid_leg: str
    answered_us: int | None
    seen_us: int
    """The switch's clock when it was seen."""


@dataclass(frozen=True, slots=True)
class SwitchRecord:
    """One leg from the switch's own CDR log: the paid leg's, or the caller's if there was none."""

    session_id: str
    """Empty only for calls that passed while nobody could be asked (offline)."""
    call_id: str
    account_code: str
    direction: Direction
    caller: str
    dialled: str
    started_us: int
    answered_us: int | None
    ended_us: int
    hangup_cause: int
    paid_leg: str
    offline: bool = False
    gateway: str = ""
    """Where the paid leg went out; empty if the log does not say."""
    shadow: bool = False
    """The switch runs in shadow mode."""
    ringing_us: int | None = None
    """As in Answer."""


class DifferenceKind(StrEnum):
    """What reconciliation can find."""

    ENDED_MEANWHILE = "ended_meanwhile"
    """Settled or voided with the times of the switch's record."""
    NO_EVIDENCE = "no_evidence"
    """Neither live nor recorded: settled from what the reservation holds, marked as an estimate."""
    MISSED_ANSWER = "missed_answer"
    """Live and answered, but the answer had not been seen."""
    LIVE_UNRESERVED = "live_unreserved"
    """Live on the switch, and no open reservation pays for it."""
    CHARGED_OFFLINE = "charged_offline"
    """Passed while nobody could authorize it; charged from the record."""
    REFUSED_OFFLINE = "refused_offline"
    """Said to have passed unasked, by an account whose failure policy lets nothing pass; not charged."""
    UNRECORDED = "unrecorded"
    """In the switch's log with an account, and unknown to the database; charged from the record."""
    IMPORTED_ALREADY = "imported_already"
    """Unknown as a session, but charged by an import of the switch's records; not charged again."""
    TIMES_DIFFER = "times_differ"
    """The charged times are not those of the switch's record."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing found, and what was done about it."""

    session_id: str
    kind: DifferenceKind
    detail: str


@dataclass(frozen=True, slots=True)
class Rearm:
    """A live call to take up again: its grant, and since when it is answered (None: still in set-up)."""

    granted: Granted
    paid_leg: str
    answered_us: int | None
    elapsed_us: int


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What a run found."""

    rearm: tuple[Rearm, ...]
    differences: tuple[Difference, ...]
    open_count: int
    live_count: int
    record_count: int


ReadRecords = Callable[[int], Iterable[SwitchRecord]]
"""Reads the switch's log from a moment (UTC microseconds) on."""


class Reconciler:
    """Compares and repairs; used from a thread that may wait."""

    def __init__(self, engine: ChargingEngine, connect: Callable[[], Driver], clock: Clock) -> None:
        self._engine = engine
        self._connect = connect
        self._clock = clock

    def run(
        self,
        switch: str,
        live: Sequence[LiveChannel],
        read_records: ReadRecords,
        last_seen_us: int | None = None,
    ) -> Reconciliation:
        """Reconcile one switch. Take the snapshot `live` after the event subscription stands.

        last_seen_us: when the switch was last known to be up, or was started, before now, by its own clock;
        a call from before then of which nothing else is left ended then at the latest. None: unknown.
        """
        at_us = self._clock.now_us()
        last_seen_us = at_us if last_seen_us is None else last_seen_us
        driver = self._connect()
        try:
            session_ids = [row[0] for row in driver.select(OPEN_SESSIONS, [switch])]
            reservations = read_reservations(driver, session_ids)
            since_us = self._since(driver, switch, reservations, at_us)
            records = by_session(switch, read_records(since_us), at_us)
            up = {channel.session_id: channel for channel in live}
            gone = [r for r in reservations if r.session_id not in up]
            if any(r.session_id not in records for r in gone):
                threading.Event().wait(RECORD_WAIT_S)
                records = by_session(switch, read_records(since_us), at_us)
            differences: list[Difference] = []
            rearm = [
                self._take_up(r, up[r.session_id], differences) for r in reservations if r.session_id in up
            ]
            for reservation in gone:
                self._close(reservation, records.get(reservation.session_id), last_seen_us, differences)
            known = {r.session_id for r in reservations}
            self._check_records(driver, switch, records, known, differences)
            differences += _unreserved(up, known, records)
            found = Reconciliation(
                tuple(x for x in rearm if x is not None),
                tuple(differences),
                len(reservations),
                len(live),
                len(records),
            )
            self._keep(driver, switch, at_us, found)
        finally:
            driver.close()
        return found

    def since_us(self, switch: str) -> int:
        """From which moment on records of the switch's log are wanted."""
        driver = self._connect()
        try:
            session_ids = [row[0] for row in driver.select(OPEN_SESSIONS, [switch])]
            reservations = read_reservations(driver, session_ids)
            return self._since(driver, switch, reservations, self._clock.now_us())
        finally:
            driver.close()

    def settle_offline(self, switch: str, records: Sequence[SwitchRecord]) -> None:
        """Charge calls that passed while nobody could authorize them; a repeated record changes nothing."""
        chosen = by_session(switch, (x for x in records if x.offline), self._clock.now_us())
        if not chosen:
            return
        differences: list[Difference] = []
        driver = self._connect()
        try:
            known = {row[0] for row in driver.select(OPEN_SESSIONS, [switch])}
            self._check_records(driver, switch, chosen, known, differences)
            self._keep(
                driver,
                switch,
                self._clock.now_us(),
                Reconciliation((), tuple(differences), 0, 0, len(chosen)),
            )
        finally:
            driver.close()

    def _since(self, driver: Driver, switch: str, reservations: Sequence[Reservation], at_us: int) -> int:
        ((last_us,),) = driver.select(LAST_RUN, [switch])
        moments = [r.requested_us for r in reservations] + [at_us if last_us is None else last_us]
        return min(moments) - LOOK_BACK_US

    def _take_up(
        self, reservation: Reservation, channel: LiveChannel, differences: list[Difference]
    ) -> Rearm | None:
        request = Authorize(
            session_id=reservation.session_id,
            switch=reservation.switch,
            call_id=reservation.call_id,
            direction=Direction(reservation.direction),
            dialled=reservation.dialled,
            caller=reservation.caller,
            at_us=reservation.requested_us,
        )
        granted = self._engine.execute(request, COMMAND_TIMEOUT_MS)  # a repeated request: its first answer
        if not isinstance(granted, Granted):
            return None
        answered_us = reservation.answered_us or channel.answered_us
        if reservation.answered_us is None and answered_us is not None:
            detail = f"answered at {answered_us} by the switch"
            differences.append(Difference(reservation.session_id, DifferenceKind.MISSED_ANSWER, detail))
        elapsed_us = 0 if answered_us is None else max(0, channel.seen_us - answered_us)
        return Rearm(granted, channel.paid_leg or reservation.paid_leg, answered_us, elapsed_us)

    def _close(
        self,
        reservation: Reservation,
        record: SwitchRecord | None,
        last_seen_us: int,
        differences: list[Difference],
    ) -> None:
        session_id = reservation.session_id
        if record is None:
            now_us = self._clock.now_us()
            if now_us - reservation.requested_us < SETUP_GRACE_US:
                return  # in set-up: its own events will tell
            # What was asked for later was carried by the switch as it is now.
            seen_us = last_seen_us if reservation.requested_us < last_seen_us else now_us
            self._engine.execute(Expire(session_id, now_us, seen_us), COMMAND_TIMEOUT_MS)
            detail = "not on the switch and not in its log"
            differences.append(Difference(session_id, DifferenceKind.NO_EVIDENCE, detail))
            return
        answered_us = record.answered_us
        if answered_us is None and reservation.state is ReservationState.ANSWERED:
            # The caller's record may miss an answer that the paid leg's event had told.
            answered_us = reservation.answered_us
        cause, evidence = record.hangup_cause, Evidence.CDR_LOG
        if answered_us is None:
            void = Void(session_id, record.ended_us, cause, evidence, ringing_us=record.ringing_us)
            self._engine.execute(void, COMMAND_TIMEOUT_MS)
        else:
            settle = Settle(
                session_id,
                answered_us,
                record.ended_us,
                cause,
                evidence,
                record.gateway,
                ringing_us=record.ringing_us,
            )
            self._engine.execute(settle, COMMAND_TIMEOUT_MS)
        detail = f"answered {answered_us}, ended {record.ended_us}, cause {cause}"
        differences.append(Difference(session_id, DifferenceKind.ENDED_MEANWHILE, detail))

    def _check_records(
        self,
        driver: Driver,
        switch: str,
        records: dict[str, SwitchRecord],
        known: set[str],
        differences: list[Difference],
    ) -> None:
        unknown = [session_id for session_id in records if session_id not in known]
        closed = {row[0]: row[1:] for row in driver.select(CDR_TIMES, unknown)} if unknown else {}
        chargeable = [records[x].call_id for x in unknown if x not in closed]
        imported = _imported_calls(driver, switch, [call_id for call_id in chargeable if call_id])
        for session_id in unknown:
            record = records[session_id]
            if session_id in closed:
                differences += _times(session_id, record, closed[session_id])
            elif record.answered_us is not None and record.call_id in imported:
                detail = f"call {record.call_id!r} was charged by an import already"
                differences.append(Difference(session_id, DifferenceKind.IMPORTED_ALREADY, detail))
            elif record.answered_us is not None:
                outcome = self._charge_unreserved(switch, session_id, record, record.answered_us)
                kind = DifferenceKind.CHARGED_OFFLINE if record.offline else DifferenceKind.UNRECORDED
                if isinstance(outcome, Denied):
                    kind = DifferenceKind.REFUSED_OFFLINE
                detail = f"account code {record.account_code!r}, dialled {record.dialled!r}"
                differences.append(Difference(session_id, kind, detail))

    def _charge_unreserved(
        self, switch: str, session_id: str, record: SwitchRecord, answered_us: int
    ) -> Outcome:
        inbound = record.direction is Direction.INBOUND
        request = Authorize(
            session_id=session_id,
            switch=switch,
            call_id=record.call_id,
            direction=record.direction,
            dialled=record.dialled,
            caller=record.caller,
            at_us=record.started_us,
            account_code=record.account_code,
            did=record.dialled if inbound else "",
            shadow=record.shadow,
        )
        command = SettleOffline(
            request,
            answered_us,
            record.ended_us,
            record.hangup_cause,
            record.paid_leg,
            unasked=record.offline,
            gateway=record.gateway,
            ringing_us=record.ringing_us,
        )
        return self._engine.execute(command, COMMAND_TIMEOUT_MS)

    def _keep(self, driver: Driver, switch: str, at_us: int, found: Reconciliation) -> None:
        driver.begin()
        counts = (found.open_count, found.live_count, found.record_count)
        columns: tuple[str, ...] = ("switch", "at_us", "open_count", "live_count", "record_count")
        driver.insert(switch_models.ReconciliationRow.__table__, columns, [(switch, at_us, *counts)])  # type: ignore[arg-type]
        ((run_id,),) = driver.select("SELECT MAX(id) FROM reconciliations WHERE switch {any_text}", [switch])
        reported = set(driver.select(REPORTED, [d.session_id for d in found.differences]))
        rows = [
            (run_id, d.session_id, d.kind, d.detail[:300])
            for d in found.differences
            if (d.session_id, d.kind) not in reported  # the look-back reads records of earlier runs again
        ]
        if rows:
            columns = ("reconciliation_id", "session_id", "kind", "detail")
            driver.insert(switch_models.DifferenceRow.__table__, columns, rows)  # type: ignore[arg-type]
        driver.commit()


def by_session(switch: str, records: Iterable[SwitchRecord], now_us: int) -> dict[str, SwitchRecord]:
    """One record per session: the answered one where a call has several legs."""
    chosen: dict[str, SwitchRecord] = {}
    for record in records:
        session_id = record.session_id
        if not session_id:
            if not record.offline:
                continue  # a call that pbxbill has nothing to do with
            name = f"{switch}/{record.call_id}/{record.paid_leg}".encode()
            session_id = hashlib.blake2b(name, digest_size=16).hexdigest()
        if not is_id(session_id):
            _log.warning("record_with_foreign_session", switch=switch, session_id=session_id[:64])
            continue
        answered_us = record.started_us if record.answered_us is None else record.answered_us
        if not record.started_us <= answered_us <= record.ended_us <= now_us + FUTURE_TOLERANCE_US:
            _log.error("record_with_impossible_times", switch=switch, record=repr(record)[:500])
            continue
        present = chosen.get(session_id)
        if present is None or (present.answered_us is None and record.answered_us is not None):
            chosen[session_id] = record
    return chosen


def _imported_calls(driver: Driver, switch: str, call_ids: list[str]) -> set[str]:
    """Calls that an import charged by the switch's own ids of them."""
    if not call_ids:
        return set()
    rows = driver.select(IMPORTED, call_ids)
    # Where nobody said which switch wrote the file, rather no charge than two for one call.
    return {call_id for call_id, its_switch in rows if its_switch in (UNNAMED_SWITCH, switch)}


def _times(session_id: str, record: SwitchRecord, charged: tuple[int | None, int, str]) -> list[Difference]:
    answered_us, ended_us, evidence = charged
    if answered_us is None or record.answered_us is None:
        if answered_us is None and record.answered_us is None:
            return []
        detail = f"charged as answered {answered_us}, the switch's record says {record.answered_us}"
        return [Difference(session_id, DifferenceKind.TIMES_DIFFER, detail)]
    apart_us = (record.ended_us - record.answered_us) - (ended_us - answered_us)
    if abs(apart_us) <= TIMES_TOLERANCE_US:
        return []
    detail = f"the switch's record is {apart_us} us longer than what was charged ({evidence})"
    return [Difference(session_id, DifferenceKind.TIMES_DIFFER, detail)]


def _unreserved(
    up: dict[str, LiveChannel], known: set[str], records: dict[str, SwitchRecord]
) -> list[Difference]:
    return [
        Difference(session_id, DifferenceKind.LIVE_UNRESERVED, f"leg {channel.paid_leg} is up")
        for session_id, channel in up.items()
        if session_id not in known and session_id not in records
    ]
