"""What must hold of invoices and the ledger at any time, found by statements of its own.

Tests end with assert_books_in_order(url): it also asks for every promise that `pbxbill verify` proves.
"""

from collections.abc import Iterator

from pbxbill.charging.verify import verify
from pbxbill.clock import SystemClock
from pbxbill.store.driver import Driver, connect

_ASKING = "kind IN ('invoice', 'debit_note')"
_ISSUED = "state IN ('issued', 'partly_paid', 'paid', 'written_off', 'cancelled')"
_BALANCES = (
    "SELECT l.issuer_id, l.unit, CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) FROM ledger_accounts l "
    "LEFT JOIN postings p ON p.ledger_account_id = l.id WHERE l.code = '{code}' GROUP BY l.issuer_id, l.unit"
)
_OPEN = (
    "SELECT issuer_id, unit, CAST(SUM({column}) AS BIGINT) FROM invoices "
    f"WHERE {_ASKING} AND {_ISSUED} GROUP BY issuer_id, unit"
)
_UNEARNED = (
    "SELECT a.parent_id, c.unit, CAST(SUM(c.deferred - c.earned) AS BIGINT) FROM charges c "
    "JOIN accounts a ON a.id = c.account_id GROUP BY a.parent_id, c.unit"
)
_SEARCHES = {
    "{0}: net {1} and tax {2} are not its total {3}": (
        "SELECT id, net, tax, total FROM invoices WHERE net + tax <> total"
    ),
    "{0}: net {1}, its lines {2}": (
        "SELECT i.id, i.net, CAST(COALESCE(SUM(l.net), 0) AS BIGINT) FROM invoices i "
        "LEFT JOIN invoice_lines l ON l.invoice_id = i.id AND l.origin <> 'removed' GROUP BY i.id, i.net "
        "HAVING i.net <> COALESCE(SUM(l.net), 0)"
    ),
    "{0}: tax {1}, its taxes {2}": (
        "SELECT i.id, i.tax, CAST(COALESCE(SUM(t.tax), 0) AS BIGINT) FROM invoices i "
        "LEFT JOIN invoice_taxes t ON t.invoice_id = i.id "
        "GROUP BY i.id, i.tax HAVING i.tax <> COALESCE(SUM(t.tax), 0)"
    ),
    "{0}: due {1} is not total {2} without {3} from the wallet": (
        f"SELECT id, due, total, from_wallet FROM invoices WHERE {_ISSUED} AND due <> total - from_wallet"
    ),
    "{0}: open {1}, due {2}, allocated {3}": (
        "SELECT i.id, i.open, i.due, CAST(COALESCE(SUM(a.amount), 0) AS BIGINT) FROM invoices i "
        f"LEFT JOIN allocations a ON a.invoice_id = i.id WHERE i.{_ISSUED} AND i.{_ASKING} "
        "GROUP BY i.id, i.open, i.due HAVING i.open <> i.due - COALESCE(SUM(a.amount), 0)"
    ),
    "{0}: open {1}, of it {2} of the wallet, {3} disputed": (
        "SELECT id, open, open_wallet, disputed FROM invoices WHERE open < 0 OR open_wallet < 0 "
        "OR open_wallet > open OR disputed < 0 OR disputed > open"
    ),
    "{0} ({1}) is {2} and {3} is open": (
        f"SELECT id, kind, state, open FROM invoices WHERE {_ISSUED} AND {_ASKING} "
        "AND (open = 0) <> (state IN ('paid', 'written_off', 'cancelled'))"
    ),
    "{0} is {1} without number, date or entry": (
        f"SELECT id, state FROM invoices WHERE {_ISSUED} "
        "AND kind IN ('invoice', 'debit_note', 'credit_note') "
        "AND (number IS NULL OR issued_us IS NULL OR entry_id IS NULL)"
    ),
    "{0} is {1} and has number {2}": (
        f"SELECT id, state, number FROM invoices WHERE NOT ({_ISSUED}) AND kind <> 'quote' "
        "AND number IS NOT NULL"
    ),
    "{0}: entry {1} is not in the journal": (
        "SELECT i.id, i.entry_id FROM invoices i LEFT JOIN journal_entries e ON e.id = i.entry_id "
        "WHERE i.entry_id IS NOT NULL AND e.id IS NULL"
    ),
    "line {0} of {1}: credited {2} of {3}": (
        "SELECT id, invoice_id, credited, net FROM invoice_lines "
        "WHERE (net >= 0 AND (credited < 0 OR credited > net)) "
        "OR (net < 0 AND (credited > 0 OR credited < net))"
    ),
    "line {0}: credited {1}, by notes {2}": (
        "SELECT l.id, l.credited, CAST(COALESCE(SUM(n.net), 0) AS BIGINT) FROM invoice_lines l LEFT JOIN "
        "(SELECT x.corrects_id, x.net FROM invoice_lines x JOIN invoices i ON i.id = x.invoice_id "
        f"WHERE i.kind = 'credit_note' AND i.{_ISSUED}) n ON n.corrects_id = l.id "
        "GROUP BY l.id, l.credited HAVING l.credited <> COALESCE(SUM(n.net), 0)"
    ),
    "{0}: total {1}, its notes {2}": (
        "SELECT i.id, i.total, CAST(SUM(n.total) AS BIGINT) FROM invoices i JOIN invoices n "
        f"ON n.corrects_id = i.id AND n.kind = 'credit_note' AND n.{_ISSUED} "
        "GROUP BY i.id, i.total HAVING SUM(n.total) > i.total"
    ),
    "{0} is cancelled, and {1} of its net {2} is credited": (
        "SELECT i.id, CAST(SUM(l.credited) AS BIGINT), i.net FROM invoices i JOIN invoice_lines l "
        "ON l.invoice_id = i.id AND l.origin <> 'removed' WHERE i.state = 'cancelled' GROUP BY i.id, i.net "
        "HAVING SUM(CASE WHEN l.credited = l.net THEN 0 ELSE 1 END) > 0"
    ),
    "entry {0} is on {1}, which does not stand": (
        "SELECT e.entry_id, e.invoice_id FROM invoice_entries e LEFT JOIN invoices i ON i.id = e.invoice_id "
        "WHERE i.id IS NULL OR i.state = 'discarded'"
    ),
}
_ENTRIES = (
    "SELECT w.invoice_id, COALESCE(n.kind, ''), w.gross, CAST(COALESCE(e.given, 0) AS BIGINT) FROM "
    "(SELECT l.invoice_id, CAST(SUM(l.net_exact + l.tax_exact) AS BIGINT) AS gross FROM invoice_lines l "
    "JOIN invoices i ON i.id = l.invoice_id WHERE l.collection = 'wallet' AND (l.origin = 'reckoned' "
    "OR (l.origin = 'removed') = (i.state = 'draft')) GROUP BY l.invoice_id) w "
    "JOIN invoices n ON n.id = w.invoice_id LEFT JOIN "
    "(SELECT x.invoice_id, SUM(p.amount) AS given FROM invoice_entries x "
    "JOIN postings p ON p.entry_id = x.entry_id JOIN ledger_accounts l ON l.id = p.ledger_account_id "
    "AND l.code = 'wallet' GROUP BY x.invoice_id) e ON e.invoice_id = w.invoice_id "
    "WHERE n.state <> 'discarded'"
)
_NUMBERS = "SELECT issuer_id, kind, number FROM invoices WHERE number IS NOT NULL"
_SEQUENCES = (
    "SELECT issuer_id, kind, CAST(SUM(last) AS BIGINT) FROM number_sequences GROUP BY issuer_id, kind"
)


