"""What billing promises of transfers, thresholds and automatic top-ups, as searches of verify."""

from pbxbill.charging.ledger_promises import Rule, Search
from pbxbill.rating.exchange import MAX_UNIT_SCALE

_STEP = (
    "CASE u.scale - u.digits "
    + " ".join(f"WHEN {more} THEN {10**more}" for more in range(MAX_UNIT_SCALE + 1))
    + " ELSE 1 END"
)
_EDGE = f"MAX(CASE WHEN t.below < {_STEP} THEN {_STEP} ELSE t.below END)"
_THRESHOLDS = "balance_thresholds t WHERE t.wallet_id = w.id"

TRANSFERS = Rule(
    "a transfer gives what it takes",
    "journal_entries WHERE kind = 'transfer'",
    (
        Search(
            "SELECT l.issuer_id, l.unit, CAST(SUM(p.amount) AS BIGINT) FROM ledger_accounts l "
            "JOIN postings p ON p.ledger_account_id = l.id WHERE l.code = 'transfer' "
            "GROUP BY l.issuer_id, l.unit HAVING SUM(p.amount) <> 0",
            "transfers between customers of account {0} in {1} are off by {2}",
        ),
    ),
)

LISTENED_FOR = Rule(
    "a wallet listens for its highest threshold that is not reached",
    "balance_thresholds",
    (
        Search(
            "SELECT x.id, COALESCE(CAST(x.tell_from AS VARCHAR), 'nothing'), "  # noqa: S608 names are ours
            f"COALESCE(CAST(x.highest AS VARCHAR), 'none') FROM (SELECT w.id, w.tell_from, (SELECT {_EDGE} "
            f"FROM {_THRESHOLDS}) AS highest FROM wallets w JOIN units u ON u.code = w.unit) x "
            "WHERE COALESCE(x.tell_from, -1) <> COALESCE(x.highest, -1)",
            "wallet {0} says that its highest threshold is {1}, it is {2}",
        ),
        Search(
            "SELECT x.id, COALESCE(CAST(x.tell_below AS VARCHAR), 'nothing'), "  # noqa: S608 names are ours
            "COALESCE(CAST(x.highest AS VARCHAR), 'none') FROM (SELECT w.id, w.tell_below, "
            f"(SELECT {_EDGE} FROM {_THRESHOLDS} AND t.reached_us IS NULL) AS highest "
            "FROM wallets w JOIN units u ON u.code = w.unit) x "
            "WHERE COALESCE(x.tell_below, -1) <> COALESCE(x.highest, -1) AND (x.tell_below IS NOT NULL "
            "OR NOT EXISTS (SELECT 1 FROM balance_marks m WHERE m.wallet_id = x.id))",
            "wallet {0} listens for {1}, its highest threshold not reached is {2}",
        ),
        Search(
            "SELECT id, posted - reserved + credit_limit, tell_below FROM wallets "
            "WHERE posted - reserved + credit_limit < tell_below",
            "wallet {0} can spend {1}, and nobody marked that it fell below {2}",
        ),
    ),
)

FILLED = Rule(
    "a wallet that fills itself makes one attempt at a time",
    "auto_top_ups",
    (
        Search(
            "SELECT account_id, unit, COUNT(*) FROM gateway_payments WHERE automatic "
            "AND state IN ('asking', 'open') GROUP BY account_id, unit HAVING COUNT(*) > 1",
            "account {0}: {2} automatic top-ups in {1} are under way",
        ),
        Search(
            "SELECT a.wallet_id, a.payment_id FROM auto_top_ups a JOIN wallets w ON w.id = a.wallet_id "
            "JOIN gateway_payments g ON g.id = a.payment_id "
            "WHERE g.account_id <> w.account_id OR g.unit <> w.unit OR NOT g.automatic",
            "wallet {0} waits for gateway payment {1}, which is none of its attempts",
        ),
        Search(
            "SELECT a.wallet_id FROM auto_top_ups a WHERE (a.state = 'on' OR a.payment_id IS NOT NULL) "
            "AND a.next_us IS NULL AND (a.payment_id IS NOT NULL OR NOT EXISTS (SELECT 1 "
            "FROM balance_thresholds t WHERE t.wallet_id = a.wallet_id AND t.purpose = 'auto_top_up'))",
            "wallet {0} is to be filled, and nobody will look at it",
        ),
    ),
)

BALANCE_RULES = (TRANSFERS, LISTENED_FOR, FILLED)
