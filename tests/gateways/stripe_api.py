"""Requests to the small Stripe: their form, their idempotency keys, what is answered."""

import base64
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from stripe import params
from stripe.params import checkout

from tests.gateways.stripe_books import StripeBooks, StripeFault
from tests.gateways.stripe_shapes import Object, empty_parameter, unknown_parameter

Answer = tuple[int, Object]


@dataclass(frozen=True, slots=True)
class _Kept:
    request: object
    answer: Answer


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """What came."""

    method: str
    target: str
    """Path and query."""
    authorization: str
    idempotency_key: str
    body: str

    @property
    def path(self) -> str:
        """Without the query."""
        return urlsplit(self.target).path


class StripeApi:
    """Answers requests from what the books keep."""

    def __init__(self, books: StripeBooks, api_key: str) -> None:
        self._books = books
        self._api_key = api_key
        self._kept: dict[str, _Kept] = {}
        self._routes: list[tuple[str, str, Any, Callable[..., Object]]] = [
            ("POST", r"/v1/checkout/sessions", checkout.SessionCreateParams, self._page),
            ("GET", r"/v1/checkout/sessions/(\w+)", checkout.SessionRetrieveParams, self._get_page),
            ("POST", r"/v1/payment_intents", params.PaymentIntentCreateParams, self._intent),
            ("GET", r"/v1/payment_intents", params.PaymentIntentListParams, self._intents),
            ("GET", r"/v1/payment_intents/(\w+)", params.PaymentIntentRetrieveParams, self._get_intent),
            ("POST", r"/v1/payment_intents/(\w+)/confirm", params.PaymentIntentConfirmParams, self._confirm),
            ("POST", r"/v1/payment_intents/(\w+)/cancel", params.PaymentIntentCancelParams, self._cancel),
            ("POST", r"/v1/refunds", params.RefundCreateParams, self._refund),
            ("GET", r"/v1/refunds", params.RefundListParams, self._refunds),
            ("GET", r"/v1/refunds/(\w+)", params.RefundRetrieveParams, self._get_refund),
            (
                "GET",
                r"/v1/customers/(\w+)/payment_methods",
                params.CustomerPaymentMethodListParams,
                self._methods,
            ),
            ("GET", r"/v1/payment_methods/(\w+)", params.PaymentMethodRetrieveParams, self._get_method),
            ("POST", r"/v1/payment_methods/(\w+)/detach", params.PaymentMethodDetachParams, self._detach),
        ]

    def answer(self, request: ApiRequest) -> Answer:
        """Do what is asked, unless it was done before."""
        if not self._allowed(request.authorization):
            return _error(401, "Invalid API Key provided: sk_test_****", type="invalid_request_error")
        given = nested(request.body if request.method == "POST" else urlsplit(request.target).query)
        if request.method != "POST" or not request.idempotency_key:
            return self._done(request, given)[0]
        before = self._kept.get(request.idempotency_key)
        if before is not None:
            if before.request != (request.path, given):
                message = (
                    "Keys for idempotent requests can only be used with the same parameters they were first "
                    "used with."
                )
                return _error(400, message, type="idempotency_error")
            return before.answer
        answer, kept = self._done(request, given)
        if kept:
            self.keep(request, answer)
        return answer

    def keep(self, request: ApiRequest, answer: Answer) -> None:
        """What a request with its key is answered from now on."""
        if request.idempotency_key:
            self._kept[request.idempotency_key] = _Kept((request.path, nested(request.body)), answer)

    def _allowed(self, authorization: str) -> bool:
        scheme, _, rest = authorization.partition(" ")
        if scheme == "Basic":
            return base64.b64decode(rest).decode().partition(":")[0] == self._api_key
        return scheme == "Bearer" and rest == self._api_key

    def _done(self, request: ApiRequest, given: Object) -> tuple[Answer, bool]:
        """The answer, and whether it is kept: parameters that are refused are not."""
        for method, pattern, known, handler in self._routes:
            matched = re.fullmatch(pattern, request.path)
            if matched is None or method != request.method:
                continue
            bad = unknown_parameter(known, given)
            if bad:
                message = f"Received unknown parameter: {bad}"
                return _error(400, message, code="parameter_unknown", param=bad), False
            empty = empty_parameter(given)
            if empty:
                message = f"You passed an empty string for '{empty}'."
                return _error(400, message, code="parameter_invalid_empty", param=empty), False
            try:
                return (200, deepcopy(_expanded(self._books, handler(*matched.groups(), given), given))), True
            except StripeFault as fault:
                return (fault.status, {"error": deepcopy(fault.error)}), fault.kept
        message = f"Unrecognized request URL ({request.method}: {request.path})."
        return _error(404, message), False

    # --- one function per request ---------------------------------------------------------------

    def _page(self, given: Object) -> Object:
        return self._books.page(given)

    def _get_page(self, ref: str, _given: Object) -> Object:
        return self._books.get(ref, "checkout.session")

    def _intent(self, given: Object) -> Object:
        return self._books.intent(given)

    def _intents(self, given: Object) -> Object:
        owned = [each for each in self._books.all("payment_intent") if each["customer"] == given["customer"]]
        return _listed(owned, given, "/v1/payment_intents")

    def _get_intent(self, ref: str, _given: Object) -> Object:
        return self._books.get(ref, "payment_intent")

    def _confirm(self, ref: str, given: Object) -> Object:
        if given.get("off_session") != "true":
            raise StripeFault(400, "this server's cardholders are never there", param="off_session")
        return self._books.confirm(ref)

    def _cancel(self, ref: str, _given: Object) -> Object:
        return self._books.cancel(ref)

    def _refund(self, given: Object) -> Object:
        charge = self._books.charge_of(given["payment_intent"])
        return self._books.refund(charge, int(given["amount"]), given.get("metadata", {}))

    def _refunds(self, given: Object) -> Object:
        found = [
            each for each in self._books.all("refund") if each["payment_intent"] == given["payment_intent"]
        ]
        return _listed(found, given, "/v1/refunds")

    def _get_refund(self, ref: str, _given: Object) -> Object:
        return self._books.get(ref, "refund")

    def _methods(self, ref: str, given: Object) -> Object:
        self._books.get(ref, "customer")
        owned = [each for each in self._books.all("payment_method") if each["customer"] == ref]
        return _listed(owned, given, f"/v1/customers/{ref}/payment_methods")

    def _get_method(self, ref: str, _given: Object) -> Object:
        return self._books.get(ref, "payment_method")

    def _detach(self, ref: str, _given: Object) -> Object:
        return self._books.detach(ref)


