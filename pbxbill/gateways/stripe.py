"""Stripe, by its own SDK: payments on its page (Checkout), saved cards, refunds, webhooks.

Nobody is charged twice, and no charge is lost, because a saved card is charged in two steps: a payment
intent is made that moves nothing, with our key in its metadata, and only then confirmed. If the answer is
lost, find() looks through the payer's intents. Stripe's lists show at once what was made (its search may lag
by an hour, and repeating a request could itself charge), so an intent that is not there was never confirmed;
one that is there unconfirmed is cancelled, so that it never will be. A page whose address nobody was given
cannot be paid.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import stripe

from pbxbill.errors import ConfigurationError, InputRefused
from pbxbill.gateways.gateway import (
    Asked,
    Forged,
    GatewayUnreachable,
    Method,
    PaymentFacts,
    RefundFacts,
    Refusal,
    Started,
    WebhookEvent,
)
from pbxbill.gateways.registry import secret, secrets
from pbxbill.gateways.stripe_asking import answer_to, ask, looked_up, refusal
from pbxbill.gateways.stripe_facts import (
    FLOW,
    KEY,
    PAGE,
    SAVE,
    SAVED,
    Told,
    Unreadable,
    intent_facts,
    method_of,
    part,
    ref,
    refund_facts,
    session_facts,
    some,
    stripe_step,
    text,
    to_stripe,
    whole,
)
from pbxbill.gateways.stripe_webhooks import read_webhook

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCreateParams
    from stripe.params.checkout import SessionCreateParams

API = "https://api.stripe.com"
PAGES_LOOKED_THROUGH = 3
PAGE_SIZE = 100
OLDEST_ASKED_S = 31 * 86_400
"""Nobody asks what became of a payment that was made longer ago."""
MAX_DESCRIPTION_LENGTH = 250
MAX_TIMEOUT_S = 120

_LOCALES = (
    "bg cs da de el en es et fi fr hr hu id it ja ko lt lv ms mt nb nl pl pt ro ru sk sl sv th tr vi zh"
)
"""Languages of its page; in others it speaks the payer's browser's."""


@dataclass(frozen=True, slots=True)
class StripeSettings:
    """An account at Stripe."""

    secret_key_file: str
    """Holds the secret key, sk_... or rk_... (restricted, which is enough)."""
    webhook_secret_file: str
    """Holds the signing secrets of the webhook endpoint, whsec_..., one a line; two while one is rolled."""
    payment_method_types: str = ""
    """Ways to pay that its page offers, with commas between; empty: those that Stripe's dashboard has on."""
    timeout_s: int = 20
    api_base: str = API

    def __post_init__(self) -> None:
        if not 1 <= self.timeout_s <= MAX_TIMEOUT_S:
            raise InputRefused(f"setting timeout_s is 1 to {MAX_TIMEOUT_S} seconds")
        if not _secure(self.api_base):
            raise InputRefused("setting api_base is an address that begins with https://")


def _secure(address: str) -> bool:
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    # The secret key goes there: in the clear to nobody but this machine.
    local = host in {"127.0.0.1", "::1", "localhost"}
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and local))


def open_stripe(settings: StripeSettings) -> "StripeGateway":
    """Read the secrets that settings name."""
    api_key = secret(settings.secret_key_file)
    if not api_key.startswith(("sk_", "rk_")):
        raise ConfigurationError(
            f"{settings.secret_key_file} holds no secret key of Stripe's; those begin with sk_ or rk_"
        )
    signing = secrets(settings.webhook_secret_file)
    if not all(found.startswith("whsec_") for found in signing):
        raise ConfigurationError(
            f"{settings.webhook_secret_file} holds no signing secret of Stripe's; those begin with whsec_"
        )
    return StripeGateway(settings, api_key, signing)


