"""Locking somebody out, and using what was used before: passkeys' answers, codes, links in copies."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256

import cbor2
import pyotp
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select
from webauthn.helpers import bytes_to_base64url

from pbxbill.access.second_factor import turn_on
from pbxbill.clock import SECOND_US
from pbxbill.notify.outbox import mark_failed, mark_sent, retry
from pbxbill.notify.smtp import MailSettings
from pbxbill.store.access_models import LoginFailureRow, OneTimeLinkRow, PasskeyRow, UserRow
from pbxbill.store.invoice_models import MessageRow
from pbxbill.web.rules import WebRules
from tests.web.offices import PASSWORD, URL, Browser, Office, opened_office

DAY_US = 24 * 3600 * SECOND_US
WRONG = "wrong wrong wrong"


@pytest.fixture
def mailing(database_url: str) -> Iterator[Office]:
    """An office that sends mail, on each database."""
    mail = MailSettings(host="mail.example", sender="bill@example.com")
    with opened_office(database_url, replace(WebRules(), requests_per_min=1_000_000, mail=mail)) as opened:
        yield opened


def tried(browser: Browser, address: str, password: str, login: str = "admin") -> int:
    """What is answered to an attempt from an address."""
    sent = {"login": login, "password": password, "csrf_token": browser.token("/log-in")}
    came = {"REMOTE_ADDR": address}
    answer = browser.client.post("/log-in", data=sent, base_url=URL, environ_overrides=came)
    return answer.status_code


def lock(office: Office, login: str = "admin") -> None:
    """Wrong tries from as many addresses as it takes."""
    browser = office.browser()
    for number in range(5):
        for _ in range(5):
            assert tried(browser, f"203.0.113.{number}", WRONG, login) == 401
    assert tried(browser, "203.0.113.9", PASSWORD, login) == 429


def test_nobody_is_locked_out_where_he_comes_from(office_on_each: Office) -> None:
    office = office_on_each
    assert tried(office.browser(), "192.0.2.7", PASSWORD) == 303
    office.clock.advance(29 * DAY_US)
    lock(office)
    assert tried(office.browser(), "192.0.2.7", PASSWORD) == 303
    # What is guessed there is as slow as ever, and being let in there opens nothing elsewhere.
    guessing = office.browser()
    assert [tried(guessing, "192.0.2.7", WRONG) for _ in range(6)] == [401] * 5 + [429]


def test_a_network_is_his_for_thirty_days(office: Office) -> None:
    assert tried(office.browser(), "192.0.2.7", PASSWORD) == 303
    office.clock.advance(31 * DAY_US)
    lock(office)
    assert tried(office.browser(), "192.0.2.7", PASSWORD) == 429


def test_a_password_without_its_second_factor_makes_no_network_his(office: Office) -> None:
    with office.writing() as session:
        user = session.get_one(UserRow, office.user("admin").id)
        turn_on(session, office.app.extensions["pbxbill_rules"].sealer, user, pyotp.random_base32(), 0)
    assert tried(office.browser(), "192.0.2.7", PASSWORD) == 303  # to the code
    with office.reading() as session:
        known = select(LoginFailureRow.subject).where(LoginFailureRow.subject.startswith("known:"))
        assert session.scalars(known).all() == []


def test_the_answer_of_a_passkey_is_taken_once(office_on_each: Office) -> None:
    """By a device that does not count."""
    office = office_on_each
    key = ec.generate_private_key(ec.SECP256R1())
    point = key.public_key().public_numbers()
    public = {1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}
    with office.writing() as session:
        session.add(
            PasskeyRow(
                user_id=office.user("admin").id, name="Key", credential_id=b"credential",
                public_key=cbor2.dumps(public), sign_count=0, created_us=0,
            )
        )  # fmt: skip
    browser = office.browser()
    offered = browser.get("/log-in/passkey").json
    assert offered is not None
    client_data = {"type": "webauthn.get", "challenge": offered["challenge"], "origin": URL}
    said = json.dumps(client_data).encode()
    about = sha256(b"bill.example").digest() + bytes([0b101]) + bytes(4)
    signature = key.sign(about + sha256(said).digest(), ec.ECDSA(hashes.SHA256()))
    id = bytes_to_base64url(b"credential")
    answer = {
        "id": id, "rawId": id, "type": "public-key",
        "response": {
            "clientDataJSON": bytes_to_base64url(said),
            "authenticatorData": bytes_to_base64url(about),
            "signature": bytes_to_base64url(signature),
        },
    }  # fmt: skip
    sent = {"answer": json.dumps(answer), "csrf_token": browser.token("/log-in"), "next": "/me"}
    cookie = browser.client.get_cookie("__Host-pbxbill-form", domain="bill.example")
    assert cookie is not None
    assert browser.client.post("/log-in/passkey", data=sent, base_url=URL).location == "/me"
    thief = office.browser()
    thief.client.set_cookie(cookie.key, cookie.value, domain="bill.example", secure=True)
    assert thief.client.post("/log-in/passkey", data=sent, base_url=URL).location == "/log-in"


def forget(office: Office, login: str) -> None:
    """Ask for a link, and wait for what is done afterwards."""
    answer = office.browser().post("/log-in/forgotten", {"login": login})
    assert (answer.status_code, answer.location) == (303, "/log-in")
    office.app.extensions["pbxbill_later"].wait()


def test_nothing_is_looked_up_before_the_answer(mailing: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would take longer for a log-in that is known."""
    later = mailing.app.extensions["pbxbill_later"]
    asked: list[object] = []
    with monkeypatch.context() as held:
        held.setattr(type(later), "do", lambda _self, what: asked.append(what))
        for login in ("admin", "nobody-here", "\x00"):
            forget(mailing, login)
        with mailing.reading() as session:
            assert session.scalars(select(OneTimeLinkRow)).all() == []
    assert len(asked) == 3
    forget(mailing, "admin")
    with mailing.reading() as session:
        assert len(session.scalars(select(OneTimeLinkRow)).all()) == 1


def test_what_fails_later_stops_nothing(mailing: Office) -> None:
    mailing.app.extensions["pbxbill_later"].do(lambda: int("x"))
    forget(mailing, "\x00")
    forget(mailing, "admin")
    with mailing.reading() as session:
        assert session.scalars(select(MessageRow.recipient)).all() == ["admin@example.com"]


@pytest.mark.parametrize("end", ["sent", "bounced", "failed"])
def test_the_link_of_a_mail_is_forgotten_with_its_sending(mailing: Office, end: str) -> None:
    forget(mailing, "admin")
    with mailing.writing() as session:
        row = session.scalars(select(MessageRow)).one()
        assert re.search(r"https://bill\.example/link/\S+", row.text)
        now_us = mailing.clock.now_us()
        mark_failed(session, row.id, "try later", now_us, permanent=False)
        session.refresh(row)
        assert "/link/" in row.text  # it is sent again
        if end == "sent":
            mark_sent(session, row.id, now_us)
        else:
            mark_failed(session, row.id, "no", now_us, permanent=end == "bounced", retry_s=())
        session.refresh(row)
        assert (row.state, row.text) == (end, "")
        # A mail without its link is no use to anybody.
        assert retry(session, [row.id], now_us) == 0
    page = mailing.seat("admin").get(f"/panel/messages/{row.id}").text
    assert "Send it again" not in page
