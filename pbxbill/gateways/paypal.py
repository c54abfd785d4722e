"""PayPal, by its own SDK: payments on its page (orders), saved accounts and cards, refunds, webhooks.

An order moves nothing until it is captured. A payer approves one on PayPal's page, and find() captures it:
the browser that comes back, the webhook and a poll all end there. An order is captured once, whoever asks.

A saved method is charged in the same two steps: an order is made without a way to pay, and then captured
from the method. Where the answer to the second is lost the order is known, and is asked about. Where even
its name is lost (this process died between), find() asks for an order by the same PayPal-Request-Id: PayPal
returns the first, or makes one that asks for nothing, and by which the key is used up. An order that was
not captured is turned to another intent, in which nobody can capture it: what find() says is over stays so.

That holds for as long as PayPal remembers keys (6 hours; more by agreement). Later than that find() cannot
know of an order whose name was lost. Asked for again, it would still not be charged twice: PayPal takes an
invoice_id once, and ours is the key. The webhook of what was received comes for three days, and is booked.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from pbxbill.errors import InputRefused
from pbxbill.gateways.gateway import (
    Asked,
    Fact,
    Forged,
    GatewayUnreachable,
    Method,
    MethodRemoved,
    PaymentFacts,
    PaymentState,
    RefundFacts,
    Refusal,
    Started,
    WebhookEvent,
)
from pbxbill.gateways.paypal_asking import Denied, PaypalApi
from pbxbill.gateways.paypal_events import CAPTURE, about
from pbxbill.gateways.paypal_facts import (
    ORDER,
    PAGE,
    REFUND_KEY,
    SAVED,
    Told,
    Unreadable,
    capture_facts,
    capture_of,
    dispute_facts,
    is_id,
    link,
    money,
    order_facts,
    order_of_capture,
    part,
    parts,
    paypal_step,
    ref,
    refund_facts,
    reversal_facts,
    some,
    text,
    token_kind,
    token_method,
    unit_of_ours,
)
from pbxbill.gateways.paypal_orders import order_body, page_source, question_body, saved_source
from pbxbill.gateways.paypal_webhooks import LOOPBACK, proven, source_at
from pbxbill.gateways.registry import secret

API = "https://api-m.paypal.com"
MAX_TIMEOUT_S = 120
MAX_NAME_LENGTH = 127
MAX_WEBHOOK_IDS = 4
TOKENS_A_PAGE = 5
"""PayPal gives no more at a time."""
TOKEN_PAGES = 10
WHOLE = "return=representation"

_NOT_YET = frozenset(("ORDER_NOT_APPROVED", "PAYER_ACTION_REQUIRED"))
_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,120}")


@dataclass(frozen=True, slots=True)
class PaypalSettings:
    """An app of a business account at PayPal."""

    client_id: str
    client_secret_file: str
    """Holds the app's secret."""
    webhook_id: str
    """PayPal's id of the webhook that sends to us; with a comma between, several."""
    brand_name: str = ""
    """Shown on its page; empty: the account's own."""
    timeout_s: int = 20
    api_base: str = API
    certificate_ca_file: str = ""
    """Who vouches for the host of webhooks' certificates where api_base is this machine, in tests."""

    def __post_init__(self) -> None:
        if not 1 <= self.timeout_s <= MAX_TIMEOUT_S:
            raise InputRefused(f"setting timeout_s is 1 to {MAX_TIMEOUT_S} seconds")
        if not _CLIENT_ID.fullmatch(self.client_id):
            raise InputRefused("setting client_id has letters and digits, as PayPal's dashboard shows")
        if not all(map(is_id, self.webhook_ids)) or not 1 <= len(self.webhook_ids) <= MAX_WEBHOOK_IDS:
            raise InputRefused("setting webhook_id has letters and digits, as PayPal's dashboard shows")
        if len(self.brand_name) > MAX_NAME_LENGTH:
            raise InputRefused(f"setting brand_name has up to {MAX_NAME_LENGTH} characters")
        scheme, host = _scheme_and_host(self.api_base)
        if not host or not (scheme == "https" or (scheme == "http" and host in LOOPBACK)):
            raise InputRefused("setting api_base is an address that begins with https://")
        if self.certificate_ca_file and host not in LOOPBACK:
            raise InputRefused("setting certificate_ca_file is for tests, with an api_base on this machine")

    @property
    def webhook_ids(self) -> tuple[str, ...]:
        """One, or two while one takes the place of another."""
        return tuple(name.strip() for name in self.webhook_id.split(","))


