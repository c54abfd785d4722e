"""An office whose reseller takes payments through a scripted gateway: what tests of the portal begin with."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flask import Flask

from pbxbill.billing.invoices.drafting import Drafted, draft_period
from pbxbill.billing.invoices.issuing import Issued, issue
from pbxbill.billing.payments.webhook_handling import receive_webhook
from pbxbill.billing.period import Period
from pbxbill.clock import SECOND_US
from pbxbill.ids import new_id
from pbxbill.store.billing_models import ChargeRow
from pbxbill.store.models import WalletRow
from pbxbill.store.payment_models import PaymentGatewayRow, SavedMethodRow
from pbxbill.web.desks import Desks
from tests.small_operator import eur
from tests.store.scripted_gateway import ScriptedGateway
from tests.web.applications import opened_app
from tests.web.offices import URL, Browser, Office

DAY_US = 86_400 * SECOND_US


@dataclass
class Shop:
    """The office, and what it takes to be paid."""

    office: Office
    app: Flask
    desks: Desks
    gateway: ScriptedGateway

    def browser(self, login: str) -> Browser:
        made = Browser(self.app.test_client())
        assert made.log_in(login).status_code == 303
        return made

    def funds(self, code: str) -> int:
        account_id = self.office.account_id(code)
        with self.office.reading() as session:
            return session.query(WalletRow).filter_by(account_id=account_id, unit="EUR").one().posted

    def save_card(self, code: str = "alice", last4: str = "4242") -> int:
        with self.office.writing() as session:
            gateway = session.query(PaymentGatewayRow).filter_by(name="cards").one()
            row = SavedMethodRow(
                account_id=self.office.account_id(code),
                gateway_id=gateway.id,
                customer_ref="cus_1",
                method_ref=f"pm_{last4}",
                brand="visa",
                last4=last4,
                expires="2031-03",
                state="active",
                preferred=last4 == "4242",
                created_us=0,
            )
            session.add(row)
            session.flush()
            return row.id

    def pays_there(self) -> None:
        """The payer pays what is open on the service's page, and it tells us."""
        (key,) = self.gateway.keys("open")
        self.gateway.pay(key)
        headers, body = self.gateway.told_of_payment(key, self.office.clock.now_us())
        with self.desks.desk() as desk:
            assert receive_webhook(desk, "cards", headers, body).status == 200

    def invoice(self, code: str = "alice", net: str = "10") -> int:
        """An issued invoice of one charge."""
        account_id, now_us = self.office.account_id(code), self.office.clock.now_us()
        period = Period(now_us - 20 * DAY_US, now_us - 10 * DAY_US)
        with self.desks.desk() as desk, desk.writing() as (session, books):
            row = ChargeRow(
                key=new_id(),
                account_id=account_id,
                kind="recurring",
                description="Line rental",
                product_class="service",
                unit="EUR",
                quantity=1_000_000,
                unit_price=eur(net),
                net=eur(net),
                at_us=period.from_us,
                collection="invoice",
                tax=0,
                deferred=0,
                created_us=period.from_us,
            )
            session.add(row)
            session.flush()
            drafted = draft_period(session, account_id, "EUR", period, now_us)
            assert isinstance(drafted, Drafted), drafted
            issued = issue(session, books, drafted.invoice_id, now_us, "test")
            assert isinstance(issued, Issued), issued
            return drafted.invoice_id


@contextmanager
def opened_shop(office: Office, folder: Path) -> Iterator[Shop]:
    """The reseller has a gateway "cards"."""
    gateway = ScriptedGateway(folder / "gateway.json")
    reseller_id = office.account_id("reseller")
    with office.writing() as session:
        session.add(
            PaymentGatewayRow(
                issuer_id=reseller_id,
                name="cards",
                kind="stripe",
                settings="{}",
                units="EUR",
                enabled=True,
                created_us=0,
            )
        )
    desks = Desks(office.application, public_url=URL, opened=lambda row: gateway)
    with opened_app(desks) as app:
        yield Shop(office, app, desks, gateway)
        desks.close()
