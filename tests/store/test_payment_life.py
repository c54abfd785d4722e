"""Payments as they really go: whatever is said, lost, repeated, and dies on the way, the books end equal.

Each life is drawn from a seed: payers pay, cards are charged, webhooks come late, twice, or never, money goes
back here and there, gateways do not answer, and processes die at any commit. Then polls and the gateway's own
repetitions go on until nothing is open, and the ledger must be what the gateway holds.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pbxbill.billing.payments.gateway_payments import GatewayDesk
from pbxbill.billing.payments.refunds import RefundDesk
from pbxbill.errors import InputRefused
from pbxbill.ledger.accounts import LedgerCode
from tests.books_in_order import assert_books_in_order
from tests.store.billed_accounts import BilledAccounts
from tests.store.invoiced_accounts import JANUARY
from tests.store.paying_accounts import Paying, paying_accounts
from tests.store.scripted_gateway import ScriptedGateway, Webhook

STEPS = 45
SEEDS = range(4)
FAULTS = {
    "start": ("lost", "late", "refused", "busy"),
    "charge": ("lost", "late", "declined", "busy", "open"),
    "find": ("lost",),
    "refund": ("lost", "late", "refused", "busy", "open"),
    "find_refund": ("lost",),
}


class Died(BaseException):
    """The process is gone: nothing of ours catches it."""


class MortalDesk(GatewayDesk):
    """Dies at a commit now and then, before it or after."""

    dice: random.Random

    @contextmanager
    def writing(self) -> Iterator[Any]:
        end = self.dice.random() if self.mortal else 1.0
        with super().writing() as found:
            yield found
            if end < 0.06:
                raise Died
        if end < 0.12:
            raise Died

    mortal = True


class Life:
    """One seed's life of a few accounts and their gateway."""

    def __init__(self, paying: Paying, seed: int) -> None:
        self.paying, self.dice = paying, random.Random(seed)
        self.gateway: ScriptedGateway = paying.gateway
        desk = MortalDesk(
            paying.database, paying.books, paying.clock, opened=lambda row: self.gateway, public_url=""
        )
        desk.dice = self.dice
        self.desk = paying.desk = desk
        paying.refunds = RefundDesk(desk)
        self.sent: list[Webhook] = []
        """What the gateway was not answered for."""
        self.said: list[Webhook] = []

    def live(self) -> None:
        steps = (
            [self.start] * 4
            + [self.charge] * 3
            + [self.pay] * 6
            + [self.end, self.give_back_there, self.charge_back]
            + [self.turn] * 2
            + [self.deliver] * 8
            + [self.repeat] * 3
            + [self.refund] * 4
            + [self.poll] * 4
            + [self.break_down] * 4
        )
        for _ in range(STEPS):
            try:
                self.dice.choice(steps)()
            except Died:
                self.paying.books.forget()
            except InputRefused:
                pass  # funds are short, or nothing is left of it
            self.paying.later(self.dice.choice((1, 20, 90)))

    def settle(self) -> None:
        """Nothing dies any more, and gateways answer."""
        self.desk.mortal = False
        self.gateway.answer_from_now_on()
        for key in self.gateway.keys("open"):
            self.gateway.end(key, "expired")
        for ref in self.gateway.turning():
            self.gateway.turn(ref, "done")
            self.send_refund(ref)
        for _ in range(12):
            while self.sent:
                self.deliver()
            self.paying.poll(3 * 3600)

    def send(self, key: str) -> None:
        self.sent.append(self.paying.told(key))

    def send_refund(self, ref: str) -> None:
        self.sent.append(self.paying.told_back(ref))

    def start(self) -> None:
        invoice = self.dice.random() < 0.4
        code, purpose = ("carol", "invoice") if invoice else ("bob", "top_up")
        self.paying.start(str(self.dice.randint(1, 20)), code, purpose=purpose)

    def charge(self) -> None:
        self.paying.charge_card(str(self.dice.randint(1, 20)))

    def pay(self) -> None:
        if keys := self.gateway.keys("open") + self.gateway.keys("expired"):
            key = self.dice.choice(keys)
            had_ended = key not in self.gateway.keys("open")
            self.gateway.pay(key)
            # Else its webhook is lost; of what had ended only a webhook tells.
            if had_ended or self.dice.random() < 0.7:
                self.send(key)

    def end(self) -> None:
        if keys := self.gateway.keys("open"):
            key = self.dice.choice(keys)
            self.gateway.end(key, self.dice.choice(("expired", "cancelled", "declined")))
            self.send(key)

    def give_back_there(self, *, charge_back: bool = False) -> None:
        if keys := self.gateway.keys("paid"):
            key = self.dice.choice(keys)
            left = self.gateway.left(key)
            if left > 0:
                amount = left if charge_back else self.dice.randint(1, left // 100) * 100
                state = "open" if charge_back else "done"
                self.send_refund(
                    self.gateway.give_back_there(key, amount, charge_back=charge_back, state=state)
                )

    def charge_back(self) -> None:
        self.give_back_there(charge_back=True)

    def turn(self) -> None:
        if refs := self.gateway.turning():
            ref = self.dice.choice(refs)
            self.gateway.turn(ref, self.dice.choice(("done", "failed")))
            self.send_refund(ref)

    def deliver(self) -> None:
        """In any order; what is not answered with 200 comes again."""
        if self.sent:
            webhook = self.sent.pop(self.dice.randrange(len(self.sent)))
            self.said.append(webhook)
            try:
                if self.paying.tell(self._fresh(webhook)).status != 200:
                    self.sent.append(webhook)
            except Died:
                self.sent.append(webhook)
                raise

    def repeat(self) -> None:
        if self.said:
            self.paying.tell(self._fresh(self.dice.choice(self.said)))

    def _fresh(self, webhook: Webhook) -> Webhook:
        """As the gateway signs it when it sends it again."""
        return self.gateway.signed_again(webhook, self.paying.clock.now_us())

    def refund(self) -> None:
        rows = self.paying.accounts.select(
            "SELECT id, received - refunded FROM gateway_payments WHERE state = 'paid'"
        )
        if left := [(id, most) for id, most in rows if most > 0]:
            id, most = self.dice.choice(left)
            amount = None if self.dice.random() < 0.5 else str(self.dice.randint(1, most // 1_000_000))
            self.paying.give_back(id, amount, reopen=amount is None and self.dice.random() < 0.5)

    def poll(self) -> None:
        self.paying.poll(self.dice.choice((60, 600)))

    def break_down(self) -> None:
        request = self.dice.choice(list(FAULTS))
        self.gateway.fault(request, self.dice.choice(FAULTS[request]))


@pytest.fixture
def paying(accounts: BilledAccounts, tmp_path: Path) -> Iterator[Paying]:
    with paying_accounts(accounts, tmp_path) as made:
        yield made
    assert_books_in_order(accounts.url)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_books_are_what_the_gateway_holds(paying: Paying, seed: int) -> None:
    paying.call("carol", 3000, 3)
    paying.invoice("carol", JANUARY)
    paying.save_card()
    life = Life(paying, seed)
    life.live()
    life.settle()
    waiting = paying.accounts.select(
        "SELECT id, state, error FROM gateway_payments WHERE state IN ('asking', 'open') "
        "UNION SELECT id, state, reason FROM refunds WHERE kind = 'refund' AND state IN ('asking', 'open')"
    )
    assert waiting == []
    assert paying.balance(LedgerCode.CASH) == paying.gateway.holds * 10_000
    rows = paying.accounts.select("SELECT key, received FROM gateway_payments WHERE state = 'paid'")
    booked: dict[str, int] = dict(rows)
    assert {key: amount // 10_000 for key, amount in booked.items()} == paying.gateway.paid
