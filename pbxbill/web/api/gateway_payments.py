"""Payments through gateways: begun here and paid on the gateway's page; given back; held ones decided."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.payments.gateway_payments import NewGatewayPayment, ask_charge, ask_payment, pay_link
from pbxbill.billing.payments.held_payments import accept_held, drop_held
from pbxbill.billing.payments.payment_gateways import chosen_gateway
from pbxbill.billing.payments.refunds import NewRefund, RefundDesk, ask_refund
from pbxbill.billing.payments.saved_methods import active_method
from pbxbill.errors import ConfigurationError, InputRefused
from pbxbill.listing.gateway_payments import GATEWAY_PAYMENTS
from pbxbill.listing.gateways import GATEWAYS, REFUNDS
from pbxbill.store.accounts import unit_of
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import GatewayPaymentRow, PaymentGatewayRow, SavedMethodRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Line, Money, Sent, SentMoney, left_out, money
from pbxbill.web.api.listed import declare_list, listed_as
from pbxbill.web.api.objects import billed_account, conflicts, field, found, wrong
from pbxbill.web.api.payments import TAG, PaymentPath
from pbxbill.web.api.problems import Refused, said
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import needs

Reason = Annotated[Line, StringConstraints(min_length=1, max_length=200)]
UNREADABLE = "The gateway's secrets cannot be read on the server: whoever runs it has to look."


class NewPaymentBody(Sent):
    """What is to be paid on a gateway's page."""

    money: SentMoney
    purpose: Literal["top_up", "invoice"] = Field(
        default="top_up", description="invoice: for what was due first, or invoice_ids."
    )
    invoice_ids: Annotated[list[Id], Field(min_length=1, max_length=100)] = left_out()
    gateway: Annotated[Line, StringConstraints(min_length=1, max_length=64)] = left_out(
        "Its name. Default: the first that takes the currency."
    )
    save_method: bool = Field(default=False, description="The gateway keeps the card for later.")


class StartedPayment(BaseModel):
    """A payment that waits to be paid."""

    id: int
    state: str
    url: str = Field(
        description="Where the payer goes. Empty: a card is charged, or web.public_url is not set."
    )
    money: Money


class NewRefundBody(Sent):
    """What is given back."""

    money: SentMoney = left_out("Default: all that is left of it.")
    reopen: bool = Field(default=False, description="Invoices that it paid are open again.")
    reason: Reason


class RefundAsked(BaseModel):
    """A refund, as it stands."""

    id: int
    payment_id: int
    state: str = Field(description="asked, done or failed.")
    money: Money
    error: str


class PaymentAcceptance(Sent):
    """How a held payment was found at the gateway."""

    reference: Annotated[Line, StringConstraints(max_length=200)] = ""


class Drop(Sent):
    """Why no money came."""

    reason: Reason


def gateway_payments(api: Api) -> None:
    """Payments of accounts in scope."""
    front = api.front
    declare_list(api, "/payment-gateways", GATEWAYS, TAG)
    declare_list(api, "/refunds", REFUNDS, TAG)

    @api.post("/accounts/<int:account_id>/gateway-payments", StartedPayment, TAG)
    @needs(Permission.PAYMENTS_TAKE)
    def start_gateway_payment(path: AccountPath, body: NewPaymentBody) -> Answer:
        """Begin a payment on a gateway's page; the answer says where the payer goes."""
        with front.reading() as session:
            account = billed_account(front, session, path.account_id)
        return started_payment(api, account, body)

    _declare_refunds(api)
    _declare_held(api)


def _declare_refunds(api: Api) -> None:
    front = api.front

    @api.post("/gateway-payments/<int:payment_id>/refunds", RefundAsked, TAG, 202)
    @needs(Permission.PAYMENTS_CORRECT)
    def refund_payment(path: PaymentPath, body: NewRefundBody) -> Answer:
        """Give a payment back through its gateway. The money leaves the wallet at once."""
        sent: Any = body.money
        with front.reading() as session:
            row = _payment(api, session, path.payment_id)
        with api.writing("payment.refund", str(row.id), account_id=row.account_id) as change:
            session = change.session
            _payment(api, session, row.id)
            amount = None if sent is None else _amount(session, sent, row.unit)
            new = NewRefund(body.reason, amount, body.reopen, front.actor.name)
            with conflicts():
                made = ask_refund(session, change.books, row.id, new, change.now_us)
            refund_id = made.id
            told = RefundAsked(
                id=made.id,
                payment_id=row.id,
                state=made.state,
                money=money(made.amount, unit_of(session, row.unit)),
                error="",
            )
            answer = change.done(told, 202)
        try:
            with front.desks.desk() as desk:
                RefundDesk(desk).go_on(refund_id)
        except (InputRefused, ConfigurationError):
            return answer  # it is written: the job asks the gateway again
        return answer


