"""payments start, charge, refund, held, methods: what goes through gateways."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.app import Application, open_desk
from pbxbill.billing.invoices.search import find
from pbxbill.billing.invoices.standing import ASKING
from pbxbill.billing.payments.gateway_payments import (
    GatewayDesk,
    NewGatewayPayment,
    PaymentStanding,
    pay_link,
)
from pbxbill.billing.payments.held_payments import accept_held, drop_held, held_payments
from pbxbill.billing.payments.refunds import NewRefund, RefundDesk
from pbxbill.billing.payments.saved_methods import active_method, methods_of, prefer_method
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.invoice_drafts import by_option, reason_option
from pbxbill.cli.output import json_option, moment, print_json, print_table, visible
from pbxbill.cli.received_webhooks import received
from pbxbill.cli.wallets import unit_of_account
from pbxbill.errors import InputRefused
from pbxbill.logs import configure_logs
from pbxbill.money import Unit, format_amount, parse_amount
from pbxbill.store.accounts import account_by_code, unit_of
from pbxbill.store.engine import reading, transaction
from pbxbill.store.payment_models import (
    GatewayPaymentRow,
    PaymentGatewayRow,
    RefundRow,
    SavedMethodRow,
)

NOTHING_TAKEN = ("declined", "cancelled", "expired")
"""How a payment ends without money."""
unit_option = click.option("--unit", "unit_code", help="Which currency, if the account has several.")
invoice_option = click.option(
    "--invoice", "chosen", multiple=True, help="For this one; repeat it. The rest goes into the wallet."
)
due_option = click.option("--due", is_flag=True, help="For what is due, oldest first, instead of a top-up.")


@contextmanager
def _desk(context: Context) -> Iterator[tuple[Application, GatewayDesk]]:
    public_url, log = context.settings.web.public_url, context.settings.log
    if not structlog.is_configured():  # what is printed may be read by a program: alerts go elsewhere
        configure_logs(log.level, log.format, "payments")
    with context.application() as application, open_desk(application, public_url=public_url) as desk:
        yield application, desk


def _asked(
    session: Session, code: str, amount: str, named: dict[str, Any]
) -> tuple[int, Unit, NewGatewayPayment]:
    account = account_by_code(session, code)
    unit = unit_of_account(session, account, named["unit_code"])
    ids = tuple(find(session, x, ASKING).id for x in named["chosen"]) or None
    new = NewGatewayPayment(
        parse_amount(amount, unit),
        unit.code,
        "invoice" if ids or named["due"] else "top_up",
        ids,
        named.get("gateway") or "",
        bool(named.get("save_method")),
        named["by"],
    )
    return account.id, unit, new


@click.command("start")
@click.argument("account")
@click.argument("amount")
@unit_option
@invoice_option
@due_option
@click.option("--gateway", help="Through this one; default: the first that takes the currency.")
@click.option("--save-method", is_flag=True, help="The payer agrees that the gateway keeps his card.")
@by_option
@json_option
@pass_context
def start(context: Context, /, account: str, amount: str, *, as_json: bool, **named: Any) -> None:
    """Begin a payment of ACCOUNT on a gateway's page: a top-up, or for invoices. Prints where to pay."""
    with _desk(context) as (application, desk):
        with transaction(reading(application.database)) as session:
            account_id, unit, new = _asked(session, account, amount, named)
        found = desk.start_payment(account_id, new)
    link = pay_link(context.settings.web.public_url, found.key) if context.settings.web.public_url else ""
    _tell(found, unit, as_json=as_json, link=link or found.url)


@click.command("charge")
@click.argument("account")
@click.argument("amount")
@unit_option
@invoice_option
@due_option
@click.option(
    "--saved", "--method", "method_id", type=int, help="This saved method; default: the preferred one."
)
@by_option
@json_option
@pass_context
def charge(
    context: Context,
    /,
    account: str,
    amount: str,
    *,
    method_id: int | None,
    as_json: bool,
    **named: Any,
) -> None:
    """Charge a saved method of ACCOUNT, who is not there: a top-up, or for invoices.

    Exit 1 if no money was taken; 0 if it was, or if the gateway is still to tell.
    """
    with _desk(context) as (application, desk):
        with transaction(reading(application.database)) as session:
            account_id, unit, new = _asked(session, account, amount, named)
        found = desk.charge_method(account_id, new, method_id)
    waits = "the bank has not decided yet; it is asked about until it has"
    _tell(found, unit, as_json=as_json, waits=waits)
    if found.state in NOTHING_TAKEN:
        sys.exit(1)


