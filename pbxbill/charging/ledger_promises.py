"""Promises about the ledger, as searches for rows that break them; the database runs them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Search:
    """A statement that finds rows which break an invariant, and the sentence that its columns fill."""

    statement: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    counted: str
    """What COUNT(*) runs over."""
    searches: tuple[Search, ...]


_BALANCE = Rule(
    "every journal entry balances",
    "journal_entries",
    (
        Search(
            "SELECT entry_id, CAST(SUM(amount) AS BIGINT) FROM postings GROUP BY entry_id "
            "HAVING SUM(amount) <> 0",
            "entry {0} is off by {1}",
        ),
        Search(
            "SELECT e.id FROM journal_entries e "
            "WHERE NOT EXISTS (SELECT 1 FROM postings p WHERE p.entry_id = e.id)",
            "entry {0} has no postings",
        ),
    ),
)

_UNITS = Rule(
    "every posting is in its entry's unit",
    "postings",
    (
        Search(
            "SELECT p.entry_id, p.line, l.unit, e.unit FROM postings p "
            "JOIN journal_entries e ON e.id = p.entry_id "
            "JOIN ledger_accounts l ON l.id = p.ledger_account_id WHERE l.unit <> e.unit",
            "line {1} of entry {0} posts to an account in {2}, the entry is in {3}",
        ),
    ),
)

_WALLETS = Rule(
    "every wallet equals its postings",
    "wallets",
    (
        Search(
            "SELECT w.id, w.posted, CAST(COALESCE(s.total, 0) AS BIGINT) FROM wallets w LEFT JOIN "
            "(SELECT ledger_account_id, -SUM(amount) AS total FROM postings GROUP BY ledger_account_id) s "
            "ON s.ledger_account_id = w.ledger_account_id WHERE w.posted <> COALESCE(s.total, 0)",
            "wallet {0} says {1}, its postings {2}",
        ),
        Search(
            "SELECT w.id, w.ledger_account_id FROM wallets w "
            "LEFT JOIN ledger_accounts l ON l.id = w.ledger_account_id "
            "LEFT JOIN accounts a ON a.id = w.account_id "
            "WHERE l.id IS NULL OR a.id IS NULL OR l.code <> 'wallet' OR l.holder_id <> w.account_id "
            "OR l.unit <> w.unit OR l.issuer_id <> a.parent_id",
            "wallet {0} and its ledger account {1} do not belong together",
        ),
        Search(
            "SELECT ledger_account_id, COUNT(*) FROM wallets GROUP BY ledger_account_id HAVING COUNT(*) > 1",
            "ledger account {0} serves {1} wallets",
        ),
    ),
)

_RESERVED = Rule(
    "reserved funds are those of open calls",
    "wallets",
    (
        Search(
            "SELECT w.id, w.reserved, CAST(COALESCE(s.total, 0) AS BIGINT) FROM wallets w LEFT JOIN "
            "(SELECT l.wallet_id, SUM(l.reserved) AS total FROM reservation_levels l "
            "JOIN reservations r ON r.session_id = l.session_id "
            "WHERE l.reserved <> 0 AND r.state IN ('reserved', 'answered') GROUP BY l.wallet_id) s "
            "ON s.wallet_id = w.id WHERE w.reserved <> COALESCE(s.total, 0)",
            "wallet {0} has {1} reserved, its open calls {2}",
        ),
        Search(
            "SELECT l.session_id, l.level, l.reserved, r.state FROM reservation_levels l "
            "JOIN reservations r ON r.session_id = l.session_id "
            "WHERE l.reserved <> 0 AND r.state NOT IN ('reserved', 'answered')",
            "call {0} is {3} and still has {2} reserved at level {1}",
        ),
    ),
)

_OVERSPENT = Rule(
    "no wallet is overspent",
    "wallets",
    (
        Search(
            "SELECT id, posted, reserved, credit_limit, overdraft FROM wallets "
            "WHERE posted - reserved + credit_limit + overdraft < 0",
            "wallet {0}: posted {1}, reserved {2}, limit {3}, overdraft {4}",
        ),
        Search(
            "SELECT id, overdraft, available FROM (SELECT id, overdraft, "
            "posted - reserved + credit_limit AS available FROM wallets) w "
            "WHERE overdraft <> CASE WHEN available < 0 THEN -available ELSE 0 END",
            "wallet {0} has an overdraft of {1} where {2} is available",
        ),
        Search(
            "SELECT id, reserved, credit_limit FROM wallets WHERE reserved < 0 OR credit_limit < 0",
            "wallet {0}: reserved {1}, limit {2}",
        ),
    ),
)

_REVERSALS = Rule(
    "every reversal is equal and opposite",
    "journal_entries WHERE reverses_id IS NOT NULL",
    (
        Search(
            "SELECT r.id, r.reverses_id FROM journal_entries r JOIN postings p "
            "ON p.entry_id = r.id OR p.entry_id = r.reverses_id WHERE r.reverses_id IS NOT NULL "
            "GROUP BY r.id, r.reverses_id, p.ledger_account_id HAVING SUM(p.amount) <> 0",
            "entry {0} is not the opposite of {1}",
        ),
        Search(
            "SELECT r.id, r.reverses_id FROM journal_entries r "
            "JOIN journal_entries o ON o.id = r.reverses_id "
            "WHERE o.unit <> r.unit OR o.id = r.id OR o.reverses_id IS NOT NULL",
            "entry {0} cannot reverse {1}",
        ),
    ),
)


LEDGER_RULES = (_BALANCE, _UNITS, _WALLETS, _RESERVED, _OVERSPENT, _REVERSALS)
