"""What the tables of counters and holds would contain: a small operator works on rows, as the engine does.

Before each command the state gets the counters that the engine would load for it, and no other; after it,
what the command changed is kept by the rules by which writing.py writes it. What is not written is forgotten.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from pbxbill.charging.chain import identify
from pbxbill.charging.counters import Counter, CounterKind
from pbxbill.charging.counting import Counted, make_counters
from pbxbill.charging.events import (
    Adjust,
    Answer,
    Authorize,
    Command,
    Expire,
    Extend,
    PostCharge,
    SetCreditLimit,
    Settle,
    SettleOffline,
    Void,
)
from pbxbill.charging.limits import CounterKey, LimitKind
from pbxbill.charging.state import (
    CdrWritten,
    ChargingState,
    Effect,
    ReservationChanged,
    ReservationOpened,
)
from pbxbill.ledger.reservation import OPEN_STATES, ReservedCount


@dataclass
class CountedRows:
    """Rows by their keys."""

    counters: dict[CounterKey, Counter] = field(default_factory=dict)
    counts: dict[tuple[str, int, int], tuple[int, int]] = field(default_factory=dict)
    """(session, level, counter) -> (reserved, used)."""
    late_limits: set[int] = field(default_factory=set)
    """Set while calls were up, which keep what they have reserved."""

    def load(self, command: Command, state: ChargingState) -> None:
        """Put into the state what the engine would have read for this command."""
        sessions = _sessions(command, state)
        calls = [Counted(*call) for call in _calls(command, sessions, state)]
        members = {member for call in calls for member in state.accounts[call.account_id].chain}
        held = {counter_id for session_id, _, counter_id in self.counts if session_id in sessions}
        state.counters, state.counters_by_id = {}, {}
        state.new_counters, state.changed_counters = set(), set()
        first_us = min([call.at_us for call in calls], default=0)
        last_us = max([call.at_us for call in calls], default=0)
        for key, counter in self.counters.items():
            in_window = key.window_from_us <= last_us and key.window_to_us > first_us
            if calls and (counter.id in held or (key.account_id in members and in_window)):
                state.add_counter(key, replace(counter), is_new=False)
        self._load_live(state)
        make_counters(state, calls, self._last_window)

    def _load_live(self, state: ChargingState) -> None:
        bounded = [
            x for found in state.limits.values() for x in found if x.kind == LimitKind.SIMULTANEOUS_CALLS
        ]
        state.live_of_account = {x.account_id: 0 for x in bounded if not x.endpoint_id}
        state.live_of_endpoint = {x.endpoint_id: 0 for x in bounded if x.endpoint_id}
        for reservation in state.reservations.values() if bounded else ():
            if reservation.state in OPEN_STATES:
                for member in state.accounts[reservation.account_id].chain:
                    if member in state.live_of_account:
                        state.live_of_account[member] += 1
                if reservation.endpoint_id in state.live_of_endpoint:
                    state.live_of_endpoint[reservation.endpoint_id] += 1

    def _last_window(self, account_bundle_id: int, before_us: int) -> tuple[int, int] | None:
        found = [
            (key.window_from_us, counter.free)
            for key, counter in self.counters.items()
            if key.kind == CounterKind.BUNDLE
            and key.ref_id == account_bundle_id
            and key.window_from_us < before_us
        ]
        return max(found, default=None)

    def store(self, effects: Iterable[Effect], state: ChargingState) -> None:
        """Keep what was written, and let the state's reservations hold what a reader would find."""
        for key, counter in state.counters.items():
            if counter.id in state.changed_counters:
                self.counters[key] = replace(counter)
        sessions: dict[str, tuple[ReservedCount, ...]] = {}
        for effect in effects:
            match effect:
                case ReservationOpened(reservation) | ReservationChanged(reservation, _, _):
                    sessions[reservation.session_id] = reservation.counts
                case CdrWritten(cdr) if cdr.counts:
                    sessions[cdr.session_id] = cdr.counts
                case _:
                    pass
        for session_id, counts in sessions.items():
            for count in counts:
                self.counts[session_id, count.level, count.counter_id] = (count.reserved, count.used)
            if session_id in state.reservations:
                read = self.of_session(session_id)
                state.reservations[session_id] = state.reservations[session_id]._replace(counts=read)

    def of_session(self, session_id: str) -> tuple[ReservedCount, ...]:
        """What a call holds, as it is read."""
        keys = sorted(key for key in self.counts if key[0] == session_id)
        return tuple(
            ReservedCount(level, counter_id, *self.counts[id, level, counter_id])
            for id, level, counter_id in keys
        )


def _sessions(command: Command, state: ChargingState) -> set[str]:
    match command:
        case Answer() | Extend() | Settle() | Void() | Expire() | Authorize():
            return {command.session_id} & state.reservations.keys()
        case SettleOffline(request):
            return {request.session_id} & state.reservations.keys()
        case Adjust() | PostCharge() | SetCreditLimit():
            wallets = {x.id for x in state.wallets.values() if x.account_id == command.account_id}
            return {held.session_id for wallet_id in wallets for held in state.held(wallet_id)}
        case _:
            return set()


def _calls(command: Command, sessions: set[str], state: ChargingState) -> Iterable[tuple[int, int]]:
    request = command.request if isinstance(command, SettleOffline) else command
    if isinstance(request, Authorize):
        identified = identify(request, state)
        if identified is not None:
            yield identified[0].id, request.at_us
    for session_id in sessions:
        reservation = state.reservations[session_id]
        yield reservation.account_id, reservation.requested_us