def assert_books_in_order(url: str) -> None:
    """Invoices, ledger and charging agree."""
    assert problems_of(url) == []


def problems_of(url: str) -> list[str]:
    """Everything that is not in order, as sentences."""
    driver = connect(url)
    try:
        found = [f"{x.name}: {problem}" for x in verify(driver, SystemClock()) for problem in x.problems]
        driver.begin_snapshot()
        return [*found, *_out_of_order(driver)]
    finally:
        driver.rollback()
        driver.close()


def _out_of_order(driver: Driver) -> Iterator[str]:
    for sentence, statement in _SEARCHES.items():
        for row in driver.select(statement):
            yield "invoice " + sentence.format(*row) if sentence.startswith("{0}") else sentence.format(*row)
    yield from _unlike(driver, "receivable", _OPEN.format(column="open"), 1)
    yield from _unlike(driver, "wallet:invoiced", _OPEN.format(column="open_wallet"), -1)
    yield from _unlike(driver, "deferred:revenue", _UNEARNED, -1)
    for invoice_id, kind, gross, given in driver.select(_ENTRIES):
        if given != (-gross if kind == "credit_note" else gross):
            yield f"{kind} {invoice_id}: its wallet lines come to {gross}, their entries to {given}"
    yield from _gaps(driver)


def _unlike(driver: Driver, code: str, statement: str, sign: int) -> Iterator[str]:
    """An account of the books whose balance is not what rows say, by issuer and unit."""
    books = {
        (issuer_id, unit): amount for issuer_id, unit, amount in driver.select(_BALANCES.format(code=code))
    }
    rows = {(issuer_id, unit): sign * amount for issuer_id, unit, amount in driver.select(statement)}
    for key in books.keys() | rows.keys():
        if books.get(key, 0) != rows.get(key, 0):
            yield f"{code} of issuer {key[0]} in {key[1]} is {books.get(key, 0)}, rows say {rows.get(key, 0)}"


def _gaps(driver: Driver) -> Iterator[str]:
    """Numbers that were given out and are on no document, or the other way."""
    counts: dict[tuple[int, str], int] = {}
    for issuer_id, kind, _ in driver.select(_NUMBERS):
        counts[issuer_id, kind] = counts.get((issuer_id, kind), 0) + 1
    given = {(issuer_id, kind): last for issuer_id, kind, last in driver.select(_SEQUENCES)}
    for key in counts.keys() | given.keys():
        if counts.get(key, 0) != given.get(key, 0):
            yield f"issuer {key[0]} gave {given.get(key, 0)} numbers to {counts.get(key, 0)} of {key[1]}"
