"""authorize: may a call be bridged? It reserves the first slice at every level of the chain, or none."""

from functools import lru_cache

from pbxbill.charging.cdr import record_of
from pbxbill.charging.chain import FREE, Chain, Refusal, loss_making, rated_chain
from pbxbill.charging.events import (
    POLICIES,
    Announcement,
    Authorize,
    DenialReason,
    Denied,
    Direction,
    FailurePolicy,
    Granted,
    Outcome,
)
from pbxbill.charging.hangup import CAUSE_OF_DENIAL
from pbxbill.charging.levels import dialling_rule, rated_levels
from pbxbill.charging.limits import (
    CounterSet,
    LimitFacts,
    LimitHit,
    LimitsPassed,
    WantedCall,
    check_limits,
)
from pbxbill.charging.pricing import Rated, reserve_levels, starts_us
from pbxbill.charging.regrant import longest
from pbxbill.charging.state import (
    CdrWritten,
    ChargedAccount,
    ChargingState,
    CounterMoved,
    Effect,
    LimitStruck,
    ReservationOpened,
    WalletMoved,
)
from pbxbill.charging.status import AccountStatus
from pbxbill.clock import SECOND_US
from pbxbill.ledger.reservation import OPEN_STATES, Reservation, ReservationState
from pbxbill.rating.tariff import Tariff

Decision = tuple[Outcome, list[Effect]]


def authorize(command: Authorize, state: ChargingState) -> Decision:
    known = state.reservations.get(command.session_id)
    if known is not None and known.state in OPEN_STATES:
        return _granted_again(known, state), []
    record = state.cdrs.get(command.session_id)
    if record is not None:
        reason = record.denial or DenialReason.SERVICE_UNAVAILABLE
        account = state.accounts.get(record.account_id or 0)
        refusal = Refusal(reason, account, record.called, record.detail)
        if record.shadow is not None and record.denial is not None:
            return _let_pass(command, refusal, state)[0], []
        return _denied(command, refusal, state), []
    chain = rated_chain(command, state)
    if isinstance(chain, Refusal):
        watched = command.shadow or (chain.account is not None and chain.account.shadow)
        return _let_pass(command, chain, state) if watched else deny(command, chain, state)
    if chain.emergency:
        return _reserve(command, chain, None, state)
    decision = _decided(command, chain, state)
    if command.shadow or chain.account.shadow:
        return _watched(command, chain, decision, state)
    return decision


def _decided(command: Authorize, chain: Chain, state: ChargingState) -> Decision:
    refusal = _barred(chain, command, state)
    if refusal is not None:
        return deny(command, refusal, state)
    max_call_s = None
    changes: tuple[CounterSet, ...] = ()
    if state.limits:
        passed = _within_limits(chain, command, state)
        if isinstance(passed, LimitHit):
            return _struck(command, chain, passed, state)
        max_call_s, changes = passed.max_call_s, passed.changes
    outcome, effects = _reserve(command, chain, max_call_s, state)
    return outcome, [*effects, *changes] if changes else effects


def _watched(command: Authorize, chain: Chain, decision: Decision, state: ChargingState) -> Decision:
    """The same for a call that is only watched: it is charged, and goes on whatever the answer was."""
    outcome, effects = decision
    if isinstance(outcome, Denied):
        denial = f"would have been denied: {outcome.reason}: {outcome.detail}"[:200]
        kept = [effect for effect in effects if isinstance(effect, LimitStruck)]
        outcome, effects = _reserve(command, chain, None, state, shadow=denial)
        return outcome, [*effects, *(x._replace(hit=x.hit._replace(suspends_endpoint_id=None)) for x in kept)]
    opened = effects[0]
    assert isinstance(opened, ReservationOpened)
    assert isinstance(outcome, Granted)
    watched = ReservationOpened(opened.reservation._replace(shadow=""))
    return outcome._replace(shadow=True), [watched, *effects[1:]]


