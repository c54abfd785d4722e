"""Accounts with something to invoice, and shortcuts for what every test of invoices does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from pbxbill.billing.charge import REVENUE, ChargeKind
from pbxbill.billing.invoices.drafting import Drafted, Nothing, draft_period
from pbxbill.billing.invoices.issuing import AlreadyIssued, Issued, NotIssued, issue
from pbxbill.billing.period import Period
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import (
    Authorize,
    Direction,
    Moved,
    PostEntry,
    Settled,
    SettleOffline,
)
from pbxbill.clock import ManualClock
from pbxbill.ids import new_id
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.store.billing_models import ChargeRow, TaxRateRow
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.models import AccountRow
from tests.small_operator import eur
from tests.store.billed_accounts import GERMANY, BilledAccounts

DAY_US = 86_400_000_000
JANUARY_US = 1_767_225_600_000_000
"""2026-01-01 in UTC."""
FEBRUARY_US = JANUARY_US + 31 * DAY_US
MARCH_US = FEBRUARY_US + 28 * DAY_US
JANUARY = Period(JANUARY_US, FEBRUARY_US)
FEBRUARY = Period(FEBRUARY_US, MARCH_US)


def operator_id(session: Session) -> int:
    return session.query(AccountRow).filter_by(kind="operator").one().id


@dataclass
class Invoicing:
    """Bills the accounts of one database; its clock stands where a test puts it."""

    accounts: BilledAccounts
    clock: ManualClock = field(default_factory=lambda: ManualClock(JANUARY_US))
    database: Engine = field(init=False)
    books: Bookkeeper = field(init=False)

    def __post_init__(self) -> None:
        self.database = open_engine(self.accounts.url)
        self.books = Bookkeeper(lambda: connect(self.accounts.url), self.clock)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        with transaction(self.database) as session:
            yield session

    def used(self, request: Authorize, seconds: int, quantity: int | None = None) -> Settled:
        """What is over is charged whatever the funds are."""
        engine = ChargingEngine(lambda: connect(self.accounts.url), self.clock)
        engine.start()
        ended_us = request.at_us + seconds * 1_000_000
        command = SettleOffline(request, request.at_us, ended_us, 16, owed_in_full=True, quantity=quantity)
        try:
            settled = engine.execute(command)
        finally:
            engine.stop()
        assert isinstance(settled, Settled), settled
        return settled

    def call(self, code: str, seconds: int, day: int, number: str = GERMANY, did: str = "") -> Settled:
        """A call on a day of January (1) or later; to a DID, if one is named."""
        at_us = JANUARY_US + (day - 1) * DAY_US + DAY_US // 2
        session_id = new_id()
        direction = Direction.INBOUND if did else Direction.OUTBOUND
        request = Authorize(session_id, "s1", session_id, direction, number, "2001", at_us, code, did=did)
        return self.used(request, seconds)

    def post(self, code: str, amount: str, kind: str, day: int, other: LedgerCode) -> str:
        """Money into a wallet, or below zero out of it."""
        at_us = JANUARY_US + (day - 1) * DAY_US + DAY_US // 2
        moved = eur(amount)
        command = PostEntry(
            new_id(), self.accounts.ids[code], "EUR", moved, ((other, moved),), kind, at_us, owed=True
        )
        with self.transaction() as session:
            (outcome,) = self.books.post(session, [command])
        assert isinstance(outcome, Moved), outcome
        return outcome.entry_id

    def charge(
        self,
        code: str,
        net: str,
        *,
        day: int = 1,
        collection: str = "invoice",
        kind: str = "recurring",
        service: Period | None = None,
        tax: str = "0",
        unit: str = "EUR",
    ) -> int:
        """A charge of a day of January or later; of the wallet's collection it is taken."""
        at_us = JANUARY_US + (day - 1) * DAY_US
        deferred = eur(net) if collection == "wallet" and service is not None else 0
        row = ChargeRow(
            key=new_id(),
            account_id=self.accounts.ids[code],
            kind=kind,
            description=f"Line {net}",
            product_class="service",
            unit=unit,
            quantity=1_000_000,
            unit_price=eur(net),
            net=eur(net),
            at_us=at_us,
            from_us=None if service is None else service.from_us,
            to_us=None if service is None else service.to_us,
            collection=collection,
            tax=eur(tax),
            deferred=deferred,
            created_us=at_us,
        )
        income = LedgerCode.DEFERRED if deferred else REVENUE[ChargeKind(kind)]
        gross = eur(net) + eur(tax)
        parts = ((income, -eur(net)), *([(LedgerCode.TAX_PAYABLE, -eur(tax))] if eur(tax) else []))
        command = PostEntry(new_id(), row.account_id, unit, -gross, parts, "charge", at_us, owed=True)
        with self.transaction() as session:
            if collection == "wallet":
                (outcome,) = self.books.post(session, [command])
                assert isinstance(outcome, Moved), outcome
                row.entry_id = outcome.entry_id
            session.add(row)
            session.flush()
            return row.id

    def tax(self, percent: int, product_class: str = "", issuer: str = "", **more: bool) -> None:
        """A tax of the operator's, or of a reseller's."""
        with self.transaction() as session:
            issuer_id = self.accounts.ids[issuer] if issuer else operator_id(session)
            terms = {"compound": False, "inclusive": False} | more
            session.add(
                TaxRateRow(
                    issuer_id=issuer_id,
                    name="VAT",
                    ppm=percent * 10_000,
                    category="S",
                    product_class=product_class,
                    from_us=0,
                    **terms,
                )
            )

    def top_up(self, code: str, amount: str, day: int = 1) -> str:
        return self.post(code, amount, "top-up", day, LedgerCode.CASH)

    def draft(self, code: str, period: Period = JANUARY) -> Drafted | Nothing:
        self.clock.step(max(0, period.to_us - self.clock.now_us()))
        with self.transaction() as session:
            return draft_period(session, self.accounts.ids[code], "EUR", period, self.clock.now_us())

    def issue(self, invoice_id: int) -> Issued | AlreadyIssued | NotIssued:
        with self.transaction() as session:
            return issue(session, self.books, invoice_id, self.clock.now_us(), "test")

    def invoice(self, code: str, period: Period = JANUARY) -> Issued:
        """Draft and issue what must come to an invoice."""
        drafted = self.draft(code, period)
        assert isinstance(drafted, Drafted), drafted
        issued = self.issue(drafted.invoice_id)
        assert isinstance(issued, Issued), issued
        return issued

    def balance(self, code: LedgerCode, issuer: str = "") -> int:
        """Of an account of the operator's books, or of a reseller's; debit above zero."""
        issuer_id = (
            self.accounts.ids[issuer] if issuer else "(SELECT id FROM accounts WHERE parent_id IS NULL)"
        )
        ((amount,),) = self.accounts.select(
            "SELECT CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) FROM postings p JOIN ledger_accounts l "
            f"ON l.id = p.ledger_account_id WHERE l.code = '{code.value}' AND l.issuer_id = {issuer_id}"
        )
        return int(amount)

    def postings(self, invoice_id: int) -> dict[str, str]:
        """What issuing an invoice posted: by account, as euros."""
        rows = self.accounts.select(
            "SELECT l.code, p.amount FROM invoices i JOIN postings p ON p.entry_id = i.entry_id "
            f"JOIN ledger_accounts l ON l.id = p.ledger_account_id WHERE i.id = {invoice_id}"
        )
        return {code: f"{amount / 1_000_000:.6f}" for code, amount in rows if amount}

    def row(self, invoice_id: int) -> dict[str, int | str | None]:
        columns = ("state", "number", "net", "tax", "total", "from_wallet", "due", "open", "open_wallet")
        (values,) = self.accounts.select(f"SELECT {', '.join(columns)} FROM invoices WHERE id = {invoice_id}")
        return dict(zip(columns, values, strict=True))

    def lines(self, invoice_id: int) -> list[tuple[str, int]]:
        return [
            (description, net)
            for description, net in self.accounts.select(
                "SELECT description, net FROM invoice_lines "
                f"WHERE invoice_id = {invoice_id} AND origin <> 'removed' ORDER BY position"
            )
        ]
