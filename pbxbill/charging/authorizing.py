"""authorize: may a call be bridged? It reserves the first slice at every level of the chain, or none."""

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
    terms = levels[0].tariff if levels else FREE
    max_call_s = min([level.tariff.max_call_s for level in levels], default=terms.max_call_s)
    lasts_us = [affordable(x.rate, x.tariff, max(0, x.wallet.available), max_call_s) for x in levels]
    longest_us = min(lasts_us, default=max_call_s * SECOND_US)
    if longest_us <= 0:
        short = levels[lasts_us.index(longest_us)].account.code
        refusal = Refusal(DenialReason.CREDIT_LIMIT_REACHED, account, called, f"account {short} has no funds")
        return deny(command, refusal, state)
    slice_us = terms.slice_s * SECOND_US
    if levels:
        slice_us = increment_end(levels[0].rate, slice_us)
    granted_us = min(longest_us, slice_us)
    reservation = Reservation(
        session_id=command.session_id,
        switch=command.switch,
        call_id=command.call_id,
        direction=command.direction,
        account_id=account.id,
        caller=command.caller,
        dialled=command.dialled,
        called=called,
        destination=levels[0].rate.destination if levels else "DID",
        state=ReservationState.RESERVED,
        requested_us=command.at_us,
        answered_us=None,
        paid_leg="",
        granted_us=granted_us,
        final=granted_us >= longest_us,
        slice_s=terms.slice_s,
        renew_before_s=terms.renew_before_s,
        max_call_s=max_call_s,
        failure_policy=account.failure_policy,
        levels=tuple(
            [
                ReservationLevel(
                    level,
                    account.id,
                    wallet.id,
                    account.issuer_id,
                    tariff.version_id,
                    rate.id,
                    charge_total(rate, tariff, granted_us),
                )
                for level, (account, wallet, tariff, rate) in enumerate(levels)
            ]
        ),
    )
    outcome = _granted(reservation, state, longest_us)
    starved = True if reservation.final and longest_us < max_call_s * SECOND_US else None
    effects: list[Effect] = [ReservationOpened(reservation)]
    effects += [
        WalletMoved(level.wallet_id, reserved=level.reserved, starved=starved) for level in reservation.levels
    ]
    return outcome, effects


def _granted(reservation: Reservation, state: ChargingState, longest_us: int | None = None) -> Granted:
    account = state.accounts[reservation.account_id]
    levels = reservation.levels
    tariff = state.catalogue.tariff(levels[0].tariff_version_id) if levels else FREE
    # A call to a DID may be free for its owner and not for the reseller, whose funds are not his to know.
    own = bool(levels) and levels[0].account_id == account.id
    wallet = state.wallets[levels[0].wallet_id] if own else None
    outbound = reservation.direction == Direction.OUTBOUND
    available = 0
    if wallet is not None:
        held = levels[0].reserved if longest_us is None else 0
        available = max(0, wallet.available + held)
    return Granted(
        session_id=reservation.session_id,
        account_id=account.id,
        account_code=account.code,
        destination=reservation.destination,
        called=reservation.called,
        unit=tariff.unit,
        available=available,
        affordable_us=longest(reservation, state) if longest_us is None else longest_us,
        granted_us=reservation.granted_us,
        final=reservation.final,
        slice_us=reservation.slice_s * SECOND_US,
        renew_before_us=reservation.renew_before_s * SECOND_US,
        max_call_us=reservation.max_call_s * SECOND_US,
        announcement=_announcement(account, tariff if own and outbound else None),
        failure_policy=POLICIES[reservation.failure_policy],
        wallet_ids=tuple([level.wallet_id for level in levels]),
    )


def _announcement(account: ChargedAccount, tariff: Tariff | None) -> Announcement:
    if tariff is None:  # whoever calls from outside is not told what the account has
        return Announcement(language=account.language)

    return Announcement(
        language=account.language,
        balance=_chosen(account.announce_balance, tariff.announce_balance),
        minutes=_chosen(account.announce_minutes, tariff.announce_minutes),
        warning=_chosen(account.announce_warning, tariff.announce_warning),
    )


def _chosen(own: bool | None, general: bool) -> bool:
    return general if own is None else own


def denial_announcement(account: ChargedAccount, tariff: Tariff | None) -> Announcement:
    """What a caller whose call may not go on hears: the account decides, else its tariff."""
    spoken = _chosen(account.announce_denial, tariff is None or tariff.announce_denial)
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
