"""Calling cards on each database: who is let in where, what guessing costs, what is charged to whom."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import select

from pbxbill.app import Application
from pbxbill.billing.codes.calling_cards import (
    add_card,
    add_known_caller,
    block,
    card_by_id,
    new_pin,
    remove_known_caller,
    unblock,
)
from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.charging.events import Answer, Granted, Settle
from pbxbill.clock import SECOND_US, ManualClock
from pbxbill.errors import InputRefused
from pbxbill.ivr.access_number import AccessTerms
from pbxbill.ivr.access_numbers import put_access_number, remove_access_number
from pbxbill.ivr.desk import CardDesk, Lines
from pbxbill.ivr.turns import (
    CallerUnknown,
    Card,
    CardKnown,
    Cost,
    LastCall,
    PinWrong,
    Refilled,
    VoucherWrong,
)
from pbxbill.store.accounts import account_by_code
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.payment_models import CallingCardRow
from tests.small_operator import EUR, eur
from tests.store.billed_accounts import MINUTE_US, BilledAccounts
from tests.store.command_line import Ok, Run
from tests.store.invoiced_accounts import Invoicing
from tests.store.voucher_shop import VoucherShop

NUMBER, RESELLERS, CALLER = "33155501", "33155502", "33612345678"
WRONG = "00000000"


@dataclass
class Cards:
    """An access number of the operator, one of the reseller, and a desk."""

    accounts: BilledAccounts
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.database = open_engine(self.accounts.url)
        self.desk = CardDesk(Application(self.accounts.url, None, self.clock, self.database))
        with transaction(self.database) as session:
            for number, code in ((NUMBER, None), (RESELLERS, "reseller")):
                put_access_number(session, issuer_by_code(session, code), number, AccessTerms(), 0)

    def card(self, code: str = "bob", **terms: object) -> tuple[int, str]:
        """A new card and its PIN."""
        with transaction(self.database) as session:
            made = add_card(session, account_by_code(session, code), self.clock.now_us(), **terms)  # type: ignore[arg-type]
            return made.card_id, made.pin

    def enter(self, pin: str, number: str = NUMBER, caller: str = CALLER) -> Card:
        """Who is let in by a PIN."""
        found = self.desk.check_pin(number, caller, pin)
        assert isinstance(found, CardKnown), found
        return found.card

    def refused(self, pin: str, number: str = NUMBER, caller: str = CALLER) -> int:
        """How long somebody waits whose PIN is refused."""
        found = self.desk.check_pin(number, caller, pin)
        assert isinstance(found, PinWrong), found
        return found.wait_s

    def know(self, number: str, card_id: int) -> str:
        with transaction(self.database) as session:
            return add_known_caller(session, card_by_id(session, card_id), number, 0)

    def call(self, card: Card, lasts_us: int) -> str:
        """A call of the card's; its session."""
        with self.accounts.engine() as engine:
            granted = engine.execute(self.accounts.request(card.endpoint))
            assert isinstance(granted, Granted), granted
            at_us = ManualClock().now_us()
            engine.execute(Answer(granted.session_id, at_us, "leg"))
            engine.execute(Settle(granted.session_id, at_us, at_us + lasts_us, 16))
            return granted.session_id


@pytest.fixture
def cards(accounts: BilledAccounts) -> Iterator[Cards]:
    made = Cards(accounts)
    yield made
    made.database.dispose()
    assert accounts.problems() == []


def test_a_pin_opens_its_card_and_says_what_it_has(cards: Cards) -> None:
    cards.accounts.top_up("bob", "5")
    card_id, pin = cards.card()
    assert len(pin) == 10
    assert pin.isdigit()
    card = cards.enter(pin)
    assert (card.card_id, card.available, card.unit.code, card.valid_until) == (
        card_id,
        eur("5"),
        "EUR",
        None,
    )
    assert cards.desk.card(NUMBER, card_id) == card


def test_no_pin_is_in_the_database(cards: Cards) -> None:
    _, pin = cards.card()
    assert pin not in str(cards.accounts.select("SELECT * FROM calling_cards"))


def test_what_a_card_calls_is_charged_to_its_account_and_told(cards: Cards) -> None:
    cards.accounts.top_up("bob", "5")
    _, pin = cards.card()
    card = cards.enter(pin)
    assert cards.desk.last_call(card) == LastCall(None)
    session_id = cards.call(card, 2 * MINUTE_US)
    assert cards.desk.is_closed(session_id)
    assert cards.desk.cost(card, session_id) == Cost(eur("0.24"), EUR)
    assert cards.desk.card(NUMBER, card.card_id) == Card(
        card.card_id, card.account_id, card.endpoint, eur("4.76"), EUR
    )


