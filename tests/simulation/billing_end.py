"""What must agree once everybody has left and all is invoiced and earned: documents, calls and ledger.

Reckoned by statements of its own from rows that the product wrote for different purposes.
"""

from collections.abc import Iterator

from pbxbill.store.driver import Driver, connect
from tests.simulation.billing_site import BillingSite

_STANDING = "state IN ('issued', 'partly_paid', 'paid', 'written_off', 'cancelled')"
_CHARGED = (
    "(e.kind IN ('usage', 'volume', 'correction', 'charge') OR (e.kind = 'adjustment' AND p.amount > 0))"
)
_HALF_A_CENT = 5_000

_OF_NO_INVOICE = (
    "SELECT e.id, e.kind, a.code, p.amount FROM postings p JOIN journal_entries e ON e.id = p.entry_id "
    "JOIN ledger_accounts l ON l.id = p.ledger_account_id AND l.code = 'wallet' "
    "JOIN accounts a ON a.id = l.holder_id "
    "LEFT JOIN invoice_entries x ON x.entry_id = e.id "
    f"LEFT JOIN invoices i ON i.id = x.invoice_id AND i.{_STANDING} "
    f"WHERE ({_CHARGED} OR e.kind = 'correction-back') AND i.id IS NULL"
)
_CALLS = (
    "SELECT x.session_id, x.level, x.line, COUNT(i.id) FROM call_charges x "
    "LEFT JOIN invoice_entries y ON y.entry_id = x.entry_id "
    f"LEFT JOIN invoices i ON i.id = y.invoice_id AND i.{_STANDING} AND i.kind = 'invoice' "
    "AND i.account_id = x.account_id "
    "WHERE x.entry_id IS NOT NULL GROUP BY x.session_id, x.level, x.line HAVING COUNT(i.id) <> 1"
)
_CHARGES_ASKED = (
    "SELECT c.id, c.description, COUNT(l.id) FROM charges c LEFT JOIN invoice_lines l ON l.charge_id = c.id "
    f"AND l.invoice_id IN (SELECT id FROM invoices WHERE kind = 'invoice' AND {_STANDING}) "
    "WHERE c.collection = 'invoice' AND NOT EXISTS (SELECT 1 FROM invoice_lines y WHERE y.charge_id = c.id "
    "AND y.origin IN ('removed', 'corrected')) GROUP BY c.id, c.description HAVING COUNT(l.id) <> 1"
)
_SIGNED = "CASE WHEN kind = 'credit_note' THEN -{0} ELSE {0} END"
_DOCUMENTS = (
    "SELECT {by}, CAST(SUM("
    + _SIGNED.format("net")
    + ") AS BIGINT), CAST(SUM("
    + _SIGNED.format("tax")
    + ") AS BIGINT), "
    "CAST(SUM("
    + _SIGNED.format("total")
    + ") AS BIGINT), CAST(SUM(open) AS BIGINT), CAST(SUM(open_wallet) AS BIGINT), "
    "COUNT(*) + (SELECT COUNT(*) FROM invoice_lines l JOIN invoices v ON v.id = l.invoice_id "
    "WHERE v.{by} = invoices.{by}) FROM invoices "
    f"WHERE {_STANDING} AND kind IN ('invoice', 'debit_note', 'credit_note') GROUP BY {{by}}"
)
_BALANCES = (
    "SELECT l.code, CAST(SUM(p.amount) AS BIGINT) FROM postings p JOIN ledger_accounts l "
    "ON l.id = p.ledger_account_id WHERE l.issuer_id = {} GROUP BY l.code"
)
_GOODWILL = (
    "SELECT l.issuer_id, CAST(SUM(p.amount) AS BIGINT) FROM postings p JOIN ledger_accounts l "
    "ON l.id = p.ledger_account_id AND l.code = 'adjustment' JOIN journal_entries e ON e.id = p.entry_id "
    "WHERE e.kind = 'adjustment' AND p.amount > 0 GROUP BY l.issuer_id"
)
_TAX_ALONE = (
    "SELECT l.issuer_id, CAST(SUM(p.amount) AS BIGINT) FROM postings p JOIN ledger_accounts l "
    "ON l.id = p.ledger_account_id AND l.code = 'tax:payable' JOIN journal_entries e ON e.id = p.entry_id "
    "WHERE e.kind = 'correction' AND NOT EXISTS (SELECT 1 FROM postings q JOIN ledger_accounts w "
    "ON w.id = q.ledger_account_id AND w.code = 'wallet' WHERE q.entry_id = e.id) GROUP BY l.issuer_id"
)
"""A step of tax where a re-rated call costs the same in all: of no document."""
_WALLETS = "SELECT account_id, posted FROM wallets WHERE unit = 'EUR'"
_FUNDS = (
    "SELECT COALESCE((SELECT MAX(w.account_id) FROM postings p JOIN wallets w "
    "ON w.ledger_account_id = p.ledger_account_id WHERE p.entry_id = e.id), (SELECT MAX(i.account_id) "
    "FROM allocations a JOIN invoices i ON i.id = a.invoice_id WHERE a.entry_id = e.id)), x.amount "
    "FROM postings x JOIN journal_entries e ON e.id = x.entry_id JOIN ledger_accounts l "
    "ON l.id = x.ledger_account_id AND l.code IN ('cash', 'written-off', 'adjustment') "
    "WHERE l.code <> 'adjustment' OR (e.kind = 'adjustment' AND x.amount > 0)"
)
"""What came in, and was given up or away; adjustments below zero are on invoices, like charges."""