def _let_pass(command: Authorize, refusal: Refusal, state: ChargingState) -> Decision:
    """A watched call that nobody can be charged for: its record says so, and it goes on."""
    _, effects = deny(command, refusal, state)
    text = f"would have been denied: {refusal.reason}: {refusal.detail}"[:200]
    account = refusal.account
    granted = Granted(
        command.session_id,
        0 if account is None else account.id,
        "" if account is None else account.code,
        "",
        refusal.called,
        FREE.unit,
        0,
        FREE.max_call_s * SECOND_US,
        FREE.max_call_s * SECOND_US,
        False,
        FREE.slice_s * SECOND_US,
        FREE.renew_before_s * SECOND_US,
        FREE.max_call_s * SECOND_US,
        _spoken("en", False, False, False),
        FailurePolicy.OPEN,
        (),
        shadow=True,
    )
    return granted, [
        CdrWritten(effect.cdr._replace(shadow=text)) if isinstance(effect, CdrWritten) else effect
        for effect in effects
    ]


def _barred(chain: Chain, command: Authorize, state: ChargingState) -> Refusal | None:
    """Why none of these accounts may call at all, or not there."""
    account, called, levels, endpoint, _ = chain
    if endpoint.status != "active":
        why = f"the endpoint is {endpoint.status}"
        return Refusal(DenialReason.END_USER_SERVICE_DENIED, account, called, why)
    for account_id in account.chain:
        member = state.accounts[account_id]
        if member.status != "active" and (why := _bars(member, chain, command, state)):
            return Refusal(DenialReason.END_USER_SERVICE_DENIED, account, called, why)
    for level in levels:
        floor = level.account.minimum_balance
        if floor is not None and command.direction is Direction.OUTBOUND and level.worth() < floor:
            if is_support_number(chain, state):
                break
            why = f"account {level.account.code} has less than its minimum balance"
            return Refusal(DenialReason.CREDIT_LIMIT_REACHED, account, called, why)
    loss = loss_making(levels, command.at_us) if len(levels) > 1 else None
    return None if loss is None else Refusal(DenialReason.LOSS_MAKING, account, called, loss)


def _bars(member: ChargedAccount, chain: Chain, command: Authorize, state: ChargingState) -> str:
    """Why the status of an account of the chain bars the call; empty: it does not."""
    status = member.status
    outbound = command.direction is Direction.OUTBOUND
    if status == AccountStatus.NO_OUTGOING and not outbound:
        return ""
    if status != AccountStatus.TERMINATED and outbound and is_support_number(chain, state):
        return ""
    if status == AccountStatus.NO_OUTGOING:
        return f"account {member.code} may not call out"
    return f"account {member.code} is {status}"


def is_support_number(chain: Chain, state: ChargingState) -> bool:
    """Whether the call goes to where an issuer of its account, or of one above it, helps customers."""
    numbers = state.catalogue.offers.support_numbers
    return bool(numbers) and any(
        chain.called in numbers.get(state.accounts[account_id].issuer_id, ())
        for account_id in chain.account.chain
    )


def _within_limits(chain: Chain, command: Authorize, state: ChargingState) -> LimitsPassed | LimitHit:
    account, called, _, endpoint, _ = chain
    rule = dialling_rule(account, state)
    destination = state.catalogue.offers.destinations.classify(called, rule)
    inbound = command.direction is Direction.INBOUND
    call = WantedCall(called, destination, account.chain, endpoint.id, command.at_us, inbound)
    limits = [limit for member in account.chain for limit in state.limits.get(member, ())]
    facts = LimitFacts(state.live_of_account, state.live_of_endpoint, state.counters, state.released)
    return check_limits(limits, call, facts)


def _struck(command: Authorize, chain: Chain, hit: LimitHit, state: ChargingState) -> Decision:
    outcome, effects = deny(command, Refusal(hit.reason, chain.account, chain.called, hit.detail), state)
    return outcome, [*effects, LimitStruck(hit, chain.account.id, command.at_us)]


