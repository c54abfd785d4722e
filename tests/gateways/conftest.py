"""Gateways, each connected to a server that behaves as its service does."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pbxbill.gateways.gateway import PaymentGateway
from pbxbill.gateways.registry import open_gateway
from tests.gateways.paypal_server import PaypalServer
from tests.gateways.stripe_server import StripeServer


@pytest.fixture
def stripe_server() -> Iterator[StripeServer]:
    """A Stripe of our own."""
    with StripeServer() as server:
        yield server


@pytest.fixture
def stripe_gateway(stripe_server: StripeServer, tmp_path: Path) -> PaymentGateway:
    """A gateway that asks it, and waits two seconds for an answer."""
    return open_gateway("stripe", json.dumps(stripe_server.settings(tmp_path, timeout_s=2)))


@pytest.fixture
def paypal_server() -> Iterator[PaypalServer]:
    """A PayPal of our own."""
    with PaypalServer() as server:
        yield server


@pytest.fixture
def paypal_gateway(paypal_server: PaypalServer, tmp_path: Path) -> PaymentGateway:
    """A gateway that asks it, and waits two seconds for an answer."""
    return open_gateway("paypal", json.dumps(paypal_server.settings(tmp_path, timeout_s=2)))
