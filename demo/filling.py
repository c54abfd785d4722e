"""A wallet that fills itself in the middle of a call, from a card that a gateway keeps.

The gateway is a small Stripe on this machine. The payer saves his card on its page; when his funds run low
during a call, he is told, his card is charged, and the call goes on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from urllib.request import urlopen

from demo import site
from demo.performance import Played
from demo.product import Product
from demo.promise import Promise
from demo.script import FILLED_AMOUNT, FILLED_FUNDS, FILLED_TALK_MS
from lab.process import wait_until
from tests.gateways.stripe_server import StripeServer

GATEWAY = "card"
ADDRESS = "vera@example.net"
FIRST_PAYMENT = "1.00"
BELOW = "0.08"
"""Reached as soon as the call has its first seconds."""
TOLD = ("low_balance", "top_up")


@contextmanager
def card_saved(product: Product) -> Iterator[StripeServer]:
    """A gateway, and an account whose card it keeps; what the account paid there is spent already."""
    vera = site.VERA.code
    with StripeServer() as stripe:
        settings = [f"{name}={value}" for name, value in stripe.settings(product.directory).items()]
        words = [word for setting in settings for word in ("--set", setting)]
        product.command("payment-gateways", "add", GATEWAY, "stripe", "--units", "EUR", *words)
        product.command("parties", "set", vera, "--legal-name", site.VERA.name, "--email", ADDRESS)
        stripe.webhooks_to(f"{product.web_url}/webhooks/{GATEWAY}")
        started = product.json("payments", "start", vera, FIRST_PAYMENT, "--save-method")
        with urlopen(started["link"], timeout=10) as page:  # noqa: S310  # our own page, which leads to Stripe's
            stripe.pay(page.url)
        wait_until(lambda: product.json("payments", "methods", "list", vera) != [], 10, "the card is saved")
        spent = Decimal(FIRST_PAYMENT) - Decimal(FILLED_FUNDS)
        product.command("adjust", vera, f"-{spent}", "--memo", "spent before this evening")
        product.command("thresholds", "set", vera, BELOW)
        product.command("auto-topup", "set", vera, "--below", BELOW, "--amount", FILLED_AMOUNT)
        yield stripe


def examine_filling(product: Product, stripe: StripeServer, played: list[Played]) -> Iterator[Promise]:
    """What the caller, the account's letter box, the gateway and the ledger saw of it."""
    (call,) = (each for each in played if each.scene.account == site.VERA.code)
    talked_ms = sum((x.talked_us or 0) for x in call.result.calls) // 1000
    yield Promise(
        "a card filled the wallet, and the call went on",
        talked_ms >= FILLED_TALK_MS - 500,
        f"{talked_ms / 1000:.1f} s with funds for {FILLED_FUNDS} EUR",
    )
    charged = Decimal(stripe.received("EUR")) / 100
    paid = [Decimal(x["received"]) for x in product.json("payments", "gateway")]
    yield Promise(
        "what the gateway took is what was booked",
        charged == sum(paid) > 1,
        f"{charged} EUR, {len(paid)} charges",
    )
    told: list[dict[str, Any]] = product.json("mail", "list", "--account", site.VERA.code)
    found = [x["subject"] for kind in TOLD for x in told if x["kind"] == kind]
    yield Promise(
        "who pays was told of low funds and of the charge",
        len(found) >= len(TOLD),
        "; ".join(found) or "nothing",
    )