def test_the_last_call_is_that_of_the_card(cards: Cards, monkeypatch: pytest.MonkeyPatch) -> None:
    cards.accounts.top_up("bob", "5")
    first, second = (cards.enter(cards.card()[1]) for _ in range(2))
    cards.call(first, MINUTE_US)
    cards.call(second, 3 * MINUTE_US)
    assert cards.desk.last_call(first) == LastCall(Cost(eur("0.12"), EUR))
    assert cards.desk.last_call(second) == LastCall(Cost(eur("0.36"), EUR))


def test_nobody_hears_what_anothers_call_cost(cards: Cards) -> None:
    cards.accounts.top_up("bob", "5")
    session_id = cards.call(cards.enter(cards.card()[1]), MINUTE_US)
    other = cards.enter(cards.card("carol")[1])
    assert cards.desk.cost(other, session_id) is None


def test_cards_work_at_the_numbers_of_their_seller_and_above(cards: Cards) -> None:
    _, bobs = cards.card("bob")
    _, alices = cards.card("alice")
    _, sellers = cards.card("reseller")
    cards.enter(alices, NUMBER)
    cards.enter(alices, RESELLERS)
    assert cards.refused(bobs, RESELLERS) == 0
    assert cards.refused(sellers, RESELLERS) == 0
    cards.enter(sellers, NUMBER)
    assert cards.refused(bobs, "33155509") == 0


def test_a_blocked_card_opens_nothing_until_it_is_unblocked(cards: Cards) -> None:
    card_id, pin = cards.card()
    with transaction(cards.database) as session:
        block(session, card_by_id(session, card_id))
    assert cards.refused(pin) == 0
    assert cards.desk.card(NUMBER, card_id) is None
    with transaction(cards.database) as session:
        unblock(session, card_by_id(session, card_id))
    assert cards.enter(pin).card_id == card_id


def test_a_card_expires(cards: Cards) -> None:
    expires_us = cards.clock.now_us() + 60 * SECOND_US
    card_id, pin = cards.card(expires_us=expires_us)
    until = cards.enter(pin).valid_until
    assert until is not None
    assert until.isoformat() == "2026-01-01"
    cards.clock.advance(60 * SECOND_US)
    assert cards.refused(pin) == 0
    assert cards.desk.card(NUMBER, card_id) is None


def test_a_new_pin_replaces_the_old_one(cards: Cards) -> None:
    card_id, old = cards.card()
    with transaction(cards.database) as session:
        new = new_pin(session, card_by_id(session, card_id), 12)
    assert cards.refused(old) == 0
    assert cards.enter(new).card_id == card_id


def test_a_known_caller_is_known_until_he_is_removed(cards: Cards) -> None:
    card_id, _ = cards.card()
    assert cards.know("+33612345678", card_id) == CALLER
    for shown in (CALLER, f"+{CALLER}"):
        found = cards.desk.find_caller(NUMBER, shown)
        assert isinstance(found, CardKnown)
        assert found.card.card_id == card_id
    assert cards.desk.find_caller(RESELLERS, CALLER) == CallerUnknown()
    assert cards.desk.find_caller(NUMBER, "anonymous") == CallerUnknown()
    with pytest.raises(InputRefused, match="stands for this card already"):
        cards.know(CALLER, card_id)
    with transaction(cards.database) as session:
        remove_known_caller(session, CALLER)
    assert cards.desk.find_caller(NUMBER, CALLER) == CallerUnknown()


def test_who_guesses_waits_longer_and_longer_and_then_not_even_the_right_pin_is_looked_at(
    cards: Cards,
) -> None:
    _, pin = cards.card()
    waits = []
    for _ in range(8):
        wait_s = cards.refused(WRONG)
        waits.append(wait_s)
        if waits[-1] < 3600:
            cards.clock.advance(wait_s * SECOND_US)
    assert waits == sorted(waits)
    assert waits[0] == 0
    assert waits[-1] == 3600
    assert cards.refused(pin) == 3600
    cards.enter(pin, caller="33699999999")
    cards.clock.advance(3600 * SECOND_US)
    cards.enter(pin)


def test_callers_without_a_number_stand_in_one_queue_of_their_access_number(cards: Cards) -> None:
    _, pin = cards.card("alice")
    waits = [cards.refused(WRONG, caller="anonymous") for _ in range(3)]
    assert waits[-1] > 0
    assert cards.refused(pin, caller="") > 0
    cards.enter(pin, RESELLERS, caller="")


def test_guesses_from_many_callers_count_against_the_access_number(cards: Cards) -> None:
    _, pin = cards.card("alice")
    for guess in range(51):
        cards.refused("1", caller=str(33600000000 + guess))
    assert cards.refused(pin) > 0
    cards.enter(pin, RESELLERS)