def _scheme_and_host(address: str) -> tuple[str, str]:
    try:
        found = urlsplit(address)
        _ = found.port
    except ValueError:
        return "", ""
    return found.scheme, found.hostname or ""


def open_paypal(settings: PaypalSettings) -> "PaypalGateway":
    """Read the secret that settings name."""
    return PaypalGateway(settings, secret(settings.client_secret_file))


class PaypalGateway:
    """A business account at PayPal."""

    kind = "paypal"

    def __init__(self, settings: PaypalSettings, client_secret: str) -> None:
        self._settings = settings
        self._api = PaypalApi(settings.api_base, settings.client_id, client_secret, settings.timeout_s)
        self._source = source_at(settings.api_base, settings.certificate_ca_file, settings.timeout_s)

    def step(self, currency: str) -> int:
        """What PayPal takes amounts in multiples of."""
        return paypal_step(currency)

    # --- payments on its page -----------------------------------------------------------------

    def start(self, asked: Asked) -> Started | Refusal:
        """Make an order that the payer approves on PayPal's page, within hours."""
        unfit = _unfit(asked)
        if unfit is not None:
            return unfit
        if not asked.return_url:
            return Refusal("a payment on PayPal's page needs an address to return to")
        body = order_body(asked, PAGE)
        body["payment_source"] = page_source(asked, self._settings.brand_name)
        order = self._made(body, asked.key)
        if isinstance(order, Denied):
            return order.refusal()
        return Started(ORDER + some(ref(order)), some(link(order, "payer-action", "approve")))

    # --- saved methods ------------------------------------------------------------------------

    def charge(self, asked: Asked, method_ref: str) -> PaymentFacts | Refusal:
        """Charge a saved method: make the order, then capture it from there."""
        unfit = _unfit(asked)
        if unfit is not None:
            return unfit
        token = self._token(method_ref)
        if token is None or not token_kind(token):
            return Refusal("PayPal does not keep this way to pay any more")
        source = {token_kind(token): saved_source(token_kind(token), method_ref)}
        order = self._made(order_body(asked, SAVED), asked.key)
        if isinstance(order, Denied):
            return order.refusal()
        unit = unit_of_ours(order)
        if unit is None or text(unit, "custom_id") != asked.key:
            raise Unreadable("an order is not the one that was asked for")
        facts = order_facts(order, unit)
        if facts.state is not PaymentState.OPEN or capture_of(unit) is not None:
            return facts  # it is asked for again, and was captured or given up before
        try:
            return self._captured(ref(order), asked.key, source) or facts
        except GatewayUnreachable:
            # By its name a poll finds what became of it.
            return facts

    def methods(self, customer_ref: str) -> list[Method]:
        """What PayPal keeps of a payer."""
        found: list[Method] = []
        for page in range(1, TOKEN_PAGES + 1):
            told = self._api.looked_up(partial(_tokens_on, customer_ref=customer_ref, page=page))
            tokens = [] if told is None else parts(told, "payment_tokens")
            kept = (token_method(token, customer_ref) for token in tokens)
            found += [method for method in kept if method is not None]
            if len(tokens) < TOKENS_A_PAGE:
                break
        return found

    def remove_method(self, method_ref: str) -> None:
        """Let PayPal forget a way to pay."""
        gone = self._api.ask(lambda client: client.vault.delete_payment_token(method_ref))
        if isinstance(gone, Denied) and gone.status != 404 and self._token(method_ref) is not None:
            raise GatewayUnreachable(gone.why)

    def _token(self, method_ref: str) -> Told | None:
        if not is_id(method_ref):
            return None
        return self._api.looked_up(lambda client: client.vault.get_payment_token(method_ref))

    # --- what became of a payment -------------------------------------------------------------

    def find(self, key: str, gateway_ref: str, customer_ref: str = "") -> PaymentFacts | None:
        """What became of a payment. What its payer has approved is captured here."""
        if gateway_ref.startswith(ORDER):
            return self._found(gateway_ref.removeprefix(ORDER), key)
        if gateway_ref:
            return self._found_capture(gateway_ref)
        # Without a name, only a charge can have moved money: a page that nobody was shown cannot be paid.
        return self._found_by_key(key) if customer_ref else None

    def _found_capture(self, capture_ref: str) -> PaymentFacts | None:
        capture = self._capture(capture_ref)
        if capture is None:
            return None
        order_ref = order_of_capture(capture)
        # The order tells what was kept of the way to pay, too.
        of_order = self._found(order_ref, "") if order_ref else None
        return capture_facts(capture) if of_order is None else of_order

    def _found_by_key(self, key: str) -> PaymentFacts | None:
        order = self._made(question_body(key), key)
        if isinstance(order, Denied):
            raise GatewayUnreachable(order.why)
        return self._found(ref(order), key)

    def _found(self, order_ref: str, key: str) -> PaymentFacts | None:
        order = self._order(order_ref)
        unit = None if order is None else unit_of_ours(order)
        if order is None or unit is None:
            return None
        if key and text(unit, "custom_id") != key:
            raise Unreadable("an order has another key")
        facts = order_facts(order, unit)
        if facts.state is not PaymentState.OPEN or capture_of(unit) is not None:
            return facts
        if text(unit, "reference_id") == SAVED:
            return self._given_up(order_ref, PaymentState.CANCELLED, "")
        if text(order, "status") == "APPROVED":
            return self._captured(order_ref, facts.key, None)
        return facts

    def _captured(self, order_ref: str, key: str, source: Mapping[str, Any] | None) -> PaymentFacts | None:
        """Take an order's money, once; None: there is no such order."""
        asked = {
            "id": order_ref,
            "paypal_request_id": f"{key}:capture",
            "prefer": WHOLE,
            "body": {} if source is None else {"payment_source": source},
        }
        answer = self._api.ask(lambda client: client.orders.capture_order(asked))
        if not isinstance(answer, Denied):
            return self._read_again(answer, order_ref)
        if answer.refusal().retryable or (answer.issue in _NOT_YET and source is None):
            order = self._order(order_ref)
            return None if order is None else self._facts(order)
        return self._given_up(order_ref, PaymentState.DECLINED, answer.why)

    def _read_again(self, told: Told, order_ref: str) -> PaymentFacts | None:
        unit = unit_of_ours(told)
        if unit is not None and capture_of(unit) is not None:
            return order_facts(told, unit)
        order = self._order(order_ref)
        return None if order is None else self._facts(order)

    def _given_up(self, order_ref: str, state: PaymentState, why: str) -> PaymentFacts | None:
        """End an order that is not captured, so that nobody can; what it is where it was captured before."""
        patch = [{"op": "replace", "path": "/intent", "value": "AUTHORIZE"}]
        asked = {"id": order_ref, "body": patch}
        ended = self._api.ask(lambda client: client.orders.patch_order(asked))
        order = self._order(order_ref)
        if order is None:
            return None
        facts = self._facts(order)
        if facts.state is PaymentState.CANCELLED:
            return PaymentFacts(facts.key, facts.gateway_ref, state, facts.amount, facts.currency, why)
        if facts.state is PaymentState.OPEN and not _has_capture(order):
            reason = ended.why if isinstance(ended, Denied) else "an order could not be ended"
            raise GatewayUnreachable(reason)
        return facts

    @staticmethod
    def _facts(order: Told) -> PaymentFacts:
        unit = unit_of_ours(order)
        if unit is None:
            raise Unreadable("an order is not ours any more")
        return order_facts(order, unit)

    def _made(self, body: Mapping[str, Any], key: str) -> Told | Denied:
        asked = {"body": body, "paypal_request_id": key, "prefer": WHOLE}
        return self._api.ask(lambda client: client.orders.create_order(asked))

    def _order(self, order_ref: str) -> Told | None:
        return self._api.looked_up(lambda client: client.orders.get_order({"id": order_ref}))

    def _capture(self, capture_ref: str) -> Told | None:
        asked = {"capture_id": capture_ref}
        return self._api.looked_up(lambda client: client.payments.get_captured_payment(asked))

    # --- money that goes back -----------------------------------------------------------------

    def refund(self, payment_ref: str, key: str, amount: int, currency: str) -> RefundFacts | Refusal:
        """Give back a payment, or part of it; PayPal remembers keys of refunds for 45 days."""
        if amount <= 0 or amount % paypal_step(currency):
            return _uneven(currency)
        if payment_ref.startswith(ORDER):
            return Refusal("PayPal received nothing by this payment that could be given back")
        asked = {
            "capture_id": payment_ref,
            "paypal_request_id": key,
            "prefer": WHOLE,
            "body": {"amount": money(amount, currency), "custom_id": f"{REFUND_KEY}{key}"},
        }
        refund = self._api.ask(lambda client: client.payments.refund_captured_payment(asked))
        if isinstance(refund, Denied):
            return refund.refusal()
        return _of_ours(refund, payment_ref, key)

    def find_refund(self, payment_ref: str, key: str, gateway_ref: str) -> RefundFacts | None:
        """What became of a refund: by its reference, else among those of the payment's order by our key."""
        if gateway_ref:
            refund = self._refund(gateway_ref)
            return None if refund is None else _of_ours(refund, payment_ref, key)
        capture = self._capture(payment_ref)
        order_ref = "" if capture is None else order_of_capture(capture)
        order = self._order(order_ref) if order_ref else None
        units = [] if order is None else parts(order, "purchase_units")
        refunds = [refund for unit in units for refund in parts(part(unit, "payments"), "refunds")]
        ours = (each for each in refunds if text(each, "custom_id") == f"{REFUND_KEY}{key}")
        found = next(ours, None)
        return None if found is None else _of_ours(found, payment_ref, key)

    def _refund(self, refund_ref: str) -> Told | None:
        return self._api.looked_up(lambda client: client.payments.get_refund({"refund_id": refund_ref}))

    # --- webhooks -----------------------------------------------------------------------------

    def read_webhook(self, headers: Mapping[str, str], body: bytes, now_us: int) -> WebhookEvent | Forged:
        """Check who sent it, and when; then ask PayPal about what it names.

        GatewayUnreachable: PayPal cannot be asked now; it sends the webhook again.
        """
        event = proven(headers, body, now_us, self._settings.webhook_ids, self._source)
        if isinstance(event, Forged):
            return event
        try:
            kind, event_ref = text(event, "event_type"), some(ref(event))
            told = part(event, "resource")
            named = about(kind, told)
        except Unreadable as error:
            return Forged(str(error))
        # Another body under the same signature must not take the place of the event that it names.
        event_ref = f"{event_ref}:{hashlib.sha256(body).hexdigest()[:24]}"
        if named.startswith((ORDER, CAPTURE)):
            return WebhookEvent(event_ref, kind[:64], None, ask_again=named.removeprefix(CAPTURE))
        return WebhookEvent(event_ref, kind[:64], self._fact(kind, named) if named else None)

    def _fact(self, kind: str, named: str) -> Fact | None:
        """What PayPal says of the refund, dispute or payment token that a webhook names."""
        if kind.startswith("VAULT."):
            return MethodRemoved(named) if self._token(named) is None else None
        if kind.startswith("CUSTOMER.DISPUTE."):
            dispute = self._api.dispute(named)
            return None if dispute is None else dispute_facts(dispute)
        is_reversal = kind == "PAYMENT.CAPTURE.REVERSED"
        refund = self._refund(named)
        if refund is not None:
            return refund_facts(refund, reversed_by_paypal=is_reversal)
        capture = self._capture(named) if is_reversal else None
        return None if capture is None else reversal_facts(capture)


