"""Payments through a gateway: booked once however often it is said, found if nobody does, held if wrong."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pbxbill.billing.payments.held_payments import accept_held
from pbxbill.billing.payments.webhook_handling import forget_handled
from pbxbill.errors import InputRefused
from pbxbill.ledger.accounts import LedgerCode
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.invoiced_accounts import JANUARY
from tests.store.paying_accounts import Paying, paying_accounts


@pytest.fixture
def paying(accounts: BilledAccounts, tmp_path: Path) -> Iterator[Paying]:
    with paying_accounts(accounts, tmp_path) as made:
        yield made
    assert_books_in_order(accounts.url)


def test_a_payer_goes_to_the_gateway_and_his_wallet_is_filled_when_it_says_so(paying: Paying) -> None:
    started = paying.start("10")
    assert started.state == "open"
    assert started.url.startswith("https://pay.example/")
    assert paying.wallet() == 0
    paying.gateway.pay(started.key)
    assert paying.tell(paying.told(started.key)).status == 200
    assert paying.state(started.id) == "paid"
    assert paying.wallet() == eur("10")
    assert paying.balance(LedgerCode.CASH) == eur("10")


def test_a_webhook_that_comes_again_books_nothing_more(paying: Paying) -> None:
    started = paying.start("10")
    paying.gateway.pay(started.key)
    webhook = paying.told(started.key)
    for _ in range(3):
        assert paying.tell(webhook).status == 200
    assert paying.tell(paying.told(started.key)).status == 200  # the same news, as another event
    assert paying.wallet() == eur("10")
    assert [(outcome, times) for outcome, times, _ in paying.webhooks()] == [("handled", 3), ("nothing", 1)]


def test_a_payment_pays_the_invoices_it_was_for_and_the_rest_is_funds(paying: Paying) -> None:
    paying.call("carol", 600, 3)
    invoice = paying.invoice("carol", JANUARY).invoice_id
    paid = paying.paid("5", "carol", purpose="invoice", invoice_ids=(invoice,))
    assert paid.state == "paid"
    assert paying.row(invoice)["state"] == "paid"
    assert paying.wallet("carol") == eur("3.80")
    receipts = paying.accounts.select("SELECT total FROM invoices WHERE kind = 'receipt'")
    assert receipts == [(eur("5"),)]


def test_forged_and_old_webhooks_move_nothing_and_are_kept(paying: Paying) -> None:
    started = paying.start("10")
    paying.gateway.pay(started.key)
    headers, body = paying.told(started.key)
    assert paying.tell((headers | {"x-signature": "0" * 64}, body)).status == 400
    assert paying.tell((headers, body.replace(b"1000", b"9000"))).status == 400
    assert paying.tell(({}, body)).status == 400
    assert paying.tell(({}, b"")).status == 400
    paying.later(301)
    assert paying.tell((headers, body)).detail == "it is too old"
    assert paying.tell((headers, body), "nobody").status == 404
    assert paying.wallet() == 0
    assert {outcome for outcome, _, _ in paying.webhooks()} == {"refused"}


def test_a_flood_of_refused_webhooks_is_not_written(paying: Paying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pbxbill.billing.payments.webhook_handling.REFUSED_A_MINUTE", 3)
    for number in range(6):
        assert paying.tell(({}, f"{number}".encode())).status == 400
    assert len(paying.webhooks()) == 3
    paying.later(61)
    paying.tell(({}, b"later"))
    assert len(paying.webhooks()) == 4


def test_refused_webhooks_do_not_fill_the_disk(paying: Paying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pbxbill.billing.payments.webhook_handling.REFUSED_KEPT", 5)
    for number in range(9):
        paying.tell(({"cookie": "secret"}, b"%d" % number + b"x" * 10_000))
    kept = paying.accounts.select("SELECT body, headers FROM received_webhooks ORDER BY id")
    assert [bytes(body)[:1] for body, _ in kept] == [b"4", b"5", b"6", b"7", b"8"]
    assert all(len(body) == 4096 and "secret" not in headers for body, headers in kept)


def test_webhooks_that_were_handled_are_forgotten_after_400_days(paying: Paying) -> None:
    paying.paid("10")
    assert paying.tell(({}, b"forged")).status == 400
    paying.later(399 * 86_400)
    paying.paid("5")

    def forget() -> int:
        with paying.transaction() as session:
            return forget_handled(session, paying.clock.now_us(), 100)

    assert forget() == 0
    paying.later(2 * 86_400)
    assert forget() == 1
    assert [outcome for outcome, _, _ in paying.webhooks()] == ["refused", "handled"]
    assert paying.wallet() == eur("15")


def test_paid_after_it_expired_is_booked_all_the_same(paying: Paying) -> None:
    started = paying.start("10")
    paying.gateway.end(started.key, "expired")
    paying.tell(paying.told(started.key))
    assert paying.state(started.id) == "expired"
    paying.gateway.pay(started.key)
    paying.tell(paying.told(started.key))
    assert paying.state(started.id) == "paid"
    assert paying.wallet() == eur("10")
    paying.tell(paying.told(started.key, state="expired"))  # late
    assert paying.state(started.id) == "paid"


@pytest.mark.parametrize("amount, currency", [(900, "EUR"), (1000, "USD")])
def test_what_differs_from_what_was_asked_is_held(paying: Paying, amount: int, currency: str) -> None:
    started = paying.start("10")
    paying.gateway.pay(started.key, amount, currency)
    assert paying.tell(paying.told(started.key)).status == 200
    assert paying.state(started.id) == "held"
    assert paying.wallet() == 0
    alerts = paying.accounts.select("SELECT COUNT(*) FROM alerts WHERE kind = 'payment_held'")
    assert alerts == [(1,)]


def test_a_held_payment_is_accepted_with_what_really_came(paying: Paying) -> None:
    started = paying.start("10")
    paying.gateway.pay(started.key, 900)
    paying.tell(paying.told(started.key))
    with paying.transaction() as session:
        accept_held(session, paying.books, started.id, by="eve", now_us=paying.clock.now_us())
    assert paying.wallet() == eur("9")
    paying.tell(paying.told(started.key))
    assert paying.wallet() == eur("9")
    with pytest.raises(InputRefused, match="is paid, not held"), paying.transaction() as session:
        accept_held(session, paying.books, started.id, by="eve", now_us=paying.clock.now_us())


@pytest.mark.parametrize("more", [{"gateway_ref": "pay_other"}, {"amount": 1200}])
def test_a_payer_who_paid_twice_is_told_of(paying: Paying, more: dict[str, str | int]) -> None:
    paid = paying.paid("10")
    for _ in range(2):
        assert paying.tell(paying.told(paid.key, **more)).detail == "held"
    assert (paying.wallet(), paying.state(paid.id)) == (eur("10"), "paid")
    ((detail,),) = paying.accounts.select("SELECT detail FROM alerts WHERE kind = 'payment_held'")
    assert "pay_1 is booked already" in detail


def test_a_held_payment_goes_back_whole(paying: Paying) -> None:
    started = paying.start("10")
    paying.gateway.pay(started.key, 900, "USD")
    paying.tell(paying.told(started.key))
    with paying.transaction() as session, pytest.raises(InputRefused, match="no USD wallet"):
        accept_held(session, paying.books, started.id, by="eve", now_us=paying.clock.now_us())
    assert paying.give_back(started.id).state == "done"
    assert paying.state(started.id) == "cancelled"
    paying.tell(paying.told(started.key))
    assert (paying.state(started.id), paying.wallet(), paying.gateway.holds) == ("cancelled", 0, 0)


def test_a_saved_card_is_charged(paying: Paying) -> None:
    paying.save_card()
    charged = paying.charge_card("10")
    assert charged.state == "paid"
    assert paying.wallet() == eur("10")


def test_a_card_is_saved_when_its_payer_agrees(paying: Paying) -> None:
    paying.paid("10", save_method=True)
    assert paying.charge_card("5").state == "paid"
    assert paying.wallet() == eur("15")
    (card,) = paying.accounts.select("SELECT brand, last4, expires, preferred FROM saved_methods")
    assert tuple(card) == ("visa", "4242", "2031-07", True)
    method_ref = paying.accounts.select("SELECT method_ref FROM saved_methods")[0][0]
    paying.tell(paying.gateway.told_of_removal(method_ref, paying.clock.now_us()))
    with pytest.raises(InputRefused, match="no saved method"):
        paying.charge_card("5")


def test_a_decline_moves_nothing_and_is_told(paying: Paying) -> None:
    paying.save_card()
    paying.gateway.fault("charge", "declined")
    charged = paying.charge_card("10")
    assert (charged.state, charged.error, charged.retryable) == ("declined", "no funds", False)
    paying.gateway.fault("charge", "busy")
    assert paying.charge_card("10").retryable
    assert paying.wallet() == 0
    paying.poll()
    assert paying.gateway.charges == 0


def test_a_gateway_that_charges_and_does_not_answer_is_found_and_never_charges_twice(paying: Paying) -> None:
    paying.save_card()
    paying.gateway.fault("charge", "late")
    charged = paying.charge_card("10")
    assert (charged.state, paying.wallet(), paying.gateway.charges) == ("asking", 0, 1)
    paying.poll(130)
    assert paying.state(charged.id) == "paid"
    assert (paying.wallet(), paying.gateway.charges) == (eur("10"), 1)
    paying.poll()
    assert (paying.wallet(), paying.gateway.charges) == (eur("10"), 1)


def test_a_charge_that_never_arrived_is_made_by_the_poll(paying: Paying) -> None:
    paying.save_card()
    paying.gateway.fault("charge", "lost")
    charged = paying.charge_card("10")
    paying.gateway.fault("find", "lost")
    paying.poll(130)
    assert (paying.state(charged.id), paying.gateway.charges) == ("asking", 0)
    paying.poll(300)
    assert (paying.state(charged.id), paying.gateway.charges, paying.wallet()) == ("paid", 1, eur("10"))


def test_what_the_gateway_does_not_know_after_a_while_is_given_up(paying: Paying) -> None:
    paying.gateway.fault("start", "lost")
    started = paying.start("10")
    assert started.state == "asking"
    paying.poll(1000)
    assert paying.state(started.id) == "expired"


def test_a_payment_whose_webhook_never_came_is_found_by_polling(paying: Paying) -> None:
    started = paying.start("10")
    paying.poll(60)
    assert paying.state(started.id) == "open"
    paying.gateway.pay(started.key)
    paying.poll()
    assert paying.state(started.id) == "paid"
    assert paying.wallet() == eur("10")


def test_a_clock_that_was_ahead_keeps_no_payment_from_being_asked_about(paying: Paying) -> None:
    begun = paying.start("10")
    year_us = 365 * 86_400_000_000
    paying.clock.step(year_us)
    ahead = paying.start("10")
    paying.clock.step(-year_us)
    for payment in (begun, ahead):
        paying.gateway.pay(payment.key)
    paying.poll(130)
    assert [paying.state(payment.id) for payment in (begun, ahead)] == ["paid", "paid"]


def test_polling_backs_off_and_ends(paying: Paying) -> None:
    started = paying.start("10")
    polls = 0
    for _ in range(32 * 24):
        paying.later(3600)
        polls += paying.desk.poll_due()
    assert 20 < polls < 60
    assert paying.state(started.id) == "expired"


def test_an_account_pays_to_its_issuers_gateways(paying: Paying) -> None:
    assert paying.start("10", "alice").gateway == "cards-reseller"
    assert paying.start("10", "bob").gateway == "cards"
    with pytest.raises(InputRefused, match="does not take EUR from account bob"):
        paying.start("10", "bob", gateway="cards-reseller")
    with pytest.raises(InputRefused, match="whole coins"):
        paying.start("0.001")


def test_a_webhook_of_another_issuers_gateway_moves_nothing(paying: Paying) -> None:
    started = paying.start("10")
    paying.gateway.pay(started.key)
    assert paying.tell(paying.told(started.key), "cards-reseller").status == 200
    assert (paying.wallet(), paying.state(started.id)) == (0, "open")
