"""A small Stripe on the loopback, for tests and the demo: pages, saved cards, refunds, disputes, webhooks.

    with StripeServer() as server:
        server.webhooks_to("http://127.0.0.1:8080/...", "whsec_...")
        server.pay(session_id)          # what the payer does on the page
        server.settled()                # every webhook is delivered

It keeps what it did, honours idempotency keys as Stripe does (the same answer to the same request, an error
to another), refuses parameters that the SDK does not know, answers with every field that the SDK's models
have, and misbehaves when it is told to.
"""

import html
import json
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import HTTPError
from urllib.parse import parse_qs
from urllib.request import Request, urlopen

import stripe

from tests.gateways.stripe_api import ApiRequest, StripeApi
from tests.gateways.stripe_books import StripeBooks
from tests.gateways.stripe_faults import FAULTS, NO_ANSWER_S, SERVER_ERROR, Misbehaviour, Planned
from tests.gateways.stripe_http import StripeHttp
from tests.gateways.stripe_shapes import Object, shaped

API_KEY = "sk_test_pbxbill"
SIGNING_SECRET = "whsec_pbxbill"


@dataclass(frozen=True, slots=True)
class SignedWebhook:
    """A webhook as it goes out."""

    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(slots=True)
class _Endpoint:
    url: str
    secret: str
    events: frozenset[str] | None


