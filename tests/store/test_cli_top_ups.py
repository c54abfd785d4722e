"""Top-ups, transfers, thresholds and automatic top-ups on the command line."""

from collections.abc import Iterator

import pytest

from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.payment_models import PaymentGatewayRow, SavedMethodRow
from tests.store.billed_accounts import BilledAccounts
from tests.store.command_line import Ok, Run, shown


@pytest.fixture(autouse=True)
def _in_order(accounts: BilledAccounts) -> Iterator[None]:
    yield
    assert accounts.problems() == []


def test_a_top_up_says_how_it_was_paid_and_makes_its_receipt(ok: Ok) -> None:
    words = ("bob", "25", "--method", "cash", "--reference", "till 4", "--key", "k1", "--by", "eve")
    made = shown(ok, "topup", *words, "--receipt")
    assert (made["balance"], made["available"]) == ("25.00", "25.00")
    assert made["receipt"].startswith("R-20")
    again = shown(ok, "topup", *words, "--receipt")
    assert (again["entry"], again["receipt"], again["balance"]) == (made["entry"], made["receipt"], "25.00")
    assert shown(ok, "payments", "receipt", made["entry"])[0]["repeated"] is True


def test_a_key_is_for_one_top_up(ok: Ok, pbxbill: Run) -> None:
    ok("topup", "bob", "25", "--key", "k1")
    result = pbxbill("topup", "bob", "26", "--key", "k1")
    assert result.exit_code == 2
    assert "was used before" in result.stderr


def test_a_wrong_top_up_is_taken_back_once(ok: Ok, pbxbill: Run) -> None:
    entry = shown(ok, "topup", "bob", "25", "--receipt")["entry"]
    taken = shown(ok, "reverse-topup", entry, "--reason", "wrong account", "--by", "eve")
    assert taken["balance"] == "0.00"
    result = pbxbill("reverse-topup", entry, "--reason", "again")
    assert result.exit_code == 2
    assert "is reversed already" in result.stderr


def test_what_is_spent_is_taken_back_only_as_a_debt(ok: Ok, pbxbill: Run) -> None:
    entry = shown(ok, "topup", "bob", "25")["entry"]
    ok("adjust", "bob", "-10", "--memo", "spent")
    result = pbxbill("reverse-topup", entry, "--reason", "bounced")
    assert result.exit_code == 2
    assert "at most 15.00 EUR now" in result.stderr
    assert shown(ok, "reverse-topup", entry, "--reason", "bounced", "--owed")["balance"] == "-10.00"


def test_an_adjustment_is_no_top_up(ok: Ok, pbxbill: Run) -> None:
    entry = shown(ok, "adjust", "bob", "5", "--memo", "sorry")["entry"]
    result = pbxbill("reverse-topup", entry, "--reason", "no")
    assert result.exit_code == 2
    assert "is no top-up" in result.stderr


def test_funds_move_between_customers_of_one_issuer_once(ok: Ok, pbxbill: Run) -> None:
    ok("topup", "bob", "25")
    words = ("bob", "hot", "10", "--key", "k", "--reason", "gift")
    moved = shown(ok, "transfer", *words)
    assert (moved["from_balance"], moved["to_balance"], moved["repeated"]) == ("15.00", "10.00", False)
    again = shown(ok, "transfer", *words)
    assert (again["entries"], again["to_balance"], again["repeated"]) == (moved["entries"], "10.00", True)
    result = pbxbill("transfer", "bob", "hot", "11", "--key", "k", "--reason", "gift")
    assert "was used before" in result.stderr


@pytest.mark.parametrize(
    "words, reason",
    [
        (("bob", "hot", "25.01"), "account bob has 25.00 EUR that can be moved"),
        (("bob", "bob", "1"), "from one account to another"),
        (("bob", "hot", "-1"), "more than zero"),
        (("carol", "bob", "1"), "account carol has 0.00 EUR that can be moved"),  # a credit limit of 20
        (("reseller", "alice", "1"), "reseller is who bills alice"),
        (("alice", "reseller", "1"), "in the books of who bills him"),
        (("bob", "alice", "1"), "bob is a customer of operator and alice of reseller"),
        (("bob", "hot", "1", "--unit", "USD"), "account bob has these wallets: EUR"),
    ],
)
def test_what_cannot_be_moved(ok: Ok, pbxbill: Run, words: tuple[str, ...], reason: str) -> None:
    ok("topup", "bob", "25")
    ok("topup", "alice", "25")
    result = pbxbill("transfer", *words, "--reason", "gift")
    assert result.exit_code == 2
    assert reason in result.stderr


def test_thresholds_are_shown_with_whose_they_are(ok: Ok) -> None:
    ok("topup", "bob", "25")
    told = shown(ok, "thresholds", "defaults", "EUR", "10", "0")
    assert (told["below"], told["wallets"]) == (["10.00", "0.00"], 4)
    assert ok("thresholds", "defaults", "eur") == "operator: 10.00, 0.00 EUR\n"
    found = shown(ok, "thresholds", "list", "bob")
    assert [(x["below"], x["purpose"], x["reached"]) for x in found] == [
        ("10.00", "default", None),
        ("0.00", "default", None),
    ]
    own = shown(ok, "thresholds", "set", "bob", "30", "5")
    assert [(x["below"], x["purpose"], x["reached"] is None) for x in own] == [
        ("30.00", "notice", False),
        ("5.00", "notice", True),
    ]
    assert "tells the account, its issuer's" in ok("thresholds", "set", "bob")
    assert ok("thresholds", "defaults", "EUR", "--none") == "operator: none, of 4 wallets\n"


def test_an_automatic_top_up_is_set_shown_and_turned_off(ok: Ok, accounts: BilledAccounts) -> None:
    database = open_engine(accounts.url)
    with transaction(database) as session:
        gateway = PaymentGatewayRow(
            issuer_id=1, name="cards", kind="stripe", settings="{}", enabled=True, created_us=0
        )
        session.add(gateway)
        session.flush()
        session.add(
            SavedMethodRow(
                account_id=accounts.ids["bob"],
                gateway_id=gateway.id,
                customer_ref="c",
                method_ref="m",
                brand="visa",
                last4="4242",
                expires="2099-01",
                state="active",
                preferred=True,
                created_us=0,
            )
        )
    database.dispose()
    ok("topup", "bob", "25")
    (made,) = shown(ok, "auto-topup", "set", "bob", "--below", "5", "--amount", "20", "--daily-cap", "40")
    assert made | {"method": "visa"} == {
        "account": "bob",
        "unit": "EUR",
        "below": "5.00",
        "amount": "20.00",
        "method": "visa",
        "daily_cap": "40.00",
        "monthly_cap": None,
        "state": "on",
        "declines": 0,
        "next": None,
        "payment": None,
    }
    assert made["method"].endswith("visa 4242")
    assert "5.00 EUR" in ok("auto-topup", "list")
    assert shown(ok, "auto-topup", "list", "--stopped") == []
    assert shown(ok, "auto-topup", "off", "bob")[0]["state"] == "off"
    assert shown(ok, "auto-topup", "resume", "bob")[0]["state"] == "on"
