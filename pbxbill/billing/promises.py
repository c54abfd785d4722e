"""What billing promises, as searches for rows that break it; `pbxbill verify` runs them after charging's own.

Documents add up; the books hold what documents and charges say; entries, lines and numbers are all there.
"""

from pbxbill.billing.codes.voucher_promises import VOUCHER_RULES
from pbxbill.billing.dunning.dunning_promises import DUNNING_RULES
from pbxbill.billing.invoices.document_promises import DOCUMENT_RULES
from pbxbill.billing.invoices.looking_back import LOOKED_AT
from pbxbill.billing.life_cycle.status_promises import STATUS_RULES
from pbxbill.billing.payments.balance_promises import BALANCE_RULES
from pbxbill.billing.payments.payment_promises import PAYMENT_RULES
from pbxbill.charging.ledger_promises import Rule, Search
from pbxbill.charging.verify import Invariant, verify
from pbxbill.clock import Clock
from pbxbill.store.driver import Driver

_ASKING = "kind IN ('invoice', 'debit_note')"
_STANDS = "state IN ('issued', 'partly_paid', 'paid', 'written_off', 'cancelled')"

_TOTALS = Rule(
    "every document is its lines and taxes",
    "invoices",
    (
        Search(
            "SELECT id, net, tax, total FROM invoices WHERE net + tax <> total",
            "document {0}: net {1} and tax {2} are not its total {3}",
        ),
        Search(
            "SELECT i.id, i.net, CAST(COALESCE(l.net, 0) AS BIGINT) FROM invoices i LEFT JOIN "
            "(SELECT invoice_id, SUM(net) AS net FROM invoice_lines WHERE origin <> 'removed' "
            "GROUP BY invoice_id) l ON l.invoice_id = i.id WHERE i.net <> COALESCE(l.net, 0)",
            "document {0}: net {1}, its lines {2}",
        ),
        Search(
            "SELECT i.id, i.tax, CAST(COALESCE(t.tax, 0) AS BIGINT) FROM invoices i LEFT JOIN "
            "(SELECT invoice_id, SUM(tax) AS tax FROM invoice_taxes GROUP BY invoice_id) t "
            "ON t.invoice_id = i.id WHERE i.tax <> COALESCE(t.tax, 0)",
            "document {0}: tax {1}, its taxes {2}",
        ),
    ),
)

_OPEN = Rule(
    "what is open of an invoice is what nobody has paid, credited or written off",
    f"invoices WHERE {_ASKING} AND {_STANDS}",
    (
        Search(
            f"SELECT id, due, total, from_wallet FROM invoices WHERE {_STANDS} "  # noqa: S608 words are ours
            "AND due <> total - from_wallet",
            "invoice {0}: due {1} is not its total {2} without {3} from the wallet",
        ),
        Search(
            "SELECT i.id, i.open, i.due, CAST(COALESCE(a.given, 0) AS BIGINT) FROM invoices i LEFT JOIN "  # noqa: S608
            "(SELECT invoice_id, SUM(amount) AS given FROM allocations GROUP BY invoice_id) a "
            f"ON a.invoice_id = i.id WHERE i.{_STANDS} AND i.{_ASKING} "
            "AND i.open <> i.due - COALESCE(a.given, 0)",
            "invoice {0}: open {1}, due {2}, allocated {3}",
        ),
        Search(
            "SELECT id, open, open_wallet, disputed FROM invoices WHERE open < 0 OR open_wallet < 0 "
            "OR open_wallet > open OR disputed < 0 OR disputed > open",
            "invoice {0}: open {1}, of it {2} of the wallet, {3} disputed",
        ),
        Search(
            f"SELECT id, state, open FROM invoices WHERE {_STANDS} AND {_ASKING} "  # noqa: S608
            "AND (open = 0) <> (state IN ('paid', 'written_off', 'cancelled'))",
            "invoice {0} is {1} and {2} is open",
        ),
        Search(
            f"SELECT id, kind, open FROM invoices WHERE NOT ({_STANDS} AND {_ASKING}) AND open <> 0",  # noqa: S608
            "{1} {0} asks for no money and {2} is open",
        ),
    ),
)