@click.command("poll")
@click.argument("payment", type=int)
@json_option
@pass_context
def poll(context: Context, payment: int, as_json: bool) -> None:
    """Ask the gateway now what became of PAYMENT."""
    with _desk(context) as (application, desk):
        with transaction(reading(application.database)) as session:
            row = session.get(GatewayPaymentRow, payment)
            if row is None:
                raise InputRefused(f"there is no gateway payment {payment}; `payments gateway` lists them")
            unit = unit_of(session, row.unit)
        found = desk.poll(payment)
    _tell(found, unit, as_json=as_json)


def _tell(
    found: PaymentStanding,
    unit: Unit,
    *,
    as_json: bool,
    link: str = "",
    waits: str = "it waits for the payer",
) -> None:
    shown = {
        "payment": found.id,
        "state": found.state,
        "amount": format_amount(found.amount, unit),
        "unit": found.unit,
        "gateway": found.gateway,
        "link": link if found.state == "open" else "",
        "error": found.error,
        "entry": found.entry_id,
    }
    if as_json:
        print_json(shown)
        return
    told = {
        "asking": "the gateway has not answered; it is asked again until it does",
        "open": waits,
        "held": "held: a person decides, `payments held list` says why",
        **dict.fromkeys(NOTHING_TAKEN, f"{found.state}: no money was taken"),
    }.get(found.state, found.state)
    click.echo(f"payment {found.id} through {found.gateway}: {shown['amount']} {found.unit}, {told}")
    for line in (shown["link"], found.error):
        if line:
            click.echo(visible(str(line)))


@click.command("refund")
@click.argument("payment", type=int)
@click.argument("amount", required=False)
@click.option("--reopen", is_flag=True, help="Open the invoices again that it paid; all of it goes back.")
@reason_option
@by_option
@json_option
@pass_context
def refund(context: Context, /, payment: int, amount: str | None, *, as_json: bool, **named: Any) -> None:
    """Give gateway payment PAYMENT back to its payer, or AMOUNT of it, out of the wallet."""
    with _desk(context) as (application, desk):
        with transaction(reading(application.database)) as session:
            row = session.get(GatewayPaymentRow, payment)
            if row is None:
                raise InputRefused(f"there is no gateway payment {payment}; `payments gateway` lists them")
            unit = unit_of(session, row.unit)
        part = None if amount is None else parse_amount(amount, unit)
        new = NewRefund(named["reason"], part, named["reopen"], named["by"])
        found = RefundDesk(desk).refund(payment, new)
    shown = {
        "refund": found.id,
        "payment": found.payment_id,
        "state": found.state,
        "amount": format_amount(found.amount, unit),
        "unit": found.unit,
        "error": found.error,
    }
    if as_json:
        print_json(shown)
        return
    told = {"asking": "the gateway has not answered; it is asked again until it does", "open": "under way"}
    click.echo(
        f"refund {found.id} of payment {payment}: {shown['amount']} {found.unit}, "
        f"{told.get(found.state, found.state)}"
    )
    if found.error:
        click.echo(visible(found.error))


@click.command("gateway")
@click.argument("account", required=False)
@click.option("--state", help="asking, open, paid, declined, expired, cancelled or held.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--before", type=int, help="The next page: the last number of the page before.")
@json_option
@pass_context
def through_gateways(context: Context, /, account: str | None, *, as_json: bool, **named: Any) -> None:
    """List payments through gateways, newest first, with what of them went back."""
    with context.application() as application, transaction(reading(application.database)) as session:
        query = select(GatewayPaymentRow).order_by(GatewayPaymentRow.id.desc()).limit(named["limit"])
        if account is not None:
            query = query.where(GatewayPaymentRow.account_id == account_by_code(session, account).id)
        if named["state"] is not None:
            query = query.where(GatewayPaymentRow.state == named["state"])
        if named["before"] is not None:
            query = query.where(GatewayPaymentRow.id < named["before"])
        _list(session, list(session.scalars(query)), as_json=as_json)


@click.group("held")
def held() -> None:
    """Payments that differ from what was asked for."""


@held.command("list")
@json_option
@pass_context
def list_held(context: Context, as_json: bool) -> None:
    """List what waits for a person, oldest first. `payments refund` gives one back."""
    with context.application() as application, transaction(reading(application.database)) as session:
        _list(session, held_payments(session), as_json=as_json)


@held.command("accept")
@click.argument("payment", type=int)
@click.option("--reference", default="", help="Its name at the gateway, which never told of it.")
@by_option
@pass_context
def accept(context: Context, /, payment: int, reference: str, by: str) -> None:
    """Book held PAYMENT with what really came."""
    now_us = context.clock.now_us()
    with _desk(context) as (_, desk), desk.writing() as (session, books):
        row = accept_held(session, books, payment, by=by, now_us=now_us, reference=reference)
        told = f"{format_amount(row.received, unit_of(session, row.unit))} {row.unit}, entry {row.entry_id}"
    click.echo(f"payment {payment} is booked: {told}")


