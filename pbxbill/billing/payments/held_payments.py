"""Payments that differ from what was asked for: a person takes them as they are, or gives them back."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.standing import reason_given
from pbxbill.billing.payments.gateway_facts import Applied, Outcome, book, end_unpaid, locked_payment
from pbxbill.billing.payments.money_back import take_since_booked
from pbxbill.billing.payments.payment_gateways import coin
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.errors import InputRefused
from pbxbill.gateways.gateway import PaymentState
from pbxbill.store.accounts import unit_of
from pbxbill.store.models import WalletRow
from pbxbill.store.payment_models import GatewayPaymentRow, PaymentGatewayRow

MAX_REFERENCE = 128


def held_payments(session: Session, most: int = 1000) -> list[GatewayPaymentRow]:
    """Those that wait for a person, the oldest first."""
    query = select(GatewayPaymentRow).where(GatewayPaymentRow.state == "held")
    return list(session.scalars(query.order_by(GatewayPaymentRow.id).limit(most)))


def accept_held(
    session: Session, books: Bookkeeper, payment_id: int, *, by: str, now_us: int, reference: str = ""
) -> GatewayPaymentRow:
    """Book a held payment with what the gateway really received, in the currency in which it did.

    reference: the gateway's own name of one of which it never told, found there by a person: what was asked
    for is booked then.
    """
    row = _locked_held(session, payment_id)
    if not row.told_amount and reference:
        row.told_amount, row.told_currency = row.amount // coin(unit_of(session, row.unit)), row.unit
        row.gateway_ref = reference[:MAX_REFERENCE]
    if not row.told_amount:
        raise InputRefused(
            f"the gateway never said what it received of payment {row.id}: look there, and say its reference "
            "if it is there; `payments held drop` if it is not"
        )
    if row.refunded >= row.told_amount * coin(unit_of(session, row.unit)):
        raise InputRefused(f"gateway payment {row.id} is being given back")
    if row.told_currency != row.unit:
        if row.refunded:
            raise InputRefused(f"part of gateway payment {row.id} went back: give the rest back, too")
        _in_its_currency(session, row)
    gateway = session.get_one(PaymentGatewayRow, row.gateway_id)
    row.by = by[:64] or row.by
    done: Applied = book(session, books, gateway, row, now_us)
    if done.outcome is not Outcome.HANDLED:
        raise InputRefused(done.detail)
    take_since_booked(session, books, row, now_us)
    return row


def drop_held(session: Session, payment_id: int, *, reason: str, by: str, now_us: int) -> GatewayPaymentRow:
    """End a held payment of which the gateway never told, and which it does not have, as a person found.

    Should it tell of it after all, that is booked as any payment that comes late.
    """
    row = _locked_held(session, payment_id)
    if row.told_amount:
        raise InputRefused(f"payment {row.id} was received: accept it, or give it back by `payments refund`")
    row.by = by[:64] or row.by
    end_unpaid(session, row, PaymentState.CANCELLED.value, reason_given(reason), now_us)
    return row


def _locked_held(session: Session, payment_id: int) -> GatewayPaymentRow:
    row = locked_payment(session, payment_id)
    if row.state != "held":
        raise InputRefused(f"gateway payment {row.id} is {row.state}, not held")
    return row


def _in_its_currency(session: Session, row: GatewayPaymentRow) -> None:
    wallet = select(WalletRow.id).where(
        WalletRow.account_id == row.account_id, WalletRow.unit == row.told_currency
    )
    if session.scalar(wallet) is None:
        raise InputRefused(
            f"the account has no {row.told_currency[:12]} wallet, and {row.told_amount} in its minor units "
            "came; open one, or give the payment back"
        )
    row.unit, row.invoice_ids = row.told_currency, ""
    row.amount = (row.told_amount or 0) * coin(unit_of(session, row.unit))
