"""Notices in the panel: the outbox, words, thresholds, what an account wants, outgoing webhooks; gateways."""

import re

from sqlalchemy import select

from pbxbill.notify.outbox import NewMessage, enqueue
from pbxbill.store.invoice_models import MessageRow
from pbxbill.store.models import UnitRow
from pbxbill.store.notice_models import DefaultThresholdRow, NoticeChoiceRow, WebhookEndpointRow
from pbxbill.store.payment_models import GatewayPaymentRow, PaymentGatewayRow
from tests.web.offices import Office

WORDS = "/panel/notices/templates/low_balance/en"


def message(office: Office, kind: str = "invoice", state: str = "failed") -> int:
    with office.writing() as session:
        seller, account = office.account_id("reseller"), office.account_id("alice")
        new = NewMessage(kind, seller, account, kind, "alice@example.com", "Your paper", "Look: /link/abc")
        assert enqueue(session, new, 1)
        row = session.scalars(select(MessageRow).where(MessageRow.key == kind)).one()
        row.state, row.error = state, "550 no such user"
        session.flush()
        return row.id


def test_what_was_given_up_is_sent_again(office_on_each: Office) -> None:
    office, reseller = office_on_each, office_on_each.seat("reseller")
    id = message(office)
    page = reseller.get("/panel/messages").text
    assert "1 message was given up" in page
    assert "550 no such user" in reseller.get(f"/panel/messages/{id}").text
    assert office.seat("other").get(f"/panel/messages/{id}").status_code == 404
    assert reseller.post("/panel/messages/retry", page="/panel/messages").status_code == 303
    with office.reading() as session:
        assert session.get_one(MessageRow, id).state == "waiting"


def test_a_link_that_opens_access_is_shown_to_nobody(office: Office) -> None:
    id = message(office, "user_link", "waiting")
    page = office.seat("admin").get(f"/panel/messages/{id}").text
    assert "alice@example.com" in page
    assert "/link/abc" not in page


def test_words_are_tried_before_they_are_used(office_on_each: Office) -> None:
    admin = office_on_each.seat("admin")
    assert "built-in words are in use" in admin.get(WORDS).text
    sent = {"subject": "Only {{ balance }} left", "text": "Dear {{ name }},\n\nfill it up.\n", "html": ""}
    tried = admin.post(WORDS, sent | {"do": "look"}).text
    assert "Dear Acme &amp; Sons Ltd" in tried
    mail = admin.post(WORDS, sent | {"do": "mail"})
    assert mail.headers["Content-Security-Policy"].startswith("sandbox")
    bad = admin.post(WORDS, sent | {"text": "{{ nonsense }}", "do": "save"}).text
    assert "nonsense" in bad
    assert "cannot be used" in bad
    assert "built-in words are in use" in admin.get(WORDS).text
    assert admin.post(WORDS, sent | {"do": "save"}).status_code == 303
    assert "Your own words are in use" in admin.get(WORDS).text
    assert "your own, version 2" in admin.get("/panel/notices/templates").text
    assert "built-in words are in use" in office_on_each.seat("reseller").get(WORDS).text
    assert admin.post(f"{WORDS}/clear").status_code == 303
    assert "built-in words are in use" in admin.get(WORDS).text
    assert admin.get("/panel/notices/templates/nothing/en").status_code == 404
    assert office_on_each.seat("support").post(WORDS, sent | {"do": "save"}).status_code == 403


def test_thresholds_of_customers(office: Office) -> None:
    reseller = office.seat("reseller")
    path = "/panel/notices/thresholds/edit"
    assert 'href="#amounts"' in reseller.post(path, {"unit": "EUR", "amounts": "few"}).text
    assert reseller.post(path, {"unit": "EUR", "amounts": "5; 0"}).status_code == 303
    with office.reading() as session:
        found = session.scalars(select(DefaultThresholdRow.issuer_id)).all()
    assert found == [office.account_id("reseller")] * 2
    assert "5.00" in reseller.get("/panel/notices/thresholds").text


def test_thresholds_of_each_currency_stand_by_themselves(office: Office) -> None:
    admin, path = office.seat("admin"), "/panel/notices/thresholds/edit"
    with office.writing() as session:
        session.add(UnitRow(code="USD", scale=6, digits=2))
    assert admin.post(path, {"unit": "EUR", "amounts": "5; 0"}).status_code == 303
    page = admin.get(f"{path}?unit=USD").text
    assert "Below which funds in USD customers are told" in page
    assert re.search(r'EUR</dt><dd>5\.00[0-9]*; 0[.0]* <a href="\?unit=EUR"', page), page
    assert admin.post(f"{path}?unit=USD", {"unit": "USD", "amounts": "7"}).status_code == 303
    with office.reading() as session:
        found = session.execute(select(DefaultThresholdRow.unit, DefaultThresholdRow.below)).all()
    assert sorted(x.unit for x in found) == ["EUR", "EUR", "USD"]
    assert admin.get(f"{path}?unit=XXX").status_code == 404
    assert admin.post(path, {"unit": "XXX", "amounts": "7"}, page=path).status_code == 404


