"""Gateways, and payments through them, on the command line; and the process that serves the web."""

import http.client
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pbxbill.charging.events import Granted
from pbxbill.gateways import registry
from tests.small_operator import eur
from tests.store.billed_accounts import GERMANY, BilledAccounts
from tests.store.command_line import Ok, Run, shown
from tests.store.other_process import REPOSITORY
from tests.store.paying_accounts import Paying
from tests.store.scripted_gateway import ScriptedGateway


def refused(pbxbill: Run, *words: object) -> str:
    result = pbxbill(*words)
    assert result.exit_code == 2, result.output
    return str(result.stderr)


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedGateway:
    made = ScriptedGateway(tmp_path / "gateway.json")
    monkeypatch.setattr(registry, "open_gateway", lambda kind, settings: made)
    monkeypatch.setattr(registry, "checked_settings", lambda kind, settings: settings)
    return made


@pytest.fixture
def cards(accounts: BilledAccounts, gateway: ScriptedGateway, ok: Ok) -> ScriptedGateway:
    """The operator's gateway."""
    ok("payment-gateways", "add", "cards", "stripe", "--units", "EUR", "--set", "secret_key_file=/etc/key")
    return gateway


def test_gateways_are_set_up_listed_and_switched_off(cards: ScriptedGateway, ok: Ok, pbxbill: Run) -> None:
    ok("payment-gateways", "add", "acme", "stripe", "--issuer", "reseller", "--set", "a=b")
    listed = shown(ok, "payment-gateways", "list")
    assert [(x["name"], x["issuer"], x["units"], x["enabled"]) for x in listed] == [
        ("cards", "operator", "EUR", True),
        ("acme", "reseller", "", True),
    ]
    assert listed[0]["webhooks"].endswith("/webhooks/cards")
    told = ok("payment-gateways", "list")
    (line,) = [x for x in told.splitlines() if "cards" in x.split()[:1]]
    assert "yes" in line.split()
    assert "secret_key_file=/etc/key" in line.split()
    assert "already" in refused(pbxbill, "payment-gateways", "add", "cards", "stripe")
    assert "small letters" in refused(pbxbill, "payment-gateways", "add", "My Cards", "stripe")
    assert "is a customer" in refused(pbxbill, "payment-gateways", "add", "x", "stripe", "--issuer", "bob")
    ok("payment-gateways", "set", "cards", "--disable")
    assert "no gateway of its issuer takes EUR" in refused(pbxbill, "payments", "start", "bob", "10")


def test_a_payment_is_started_paid_found_and_given_back(cards: ScriptedGateway, ok: Ok, pbxbill: Run) -> None:
    started = shown(ok, "payments", "start", "bob", "10")
    assert (started["state"], started["link"]) == ("open", "https://pay.example/pay_1")
    (key,) = cards.keys("open")
    cards.pay(key)
    assert shown(ok, "payments", "poll", started["payment"])["state"] == "paid"
    assert "more than is free" not in ok("payments", "refund", started["payment"], "4", "--reason", "wished")
    assert "is left" in refused(pbxbill, "payments", "refund", started["payment"], "7", "--reason", "wished")
    (row,) = shown(ok, "payments", "gateway", "bob")
    assert (row["state"], row["received"], row["went_back"]) == ("paid", "10.00", "4.00")
    assert [x["state"] for x in shown(ok, "payments", "refunds")] == ["done"]
    assert "came through a gateway" in refused(
        pbxbill, "payments", "reverse", shown(ok, "payments", "poll", 1)["entry"], "--reason", "x"
    )
    ok("verify")


def test_what_came_back_from_a_refund_that_failed_is_not_reversed(
    cards: ScriptedGateway, pbxbill: Run, ok: Ok, accounts: BilledAccounts, tmp_path: Path
) -> None:
    paying = Paying(accounts, folder=tmp_path)
    paid = paying.paid("10", purpose="invoice")
    paying.gateway.fault("refund", "refused")
    assert paying.give_back(paid.id, reopen=True).state == "failed"
    paying.database.dispose()
    ((back,),) = accounts.select("SELECT back_entry_id FROM refunds")
    assert "came through a gateway" in refused(pbxbill, "payments", "reverse", back, "--reason", "x")