_NUMBERS = Rule(
    "numbers of documents have no gaps",
    "invoices WHERE number IS NOT NULL",
    (
        Search(
            "SELECT issuer_id, kind, CAST(SUM(given) AS BIGINT), CAST(SUM(found) AS BIGINT) FROM ("
            "SELECT issuer_id, kind, last - first + 1 AS given, 0 AS found FROM number_sequences UNION ALL "
            "SELECT issuer_id, kind, 0, 1 FROM invoices WHERE number IS NOT NULL) n "
            "GROUP BY issuer_id, kind HAVING SUM(given) <> SUM(found)",
            "issuer {0} gave {2} numbers to {1}s, and {3} have one",
        ),
        Search(
            f"SELECT id, state, number FROM invoices WHERE NOT ({_STANDS}) AND kind <> 'quote' "  # noqa: S608
            "AND number IS NOT NULL",
            "invoice {0} is {1} and has number {2}",
        ),
    ),
)

_ISSUED = Rule(
    "every issued document has its number, date and entry",
    f"invoices WHERE {_STANDS}",
    (
        Search(
            f"SELECT id, kind, state FROM invoices WHERE {_STANDS} "  # noqa: S608
            "AND kind IN ('invoice', 'debit_note', 'credit_note') "
            "AND (number IS NULL OR issued_us IS NULL OR entry_id IS NULL OR snapshot IS NULL)",
            "{1} {0} is {2} without number, date, entry or text",
        ),
        Search(
            "SELECT i.id, i.entry_id FROM invoices i LEFT JOIN journal_entries e ON e.id = i.entry_id "
            "WHERE i.entry_id IS NOT NULL AND e.id IS NULL",
            "invoice {0}: entry {1} is not in the journal",
        ),
        Search(
            "SELECT a.id, a.invoice_id, a.entry_id FROM allocations a "
            "LEFT JOIN journal_entries e ON e.id = a.entry_id WHERE e.id IS NULL",
            "allocation {0} of invoice {1}: entry {2} is not in the journal",
        ),
    ),
)

_CREDITED = Rule(
    "notes give back no more than there was",
    "invoice_lines",
    (
        Search(
            "SELECT id, invoice_id, credited, net FROM invoice_lines "
            "WHERE (net >= 0 AND (credited < 0 OR credited > net)) "
            "OR (net < 0 AND (credited > 0 OR credited < net))",
            "line {0} of invoice {1}: credited {2} of {3}",
        ),
        Search(
            "SELECT l.id, l.credited, CAST(COALESCE(n.net, 0) AS BIGINT) FROM invoice_lines l LEFT JOIN "  # noqa: S608
            "(SELECT x.corrects_id, SUM(x.net) AS net FROM invoice_lines x "
            "JOIN invoices i ON i.id = x.invoice_id "
            f"WHERE i.kind = 'credit_note' AND i.{_STANDS} GROUP BY x.corrects_id) n "
            "ON n.corrects_id = l.id WHERE l.credited <> COALESCE(n.net, 0)",
            "line {0}: credited {1}, by notes {2}",
        ),
        Search(
            "SELECT i.id, i.total, CAST(SUM(n.total) AS BIGINT) FROM invoices i JOIN invoices n "  # noqa: S608
            f"ON n.corrects_id = i.id AND n.kind = 'credit_note' AND n.{_STANDS} "
            # Where the invoice set a credit against what it asked for, re-rating may give back more of that.
            "WHERE NOT EXISTS (SELECT 1 FROM invoice_lines l WHERE l.invoice_id = i.id AND l.net < 0) "
            "GROUP BY i.id, i.total HAVING SUM(n.total) > i.total",
            "invoice {0}: total {1}, its notes {2}",
        ),
        Search(
            "SELECT i.id, CAST(SUM(l.credited) AS BIGINT), i.net FROM invoices i JOIN invoice_lines l "
            "ON l.invoice_id = i.id AND l.origin <> 'removed' WHERE i.state = 'cancelled' "
            "GROUP BY i.id, i.net HAVING SUM(CASE WHEN l.credited = l.net THEN 0 ELSE 1 END) > 0",
            "invoice {0} is cancelled, and {1} of its net {2} is credited",
        ),
    ),
)

