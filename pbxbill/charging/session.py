"""decide(): what a command does to a call session, as pure code. The engine makes it durable.

Every verb is idempotent: a command that was carried out before gets its first result again, and one
that comes too late for its session changes nothing.
"""

from pbxbill.charging.authorizing import authorize
from pbxbill.charging.events import (
    Adjust,
    Answer,
    Answered,
    Authorize,
    Closed,
    Command,
    Expire,
    Extend,
    Extended,
    Outcome,
    PostCharge,
    PostEntry,
    SetCreditLimit,
    Settle,
    SettleOffline,
    TopUp,
    UnknownSession,
    Void,
)
from pbxbill.charging.funds import move_money
from pbxbill.charging.levels import rated_levels
from pbxbill.charging.regrant import answers_us, longest, regrant
from pbxbill.charging.settling import expire, settle, settle_offline, void
from pbxbill.charging.state import ChargingState, Effect, ReservationChanged, WalletMoved
from pbxbill.clock import SECOND_US
from pbxbill.ledger.reservation import TRANSITIONS, Reservation, Verb
from pbxbill.rating.mark_up import calendar_of

Decision = tuple[Outcome, list[Effect]]


def decide(command: Command, state: ChargingState) -> Decision:
    """The outcome of a command and its effects; nothing is changed here."""
    match command:
        case Authorize():
            return authorize(command, state)
        case Answer():
            return _answer(command, state)
        case Extend():
            return _extend(command, state)
        case Settle():
            return settle(command, state)
        case Void():
            return void(command, state)
        case Expire():
            return expire(command, state)
        case SettleOffline():
            return settle_offline(command, state)
        case TopUp() | Adjust() | PostCharge() | PostEntry() | SetCreditLimit():
            return move_money(command, state)


def _answer(command: Answer, state: ChargingState) -> Decision:
    reservation = state.reservations.get(command.session_id)
    if reservation is None:
        return _missing(command.session_id, state), []
    target = TRANSITIONS.get((reservation.state, Verb.ANSWER))
    if target is None:
        return Closed(command.session_id), []
    effects: list[Effect] = []
    if reservation.answered_us is None:  # the first answer counts
        reservation = reservation._replace(
            state=target,
            answered_us=command.answered_us,
            paid_leg=command.paid_leg,
            gateway=command.gateway or reservation.gateway,
            ringing_us=command.ringing_us,
        )
        reservation, effects = _priced_by_answer(reservation, state)
        effects.append(ReservationChanged(reservation, None, command.answered_us))
    deadline_us = (reservation.answered_us or 0) + reservation.granted_us
    return Answered(reservation.session_id, reservation.granted_us, reservation.final, deadline_us), effects


def _priced_by_answer(reservation: Reservation, state: ChargingState) -> tuple[Reservation, list[Effect]]:
    """What was reserved for the dearest band that an answer could fall in, priced by the one it fell in."""
    levels = rated_levels(reservation, state)
    if not any(calendar_of(rated.rate, rated.tariff) for rated, _ in levels):
        return reservation, []
    longest_us = longest(reservation, state, levels)
    granted_us = min(reservation.granted_us, longest_us)
    final = reservation.final and granted_us >= longest_us
    priced, moves, counters = regrant(
        reservation, granted_us, final=final or granted_us < reservation.granted_us, state=state
    )
    return priced, [*moves, *counters]


def _extend(command: Extend, state: ChargingState) -> Decision:
    reservation = state.reservations.get(command.session_id)
    if reservation is None:
        return _missing(command.session_id, state), []
    if (reservation.state, Verb.EXTEND) not in TRANSITIONS:
        return Closed(command.session_id), []
    levels = rated_levels(reservation, state)
    longest_us = max(longest(reservation, state, levels), reservation.granted_us)
    want_us = command.want_us
    if levels and want_us > reservation.granted_us:
        want_us = levels[0][0].increment_end(want_us, answers_us(reservation, levels)[0])
    granted_us = max(reservation.granted_us, min(longest_us, want_us))
    final = granted_us >= longest_us
    effects: list[Effect] = []
    short = final and longest_us < reservation.max_call_s * SECOND_US
    if granted_us > reservation.granted_us or final != reservation.final:
        grown, moves, counters = regrant(reservation, granted_us, final=final, state=state)
        effects = [*moves, *counters]
        verb = Verb.EXTEND if granted_us > reservation.granted_us else None
        at_us = max(command.at_us, reservation.requested_us)  # before the answer there is no better time
        effects.append(ReservationChanged(grown, verb, at_us))
    if short:
        effects += [WalletMoved(x.wallet_id, starved=True) for x in reservation.levels]
    return Extended(command.session_id, granted_us, final, longest_us), effects


def _missing(session_id: str, state: ChargingState) -> Closed | UnknownSession:
    return Closed(session_id) if session_id in state.cdrs else UnknownSession(session_id)
