"""Loads what a batch of commands concerns into a ChargingState, locked; writing.py writes what they cause.

Lock order, the same everywhere: wallets by id, then reservations by session. Any change of a
reservation or its wallets happens with those wallets locked, so decisions of other processes wait.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.cdr import CallCharge, RatedCdr
from pbxbill.charging.chain import identify
from pbxbill.charging.counting import Counted, load_counted
from pbxbill.charging.events import (
    Adjust,
    Answer,
    Authorize,
    Command,
    DenialReason,
    Direction,
    Evidence,
    Expire,
    Extend,
    FailurePolicy,
    PostCharge,
    PostEntry,
    SetCreditLimit,
    Settle,
    SettleOffline,
    TopUp,
    Void,
)
from pbxbill.charging.memory import Memory
from pbxbill.charging.state import ChargedAccount, ChargingState, KnownEndpoint, Wallet
from pbxbill.clock import SECOND_US
from pbxbill.ledger.journal import JournalEntry, Posting
from pbxbill.ledger.reservation import OPEN_STATES, STATES, Reservation, ReservationLevel, ReservedCount
from pbxbill.store.driver import Driver, Row

ENDPOINTS = (
    "SELECT e.kind, e.value, e.tech_prefix, a.id, e.id, e.status, e.tariff_id, a.path FROM endpoints e "
    "JOIN accounts a ON a.id = e.account_id "
    "WHERE e.kind IN ('did', 'sip', 'ip', 'caller_id') AND e.value {any_text}"
)
_WALLETS = (
    "SELECT w.id, w.account_id, w.unit, w.ledger_account_id, w.posted, w.reserved, w.credit_limit, "
    "w.overdraft, w.starved, w.news, w.told_us, w.tell_below, w.tell_from, "
    "a.code, a.status, a.path, a.parent_id, a.tariff_id, a.inbound_tariff_id, a.language, "
    "a.failure_policy, a.offline_allowance, a.announce_balance, a.announce_minutes, a.announce_warning, "
    "a.announce_denial, a.dialling_rule_id, a.wallet_order, a.shadow, a.minimum_balance "
    "FROM wallets w JOIN accounts a ON a.id = w.account_id "
)
_CONCERNED_WALLETS = (
    "WHERE w.id IN (SELECT id FROM wallets WHERE account_id {any_int} "
    "UNION SELECT wallet_id FROM reservation_levels WHERE session_id {any_text} "
    "UNION SELECT wallet_id FROM call_charges WHERE session_id {any_text} "
    "UNION SELECT also.wallet_id FROM reservation_levels held "
    "JOIN reservation_levels also ON also.session_id = held.session_id "
    "JOIN wallets mine ON mine.id = held.wallet_id "
    "WHERE held.reserved > 0 AND mine.account_id {any_int}) "
    "ORDER BY w.id {lock:w}"
)
WALLETS = _WALLETS + _CONCERNED_WALLETS
NAMED_WALLETS = _WALLETS + "WHERE w.id {any_int}"
SEEN_SESSIONS = (
    "SELECT r.session_id, a.path FROM {each_of}reservations r LEFT JOIN accounts a ON a.id = r.account_id "
    "WHERE r.session_id {is_each_text} "
    "UNION ALL SELECT c.session_id, a.path FROM {each_of}cdrs c LEFT JOIN accounts a ON a.id = c.account_id "
    "WHERE c.session_id {is_each_text}"
)
LEASES = "SELECT switch, renewed_us FROM daemon_leases"
STEERED_US = 6 * SECOND_US
"""A daemon that has not renewed its lease for two of its periods may be gone."""
RESERVATION_COLUMNS = Reservation._fields[:-2]
"""A row holds a tuple's fields in their order; the last of these, levels and holds, have their own rows."""
RESERVATIONS = (
    f"SELECT {', '.join(RESERVATION_COLUMNS)} FROM reservations r "  # noqa: S608 names are ours
    "WHERE session_id {any_text} ORDER BY session_id {lock:r}"
)
HELD_SESSIONS = (
    "SELECT DISTINCT l.session_id FROM reservation_levels l JOIN wallets w ON w.id = l.wallet_id "
    "WHERE l.reserved > 0 AND w.account_id {any_int}"
)
LEVELS = (
    f"SELECT session_id, {', '.join(ReservationLevel._fields)} FROM reservation_levels "  # noqa: S608 names are ours
    "WHERE session_id {any_text} ORDER BY session_id, level, line"
)
COUNTS = (
    f"SELECT session_id, {', '.join(ReservedCount._fields)} FROM reserved_counts "  # noqa: S608 names are ours
    "WHERE session_id {any_text} ORDER BY session_id, level, counter_id"
)
CDR_COLUMNS = RatedCdr._fields[:-2]
CDRS = f"SELECT {', '.join(CDR_COLUMNS)} FROM cdrs WHERE session_id {{any_text}}"  # noqa: S608 names are ours
CHARGES = (
    f"SELECT session_id, {', '.join(CallCharge._fields)} FROM call_charges "  # noqa: S608 names are ours
    "WHERE session_id {any_text} ORDER BY session_id, level, line"
)
ENTRIES = (
    "SELECT e.id, e.idempotency_key, e.kind, e.unit, e.at_us, p.ledger_account_id, p.amount "
    "FROM journal_entries e JOIN postings p ON p.entry_id = e.id "
    "WHERE e.idempotency_key {any_text} ORDER BY e.id, p.line"
)