_GIVEN = Rule(
    "notes give into wallets no more than was paid",
    f"invoices WHERE {_ASKING} AND {_STANDS}",
    (
        Search(
            "SELECT g.id, CAST(g.given AS BIGINT), CAST(g.paid AS BIGINT) FROM (SELECT i.id, "  # noqa: S608
            "COALESCE(n.total, 0) - COALESCE(a.credited, 0) AS given, "
            "i.from_wallet + COALESCE(a.paid, 0) AS paid FROM invoices i "
            "JOIN (SELECT corrects_id, SUM(total) AS total FROM invoices "
            f"WHERE kind = 'credit_note' AND {_STANDS} GROUP BY corrects_id) n ON n.corrects_id = i.id "
            "LEFT JOIN (SELECT invoice_id, "
            "SUM(CASE kind WHEN 'credit_note' THEN amount ELSE 0 END) AS credited, "
            "SUM(CASE kind WHEN 'payment' THEN amount ELSE 0 END) AS paid "
            "FROM allocations GROUP BY invoice_id) a ON a.invoice_id = i.id "
            # Where the invoice set a credit against what it asked for, re-rating may give back more of that.
            "WHERE NOT EXISTS (SELECT 1 FROM invoice_lines l WHERE l.invoice_id = i.id AND l.net < 0)) g "
            "WHERE g.given > 0 AND g.given > g.paid",
            "invoice {0}: its notes gave {1} into the wallet, and {2} was paid",
        ),
    ),
)

_ENTRIES = Rule(
    "what the wallet gave for an invoice is on it, entry by entry",
    "invoice_entries",
    (
        Search(
            "SELECT e.entry_id, e.invoice_id FROM invoice_entries e "
            "LEFT JOIN invoices i ON i.id = e.invoice_id WHERE i.id IS NULL OR i.state = 'discarded'",
            "entry {0} is on invoice {1}, which does not stand",
        ),
        Search(
            # What people removed of a draft is given back when it is issued, by an entry that is on it too.
            "SELECT n.id, n.kind, w.gross, CAST(COALESCE(e.given, 0) AS BIGINT) FROM "
            "(SELECT l.invoice_id, CAST(SUM(l.net_exact + l.tax_exact) AS BIGINT) AS gross "
            "FROM invoice_lines l JOIN invoices i ON i.id = l.invoice_id WHERE l.collection = 'wallet' "
            "AND (l.origin = 'reckoned' OR (l.origin = 'removed') = (i.state = 'draft')) "
            "GROUP BY l.invoice_id) w JOIN invoices n ON n.id = w.invoice_id LEFT JOIN "
            "(SELECT x.invoice_id, SUM(p.amount) AS given FROM invoice_entries x "
            "JOIN postings p ON p.entry_id = x.entry_id JOIN ledger_accounts l "
            "ON l.id = p.ledger_account_id AND l.code = 'wallet' GROUP BY x.invoice_id) e "
            "ON e.invoice_id = w.invoice_id WHERE n.state <> 'discarded' AND "
            "COALESCE(e.given, 0) <> CASE WHEN n.kind = 'credit_note' THEN -w.gross ELSE w.gross END",
            "{1} {0}: its lines from the wallet come to {2}, their entries to {3}",
        ),
    ),
)


def _booked(name: str, code: str, said: str, what: str) -> Rule:
    """An account of every issuer's books is what rows say: issuer, unit and balance in its sign."""
    return Rule(
        name,
        f"ledger_accounts WHERE code = '{code}'",
        (
            Search(
                "SELECT issuer_id, unit, CAST(SUM(booked) AS BIGINT), CAST(SUM(said) AS BIGINT) FROM ("  # noqa: S608
                "SELECT l.issuer_id, l.unit, p.amount AS booked, 0 AS said FROM ledger_accounts l "
                f"JOIN postings p ON p.ledger_account_id = l.id WHERE l.code = '{code}' "
                f"UNION ALL {said}) b GROUP BY issuer_id, unit HAVING SUM(booked) <> SUM(said)",
                f"{code} of issuer {{0}} in {{1}} is {{2}}, {what} {{3}}",
            ),
        ),
    )


