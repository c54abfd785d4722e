"""What payments through gateways promise, as searches of verify: booked once, and what went back of them."""

from pbxbill.charging.ledger_promises import Rule, Search

_CASH = (
    "(SELECT CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) FROM postings p JOIN ledger_accounts l "
    "ON l.id = p.ledger_account_id AND l.code = 'cash' WHERE p.entry_id = {})"
)
_STANDING = "r.state NOT IN ('failed', 'won')"

BOOKED = Rule(
    "a payment through a gateway is booked once, with what the gateway received",
    "gateway_payments WHERE entry_id IS NOT NULL",
    (
        Search(
            "SELECT g.id, g.entry_id FROM gateway_payments g WHERE g.entry_id IS NOT NULL AND NOT EXISTS "
            "(SELECT 1 FROM journal_entries e WHERE e.id = g.entry_id AND e.unit = g.unit "
            "AND e.kind IN ('top-up', 'payment'))",
            "gateway payment {0} says that entry {1} booked it, which is no top-up or payment in its unit",
        ),
        Search(
            "SELECT g.id, g.received, g.entry_id, "  # noqa: S608 words are ours
            f"{_CASH.format('g.entry_id')} FROM gateway_payments g "
            f"WHERE g.entry_id IS NOT NULL AND g.received <> {_CASH.format('g.entry_id')}",
            "gateway payment {0} received {1}, its entry {2} booked {3}",
        ),
        Search(
            "SELECT id, state, COALESCE(entry_id, 'none'), received FROM gateway_payments "
            "WHERE (state = 'paid') <> (entry_id IS NOT NULL) OR (entry_id IS NULL AND received <> 0)",
            "gateway payment {0} is {1}, with entry {2} over {3}",
        ),
        Search(
            "SELECT entry_id, COUNT(*) FROM gateway_payments WHERE entry_id IS NOT NULL "
            "GROUP BY entry_id HAVING COUNT(*) > 1",
            "entry {0} books {1} gateway payments",
        ),
        Search(
            "SELECT e.id, g.id FROM gateway_payments g JOIN journal_entries e "
            "ON e.idempotency_key IN ('gateway:' || g.key, 'payment:gateway:' || g.key) "
            "WHERE g.entry_id IS NULL OR g.entry_id <> e.id",
            "entry {0} was booked for gateway payment {1}, which does not say so",
        ),
        Search(
            "SELECT g.id, g.entry_id, e.id FROM gateway_payments g JOIN journal_entries e "
            "ON e.reverses_id = g.entry_id WHERE NOT EXISTS "
            "(SELECT 1 FROM refunds r WHERE r.entry_id = e.id)",
            "entry {1} of gateway payment {0} was reversed by {2}, and the gateway has the money",
        ),
    ),
)

GIVEN_BACK = Rule(
    "what went back through a gateway is booked, and refunds are no more than was received",
    "refunds",
    (
        Search(
            "SELECT g.id, g.refunded, CAST(COALESCE(SUM(r.amount), 0) AS BIGINT) FROM gateway_payments g "  # noqa: S608 words are ours
            f"LEFT JOIN refunds r ON r.payment_id = g.id AND {_STANDING} "
            "WHERE g.entry_id IS NOT NULL GROUP BY g.id, g.refunded "
            "HAVING g.refunded <> COALESCE(SUM(r.amount), 0)",
            "gateway payment {0} says that {1} went back, its refunds say {2}",
        ),
        Search(
            "SELECT g.id, g.received, CAST(SUM(r.amount) AS BIGINT) FROM gateway_payments g "  # noqa: S608 words are ours
            f"JOIN refunds r ON r.payment_id = g.id AND r.kind = 'refund' AND {_STANDING} "
            "WHERE g.entry_id IS NOT NULL GROUP BY g.id, g.received HAVING SUM(r.amount) > g.received",
            "gateway payment {0} received {1}, and {2} was refunded",
        ),
        Search(
            "SELECT r.id, r.amount, r.entry_id, "  # noqa: S608 words are ours
            f"{_CASH.format('r.entry_id')} FROM refunds r WHERE r.entry_id IS NOT NULL "
            f"AND -r.amount <> {_CASH.format('r.entry_id')}",
            "refund {0} is over {1}, its entry {2} booked {3}",
        ),
        Search(
            "SELECT r.id, r.amount, r.back_entry_id, "  # noqa: S608 words are ours
            f"{_CASH.format('r.back_entry_id')} FROM refunds r WHERE r.back_entry_id IS NOT NULL "
            f"AND r.amount <> {_CASH.format('r.back_entry_id')}",
            "refund {0} over {1} was put back by entry {2} over {3}",
        ),
        Search(
            "SELECT r.id, r.state FROM refunds r JOIN gateway_payments g ON g.id = r.payment_id "  # noqa: S608 words are ours
            "WHERE g.entry_id IS NOT NULL AND ("
            f"({_STANDING} AND (r.entry_id IS NULL OR r.back_entry_id IS NOT NULL)) "
            f"OR (NOT ({_STANDING}) AND r.entry_id IS NOT NULL AND r.back_entry_id IS NULL))",
            "refund {0} is {1}, and the books do not say so",
        ),
    ),
)

PAYMENT_RULES = (BOOKED, GIVEN_BACK)
