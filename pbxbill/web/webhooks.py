"""POST /webhooks/NAME: what the gateway of that name sends."""

from flask import Blueprint, Response, request
from prometheus_client import Counter

from pbxbill.billing.payments.webhook_handling import receive_webhook
from pbxbill.web.desks import Desks
from pbxbill.web.front import open_to_all

RECEIVED = Counter("pbxbill_webhooks_received", "Webhooks of payment gateways", ["status"])


def webhooks(desks: Desks) -> Blueprint:
    """The one address for all gateways."""
    made = Blueprint("webhooks", __name__)

    @made.post("/webhooks/<name>")
    @open_to_all
    def receive(name: str) -> Response:
        body = request.get_data(cache=False)  # as it was signed
        with desks.desk() as desk:
            answer = receive_webhook(desk, name[:64], sent_headers(), body)
        RECEIVED.labels(str(answer.status)).inc()
        # What was wrong with it is in the log, and no business of whoever tries signatures.
        told = {200: "ok", 400: "refused", 404: "unknown", 503: "later"}[answer.status]
        return Response(f"{told}\n", answer.status, mimetype="text/plain")

    return made


def sent_headers() -> dict[str, str]:
    """The request's headers, by names in lower case."""
    return {name.lower(): value for name, value in request.headers.items()}
