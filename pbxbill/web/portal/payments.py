"""/my/payments: what was paid; funds are topped up here, by a gateway, a saved card or a voucher."""

from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from werkzeug.wrappers import Response
from wtforms import SelectField

from pbxbill.access.permissions import Permission
from pbxbill.billing.codes.vouchers import NotRedeemed, Redeemed, WhyNot, redeem
from pbxbill.billing.payments.gateway_payments import standing
from pbxbill.billing.points.points import earns_points, holdings
from pbxbill.listing.listing import N_
from pbxbill.listing.own import OWN_PAYMENTS
from pbxbill.listing.own_ledger import OWN_LEDGER, OWN_POINTS
from pbxbill.store.accounts import unit_of
from pbxbill.store.payment_models import GatewayPaymentRow
from pbxbill.web.fields import LineField, PanelForm, at_most, refusals, required
from pbxbill.web.formatting import moment, plain_amount
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.portal.auto_top_ups import add_auto_top_ups
from pbxbill.web.portal.cards import add_cards
from pbxbill.web.portal.own import own_account, own_row, own_wallets
from pbxbill.web.portal.paying import PayForm, give_ways, gone_on, pay

NOT_REDEEMED = {
    WhyNot.MISTYPED: N_("A digit of the code is wrong or missing. Look at it again."),
    WhyNot.UNKNOWN: N_("This is no code of ours."),
    WhyNot.LOCKED: N_("Too many wrong codes were entered. Wait before you try again."),
    WhyNot.USED: N_("This voucher has been used."),
    WhyNot.USED_BY_YOU: N_("You have used this voucher before."),
    WhyNot.BLOCKED: N_("This voucher is blocked. Ask who sold it."),
    WhyNot.NOT_YET: N_("This voucher is not valid yet."),
    WhyNot.EXPIRED: N_("This voucher has expired."),
    WhyNot.OTHER_ISSUER: N_("This voucher is for customers of another seller."),
    WhyNot.WRONG_UNIT: N_("You have no balance in this voucher's currency."),
    WhyNot.ACCOUNT_CLOSED: N_("Your account is closed."),
}


class VoucherForm(PanelForm):
    """A code."""

    code = LineField(
        lazy_gettext("Code of the voucher"),
        [required(), at_most(64)],
        description=lazy_gettext("The digits on it; spaces do not matter."),
        render_kw={"autocomplete": "off", "inputmode": "numeric"},
    )


class TopUpForm(PayForm):
    """How much of what."""

    unit = SelectField(lazy_gettext("Balance"))


def payments(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("my_payments", __name__)
    add_list(
        section,
        front,
        ListPage(
            OWN_PAYMENTS,
            "/payments",
            link=_receipt,
            template="portal/payments/list.html",
            empty=(N_("Nothing was paid yet"), N_("Top up your balance, or redeem a voucher.")),
            more=lambda: _offered(front),
        ),
    )
    add_list(
        section,
        front,
        ListPage(
            OWN_LEDGER,
            "/ledger",
            link=lambda row: url_for("my_calls.show", session_id=row["call"]) if row["call"] else None,
            endpoint="ledger",
            template="portal/payments/ledger.html",
            empty=(
                N_("Nothing has moved in your balance yet"),
                N_("Top-ups, calls and charges appear here."),
            ),
        ),
    )
    add_list(
        section,
        front,
        ListPage(
            OWN_POINTS,
            "/points",
            endpoint="points",
            template="portal/payments/points.html",
            empty=(N_("You have no points yet"), N_("They appear here as your provider gives them to you.")),
            more=lambda: _held(front),
        ),
    )
    _add_top_up(section, front)
    _add_voucher(section, front)
    add_cards(section, front)
    add_auto_top_ups(section, front)
    return section


def _receipt(row: Any) -> str | None:
    id = row["receipt_id"]
    return None if id is None else url_for("my_invoices.show", id=id)


def _offered(front: Front) -> dict[str, Any]:
    with front.reading() as session:
        account = own_account(front, session)
        return {"wallets": own_wallets(front, session), "has_points": earns_points(session, account)}


def _held(front: Front) -> dict[str, Any]:
    with front.reading() as session:
        return {"held": holdings(session, front.scope.account_id, front.clock.now_us())}


def _add_top_up(section: Blueprint, front: Front) -> None:
    @section.route("/top-up", methods=["GET", "POST"])
    @needs(Permission.OWN_PAY)
    def top_up() -> str | Response:
        form = TopUpForm()
        with front.reading() as session:
            account = own_account(front, session)
            units = [x.unit for x in own_wallets(front, session)]
            form.unit.choices = [(x, x) for x in units]
            asked = form.unit.data or request.args.get("unit", "")
            code = asked if asked in units else (units[0] if units else "")
            form.amount.unit = unit_of(session, code) if code else None
            has_ways = bool(code) and give_ways(session, form, account, code, front)
            form.unit.data = code
        if has_ways and form.validate_on_submit():
            with refusals(form, "amount") as refused:
                begun = pay(front, account, form, code)
            if not refused:
                return gone_on(begun)
        return render_template(
            "portal/payments/top_up.html",
            form=form,
            has_ways=has_ways,
            units=units,
            code=code,
            voucher=VoucherForm(formdata=None, prefix="voucher-"),
        )

    @section.get("/payments/through/<int:payment_id>")
    @needs(Permission.OWN_PAY)
    def through(payment_id: int) -> str:
        """Sends the payer on: the policy of our pages lets no form lead elsewhere, but a page may."""
        with front.reading() as session:
            row = own_row(front, session, GatewayPaymentRow, payment_id)
            if row.method_id is not None:
                abort(404)
            found = standing(session, row)
        return render_template(
            "portal/payments/through.html",
            payment=found,
            url=url_for("pay.pay", key=found.key),
            goes="go" in request.args and found.state == "open",
        )


def _add_voucher(section: Blueprint, front: Front) -> None:
    @section.route("/voucher", methods=["GET", "POST"])
    @needs(Permission.OWN_PAY)
    def voucher() -> str | Response:
        form = VoucherForm(prefix="voucher-")
        if form.validate_on_submit():
            with front.reading() as session:
                account = own_account(front, session)
            with front.changing("voucher.redeem", account.code, account_id=account.id) as change:
                outcome = redeem(
                    change.session,
                    change.books,
                    front.account(change.session, account.id),
                    str(form.code.data),
                    channel="panel",
                    now_us=change.now_us,
                    by=front.actor.name,
                )
            if isinstance(outcome, Redeemed):
                flash(_thanks(outcome))
                return redirect(url_for("my_payments.listed"), 303)
            form.code.errors = [*form.code.errors, _why_not(outcome)]
        return render_template("portal/payments/voucher.html", form=form)


def _thanks(outcome: Redeemed) -> str:
    return str(
        gettext(
            "%(amount)s from the voucher is in your balance. You can spend %(available)s now.",
            amount=plain_amount(outcome.amount, outcome.unit),
            available=plain_amount(outcome.available, outcome.unit),
        )
    )


def _why_not(outcome: NotRedeemed) -> str:
    told = gettext(NOT_REDEEMED[outcome.why])
    if outcome.until_us is None:
        return str(told)
    until = moment(outcome.until_us).striptags()
    return f"{told} {gettext('You can try again from %(when)s on.', when=until)}"
