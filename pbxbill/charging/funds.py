"""Money moved otherwise than by calls: top-ups, adjustments, charges, credit limits. Pure, like session.py.

What leaves a wallet may be earmarked by live calls. Then those calls are shortened, the youngest
first, down to what they have used, a margin and the increment they are in; more than that stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pbxbill.charging.events import (
    Adjust,
    Moved,
    Outcome,
    PostCharge,
    PostEntry,
    Refused,
    SetCreditLimit,
    TopUp,
)
from pbxbill.charging.levels import rated_levels
from pbxbill.charging.pricing import Leaving
from pbxbill.charging.regrant import answers_us, regrant
from pbxbill.charging.state import ChargingState, Effect, EntryPosted, ReservationChanged, Wallet, WalletMoved
from pbxbill.clock import SECOND_US
from pbxbill.errors import DuplicateKey, check
from pbxbill.ids import new_id
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.ledger.journal import JournalEntry, Posting
from pbxbill.ledger.reservation import Reservation, Verb
from pbxbill.money import MAX_AMOUNT

MAX_KEY_LENGTH = 200
MAX_MEMO_LENGTH = 200

RETIME_MARGIN_US = 5 * SECOND_US
"""A call that is shortened keeps this long beyond what it has used: its timer must be moved first."""


def move_money(
    command: TopUp | Adjust | PostCharge | PostEntry | SetCreditLimit, state: ChargingState
) -> tuple[Outcome, list[Effect]]:
    """The outcome of a command of this module, and its effects."""
    match command:
        case TopUp():
            return _top_up(command, state)
        case Adjust():
            return _adjust(command, state)
        case PostCharge():
            return _post_charge(command, state)
        case PostEntry():
            return _post_entry(command, state)
        case SetCreditLimit():
            return _set_credit_limit(command, state)


def _top_up(command: TopUp, state: ChargingState) -> tuple[Outcome, list[Effect]]:
    if command.amount <= 0:
        return Refused("a top-up must be more than zero"), []
    return _post(command, command.amount, ((LedgerCode.CASH, command.amount),), "top-up", state)


def _adjust(command: Adjust, state: ChargingState) -> tuple[Outcome, list[Effect]]:
    if command.amount == 0:
        return Refused("an adjustment of zero moves nothing"), []
    return _post(command, command.amount, ((LedgerCode.ADJUSTMENT, command.amount),), "adjustment", state)


def _post_charge(command: PostCharge, state: ChargingState) -> tuple[Outcome, list[Effect]]:
    if not 0 <= command.tax <= command.total or command.total == 0:
        return Refused("a charge is more than zero, and its tax no more than the charge"), []
    net, tax = command.total - command.tax, command.tax
    parts = [(_income(command, state), -net), (LedgerCode.TAX_PAYABLE, -tax)][: 2 if tax else 1]
    return _post(command, -command.total, parts, "charge", state)


def _income(command: PostCharge, state: ChargingState) -> LedgerCode:
    """Readings' own account. They were once posted as usage: a retry of such a one must find it alike."""
    known = state.entries.get(command.idempotency_key)
    account = state.accounts.get(command.account_id)
    if known is None or account is None:
        return LedgerCode.REVENUE_READINGS
    usage = state.catalogue.ledger_account(account.issuer_id, LedgerCode.REVENUE_USAGE, command.unit)
    is_old = any(posting.ledger_account_id == usage for posting in known.postings)
    return LedgerCode.REVENUE_USAGE if is_old else LedgerCode.REVENUE_READINGS


def _post_entry(command: PostEntry, state: ChargingState) -> tuple[Outcome, list[Effect]]:
    moved = sum(part for _, part in command.parts)
    check(moved == command.amount, "the parts of {} add up to {}", command.idempotency_key, moved)
    return _post(command, command.amount, command.parts, command.kind, state)


def _set_credit_limit(command: SetCreditLimit, state: ChargingState) -> tuple[Outcome, list[Effect]]:
    wallet = state.wallet(command.account_id, command.unit)
    if wallet is None:
        return Refused(f"the account has no {command.unit} wallet"), []
    if command.credit_limit < 0:
        return Refused("a credit limit cannot be negative"), []
    if command.credit_limit > MAX_AMOUNT:
        return Refused("the amount is out of range"), []
    change = command.credit_limit - wallet.credit_limit
    freed = _free(wallet, -change, command.at_us, state)
    if freed.missing > 0:
        lowest = wallet.credit_limit - (-change - freed.missing)
        return Refused(f"the limit is in use; it cannot go below {lowest} now", most=lowest), []
    effects = [*freed.effects, WalletMoved(wallet.id, credit_limit=change, tell=True, starved=False)]
    available = wallet.available + freed.amount + change
    return Moved("", wallet.id, wallet.posted, available, freed.sessions), effects


