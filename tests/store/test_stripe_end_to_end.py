"""From a payer's page to the ledger, over sockets: the web process, Stripe's own SDK, and a small Stripe."""

import threading
from pathlib import Path

from pbxbill.app import open_application, open_desk
from pbxbill.billing.payments.gateway_payments import NewGatewayPayment
from pbxbill.billing.payments.payment_gateways import add_gateway
from pbxbill.billing.payments.refunds import NewRefund, RefundDesk
from pbxbill.store.engine import transaction
from pbxbill.store.models import AccountRow
from pbxbill.web.desks import Desks
from pbxbill.web.factory import create_app
from pbxbill.web.serving import ServingSettings, WebServer
from tests.gateways.stripe_server import StripeServer
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.invoiced_accounts import operator_id


def test_a_payment_at_stripe_is_booked_charged_again_given_back_and_disputed(
    accounts: BilledAccounts, tmp_path: Path
) -> None:
    bob = accounts.ids["bob"]
    with StripeServer() as stripe, open_application(accounts.url) as application:
        with transaction(application.database) as session:
            operator = session.get_one(AccountRow, operator_id(session))
            settings = stripe.settings(tmp_path)
            add_gateway(
                session, operator, name="card", kind="stripe", settings=settings, units=("EUR",), now_us=0
            )
        desks = Desks(application, public_url="https://bill.example")
        server = WebServer(create_app(desks), ServingSettings("127.0.0.1", 0, 4, 50, 30))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            stripe.webhooks_to(f"http://127.0.0.1:{server.port}/webhooks/card")
            with open_desk(application, public_url="https://bill.example") as desk:
                new = NewGatewayPayment(eur("10"), "EUR", save_method=True)
                started = desk.start_payment(bob, new)
                assert started.state == "open", started
                stripe.pay(stripe.newest("checkout.session")["id"])
                stripe.settled()
                assert accounts.wallet("bob")[0] == eur("10")
                charged = desk.charge_method(bob, NewGatewayPayment(eur("5"), "EUR"))
                assert charged.state == "paid", charged
                stripe.settled()
                assert accounts.wallet("bob")[0] == eur("15")
                refund = RefundDesk(desk).refund(started.id, NewRefund("wished", eur("4")))
                assert refund.state == "done", refund
                stripe.settled()
                assert accounts.wallet("bob")[0] == eur("11")
                intent = accounts.select(f"SELECT gateway_ref FROM gateway_payments WHERE id = {charged.id}")[
                    0
                ][0]
                dispute = stripe.dispute(intent)
                stripe.settled()
                assert accounts.wallet("bob")[0] == eur("6")
                stripe.close_dispute(dispute, won=True)
                stripe.settled()
                assert accounts.wallet("bob")[0] == eur("11")
        finally:
            server.stop()
            thread.join(10)
            desks.close()
    assert accounts.problems() == []
