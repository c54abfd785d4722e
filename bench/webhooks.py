"""Webhooks to a web process: how many a second are proven, kept, booked with receipt and notice, answered.

bench.payments calls handle_webhooks() on a fresh database; run as a module this is the web process.
"""

import hashlib
import hmac
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import insert

from bench.figures import percentile
from pbxbill.app import open_application
from pbxbill.billing.promises import verify_all
from pbxbill.clock import SystemClock
from pbxbill.gateways.gateway import Forged, PaymentFacts, PaymentState, WebhookEvent
from pbxbill.money import Unit
from pbxbill.store.accounts import NewAccount, ensure_unit, open_account, open_operator, open_wallet
from pbxbill.store.billing_models import PartyRow
from pbxbill.store.driver import connect
from pbxbill.store.engine import migrate, open_engine, transaction
from pbxbill.store.payment_models import GatewayPaymentRow, PaymentGatewayRow

ACCOUNTS, CLIENTS, THREADS = 200, 8, 4
AMOUNT = 10_000_000
_SECRET = b"whsec_bench"
_TIMEOUT_S = 60
Webhook = tuple[dict[str, str], bytes]


class Handled(NamedTuple):
    """What came of the webhooks."""

    webhooks: int
    took_s: float
    p50_ms: float
    p99_ms: float
    booked: int
    """Payments that were booked, by the ledger itself."""
    messages: int
    problems: int
    """What verify found."""


class BenchGateway:
    """Proves webhooks as services do, by an HMAC over the time and the body. It is asked nothing else."""

    kind = "stripe"

    def read_webhook(self, headers: Mapping[str, str], body: bytes, now_us: int) -> WebhookEvent | Forged:
        """Check who sent it, and when; then what it says."""
        at = headers.get("x-at", "")
        if not at.isdigit() or abs(now_us - int(at)) > 300_000_000:
            return Forged("it is too old")
        if not hmac.compare_digest(_signature(at, body), headers.get("x-signature", "")):
            return Forged("the signature is not right")
        told = json.loads(body)
        fact = PaymentFacts(told["key"], told["ref"], PaymentState.PAID, told["amount"], "EUR")
        return WebhookEvent(told["event"], "payment", fact)


def _signature(at: str, body: bytes) -> str:
    return hmac.new(_SECRET, at.encode() + b"." + body, hashlib.sha256).hexdigest()


def handle_webhooks(url: str, count: int) -> Handled:
    """Open payments on an empty database, and tell a web process of each that it is paid."""
    migrate(url)
    clock = SystemClock()
    keys = _opened(url, count, clock.now_us())
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.webhooks", url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    webhooks = [_told(number, key, clock.now_us()) for number, key in enumerate(keys)]
    _post_all(port, webhooks[:THREADS])  # they load the catalogue
    began_s = time.perf_counter()
    took_ms = _post_all(port, webhooks[THREADS:])
    took_s = time.perf_counter() - began_s
    process.communicate(timeout=_TIMEOUT_S)
    driver = connect(url)
    ((booked,),) = driver.select("SELECT COUNT(*) FROM journal_entries WHERE kind = 'top-up'")
    ((messages,),) = driver.select("SELECT COUNT(*) FROM outbox")
    problems = sum(x.problem_count for x in verify_all(driver, clock))
    driver.close()
    p50_ms, p99_ms = percentile(took_ms, 50), percentile(took_ms, 99)
    return Handled(len(took_ms), took_s, p50_ms, p99_ms, booked, messages, problems)


def _opened(url: str, count: int, now_us: int) -> list[str]:
    """Customers with an address, and payments of theirs that wait; the payments' keys."""
    database = open_engine(url)
    with transaction(database) as session:
        ensure_unit(session, Unit("EUR"))
        operator = open_operator(session, "Operator", now_us)
        ids = []
        for number in range(ACCOUNTS):
            account = open_account(session, NewAccount(f"c{number}", f"Customer {number}"), now_us)
            open_wallet(session, account, "EUR")
            session.add(PartyRow(account_id=account.id, legal_name="Customer", email="c@example.net"))
            ids.append(account.id)
        gateway = PaymentGatewayRow(
            issuer_id=operator.id, name="bench", kind="stripe", settings="{}", enabled=True, created_us=now_us
        )
        session.add(gateway)
        session.flush()
        fixed = {"gateway_id": gateway.id, "purpose": "top_up", "unit": "EUR", "amount": AMOUNT, "by": ""}
        fixed |= {"state": "open", "automatic": False, "save_method": False, "created_us": now_us}
        keys = [f"{number:032x}" for number in range(count)]
        rows = [
            fixed | {"account_id": ids[number % ACCOUNTS], "key": key, "gateway_ref": f"pay_{number}"}
            for number, key in enumerate(keys)
        ]
        session.execute(insert(GatewayPaymentRow), rows)
    database.dispose()
    return keys


def _told(number: int, key: str, at_us: int) -> Webhook:
    told = {"event": f"evt_{number}", "key": key, "ref": f"pay_{number}", "amount": AMOUNT // 10_000}
    body = json.dumps(told).encode()
    return {"X-At": str(at_us), "X-Signature": _signature(str(at_us), body)}, body


def _post_all(port: int, webhooks: Sequence[Webhook]) -> list[float]:
    """Post them by several connections at once; how long each took."""
    took_ms: list[float] = []

    def post(own: Sequence[Webhook]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
        for headers, body in own:
            began_s = time.perf_counter()
            connection.request("POST", "/webhooks/bench", body, headers)
            answer = connection.getresponse()
            told = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"a webhook was answered {answer.status}: {told!r}")
            took_ms.append((time.perf_counter() - began_s) * 1000)
        connection.close()

    threads = [threading.Thread(target=post, args=(webhooks[x::CLIENTS],)) for x in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(took_ms) != len(webhooks):
        raise RuntimeError(f"{len(webhooks)} webhooks were sent, {len(took_ms)} answered")
    return took_ms


def main() -> None:
    """Serve until the end of the standard input."""
    import structlog

    from pbxbill.web.desks import Desks
    from pbxbill.web.factory import create_app
    from pbxbill.web.serving import ServingSettings, WebServer

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    with open_application(sys.argv[1]) as application:
        gateway: Any = BenchGateway()
        desks = Desks(application, opened=lambda row: gateway)
        server = WebServer(create_app(desks), ServingSettings("127.0.0.1", 0, THREADS, 100, 60))
        print(server.port, flush=True)

        def stop() -> None:
            sys.stdin.read()
            server.stop()

        threading.Thread(target=stop, daemon=True).start()
        server.run()
        desks.close()


if __name__ == "__main__":
    main()
