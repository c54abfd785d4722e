"""Loads what a batch of commands concerns into a ChargingState, locked, and writes what they caused.

Lock order, the same everywhere: wallets by id, then reservations by session. Any change of a
reservation or its wallets happens with those wallets locked, so decisions of other processes wait.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.cdr import CallCharge, RatedCdr
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
    SetCreditLimit,
    Settle,
    SettleOffline,
    TopUp,
    Void,
)
from pbxbill.charging.memory import Memory
from pbxbill.charging.state import ChargedAccount, ChargingState, Wallet
from pbxbill.clock import SECOND_US
from pbxbill.ledger.journal import JournalEntry, Posting
from pbxbill.ledger.reservation import OPEN_STATES, STATES, Reservation, ReservationLevel
from pbxbill.store import models
from pbxbill.store.driver import Driver, Row

ENDPOINTS = (
    "SELECT e.kind, e.value, e.tech_prefix, a.id, a.path FROM endpoints e "
    "JOIN accounts a ON a.id = e.account_id "
    "WHERE e.kind IN ('did', 'sip', 'ip', 'caller_id') AND e.value {any_text}"
)
WALLETS = (
    "SELECT w.id, w.account_id, w.unit, w.ledger_account_id, w.posted, w.reserved, w.credit_limit, "
    "w.overdraft, w.starved, w.news, w.told_us, "
    "a.code, a.status, a.path, a.parent_id, a.tariff_id, a.inbound_tariff_id, a.language, "
    "a.failure_policy, a.offline_allowance, a.announce_balance, a.announce_minutes, a.announce_warning, "
    "a.announce_denial "
    "FROM wallets w JOIN accounts a ON a.id = w.account_id "
    "WHERE w.id IN (SELECT id FROM wallets WHERE account_id {any_int} "
    "UNION SELECT wallet_id FROM reservation_levels WHERE session_id {any_text} "
    "UNION SELECT wallet_id FROM call_charges WHERE session_id {any_text} "
    "UNION SELECT also.wallet_id FROM reservation_levels held "
    "JOIN reservation_levels also ON also.session_id = held.session_id "
    "JOIN wallets mine ON mine.id = held.wallet_id "
    "WHERE held.reserved > 0 AND mine.account_id {any_int}) "
    "ORDER BY w.id {lock:w}"
)
SEEN_SESSIONS = (
    "SELECT r.session_id, a.path FROM {each_of}reservations r LEFT JOIN accounts a ON a.id = r.account_id "
    "WHERE r.session_id {is_each_text} "
    "UNION ALL SELECT c.session_id, a.path FROM {each_of}cdrs c LEFT JOIN accounts a ON a.id = c.account_id "
    "WHERE c.session_id {is_each_text}"
)
WALLET_SUMS: tuple[str, ...] = ("posted", "reserved", "credit_limit", "overdraft", "starved")
WALLET_NEWS = (*WALLET_SUMS, "news", "told_us")
LEASES = "SELECT switch, renewed_us FROM daemon_leases"
STEERED_US = 6 * SECOND_US
"""A daemon that has not renewed its lease for two of its periods may be gone."""
NEWEST_NEWS = "SELECT COALESCE(MAX(told_us), 0) FROM wallets"
RESERVATION_COLUMNS = Reservation._fields[:-1]
"""A row holds a tuple's fields in their order; the last of these are rows of the levels' own."""
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
    "WHERE session_id {any_text} ORDER BY session_id, level"
)
CDR_COLUMNS = RatedCdr._fields[:-1]
CDRS = f"SELECT {', '.join(CDR_COLUMNS)} FROM cdrs WHERE session_id {{any_text}}"  # noqa: S608 names are ours
CHARGES = (
    f"SELECT session_id, {', '.join(CallCharge._fields)} FROM call_charges "  # noqa: S608 names are ours
    "WHERE session_id {any_text} ORDER BY session_id, level"
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
            case Adjust() | PostCharge():
                found.account_ids.add(command.account_id)
                found.keys.append(command.idempotency_key)
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
    if concerned.keys:
        entries = _entries(driver.select(ENTRIES, concerned.keys))
        state.entries = {entry.idempotency_key: entry for entry in entries}
    return state


def _load_endpoints(driver: Driver, requests: Iterable[Authorize], known: Memory) -> set[int]:
    values: set[str] = set()
    for request in requests:
        values.update((request.account_code, request.source_ip, request.caller_id))
        if request.direction is Direction.INBOUND:
            values.add(request.did)
    values.discard("")
    values -= known.looked_up
    account_ids: set[int] = set()
    if not values:
        return account_ids
    found: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for kind, value, tech_prefix, account_id, path in driver.select(ENDPOINTS, sorted(values)):
        found.setdefault((kind, value), []).append((tech_prefix, account_id))
        account_ids.update(chain_of(path))
    for matches in found.values():
        if len(matches) > 1:
            matches.sort(key=lambda match: -len(match[0]))
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
        wallet = Wallet(*(*row[:8], bool(row[8]), *row[9:11]))
        known.wallets[wallet_id] = wallet
        known.wallet_ids[(account_id, wallet.unit)] = wallet_id
        if account_id not in known.accounts:
            account = known.accounts[account_id] = charged_account(account_id, row[11:])
            tariff_ids.update((account.tariff_id, account.inbound_tariff_id))
    return tariff_ids


@lru_cache(maxsize=50_000)
def charged_account(account_id: int, row: Row) -> ChargedAccount:
    """An account from its columns code, status, path, parent_id and on, as WALLETS selects them."""
    code, status, path, parent_id, tariff_id, inbound_tariff_id, language, policy, allowance, *spoken = row
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
        *(None if value is None else bool(value) for value in spoken),
    )


def _load_sessions(driver: Driver, session_ids: list[str], state: ChargingState) -> None:
    state.reservations = {r.session_id: r for r in read_reservations(driver, session_ids)}
    charges: dict[str, list[CallCharge]] = {}
    # While a reservation is open there is no CDR of it.
    still_open = {r.session_id for r in state.reservations.values() if r.state in OPEN_STATES}
    ended = [session_id for session_id in session_ids if session_id not in still_open]
    cdr_rows = driver.select(CDRS, ended) if ended else []
    if cdr_rows:
        for session_id, *values in driver.select(CHARGES, [row[0] for row in cdr_rows]):
            charges.setdefault(session_id, []).append(CallCharge(*values))
    for row in cdr_rows:
        *values, denial, detail, evidence = row
        reason = None if denial is None else DenialReason(denial)
        own = tuple(charges.get(row[0], ()))
        state.cdrs[row[0]] = RatedCdr(*(*values, reason, detail, Evidence(evidence), own))


def read_reservations(driver: Driver, session_ids: Sequence[str]) -> list[Reservation]:
    """Reservations with their levels, locked."""
    rows = driver.select(RESERVATIONS, session_ids)
    levels: dict[str, list[ReservationLevel]] = {}
    if rows:
        for session_id, *values in driver.select(LEVELS, [row[0] for row in rows]):
            levels.setdefault(session_id, []).append(ReservationLevel(*values))
    return [_reservation(row, tuple(levels.get(row[0], ()))) for row in rows]


def _reservation(row: Row, levels: tuple[ReservationLevel, ...]) -> Reservation:
    state, final = STATES[row[9]], bool(row[14])
    return Reservation(*(*row[:9], state, *row[10:14], final, *row[15:], levels))


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


# --- writing ----------------------------------------------------------------------------------
# Rows hold plain text: a database's library takes several times as long for a member of an enumeration.


def write(driver: Driver, state: ChargingState, now_us: int) -> None:
    """Write what the batch's effects changed: each table with one statement."""
    _write_reservations(driver, state, now_us)
    _write_journal(driver, state)
    _write_cdrs(driver, state, now_us)
    if state.changed_wallets:
        wallets = [state.wallets[wallet_id] for wallet_id in sorted(state.changed_wallets)]
        if state.told:
            # News is found by its age: it must be the newest, even if this machine's clock was set back.
            ((newest_us,),) = driver.select(NEWEST_NEWS)
            for wallet_id in state.told:
                state.wallets[wallet_id].told_us = max(now_us, newest_us + 1)
        # Without news the index by its age is left alone.
        columns, row = (WALLET_NEWS, _news_row) if state.told else (WALLET_SUMS, _sums_row)
        table = models.WalletRow.__table__
        driver.update(table, ("id",), columns, [row(w) for w in wallets])  # type: ignore[arg-type]


