"""The end of a call: settle, void, expire, and calls that passed while nobody could authorize them.

What a call costs follows from its rate row and the switch's timestamps. What can be taken is bounded
by what it had reserved and what is free; the rest is recorded as uncollected, never overspent.
"""

from collections.abc import Iterable

from pbxbill.charging.authorizing import deny
from pbxbill.charging.cdr import CallCharge, RatedCdr, record_of
from pbxbill.charging.chain import FREE, Refusal, rated_chain
from pbxbill.charging.collecting import Usage, carrier_cost, collect
from pbxbill.charging.events import (
    DenialReason,
    Evidence,
    Expire,
    FailurePolicy,
    Outcome,
    Settle,
    Settled,
    SettleOffline,
    UnknownSession,
    Void,
    Voided,
)
from pbxbill.charging.levels import rated_levels
from pbxbill.charging.limits import count_short_call, limits_that_apply
from pbxbill.charging.pricing import Rated
from pbxbill.charging.regrant import moved_counts
from pbxbill.charging.state import (
    CdrWritten,
    ChargingState,
    Effect,
    LimitStruck,
    ReservationChanged,
    WalletMoved,
)
from pbxbill.clock import SECOND_US
from pbxbill.ledger.reservation import TRANSITIONS, Reservation, ReservationLevel, Verb
from pbxbill.money import Unit

CUT_TOLERANCE_US = 2 * SECOND_US
"""How late a switch may be with the cut that we asked for; that time is not charged."""

Decision = tuple[Outcome, list[Effect]]


def billed_duration(answered_us: int, ended_us: int, granted_us: int, max_call_us: int) -> int:
    """The call time that is charged: the true one, but not the switch's lateness with our cut."""
    duration_us = max(0, min(ended_us - answered_us, max_call_us))
    late_us = duration_us - granted_us
    return granted_us if 0 < late_us <= CUT_TOLERANCE_US else duration_us


def _first_result(session_id: str, state: ChargingState) -> Outcome:
    record = state.cdrs.get(session_id)
    if record is None:
        return UnknownSession(session_id)
    if record.answered_us is None or record.account_id is None:
        return Voided(session_id)
    return _settled(record, state)


def _settled(record: RatedCdr, state: ChargingState, effects: Iterable[Effect] = ()) -> Settled:
    own = bool(record.charges) and record.charges[0].account_id == record.account_id
    first = record.charges[0] if own else None
    wallet = None if first is None else state.wallets[first.wallet_id]
    available = 0
    if wallet is not None:
        # The wallet still stands as before the effects: say what will be available after them.
        available = wallet.available
        for effect in effects:
            if isinstance(effect, WalletMoved) and effect.wallet_id == wallet.id:
                available += effect.posted - effect.reserved
    return Settled(
        record.session_id,
        record.account_id or 0,
        state.catalogue.units[wallet.unit] if wallet is not None else Unit(""),
        record.billed_us,
        0 if first is None else first.total,
        0 if first is None else first.uncollected,
        available,
    )


def settle(command: Settle, state: ChargingState) -> Decision:
    if command.answered_us is None:
        unanswered = Void(
            command.session_id,
            command.ended_us,
            command.hangup_cause,
            command.evidence,
            command.detail,
            command.ringing_us,
        )
        return void(unanswered, state)
    reservation = state.reservations.get(command.session_id)
    target = None if reservation is None else TRANSITIONS.get((reservation.state, Verb.SETTLE))
    if reservation is None or target is None:
        return _first_result(command.session_id, state), []
    answered_us, ended_us = command.answered_us, command.ended_us
    billed_us = billed_duration(
        answered_us, ended_us, reservation.granted_us, reservation.max_call_s * SECOND_US
    )
    watched = reservation.shadow is not None
    if watched:  # nobody cut it
        billed_us = max(0, ended_us - answered_us)
    usage = Usage(
        command.session_id,
        billed_us,
        answered_us,
        ended_us,
        reservation.requested_us,
        reservation.failure_policy,
        watched,
    )
    charges, counts, effects = collect(usage, rated_levels(reservation, state), reservation.counts, state)
    released = tuple([ReservationLevel(*level[:6], 0, *level[7:]) for level in reservation.levels])
    closed = reservation.ended(target, answered_us, released, counts)
    detail = command.detail if ended_us >= answered_us else "the switch says it ended before its answer"
    record = _record(closed, command, answered_us, billed_us, charges, detail)
    effects += [ReservationChanged(closed, None, ended_us), CdrWritten(record)]
    gateway = command.gateway or reservation.gateway
    if gateway:
        effects += carrier_cost(
            reservation.session_id, gateway, reservation.called, answered_us, ended_us, state
        )
    if state.limits:
        effects += _short_call(reservation, billed_us, ended_us, state)
    return _settled(record, state, effects), effects


def _short_call(
    reservation: Reservation, billed_us: int, ended_us: int, state: ChargingState
) -> list[Effect]:
    account = state.accounts.get(reservation.account_id)
    if account is None:
        return []  # a call that its account does not pay for
    chain = account.chain
    limits = [limit for account_id in chain for limit in state.limits.get(account_id, ())]
    counted = count_short_call(
        limits_that_apply(limits, chain, reservation.endpoint_id),
        billed_us=billed_us,
        ended_us=ended_us,
        endpoint_id=reservation.endpoint_id,
        counters=state.counters,
    )
    hits = counted.hits
    if reservation.shadow is not None:  # nothing is enforced
        hits = tuple(hit._replace(suspends_endpoint_id=None) for hit in hits)
    struck = [LimitStruck(hit, reservation.account_id, ended_us) for hit in hits]
    return [*counted.changes, *struck]


