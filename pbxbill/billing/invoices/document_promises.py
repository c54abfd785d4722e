"""What billing promises of documents' charges, entries, periods and texts, as searches of verify."""

from pbxbill.charging.ledger_promises import Rule, Search

_STANDS = "state IN ('issued', 'partly_paid', 'paid', 'written_off', 'cancelled')"

CHARGES_INVOICED = Rule(
    "a charge is on one invoice, with its amount, and it says on which",
    "charges WHERE invoice_id IS NOT NULL",
    (
        Search(
            "SELECT c.id, c.invoice_id FROM charges c WHERE c.invoice_id IS NOT NULL AND NOT EXISTS "
            "(SELECT 1 FROM invoice_lines l WHERE l.invoice_id = c.invoice_id AND l.charge_id = c.id)",
            "charge {0} is on no line of invoice {1}",
        ),
        Search(
            "SELECT l.id, l.invoice_id, c.id, COALESCE(CAST(c.invoice_id AS VARCHAR), 'none') "
            "FROM invoice_lines l JOIN invoices i ON i.id = l.invoice_id AND i.state <> 'discarded' "
            "JOIN charges c ON c.id = l.charge_id WHERE c.invoice_id IS NULL OR c.invoice_id <> l.invoice_id",
            "line {0} of invoice {1} is charge {2}, whose invoice is {3}",
        ),
        Search(
            "SELECT l.id, l.invoice_id, c.id FROM invoice_lines l JOIN invoices i ON i.id = l.invoice_id "
            "JOIN charges c ON c.id = l.charge_id WHERE i.state <> 'discarded' AND c.collection = 'void'",
            "line {0} of invoice {1} is charge {2}, which was withdrawn",
        ),
        Search(
            "SELECT l.id, l.invoice_id, l.net_exact, c.id, c.net FROM invoice_lines l "
            "JOIN charges c ON c.id = l.charge_id WHERE l.origin = 'reckoned' AND l.net_exact <> c.net",
            "line {0} of invoice {1} is over {2}, its charge {3} over {4}",
        ),
        Search(
            "SELECT l.charge_id, l.invoice_id, COUNT(*) FROM invoice_lines l WHERE l.charge_id IS NOT NULL "
            "AND l.origin <> 'removed' GROUP BY l.charge_id, l.invoice_id HAVING COUNT(*) > 1",
            "charge {0} is on {2} lines of invoice {1}",
        ),
        Search(
            "SELECT c.id, c.account_id, i.id, i.account_id FROM charges c "
            "JOIN invoices i ON i.id = c.invoice_id WHERE i.account_id <> c.account_id OR i.unit <> c.unit",
            "charge {0} of account {1} is on invoice {2} of account {3}, or in another unit",
        ),
    ),
)

OF_ONE_ACCOUNT = Rule(
    "an invoice holds entries of its own account, in its unit",
    "invoice_entries",
    (
        Search(
            "SELECT x.entry_id, x.invoice_id FROM invoice_entries x "
            "JOIN invoices i ON i.id = x.invoice_id LEFT JOIN wallets w ON w.account_id = i.account_id "
            "AND w.unit = i.unit WHERE NOT EXISTS (SELECT 1 FROM postings p WHERE p.entry_id = x.entry_id "
            "AND p.ledger_account_id = w.ledger_account_id)",
            "entry {0} is on invoice {1} and moved another wallet than its account's",
        ),
        Search(
            "SELECT x.entry_id, x.invoice_id, x.line_id FROM invoice_entries x LEFT JOIN invoice_lines l "
            "ON l.id = x.line_id AND l.invoice_id = x.invoice_id WHERE l.id IS NULL",
            "entry {0} is on line {2}, which invoice {1} does not have",
        ),
    ),
)

PERIODS = Rule(
    "an account's time is invoiced once",
    "invoices WHERE period_key IS NOT NULL",
    (
        Search(
            "SELECT o.account_id, o.unit, o.before_id, o.id FROM (SELECT id, account_id, unit, from_us, "
            "MAX(to_us) OVER earlier AS before_us, MAX(id) OVER earlier AS before_id FROM invoices "
            "WHERE period_key IS NOT NULL WINDOW earlier AS (PARTITION BY account_id, unit "
            "ORDER BY from_us, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) o "
            "WHERE o.before_us > o.from_us",
            "account {0} in {1}: the period of invoice {3} began before an earlier one's was over",
        ),
    ),
)

ENTRY_OF_INVOICE = Rule(
    "an invoice's entry books what it asks for",
    f"invoices WHERE kind IN ('invoice', 'debit_note') AND {_STANDS}",
    (
        Search(
            "SELECT i.id, i.due, CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) FROM invoices i "  # noqa: S608
            "LEFT JOIN ledger_accounts l ON l.issuer_id = i.issuer_id AND l.unit = i.unit "
            "AND l.code = 'receivable' LEFT JOIN postings p ON p.entry_id = i.entry_id "
            "AND p.ledger_account_id = l.id "
            f"WHERE i.kind IN ('invoice', 'debit_note') AND i.{_STANDS} "
            "GROUP BY i.id, i.due HAVING COALESCE(SUM(p.amount), 0) <> i.due",
            "invoice {0}: due {1}, its entry asks for {2}",
        ),
        Search(
            # Parts of payments and notes that were for the wallet have come off since.
            "SELECT i.id, i.open_wallet, CAST(i.asked AS BIGINT), CAST(i.given AS BIGINT) FROM ("  # noqa: S608
            "SELECT v.id, v.open_wallet, -COALESCE((SELECT SUM(p.amount) FROM postings p "
            "JOIN ledger_accounts l ON l.id = p.ledger_account_id AND l.code = 'wallet:invoiced' "
            "WHERE p.entry_id = v.entry_id), 0) AS asked, COALESCE((SELECT SUM(a.wallet_amount) "
            "FROM allocations a WHERE a.invoice_id = v.id), 0) AS given FROM invoices v "
            f"WHERE v.kind IN ('invoice', 'debit_note') AND v.{_STANDS}) i "
            "WHERE i.open_wallet <> i.asked - i.given",
            "invoice {0}: {1} of wallets is open, its entry asked for {2}, and {3} was given",
        ),
    ),
)

_AMOUNTS = (
    "'\"net\":' || i.net || ',\"tax\":' || i.tax || ',\"total\":' || i.total || "
    "',\"from_wallet\":' || i.from_wallet || ',\"due\":' || i.due || ','"
)
"""As document_to_json writes them: in the order of Document's fields, which stand together for ever."""

TEXTS = Rule(
    "a document's text says its number and its amounts",
    "invoices WHERE snapshot IS NOT NULL",
    (
        Search(
            # Doubled for PostgreSQL's driver; to SQLite it is the same.
            "SELECT i.id, i.kind, i.number FROM invoices i WHERE i.snapshot IS NOT NULL "
            "AND i.snapshot NOT LIKE '%%\"number\":\"' || i.number || '\"%%'",
            "the text of {1} {0} has another number than {2}",
        ),
        Search(
            "SELECT i.id, i.kind, i.total, i.due FROM invoices i WHERE i.snapshot IS NOT NULL "  # noqa: S608
            f"AND i.snapshot NOT LIKE '%%' || {_AMOUNTS} || '%%'",
            "the text of {1} {0} has other amounts: its total is {2}, and {3} is due",
        ),
    ),
)

DOCUMENT_RULES = (CHARGES_INVOICED, OF_ONE_ACCOUNT, PERIODS, ENTRY_OF_INVOICE, TEXTS)
