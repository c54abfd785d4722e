"""verify(): proves the promises on the whole database, at one moment of a live system, in bounded memory.

Most invariants are searches for rows that break them, run by the database. Prices and times are
reckoned again in rerating.py. A problem is a sentence that names the row.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pbxbill.charging.rerating import Problems, check_durations, check_prices, check_reserved
from pbxbill.clock import SECOND_US, Clock
from pbxbill.store.driver import Driver

LONGEST_RINGING_S = 3_600
GRACE_S = 86_400
"""How long after its last possible moment a reservation may stay open before it counts as forgotten."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """One promise, how many rows it was checked on, and what breaks it."""

    name: str
    checked: int
    problem_count: int
    problems: tuple[str, ...]
    """The first of them."""

    @property
    def holds(self) -> bool:
        """Whether nothing breaks it."""
        return not self.problem_count


@dataclass(frozen=True, slots=True)
class _Search:
    """A statement that finds rows which break an invariant, and the sentence that its columns fill."""

    statement: str
    sentence: str


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    counted: str
    """What COUNT(*) runs over."""
    searches: tuple[_Search, ...]


_BALANCE = _Rule(
    "every journal entry balances",
    "journal_entries",
    (
        _Search(
            "SELECT entry_id, CAST(SUM(amount) AS BIGINT) FROM postings GROUP BY entry_id "
            "HAVING SUM(amount) <> 0",
            "entry {0} is off by {1}",
        ),
        _Search(
            "SELECT e.id FROM journal_entries e "
            "WHERE NOT EXISTS (SELECT 1 FROM postings p WHERE p.entry_id = e.id)",
            "entry {0} has no postings",
        ),
    ),
)

_UNITS = _Rule(
    "every posting is in its entry's unit",
    "postings",
    (
        _Search(
            "SELECT p.entry_id, p.line, l.unit, e.unit FROM postings p "
            "JOIN journal_entries e ON e.id = p.entry_id "
            "JOIN ledger_accounts l ON l.id = p.ledger_account_id WHERE l.unit <> e.unit",
            "line {1} of entry {0} posts to an account in {2}, the entry is in {3}",
        ),
    ),
)

_WALLETS = _Rule(
    "every wallet equals its postings",
    "wallets",
    (
        _Search(
            "SELECT w.id, w.posted, CAST(COALESCE(s.total, 0) AS BIGINT) FROM wallets w LEFT JOIN "
            "(SELECT ledger_account_id, -SUM(amount) AS total FROM postings GROUP BY ledger_account_id) s "
            "ON s.ledger_account_id = w.ledger_account_id WHERE w.posted <> COALESCE(s.total, 0)",
            "wallet {0} says {1}, its postings {2}",
        ),
        _Search(
            "SELECT w.id, w.ledger_account_id FROM wallets w "
            "LEFT JOIN ledger_accounts l ON l.id = w.ledger_account_id "
            "LEFT JOIN accounts a ON a.id = w.account_id "
            "WHERE l.id IS NULL OR a.id IS NULL OR l.code <> 'wallet' OR l.holder_id <> w.account_id "
            "OR l.unit <> w.unit OR l.issuer_id <> a.parent_id",
            "wallet {0} and its ledger account {1} do not belong together",
        ),
        _Search(
            "SELECT ledger_account_id, COUNT(*) FROM wallets GROUP BY ledger_account_id HAVING COUNT(*) > 1",
            "ledger account {0} serves {1} wallets",
        ),
    ),
)

_RESERVED = _Rule(
    "reserved funds are those of open calls",
    "wallets",
    (
        _Search(
            "SELECT w.id, w.reserved, CAST(COALESCE(s.total, 0) AS BIGINT) FROM wallets w LEFT JOIN "
            "(SELECT l.wallet_id, SUM(l.reserved) AS total FROM reservation_levels l "
            "JOIN reservations r ON r.session_id = l.session_id "
            "WHERE l.reserved <> 0 AND r.state IN ('reserved', 'answered') GROUP BY l.wallet_id) s "
            "ON s.wallet_id = w.id WHERE w.reserved <> COALESCE(s.total, 0)",
            "wallet {0} has {1} reserved, its open calls {2}",
        ),
        _Search(
            "SELECT l.session_id, l.level, l.reserved, r.state FROM reservation_levels l "
            "JOIN reservations r ON r.session_id = l.session_id "
            "WHERE l.reserved <> 0 AND r.state NOT IN ('reserved', 'answered')",
            "call {0} is {3} and still has {2} reserved at level {1}",
        ),
    ),
)

_OVERSPENT = _Rule(
    "no wallet is overspent",
    "wallets",
    (
        _Search(
            "SELECT id, posted, reserved, credit_limit, overdraft FROM wallets "
            "WHERE posted - reserved + credit_limit + overdraft < 0",
            "wallet {0}: posted {1}, reserved {2}, limit {3}, overdraft {4}",
        ),
        _Search(
            "SELECT id, overdraft, available FROM (SELECT id, overdraft, "
            "posted - reserved + credit_limit AS available FROM wallets) w "
            "WHERE overdraft <> CASE WHEN available < 0 THEN -available ELSE 0 END",
            "wallet {0} has an overdraft of {1} where {2} is available",
        ),
        _Search(
            "SELECT id, reserved, credit_limit FROM wallets WHERE reserved < 0 OR credit_limit < 0",
            "wallet {0}: reserved {1}, limit {2}",
        ),
    ),
)

_RECORDS = _Rule(
    "every ended call has one record, every record its call",
    "reservations",
    (
        _Search(
            "SELECT r.session_id, r.state FROM reservations r WHERE r.state IN ('settled', 'voided') "
            "AND NOT EXISTS (SELECT 1 FROM cdrs c WHERE c.session_id = r.session_id)",
            "call {0} is {1} and has no CDR",
        ),
        _Search(
            "SELECT r.session_id, r.state FROM reservations r JOIN cdrs c ON c.session_id = r.session_id "
            "WHERE r.state IN ('reserved', 'answered') OR c.denial IS NOT NULL "
            "OR (r.state = 'settled') <> (c.answered_us IS NOT NULL)",
            "call {0} is {1}, which its CDR contradicts",
        ),
        _Search(
            "SELECT r.session_id FROM reservations r JOIN cdrs c ON c.session_id = r.session_id "
            "WHERE c.account_id IS NULL OR c.account_id <> r.account_id OR c.granted_us <> r.granted_us "
            "OR c.started_us <> r.requested_us OR c.called <> r.called "
            "OR (r.state = 'settled' AND c.answered_us <> r.answered_us)",
            "the CDR of call {0} says otherwise than its reservation",
        ),
        _Search(
            "SELECT c.session_id FROM cdrs c WHERE c.denial IS NULL "
            "AND NOT EXISTS (SELECT 1 FROM reservations r WHERE r.session_id = c.session_id) "
            "AND (c.granted_us <> 0 OR c.evidence = 'event' "
            "OR (c.answered_us IS NULL AND c.evidence <> 'import'))",
            "CDR {0} has no reservation and is no call that passed unauthorized",
        ),
        _Search(
            "SELECT session_id, answered_us FROM reservations "
            "WHERE (state IN ('answered', 'settled')) <> (answered_us IS NOT NULL)",
            "the state of call {0} does not fit its answer at {1}",
        ),
    ),
)

_LEVELS = _Rule(
    "every settled call was charged at all levels of its chain",
    "reservation_levels",
    (
        _Search(
            "SELECT l.session_id, l.level FROM reservation_levels l "
            "JOIN reservations r ON r.session_id = l.session_id WHERE r.state = 'settled' "
            "AND NOT EXISTS (SELECT 1 FROM call_charges x WHERE x.session_id = l.session_id "
            "AND x.level = l.level AND x.account_id = l.account_id AND x.wallet_id = l.wallet_id "
            "AND x.tariff_version_id = l.tariff_version_id AND x.rate_id = l.rate_id)",
            "level {1} of call {0} was reserved for and not charged",
        ),
        _Search(
            "SELECT x.session_id, x.level FROM call_charges x "
            "JOIN reservations r ON r.session_id = x.session_id "
            "WHERE NOT EXISTS (SELECT 1 FROM reservation_levels l "
            "WHERE l.session_id = x.session_id AND l.level = x.level)",
            "level {1} of call {0} was charged without a reservation",
        ),
    ),
)

_POSTED = (
    "SELECT x.session_id, x.level, x.total, x.tax, e.idempotency_key, "
    "CAST(SUM(CASE WHEN p.ledger_account_id = w.ledger_account_id THEN p.amount ELSE 0 END) AS BIGINT), "
    "CAST(SUM(CASE WHEN l.code = 'revenue:usage' THEN p.amount ELSE 0 END) AS BIGINT), "
    "CAST(SUM(CASE WHEN l.code = 'tax:payable' THEN p.amount ELSE 0 END) AS BIGINT) "
    "FROM call_charges x JOIN wallets w ON w.id = x.wallet_id "
    "JOIN ledger_accounts own ON own.id = w.ledger_account_id "
    "JOIN journal_entries e ON e.id = x.entry_id JOIN postings p ON p.entry_id = e.id "
    "JOIN ledger_accounts l ON l.id = p.ledger_account_id "
    "GROUP BY x.session_id, x.level, x.total, x.tax, e.idempotency_key, e.kind, e.reverses_id "
    "HAVING e.kind <> 'usage' OR e.reverses_id IS NOT NULL "
    "OR e.idempotency_key <> 'settle:' || x.session_id || ':' || x.level "
    "OR SUM(CASE WHEN p.ledger_account_id = w.ledger_account_id THEN p.amount ELSE 0 END) <> x.total "
    "OR SUM(CASE WHEN l.code = 'revenue:usage' THEN p.amount ELSE 0 END) <> x.tax - x.total "
    "OR SUM(CASE WHEN l.code = 'tax:payable' THEN p.amount ELSE 0 END) <> -x.tax "
    "OR SUM(CASE WHEN l.issuer_id <> own.issuer_id THEN 1 ELSE 0 END) <> 0"
)

_CHARGES = _Rule(
    "every charge equals its journal entry",
    "call_charges",
    (
        _Search(
            _POSTED,
            "level {1} of call {0} charged {2} with {3} tax; entry {4} took {5}, revenue {6}, tax {7}",
        ),
        _Search(
            "SELECT session_id, level, total FROM call_charges WHERE (total = 0) <> (entry_id IS NULL) "
            "OR total < 0 OR uncollected < 0 OR tax < 0 OR tax > total",
            "level {1} of call {0} charged {2}, which does not fit its entry or its tax",
        ),
        _Search(
            "SELECT e.id, e.idempotency_key FROM journal_entries e WHERE e.kind = 'usage' "
            "AND NOT EXISTS (SELECT 1 FROM call_charges x WHERE x.entry_id = e.id)",
            "entry {0} ({1}) took money for no charge",
        ),
        _Search(
            "SELECT x.session_id, x.level FROM call_charges x JOIN wallets w ON w.id = x.wallet_id "
            "JOIN tariff_versions t ON t.id = x.tariff_version_id "
            "WHERE w.account_id <> x.account_id OR w.unit <> t.unit",
            "level {1} of call {0} was charged to another account's wallet, or in another unit",
        ),
    ),
)

_NOTHING = _Rule(
    "denied and unanswered calls cost nothing",
    "cdrs WHERE answered_us IS NULL",
    (
        _Search(
            "SELECT c.session_id, c.billed_us FROM cdrs c WHERE (c.answered_us IS NULL "
            "OR c.denial IS NOT NULL) AND (c.billed_us <> 0 "
            "OR EXISTS (SELECT 1 FROM call_charges x WHERE x.session_id = c.session_id))",
            "call {0} was never answered and is charged for {1} microseconds",
        ),
        _Search(
            "SELECT x.session_id, x.level FROM call_charges x "
            "WHERE NOT EXISTS (SELECT 1 FROM cdrs c WHERE c.session_id = x.session_id)",
            "level {1} of call {0} is charged without a CDR",
        ),
    ),
)

_REVERSALS = _Rule(
    "every reversal is equal and opposite",
    "journal_entries WHERE reverses_id IS NOT NULL",
    (
        _Search(
            "SELECT r.id, r.reverses_id FROM journal_entries r JOIN postings p "
            "ON p.entry_id = r.id OR p.entry_id = r.reverses_id WHERE r.reverses_id IS NOT NULL "
            "GROUP BY r.id, r.reverses_id, p.ledger_account_id HAVING SUM(p.amount) <> 0",
            "entry {0} is not the opposite of {1}",
        ),
        _Search(
            "SELECT r.id, r.reverses_id FROM journal_entries r "
            "JOIN journal_entries o ON o.id = r.reverses_id "
            "WHERE o.unit <> r.unit OR o.id = r.id OR o.reverses_id IS NOT NULL",
            "entry {0} cannot reverse {1}",
        ),
    ),
)

_REFERENCES = (
    ("postings", "entry_id", "journal_entries", "id"),
    ("postings", "ledger_account_id", "ledger_accounts", "id"),
    ("journal_entries", "reverses_id", "journal_entries", "id"),
    ("reservations", "account_id", "accounts", "id"),
    ("reservation_levels", "session_id", "reservations", "session_id"),
    ("reservation_levels", "account_id", "accounts", "id"),
    ("reservation_levels", "wallet_id", "wallets", "id"),
    ("reservation_levels", "issuer_id", "accounts", "id"),
    ("reservation_levels", "tariff_version_id", "tariff_versions", "id"),
    ("reservation_levels", "rate_id", "rates", "id"),
    ("reservation_steps", "session_id", "reservations", "session_id"),
    ("cdrs", "account_id", "accounts", "id"),
    ("call_charges", "account_id", "accounts", "id"),
    ("call_charges", "wallet_id", "wallets", "id"),
    ("call_charges", "tariff_version_id", "tariff_versions", "id"),
    ("call_charges", "rate_id", "rates", "id"),
    ("call_charges", "entry_id", "journal_entries", "id"),
)
"""Columns without a foreign key, and what they name."""

_EXISTENCE = _Rule(
    "what the call tables name exists",
    "reservation_levels",
    tuple(
        _Search(
            f"SELECT DISTINCT t.{column} FROM {table} t WHERE t.{column} IS NOT NULL "  # noqa: S608 names are ours
            f"AND NOT EXISTS (SELECT 1 FROM {target} o WHERE o.{key} = t.{column})",
            f"{table} names {column} {{0}}, which is not in {target}",
        )
        for table, column, target, key in _REFERENCES
    ),
)

_RULES = (
    _BALANCE,
    _UNITS,
    _WALLETS,
    _RESERVED,
    _OVERSPENT,
    _RECORDS,
    _LEVELS,
    _CHARGES,
    _NOTHING,
    _REVERSALS,
    _EXISTENCE,
)


def verify(driver: Driver, clock: Clock) -> list[Invariant]:
    """Check every promise; the database may be in use meanwhile and is seen as of one moment."""
    driver.begin_snapshot()
    try:
        return list(invariants(driver, clock.now_us()))
    finally:
        driver.rollback()


def invariants(driver: Driver, now_us: int) -> Iterator[Invariant]:
    """The same inside a transaction of the caller's."""
    for rule in (*_RULES, _forgotten(now_us)):
        yield _checked(driver, rule)
    yield _reckoned("charged time follows from the switch's times", check_durations(driver))
    yield _reckoned("every charge follows from its rate", check_prices(driver))
    yield _reckoned("open calls hold what their granted time costs", check_reserved(driver))


