"""The end of a call: settle, void, expire, and calls that passed while nobody could authorize them.

What a call costs follows from its rate row and the switch's timestamps. What can be taken is bounded
by what it had reserved and what is free; the rest is recorded as uncollected, never overspent.
"""

from collections.abc import Iterable

from pbxbill.charging.authorizing import deny
from pbxbill.charging.cdr import CallCharge, RatedCdr, record_of
from pbxbill.charging.chain import FREE, Rated, Refusal, rated_chain
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
from pbxbill.charging.state import (
    CdrWritten,
    ChargingState,
    Effect,
    EntryPosted,
    ReservationChanged,
    WalletMoved,
)
from pbxbill.clock import SECOND_US
from pbxbill.ids import new_id
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.ledger.journal import JournalEntry, Posting
from pbxbill.ledger.reservation import TRANSITIONS, Reservation, Verb
from pbxbill.money import Rounding, Unit, round_ratio
from pbxbill.rating.rater import charge

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
        moved = [e for e in effects if isinstance(e, WalletMoved) and e.wallet_id == wallet.id]
        available = wallet.available + sum([e.posted - e.reserved for e in moved])
    return Settled(
        session_id=record.session_id,
        account_id=record.account_id or 0,
        unit=state.catalogue.units[wallet.unit] if wallet is not None else Unit(""),
        billed_us=record.billed_us,
        total=0 if first is None else first.total,
        uncollected=0 if first is None else first.uncollected,
        available=available,
    )


def settle(command: Settle, state: ChargingState) -> Decision:
    if command.answered_us is None:
        unanswered = Void(command.session_id, command.ended_us, command.hangup_cause, command.evidence)
        return void(unanswered, state)
    reservation = state.reservations.get(command.session_id)
    target = None if reservation is None else TRANSITIONS.get((reservation.state, Verb.SETTLE))
    if reservation is None or target is None:
        return _first_result(command.session_id, state), []
    max_call_us = reservation.max_call_s * SECOND_US
    billed_us = billed_duration(command.answered_us, command.ended_us, reservation.granted_us, max_call_us)
    owing = [
        (
            Rated(
                state.accounts[level.account_id],
                state.wallets[level.wallet_id],
                state.catalogue.tariff(level.tariff_version_id),
                state.catalogue.rate(level.rate_id),
            ),
            level.reserved,
        )
        for level in reservation.levels
    ]
    late = "" if command.ended_us >= command.answered_us else "the switch says it ended before its answer"
    charges, effects = _collect(
        command.session_id, owing, billed_us, command.ended_us, reservation.failure_policy, state
    )
    closed = reservation._replace(
        state=target,
        answered_us=command.answered_us,
        levels=tuple([level._replace(reserved=0) for level in reservation.levels]),
    )
    record = _record(closed, command, command.answered_us, billed_us, charges, late)
    effects += [ReservationChanged(closed, None, command.ended_us), CdrWritten(record)]
    return _settled(record, state, effects), effects


def _collect(
    session_id: str,
    owing: list[tuple[Rated, int]],
    billed_us: int,
    at_us: int,
    failure_policy: str,
    state: ChargingState,
) -> tuple[tuple[CallCharge, ...], list[Effect]]:
    """Take from every level what it owes, as far as its funds go, and release what it had reserved."""
    charges: list[CallCharge] = []
    effects: list[Effect] = []
    for level, (rated, reserved) in enumerate(owing):
        account, wallet, tariff, rate = rated
        owed = charge(rate, tariff, billed_us)
        funds = reserved + max(0, wallet.available)
        if failure_policy == FailurePolicy.OPEN:
            funds += max(0, account.offline_allowance - wallet.overdraft)
        taken = min(owed.total, funds)
        tax = owed.tax
        if taken < owed.total:
            tax = round_ratio(taken * owed.tax, owed.total, Rounding.HALF_UP)
        entry = None
        if taken:
            entry = _usage_entry(f"settle:{session_id}:{level}", rated, taken, tax, at_us, state)
            effects.append(EntryPosted(entry))
        tell = wallet.starved and reserved > taken
        effects.append(
            WalletMoved(
                wallet.id,
                posted=-taken,
                reserved=-reserved,
                starved=False if tell else None,
                tell=tell,
                overdraw=failure_policy == FailurePolicy.OPEN,
            )
        )
        charges.append(
            CallCharge(
                level=level,
                account_id=account.id,
                wallet_id=wallet.id,
                tariff_version_id=tariff.version_id,
                rate_id=rate.id,
                billable_s=owed.billable_s,
                total=taken,
                tax=tax,
                uncollected=owed.total - taken,
                entry_id=None if entry is None else entry.id,
            )
        )
    return tuple(charges), effects


