"""Accounts that pay through a scripted gateway, and shortcuts for what every test of payments does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from pbxbill.billing.payments.gateway_payments import GatewayDesk, NewGatewayPayment, PaymentStanding
from pbxbill.billing.payments.refunds import NewRefund, RefundDesk, RefundStanding
from pbxbill.billing.payments.webhook_handling import Answer, receive_webhook
from pbxbill.clock import SECOND_US
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import PaymentGatewayRow, SavedMethodRow
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.invoiced_accounts import Invoicing, operator_id
from tests.store.scripted_gateway import ScriptedGateway, Webhook


@dataclass
class Paying(Invoicing):
    """The operator has a gateway "cards", the reseller one of the same name with -reseller."""

    folder: Path = field(default_factory=Path)
    gateway: ScriptedGateway = field(init=False)
    desk: GatewayDesk = field(init=False)
    refunds: RefundDesk = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.gateway = ScriptedGateway(self.folder / "gateway.json")
        self.desk = self.another_desk()
        self.refunds = RefundDesk(self.desk)

    def another_desk(self) -> GatewayDesk:
        return GatewayDesk(
            self.database,
            self.books,
            self.clock,
            opened=lambda row: self.gateway,
            public_url="https://bill.example",
        )

    def set_up(self) -> None:
        """Gateways of the operator and of the reseller."""
        with self.transaction() as session:
            for name, issuer_id in (
                ("cards", operator_id(session)),
                ("cards-reseller", self.accounts.ids["reseller"]),
            ):
                session.add(
                    PaymentGatewayRow(
                        issuer_id=issuer_id,
                        name=name,
                        kind="stripe",
                        settings="{}",
                        units="EUR",
                        enabled=True,
                        created_us=0,
                    )
                )

    def account(self, session: Session, code: str) -> AccountRow:
        return session.get_one(AccountRow, self.accounts.ids[code])

    def start(self, amount: str = "10", code: str = "bob", **more: Any) -> PaymentStanding:
        new = NewGatewayPayment(eur(amount), "EUR", by="test", **more)
        return self.desk.start_payment(self.accounts.ids[code], new)

    def save_card(self, code: str = "bob") -> int:
        with self.transaction() as session:
            gateway = session.query(PaymentGatewayRow).filter_by(name="cards").one()
            row = SavedMethodRow(
                account_id=self.accounts.ids[code],
                gateway_id=gateway.id,
                customer_ref="cus_1",
                method_ref=f"pm_{code}",
                brand="visa",
                last4="4242",
                expires="2026-03",
                state="active",
                preferred=True,
                created_us=0,
            )
            session.add(row)
            session.flush()
            return row.id

    def charge_card(self, amount: str = "10", code: str = "bob", **more: Any) -> PaymentStanding:
        new = NewGatewayPayment(eur(amount), "EUR", by="test", **more)
        return self.desk.charge_method(self.accounts.ids[code], new)

    def tell(self, webhook: Webhook, gateway: str = "cards") -> Answer:
        """A webhook comes."""
        headers, body = webhook
        return receive_webhook(self.desk, gateway, headers, body)

    def told(self, key: str, **changed: Any) -> Webhook:
        return self.gateway.told_of_payment(key, self.clock.now_us(), **changed)

    def told_back(self, ref: str, **changed: Any) -> Webhook:
        return self.gateway.told_of_refund(ref, self.clock.now_us(), **changed)

    def paid(self, amount: str = "10", code: str = "bob", **more: Any) -> PaymentStanding:
        """A payment that was made and is booked."""
        started = self.start(amount, code, **more)
        self.gateway.pay(started.key)
        assert self.tell(self.told(started.key)).status == 200
        return self.standing(started.id)

    def standing(self, payment_id: int) -> PaymentStanding:
        from pbxbill.billing.payments.gateway_payments import standing
        from pbxbill.store.payment_models import GatewayPaymentRow

        with self.transaction() as session:
            return standing(session, session.get_one(GatewayPaymentRow, payment_id))

    def state(self, payment_id: int) -> str:
        return self.standing(payment_id).state

    def give_back(self, payment_id: int, amount: str | None = None, **more: Any) -> RefundStanding:
        new = NewRefund("wished", None if amount is None else eur(amount), by="test", **more)
        return self.refunds.refund(payment_id, new)

    def later(self, seconds: int) -> None:
        self.clock.advance(seconds * SECOND_US)

    def poll(self, seconds: int = 3600) -> None:
        """Let time pass, and the jobs ask."""
        self.later(seconds)
        self.desk.poll_due()
        self.refunds.poll_due()

    def wallet(self, code: str = "bob") -> int:
        return self.accounts.wallet(code)[0]

    def webhooks(self) -> list[tuple[Any, ...]]:
        return [
            tuple(row)
            for row in self.accounts.select(
                "SELECT outcome, times, detail FROM received_webhooks ORDER BY id"
            )
        ]

    def messages(self, kind: str) -> int:
        ((count,),) = self.accounts.select(f"SELECT COUNT(*) FROM outbox WHERE kind = '{kind}'")
        return int(count)

    def agree(self) -> None:
        """The operator's cash is what the gateway holds, nobody was charged twice."""
        assert self.balance(LedgerCode.CASH) == self.gateway.holds * 10_000


@contextmanager
def paying_accounts(accounts: BilledAccounts, folder: Path) -> Iterator[Paying]:
    """What pays through the scripted gateway."""
    made = Paying(accounts, folder=folder)
    made.set_up()
    yield made
    made.database.dispose()
