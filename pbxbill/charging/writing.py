"""Writes what a batch of commands caused: each table with one statement.

Rows hold plain text and numbers: a database's library takes several times as long for a member of an
enumeration or a truth value.
"""

from pbxbill.charging.batch import CDR_COLUMNS, RESERVATION_COLUMNS
from pbxbill.charging.cdr import CallCharge, CarrierCost
from pbxbill.charging.counting import write_counters
from pbxbill.charging.state import ChargingState, LimitStruck, Wallet
from pbxbill.ledger.reservation import ReservationLevel
from pbxbill.store import catalogue_models as models_of_offers
from pbxbill.store import models, notice_models
from pbxbill.store.alerts import NewAlert, write_alerts
from pbxbill.store.driver import Driver, Row
from pbxbill.store.limits import SUSPENDED, suspend_endpoints, write_held_countries
from pbxbill.store.rollup_marks import mark_hours

WALLET_SUMS: tuple[str, ...] = ("posted", "reserved", "credit_limit", "overdraft", "starved")
WALLET_NEWS = (*WALLET_SUMS, "news", "told_us")
_CODES = "SELECT id, code FROM accounts WHERE id {any_int}"
_ENDPOINTS = "SELECT id, kind, value, tech_prefix FROM endpoints WHERE id {any_int}"
NEWEST_NEWS = "SELECT COALESCE(MAX(told_us), 0) FROM wallets"

_OPENED_COLUMNS = (*RESERVATION_COLUMNS[:-1], "created_us")
"""Of a reservation that has just been made: nothing has rung yet."""


def write(driver: Driver, state: ChargingState, now_us: int) -> None:
    """Write what the batch's effects changed: each table with one statement."""
    _write_reservations(driver, state, now_us)
    _write_journal(driver, state)
    _write_cdrs(driver, state, now_us)
    if state.changed_counters:
        write_counters(driver, state)
    _write_counts(driver, state)
    if state.new_costs:
        table = models_of_offers.CallCostRow.__table__
        driver.insert(table, CarrierCost._fields, state.new_costs)  # type: ignore[arg-type]
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
        marked = [
            w
            for w in wallets
            if w.tell_below is not None and w.posted - w.reserved + w.credit_limit < w.tell_below
        ]
        if marked or state.filled:
            _write_marks(driver, state, marked, now_us)


def _write_marks(driver: Driver, state: ChargingState, fallen: list[Wallet], now_us: int) -> None:
    """Leave a mark for the job that watches balances: each fall once, and what was filled after one."""
    filled = [
        w
        for w in (state.wallets[wallet_id] for wallet_id in sorted(state.filled))
        if w.tell_from is not None and w.tell_below != w.tell_from and w not in fallen
    ]
    marked = [*fallen, *filled]
    if marked:
        columns = ("wallet_id", "at_us", "can_spend")
        table = notice_models.BalanceMarkRow.__table__
        driver.insert(table, columns, [(w.id, now_us, w.available) for w in marked])  # type: ignore[arg-type]
    if fallen:
        # Until the job has looked there is nothing new to tell; it says below what it wants to hear next.
        for wallet in fallen:
            wallet.tell_below = None
        driver.update(models.WalletRow.__table__, ("id",), ("tell_below",), [(None, w.id) for w in fallen])  # type: ignore[arg-type]


def _sums_row(w: Wallet) -> Row:
    return (w.posted, w.reserved, w.credit_limit, w.overdraft, w.starved, w.id)


def _news_row(w: Wallet) -> Row:
    return (w.posted, w.reserved, w.credit_limit, w.overdraft, w.starved, w.news, w.told_us, w.id)


def _write_reservations(driver: Driver, state: ChargingState, now_us: int) -> None:
    if state.opened:
        driver.insert(
            models.ReservationRow.__table__,  # type: ignore[arg-type]
            _OPENED_COLUMNS,
            [
                (*r[:9], str(r.state), *r[10:14], int(r.final), *r[15:-3], now_us)
                for r in state.opened.values()
            ],
        )
        rows = [(r.session_id, *level) for r in state.opened.values() for level in r.levels]
        if rows:
            table = models.ReservationLevelRow.__table__
            driver.insert(table, ("session_id", *ReservationLevel._fields), rows)  # type: ignore[arg-type]
    if state.changed:
        driver.update(
            models.ReservationRow.__table__,  # type: ignore[arg-type]
            ("session_id",),
            ("state", "answered_us", "paid_leg", "granted_us", "final", "gateway", "ringing_us"),
            [
                (
                    str(r.state),
                    r.answered_us,
                    r.paid_leg,
                    r.granted_us,
                    r.final,
                    r.gateway,
                    r.ringing_us,
                    r.session_id,
                )
                for r in state.changed.values()
            ],
        )
    if state.ended:
        driver.update(
            models.ReservationRow.__table__,  # type: ignore[arg-type]
            ("session_id",),
            ("state", "answered_us"),
            [(str(r.state), r.answered_us, r.session_id) for r in state.ended.values()],
        )
    relevelled = [*(state.changed[session_id] for session_id in state.relevelled), *state.ended.values()]
    levels = [
        (level.reserved, r.session_id, level.level, level.line) for r in relevelled for level in r.levels
    ]
    if levels:
        table = models.ReservationLevelRow.__table__
        driver.update(table, ("session_id", "level", "line"), ("reserved",), levels)  # type: ignore[arg-type]
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
            (entry.id, line, ledger_account_id, amount)
            for entry in state.new_entries
            for line, (ledger_account_id, amount) in enumerate(entry.postings)
        ],
    )


