"""What every payment gateway offers, and the facts that pass between it and billing.

Amounts are whole minor units of an ISO 4217 currency (cents; yen as they are). Every request that could move
money carries our own key, by which the service does it once however often it is asked. A gateway says what
happened by values; GatewayUnreachable means that nobody knows yet, and that find() will tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pbxbill.errors import PbxbillError


class GatewayUnreachable(PbxbillError):
    """The service did not answer in time, or not in its own words: what was asked may have been done."""


class GatewayUnclear(GatewayUnreachable):
    """The service answered, and asking again will tell no more: a person has to look there."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A payment that is wanted."""

    key: str
    """Ours; the service's idempotency key, and what it tells us in every webhook about it."""
    amount: int
    currency: str
    """ISO 4217, upper case."""
    description: str
    """Shown to the payer."""
    customer_ref: str = ""
    """What the service calls the payer, if it knows him."""
    email: str = ""
    name: str = ""
    language: str = "en"
    save_method: bool = False
    """The payer agrees that his card is kept for later."""
    return_url: str = ""
    """Where the payer's browser goes afterwards, however it ended."""


@dataclass(frozen=True, slots=True)
class Method:
    """A way to pay that a service keeps."""

    customer_ref: str
    method_ref: str
    brand: str
    last4: str
    expires: str
    """YYYY-MM; empty: never."""


class PaymentState(StrEnum):
    """What a service says of a payment."""

    OPEN = "open"
    """It waits for the payer, or is on its way."""
    PAID = "paid"
    DECLINED = "declined"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Started:
    """The payer can pay there now."""

    gateway_ref: str
    url: str
    """To which his browser is sent."""
    form: Mapping[str, str] | None = None
    """Fields that it posts there; None: it simply goes there."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The service does not want it, and has done nothing."""

    why: str
    retryable: bool = False
    """It may be different later: too many requests, a service that is down for maintenance."""


@dataclass(frozen=True, slots=True)
class PaymentFacts:
    """What a service says of a payment, in a webhook or when it is asked."""

    key: str
    """Ours, as it kept it; empty: it names none."""
    gateway_ref: str
    """What the service calls it now, in place of what it said before: some name the page until it is paid,
    and the money from then on. find() takes either."""
    state: PaymentState
    amount: int
    """What was received; of one that is not paid: what is asked for."""
    currency: str
    why: str = ""
    """Of a decline."""
    method: Method | None = None
    """What it kept of the way to pay, where the payer agreed."""


class RefundState(StrEnum):
    """What a service says of a refund or a charge-back."""

    OPEN = "open"
    DONE = "done"
    FAILED = "failed"
    """Money was not given back; of a charge-back: it was won. A charge-back that was DONE can still be won,
    on appeal; neither becomes OPEN again, whatever comes late."""


@dataclass(frozen=True, slots=True)
class RefundFacts:
    """What a service says of money that went back."""

    payment_ref: str
    """The payment's gateway_ref. Where no payment is known by it (what told that it was paid has not come
    yet), find("", payment_ref) tells of which key it is."""
    key: str
    """Ours; empty: it was not us who asked."""
    gateway_ref: str
    state: RefundState
    amount: int
    currency: str
    charge_back: bool = False
    """The payer's bank took it."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class MethodRemoved:
    """The payer or his bank took a saved method away."""

    method_ref: str


@dataclass(frozen=True, slots=True)
class MethodChanged:
    """A saved method is now so: banks replace cards that expire without asking anybody."""

    method: Method


Fact = PaymentFacts | RefundFacts | MethodRemoved | MethodChanged


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """A webhook whose sender is proven, of an age that is allowed."""

    event_ref: str
    """The service's id of it: one that comes again has the same."""
    kind: str
    fact: Fact | None
    """None: it concerns nothing that we act on."""
    ask_again: str = ""
    """gateway_ref of a payment that it is about without saying enough: find() tells. Beside a fact: what the
    fact says is certain, and find() knows more, such as the card that was kept."""


@dataclass(frozen=True, slots=True)
class Forged:
    """A webhook that is not believed: signature, age or form."""

    why: str


class PaymentGateway(Protocol):
    """An issuer's account at a payment service. Every call has a time-out; none is retried inside."""

    kind: str

    def step(self, currency: str) -> int:
        """What amounts in a currency must be multiples of, in its minor units: 1 for most."""
        ...

    def start(self, asked: Asked) -> Started | Refusal:
        """Begin a payment that the payer makes on the service's own page. The same key begins one."""
        ...

    def charge(self, asked: Asked, method_ref: str) -> PaymentFacts | Refusal:
        """Take money by a saved method (asked.customer_ref's) without the payer there.

        After GatewayUnreachable find() tells what became of it. Asked again with the same key (within a day:
        services forget keys) it is taken once, but what is then refused may have been taken the first time.
        """
        ...

    def find(self, key: str, gateway_ref: str, customer_ref: str = "") -> PaymentFacts | None:
        """What became of a payment; None: the service does not know it, so that nothing was moved.

        customer_ref: of the saved method that was charged, where the answer to charge() never came: services
        find a payment without its name among its payer's. One that was begun and moved nothing is ended, so
        that what is said here stays true.
        """
        ...

    def refund(self, payment_ref: str, key: str, amount: int, currency: str) -> RefundFacts | Refusal:
        """Give back a payment, or part of it.

        After GatewayUnreachable find_refund() tells what became of it. Where it knows of none, the same may
        be asked again with the same key, and is given back once.
        """
        ...

    def find_refund(self, payment_ref: str, key: str, gateway_ref: str) -> RefundFacts | None:
        """What became of a refund; None: the service does not know it."""
        ...

    def methods(self, customer_ref: str) -> list[Method]:
        """What the service keeps of a payer."""
        ...

    def remove_method(self, method_ref: str) -> None:
        """Let the service forget a way to pay; one that is gone already is no fault."""
        ...

    def read_webhook(self, headers: Mapping[str, str], body: bytes, now_us: int) -> WebhookEvent | Forged:
        """Check who sent it, and when; then what it says. headers: names in lower case.

        GatewayUnreachable: the service has to be asked about it, and cannot be now.
        """
        ...
