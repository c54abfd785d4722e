"""What vouchers and points promise, as searches for rows that break it; `pbxbill verify` runs them."""

from pbxbill.charging.ledger_promises import Rule, Search

_VALUES = (
    "SELECT p.entry_id, l.issuer_id, l.unit, p.amount FROM ledger_accounts l "
    "JOIN postings p ON p.ledger_account_id = l.id JOIN journal_entries e ON e.id = p.entry_id "
    "WHERE l.code = 'vouchers' AND e.kind = 'voucher'"
)
"""What entries of vouchers put into wallets."""

VOUCHERS = Rule(
    "a voucher is redeemed by exactly one entry, of its value",
    "vouchers WHERE state = 'redeemed'",
    (
        Search(
            "SELECT v.id, v.serial, b.name FROM vouchers v JOIN voucher_batches b ON b.id = v.batch_id "  # noqa: S608
            "WHERE v.state = 'redeemed' AND (v.account_id IS NULL OR v.redeemed_us IS NULL OR NOT EXISTS "
            f"(SELECT 1 FROM ({_VALUES}) m WHERE m.entry_id = v.entry_id))",
            "voucher {1} of batch {2} (id {0}) is redeemed, and no entry put its value into a wallet",
        ),
        Search(
            "SELECT v.serial, b.name, b.value, b.unit, m.amount, m.unit FROM vouchers v "  # noqa: S608
            f"JOIN voucher_batches b ON b.id = v.batch_id JOIN ({_VALUES}) m ON m.entry_id = v.entry_id "
            "WHERE m.amount <> b.value OR m.unit <> b.unit OR m.issuer_id <> b.issuer_id",
            "voucher {0} of batch {1} is worth {2} {3}, its entry put {4} {5} into the wallet, "
            "or booked it with another issuer",
        ),
        Search(
            "SELECT v.serial, b.name FROM vouchers v JOIN voucher_batches b ON b.id = v.batch_id "
            "WHERE v.state = 'redeemed' AND NOT EXISTS (SELECT 1 FROM postings p JOIN ledger_accounts l "
            "ON l.id = p.ledger_account_id AND l.code = 'wallet' AND l.holder_id = v.account_id "
            "WHERE p.entry_id = v.entry_id AND p.amount = -b.value)",
            "the value of voucher {0} of batch {1} is not in the wallet of whom it says",
        ),
        Search(
            "SELECT v.serial, b.name, v.state FROM vouchers v JOIN voucher_batches b ON b.id = v.batch_id "
            "WHERE v.state <> 'redeemed' AND (v.entry_id IS NOT NULL OR v.account_id IS NOT NULL)",
            "voucher {0} of batch {1} is {2}, and an entry or account is said to have it",
        ),
        Search(
            f"SELECT m.entry_id, COUNT(v.id) FROM ({_VALUES}) m LEFT JOIN vouchers v "  # noqa: S608
            "ON v.entry_id = m.entry_id AND v.state = 'redeemed' GROUP BY m.entry_id HAVING COUNT(v.id) <> 1",
            "entry {0} redeems a voucher, and {1} vouchers say so",
        ),
    ),
)

BATCHES = Rule(
    "an active batch has all its vouchers",
    "voucher_batches",
    (
        Search(
            "SELECT b.name, b.count, COUNT(v.id) FROM voucher_batches b LEFT JOIN vouchers v "
            "ON v.batch_id = b.id GROUP BY b.id, b.name, b.count, b.state "
            "HAVING COUNT(v.id) > b.count OR (b.state = 'active' AND COUNT(v.id) <> b.count)",
            "batch {0} is of {1} vouchers and has {2}",
        ),
    ),
)

POINTS = Rule(
    "wallets of points hold what is left of the lots",
    "points_lots",
    (
        Search(
            "SELECT a.code, x.unit, CAST(SUM(x.held) AS BIGINT), CAST(SUM(x.lots) AS BIGINT) FROM ("
            "SELECT w.account_id, w.unit, w.posted AS held, 0 AS lots FROM wallets w "
            "WHERE w.unit IN (SELECT points_unit FROM points_rules) "
            'UNION ALL SELECT account_id, unit, 0, "left" FROM points_lots) x '
            "JOIN accounts a ON a.id = x.account_id "
            "GROUP BY a.code, x.unit HAVING SUM(x.held) <> SUM(x.lots)",
            "account {0} has {2} {1} in its wallet, and {3} are left of its lots",
        ),
        Search(
            'SELECT id, earned, "left", taken_back FROM points_lots '
            'WHERE earned <= 0 OR "left" < 0 OR "left" > earned OR taken_back < 0 OR taken_back > earned',
            "lot {0}: earned {1}, left {2}, taken back {3}",
        ),
        Search(
            # By hand nothing is earned by an amount.
            "SELECT x.id, x.earned, x.amount, r.per, r.points FROM points_lots x "
            "JOIN points_rules r ON r.id = x.rule_id WHERE r.kind = 'top_up' AND x.cause_id IS NOT NULL "
            "AND x.earned <> x.amount / r.per * r.points",
            "lot {0}: {1} points were earned by {2}, at {4} for each {3}",
        ),
        Search(
            "SELECT x.id, x.earned, CAST(COALESCE(-SUM(p.amount), 0) AS BIGINT) FROM points_lots x "
            "LEFT JOIN ledger_accounts l ON l.holder_id = x.account_id AND l.unit = x.unit "
            "AND l.code = 'wallet' LEFT JOIN postings p ON p.entry_id = x.entry_id "
            "AND p.ledger_account_id = l.id GROUP BY x.id, x.earned "
            "HAVING COALESCE(-SUM(p.amount), 0) <> x.earned",
            "lot {0}: {1} points were earned, its entry put {2} into the wallet",
        ),
    ),
)

REFERRALS = Rule(
    "a referral is rewarded once, after the top-up that earns it",
    "referrals",
    (
        Search(
            "SELECT account_id, referrer_id FROM referrals WHERE account_id = referrer_id "
            "OR (rewarded_us IS NOT NULL AND entry_id IS NULL)",
            "account {0} was brought by {1}, who is rewarded for nothing",
        ),
    ),
)

VOUCHER_RULES = (VOUCHERS, BATCHES, POINTS, REFERRALS)