def test_a_saved_card_is_charged_preferred_and_removed(
    cards: ScriptedGateway, ok: Ok, accounts: BilledAccounts, tmp_path: Path, pbxbill: Run
) -> None:
    paying = Paying(accounts, folder=tmp_path)
    card = paying.save_card()
    paying.database.dispose()
    assert shown(ok, "payments", "charge", "bob", "5")["state"] == "paid"
    (method,) = shown(ok, "payments", "methods", "list", "bob")
    assert (method["method"], method["last4"]) == (card, "4242")
    ok("payments", "methods", "prefer", card)
    assert ok("payments", "methods", "remove", card) == f"method {card} is removed\n"
    assert cards.removed() == ["pm_bob"]
    assert "no saved method" in refused(pbxbill, "payments", "charge", "bob", "5")


def test_a_charge_that_takes_no_money_exits_with_1(
    cards: ScriptedGateway, ok: Ok, accounts: BilledAccounts, tmp_path: Path, pbxbill: Run
) -> None:
    paying = Paying(accounts, folder=tmp_path)
    card = paying.save_card()
    paying.database.dispose()
    cards.fault("charge", "declined")
    declined = pbxbill("payments", "charge", "bob", "5", "--method", card)
    assert declined.exit_code == 1
    assert "5.00 EUR, declined: no money was taken" in declined.stdout
    cards.fault("charge", "lost")
    asking = pbxbill("payments", "charge", "bob", "5", "--saved", card)
    assert asking.exit_code == 0
    assert "the gateway has not answered; it is asked again until it does" in asking.stdout


def test_a_held_payment_is_shown_and_accepted(cards: ScriptedGateway, ok: Ok) -> None:
    payment = shown(ok, "payments", "start", "bob", "10")["payment"]
    (key,) = cards.keys("open")
    cards.pay(key, 700)
    assert "10.00 EUR, held" in ok("payments", "poll", payment)
    (held,) = shown(ok, "payments", "held", "list")
    assert "700 EUR arrived" in held["error"]
    assert "7.00 EUR" in ok("payments", "held", "accept", payment)
    assert shown(ok, "payments", "held", "list") == []


def test_a_payment_by_hand_gets_its_receipt_which_is_sent(accounts: BilledAccounts, ok: Ok) -> None:
    ok("parties", "set", "carol", "--email", "carol@example.org")
    paid = shown(ok, "payments", "record", "carol", "10", "--method", "cash", "--by", "anna", "--receipt")
    assert paid["receipt"]["sent_to"] == ["carol@example.org"]
    messages = accounts.select("SELECT kind FROM outbox ORDER BY kind")
    assert messages == [("invoice",), ("payment",)]


def test_a_payment_that_frees_credit_extends_a_live_call_at_once(
    accounts: BilledAccounts, tmp_path: Path
) -> None:
    told: list[frozenset[int]] = []
    paying = Paying(accounts, folder=tmp_path)
    paying.set_up()
    paying.books._on_news = told.append
    accounts.top_up("bob", "0.12")
    with accounts.engine() as engine:
        granted = engine.execute(accounts.request("bob", GERMANY))
        assert isinstance(granted, Granted)
        paying.paid("10")
    wallet_id = accounts.select(f"SELECT id FROM wallets WHERE account_id = {accounts.ids['bob']}")[0][0]
    assert told == [frozenset((wallet_id,))]
    assert paying.wallet() == eur("10.12")
    paying.database.dispose()


def test_cards_that_expire_are_told_of_once(accounts: BilledAccounts, tmp_path: Path, ok: Ok) -> None:
    from pbxbill.billing.payments.saved_methods import tell_expiring

    ok("parties", "set", "bob", "--email", "bob@example.org")
    paying = Paying(accounts, folder=tmp_path)
    paying.set_up()
    paying.save_card()  # until March 2026
    told = []
    for day in (30, 57, 62, 80):  # from 1 January 2026 on
        paying.clock.step(1_767_225_600_000_000 + day * 86_400_000_000 - paying.clock.now_us())
        with paying.transaction() as session:
            told.append(tell_expiring(session, paying.clock.now_us()))
    assert told == [0, 0, 1, 0]
    paying.database.dispose()


def test_the_web_process_serves_says_so_and_stops(ok: Ok, accounts: BilledAccounts, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "web.toml"
    config.write_text(
        f'[database]\nurl = "{accounts.url}"\n[metrics]\nenabled = false\n[web]\nport = {port}\n'
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind("")
        notices.settimeout(60)
        address = "@" + notices.getsockname()[1:].decode()
        process = subprocess.Popen(
            [sys.executable, "-m", "pbxbill", "--config", str(config), "web"],
            cwd=REPOSITORY,
            env=os.environ | {"NOTIFY_SOCKET": address},
            stderr=subprocess.DEVNULL,
        )
        try:
            assert b"READY=1" in notices.recv(4096)
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("POST", "/webhooks/nobody", b"{}")
            assert connection.getresponse().status == 404
            connection.close()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