def _record(
    reservation: Reservation,
    command: Settle | Void,
    answered_us: int | None,
    billed_us: int,
    charges: tuple[CallCharge, ...],
    detail: str,
) -> RatedCdr:
    # By position, in the order of the fields: by name it takes twice as long.
    return RatedCdr(
        *reservation[:9],  # from the session to the destination they are the same
        reservation.requested_us,
        answered_us,
        command.ended_us,
        billed_us,
        reservation.granted_us,
        command.hangup_cause,
        None,
        detail,
        command.evidence,
        _shadow(reservation, billed_us),
        reservation.ringing_us if command.ringing_us is None else command.ringing_us,
        charges,
    )


def _shadow(reservation: Reservation, billed_us: int) -> str | None:
    """What enforcement would have done to a call that was only watched."""
    if reservation.shadow == "" and reservation.final and billed_us > reservation.granted_us:
        return f"would have been cut after {reservation.granted_us // SECOND_US} s"
    return reservation.shadow


def void(command: Void, state: ChargingState) -> Decision:
    reservation = state.reservations.get(command.session_id)
    target = None if reservation is None else TRANSITIONS.get((reservation.state, Verb.VOID))
    if reservation is None or target is None:
        return _first_result(command.session_id, state), []
    effects: list[Effect] = []
    for level in reservation.levels:
        tell = state.wallets[level.wallet_id].starved
        starved = False if tell else None
        effects.append(WalletMoved(level.wallet_id, reserved=-level.reserved, starved=starved, tell=tell))
    released = tuple(level._replace(reserved=0) for level in reservation.levels)
    free = tuple(count._replace(reserved=0) for count in reservation.counts)
    effects += moved_counts(reservation.counts, free)
    closed = reservation.ended(target, None, released, free)
    record = _record(closed, command, None, 0, (), command.detail)
    effects += [ReservationChanged(closed, None, command.ended_us), CdrWritten(record)]
    return Voided(command.session_id), effects


def expire(command: Expire, state: ChargingState) -> Decision:
    reservation = state.reservations.get(command.session_id)
    cause = 0  # nothing says why it ended
    if reservation is None or reservation.answered_us is None:
        return void(Void(command.session_id, command.at_us, cause, Evidence.ESTIMATE), state)
    answered_us = reservation.answered_us
    ended_us = answered_us + reservation.granted_us
    if command.last_seen_us is not None:
        ended_us = max(answered_us, min(ended_us, command.last_seen_us))
    return settle(Settle(command.session_id, answered_us, ended_us, cause, Evidence.ESTIMATE), state)


def settle_offline(command: SettleOffline, state: ChargingState) -> Decision:
    request = command.request
    if request.session_id in state.reservations:
        known = Settle(
            request.session_id,
            command.answered_us,
            command.ended_us,
            command.hangup_cause,
            command.evidence,
            command.gateway,
            ringing_us=command.ringing_us,
        )
        return settle(known, state)
    if request.session_id in state.cdrs:
        return _first_result(request.session_id, state), []
    chain = rated_chain(request, state)
    if isinstance(chain, Refusal):
        return deny(request, chain._replace(detail=f"passed unauthorized: {chain.detail}"), state)
    account, called, levels, _, emergency = chain
    believed = emergency or request.shadow or account.shadow
    if command.unasked and account.failure_policy is FailurePolicy.CLOSED and not believed:
        detail = "said to have passed unasked, which its failure policy does not allow"
        refusal = Refusal(DenialReason.END_USER_SERVICE_DENIED, account, called, detail)
        return deny(request, refusal, state)
    usage = _offline_usage(command, levels)
    charges, counts, effects = collect(usage, [(rated, ()) for rated in levels], (), state)
    destination = levels[0].rate.destination if levels else "Emergency" if emergency else "DID"
    record = record_of(request, account.id, called)._replace(
        destination=destination,
        answered_us=command.answered_us,
        ended_us=command.ended_us,
        billed_us=usage.billed_us,
        hangup_cause=command.hangup_cause,
        detail=_offline_detail(command),
        evidence=command.evidence,
        ringing_us=command.ringing_us,
        charges=charges,
        counts=counts,
    )
    if request.service:
        record = record._replace(direction="usage")
    effects.append(CdrWritten(record))
    if command.gateway:
        effects += carrier_cost(
            request.session_id, command.gateway, called, command.answered_us, command.ended_us, state
        )
    return _settled(record, state, effects), effects


def _offline_usage(command: SettleOffline, levels: list[Rated]) -> Usage:
    duration_us = max(0, command.ended_us - command.answered_us)
    if command.quantity is not None:
        duration_us = command.quantity * SECOND_US
    elif not command.owed_in_full:
        longest_s = min([level.tariff.max_call_s for level in levels], default=FREE.max_call_s)
        duration_us = min(duration_us, longest_s * SECOND_US)
    return Usage(
        command.request.session_id,
        duration_us,
        command.answered_us,
        command.ended_us,
        command.request.at_us,
        FailurePolicy.OPEN,
        command.owed_in_full,
    )


def _offline_detail(command: SettleOffline) -> str:
    if command.request.service:
        return f"{command.quantity} of service {command.request.service}"[:200]
    return "" if command.owed_in_full else "passed while nobody could authorize it"
