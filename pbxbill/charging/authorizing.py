"""authorize: may a call be bridged? It reserves the first slice at every level of the chain, or none."""

from functools import lru_cache

from pbxbill.charging.cdr import record_of
from pbxbill.charging.chain import FREE, Rated, Refusal, rated_chain
from pbxbill.charging.events import (
    POLICIES,
    Announcement,
    Authorize,
    DenialReason,
    Denied,
    Direction,
    Granted,
    Outcome,
)
from pbxbill.charging.hangup import CAUSE_OF_DENIAL
from pbxbill.charging.regrant import longest
from pbxbill.charging.state import (
    CdrWritten,
    ChargedAccount,
    ChargingState,
    Effect,
    ReservationOpened,
    WalletMoved,
)
from pbxbill.clock import SECOND_US
from pbxbill.ledger.reservation import OPEN_STATES, Reservation, ReservationLevel, ReservationState
from pbxbill.rating.rater import affordable, charge_total, increment_end
from pbxbill.rating.tariff import Tariff

Decision = tuple[Outcome, list[Effect]]


def authorize(command: Authorize, state: ChargingState) -> Decision:
    known = state.reservations.get(command.session_id)
    if known is not None and known.state in OPEN_STATES:
        return _granted(known, state), []
    record = state.cdrs.get(command.session_id)
    if record is not None:
        reason = record.denial or DenialReason.SERVICE_UNAVAILABLE
        account = state.accounts.get(record.account_id or 0)
        return _denied(command, Refusal(reason, account, record.called, record.detail), state), []
    chain = rated_chain(command, state)
    if isinstance(chain, Refusal):
        return deny(command, chain, state)
    account, called, levels = chain
    for account_id in account.chain:
        member = state.accounts[account_id]
        if member.status != "active":
            detail = f"account {member.code} is {member.status}"
            return deny(
                command, Refusal(DenialReason.END_USER_SERVICE_DENIED, account, called, detail), state
            )
    return _reserve(command, account, called, levels, state)


def _reserve(
    command: Authorize, account: ChargedAccount, called: str, levels: list[Rated], state: ChargingState
) -> Decision:
    if levels:
        terms = levels[0].tariff
        max_call_s = min([level.tariff.max_call_s for level in levels])
        lasts_us = [affordable(x.rate, x.tariff, max(0, x.wallet.available), max_call_s) for x in levels]
        longest_us = min(lasts_us)
        if longest_us <= 0:
            detail = f"account {levels[lasts_us.index(longest_us)].account.code} has no funds"
            return deny(command, Refusal(DenialReason.CREDIT_LIMIT_REACHED, account, called, detail), state)
        slice_us = increment_end(levels[0].rate, terms.slice_s * SECOND_US)
    else:
        terms = FREE
        max_call_s = FREE.max_call_s
        longest_us = max_call_s * SECOND_US
        slice_us = FREE.slice_s * SECOND_US
    granted_us = min(longest_us, slice_us)
    # By position, in the order of the fields: by name it takes more than twice as long.
    reservation = Reservation(
        command.session_id,
        command.switch,
        command.call_id,
        str(command.direction),
        account.id,
        command.caller,
        command.dialled,
        called,
        levels[0].rate.destination if levels else "DID",
        ReservationState.RESERVED,
        command.at_us,
        None,
        "",
        granted_us,
        granted_us >= longest_us,
        terms.slice_s,
        terms.renew_before_s,
        max_call_s,
        str(account.failure_policy),
        tuple([_level(number, rated, granted_us) for number, rated in enumerate(levels)]),
    )
    outcome = _granted(reservation, state, longest_us)
    starved = True if reservation.final and longest_us < max_call_s * SECOND_US else None
    effects: list[Effect] = [ReservationOpened(reservation)]
    effects += [WalletMoved(x.wallet_id, 0, x.reserved, 0, starved) for x in reservation.levels]
    return outcome, effects


def _level(number: int, rated: Rated, granted_us: int) -> ReservationLevel:
    account, wallet, tariff, rate = rated
    reserved = charge_total(rate, tariff, granted_us)
    return ReservationLevel(
        number, account.id, wallet.id, account.issuer_id, tariff.version_id, rate.id, reserved
    )


def _granted(reservation: Reservation, state: ChargingState, longest_us: int | None = None) -> Granted:
    account = state.accounts[reservation.account_id]
    levels = reservation.levels
    tariff = state.catalogue.tariff(levels[0].tariff_version_id) if levels else FREE
    # A call to a DID may be free for its owner and not for the reseller, whose funds are not his to know.
    own = bool(levels) and levels[0].account_id == account.id
    available = 0
    if own:
        held = levels[0].reserved if longest_us is None else 0
        available = max(0, state.wallets[levels[0].wallet_id].available + held)
    outbound = reservation.direction == Direction.OUTBOUND
    return Granted(
        reservation.session_id,
        account.id,
        account.code,
        reservation.destination,
        reservation.called,
        tariff.unit,
        available,
        longest(reservation, state) if longest_us is None else longest_us,
        reservation.granted_us,
        reservation.final,
        reservation.slice_s * SECOND_US,
        reservation.renew_before_s * SECOND_US,
        reservation.max_call_s * SECOND_US,
        _announcement(account, tariff if own and outbound else None),
        POLICIES[reservation.failure_policy],
        tuple([level.wallet_id for level in levels]),
    )


def _announcement(account: ChargedAccount, tariff: Tariff | None) -> Announcement:
    if tariff is None:  # whoever calls from outside is not told what the account has
        return _spoken(account.language, False, False, False)
    own_balance, own_minutes = account.announce_balance, account.announce_minutes
    own_warning = account.announce_warning
    return _spoken(
        account.language,
        tariff.announce_balance if own_balance is None else own_balance,
        tariff.announce_minutes if own_minutes is None else own_minutes,
        tariff.announce_warning if own_warning is None else own_warning,
    )


@lru_cache(maxsize=1000)
def _spoken(language: str, balance: bool, minutes: bool, warning: bool) -> Announcement:
    # There are only a few; calls share them.
    return Announcement(language, balance, minutes, warning)


def denial_announcement(account: ChargedAccount, tariff: Tariff | None) -> Announcement:
    """What a caller whose call may not go on hears: the account decides, else its tariff."""
    spoken = account.announce_denial
    if spoken is None:
        spoken = tariff is None or tariff.announce_denial
    return Announcement(language=account.language, denial=spoken)


def _denied(command: Authorize, refusal: Refusal, state: ChargingState) -> Denied:
    account = refusal.account
    if account is None:
        return Denied(command.session_id, refusal.reason, Announcement(), None, refusal.detail)
    tariff = None if account.tariff_id is None else state.catalogue.current_tariff(account.tariff_id)
    announcement = denial_announcement(account, tariff)
    return Denied(command.session_id, refusal.reason, announcement, account.id, refusal.detail)


def deny(command: Authorize, refusal: Refusal, state: ChargingState) -> Decision:
    account_id = None if refusal.account is None else refusal.account.id
    record = record_of(command, account_id, refusal.called)._replace(
        hangup_cause=CAUSE_OF_DENIAL[refusal.reason], denial=refusal.reason, detail=refusal.detail
    )
    return _denied(command, refusal, state), [CdrWritten(record)]