def _declare_held(api: Api) -> None:
    front = api.front
    types = listed_as(GATEWAY_PAYMENTS)

    @api.post("/gateway-payments/<int:payment_id>/inquiry", types.item, TAG)
    @needs(Permission.PAYMENTS_TAKE)
    def ask_about_payment(path: PaymentPath) -> Answer:
        """Ask the gateway how a payment stands, without waiting for it to say so. 409: it cannot be asked."""
        with front.reading() as session:
            row = _payment(api, session, path.payment_id)
        try:
            with front.desks.desk() as desk:
                desk.poll(row.id)
        except ConfigurationError:
            raise Refused(409, UNREADABLE) from None
        except InputRefused as error:
            raise Refused(409, said(error)) from None
        with api.writing("payment.ask", str(row.id), account_id=row.account_id) as change:
            return change.done(types.shown(change.session, front.scope, row.id), 201)

    @api.post("/gateway-payments/<int:payment_id>/acceptance", types.item, TAG)
    @needs(Permission.PAYMENTS_CORRECT)
    def accept_held_payment(path: PaymentPath, body: PaymentAcceptance) -> Answer:
        """Book a held payment with what really came. 409: it is not held."""
        with front.reading() as session:
            row = _payment(api, session, path.payment_id)
        with api.writing("payment.accept", str(row.id), account_id=row.account_id) as change:
            _payment(api, change.session, row.id)
            with conflicts():
                accept_held(
                    change.session,
                    change.books,
                    row.id,
                    by=front.actor.name,
                    now_us=change.now_us,
                    reference=body.reference,
                )
            return change.done(types.shown(change.session, front.scope, row.id), 201)

    @api.post("/gateway-payments/<int:payment_id>/drop", types.item, TAG)
    @needs(Permission.PAYMENTS_CORRECT)
    def drop_held_payment(path: PaymentPath, body: Drop) -> Answer:
        """End a held payment: no money came. 409: it is not held."""
        with front.reading() as session:
            row = _payment(api, session, path.payment_id)
        with api.writing("payment.drop", str(row.id), account_id=row.account_id) as change:
            _payment(api, change.session, row.id)
            with conflicts():
                drop_held(
                    change.session, row.id, reason=body.reason, by=front.actor.name, now_us=change.now_us
                )
            return change.done(types.shown(change.session, front.scope, row.id), 201)


def _payment(api: Api, session: Session, id: int) -> GatewayPaymentRow:
    """One that is to be changed."""
    row = found(session, GatewayPaymentRow, id, api.front.scope.among(GatewayPaymentRow.account_id))
    billed_account(api.front, session, row.account_id)
    return row


def _amount(session: Session, sent: SentMoney, unit: str) -> int:
    with field("money"):
        amount, known = sent.of(session)
    if known.code != unit:
        raise wrong("money.currency", f"is not {unit}")
    if amount <= 0:
        raise wrong("money.amount", "must be more than zero")
    return amount


def started_payment(
    api: Api, account: AccountRow, body: NewPaymentBody, card: SavedMethodRow | None = None
) -> Answer:
    """Written first, asked of the gateway then: a request that comes again is one payment.

    card: what of the account is charged at once, rather than that it pays on a page.
    """
    front = api.front
    sent: Any = body
    with front.reading() as session:
        amount = _amount(session, body.money, body.money.currency)
        new = NewGatewayPayment(
            amount,
            body.money.currency,
            body.purpose,
            tuple(sent.invoice_ids) if sent.invoice_ids else None,
            sent.gateway or "",
            body.save_method,
            front.actor.name,
        )
        with conflicts():
            if card is None:
                gateway = chosen_gateway(session, account, new.unit, new.gateway)
            else:
                gateway = session.get_one(PaymentGatewayRow, card.gateway_id)
    try:
        with front.desks.desk() as desk:
            desk.check_openable(gateway, new)
    except ConfigurationError:
        raise Refused(409, UNREADABLE) from None
    except InputRefused as error:
        raise wrong("money", said(error)) from None
    with api.writing("payment.start", account.code, account_id=account.id) as change:
        now = change.session.get_one(AccountRow, account.id)
        if card is None:
            row = ask_payment(change.session, now, new, change.now_us)
        else:
            again = active_method(change.session, card.id)
            row = ask_charge(change.session, now, again, new, change.now_us)
        payment_id, public = row.id, front.desks.public_url
        told = StartedPayment(
            id=row.id,
            state=row.state,
            url=pay_link(public, row.key) if public and card is None else "",
            money=money(row.amount, unit_of(change.session, row.unit)),
        )
        answer = change.done(told, 201)
    try:
        with front.desks.desk() as desk:
            desk.go_on(payment_id)
    except (InputRefused, ConfigurationError):
        return answer  # it is written: its page asks the gateway again, or the job that looks after payments
    return answer
