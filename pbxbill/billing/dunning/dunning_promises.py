"""What dunning promises, as searches of verify: it ends with what is settled, and its steps are written."""

from pbxbill.charging.ledger_promises import Rule, Search

STEPS = Rule(
    "each level of dunning is reached once, in order, and its invoice says how far it is",
    "dunning_steps",
    (
        Search(
            "SELECT i.id, i.dunning_step, COUNT(t.id), COALESCE(MAX(t.level), 0) FROM invoices i "
            "LEFT JOIN dunning_steps t ON t.invoice_id = i.id "
            "WHERE i.dunning_step <> 0 OR t.id IS NOT NULL GROUP BY i.id, i.dunning_step "
            "HAVING COUNT(t.id) <> COALESCE(MAX(t.level), 0) OR i.dunning_step <> COALESCE(MAX(t.level), 0)",
            "invoice {0} says level {1}; there are {2} steps up to level {3}",
        ),
        Search(
            "SELECT t.invoice_id, t.level, t.open, i.due FROM dunning_steps t "
            "JOIN invoices i ON i.id = t.invoice_id WHERE t.open <= 0 OR t.open > i.due "
            "OR i.kind NOT IN ('invoice', 'debit_note')",
            "level {1} of invoice {0} dunned {2}, of which only {3} was ever due",
        ),
        Search(
            "SELECT t.invoice_id, t.level, c.id FROM dunning_steps t JOIN invoices i ON i.id = t.invoice_id "
            "JOIN charges c ON c.id = t.charge_id "
            "WHERE c.account_id <> i.account_id OR c.kind <> 'late_fee' OR c.unit <> i.unit",
            "the fee of level {1} of invoice {0} is charge {2}, which is no late fee of its account",
        ),
    ),
)

STOPS = Rule(
    "dunning ends with what it is about",
    "dunning_states",
    (
        Search(
            "SELECT s.invoice_id, i.state FROM dunning_states s JOIN invoices i ON i.id = s.invoice_id "
            "WHERE i.open = 0 OR i.account_id <> s.account_id",
            "invoice {0} is {1} and still dunned, or of another account",
        ),
        Search(
            "SELECT s.invoice_id, s.level, COALESCE(MAX(t.level), 0) FROM dunning_states s "
            "LEFT JOIN dunning_steps t ON t.invoice_id = s.invoice_id GROUP BY s.invoice_id, s.level "
            "HAVING s.level <> COALESCE(MAX(t.level), 0)",
            "invoice {0} stands at level {1}, its steps at {2}",
        ),
        Search(
            # A payment opens no account that was closed: somebody decides that.
            "SELECT t.invoice_id, t.level, t.action FROM dunning_steps t "
            "JOIN invoices i ON i.id = t.invoice_id WHERE i.open = 0 AND t.ended_us IS NULL "
            "AND t.action IN ('bar_outgoing', 'suspend', 'collection')",
            "invoice {0} is settled, and level {1} ({2}) is not lifted",
        ),
        Search(
            "SELECT x.id, x.account_id, x.cause FROM suspensions x WHERE x.lifted_us IS NULL "
            "AND x.cause LIKE 'dunning:%%' AND NOT EXISTS (SELECT 1 FROM dunning_steps t "
            "JOIN invoices i ON i.id = t.invoice_id WHERE i.account_id = x.account_id "
            "AND x.cause = 'dunning:' || t.invoice_id AND t.suspension_id = x.id AND t.ended_us IS NULL)",
            "suspension {0} of account {1} is for {2}, and no level in force made it",
        ),
    ),
)

PAY_PROMISES = Rule(
    "a promise to pay is open, or ended one way",
    "promises_to_pay",
    (
        Search(
            "SELECT id, state FROM promises_to_pay WHERE (state = 'open') <> (ended_us IS NULL) "
            "OR state NOT IN ('open', 'kept', 'broken', 'withdrawn') OR amount <= 0",
            "promise {0} is {1}, and its end or its amount says otherwise",
        ),
        Search(
            "SELECT p.id, p.account_id, i.account_id FROM promises_to_pay p "
            "JOIN invoices i ON i.id = p.invoice_id WHERE i.account_id <> p.account_id OR i.unit <> p.unit",
            "promise {0} of account {1} is about an invoice of account {2}, or in another unit",
        ),
        Search(
            "SELECT p.id, p.account_id FROM promises_to_pay p JOIN promises_to_pay q "
            "ON q.account_id = p.account_id AND q.unit = p.unit AND q.id < p.id AND q.state = 'open' "
            "WHERE p.state = 'open' "
            "AND (p.invoice_id IS NULL OR q.invoice_id IS NULL OR p.invoice_id = q.invoice_id)",
            "account {1} has promised the same twice: promise {0}",
        ),
    ),
)

DUNNING_RULES = (STEPS, STOPS, PAY_PROMISES)