class StripeServer:
    """See the module. now_s: its clock, by which webhooks are signed."""

    def __init__(self, *, now_s: Callable[[], float] = time.time, port: int = 0) -> None:
        self.api_key = API_KEY
        self.events: list[Object] = []
        self.requests: list[tuple[str, str, str]] = []
        """Method, path and idempotency key of each."""
        self.deliveries: list[tuple[str, int]] = []
        """Event id and the answer's status; 0: none came."""
        self._now_s = now_s
        self._lock = threading.RLock()
        self._planned: list[Planned] = []
        self._endpoints: list[_Endpoint] = []
        self._outgoing: queue.Queue[Object | None] = queue.Queue()
        self._flowing = threading.Event()
        self._flowing.set()
        self._closing = threading.Event()
        self._server = StripeHttp(port, self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._books = StripeBooks(self._tell, now_s, self.url)
        self._api = StripeApi(self._books, API_KEY)
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True),
            threading.Thread(target=self._deliver, daemon=True),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _fault: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._closing.set()
        self._flowing.set()
        self._outgoing.put(None)
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join(10)

    def settings(self, folder: Path, *, timeout_s: int = 10) -> dict[str, str | int]:
        """Settings of a gateway that leads here, with its secrets in files of a folder."""
        (folder / "stripe_key").write_text(f"{self.api_key}\n")
        (folder / "stripe_webhooks").write_text(f"{SIGNING_SECRET}\n")
        return {
            "secret_key_file": str(folder / "stripe_key"),
            "webhook_secret_file": str(folder / "stripe_webhooks"),
            "api_base": self.url,
            "timeout_s": timeout_s,
        }

    # --- what went through it -------------------------------------------------------------------

    @property
    def charges(self) -> list[Object]:
        """Every charge that took money, in order."""
        with self._lock:
            return [deepcopy(each) for each in self._books.objects.values() if each["object"] == "charge"]

    def received(self, currency: str) -> int:
        """What was charged less what was refunded, as Stripe counts."""
        found = [each for each in self.charges if each["currency"] == currency.lower()]
        return sum(each["amount"] - each["amount_refunded"] for each in found)

    def object(self, ref: str) -> Object:
        """What it keeps under an id."""
        with self._lock:
            return deepcopy(self._books.objects[ref])

    def newest(self, kind: str) -> Object:
        """The newest object of a kind, such as checkout.session."""
        with self._lock:
            return deepcopy(self._books.all(kind)[0])

    @property
    def refunds_pend(self) -> bool:
        """Refunds stay pending until settle_refund()."""
        return self._books.refunds_pend

    @refunds_pend.setter
    def refunds_pend(self, pend: bool) -> None:
        self._books.refunds_pend = pend

    # --- misbehaving ----------------------------------------------------------------------------

    def misbehave(self, how: Misbehaviour, *, on: str = "", times: int = 1) -> None:
        """Answer the next requests so. on: a pattern of "METHOD /path"; empty: any."""
        self._planned.append(Planned(how, re.compile(on), times))

    def forgive(self) -> None:
        """Misbehave no more."""
        self._planned.clear()

    def decline(self, method_ref: str, code: str = "generic_decline") -> None:
        """From now on the bank declines a saved card so; "": it takes it again."""
        self._books.declines[method_ref] = code

    # --- what payers, banks and people at the dashboard do -----------------------------------------

    def save_card(
        self,
        customer_ref: str = "",
        *,
        last4: str = "4242",
        expires: str = "2031-05",
        declines: str = "",
    ) -> tuple[str, str]:
        """A customer with a saved card: their references."""
        with self._lock:
            customer_ref = customer_ref or self._books.customer()["id"]
            method = self._books.method(last4, expires)
            method["customer"] = customer_ref
            self._books.declines[method["id"]] = declines
            return customer_ref, method["id"]

    def pay(
        self,
        session: str,
        *,
        declines: str = "",
        pending: bool = False,
        last4: str = "4242",
        expires: str = "2031-05",
    ) -> None:
        """The payer pays on the page (its id or its address).

        declines: the bank declines his card, and the page stays open. pending: he agrees to a debit that
        takes days; settle() ends it.
        """
        with self._lock:
            page = self._books.open_page(_session_id(session))
            intent = self._books.intent_of_page(page)
            if declines:
                self._books.fail(intent, declines)
                return
            method = self._books.method(last4, expires, debit=pending)
            self._books.keep_payer(page, intent, method)
            page["status"] = "complete"
            if pending:
                intent["status"] = "processing"
                self._tell("payment_intent.processing", intent)
            else:
                self._books.succeed(intent)
                page["payment_status"] = "paid"
            self._tell("checkout.session.completed", page)

    def settle(self, session: str, *, paid: bool = True) -> None:
        """The debit that a payer agreed to comes, or comes back."""
        with self._lock:
            page = self._books.objects[_session_id(session)]
            intent = self._books.objects[page["payment_intent"]]
            if paid:
                self._books.succeed(intent)
                page["payment_status"] = "paid"
                self._tell("checkout.session.async_payment_succeeded", page)
            else:
                self._books.fail(intent, "debit_not_authorized")
                self._tell("checkout.session.async_payment_failed", page)

    def expire(self, session: str) -> None:
        """A page's day is over."""
        with self._lock:
            page = self._books.open_page(_session_id(session))
            page |= {"status": "expired", "url": None}
            self._tell("checkout.session.expired", page)

    def refund_by_hand(self, intent_ref: str, amount: int) -> str:
        """Somebody refunds at the dashboard, without a key of ours: the refund's id."""
        with self._lock:
            return str(self._books.refund(self._books.charge_of(intent_ref), amount, {})["id"])

    def settle_refund(self, refund_ref: str, *, failure: str = "") -> None:
        """A pending refund is done, or one fails: failure says why."""
        with self._lock:
            refund = self._books.objects[refund_ref]
            if failure:
                refund |= {"status": "failed", "failure_reason": failure}
                self._books.objects[refund["charge"]]["amount_refunded"] -= refund["amount"]
                self._tell("refund.failed", refund)
            else:
                refund["status"] = "succeeded"
            self._tell("refund.updated", refund)

    def dispute(self, intent_ref: str, *, amount: int | None = None, inquiry: bool = False) -> str:
        """The payer's bank disputes a payment: the dispute's id. inquiry: it only asks."""
        with self._lock:
            dispute = self._books.dispute(self._books.charge_of(intent_ref), amount, inquiry=inquiry)
            self._tell("charge.dispute.created", dispute)
            if not inquiry:
                self._tell("charge.dispute.funds_withdrawn", dispute)
            return str(dispute["id"])

    def close_dispute(self, dispute_ref: str, *, won: bool) -> None:
        """How a dispute ends."""
        with self._lock:
            dispute = self._books.objects[dispute_ref]
            dispute["status"] = "won" if won else "lost"
            self._tell("charge.dispute.closed", dispute)
            if won:
                self._tell("charge.dispute.funds_reinstated", dispute)

    def remove_card(self, method_ref: str) -> None:
        """The payer takes a saved card away."""
        with self._lock:
            self._books.detach(method_ref)

    def renew_card(self, method_ref: str, expires: str, last4: str = "4242") -> None:
        """The bank replaces a card before it expires."""
        with self._lock:
            method = self._books.objects[method_ref]
            year, month = map(int, expires.split("-"))
            method["card"] |= {"exp_year": year, "exp_month": month, "last4": last4}
            self._tell("payment_method.automatically_updated", method)

    # --- webhooks -------------------------------------------------------------------------------

    def webhooks_to(self, url: str, secret: str = SIGNING_SECRET, *, events: tuple[str, ...] = ()) -> None:
        """Deliver every event there from now on, once each, in the background; events: only these."""
        self._endpoints.append(_Endpoint(url, secret, frozenset(events) or None))

    def hold_webhooks(self) -> None:
        """Deliver none until release_webhooks()."""
        self._flowing.clear()

    def release_webhooks(self) -> None:
        """Deliver what was held."""
        self._flowing.set()

    def settled(self, timeout_s: float = 10) -> None:
        """Wait until every webhook is delivered; release_webhooks() first if they are held."""
        until = time.monotonic() + timeout_s
        with self._outgoing.all_tasks_done:
            while self._outgoing.unfinished_tasks:
                left_s = until - time.monotonic()
                assert left_s > 0, "webhooks are not delivered in time"
                self._outgoing.all_tasks_done.wait(left_s)

    def event(self, kind: str) -> Object:
        """The newest event of a kind."""
        return next(each for each in reversed(self.events) if each["type"] == kind)

    def signed(
        self, event: Object | bytes, secret: str = SIGNING_SECRET, at_s: int | None = None
    ) -> SignedWebhook:
        """An event as it goes out, signed as of now or of at_s."""
        body = event if isinstance(event, bytes) else json.dumps(event, indent=2).encode()
        signed_at = int(self._now_s()) if at_s is None else at_s
        header = stripe.WebhookSignature.generate_signature_header(body.decode("utf-8"), secret, signed_at)
        headers = {"content-type": "application/json; charset=utf-8", "stripe-signature": header}
        return SignedWebhook(headers, body)

    def send(self, event: Object, url: str, secret: str = SIGNING_SECRET, at_s: int | None = None) -> int:
        """Deliver one event now, perhaps again: the answer's status."""
        webhook = self.signed(event, secret, at_s)
        request = Request(url, data=webhook.body, headers=dict(webhook.headers), method="POST")
        try:
            with urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except HTTPError as answer:
            answer.close()
            return answer.code
        except OSError:
            return 0

    def _deliver(self) -> None:
        while True:
            event = self._outgoing.get()
            if event is None:
                return
            self._flowing.wait()
            for endpoint in [] if self._closing.is_set() else list(self._endpoints):
                if endpoint.events is None or event["type"] in endpoint.events:
                    self.deliveries.append((event["id"], self.send(event, endpoint.url, endpoint.secret)))
            self._outgoing.task_done()

    def _tell(self, kind: str, told: Object) -> None:
        event = shaped(
            stripe.Event,
            id=self._books.new_id("evt"),
            object="event",
            api_version="2026-10-28.endive",
            created=int(self._now_s()),
            data={"object": deepcopy(told)},
            livemode=False,
            pending_webhooks=len(self._endpoints),
            request={"id": None, "idempotency_key": None},
            type=kind,
        )
        self.events.append(event)
        self._outgoing.put(event)

    # --- requests -------------------------------------------------------------------------------

    def answer(self, request: ApiRequest) -> tuple[int, bytes] | None:
        """What a request is answered with; None: nothing, and the connection is closed."""
        with self._lock:
            self.requests.append((request.method, request.path, request.idempotency_key))
            how = self._misbehaviour(f"{request.method} {request.path}")
            if how is None:
                status, told = self._api.answer(request)
                return status, json.dumps(told, indent=2).encode()
            if how.after:
                self._api.answer(request)
            if how in {Misbehaviour.ERROR, Misbehaviour.ERROR_AFTER}:
                # Stripe keeps such an answer under the key like any other.
                self._api.keep(request, (500, SERVER_ERROR))
        if how in {Misbehaviour.NO_ANSWER, Misbehaviour.NO_ANSWER_AFTER}:
            self._closing.wait(NO_ANSWER_S)
        return FAULTS.get(how)

    def _misbehaviour(self, request: str) -> Misbehaviour | None:
        for planned in self._planned:
            if planned.times > 0 and planned.on.search(request):
                planned.times -= 1
                return planned.how
        return None

    def page_html(self, session: str) -> bytes:
        """The page on which a payer pays."""
        page = self.object(_session_id(session))
        amount = html.escape(f"{page['amount_total']} {page['currency'].upper()}")
        return (
            f"<!doctype html><title>Pay</title><h1>Pay {amount}</h1>"
            '<form method="post"><button name="card" value="4242">Pay by card</button></form>'
        ).encode()

    def pay_by_form(self, session: str, form: str) -> str:
        """The payer presses its button: where his browser goes next."""
        self.pay(session, last4=parse_qs(form).get("card", ["4242"])[0])
        return str(self.object(_session_id(session))["success_url"])


def _session_id(session: str) -> str:
    return session.rpartition("/")[2]
