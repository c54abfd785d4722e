"""Promises about calls, charges, counters and corrections, as searches for rows that break them."""

from pbxbill.charging.ledger_promises import Rule, Search

_RECORDS = Rule(
    "every ended call has one record, every record its call",
    "reservations",
    (
        Search(
            "SELECT r.session_id, r.state FROM reservations r WHERE r.state IN ('settled', 'voided') "
            "AND NOT EXISTS (SELECT 1 FROM cdrs c WHERE c.session_id = r.session_id)",
            "call {0} is {1} and has no CDR",
        ),
        Search(
            "SELECT r.session_id, r.state FROM reservations r JOIN cdrs c ON c.session_id = r.session_id "
            "WHERE r.state IN ('reserved', 'answered') OR c.denial IS NOT NULL "
            "OR (r.state = 'settled') <> (c.answered_us IS NOT NULL)",
            "call {0} is {1}, which its CDR contradicts",
        ),
        Search(
            "SELECT r.session_id FROM reservations r JOIN cdrs c ON c.session_id = r.session_id "
            "WHERE c.account_id IS NULL OR c.account_id <> r.account_id OR c.granted_us <> r.granted_us "
            "OR c.started_us <> r.requested_us OR c.called <> r.called "
            "OR (r.state = 'settled' AND c.answered_us <> r.answered_us)",
            "the CDR of call {0} says otherwise than its reservation",
        ),
        Search(
            "SELECT c.session_id FROM cdrs c WHERE c.denial IS NULL "
            "AND NOT EXISTS (SELECT 1 FROM reservations r WHERE r.session_id = c.session_id) "
            "AND (c.granted_us <> 0 OR c.evidence = 'event' "
            "OR (c.answered_us IS NULL AND c.evidence <> 'import'))",
            "CDR {0} has no reservation and is no call that passed unauthorized",
        ),
        Search(
            "SELECT session_id, answered_us FROM reservations "
            "WHERE (state IN ('answered', 'settled')) <> (answered_us IS NOT NULL)",
            "the state of call {0} does not fit its answer at {1}",
        ),
    ),
)

