"""A payment service that does what a test says: its books are in a file, and so outlive a process.

It keeps the protocol: what is asked for twice with one key is done once. faults says what goes wrong next, at
which request: lost (nothing done, no answer), late (done, no answer), declined, refused, busy, dies (the
process ends before it), died (after it).
"""

import hashlib
import hmac
import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

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
    RefundState,
    Refusal,
    Started,
    WebhookEvent,
)

SECRET = b"whsec_scripted"
MOST_AGE_US = 300_000_000
Webhook = tuple[dict[str, str], bytes]


class ScriptedGateway:
    """One account at it."""

    kind = "stripe"

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            self._save({"payments": {}, "refunds": {}, "methods": {}, "count": 0, "faults": []})

    # --- its books ---

    def _load(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._path.read_text())
        return found

    def _save(self, books: dict[str, Any]) -> None:
        # In one step: a process may be killed at any moment.
        beside = self._path.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(books))
        beside.replace(self._path)

    @contextmanager
    def _books(self) -> Iterator[dict[str, Any]]:
        books = self._load()
        yield books
        self._save(books)

    def fault(self, request: str, what: str) -> None:
        """What goes wrong at the next such request."""
        with self._books() as books:
            books["faults"].append([request, what])

    def _due(self, request: str) -> str:
        with self._books() as books:
            for number, (at, what) in enumerate(books["faults"]):
                if at == request:
                    del books["faults"][number]
                    return str(what)
        return ""

    @contextmanager
    def _request(self, request: str) -> Iterator[str]:
        fault = self._due(request)
        if fault == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "lost":
            raise GatewayUnreachable("no answer in time")
        yield fault
        if fault == "died":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "late":
            raise GatewayUnreachable("no answer in time")

    @staticmethod
    def _next(books: dict[str, Any], prefix: str) -> str:
        books["count"] += 1
        return f"{prefix}_{books['count']}"

    @property
    def holds(self) -> int:
        """Minor units that are there now."""
        books = self._load()
        paid: int = sum(x["amount"] for x in books["payments"].values() if x["state"] == "paid")
        back: int = sum(x["amount"] for x in books["refunds"].values() if x["state"] != "failed")
        return paid - back

    @property
    def charges(self) -> int:
        """How often somebody was charged."""
        return len(self.keys("paid"))

    def payment(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = self._load()["payments"][key]
        return found

    def keys(self, state: str) -> list[str]:
        return [key for key, x in self._load()["payments"].items() if x["state"] == state]

    @property
    def paid(self) -> dict[str, int]:
        """What each payment brought, by its key."""
        return {key: x["amount"] for key, x in self._load()["payments"].items() if x["state"] == "paid"}

    def left(self, key: str) -> int:
        """What of a payment has not gone back."""
        books = self._load()
        payment = books["payments"][key]
        back: int = sum(
            x["amount"]
            for x in books["refunds"].values()
            if x["payment"] == payment["ref"] and x["state"] != "failed"
        )
        amount: int = payment["amount"]
        return amount - back

    def turning(self) -> list[str]:
        """Refunds and charge-backs that are not decided."""
        return [x["ref"] for x in self._load()["refunds"].values() if x["state"] == "open"]

    def answer_from_now_on(self) -> None:
        """Nothing goes wrong any more."""
        with self._books() as books:
            books["faults"] = []

    # --- the protocol ---

    def step(self, currency: str) -> int:
        return 1

    def start(self, asked: Asked) -> Started | Refusal:
        with self._request("start") as fault:
            if fault in {"refused", "busy"}:
                return Refusal("no such thing", retryable=fault == "busy")
            with self._books() as books:
                payment = self._made(books, asked, "open")
        form = {"encRequest": 'a"b'} if fault == "form" else None
        return Started(payment["ref"], f"https://pay.example/{payment['ref']}", form)

    def _made(self, books: dict[str, Any], asked: Asked, state: str) -> dict[str, Any]:
        known = books["payments"].get(asked.key)
        if known is None:
            known = {"key": asked.key, "ref": self._next(books, "pay"), "amount": asked.amount, "why": ""}
            known |= {"currency": asked.currency, "state": state, "save": asked.save_method, "method": None}
            books["payments"][asked.key] = known
        return dict(known)

    def charge(self, asked: Asked, method_ref: str) -> PaymentFacts | Refusal:
        with self._request("charge") as fault:
            if fault in {"refused", "busy"}:
                return Refusal("no such card", retryable=fault == "busy")
            with self._books() as books:
                is_new = asked.key not in books["payments"]
                self._made(books, asked, "open")
                if is_new:
                    state = {"declined": "declined", "open": "open"}.get(fault, "paid")
                    books["payments"][asked.key] |= {
                        "state": state,
                        "why": "no funds" * (fault == "declined"),
                    }
        return self._facts(self.payment(asked.key))

    def _facts(self, x: dict[str, Any]) -> PaymentFacts:
        method = Method(**x["method"]) if x["method"] else None
        state = PaymentState(x["state"])
        return PaymentFacts(x["key"], x["ref"], state, x["amount"], x["currency"], x["why"], method)

    def find(self, key: str, gateway_ref: str, customer_ref: str = "") -> PaymentFacts | None:
        with self._request("find"):
            for x in self._load()["payments"].values():
                if x["key"] == key or x["ref"] == gateway_ref:
                    return self._facts(x)
        return None

    def refund(self, payment_ref: str, key: str, amount: int, currency: str) -> RefundFacts | Refusal:
        with self._request("refund") as fault:
            if fault in {"refused", "busy"}:
                return Refusal("too late", retryable=fault == "busy")
            of = next(x["key"] for x in self._load()["payments"].values() if x["ref"] == payment_ref)
            if key not in self._load()["refunds"] and amount > self.left(of):
                return Refusal("more than is left of it")
            with self._books() as books:
                if key not in books["refunds"]:
                    x = {"key": key, "ref": self._next(books, "re"), "payment": payment_ref, "amount": amount}
                    books["refunds"][key] = x | {
                        "state": "open" if fault == "open" else "done",
                        "back": False,
                    }
        return self._refund_facts(self._load()["refunds"][key])

    def _refund_facts(self, x: dict[str, Any]) -> RefundFacts:
        payment = next(p for p in self._load()["payments"].values() if p["ref"] == x["payment"])
        state, key = RefundState(x["state"]), x["key"] if not x["key"].startswith("there") else ""
        ref, currency = x["ref"], payment["currency"]
        return RefundFacts(x["payment"], key, ref, state, x["amount"], currency, charge_back=x["back"])

    def find_refund(self, payment_ref: str, key: str, gateway_ref: str) -> RefundFacts | None:
        with self._request("find_refund"):
            for x in self._load()["refunds"].values():
                if x["key"] == key or x["ref"] == gateway_ref:
                    return self._refund_facts(x)
        return None

    def methods(self, customer_ref: str) -> list[Method]:
        return []

    def remove_method(self, method_ref: str) -> None:
        with self._request("remove_method"), self._books() as books:
            books["methods"][method_ref] = "removed"

    def removed(self) -> list[str]:
        return list(self._load()["methods"])

    def read_webhook(self, headers: Mapping[str, str], body: bytes, now_us: int) -> WebhookEvent | Forged:
        at, signature = headers.get("x-at", ""), headers.get("x-signature", "")
        if not at.isdigit() or not hmac.compare_digest(_signature(int(at), body), signature):
            return Forged("the signature is not right")
        if abs(now_us - int(at)) > MOST_AGE_US:
            return Forged("it is too old")
        told = json.loads(body)
        return WebhookEvent(told["event"], told["kind"], _fact(told), told.get("ask_again", ""))

    # --- what happens at the service ---

    def pay(self, key: str, amount: int | None = None, currency: str | None = None) -> None:
        """The payer pays on its page; amount, currency: another than what was asked for."""
        with self._books() as books:
            x = books["payments"][key]
            x |= {"state": "paid", "amount": amount or x["amount"], "currency": currency or x["currency"]}
            if x["save"]:
                x["method"] = asdict(Method("cus_1", f"pm_{x['ref']}", "visa", "4242", "2031-07"))

    def end(self, key: str, state: str) -> None:
        with self._books() as books:
            books["payments"][key]["state"] = state

    def give_back_there(
        self, key: str, amount: int, *, charge_back: bool = False, state: str = "done"
    ) -> str:
        """Somebody gives money back at the service itself, or the payer's bank takes it; its ref."""
        with self._books() as books:
            ref = self._next(books, "dp" if charge_back else "re")
            x = {
                "key": f"there:{ref}",
                "ref": ref,
                "payment": books["payments"][key]["ref"],
                "amount": amount,
            }
            books["refunds"][f"there:{ref}"] = x | {"state": state, "back": charge_back}
        return ref

    def turn(self, ref: str, state: str) -> None:
        """A refund or a charge-back becomes done, or failed."""
        with self._books() as books:
            next(x for x in books["refunds"].values() if x["ref"] == ref)["state"] = state

    # --- what it sends ---

    def told_of_payment(self, key: str, at_us: int, **changed: Any) -> Webhook:
        """The webhook about a payment as it stands now, signed."""
        facts = asdict(self._facts(self.payment(key))) | changed
        return self.send({"kind": "payment", "fact": facts}, at_us)

    def told_of_refund(self, ref: str, at_us: int, **changed: Any) -> Webhook:
        found = next(x for x in self._load()["refunds"].values() if x["ref"] == ref)
        return self.send({"kind": "refund", "fact": asdict(self._refund_facts(found)) | changed}, at_us)

    def told_of_removal(self, method_ref: str, at_us: int) -> Webhook:
        return self.send({"kind": "removed", "fact": {"method_ref": method_ref}}, at_us)

    def send(self, told: dict[str, Any], at_us: int) -> Webhook:
        with self._books() as books:
            event = self._next(books, "evt")
        return signed(told | {"event": event}, at_us)

    def signed_again(self, webhook: Webhook, at_us: int) -> Webhook:
        """The same event, as it is sent once more."""
        return signed(json.loads(webhook[1]), at_us)


def signed(told: dict[str, Any], at_us: int) -> Webhook:
    """A webhook as the service signs it."""
    body = json.dumps(told).encode()
    return {"x-at": str(at_us), "x-signature": _signature(at_us, body)}, body


def _signature(at_us: int, body: bytes) -> str:
    return hmac.new(SECRET, f"{at_us}.".encode() + body, hashlib.sha256).hexdigest()


def _fact(told: dict[str, Any]) -> Fact | None:
    fact = told["fact"]
    if told["kind"] == "payment":
        method = Method(**fact["method"]) if fact["method"] else None
        return PaymentFacts(**fact | {"state": PaymentState(fact["state"]), "method": method})
    if told["kind"] == "refund":
        return RefundFacts(**fact | {"state": RefundState(fact["state"])})
    return MethodRemoved(**fact) if told["kind"] == "removed" else None
