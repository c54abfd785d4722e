"""Refunds and charge-backs: never more than was paid, never twice, put back where they fail or are won."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pbxbill.billing.parties import set_party
from pbxbill.billing.payments.gateway_payments import PaymentStanding
from pbxbill.billing.payments.held_payments import accept_held
from pbxbill.billing.points.points_rules import NewRule, add_rule
from pbxbill.charging.events import Adjust
from pbxbill.errors import InputRefused
from pbxbill.gateways.gateway import GatewayUnclear, RefundFacts
from pbxbill.money import Unit
from pbxbill.store.accounts import ensure_unit
from pbxbill.store.models import AccountRow
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.invoiced_accounts import JANUARY, operator_id
from tests.store.paying_accounts import Paying, paying_accounts
from tests.store.points_shop import POINTS


@pytest.fixture
def paying(accounts: BilledAccounts, tmp_path: Path) -> Iterator[Paying]:
    with paying_accounts(accounts, tmp_path) as made:
        yield made
        made.agree()
    assert_books_in_order(accounts.url)


def spend(paying: Paying, amount: str, code: str = "bob") -> None:
    with paying.transaction() as session:
        now_us = paying.clock.now_us()
        paying.books.post(session, [Adjust(amount, paying.accounts.ids[code], "EUR", -eur(amount), now_us)])


def invoice_paid(paying: Paying) -> tuple[int, int]:
    """An invoice of 1.20 and the payment that paid it."""
    paying.call("carol", 600, 3)
    invoice = paying.invoice("carol", JANUARY).invoice_id
    paid = paying.paid("1.20", "carol", purpose="invoice", invoice_ids=(invoice,))
    assert paying.row(invoice)["state"] == "paid"
    return invoice, paid.id


def test_a_payment_goes_back_in_parts_and_never_more_than_it(paying: Paying) -> None:
    paid = paying.paid("10")
    assert paying.give_back(paid.id, "4").state == "done"
    assert paying.wallet() == eur("6")
    with pytest.raises(InputRefused, match=r"only 6[.]00 EUR is left"):
        paying.give_back(paid.id, "6.01")
    assert paying.give_back(paid.id).state == "done"
    assert (paying.wallet(), paying.gateway.holds) == (0, 0)
    with pytest.raises(InputRefused, match=r"only 0[.]00 EUR is left"):
        paying.give_back(paid.id, "1")


def test_what_is_spent_does_not_go_back(paying: Paying) -> None:
    paid = paying.paid("10")
    spend(paying, "7")
    with pytest.raises(InputRefused, match="more than is free"):
        paying.give_back(paid.id, "4")
    assert paying.give_back(paid.id, "3").state == "done"


def test_nothing_goes_back_of_what_is_not_paid(paying: Paying) -> None:
    started = paying.start("10")
    with pytest.raises(InputRefused, match="nothing to give back"):
        paying.give_back(started.id)


def test_a_refund_that_is_refused_puts_the_money_back(paying: Paying) -> None:
    paid = paying.paid("10")
    paying.gateway.fault("refund", "refused")
    assert paying.give_back(paid.id, "4").error == "too late"
    assert paying.wallet() == eur("10")
    assert paying.give_back(paid.id, "10").state == "done"


def test_a_refund_that_fails_weeks_later_puts_the_money_back(paying: Paying) -> None:
    paid = paying.paid("10")
    paying.gateway.fault("refund", "open")
    assert paying.give_back(paid.id).state == "open"
    (ref,) = paying.accounts.select("SELECT gateway_ref FROM refunds")[0]
    paying.gateway.turn(ref, "failed")
    for _ in range(2):
        paying.tell(paying.told_back(ref))
    assert paying.wallet() == eur("10")
    paying.tell(paying.told_back(ref, state="done"))  # said before, and late
    assert paying.wallet() == eur("10")


@pytest.mark.parametrize("fault", ["late", "lost"])
def test_a_refund_without_an_answer_is_given_once(paying: Paying, fault: str) -> None:
    paid = paying.paid("10")
    paying.gateway.fault("refund", fault)
    refund = paying.give_back(paid.id, "4")
    assert (refund.state, paying.wallet()) == ("asking", eur("6"))
    paying.poll(130)
    paying.poll()
    assert (paying.wallet(), paying.gateway.holds) == (eur("6"), 600)
    assert paying.accounts.select("SELECT state FROM refunds") == [("done",)]


def test_a_refund_that_the_gateway_cannot_tell_of_stays_open_and_a_person_is_told_once(
    paying: Paying, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = paying.paid("10")
    gives_back = paying.gateway.refund

    def unclear(*asked: Any) -> RefundFacts:
        gives_back(*asked)
        raise GatewayUnclear("look at the dashboard")

    monkeypatch.setattr(paying.gateway, "refund", unclear)
    monkeypatch.setattr(paying.gateway, "find_refund", lambda *_: None)
    refund = paying.give_back(paid.id, "4")
    assert (refund.state, refund.error) == ("asking", "look at the dashboard")
    for _ in range(4):
        paying.poll(7200)
    assert (paying.wallet(), paying.gateway.holds) == (eur("6"), 600)
    assert paying.accounts.select("SELECT state FROM refunds") == [("asking",)]
    alerts = paying.accounts.select("SELECT detail FROM alerts WHERE kind = 'refund_unclear'")
    assert alerts == [("look at the dashboard",)]


def test_a_refund_of_the_whole_payment_opens_its_invoices_again(paying: Paying) -> None:
    invoice, payment = invoice_paid(paying)
    with pytest.raises(InputRefused, match="goes back whole"):
        paying.give_back(payment, "1", reopen=True)
    paying.gateway.fault("refund", "open")
    paying.give_back(payment, reopen=True)
    assert paying.row(invoice)["open"] == eur("1.20")
    (ref,) = paying.accounts.select("SELECT gateway_ref FROM refunds")[0]
    paying.gateway.turn(ref, "failed")
    paying.tell(paying.told_back(ref))
    assert paying.row(invoice)["state"] == "paid"  # paid again
    assert paying.give_back(payment, reopen=True).state == "done"
    assert paying.row(invoice)["open"] == eur("1.20")


def test_what_is_given_back_at_the_gateway_itself_is_owed(paying: Paying) -> None:
    paid = paying.paid("10")
    spend(paying, "7")
    ref = paying.gateway.give_back_there(paid.key, 500)
    for _ in range(3):
        assert paying.tell(paying.told_back(ref)).status == 200
    assert paying.wallet() == -eur("2")


def test_a_refund_whose_payment_is_not_known_yet_waits_for_it(paying: Paying) -> None:
    started = paying.start("10")
    paying.gateway.pay(started.key)
    ref = paying.gateway.give_back_there(started.key, 400)
    assert paying.tell(paying.told_back(ref)).status == 200
    assert paying.wallet() == eur("6")
    paying.tell(paying.told(started.key))
    assert paying.wallet() == eur("6")


def test_a_refund_that_cannot_be_understood_now_comes_again(paying: Paying) -> None:
    started = paying.start("10")
    paying.gateway.pay(started.key)
    ref = paying.gateway.give_back_there(started.key, 400)
    webhook = paying.told_back(ref)
    paying.gateway.fault("find", "lost")
    assert paying.tell(webhook).status == 503
    assert paying.tell(webhook).status == 200
    assert paying.wallet() == eur("6")


def test_a_charge_back_is_owed_at_once_and_booked_back_when_it_is_won(paying: Paying) -> None:
    paid = paying.paid("10")
    spend(paying, "7")
    ref = paying.gateway.give_back_there(paid.key, 1000, charge_back=True, state="open")
    for _ in range(2):
        paying.tell(paying.told_back(ref))
    assert paying.wallet() == -eur("7")
    assert paying.accounts.select("SELECT COUNT(*) FROM alerts WHERE kind = 'charge_back'") == [(1,)]
    paying.agree()
    paying.gateway.turn(ref, "failed")
    for _ in range(2):
        paying.tell(paying.told_back(ref))
    assert paying.wallet() == eur("3")
    paying.tell(paying.told_back(ref, state="open"))  # late
    assert paying.wallet() == eur("3")


def test_a_charge_back_opens_the_invoice_again(paying: Paying) -> None:
    invoice, payment = invoice_paid(paying)
    key = paying.standing(payment).key
    ref = paying.gateway.give_back_there(key, 120, charge_back=True, state="open")
    paying.tell(paying.told_back(ref))
    assert paying.row(invoice)["open"] == eur("1.20")
    paying.gateway.turn(ref, "done")
    paying.tell(paying.told_back(ref))
    assert paying.row(invoice)["open"] == eur("1.20")
    paying.gateway.turn(ref, "failed")
    paying.tell(paying.told_back(ref))
    assert paying.row(invoice)["state"] == "paid"


def test_a_charge_back_that_was_won_before_it_was_heard_of_moves_nothing(paying: Paying) -> None:
    paid = paying.paid("10")
    ref = paying.gateway.give_back_there(paid.key, 1000, charge_back=True, state="failed")
    paying.tell(paying.told_back(ref))
    paying.tell(paying.told_back(ref, state="open"))
    assert paying.wallet() == eur("10")


def held(paying: Paying, amount: int = 700) -> PaymentStanding:
    """10 EUR were asked for, and something else came."""
    begun = paying.start("10")
    paying.gateway.pay(begun.key, amount)
    paying.tell(paying.told(begun.key))
    return paying.standing(begun.id)


def accept(paying: Paying, payment_id: int) -> None:
    with paying.transaction() as session:
        accept_held(session, paying.books, payment_id, by="eve", now_us=paying.clock.now_us())


def test_a_held_payment_that_was_charged_back_is_not_accepted(paying: Paying) -> None:
    begun = held(paying)
    ref = paying.gateway.give_back_there(begun.key, 700, charge_back=True, state="open")
    paying.tell(paying.told_back(ref))
    with pytest.raises(InputRefused, match="is cancelled, not held"):
        accept(paying, begun.id)
    paying.gateway.turn(ref, "done")
    paying.tell(paying.told_back(ref))
    assert (paying.state(begun.id), paying.wallet()) == ("cancelled", 0)
    paying.gateway.turn(ref, "failed")
    paying.tell(paying.told_back(ref))
    accept(paying, begun.id)  # it was won, on appeal
    assert paying.wallet() == eur("7")


@pytest.mark.parametrize("charge_back", [False, True])
def test_what_is_left_of_a_held_payment_is_accepted_or_goes_back(paying: Paying, charge_back: bool) -> None:
    first, second = held(paying), held(paying)
    for begun in (first, second):
        ref = paying.gateway.give_back_there(begun.key, 300, charge_back=charge_back)
        for _ in range(2):
            paying.tell(paying.told_back(ref))
        paying.tell(paying.told(begun.key))
        assert paying.state(begun.id) == "held"
    accept(paying, first.id)
    assert paying.wallet() == eur("4")
    with pytest.raises(InputRefused, match=r"goes back whole: 4[.]00 EUR"):
        paying.give_back(second.id, "3")
    assert paying.give_back(second.id).state == "done"
    assert (paying.state(second.id), paying.gateway.holds) == ("cancelled", 400)


@pytest.mark.parametrize("has_unit", [True, False])
def test_the_notice_of_a_held_payment_that_goes_back_names_the_currency_that_came(
    paying: Paying, has_unit: bool
) -> None:
    with paying.transaction() as session:
        set_party(session, paying.accounts.ids["bob"], {"legal_name": "Bob", "email": "bob@example.org"})
        if has_unit:
            ensure_unit(session, Unit("JPY", 4, 0))
    begun = paying.start("10")
    paying.gateway.pay(begun.key, 1500, "JPY")
    paying.tell(paying.told(begun.key))
    assert paying.give_back(begun.id).state == "done"
    ((text,),) = paying.accounts.select("SELECT text FROM outbox WHERE kind = 'refund'")
    assert "EUR" not in text
    assert "€" not in text
    assert ("¥1,500" if has_unit else "1500 JPY") in text


def test_what_a_held_payment_is_called_stays(paying: Paying) -> None:
    begun = held(paying)
    paying.tell(paying.told(begun.key, state="open", gateway_ref="its page"))
    assert paying.give_back(begun.id).state == "done"
    assert paying.gateway.holds == 0


def test_a_charge_back_of_what_was_given_back_takes_no_more_points_than_were_earned(paying: Paying) -> None:
    with paying.transaction() as session:
        ensure_unit(session, POINTS)
        rule = NewRule("top_up", "PTS", "EUR", eur("1"), 1, worth=eur("0.01"))
        add_rule(session, session.get_one(AccountRow, operator_id(session)), rule, 0)
    paying.paid("10")
    paid = paying.paid("10")
    paying.give_back(paid.id)
    ref = paying.gateway.give_back_there(paid.key, 1000, charge_back=True)
    paying.tell(paying.told_back(ref))
    assert paying.accounts.select("SELECT posted FROM wallets WHERE unit = 'PTS'") == [(10,)]