_LEVELS = Rule(
    "every settled call was charged at all levels of its chain",
    "reservation_levels",
    (
        Search(
            "SELECT l.session_id, l.level FROM reservation_levels l "
            "JOIN reservations r ON r.session_id = l.session_id WHERE r.state = 'settled' "
            "AND NOT EXISTS (SELECT 1 FROM call_charges x WHERE x.session_id = l.session_id "
            "AND x.level = l.level AND x.line = l.line AND x.account_id = l.account_id "
            "AND x.wallet_id = l.wallet_id "
            "AND x.tariff_version_id = l.tariff_version_id AND x.rate_id = l.rate_id)",
            "level {1} of call {0} was reserved for and not charged",
        ),
        Search(
            "SELECT x.session_id, x.level FROM call_charges x "
            "JOIN reservations r ON r.session_id = x.session_id "
            "WHERE NOT EXISTS (SELECT 1 FROM reservation_levels l "
            "WHERE l.session_id = x.session_id AND l.level = x.level AND l.line = x.line)",
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
    "GROUP BY x.session_id, x.level, x.line, x.total, x.tax, e.idempotency_key, e.kind, e.reverses_id "
    "HAVING e.kind <> 'usage' OR e.reverses_id IS NOT NULL "
    "OR e.idempotency_key <> 'settle:' || x.session_id || ':' || x.level "
    "|| CASE WHEN x.line = 0 THEN '' ELSE ':' || x.line END "
    "OR SUM(CASE WHEN p.ledger_account_id = w.ledger_account_id THEN p.amount ELSE 0 END) <> x.total "
    "OR SUM(CASE WHEN l.code = 'revenue:usage' THEN p.amount ELSE 0 END) <> x.tax - x.total "
    "OR SUM(CASE WHEN l.code = 'tax:payable' THEN p.amount ELSE 0 END) <> -x.tax "
    "OR SUM(CASE WHEN l.issuer_id <> own.issuer_id THEN 1 ELSE 0 END) <> 0"
)

_CHARGES = Rule(
    "every charge equals its journal entry",
    "call_charges",
    (
        Search(
            _POSTED,
            "level {1} of call {0} charged {2} with {3} tax; entry {4} took {5}, revenue {6}, tax {7}",
        ),
        Search(
            "SELECT session_id, level, total FROM call_charges WHERE (total = 0) <> (entry_id IS NULL) "
            "OR total < 0 OR uncollected < 0 OR tax < 0 OR tax > total",
            "level {1} of call {0} charged {2}, which does not fit its entry or its tax",
        ),
        Search(
            # As a join: for it both databases make an index of the moment, or a hash.
            "SELECT e.id, e.idempotency_key FROM journal_entries e "
            "LEFT JOIN call_charges x ON x.entry_id = e.id WHERE e.kind = 'usage' AND x.entry_id IS NULL",
            "entry {0} ({1}) took money for no charge",
        ),
        Search(
            "SELECT x.session_id, x.level FROM call_charges x JOIN wallets w ON w.id = x.wallet_id "
            "JOIN tariff_versions t ON t.id = x.tariff_version_id "
            "LEFT JOIN exchange_rates e ON e.id = x.exchange_id "
            "WHERE w.account_id <> x.account_id OR (x.exchange_id IS NULL AND w.unit <> t.unit) "
            "OR (x.exchange_id IS NOT NULL AND COALESCE((e.from_unit = t.unit AND e.to_unit = w.unit) "
            "OR (e.from_unit = w.unit AND e.to_unit = t.unit), false) = false)",
            "level {1} of call {0} was charged to another account's wallet, or in another unit",
        ),
    ),
)

_NOTHING = Rule(
    "denied and unanswered calls cost nothing",
    "cdrs WHERE answered_us IS NULL",
    (
        Search(
            "SELECT c.session_id, c.billed_us FROM cdrs c WHERE (c.answered_us IS NULL "
            "OR c.denial IS NOT NULL) AND (c.billed_us <> 0 "
            "OR EXISTS (SELECT 1 FROM call_charges x WHERE x.session_id = c.session_id))",
            "call {0} was never answered and is charged for {1} microseconds",
        ),
        Search(
            "SELECT x.session_id, x.level FROM call_charges x "
            "WHERE NOT EXISTS (SELECT 1 FROM cdrs c WHERE c.session_id = x.session_id)",
            "level {1} of call {0} is charged without a CDR",
        ),
    ),
)

_OPEN_COUNTS = (
    "LEFT JOIN (SELECT h.counter_id, SUM(h.used) AS used, SUM(CASE WHEN r.state IN ('reserved', 'answered') "
    "THEN h.reserved ELSE 0 END) AS reserved FROM reserved_counts h "
    "LEFT JOIN reservations r ON r.session_id = h.session_id GROUP BY h.counter_id) s "
    "ON s.counter_id = k.id"
)

_COUNTERS = Rule(
    "bundles, cycle steps and limits count what calls took",
    "counters",
    (
        Search(
            "SELECT k.id, k.kind, k.reserved, CAST(COALESCE(s.reserved, 0) AS BIGINT) FROM counters k "  # noqa: S608 names are ours
            f"{_OPEN_COUNTS} WHERE k.reserved <> COALESCE(s.reserved, 0)",
            "counter {0} ({1}) has {2} reserved, its open calls {3}",
        ),
        Search(
            "SELECT k.id, k.kind, k.used, CAST(COALESCE(s.used, 0) AS BIGINT) FROM counters k "  # noqa: S608 names are ours
            f"{_OPEN_COUNTS} WHERE k.kind IN ('bundle', 'spend') AND k.used <> COALESCE(s.used, 0)",
            "counter {0} ({1}) says {2} is used, its calls took {3}",
        ),
        Search(
            "SELECT k.account_id, k.ref_id / 128, k.window_from_us, CAST(SUM(k.used) AS BIGINT), "  # noqa: S608 names are ours
            f"CAST(SUM(COALESCE(s.used, 0)) AS BIGINT) FROM counters k {_OPEN_COUNTS} WHERE k.kind = 'steps' "
            "GROUP BY k.account_id, k.ref_id / 128, k.window_from_us HAVING SUM(k.used) <> "
            "SUM(COALESCE(s.used, 0))",
            "account {0} used {3} in the cycle of tariff {1} from {2}, its calls took {4}",
        ),
        Search(
            "SELECT id, allowed, used, reserved FROM counters WHERE kind = 'bundle' "
            "AND (used + reserved > allowed OR used < 0 OR reserved < 0)",
            "counter {0} allows {1}, used are {2} and reserved {3}",
        ),
        Search(
            "SELECT h.session_id, h.counter_id, h.reserved FROM reserved_counts h "
            "LEFT JOIN reservations r ON r.session_id = h.session_id WHERE h.reserved <> 0 "
            "AND (r.state IS NULL OR r.state NOT IN ('reserved', 'answered'))",
            "call {0} is over and still holds {2} of counter {1}",
        ),
    ),
)

_CORRECTED = Rule(
    "every correction equals its share of a journal entry",
    "call_corrections",
    (
        Search(
            "SELECT e.id, CAST(SUM(CASE WHEN l.code = 'wallet' THEN p.amount ELSE 0 END) AS BIGINT), "
            "s.total, CAST(SUM(CASE WHEN l.code = 'tax:payable' THEN -p.amount ELSE 0 END) AS BIGINT), s.tax "
            "FROM journal_entries e JOIN postings p ON p.entry_id = e.id "
            "JOIN ledger_accounts l ON l.id = p.ledger_account_id "
            "LEFT JOIN (SELECT entry_id, CAST(SUM(new_total - old_total) AS BIGINT) AS total, "
            "CAST(SUM(tax_delta) AS BIGINT) AS tax FROM call_corrections GROUP BY entry_id) s "
            "ON s.entry_id = e.id WHERE e.kind = 'correction' GROUP BY e.id, s.total, s.tax "
            "HAVING s.total IS NULL "
            "OR SUM(CASE WHEN l.code = 'wallet' THEN p.amount ELSE 0 END) <> s.total "
            "OR SUM(CASE WHEN l.code = 'tax:payable' THEN -p.amount ELSE 0 END) <> s.tax",
            "entry {0} took {1} with {3} tax, the corrections that name it {2} with {4}",
        ),
        Search(
            "SELECT y.run_id, y.session_id, y.level FROM call_corrections y "
            "LEFT JOIN journal_entries e ON e.id = y.entry_id LEFT JOIN wallets w ON w.id = y.wallet_id "
            "WHERE (y.entry_id IS NULL AND (y.new_total <> y.old_total OR y.tax_delta <> 0)) "
            "OR (y.entry_id IS NOT NULL AND (e.id IS NULL OR e.kind <> 'correction' OR e.unit <> w.unit)) "
            "OR w.account_id <> y.account_id OR y.new_total < 0",
            "the correction of level {2} of call {1} in run {0} does not fit its entry or its wallet",
        ),
        Search(
            "SELECT y.run_id, y.session_id, y.level FROM call_corrections y WHERE NOT EXISTS (SELECT 1 FROM "
            "call_charges x WHERE x.session_id = y.session_id AND x.level = y.level AND x.line = y.line "
            "AND x.wallet_id = y.wallet_id AND x.account_id = y.account_id)",
            "run {0} corrects level {2} of call {1}, which was not charged so",
        ),
    ),
)

_COSTS = Rule(
    "every carrier cost belongs to an answered call",
    "call_costs",
    (
        Search(
            "SELECT k.session_id, k.cost FROM call_costs k LEFT JOIN cdrs c ON c.session_id = k.session_id "
            "WHERE c.answered_us IS NULL OR k.cost < 0 OR (k.rate_id IS NULL AND k.cost <> 0)",
            "the cost {1} of call {0} belongs to no answered call, or to no rate",
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
    ("call_charges", "exchange_id", "exchange_rates", "id"),
    ("reservation_levels", "exchange_id", "exchange_rates", "id"),
    ("reserved_counts", "counter_id", "counters", "id"),
    ("call_corrections", "session_id", "cdrs", "session_id"),
    ("call_corrections", "rate_id", "rates", "id"),
    ("call_corrections", "tariff_version_id", "tariff_versions", "id"),
    ("call_corrections", "run_id", "rerating_runs", "id"),
    ("call_costs", "carrier_id", "carriers", "id"),
    ("call_costs", "rate_id", "rates", "id"),
    ("call_costs", "tariff_version_id", "tariff_versions", "id"),
)
"""Columns without a foreign key, and what they name."""

_EXISTENCE = Rule(
    "what the call tables name exists",
    "reservation_levels",
    tuple(
        Search(
            f"SELECT DISTINCT t.{column} FROM {table} t WHERE t.{column} IS NOT NULL "  # noqa: S608 names are ours
            f"AND NOT EXISTS (SELECT 1 FROM {target} o WHERE o.{key} = t.{column})",
            f"{table} names {column} {{0}}, which is not in {target}",
        )
        for table, column, target, key in _REFERENCES
    ),
)


CALL_RULES = (_RECORDS, _LEVELS, _CHARGES, _NOTHING, _COUNTERS, _CORRECTED, _COSTS, _EXISTENCE)