_RECEIVABLE = _booked(
    "receivable is what is open of invoices",
    "receivable",
    f"SELECT issuer_id, unit, 0, open FROM invoices WHERE {_ASKING} AND {_STANDS}",  # noqa: S608
    "open of invoices are",
)
_INVOICED = _booked(
    "what invoices ask of wallets is booked as invoiced",
    "wallet:invoiced",
    f"SELECT issuer_id, unit, 0, -open_wallet FROM invoices WHERE {_ASKING} AND {_STANDS}",  # noqa: S608
    "open of wallets are",
)
_UNEARNED = _booked(
    "deferred revenue is what charges have not earned",
    "deferred:revenue",
    "SELECT a.parent_id, c.unit, 0, c.earned - c.deferred FROM charges c "
    "JOIN accounts a ON a.id = c.account_id WHERE c.deferred <> c.earned",
    "not earned of charges are",
)

_EARNED = Rule(
    "every charge in advance is earned once, by entries that say so",
    "earnings",
    (
        Search(
            "SELECT id, earned, deferred FROM charges "
            "WHERE (deferred >= 0 AND (earned < 0 OR earned > deferred)) "
            "OR (deferred < 0 AND (earned > 0 OR earned < deferred)) "
            "OR (deferred <> 0 AND entry_id IS NULL)",
            "charge {0}: earned {1} of {2} deferred",
        ),
        Search(
            "SELECT c.id, c.earned, CAST(COALESCE(e.amount, 0) AS BIGINT) FROM charges c LEFT JOIN "
            "(SELECT charge_id, SUM(amount) AS amount FROM earnings GROUP BY charge_id) e "
            "ON e.charge_id = c.id WHERE c.earned <> COALESCE(e.amount, 0)",
            "charge {0}: earned {1}, by entries {2}",
        ),
        Search(
            "SELECT entry_id, CAST(SUM(booked) AS BIGINT), CAST(SUM(said) AS BIGINT) FROM ("
            "SELECT p.entry_id, p.amount AS booked, 0 AS said FROM journal_entries e "
            "JOIN postings p ON p.entry_id = e.id JOIN ledger_accounts l ON l.id = p.ledger_account_id "
            "WHERE e.kind = 'earned' AND l.code = 'deferred:revenue' "
            "UNION ALL SELECT entry_id, 0, amount FROM earnings) b "
            "GROUP BY entry_id HAVING SUM(booked) <> SUM(said)",
            "entry {0} makes {1} revenue, its charges say {2}",
        ),
    ),
)

_MINOR = " ".join(f"WHEN {places} THEN {10**places}" for places in range(13))
_ROUNDED = Rule(
    "what a document books as rounding are coins of its lines and taxes",
    "postings p JOIN ledger_accounts l ON l.id = p.ledger_account_id AND l.code = 'rounding'",
    (
        Search(
            # A coin for each amount that is rounded: of lines, of taxes, and what the wallet has paid.
            "SELECT id, kind, amount, coins FROM (SELECT i.id, i.kind, p.amount, "  # noqa: S608 words are ours
            f"(CASE u.scale - u.digits {_MINOR} END) * (1 "
            "+ (SELECT COUNT(*) FROM invoice_lines x WHERE x.invoice_id = i.id) "
            "+ (SELECT COUNT(*) FROM invoice_taxes t WHERE t.invoice_id = i.id)) AS coins "
            "FROM ledger_accounts l JOIN postings p ON p.ledger_account_id = l.id "
            "JOIN invoices i ON i.entry_id = p.entry_id JOIN units u ON u.code = i.unit "
            "WHERE l.code = 'rounding') r WHERE ABS(amount) > coins",
            "{1} {0} books {2} as rounding, its lines and taxes allow {3}",
        ),
    ),
)

INVOICE_RULES = (
    _TOTALS,
    _OPEN,
    _NUMBERS,
    _ISSUED,
    _CREDITED,
    _GIVEN,
    _ENTRIES,
    LOOKED_AT,
    _RECEIVABLE,
    _INVOICED,
    _UNEARNED,
    _EARNED,
    _ROUNDED,
    *DOCUMENT_RULES,
)
"""Of invoices, notes and the books."""

BILLING_RULES = (
    *INVOICE_RULES,
    *DUNNING_RULES,
    *VOUCHER_RULES,
    *STATUS_RULES,
    *PAYMENT_RULES,
    *BALANCE_RULES,
)


def verify_all(driver: Driver, clock: Clock) -> list[Invariant]:
    """Prove every promise, of charging and of billing, as of one moment of a live database."""
    return verify(driver, clock, BILLING_RULES)
