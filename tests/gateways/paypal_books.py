"""What our own PayPal keeps: orders, captures, refunds, saved ways to pay, and the keys of requests.

Every request and every answer is formed as the models of PayPal's SDK say; errors are those of its reference.
"""

import copy
import itertools
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

Object = dict[str, Any]
WITHOUT_DECIMALS = ("HUF", "JPY", "TWD")


def _model(module: str, name: str) -> Any:
    return getattr(import_module(f"paypalserversdk.models.{module}"), name)


_read_again: Any = import_module("paypalserversdk.api_helper").APIHelper.to_dictionary
CapturedPayment = _model("captured_payment", "CapturedPayment")
CustomerVaultPaymentTokensResponse = _model(
    "customer_vault_payment_tokens_response", "CustomerVaultPaymentTokensResponse"
)
Order = _model("order", "Order")
OrderCaptureRequest = _model("order_capture_request", "OrderCaptureRequest")
OrderRequest = _model("order_request", "OrderRequest")
Patch = _model("patch", "Patch")
PaymentTokenResponse = _model("payment_token_response", "PaymentTokenResponse")
Refund = _model("refund", "Refund")
RefundRequest = _model("refund_request", "RefundRequest")


def shaped(model: Any, told: Object) -> Object:
    """The same, where the SDK knows every name in it."""
    again = _read_again(model.from_dictionary(copy.deepcopy(told)))
    assert _within(told, again), f"{model.__name__}: {told} is {again} to the SDK"
    return told


def _within(told: Any, again: Any) -> bool:
    # The SDK writes its defaults where nothing is said.
    if isinstance(told, dict):
        return all(name in again and _within(value, again[name]) for name, value in told.items())
    if isinstance(told, list):
        return len(told) == len(again) and all(map(_within, told, again))
    return bool(told == again)


class PaypalError(Exception):
    """What PayPal answers in place of an object."""

    def __init__(self, status: int, issue: str, description: str = "") -> None:
        names = {404: "RESOURCE_NOT_FOUND", 422: "UNPROCESSABLE_ENTITY", 400: "INVALID_REQUEST"}
        super().__init__(issue)
        self.status = status
        self.body = {
            "name": names.get(status, issue),
            "message": "The requested action could not be performed.",
            "debug_id": "90957fca61718",
            "details": [{"issue": issue, "description": description or f"About {issue}."}],
        }


