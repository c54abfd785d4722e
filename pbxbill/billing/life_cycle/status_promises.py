"""What is promised of accounts' status and life-cycle, as searches of verify."""

from pbxbill.charging.ledger_promises import Rule, Search
from pbxbill.charging.status import WORSE

_RANK = "CASE {0} " + " ".join(f"WHEN '{status}' THEN {rank}" for status, rank in WORSE.items()) + " END"

STATUS = Rule(
    "an account's status is that of its worst suspension in force",
    "accounts WHERE parent_id IS NOT NULL",
    (
        Search(
            "SELECT code, status, worst FROM (SELECT a.code, a.status, "  # noqa: S608 words are ours
            f"COALESCE({_RANK.format('a.status')}, -1) AS rank, COALESCE((SELECT MAX("
            f"{_RANK.format('s.status')}) FROM suspensions s WHERE s.account_id = a.id "
            "AND s.lifted_us IS NULL), 0) AS worst FROM accounts a WHERE a.parent_id IS NOT NULL) x "
            "WHERE rank <> worst",
            "account {0} is {1}, while its worst suspension in force is of rank {2}",
        ),
        Search(
            "SELECT id, status FROM suspensions WHERE status NOT IN "
            "('no_outgoing', 'suspended', 'inactive', 'terminated')",
            "suspension {0} bars by {1}, which is no status",
        ),
        Search(
            "SELECT id FROM suspensions WHERE lifted_us < from_us",
            "suspension {0} was lifted before it began",
        ),
    ),
)

LIFE_CYCLES = Rule(
    "an account's life-cycle and what it bars say the same",
    "life_cycles",
    (
        Search(
            "SELECT a.code, l.stage, COALESCE(s.status, 'nothing') FROM life_cycles l "
            "JOIN accounts a ON a.id = l.account_id LEFT JOIN suspensions s ON s.account_id = l.account_id "
            "AND s.cause = 'life_cycle' AND s.lifted_us IS NULL "
            "WHERE COALESCE(s.status, 'active') <> l.stage",
            "the life-cycle of account {0} is at {1}, while it bars {2}",
        ),
    ),
)

STATUS_RULES = (STATUS, LIFE_CYCLES)