def _reserve(
    command: Authorize,
    chain: Chain,
    limit_s: int | None,
    state: ChargingState,
    shadow: str | None = None,
) -> Decision:
    account, called, levels, endpoint, emergency = chain
    starts: tuple[int, ...] = (command.at_us,)
    funds = 0
    if levels:
        terms = levels[0].tariff
        max_call_s = terms.max_call_s if limit_s is None else min(terms.max_call_s, limit_s)
        for level in levels:
            max_call_s = min(max_call_s, level.tariff.max_call_s)
        starts = starts_us(levels, command.at_us)
        longest_us = max_call_s * SECOND_US
        shortest = levels[0]
        for level in reversed(levels):  # what the caller's own level has is left in funds
            funds = level.funds()
            lasts_us = level.lasts_us(funds, max_call_s, starts)
            if lasts_us <= longest_us:
                longest_us, shortest = lasts_us, level
        if longest_us <= 0 and shadow is None:
            return deny(command, _out_of_funds(chain, shortest), state)
        slice_us = levels[0].slice_end(starts[0])
    else:
        terms = FREE
        max_call_s = FREE.max_call_s
        longest_us = max_call_s * SECOND_US
        # Nobody may cut a call for help: it needs no daemon to go on.
        slice_us = longest_us if emergency else FREE.slice_s * SECOND_US
    granted_us = min(longest_us, slice_us)
    lines, counts = reserve_levels([(rated, ()) for rated in levels], granted_us, starts)
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
        levels[0].rate.destination if levels else "Emergency" if emergency else "DID",
        ReservationState.RESERVED,
        command.at_us,
        None,
        "",
        granted_us,
        granted_us >= longest_us,
        terms.slice_s,
        terms.renew_before_s,
        max_call_s,
        "open" if emergency else str(account.failure_policy),
        endpoint.id,
        "",
        shadow,
        None,
        lines,
        counts,
    )
    starved = True if reservation.final and longest_us < max_call_s * SECOND_US else None
    effects: list[Effect] = [ReservationOpened(reservation)]
    effects += [WalletMoved(line.wallet_id, 0, line.reserved, 0, starved) for line in lines]
    if counts:
        effects += [CounterMoved(count.counter_id, 0, count.reserved) for count in counts]
    return _granted(reservation, account, terms, longest_us, funds), effects


def _out_of_funds(chain: Chain, short: Rated) -> Refusal:
    reason = DenialReason.CREDIT_LIMIT_REACHED
    detail = f"account {short.account.code} has no funds"
    if short.is_capped():
        reason = DenialReason.SPENDING_LIMIT
        detail = f"what account {short.account.code} may spend does not pay the first increment"
    return Refusal(reason, chain.account, chain.called, detail)


def _granted_again(reservation: Reservation, state: ChargingState) -> Granted:
    """What a request that was granted before is answered: how long it could last as things stand now."""
    levels = rated_levels(reservation, state)
    longest_us = longest(reservation, state, levels)
    rated, held = levels[0] if levels else (None, ())
    funds = 0 if rated is None else rated.funds(held)
    tariff = FREE if rated is None else rated.tariff
    return _granted(reservation, state.accounts[reservation.account_id], tariff, longest_us, funds)


def _granted(
    reservation: Reservation, account: ChargedAccount, tariff: Tariff, longest_us: int, funds: int
) -> Granted:
    levels = reservation.levels
    # A call to a DID may be free for its owner and not for the reseller, whose funds are not his to know.
    own = bool(levels) and levels[0].account_id == account.id
    outbound = reservation.direction == Direction.OUTBOUND
    return Granted(
        reservation.session_id,
        account.id,
        account.code,
        reservation.destination,
        reservation.called,
        tariff.unit,
        funds if own else 0,
        longest_us,
        reservation.granted_us,
        reservation.final,
        reservation.slice_s * SECOND_US,
        reservation.renew_before_s * SECOND_US,
        reservation.max_call_s * SECOND_US,
        _announcement(account, tariff if own and outbound else None),
        POLICIES[reservation.failure_policy],
        tuple([level.wallet_id for level in levels]),
        False,
        reservation.shadow is not None,
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