@lru_cache(maxsize=50_000)
def chain_of(path: str) -> tuple[int, ...]:
    """The account ids of a path "/3/17/", the account itself first."""
    return tuple(int(part) for part in reversed(path.split("/")) if part)


@dataclass(slots=True)
class _Concerned:
    """What a batch's commands name."""

    account_ids: set[int] = field(default_factory=set)
    shortening: set[int] = field(default_factory=set)
    """Accounts that funds are taken from, perhaps from their live calls."""
    keys: list[str] = field(default_factory=list)
    requests: list[Authorize] = field(default_factory=list)
    sessions: set[str] = field(default_factory=set)


def _concerned(commands: Sequence[Command]) -> _Concerned:
    found = _Concerned()
    for command in commands:
        match command:
            case Authorize():
                found.requests.append(command)
            case SettleOffline(request):
                found.requests.append(request)
            case TopUp():
                found.account_ids.add(command.account_id)
                found.keys.append(command.idempotency_key)
            case Adjust() | PostCharge() | PostEntry():
                found.account_ids.add(command.account_id)
                found.keys.append(command.idempotency_key)
                if not isinstance(command, PostEntry) or command.amount < 0:
                    found.shortening.add(command.account_id)
            case SetCreditLimit():
                found.account_ids.add(command.account_id)
                found.shortening.add(command.account_id)
            case Answer() | Extend() | Settle() | Void() | Expire():
                found.sessions.add(command.session_id)
    return found


def load(
    driver: Driver,
    commands: Sequence[Command],
    catalogue: LoadedCatalogue,
    now_us: int,
    memory: Memory | None = None,
) -> ChargingState:
    """Everything the commands may read or change, with the wallets concerned locked.

    What memory holds already is not read again; what is read becomes part of it.
    """
    known = Memory() if memory is None else memory
    state = ChargingState(catalogue, known.accounts, known.endpoints, known.wallets, known.wallet_ids)
    concerned = _concerned(commands)
    account_ids, sessions = concerned.account_ids, concerned.sessions
    if concerned.requests:
        account_ids.update(_load_endpoints(driver, concerned.requests, known))
        # A session is requested once, as a rule: only those that are known already are read. Should another
        # process write one meanwhile, its key refuses ours and the request is decided again, by itself.
        requested = sorted([request.session_id for request in concerned.requests])
        for session_id, path in driver.select(SEEN_SESSIONS, requested, requested):
            sessions.add(session_id)
            # A repeated request answers from its account, which its endpoint may no longer name.
            account_ids.update(chain_of(path or ""))
    shortening = sorted(concerned.shortening)
    if shortening:
        sessions.update(row[0] for row in driver.select(HELD_SESSIONS, shortening))
        leases = driver.select(LEASES)
        state.steered = {switch for switch, renewed_us in leases if now_us - renewed_us < STEERED_US}
    session_ids = sorted(sessions)
    if session_ids:
        catalogue.refresh(driver, now_us)  # another process may have granted a call by terms a moment old
    unread_ids = session_ids
    if known.version is not None and session_ids:
        # The whole database is locked: what the sessions hold says whether their wallets are here.
        _load_sessions(driver, session_ids, state)
        unread_ids = sorted(_with_unread_wallets(state))
    account_ids -= known.complete
    if account_ids or unread_ids or shortening:
        rows = driver.select(WALLETS, sorted(account_ids), unread_ids, unread_ids, shortening)
        tariff_ids = _load_wallets(rows, known)
        known.complete |= account_ids
        if any(x is not None and catalogue.current_tariff(x) is None for x in tariff_ids):
            catalogue.refresh(driver, now_us)  # an account was given a tariff that is a moment old
    if session_ids:
        if known.version is None:
            _load_sessions(driver, session_ids, state)
        catalogue.ensure(driver, _rate_ids(state))
    if catalogue.offers.counted:
        load_counted(driver, state, list(_counted(concerned.requests, state)), session_ids)
    if concerned.keys:
        entries = _entries(driver.select(ENTRIES, concerned.keys))
        state.entries = {entry.idempotency_key: entry for entry in entries}
    return state