def _sums_row(w: Wallet) -> Row:
    return (w.posted, w.reserved, w.credit_limit, w.overdraft, w.starved, w.id)


def _news_row(w: Wallet) -> Row:
    return (w.posted, w.reserved, w.credit_limit, w.overdraft, w.starved, w.news, w.told_us, w.id)


def _write_reservations(driver: Driver, state: ChargingState, now_us: int) -> None:
    if state.opened:
        driver.insert(
            models.ReservationRow.__table__,  # type: ignore[arg-type]
            (*RESERVATION_COLUMNS, "created_us"),
            [(*r[:9], str(r.state), *r[10:-1], now_us) for r in state.opened.values()],
        )
        rows = [(r.session_id, *level) for r in state.opened.values() for level in r.levels]
        if rows:
            table = models.ReservationLevelRow.__table__
            driver.insert(table, ("session_id", *ReservationLevel._fields), rows)  # type: ignore[arg-type]
    if state.changed:
        driver.update(
            models.ReservationRow.__table__,  # type: ignore[arg-type]
            ("session_id",),
            ("state", "answered_us", "paid_leg", "granted_us", "final"),
            [
                (str(r.state), r.answered_us, r.paid_leg, r.granted_us, r.final, r.session_id)
                for r in state.changed.values()
            ],
        )
        levels = [
            (level.reserved, session_id, level.level)
            for session_id in state.relevelled & state.changed.keys()
            for level in state.changed[session_id].levels
        ]
        if levels:
            table = models.ReservationLevelRow.__table__
            driver.update(table, ("session_id", "level"), ("reserved",), levels)  # type: ignore[arg-type]
    if state.steps:
        columns = ("session_id", "verb", "at_us", "granted_us", "reserved")
        driver.insert(models.ReservationStepRow.__table__, columns, state.steps)  # type: ignore[arg-type]


