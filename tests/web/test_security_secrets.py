"""What who attacks log-ins and links tries: hosts that are not ours, others' secrets, others' names."""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from pbxbill.clock import SECOND_US
from pbxbill.notify.smtp import MailSettings
from pbxbill.store.access_models import BrandRow, OneTimeLinkRow
from pbxbill.store.invoice_models import MessageRow
from pbxbill.store.models import WalletRow
from pbxbill.store.payment_models import PaymentGatewayRow
from pbxbill.web.desks import Desks
from pbxbill.web.factory import create_app
from pbxbill.web.rules import WebRules
from tests.web.offices import PASSWORD, Office, opened_office

MINUTE_US = 60 * SECOND_US
EVIL = "https://evil.example"


@pytest.fixture
def mailing(sqlite_url: str) -> Iterator[Office]:
    """An office that sends mail."""
    mail = MailSettings(host="mail.example", sender="bill@example.com")
    with opened_office(sqlite_url, replace(WebRules(), requests_per_min=1_000_000, mail=mail)) as opened:
        yield opened


def asked_by_host(app: Flask, base_url: str) -> None:
    client = app.test_client()
    page = client.get("/log-in/forgotten", base_url=base_url).text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert token is not None
    sent = {"csrf_token": token[1], "login": "admin"}
    headers = {"Referer": f"{base_url}/log-in/forgotten"}
    assert client.post("/log-in/forgotten", data=sent, base_url=base_url, headers=headers).status_code == 303
    app.extensions["pbxbill_later"].wait()


def mails(office: Office) -> list[str]:
    with office.reading() as session:
        return list(session.scalars(select(MessageRow.text)))


def test_a_mail_leads_to_our_address_whatever_host_was_asked(mailing: Office) -> None:
    asked_by_host(mailing.app, EVIL)
    (text,) = mails(mailing)
    assert "https://bill.example/link/" in text
    assert "evil" not in text


def test_no_link_is_mailed_where_our_address_is_not_known(mailing: Office) -> None:
    desks = Desks(mailing.application)
    asked_by_host(create_app(desks, mailing.app.extensions["pbxbill_rules"]), "http://evil.example")
    desks.close()
    assert mails(mailing) == []
    with mailing.reading() as session:
        assert session.scalars(select(OneTimeLinkRow)).all() == []


def test_what_was_sealed_for_something_else_is_not_shown(office: Office) -> None:
    sealer = office.app.extensions["pbxbill_rules"].sealer
    stolen = sealer.seal("JBSWY3DPEHPK3PXP")  # as it stands in a copy of the database
    alice = office.seat("alice")
    page = alice.post("/me/second-factor", {"sealed": stolen, "code": "000000"}).text
    assert "JBSWY3DPEHPK3PXP" not in page
    assert re.search(r"<code>[A-Z2-7]{32}</code>", page)
    offered = re.search(
        r'name="sealed"[^>]*value="([^"]+)"', office.seat("admin").get("/me/second-factor").text
    )
    assert offered is not None
    others = html.unescape(offered[1])
    secret = re.search(r"<code>([A-Z2-7]+)</code>", alice.post("/me/second-factor", {"sealed": others}).text)
    assert secret is not None
    assert secret[1] not in sealer.open(others)


def test_nobody_calls_our_host_his_own(office: Office) -> None:
    reseller = office.seat("reseller")
    page = reseller.post("/panel/brand", {"name": "Green Phone", "host": "BILL.example."}).text
    assert 'href="#host"' in page
    # Also not by a brand that was there before the address was.
    with office.writing() as session:
        id = office.account_id("reseller")
        row = BrandRow(account_id=id, version=1, name="Green Phone", host="bill.example", logo_type="")
        for name in ("colour", "footer", "support_email", "support_phone", "support_url"):
            setattr(row, name, "")
        session.add(row)
    assert "Green Phone" not in office.browser().get("/log-in").text