def load_open(driver: Driver, session_ids: Sequence[str], catalogue: LoadedCatalogue) -> ChargingState:
    """What the prices of open calls follow from, for whoever only looks: in half the time of load()."""
    known = Memory()
    state = ChargingState(catalogue, known.accounts, known.endpoints, known.wallets, known.wallet_ids)
    counted = catalogue.offers.counted
    found = read_reservations(driver, session_ids, counted=counted)
    state.reservations = {one.session_id: one for one in found if one.state in OPEN_STATES}
    wallet_ids = {line.wallet_id for one in state.reservations.values() for line in one.levels}
    _load_wallets(driver.select(NAMED_WALLETS, sorted(wallet_ids)) if wallet_ids else (), known)
    catalogue.ensure(driver, _rate_ids(state))
    if counted:
        load_counted(driver, state, list(_counted((), state)), list(state.reservations))
    return state


def _counted(requests: Iterable[Authorize], state: ChargingState) -> Iterable[Counted]:
    for request in requests:
        identified = identify(request, state)
        if identified is not None:
            yield Counted(identified[0].id, request.at_us, identified[2].tariff_id or 0)
    for reservation in state.reservations.values():
        account_id = reservation.account_id
        if account_id not in state.accounts and reservation.levels:
            account_id = reservation.levels[0].account_id  # a call to a DID for which only those above pay
        yield Counted(account_id, reservation.requested_us)


def _load_endpoints(driver: Driver, requests: Sequence[Authorize], known: Memory) -> set[int]:
    values = {value for x in requests for value in (x.account_code, x.source_ip, x.caller_id)}
    values.update([x.did for x in requests if x.did and x.direction is Direction.INBOUND])
    values.discard("")
    values -= known.looked_up
    account_ids: set[int] = set()
    if not values:
        return account_ids
    found: dict[tuple[str, str], list[KnownEndpoint]] = {}
    for kind, value, *endpoint, path in driver.select(ENDPOINTS, sorted(values)):
        found.setdefault((kind, value), []).append(KnownEndpoint(*endpoint))
        account_ids.update(chain_of(path))
    for matches in found.values():
        if len(matches) > 1:
            matches.sort(key=lambda match: -len(match.tech_prefix))
    known.endpoints.update(found)
    known.looked_up |= values
    return account_ids


def _load_wallets(rows: Iterable[Row], known: Memory) -> set[int | None]:
    """Remember wallets and their accounts that are new; the tariffs of these accounts."""
    tariff_ids: set[int | None] = set()
    for row in rows:
        wallet_id, account_id = row[:2]
        if wallet_id in known.wallets:
            continue
        wallet = Wallet(*(*row[:8], bool(row[8]), *row[9:13]))
        known.wallets[wallet_id] = wallet
        known.wallet_ids[(account_id, wallet.unit)] = wallet_id
        if account_id not in known.accounts:
            account = known.accounts[account_id] = charged_account(account_id, row[13:])
            tariff_ids.update((account.tariff_id, account.inbound_tariff_id))
    return tariff_ids