def test_guesses_at_a_known_callers_card_count_against_the_card(cards: Cards) -> None:
    card_id, pin = cards.card("alice")
    cards.know(CALLER, card_id)
    waits = [cards.refused(WRONG) for _ in range(3)]
    assert waits[-1] > 0
    assert cards.refused(pin, RESELLERS, caller="33699999999") > 0
    with transaction(cards.database) as session:
        unblock(session, card_by_id(session, card_id))
    cards.enter(pin, RESELLERS, caller="33699999999")


def test_a_pin_that_is_no_pin_is_wrong_and_costs_nobody_a_wait(cards: Cards) -> None:
    for pin in ("", "*", "12*4", "٣" * 10, "1" * 25):
        assert cards.refused(pin) == 0


def test_a_removed_access_number_lets_nobody_in(cards: Cards) -> None:
    card_id, pin = cards.card()
    with transaction(cards.database) as session:
        remove_access_number(session, NUMBER)
    assert cards.desk.terms(NUMBER) is None
    assert cards.refused(pin) == 0
    assert cards.desk.card(NUMBER, card_id) is None


def test_a_seller_cannot_take_anothers_access_number(cards: Cards) -> None:
    with transaction(cards.database) as session, pytest.raises(InputRefused, match="another seller"):
        put_access_number(session, issuer_by_code(session, "reseller"), NUMBER, AccessTerms(), 0)


def test_only_so_many_lines_are_up_without_a_card() -> None:
    lines = Lines()
    assert [lines.enter(NUMBER, 2) for _ in range(3)] == [True, True, False]
    assert lines.enter(RESELLERS, 1)
    lines.leave(NUMBER)
    assert lines.enter(NUMBER, 2)


def test_a_voucher_refills_by_telephone(invoicing: Invoicing, tmp_path: Path) -> None:
    shop = VoucherShop(invoicing.accounts, folder=tmp_path)
    (code,) = shop.made(count=1)
    cards = Cards(invoicing.accounts, shop.clock)
    card = cards.enter(cards.card()[1])
    assert cards.desk.redeem(card, code.replace(" ", "")[:-1], CALLER) == VoucherWrong()
    refilled = cards.desk.redeem(card, code.replace(" ", ""), CALLER)
    assert isinstance(refilled, Refilled)
    assert (refilled.amount, refilled.card.available) == (eur("10"), eur("10"))
    assert isinstance(cards.desk.redeem(card, code.replace(" ", ""), CALLER), VoucherWrong)
    ((channel,),) = invoicing.accounts.select("SELECT channel FROM vouchers WHERE state = 'redeemed'")
    assert channel == "telephone"
    cards.database.dispose()
    shop.database.dispose()


def test_cards_by_command(ok: Ok, pbxbill: Run, tmp_path: Path) -> None:
    ok("init")
    ok("accounts", "add", "bob", "--unit", "EUR")
    made = ok("cards", "add", "bob", "--count", "2", "--name", "Bob's", "--expires", "2030-01-31")
    pins = [word for word in made.split() if len(word) == 10 and word.isdigit()]
    assert len(pins) == 2
    listed = ok("cards", "list", "--account", "bob", "--json")
    assert listed.count('"active"') == 2
    assert "2030-02-01T00:00:00.000Z" in listed
    assert not any(pin in listed for pin in pins)
    ok("cards", "block", 2)
    assert "blocked" in ok("cards", "list")
    ok("cards", "unblock", 2)
    assert len(ok("cards", "new-pin", 2, "--digits", 12).split()[6].rstrip(";")) == 12
    assert pbxbill("cards", "add", "bob", "--digits", 4).output.strip().endswith("a PIN has 8 to 20 digits")
    ok("known-callers", "add", "+33612345678", 1)
    assert '"number": "33612345678"' in ok("known-callers", "list", "--json")
    ok("known-callers", "remove", "33612345678")
    terms = tmp_path / "terms.toml"
    terms.write_text('languages = ["fr", "en"]\nknown_callers = true\n')
    ok("access-numbers", "add", NUMBER, "--terms", terms)
    shown = ok("access-numbers", "show", NUMBER)
    assert 'languages = ["fr", "en"]' in shown
    terms.write_text(shown)
    ok("access-numbers", "add", NUMBER, "--terms", terms)
    assert ok("access-numbers", "show", NUMBER) == shown
    assert "need no PIN" in ok("access-numbers", "list")
    ok("access-numbers", "remove", NUMBER)
    assert "is no access number" in pbxbill("access-numbers", "show", NUMBER).output


def test_cards_of_the_operator_are_refused(cards: Cards) -> None:
    with pytest.raises(InputRefused, match="no wallet"):
        cards.card("operator")
    with transaction(cards.database) as session:
        assert session.scalars(select(CallingCardRow)).all() == []