def _post(
    command: TopUp | Adjust | PostCharge | PostEntry,
    amount: int,
    counterparts: Sequence[tuple[LedgerCode, int]],
    kind: str,
    state: ChargingState,
) -> tuple[Outcome, list[Effect]]:
    wallet = state.wallet(command.account_id, command.unit)
    if wallet is None:
        return Refused(f"the account has no {command.unit} wallet"), []
    issuer_id = state.accounts[command.account_id].issuer_id
    book = state.catalogue.ledger_account
    others = [Posting(book(issuer_id, code, wallet.unit), part) for code, part in counterparts]
    postings = (*([Posting(wallet.ledger_account_id, -amount)] if amount else []), *others)
    known = state.entries.get(command.idempotency_key)
    if known is not None:
        if known.postings != postings or known.kind != kind:
            raise DuplicateKey(f"{command.idempotency_key!r} was used before for another amount or account")
        return Moved(known.id, wallet.id, wallet.posted, wallet.available), []
    if not 0 < len(command.idempotency_key) <= MAX_KEY_LENGTH:
        return Refused(f"the idempotency key needs 1 to {MAX_KEY_LENGTH} characters"), []
    if abs(amount) > MAX_AMOUNT or abs(wallet.posted + amount) > MAX_AMOUNT:
        return Refused("the amount is out of range"), []
    owed = command.owed if isinstance(command, PostEntry) else isinstance(command, PostCharge)
    freed = _free(wallet, -amount, command.at_us, state)
    if freed.missing > 0 and not owed:
        most = max(0, -amount - freed.missing)
        return Refused("more than is free or can be taken back from live calls", most=most), []
    entry = JournalEntry(
        id=new_id(),
        idempotency_key=command.idempotency_key,
        kind=kind,
        unit=wallet.unit,
        at_us=command.at_us,
        postings=postings,
        memo=command.memo[:MAX_MEMO_LENGTH],
        reverses_id=command.reverses_id if isinstance(command, PostEntry) else None,
    )
    available = wallet.available + freed.amount + amount
    balance = wallet.posted + amount
    outcome = Moved(entry.id, wallet.id, balance, available, freed.sessions)
    if not amount:
        return outcome, [EntryPosted(entry)]
    moved = WalletMoved(wallet.id, posted=amount, tell=True, starved=False, overdraw=owed)
    return outcome, [*freed.effects, EntryPosted(entry), moved]


@dataclass(frozen=True, slots=True)
class _Freed:
    amount: int
    missing: int
    sessions: tuple[str, ...]
    effects: list[Effect]


def _free(wallet: Wallet, leaving: int, at_us: int, state: ChargingState) -> _Freed:
    """Shorten live calls until `leaving` is free in the wallet, as far as that is possible.

    What comes in (leaving is negative) shortens none, even if an overdraft still stands afterwards.
    """
    needed = leaving - wallet.available if leaving > 0 else 0
    freed = 0
    sessions: list[str] = []
    effects: list[Effect] = []
    taken: dict[int, int] = {}
    for reservation in state.held(wallet.id) if needed > 0 else ():
        if freed >= needed:
            break
        gone = Leaving(wallet.id, needed - freed, taken)
        granted_us = reservation.granted_us
        shorter_us = granted_us
        if reservation.switch in state.steered:  # else nobody is there to move its timer
            shorter_us = min(granted_us, _shortest(reservation, gone, at_us, state))
        is_shorter = shorter_us < granted_us
        # Where other wallets of the account can pay as well, the call may go on as long as before.
        shrunk, moves, counters = regrant(
            reservation, shorter_us, final=reservation.final or is_shorter, state=state, leaving=gone
        )
        given = -sum(move.reserved for move in moves if move.wallet_id == wallet.id)
        if given <= 0:
            continue
        freed += given
        for move in moves:
            taken[move.wallet_id] = taken.get(move.wallet_id, 0) + move.reserved
        effects += [*moves, *counters]
        if is_shorter:
            sessions.append(reservation.session_id)
            others = [line.wallet_id for line in shrunk.levels if line.wallet_id != wallet.id]
            effects += [WalletMoved(wallet_id, tell=True) for wallet_id in others]
        effects.append(ReservationChanged(shrunk, Verb.SHRINK if is_shorter else None, at_us))
    return _Freed(freed, max(0, needed - freed), tuple(sessions), effects)


def _shortest(reservation: Reservation, leaving: Leaving, at_us: int, state: ChargingState) -> int:
    levels = rated_levels(reservation, state)
    rated, lines = next(
        (rated, lines)
        for rated, lines in levels
        if any(line.wallet_id == leaving.wallet_id for line in lines)
    )
    starts = answers_us(reservation, levels)
    used_us = 0
    if reservation.answered_us is not None:
        used_us = max(0, at_us - reservation.answered_us)
    kept_us = rated.increment_end(used_us + RETIME_MARGIN_US, starts[0])
    funds = rated.funds_without(leaving, lines)
    return max(kept_us, rated.lasts_us(funds, reservation.max_call_s, starts))