@held.command("drop")
@click.argument("payment", type=int)
@reason_option
@by_option
@pass_context
def drop(context: Context, /, payment: int, reason: str, by: str) -> None:
    """End held PAYMENT, of which the gateway never told and which you did not find there."""
    with _desk(context) as (_, desk), desk.writing() as (session, _books):
        drop_held(session, payment, reason=reason, by=by, now_us=context.clock.now_us())
    click.echo(f"payment {payment} is cancelled")


def _list(session: Session, rows: list[GatewayPaymentRow], *, as_json: bool) -> None:
    shown = []
    for row in rows:
        unit = unit_of(session, row.unit)
        shown.append(
            {
                "payment": row.id,
                "at": moment(row.created_us),
                "account": account_code(session, row.account_id),
                "gateway": session.get_one(PaymentGatewayRow, row.gateway_id).name,
                "for": row.purpose.replace("_", "-"),
                "amount": format_amount(row.amount, unit),
                "unit": row.unit,
                "state": row.state,
                "received": format_amount(row.received, unit),
                "went_back": format_amount(row.refunded, unit),
                "reference": row.gateway_ref,
                "error": row.error,
            }
        )
    if as_json:
        print_json(shown)
        return
    columns = ("Payment", "At", "Account", "Gateway", "For", ">Amount", "", "State", ">Received", ">Back")
    print_table("", (*columns, "Reference", "Error"), (tuple(x.values()) for x in shown))


def account_code(session: Session, account_id: int) -> str:
    """An account as people speak of it."""
    from pbxbill.store.models import AccountRow

    return session.get_one(AccountRow, account_id).code


@click.command("refunds")
@click.argument("payment", type=int, required=False)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
@pass_context
def refunds(context: Context, payment: int | None, limit: int, as_json: bool) -> None:
    """List refunds and charge-backs, newest first; those of PAYMENT alone, if it is named."""
    with context.application() as application, transaction(reading(application.database)) as session:
        query = select(RefundRow).order_by(RefundRow.id.desc()).limit(limit)
        if payment is not None:
            query = query.where(RefundRow.payment_id == payment)
        shown = []
        for row in session.scalars(query):
            unit = unit_of(session, session.get_one(GatewayPaymentRow, row.payment_id).unit)
            shown.append(
                {
                    "refund": row.id,
                    "payment": row.payment_id,
                    "at": moment(row.created_us),
                    "kind": row.kind.replace("_", "-"),
                    "amount": format_amount(row.amount, unit),
                    "unit": unit.code,
                    "state": row.state,
                    "reason": row.reason,
                    "by": row.by,
                }
            )
    if as_json:
        print_json(shown)
        return
    columns = ("Refund", "Payment", "At", "Kind", ">Amount", "", "State", "Reason", "By")
    print_table("", columns, (tuple(x.values()) for x in shown))


@click.group("methods")
def methods() -> None:
    """Cards, and other ways to pay, that gateways keep for accounts."""


@methods.command("list")
@click.argument("account")
@json_option
@pass_context
def list_methods(context: Context, account: str, as_json: bool) -> None:
    """List what ACCOUNT can be charged by, the preferred one first."""
    with context.application() as application, transaction(reading(application.database)) as session:
        shown = [
            {
                "method": row.id,
                "brand": row.brand,
                "last4": row.last4,
                "expires": row.expires,
                "gateway": session.get_one(PaymentGatewayRow, row.gateway_id).name,
                "preferred": row.preferred,
            }
            for row in methods_of(session, account_by_code(session, account).id)
        ]
    if as_json:
        print_json(shown)
        return
    columns = ("Method", "Brand", "Last 4", "Expires", "Gateway", "Preferred")
    print_table("", columns, (tuple(x.values()) for x in shown))


@methods.command("remove")
@click.argument("method", type=int)
@pass_context
def remove(context: Context, method: int) -> None:
    """Charge METHOD no more, and let its gateway forget it."""
    with _desk(context) as (_, desk):
        answered = desk.remove_method(method)
    click.echo(
        f"method {method} is removed" + ("" if answered else "; its gateway did not answer and may keep it")
    )


@methods.command("prefer")
@click.argument("method", type=int)
@pass_context
def prefer(context: Context, method: int) -> None:
    """Charge METHOD where none is named."""
    with context.application() as application, transaction(application.database) as session:
        row: SavedMethodRow = prefer_method(session, active_method(session, method).id)
        told = f"{row.brand} {row.last4}".strip()
    click.echo(f"{told} is preferred")


ON_PAYMENTS = (start, charge, poll, refund, refunds, through_gateways, held, methods, received)