def _tokens_on(client: Any, *, customer_ref: str, page: int) -> Any:
    asked = {"customer_id": customer_ref, "page_size": TOKENS_A_PAGE, "page": page}
    return client.vault.list_customer_payment_tokens(asked)


def _has_capture(order: Told) -> bool:
    unit = unit_of_ours(order)
    return unit is not None and capture_of(unit) is not None


def _unfit(asked: Asked) -> Refusal | None:
    """What PayPal would refuse, or take for another amount; None: nothing."""
    currency = asked.currency
    if not (len(currency) == 3 and currency.isascii() and currency.isalpha() and currency.isupper()):
        return Refusal(f"{currency[:10]!r} is no currency that PayPal takes")
    return _uneven(currency) if asked.amount <= 0 or asked.amount % paypal_step(currency) else None


def _uneven(currency: str) -> Refusal:
    return Refusal(f"PayPal takes {currency} in multiples of {paypal_step(currency)} of its smallest unit")


def _of_ours(refund: Told, payment_ref: str, key: str) -> RefundFacts:
    facts = refund_facts(refund)
    if facts is None:
        raise Unreadable("a refund is of no payment")
    if facts.payment_ref != payment_ref:
        raise Unreadable("a refund is of another payment")
    return RefundFacts(
        payment_ref, key, facts.gateway_ref, facts.state, facts.amount, facts.currency, why=facts.why
    )