class StripeGateway:
    """An account at Stripe."""

    kind = "stripe"

    def __init__(self, settings: StripeSettings, api_key: str, signing_secrets: tuple[str, ...]) -> None:
        self._settings = settings
        self._live = "_live_" in api_key
        self._signing_secrets = signing_secrets
        # Our own keys and find() do what the SDK's retries would: a caller waits for one time-out, not three.
        self._v1 = stripe.StripeClient(
            api_key,
            base_addresses={"api": settings.api_base},
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=settings.timeout_s),
        ).v1

    def step(self, currency: str) -> int:
        """What Stripe takes amounts in multiples of."""
        return stripe_step(currency)

    # --- payments ---------------------------------------------------------------------------

    def start(self, asked: Asked) -> Started | Refusal:
        """Make a page (a checkout session) on which the payer pays within a day."""
        unfit = _unfit(asked)
        if unfit is not None:
            return unfit
        params = self._page(asked)
        session = answer_to(lambda: self._v1.checkout.sessions.create(params, {"idempotency_key": asked.key}))
        if isinstance(session, Refusal):
            return session
        return Started(some(ref(session)), some(text(session, "url")))

    def _page(self, asked: Asked) -> "SessionCreateParams":
        metadata = {KEY: asked.key, FLOW: PAGE, SAVE: "1" if asked.save_method else "0"}
        description = _description(asked)
        params: SessionCreateParams = {
            "mode": "payment",
            "client_reference_id": asked.key,
            "metadata": metadata,
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": asked.currency.lower(),
                        "unit_amount": to_stripe(asked.amount, asked.currency),
                        "product_data": {"name": description},
                    },
                }
            ],
            "payment_intent_data": {"metadata": metadata, "description": description},
            "success_url": asked.return_url,
            "cancel_url": asked.return_url,
            # What is received is compared with what was asked, in the currency that was asked.
            "adaptive_pricing": {"enabled": False},
        }
        if asked.language in _LOCALES.split():
            params["locale"] = asked.language
        if self._settings.payment_method_types:
            names = [name.strip() for name in self._settings.payment_method_types.split(",")]
            params["allowed_payment_method_types"] = [name for name in names if name]
        if asked.save_method:
            params["payment_intent_data"]["setup_future_usage"] = "off_session"
        if asked.customer_ref:
            params["customer"] = asked.customer_ref
        else:
            params["customer_creation"] = "always" if asked.save_method else "if_required"
            if asked.email:
                params["customer_email"] = asked.email
        return params

    def charge(self, asked: Asked, method_ref: str) -> PaymentFacts | Refusal:
        """Charge a saved method: make the payment, then confirm it."""
        unfit = _unfit(asked, on_page=False)
        if unfit is not None:
            return unfit
        params: PaymentIntentCreateParams = {
            "amount": to_stripe(asked.amount, asked.currency),
            "currency": asked.currency.lower(),
            "customer": asked.customer_ref,
            "payment_method": method_ref,
            "description": _description(asked),
            "metadata": {KEY: asked.key, FLOW: SAVED},
            # Nobody is there to be sent to another page.
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        }
        made = answer_to(lambda: self._v1.payment_intents.create(params, {"idempotency_key": asked.key}))
        if isinstance(made, Refusal):
            return made
        return self._confirmed(some(ref(made)), asked.key)

    def _confirmed(self, intent_ref: str, key: str) -> PaymentFacts | Refusal:
        try:
            intent = ask(
                lambda: self._v1.payment_intents.confirm(
                    intent_ref, {"off_session": True}, {"idempotency_key": f"{key}:confirm"}
                )
            )
        except stripe.CardError as error:
            return self._declined(intent_ref, error)
        except stripe.InvalidRequestError as error:
            if error.code != "payment_intent_unexpected_state":
                return refusal(error)
            # It was confirmed or cancelled before: what it is now says which.
            return intent_facts(self._intent(intent_ref))
        except stripe.StripeError as error:
            return refusal(error)
        return intent_facts(intent)

    def _declined(self, intent_ref: str, error: stripe.CardError) -> PaymentFacts | Refusal:
        body = error.json_body if isinstance(error.json_body, Mapping) else {}
        intent = part(part(body, "error"), "payment_intent")
        return intent_facts(intent or self._intent(intent_ref))

    def find(self, key: str, gateway_ref: str, customer_ref: str = "") -> PaymentFacts | None:
        """What became of a payment: by its reference, else among the payer's by our key."""
        if gateway_ref.startswith("cs_"):
            session = looked_up(
                lambda: self._v1.checkout.sessions.retrieve(
                    gateway_ref, {"expand": ["payment_intent.payment_method"]}
                )
            )
            return session_facts(session) if session is not None else None
        if gateway_ref:
            intent = looked_up(lambda: self._retrieved(gateway_ref))
        elif customer_ref:
            found = self._payers_intent(customer_ref, key)
            intent = looked_up(lambda: self._retrieved(found)) if found else None
        else:
            return None
        if intent is None:
            return None
        unconfirmed = text(intent, "status") == "requires_confirmation"
        if unconfirmed and text(part(intent, "metadata"), FLOW) == SAVED:
            intent = self._never_confirmed(ref(intent))
        return intent_facts(intent)

    def _retrieved(self, intent_ref: str) -> object:
        return self._v1.payment_intents.retrieve(intent_ref, {"expand": ["payment_method"]})

    def _intent(self, intent_ref: str) -> Told:
        return _believed(answer_to(lambda: self._retrieved(intent_ref)))

    def _payers_intent(self, customer_ref: str, key: str) -> str:
        """The reference of a payer's payment of our key; "" if there is none."""
        after, newest_s = "", 0
        for _ in range(PAGES_LOOKED_THROUGH):
            page = looked_up(partial(self._intents_after, customer_ref, after))
            if page is None:
                return ""
            intents = _listed(page)
            for intent in intents:
                if text(part(intent, "metadata"), KEY) == key:
                    return some(ref(intent))
            if page.get("has_more") is not True or not intents:
                return ""
            after = ref(intents[-1])
            # The newest come first: what is not among those of so long a time was not made in it.
            newest_s = newest_s or whole(intents[0], "created")
            if newest_s - whole(intents[-1], "created") > OLDEST_ASKED_S:
                return ""
        # To say that there is none would be a guess.
        raise GatewayUnreachable(f"Stripe: {customer_ref} has too many payments to look through")

    def _intents_after(self, customer_ref: str, after: str) -> object:
        if after:
            return self._v1.payment_intents.list(
                {"customer": customer_ref, "limit": PAGE_SIZE, "starting_after": after}
            )
        return self._v1.payment_intents.list({"customer": customer_ref, "limit": PAGE_SIZE})

    def _never_confirmed(self, intent_ref: str) -> Told:
        # One that is cancelled cannot be confirmed by a process that was held up between its two steps.
        cancelled = answer_to(lambda: self._v1.payment_intents.cancel(intent_ref))
        return self._intent(intent_ref) if isinstance(cancelled, Refusal) else cancelled

    # --- money that goes back -----------------------------------------------------------------

    def refund(self, payment_ref: str, key: str, amount: int, currency: str) -> RefundFacts | Refusal:
        """Give back a payment, or part of it."""
        if amount <= 0 or amount % stripe_step(currency):
            return _uneven(currency)
        intent_ref = self._intent_of(payment_ref)
        if isinstance(intent_ref, Refusal):
            return intent_ref
        refund = answer_to(
            lambda: self._v1.refunds.create(
                {
                    "payment_intent": intent_ref,
                    "amount": to_stripe(amount, currency),
                    "metadata": {KEY: key},
                },
                {"idempotency_key": key},
            )
        )
        return refund if isinstance(refund, Refusal) else _of_ours(refund)

    def find_refund(self, payment_ref: str, key: str, gateway_ref: str) -> RefundFacts | None:
        """What became of a refund: by its reference, else among the payment's by our key."""
        if gateway_ref:
            refund = looked_up(lambda: self._v1.refunds.retrieve(gateway_ref))
            return None if refund is None else _of_ours(refund)
        intent_ref = self._intent_of(payment_ref)
        if isinstance(intent_ref, Refusal):
            return None
        page = looked_up(lambda: self._v1.refunds.list({"payment_intent": intent_ref, "limit": PAGE_SIZE}))
        refunds = [] if page is None else _listed(page)
        found = next((each for each in refunds if text(part(each, "metadata"), KEY) == key), None)
        return None if found is None else _of_ours(found)

    def _intent_of(self, payment_ref: str) -> str | Refusal:
        if not payment_ref.startswith("cs_"):
            return payment_ref
        session = looked_up(lambda: self._v1.checkout.sessions.retrieve(payment_ref))
        found = ref(session, "payment_intent") if session is not None else ""
        return found or Refusal("Stripe received nothing by this payment that could be given back")

    # --- saved methods --------------------------------------------------------------------------

    def methods(self, customer_ref: str) -> list[Method]:
        """What Stripe keeps of a payer."""
        page = looked_up(lambda: self._v1.customers.payment_methods.list(customer_ref, {"limit": PAGE_SIZE}))
        kept = [] if page is None else [method_of(each, customer_ref) for each in _listed(page)]
        return [method for method in kept if method is not None]

    def remove_method(self, method_ref: str) -> None:
        """Let Stripe forget a way to pay."""
        detached = answer_to(lambda: self._v1.payment_methods.detach(method_ref))
        if not isinstance(detached, Refusal):
            return
        now = looked_up(lambda: self._v1.payment_methods.retrieve(method_ref))
        if now is not None and ref(now, "customer"):
            raise GatewayUnreachable(detached.why)

    # --- webhooks -------------------------------------------------------------------------------

    def read_webhook(self, headers: Mapping[str, str], body: bytes, now_us: int) -> WebhookEvent | Forged:
        """Check who sent it, and when; then what it says."""
        return read_webhook(headers, body, now_us, signing_secrets=self._signing_secrets, live=self._live)