def _forgotten(now_us: int) -> _Rule:
    ringing_us = now_us - (LONGEST_RINGING_S + GRACE_S) * SECOND_US
    talking_us = now_us - GRACE_S * SECOND_US
    longest_us = f"CASE WHEN failure_policy = 'open' THEN max_call_s * {SECOND_US} ELSE granted_us END"
    return _Rule(
        "no open call is long past its end",
        "reservations WHERE state IN ('reserved', 'answered')",
        (
            _Search(
                "SELECT session_id, switch FROM reservations WHERE state IN ('reserved', 'answered') "  # noqa: S608
                f"AND ((answered_us IS NULL AND requested_us < {ringing_us}) "
                f"OR answered_us + {longest_us} < {talking_us})",
                "call {0} on {1} is over for more than a day and still open",
            ),
        ),
    )


def _checked(driver: Driver, rule: _Rule) -> Invariant:
    ((count,),) = driver.select(f"SELECT COUNT(*) FROM {rule.counted}")  # noqa: S608 names are ours
    problems = Problems()
    for search in rule.searches:
        for row in driver.stream(search.statement):
            problems.add(search.sentence.format(*row))
    return Invariant(rule.name, count, problems.count, tuple(problems.first))


def _reckoned(name: str, sentences: Iterable[str | None]) -> Invariant:
    problems = Problems()
    count = 0
    for sentence in sentences:
        count += 1
        if sentence is not None:
            problems.add(sentence)
    return Invariant(name, count, problems.count, tuple(problems.first))
