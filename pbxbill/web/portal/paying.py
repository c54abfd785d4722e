"""How an account pays here: by a gateway's page, or at once by a card that a gateway keeps for it."""

from collections.abc import Sequence

from flask import flash, redirect, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import BooleanField, HiddenField, RadioField
from wtforms.validators import InputRequired

from pbxbill.access.permissions import Permission
from pbxbill.billing.payments.gateway_payments import (
    NewGatewayPayment,
    PaymentStanding,
    ask_charge,
    ask_payment,
)
from pbxbill.billing.payments.payment_gateways import chosen_gateway, gateways_for
from pbxbill.billing.payments.payments import pay_from_wallet, spare_funds
from pbxbill.billing.payments.saved_methods import active_method, methods_of
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import unit_of
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import GatewayPaymentRow, PaymentGatewayRow
from pbxbill.web.fields import AmountField, PanelForm, required
from pbxbill.web.formatting import plain_amount
from pbxbill.web.front import Front
from pbxbill.web.saved_cards import card_text

BALANCE = "balance"
KINDS = {"stripe": "Stripe", "paypal": "PayPal", "ccavenue": "CCAvenue"}


class PayForm(PanelForm):
    """How much, and by what."""

    amount = AmountField(lazy_gettext("Amount"), [required()], least=1)
    way = RadioField(
        lazy_gettext("Pay by"),
        [InputRequired(lazy_gettext("Choose how you want to pay."))],
        validate_choice=True,
    )
    save = BooleanField(lazy_gettext("Keep this way to pay with the payment service for later"))
    seen = HiddenField()
    """The newest payment when the form was shown: a form that is sent twice charges no card twice."""


def give_ways(session: Session, form: PayForm, account: AccountRow, unit: str, front: Front) -> bool:
    """What the account can pay by in a unit; whether there is anything."""
    gateways = gateways_for(session, account, unit)
    usable = {x.id for x in gateways}
    ways = []
    if front.actor.may(Permission.OWN_PAY):
        cards = [x for x in methods_of(session, account.id) if x.gateway_id in usable]
        ways += [(f"card:{x.id}", card_text(x)) for x in cards]
    ways += [(f"gateway:{x.name}", gateway_text(x, gateways)) for x in gateways]
    form.way.choices = ways
    if form.way.data in (None, "None") and ways:
        form.way.data = ways[0][0]
    if form.seen.data is None:
        form.seen.data = str(_newest(session, account.id))
    return bool(ways)


def give_balance(session: Session, form: PayForm, account: AccountRow, unit: str) -> bool:
    """Offer what the wallet has to spare, besides the other ways; whether it has anything."""
    spare = spare_funds(session, account.id, unit)
    if not spare:
        return False
    text = gettext(
        "Your balance, which has %(amount)s to spare",
        amount=plain_amount(spare, unit_of(session, unit)),
    )
    others = form.way.choices if isinstance(form.way.choices, list) else []
    form.way.choices = ways = [*others, (BALANCE, text)]
    if form.way.data in (None, "None"):
        form.way.data = ways[0][0]
    return True


def pay_by_balance(front: Front, account: AccountRow, form: PayForm, unit: str, invoice_id: int) -> None:
    """Put funds of the wallet to an invoice; InputRefused says what is wrong with it."""
    with front.changing("payment.allocate", account.code, account_id=account.id) as change:
        pay_from_wallet(
            change.session,
            change.books,
            change.session.get_one(AccountRow, account.id),
            unit=unit,
            now_us=change.now_us,
            amount=form.amount.data or 0,
            invoice_ids=(invoice_id,),
            by=front.actor.name,
        )


def gateway_text(gateway: PaymentGatewayRow, all_of_them: Sequence[PaymentGatewayRow]) -> str:
    """A gateway as payers know it; by its own name where there are two of a kind."""
    kind = KINDS.get(gateway.kind, gateway.name)
    is_only = sum(x.kind == gateway.kind for x in all_of_them) == 1
    named = kind if is_only else f"{kind} ({gateway.name})"
    return str(gettext("Card or other ways, on the page of %(service)s", service=named))


def pay(
    front: Front, account: AccountRow, form: PayForm, unit: str, invoice_ids: tuple[int, ...] | None = None
) -> PaymentStanding:
    """Begin the payment that a form asks for; InputRefused says what is wrong with it."""
    kind, _, name = str(form.way.data).partition(":")
    new = NewGatewayPayment(
        form.amount.data or 0,
        unit,
        "top_up" if invoice_ids is None else "invoice",
        invoice_ids,
        gateway=name if kind == "gateway" else "",
        save_method=bool(form.save.data) and kind == "gateway",
        by=front.actor.name,
    )
    with front.reading() as session:
        card = active_method(session, int(name)) if kind == "card" else None
        if card is None:
            gateway = chosen_gateway(session, account, unit, new.gateway)
        else:
            gateway = session.get_one(PaymentGatewayRow, card.gateway_id)
    with front.desks.desk() as desk:
        desk.check_openable(gateway, new)
    with front.changing("payment.start", account.code, account_id=account.id) as change:
        session, now_us = change.session, change.now_us
        account = session.get_one(AccountRow, account.id, with_for_update=True)
        if card is None:
            payment_id = ask_payment(session, account, new, now_us).id
        else:
            if str(_newest(session, account.id)) != form.seen.data:
                form.seen.data = str(_newest(session, account.id))
                raise InputRefused(
                    gettext(
                        "Another payment was made since you opened this page. "
                        "Look at your payments, and send this once more if you still want it"
                    )
                )
            payment_id = ask_charge(session, account, active_method(session, card.id), new, now_us).id
    with front.desks.desk() as desk:
        return desk.go_on(payment_id)


def gone_on(standing: PaymentStanding) -> Response:
    """Where the payer goes: to the gateway, or back with what became of it."""
    amount = plain_amount(standing.amount, standing.unit)
    match standing.state:
        case "open" if standing.url:
            return redirect(url_for("my_payments.through", payment_id=standing.id, go="yes"), 303)
        case "paid":
            flash(gettext("%(amount)s is paid. Thank you.", amount=amount))
        case "asking" | "open":
            flash(
                gettext("%(amount)s is being paid. It appears below once that is certain.", amount=amount),
                "warn",
            )
        case _:
            why = standing.error or gettext("the payment service gave no reason")
            flash(gettext("%(amount)s was not paid: %(why)s.", amount=amount, why=why.rstrip(".")), "bad")
    return redirect(url_for("my_payments.listed"), 303)


def _newest(session: Session, account_id: int) -> int:
    """The last payment that somebody, not the automatic top-up, asked for."""
    query = select(func.max(GatewayPaymentRow.id)).where(
        GatewayPaymentRow.account_id == account_id, ~GatewayPaymentRow.automatic
    )
    return session.scalar(query) or 0
