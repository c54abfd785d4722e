"""GET /pay/KEY sends a payer on to his gateway; /pay/KEY/done says what became of his payment.

A key names one payment and cannot be guessed. What a browser brings is believed no more than a webhook.
"""

import json
import re
import threading
from collections import OrderedDict
from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response as Redirect

from pbxbill.billing.parties import party_of
from pbxbill.billing.payments.gateway_payments import PaymentStanding, standing
from pbxbill.billing.payments.webhook_handling import receive_webhook
from pbxbill.clock import SECOND_US
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import GatewayPaymentRow
from pbxbill.web.desks import Desks
from pbxbill.web.formatting import plain_amount
from pbxbill.web.front import open_to_all
from pbxbill.web.webhooks import sent_headers

ASK_AGAIN_S = 10
"""The gateway is not asked more often about one payment, however often its page is looked at."""
MAX_REMEMBERED = 10_000
_KEY = re.compile(r"[0-9a-f]{32}")
_WAITING = ("asking", "open")


def pay_pages(desks: Desks) -> Blueprint:
    """The pages of payers."""
    made = Blueprint("pay", __name__)
    throttle = _Throttle()

    @made.get("/pay/<key>")
    @open_to_all
    def pay(key: str) -> Response | Redirect | str:
        payment = _payment(desks, key)
        if payment.state == "asking":
            # Whoever asked the gateway for it did not hear its answer: the same key is the same payment.
            if not throttle.may(key, desks.application.clock.monotonic_us()):
                return redirect(url_for("pay.done", key=key), 303)
            with desks.desk() as desk:
                payment = desk.go_on(payment.id)
        if payment.state != "open" or not payment.url:
            return redirect(url_for("pay.done", key=key), 303)
        form = _form(desks, payment)
        if form is None:
            return redirect(payment.url, 303)
        page = Response(
            render_template("pay_form.html", url=payment.url, form=form, **_words(desks, payment))
        )
        target = urlsplit(payment.url)
        page.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; script-src 'self'; base-uri 'none'; "
            f"frame-ancestors 'none'; form-action {target.scheme}://{target.netloc}"
        )
        return page

    @made.get("/pay/<key>/done")
    @open_to_all
    def done(key: str) -> str:
        payment = _payment(desks, key)
        if payment.state in _WAITING and throttle.may(key, desks.application.clock.monotonic_us()):
            with desks.desk() as desk:
                payment = desk.poll(payment.id)
        return render_template("pay_done.html", state=payment.state, **_words(desks, payment))

    @made.post("/pay/<key>/done")
    @open_to_all
    def returned(key: str) -> Redirect:
        # CCAvenue sends its answer by the payer's browser: signed for the gateway as a webhook is.
        payment = _payment(desks, key)
        body = request.get_data(cache=False)
        with desks.desk() as desk:
            receive_webhook(desk, payment.gateway, sent_headers(), body)
        return redirect(url_for("pay.done", key=key), 303)

    return made


def _payment(desks: Desks, key: str) -> PaymentStanding:
    if _KEY.fullmatch(key) is None:
        abort(404)
    with transaction(reading(desks.application.database)) as session:
        row = session.scalar(select(GatewayPaymentRow).where(GatewayPaymentRow.key == key))
        # What was charged to a saved card has no page.
        if row is None or row.method_id is not None:
            abort(404)
        return standing(session, row)


def _form(desks: Desks, payment: PaymentStanding) -> dict[str, str] | None:
    with transaction(reading(desks.application.database)) as session:
        told = session.get_one(GatewayPaymentRow, payment.id).form
    return json.loads(told) if told else None


def _words(desks: Desks, payment: PaymentStanding) -> dict[str, str]:
    with transaction(reading(desks.application.database)) as session:
        account = session.get_one(AccountRow, payment.account_id)
        issuer = session.get_one(AccountRow, account.parent_id)
        shown = party_of(session, issuer.id).legal_name or issuer.name
    return {"amount": plain_amount(payment.amount, payment.unit), "issuer": shown, "key": payment.key}


class _Throttle:
    """Lets each payment's gateway be asked now and then."""

    def __init__(self) -> None:
        self._asked_us: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def may(self, key: str, now_us: int) -> bool:
        """Whether it may be asked now; it is taken as asked then."""
        with self._lock:
            last_us = self._asked_us.get(key)
            if last_us is not None and now_us - last_us < ASK_AGAIN_S * SECOND_US:
                return False
            self._asked_us[key] = now_us
            self._asked_us.move_to_end(key)
            if len(self._asked_us) > MAX_REMEMBERED:
                self._asked_us.popitem(last=False)
            return True