def test_a_browser_left_open_neither_moves_the_mail_nor_makes_an_admin(office: Office) -> None:
    admin = office.browser("admin")
    settings = {"name": "Admin", "language": "en", "zone": "UTC", "theme": "auto"}
    role = f"/panel/users/{office.user('support').id}"
    office.clock.advance(29 * MINUTE_US)
    assert admin.get("/me").status_code == 200
    office.clock.advance(3 * MINUTE_US)
    assert admin.post("/me", settings | {"email": "thief@evil.example"}).location.startswith("/me/prove")
    assert office.user("admin").email == "admin@example.com"
    assert admin.get(role).status_code == 200
    assert admin.post(role, {"role": "admin"}).location.startswith("/me/prove")
    assert office.user("support").role == "support"
    assert admin.post("/me", settings | {"email": "admin@example.com"}).location == "/me"
    assert admin.post("/me/prove", {"password": PASSWORD}).status_code == 303
    assert admin.post("/me", settings | {"email": "boss@example.com"}).location == "/me"
    assert admin.post(role, {"role": "finance"}).location == role
    assert (office.user("admin").email, office.user("support").role) == ("boss@example.com", "finance")


def test_credit_is_given_by_whoever_may_change_it(office: Office) -> None:
    support = office.seat("support")
    new = {"code": "friend", "name": "Friend", "kind": "customer", "mode": "postpaid", "unit": "EUR"}
    more = {"tariff": "0", "inbound_tariff": "0", "dialling_rule": "0", "language": "en", "credit_limit": "9"}
    operators = {"failure_policy": "closed", "offline_allowance": ""}
    assert 'name="credit_limit"' not in support.get("/panel/accounts/new").text
    assert support.post("/panel/accounts/new", new | more | operators).status_code == 303
    path = f"/panel/accounts/{office.account_id('friend')}/wallets/new"
    assert 'name="credit_limit"' not in support.get(path).text
    with office.reading() as session:
        limits = session.scalars(
            select(WalletRow.credit_limit).where(WalletRow.account_id == office.account_id("friend"))
        )
        assert list(limits) == [0]


def test_nobody_has_files_sent_to_himself_as_a_gateways_secret(office: Office, tmp_path: Path) -> None:
    """Where a service is, is said by the command line, which the files are for anyway."""
    for name in ("key", "hooks"):
        (tmp_path / name).write_text("sk_test_123" if name == "key" else "whsec_123")
    path, admin = "/panel/payment-gateways/new?kind=stripe", office.seat("admin")
    assert "set_api_base" not in admin.get(path).text
    files = {"set_secret_key_file": f"{tmp_path}/key", "set_webhook_secret_file": f"{tmp_path}/hooks"}
    sent = {"name": "cards", "units": "EUR", "set_api_base": EVIL, **files}
    made = admin.post(path, sent)
    assert made.status_code == 303, made.text
    assert "evil" not in admin.get(made.location).text
    with office.writing() as session:
        row = session.scalars(select(PaymentGatewayRow)).one()
        row.settings = json.dumps({**json.loads(row.settings), "api_base": "https://stripe.example"})
    edit = f"{made.location}/edit"
    page = admin.get(edit).text
    assert 'name="set_api_base"' not in page
    edition = re.search(r'name="edition"[^>]*value="([^"]*)"', page)
    assert edition is not None
    again = sent | {"edition": html.unescape(edition[1]), "enabled": "y"}
    assert admin.post(edit, again).status_code == 303
    with office.reading() as session:
        kept = json.loads(session.scalars(select(PaymentGatewayRow.settings)).one())
    assert kept == {"api_base": "https://stripe.example", **{k[4:]: v for k, v in files.items()}}


def test_who_has_many_addresses_of_one_network_tries_no_more_often(office: Office) -> None:
    office.app.extensions["pbxbill_limiter"].enabled = True
    browser = office.browser()
    sent = {"login": "nobody-here", "csrf_token": browser.token("/log-in/forgotten")}
    codes = [
        browser.client.post(
            "/log-in/forgotten",
            data=sent,
            base_url="https://bill.example",
            environ_base={"REMOTE_ADDR": f"2001:db8:0:1::{number:x}"},
        ).status_code
        for number in range(21)
    ]
    assert codes == [303] * 20 + [429]