@lru_cache(maxsize=50_000)
def charged_account(account_id: int, row: Row) -> ChargedAccount:
    """An account from its columns code, status, path, parent_id and on, as WALLETS selects them."""
    code, status, path, parent_id, tariff_id, inbound_tariff_id, language, policy, allowance, *rest = row
    *spoken, dialling_rule_id, wallet_order, shadow, minimum_balance = rest
    balance, minutes, warning, denial = [None if value is None else bool(value) for value in spoken]
    return ChargedAccount(
        account_id,
        code,
        status,
        chain_of(path),
        parent_id or account_id,
        tariff_id,
        inbound_tariff_id,
        language,
        FailurePolicy(policy),
        allowance,
        balance,
        minutes,
        warning,
        denial,
        dialling_rule_id,
        wallet_order,
        bool(shadow),
        minimum_balance,
    )


def _load_sessions(driver: Driver, session_ids: list[str], state: ChargingState) -> None:
    counted = state.catalogue.offers.counted
    found = read_reservations(driver, session_ids, counted=counted)
    state.reservations = {reservation.session_id: reservation for reservation in found}
    for reservation in found if counted else ():
        state.written_counts.update(
            (reservation.session_id, count.level, count.counter_id) for count in reservation.counts
        )
    charges: dict[str, list[CallCharge]] = {}
    # While a reservation is open there is no CDR of it.
    still_open = {r.session_id for r in state.reservations.values() if r.state in OPEN_STATES}
    ended = [session_id for session_id in session_ids if session_id not in still_open]
    cdr_rows = driver.select(CDRS, ended) if ended else []
    if cdr_rows:
        for session_id, *values in driver.select(CHARGES, [row[0] for row in cdr_rows]):
            charges.setdefault(session_id, []).append(CallCharge(*values))
    for row in cdr_rows:
        *values, denial, detail, evidence, shadow, ringing_us = row
        reason = None if denial is None else DenialReason(denial)
        own = tuple(charges.get(row[0], ()))
        state.cdrs[row[0]] = RatedCdr(*(*values, reason, detail, Evidence(evidence), shadow, ringing_us, own))


def read_reservations(
    driver: Driver, session_ids: Sequence[str], *, counted: bool = False
) -> list[Reservation]:
    """Reservations with their levels, locked; counted: with what they hold of counters."""
    rows = driver.select(RESERVATIONS, session_ids)
    levels: dict[str, list[ReservationLevel]] = {}
    counts: dict[str, list[ReservedCount]] = {}
    if rows:
        found = [row[0] for row in rows]
        for row in driver.select(LEVELS, found):
            levels.setdefault(row[0], []).append(ReservationLevel(*row[1:]))
        for row in driver.select(COUNTS, found) if counted else ():
            counts.setdefault(row[0], []).append(ReservedCount(*row[1:]))
    return [_reservation(row, tuple(levels.get(row[0], ())), tuple(counts.get(row[0], ()))) for row in rows]


def _reservation(
    row: Row, levels: tuple[ReservationLevel, ...], counts: tuple[ReservedCount, ...]
) -> Reservation:
    state, final = STATES[row[9]], bool(row[14])
    return Reservation(*(*row[:9], state, *row[10:14], final, *row[15:], levels, counts))


def _with_unread_wallets(state: ChargingState) -> set[str]:
    """Sessions that name a wallet which has not been read."""
    found = {
        session_id
        for session_id, reservation in state.reservations.items()
        for level in reservation.levels
        if level.wallet_id not in state.wallets
    }
    for session_id, cdr in state.cdrs.items():
        if any(charge.wallet_id not in state.wallets for charge in cdr.charges):
            found.add(session_id)
    return found


def _rate_ids(state: ChargingState) -> Iterable[int]:
    for reservation in state.reservations.values():
        for level in reservation.levels:
            yield level.rate_id


def _entries(rows: Iterable[Row]) -> Iterable[JournalEntry]:
    found: dict[str, tuple[Row, list[Posting]]] = {}
    for *head, ledger_account_id, amount in rows:
        found.setdefault(head[0], (tuple(head), []))[1].append(Posting(ledger_account_id, amount))
    for (entry_id, key, kind, unit, at_us), postings in found.values():
        yield JournalEntry(entry_id, key, kind, unit, at_us, tuple(postings))