def _write_cdrs(driver: Driver, state: ChargingState, now_us: int) -> None:
    if not state.new_cdrs:
        return
    driver.insert(
        models.CdrRow.__table__,  # type: ignore[arg-type]
        (*CDR_COLUMNS, "created_us"),
        [(*cdr[:-5], str(cdr.evidence), cdr.shadow, cdr.ringing_us, now_us) for cdr in state.new_cdrs],
    )
    mark_hours(driver, [cdr.started_us for cdr in state.new_cdrs], now_us)
    rows = [(cdr.session_id, *charge) for cdr in state.new_cdrs for charge in cdr.charges]
    if rows:
        table = models.CallChargeRow.__table__
        driver.insert(table, ("session_id", *CallCharge._fields), rows)  # type: ignore[arg-type]


def _write_counts(driver: Driver, state: ChargingState) -> None:
    held = {
        (session_id, count.level, count.counter_id): count
        for sessions in (state.opened, state.changed, state.ended)
        for session_id, reservation in sessions.items()
        for count in reservation.counts
    }
    for cdr in state.new_cdrs:
        for count in cdr.counts:
            held[cdr.session_id, count.level, count.counter_id] = count
    if not held:
        return
    table = models_of_offers.ReservedCountRow.__table__
    new = [
        (*key, count.reserved, count.used) for key, count in held.items() if key not in state.written_counts
    ]
    old = [(count.reserved, count.used, *key) for key, count in held.items() if key in state.written_counts]
    columns = ("session_id", "level", "counter_id")
    if new:
        driver.insert(table, (*columns, "reserved", "used"), new)  # type: ignore[arg-type]
    if old:
        driver.update(table, columns, ("reserved", "used"), old)  # type: ignore[arg-type]


def write_struck(driver: Driver, state: ChargingState, now_us: int) -> list[NewAlert]:
    """Write what limits that were hit cause; alerts that are new, to be announced after the commit."""
    hits = [struck.hit for struck in state.struck]
    write_held_countries(driver, [hit.held_country for hit in hits if hit.held_country], now_us)
    suspended = {hit.suspends_endpoint_id for hit in hits if hit.suspends_endpoint_id}
    suspend_endpoints(driver, suspended)
    for endpoints in state.endpoints.values():
        endpoints[:] = [x._replace(status=SUSPENDED) if x.id in suspended else x for x in endpoints]
    names = _Names(driver, state)
    return write_alerts(driver, [names.alert(struck) for struck in state.struck])


class _Names:
    """What accounts and endpoints that limits concern are called."""

    def __init__(self, driver: Driver, state: ChargingState) -> None:
        hits = [struck.hit for struck in state.struck]
        ids = {struck.account_id for struck in state.struck} | {hit.limit.account_id for hit in hits}
        endpoint_ids = {hit.suspends_endpoint_id for hit in hits if hit.suspends_endpoint_id}
        endpoint_ids |= {hit.limit.endpoint_id for hit in hits if hit.limit.endpoint_id}
        self._codes: dict[int, str] = dict(driver.select(_CODES, sorted(ids)))
        self._endpoints = {
            id: " ".join(filter(None, words))
            for id, *words in (driver.select(_ENDPOINTS, sorted(endpoint_ids)) if endpoint_ids else ())
        }

    def alert(self, struck: LimitStruck) -> NewAlert:
        """Whose limit was hit by whose call. An endpoint or a country is a subject of its own, so that a
        second one is told although the first was within the hour."""
        hit, caller_id, at_us = struck
        owner_id = hit.limit.account_id
        words = [f"account {self._codes.get(owner_id, owner_id)}"]
        if hit.limit.endpoint_id in self._endpoints:
            words.append(self._endpoints[hit.limit.endpoint_id])
        if caller_id != owner_id:
            words.append(f"call of account {self._codes.get(caller_id, caller_id)}")
        if hit.held_country is not None:
            words.append(f"country {hit.held_country[1]}")
        detail = hit.detail
        if hit.suspends_endpoint_id is not None:
            suspended = self._endpoints.get(hit.suspends_endpoint_id, "the endpoint")
            words.append(f"{suspended} suspended")
            detail += f"; {suspended} was suspended"
        return NewAlert(at_us, hit.reason, owner_id, ", ".join(words), detail)
