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
    SetCreditLimit,
    Settle,
    SettleOffline,
    TopUp,
    UnknownSession,
    Void,
)
from pbxbill.charging.funds import adjust, post_charge, set_credit_limit, top_up
from pbxbill.charging.regrant import longest, regrant
from pbxbill.charging.settling import expire, settle, settle_offline, void
from pbxbill.charging.state import ChargingState, Effect, ReservationChanged, WalletMoved
from pbxbill.clock import SECOND_US
from pbxbill.ledger.reservation import TRANSITIONS, Verb
from pbxbill.rating.rater import increment_end

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
        case TopUp():
            return top_up(command, state)
        case Adjust():
            return adjust(command, state)
        case PostCharge():
            return post_charge(command, state)
        case SetCreditLimit():
            return set_credit_limit(command, state)


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
            state=target, answered_us=command.answered_us, paid_leg=command.paid_leg
        )
        effects.append(ReservationChanged(reservation, None, command.answered_us))
    deadline_us = (reservation.answered_us or 0) + reservation.granted_us
    return Answered(reservation.session_id, reservation.granted_us, reservation.final, deadline_us), effects


def _extend(command: Extend, state: ChargingState) -> Decision:
    reservation = state.reservations.get(command.session_id)
    if reservation is None:
        return _missing(command.session_id, state), []
    if (reservation.state, Verb.EXTEND) not in TRANSITIONS:
        return Closed(command.session_id), []
    longest_us = max(longest(reservation, state), reservation.granted_us)
    want_us = command.want_us
    if reservation.levels and want_us > reservation.granted_us:
        want_us = increment_end(state.catalogue.rate(reservation.levels[0].rate_id), want_us)
    granted_us = max(reservation.granted_us, min(longest_us, want_us))
    final = granted_us >= longest_us
    effects: list[Effect] = []
    short = final and longest_us < reservation.max_call_s * SECOND_US
    if granted_us > reservation.granted_us or final != reservation.final:
        grown, moves = regrant(reservation, granted_us, final=final, state=state)
        effects = list(moves)
        verb = Verb.EXTEND if granted_us > reservation.granted_us else None
        at_us = max(command.at_us, reservation.requested_us)  # before the answer there is no better time
        effects.append(ReservationChanged(grown, verb, at_us))
    if short:
        effects += [WalletMoved(x.wallet_id, starved=True) for x in reservation.levels]
    return Extended(command.session_id, granted_us, final, longest_us), effects


def _missing(session_id: str, state: ChargingState) -> Closed | UnknownSession:
    return Closed(session_id) if session_id in state.cdrs else UnknownSession(session_id)