class BillingEnd:
    """Judges a site at its end."""

    def __init__(self, site: BillingSite) -> None:
        self._site = site

    def problems(self) -> list[str]:
        """What does not agree, as sentences."""
        driver = connect(self._site.url)
        try:
            driver.begin_snapshot()
            return [*self._entries(driver), *self._books(driver), *self._accounts(driver)]
        finally:
            driver.rollback()
            driver.close()

    def _entries(self, driver: Driver) -> Iterator[str]:
        back: dict[str, int] = {}
        for entry_id, kind, code, amount in driver.select(_OF_NO_INVOICE):
            if kind.startswith("correction"):
                back[code] = back.get(code, 0) + amount
            else:
                yield f"entry {entry_id} ({kind}) of {code} over {amount} is on no invoice"
        for code, amount in back.items():
            if amount:  # what notes had given back before, and re-rating gave once more, is taken back
                yield f"corrections of {code} over {amount} are on no note"
        for session_id, level, line, count in driver.select(_CALLS):
            yield f"call {session_id}, level {level}, line {line} is on {count} invoices"
        for id, description, count in driver.select(_CHARGES_ASKED):
            yield f"charge {id}, {description}, is on {count} invoices"

    def _books(self, driver: Driver) -> Iterator[str]:
        """Of each issuer: tax of documents is that of the books; their net, but for rounding, its revenue."""
        documents = {row[0]: row[1:] for row in driver.select(_DOCUMENTS.format(by="issuer_id"))}
        goodwill: dict[int, int] = dict(driver.select(_GOODWILL))
        tax_alone: dict[int, int] = dict(driver.select(_TAX_ALONE))
        for code in ("operator", "near", "far"):
            issuer_id = self._site.ids[code]
            net, tax, _, _, _, roundings = documents.get(issuer_id, (0,) * 6)
            books: dict[str, int] = dict(driver.select(_BALANCES.format(issuer_id)))
            if sum(books.values()):
                yield f"the books of {code} do not balance: {books}"
            if books.get("deferred:revenue", 0):
                yield f"{code} has earned everything but {books['deferred:revenue']}"
            payable = tax_alone.get(issuer_id, 0) - books.get("tax:payable", 0)
            if payable != tax:
                yield f"documents of {code} hold tax of {tax}, its books {payable}"
            earned = -sum(amount for name, amount in books.items() if name.startswith("revenue:"))
            earned += goodwill.get(issuer_id, 0) - books.get("adjustment", 0)
            if abs(net - earned + books.get("rounding", 0)) > roundings * _HALF_A_CENT:
                yield (
                    f"documents of {code} come to {net} without tax, its revenue to {earned}, "
                    f"rounding {books.get('rounding', 0)}"
                )

    def _accounts(self, driver: Driver) -> Iterator[str]:
        """Of each account: what came in, less what documents ask for, is in the wallet or open."""
        documents = {row[0]: row[1:] for row in driver.select(_DOCUMENTS.format(by="account_id"))}
        wallets: dict[int, int] = dict(driver.select(_WALLETS))
        funds: dict[int, int] = {}
        for account_id, amount in driver.select(_FUNDS):
            funds[account_id] = funds.get(account_id, 0) + amount
        for code, account_id in self._site.ids.items():
            if code == "operator":
                continue
            _, _, total, asked, of_wallet, roundings = documents.get(account_id, (0,) * 6)
            holds = wallets[account_id] + of_wallet - asked
            expected = funds.get(account_id, 0) - total
            if abs(holds - expected) > roundings * _HALF_A_CENT:
                yield f"{code} holds {holds}; what came in less what documents ask for is {expected}"
