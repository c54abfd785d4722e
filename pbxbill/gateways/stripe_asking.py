"""Requests to Stripe through its SDK, and what its errors mean for us."""

from collections.abc import Callable, Mapping
from typing import Any

import stripe
import structlog

from pbxbill.gateways.gateway import GatewayUnreachable, Refusal
from pbxbill.gateways.stripe_facts import MAX_WHY_LENGTH, Told, declined_why, part

_log = structlog.get_logger()

_DEFINITE = (
    stripe.CardError,
    stripe.InvalidRequestError,
    stripe.RateLimitError,
    stripe.AuthenticationError,
    stripe.PermissionError,
)
"""Errors by which Stripe says that it did nothing. After any other (a time-out, 5xx, 409: the same request is
being done, an idempotency key that it knows with other contents) it may have."""


def ask(request: Callable[[], object]) -> Told:
    """What Stripe answers to a request; its error if it did nothing for certain.

    GatewayUnreachable: nobody knows whether it did it.
    """
    try:
        answer = request()
    except stripe.StripeError as error:
        if isinstance(error, _DEFINITE):
            raise
        _log.warning("stripe_did_not_answer", error=" ".join(str(error).split()))
        raise GatewayUnreachable(f"Stripe: {sentence(error)}") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # The SDK trusts that answers are formed as documented; a proxy's page may be anything.
        _log.warning("stripe_answer_unreadable", error=repr(error))
        raise GatewayUnreachable(f"Stripe's answer cannot be read: {error!r}"[:MAX_WHY_LENGTH]) from None
    if not isinstance(answer, stripe.StripeObject):
        raise GatewayUnreachable("Stripe's answer is no object")
    told: dict[str, Any] = answer.to_dict()
    return told


def answer_to(request: Callable[[], object]) -> Told | Refusal:
    """The same, where Stripe may also refuse."""
    try:
        return ask(request)
    except stripe.StripeError as error:
        return refusal(error)


def looked_up(request: Callable[[], object]) -> Told | None:
    """An answer to a question; None: there is no such thing."""
    try:
        return ask(request)
    except stripe.InvalidRequestError as error:
        if error.code == "resource_missing":
            return None
        raise GatewayUnreachable(f"Stripe: {sentence(error)}") from None
    except stripe.StripeError as error:
        raise GatewayUnreachable(refusal(error).why) from None


def refusal(error: stripe.StripeError) -> Refusal:
    """What an error by which Stripe did nothing tells people."""
    match error:
        case stripe.RateLimitError():
            return Refusal("Stripe wants fewer requests; try again in a minute", retryable=True)
        case stripe.AuthenticationError():
            why = "Stripe does not accept the secret key; write a valid one into the secret_key_file"
            return Refusal(why, retryable=True)
        case stripe.PermissionError():
            why = f"the secret key is not allowed to do this at Stripe: {sentence(error)}"
            return Refusal(why[:MAX_WHY_LENGTH], retryable=True)
        case stripe.CardError():
            body = error.json_body if isinstance(error.json_body, Mapping) else {}
            return Refusal(declined_why(part(body, "error")))
        case _:
            return Refusal(f"Stripe: {sentence(error)}"[:MAX_WHY_LENGTH])


def sentence(error: stripe.StripeError) -> str:
    """Stripe's own words, in one line."""
    if isinstance(error, stripe.APIConnectionError):
        return "it could not be reached, or did not answer in time"
    message = " ".join(str(error.user_message or type(error).__name__).split())
    return message[:MAX_WHY_LENGTH]