def test_what_an_account_wants(office: Office) -> None:
    reseller, id = office.seat("reseller"), office.account_id("alice")
    page = f"/panel/notices/of-account/{id}"
    assert reseller.post(f"{page}/off/top_up", page=page).status_code == 303
    with office.reading() as session:
        assert session.scalars(select(NoticeChoiceRow.enabled)).all() == [False]
    sent = {"quiet_from": "22:00", "quiet_to": "07:00", "digest": "daily", "digest_at": "08:30"}
    assert reseller.post(f"{page}/times", sent).status_code == 303
    text = reseller.get(page).text
    assert "22:00 – 07:00" in text
    assert "daily at 08:30" in text
    assert "no hour of the day" in reseller.post(f"{page}/times", sent | {"quiet_to": "7"}).text
    assert reseller.post(f"{page}/thresholds", {"unit": "EUR", "amounts": "2"}).status_code == 303
    assert "2.00" in reseller.get(page).text


def test_a_webhook_and_its_secret(office: Office) -> None:
    reseller = office.seat("reseller")
    refused = reseller.post("/panel/webhook-endpoints/new", {"url": "http://127.0.0.1/x"})
    assert refused.status_code == 200
    assert 'value="http://127.0.0.1/x"' in refused.text
    made = reseller.post(
        "/panel/webhook-endpoints/new", {"url": "https://shop.example/hook", "kinds": ["payment"]}
    ).text
    secret = re.search(r"whsec_[^\"]+", made)
    assert secret
    with office.reading() as session:
        row = session.scalars(select(WebhookEndpointRow)).one()
    page = f"/panel/webhook-endpoints/{row.id}"
    assert secret[0] not in reseller.get(page).text
    assert office.seat("other").get(page).status_code == 404
    rotated = reseller.post(f"{page}/rotate").text
    assert re.search(r"whsec_[^\"]+", rotated)
    assert "signed with the old secret as well" in reseller.get(page).text
    assert reseller.post(f"{page}/rotated", page=page).status_code == 303
    assert reseller.post(f"{page}/off", page=page).status_code == 303
    assert reseller.post(f"{page}/retry", page=page).status_code == 303
    assert reseller.post(f"{page}/remove").status_code == 303
    assert reseller.get(page).status_code == 404


def held(office: Office, told: int | None) -> int:
    with office.writing() as session:
        gateway = PaymentGatewayRow(
            issuer_id=office.account_id("reseller"), name=f"g{told}", kind="stripe", settings="{}",
            units="", enabled=True, created_us=1,
        )  # fmt: skip
        session.add(gateway)
        session.flush()
        row = GatewayPaymentRow(
            key=f"{told or 0:032d}", gateway_id=gateway.id, account_id=office.account_id("alice"),
            purpose="top_up", unit="EUR", amount=10_000_000, state="held", automatic=False,
            save_method=False, error="another amount", told_amount=told, told_currency="EUR" if told else "",
            by="alice", created_us=1,
        )  # fmt: skip
        session.add(row)
        session.flush()
        return row.id


def test_held_payments_are_decided(office_on_each: Office) -> None:
    office, reseller = office_on_each, office_on_each.seat("reseller")
    id, lost = held(office, 900), held(office, None)
    assert "2 payments differ from what was asked" in reseller.get("/panel/gateway-payments").text
    page = f"/panel/gateway-payments/{id}"
    assert "another amount" in reseller.get(page).text
    accepted = reseller.post(f"{page}/accept")
    assert accepted.status_code == 303, accepted.text
    assert "9.00" in reseller.get(page).text
    assert reseller.post(f"/panel/gateway-payments/{lost}/drop", {"reason": "not there"}).status_code == 303
    assert "cancelled" in reseller.get(f"/panel/gateway-payments/{lost}").text
    refused = reseller.post(f"{page}/refund", {"amount": "90", "reason": "too much"})
    assert "is left of gateway payment" in refused.text
    assert office.seat("other").get(page).status_code == 404


def test_gateways_are_the_operators_to_set_up(office: Office) -> None:
    admin = office.seat("admin")
    path = "/panel/payment-gateways/new?kind=stripe"
    page = admin.get(path).text
    assert "A file on the server that holds the secret" in page
    names = re.findall(r'name="(set_\w+)"', page)
    sent = {"name": "cards", "units": "EUR"} | {x: "relative/path" for x in names if x.endswith("_file")}
    refused = admin.post(path, sent)
    assert refused.status_code == 200
    assert "whole path" in refused.text
    assert office.seat("reseller").get("/panel/payment-gateways").status_code == 200
    assert office.seat("reseller").get(path).status_code == 403
