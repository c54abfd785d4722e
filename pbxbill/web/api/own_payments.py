"""How the key's own account pays: from its balance, by a card that a gateway keeps, on a gateway's page."""

from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.payments.payment_gateways import gateways_for
from pbxbill.billing.payments.payments import spare_funds
from pbxbill.billing.payments.saved_methods import methods_of
from pbxbill.listing.own import OWN_GATEWAY_PAYMENTS
from pbxbill.store.accounts import unit_of
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import SavedMethodRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Amount, Id, Money, Sent, left_out, money
from pbxbill.web.api.gateway_payments import NewPaymentBody, StartedPayment, started_payment
from pbxbill.web.api.invoices import InvoicePath, seen_invoice
from pbxbill.web.api.listed import declare_item, declare_list
from pbxbill.web.api.objects import sent_amount, wrong
from pbxbill.web.api.payment_corrections import PutToInvoices, paid_from_wallet
from pbxbill.web.api.payments import TAG
from pbxbill.web.api.saved_methods import OwnWalletPath, wallet_of
from pbxbill.web.front import needs


class NewOwnPaymentBody(NewPaymentBody):
    """What is to be paid, on a gateway's page or by a card."""

    method_id: Id = left_out("A saved card, which is charged at once: without gateway and save_method.")


class FromBalance(Sent):
    """What of an invoice is paid."""

    amount: Amount = left_out("In the invoice's currency. Default: as much as is there and open.")


class PageOfGateway(BaseModel):
    """Where a payer can go."""

    gateway: str = Field(description="Its name, to be sent with a payment.")
    kind: str = Field(description="The service: stripe, say.")


class WaysToPay(BaseModel):
    """How a payment in one currency can be made."""

    spare: Money = Field(description="What the balance has for invoices.")
    gateways: list[PageOfGateway] = Field(description="The first is taken where none is named.")
    method_ids: list[int] = Field(description="Saved cards that can be charged, the preferred one first.")


def own_payments(api: Api) -> None:
    """Payments of the key's own account."""
    front = api.front
    listing = OWN_GATEWAY_PAYMENTS
    types = declare_list(api, "/own/gateway-payments", listing, TAG, name="list_own_gateway_payments")
    declare_item(
        api,
        "/own/gateway-payments/<int:payment_id>",
        types,
        TAG,
        "get_own_gateway_payment",
        "One payment of the key's own account through a gateway: whether it is paid.",
    )

    def own(session: Session) -> AccountRow:
        return session.get_one(AccountRow, front.scope.account_id)

    @api.get("/own/wallets/<unit>/ways-to-pay", WaysToPay, TAG)
    @needs(Permission.OWN_PAY)
    def list_own_ways_to_pay(path: OwnWalletPath) -> WaysToPay:
        """How the key's own account can pay in a currency."""
        with front.reading() as session:
            account = own(session)
            wallet_of(session, account.id, path.unit)
            gateways = gateways_for(session, account, path.unit)
            usable = {x.id for x in gateways}
            spare = spare_funds(session, account.id, path.unit)
            return WaysToPay(
                spare=money(spare, unit_of(session, path.unit)),
                gateways=[PageOfGateway(gateway=x.name, kind=x.kind) for x in gateways],
                method_ids=[x.id for x in methods_of(session, account.id) if x.gateway_id in usable],
            )

    @api.post("/own/gateway-payments", StartedPayment, TAG)
    @needs(Permission.OWN_PAY)
    def start_own_payment(body: NewOwnPaymentBody) -> Answer:
        """Begin a payment of the key's own account on a gateway's page, or charge a card of it.

        What became of the charge says GET of the payment: its gateway may need a while.
        """
        sent: Any = body
        with front.reading() as session:
            account = own(session)
            card = None if sent.method_id is None else _card(session, account.id, sent)
        return started_payment(api, account, body, card)

    @api.post("/own/invoices/<int:invoice_id>/payment", PutToInvoices, TAG)
    @needs(Permission.OWN_PAY)
    def pay_own_invoice(path: InvoicePath, body: FromBalance) -> Answer:
        """Pay an invoice of the key's own account from its balance.

        409: nothing is open of it, or the balance has less to spare.
        """
        sent: Any = body
        with front.reading() as session:
            row = seen_invoice(session, front.scope, path.invoice_id)
            account = own(session)
            amount = None if sent.amount is None else sent_amount(sent.amount, unit_of(session, row.unit))
        return paid_from_wallet(api, account, row.unit, amount, [row.id])


def _card(session: Session, account_id: int, sent: Any) -> SavedMethodRow:
    if sent.gateway or sent.save_method:
        raise wrong("method_id", "goes without gateway and save_method")
    found = next((x for x in methods_of(session, account_id) if x.id == sent.method_id), None)
    if found is None:
        raise wrong("method_id", "the account has no such card")
    return found