def _write_journal(driver: Driver, state: ChargingState) -> None:
    if not state.new_entries:
        return
    driver.insert(
        models.JournalEntryRow.__table__,  # type: ignore[arg-type]
        ("id", "idempotency_key", "kind", "unit", "at_us", "memo", "reverses_id"),
        [
            (e.id, e.idempotency_key, e.kind, e.unit, e.at_us, e.memo, e.reverses_id)
            for e in state.new_entries
        ],
    )
    driver.insert(
        models.PostingRow.__table__,  # type: ignore[arg-type]
        ("entry_id", "line", "ledger_account_id", "amount"),
        [
            (entry.id, line, *posting)
            for entry in state.new_entries
            for line, posting in enumerate(entry.postings)
        ],
    )


def _write_cdrs(driver: Driver, state: ChargingState, now_us: int) -> None:
    if not state.new_cdrs:
        return
    driver.insert(
        models.CdrRow.__table__,  # type: ignore[arg-type]
        (*CDR_COLUMNS, "created_us"),
        [(*cdr[:-2], str(cdr.evidence), now_us) for cdr in state.new_cdrs],
    )
    rows = [(cdr.session_id, *charge) for cdr in state.new_cdrs for charge in cdr.charges]
    if rows:
        table = models.CallChargeRow.__table__
        driver.insert(table, ("session_id", *CallCharge._fields), rows)  # type: ignore[arg-type]