def _unfit(asked: Asked, *, on_page: bool = True) -> Refusal | None:
    """What Stripe would refuse, or take for another amount; None: nothing."""
    currency = asked.currency
    if not (len(currency) == 3 and currency.isascii() and currency.isalpha() and currency.isupper()):
        return Refusal(f"{currency[:10]!r} is no currency that Stripe takes")
    if asked.amount <= 0 or asked.amount % stripe_step(currency):
        return _uneven(currency)
    if on_page and not asked.return_url:
        return Refusal("a payment on Stripe's page needs an address to return to")
    if not on_page and not asked.customer_ref:
        return Refusal("a saved card is charged as its customer's, and none is named")
    return None


def _description(asked: Asked) -> str:
    # An empty text is refused.
    return asked.description.strip()[:MAX_DESCRIPTION_LENGTH] or "Payment"


def _uneven(currency: str) -> Refusal:
    return Refusal(f"Stripe takes {currency} in multiples of {stripe_step(currency)} of its smallest unit")


def _believed(answer: Told | Refusal) -> Told:
    if isinstance(answer, Refusal):
        raise GatewayUnreachable(answer.why)
    return answer


def _listed(page: Told) -> list[Told]:
    found = page.get("data")
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise Unreadable("a list is none")
    return found


def _of_ours(refund: Told) -> RefundFacts:
    facts = refund_facts(refund)
    if facts is None:
        raise Unreadable("a refund is of no payment")
    return facts