@dataclass
class PaypalBooks:
    """An account at PayPal."""

    base: str = ""
    orders: dict[str, Object] = field(default_factory=dict)
    captures: dict[str, Object] = field(default_factory=dict)
    refunds: dict[str, Object] = field(default_factory=dict)
    tokens: dict[str, Object] = field(default_factory=dict)
    disputes: dict[str, Object] = field(default_factory=dict)
    decline: str = ""
    """The issue by which captures are refused."""
    capture_status: str = "COMPLETED"
    refund_status: str = "COMPLETED"
    forgets: bool = False
    """Keys of requests are older than six hours now."""
    _keys: dict[tuple[str, str], str] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def received(self) -> dict[str, int]:
        """How often money was taken, by our key."""
        found: dict[str, int] = {}
        for capture in self.captures.values():
            if capture["status"] not in {"DECLINED", "FAILED"}:
                found[capture["custom_id"]] = found.get(capture["custom_id"], 0) + 1
        return found

    def _new(self, kind: str) -> str:
        return f"{kind}{next(self._numbers):014d}"

    def _known(self, path: str, key: str) -> str:
        return "" if self.forgets else self._keys.get((path, key), "")

    # --- orders ---

    def create_order(self, body: Object, key: str) -> tuple[int, Object]:
        shaped(OrderRequest, body)
        known = self._known("orders", key)
        if known:
            return 200, self.get_order(known)
        assert len(key) <= 108
        [unit] = body["purchase_units"]
        _check_amount(unit["amount"])
        source = body.get("payment_source", {})
        id = self._new("O")
        status, relation = ("PAYER_ACTION_REQUIRED", "payer-action") if source else ("CREATED", "approve")
        order = {
            "id": id,
            "intent": body["intent"],
            "status": status,
            "purchase_units": [copy.deepcopy(unit)],
            "links": [{"href": f"{self.base}/checkoutnow?token={id}", "rel": relation, "method": "GET"}],
            "create_time": "2026-11-22T13:00:00Z",
        }
        self.orders[id] = order
        self._keys["orders", key] = id
        if source.get("paypal", {}).get("attributes"):
            order["vault"] = source["paypal"]["attributes"]
        return 201, self.get_order(id)

    def get_order(self, id: str) -> Object:
        if id not in self.orders:
            raise PaypalError(404, "INVALID_RESOURCE_ID")
        order = copy.deepcopy(self.orders[id])
        order.pop("vault", None)
        [unit] = order["purchase_units"]
        payments = {
            "captures": [_as_in_order(x) for x in self.captures.values() if _order_of(x) == id],
            "refunds": [x for x in self.refunds.values() if _order_of(self.captures[_capture_of(x)]) == id],
        }
        if any(payments.values()):
            unit["payments"] = {name: found for name, found in payments.items() if found}
        return shaped(Order, order)

    def approve(self, id: str) -> None:
        """The payer agrees."""
        order = self.orders[id]
        assert order["status"] in {"CREATED", "PAYER_ACTION_REQUIRED"}
        assert order["intent"] == "CAPTURE"
        order["status"] = "APPROVED"
        order["payment_source"] = {
            "paypal": {"account_id": "QYR5Z8XDVJNXQ", "email_address": "a@example.com"}
        }

    def patch_order(self, id: str, body: list[Object]) -> None:
        for each in body:
            shaped(Patch, each)
        if id not in self.orders:
            raise PaypalError(404, "INVALID_RESOURCE_ID")
        if self.orders[id]["status"] == "COMPLETED":
            raise PaypalError(422, "ORDER_ALREADY_COMPLETED")
        [patch] = body
        assert (patch["op"], patch["path"]) == ("replace", "/intent")
        self.orders[id]["intent"] = patch["value"]

    def capture_order(self, id: str, body: Object, key: str) -> tuple[int, Object]:
        shaped(OrderCaptureRequest, body)
        if id not in self.orders:
            raise PaypalError(404, "INVALID_RESOURCE_ID")
        if self._known(f"capture {id}", key):
            return 200, self.get_order(id)
        order = self.orders[id]
        [unit] = order["purchase_units"]
        source = body.get("payment_source", {})
        if order["intent"] != "CAPTURE":
            raise PaypalError(422, "ACTION_DOES_NOT_MATCH_INTENT")
        if order["status"] == "COMPLETED":
            raise PaypalError(422, "ORDER_ALREADY_CAPTURED")
        if order["status"] != "APPROVED" and not source:
            raise PaypalError(422, "ORDER_NOT_APPROVED", "Payer has not yet approved the Order for payment.")
        for detail in source.values():
            if detail["vault_id"] not in self.tokens:
                raise PaypalError(422, "TOKEN_ID_NOT_FOUND")
        if self.decline:
            raise PaypalError(422, self.decline)
        if any(x["invoice_id"] == unit["invoice_id"] for x in self.captures.values()):
            raise PaypalError(422, "DUPLICATE_INVOICE_ID")
        self._take(order, unit)
        self._keys[f"capture {id}", key] = id
        return 201, self.get_order(id)

    def _take(self, order: Object, unit: Object) -> None:
        capture_id = self._new("C")
        order["status"] = "COMPLETED"
        self.captures[capture_id] = {
            "id": capture_id,
            "status": self.capture_status,
            "amount": dict(unit["amount"]),
            "invoice_id": unit["invoice_id"],
            "custom_id": unit["custom_id"],
            "final_capture": True,
            "supplementary_data": {"related_ids": {"order_id": order["id"]}},
            "create_time": "2026-11-22T13:00:01Z",
        }
        vault = order.get("vault", {})
        if vault.get("vault", {}).get("store_in_vault") == "ON_SUCCESS":
            customer = vault.get("customer", {}).get("id") or f"customer{next(self._numbers)}"
            token = self.keep(customer)
            kept = {"id": token, "status": "VAULTED", "customer": {"id": customer}}
            order["payment_source"]["paypal"]["attributes"] = {"vault": kept}

    # --- captures and refunds ---

    def get_capture(self, id: str) -> Object:
        if id not in self.captures:
            raise PaypalError(404, "INVALID_RESOURCE_ID")
        return shaped(CapturedPayment, copy.deepcopy(self.captures[id]))

    def refund(self, capture_id: str, body: Object, key: str) -> tuple[int, Object]:
        shaped(RefundRequest, body)
        known = self._known(f"refund {capture_id}", key)
        if known:
            return 200, self.get_refund(known)
        if capture_id not in self.captures:
            raise PaypalError(404, "INVALID_RESOURCE_ID")
        _check_amount(body["amount"])
        capture = self.captures[capture_id]
        left = _cents(capture["amount"]) - self._given_back(capture_id)
        if not left:
            raise PaypalError(422, "CAPTURE_FULLY_REFUNDED", "The capture has already been fully refunded.")
        if _cents(body["amount"]) > left:
            raise PaypalError(422, "REFUND_AMOUNT_EXCEEDED", "The refund amount exceeds what was captured.")
        id = self.give_back(capture_id, body["amount"], body.get("custom_id", ""))
        self._keys[f"refund {capture_id}", key] = id
        return 201, self.get_refund(id)

    def give_back(self, capture_id: str, amount: Object, custom_id: str = "") -> str:
        """A refund, by whomever."""
        id = self._new("R")
        self.refunds[id] = {
            "id": id,
            "status": self.refund_status,
            "amount": dict(amount),
            **({"custom_id": custom_id} if custom_id else {}),
            "links": [
                {"href": f"{self.base}/v2/payments/refunds/{id}", "rel": "self", "method": "GET"},
                {"href": f"{self.base}/v2/payments/captures/{capture_id}", "rel": "up", "method": "GET"},
            ],
        }
        whole = self._given_back(capture_id) == _cents(self.captures[capture_id]["amount"])
        self.captures[capture_id]["status"] = "REFUNDED" if whole else "PARTIALLY_REFUNDED"
        return id

    def get_refund(self, id: str) -> Object:
        if id not in self.refunds:
            raise PaypalError(404, "INVALID_RESOURCE_ID")
        return shaped(Refund, copy.deepcopy(self.refunds[id]))

    def _given_back(self, capture_id: str) -> int:
        return sum(_cents(x["amount"]) for x in self.refunds.values() if _capture_of(x) == capture_id)

    # --- what is kept ---

    def keep(self, customer: str, source: Object | None = None) -> str:
        """A saved way to pay."""
        id = self._new("token")
        source = source or {"paypal": {"email_address": "a@example.com", "usage_type": "MERCHANT"}}
        self.tokens[id] = {"id": id, "customer": {"id": customer}, "payment_source": source}
        return id

    def get_token(self, id: str) -> Object:
        if id not in self.tokens:
            raise PaypalError(404, "TOKEN_NOT_FOUND")
        return shaped(PaymentTokenResponse, copy.deepcopy(self.tokens[id]))

    def list_tokens(self, customer: str, page: int, size: int) -> Object:
        assert 1 <= size <= 5
        found = [x for x in self.tokens.values() if x["customer"]["id"] == customer]
        told = {"customer": {"id": customer}, "payment_tokens": found[(page - 1) * size : page * size]}
        return shaped(CustomerVaultPaymentTokensResponse, copy.deepcopy(told))


def _check_amount(amount: Object) -> None:
    digits = len(amount["value"].partition(".")[2])
    if digits != (0 if amount["currency_code"] in WITHOUT_DECIMALS else 2):
        raise PaypalError(422, "DECIMAL_PRECISION", "If the currency supports decimals, only two places.")


def _cents(amount: Object) -> int:
    return int(amount["value"].replace(".", ""))


def _order_of(capture: Object) -> str:
    return str(capture["supplementary_data"]["related_ids"]["order_id"])


def _capture_of(refund: Object) -> str:
    return str(refund["links"][1]["href"]).rpartition("/")[2]


def _as_in_order(capture: Object) -> Object:
    # Of an order's captures, PayPal does not tell the order again.
    return {name: value for name, value in capture.items() if name != "supplementary_data"}