def _usage_entry(
    key: str, rated: Rated, taken: int, tax: int, at_us: int, state: ChargingState
) -> JournalEntry:
    account, wallet, _, _ = rated
    book = state.catalogue.ledger_account
    postings = [
        Posting(wallet.ledger_account_id, taken),
        Posting(book(account.issuer_id, LedgerCode.REVENUE_USAGE, wallet.unit), tax - taken),
    ]
    if tax:
        postings.append(Posting(book(account.issuer_id, LedgerCode.TAX_PAYABLE, wallet.unit), -tax))
    return JournalEntry(
        id=new_id(),
        idempotency_key=key,
        kind="usage",
        unit=wallet.unit,
        at_us=at_us,
        postings=tuple(postings),
    )


def _record(
    reservation: Reservation,
    command: Settle | Void,
    answered_us: int | None,
    billed_us: int,
    charges: tuple[CallCharge, ...],
    detail: str,
) -> RatedCdr:
    return RatedCdr(
        session_id=reservation.session_id,
        switch=reservation.switch,
        call_id=reservation.call_id,
        direction=reservation.direction,
        account_id=reservation.account_id,
        caller=reservation.caller,
        dialled=reservation.dialled,
        called=reservation.called,
        destination=reservation.destination,
        started_us=reservation.requested_us,
        answered_us=answered_us,
        ended_us=command.ended_us,
        billed_us=billed_us,
        granted_us=reservation.granted_us,
        hangup_cause=command.hangup_cause,
        denial=None,
        detail=detail,
        evidence=command.evidence,
        charges=charges,
    )


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
    closed = reservation._replace(state=target, answered_us=None, levels=released)
    record = _record(closed, command, None, 0, (), "")
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
            request.session_id, command.answered_us, command.ended_us, command.hangup_cause, command.evidence
        )
        return settle(known, state)
    if request.session_id in state.cdrs:
        return _first_result(request.session_id, state), []
    chain = rated_chain(request, state)
    if isinstance(chain, Refusal):
        return deny(request, chain._replace(detail=f"passed unauthorized: {chain.detail}"), state)
    account, called, levels = chain
    if command.unasked and account.failure_policy is FailurePolicy.CLOSED:
        detail = "said to have passed unasked, which its failure policy does not allow"
        refusal = Refusal(DenialReason.END_USER_SERVICE_DENIED, account, called, detail)
        return deny(request, refusal, state)
    max_call_us = min((level.tariff.max_call_s for level in levels), default=FREE.max_call_s) * SECOND_US
    billed_us = max(0, min(command.ended_us - command.answered_us, max_call_us))
    owing = [(level, 0) for level in levels]
    charges, effects = _collect(
        request.session_id, owing, billed_us, command.ended_us, FailurePolicy.OPEN, state
    )
    record = record_of(request, account.id, called)._replace(
        destination=levels[0].rate.destination if levels else "DID",
        answered_us=command.answered_us,
        ended_us=command.ended_us,
        billed_us=billed_us,
        hangup_cause=command.hangup_cause,
        detail="passed while nobody could authorize it",
        evidence=command.evidence,
        charges=charges,
    )
    effects.append(CdrWritten(record))
    return _settled(record, state, effects), effects