def nested(text: str) -> Object:
    """A form as Stripe writes it: a[b]=1&c[0][d]=2."""
    tree: Object = {}
    for name, value in parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text)):
        path = re.findall(r"[^\[\]]+", name)
        inner = tree
        for step in path[:-1]:
            inner = inner.setdefault(step, {})
        inner[path[-1]] = value
    listed: Object = _with_lists(tree)
    return listed


def _with_lists(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    if tree and all(name.isdigit() for name in tree):
        return [_with_lists(value) for value in tree.values()]
    return {name: _with_lists(value) for name, value in tree.items()}


def _listed(found: list[Object], given: Object, url: str) -> Object:
    after = next((at + 1 for at, each in enumerate(found) if each["id"] == given.get("starting_after")), 0)
    limit = int(given.get("limit", 10))
    page = found[after : after + limit]
    return {"object": "list", "data": page, "has_more": len(found) > after + limit, "url": url}


def _expanded(books: StripeBooks, told: Object, given: Object) -> Object:
    """With what was asked to be told whole, such as payment_intent.payment_method."""
    told = deepcopy(told)
    for path in given.get("expand", []):
        inner: Any = told
        for name in path.split("."):
            if not isinstance(inner, dict) or inner.get(name) is None:
                break
            if isinstance(inner[name], str):
                inner[name] = deepcopy(books.objects[inner[name]])
            inner = inner[name]
    return told


def _error(status: int, message: str, **details: Any) -> Answer:
    error: Mapping[str, Any] = {"type": "invalid_request_error", "message": message} | details
    return status, {"error": dict(error)}
