"""A card and access numbers in a database, for tests on each switch."""

import secrets

import pytest

from pbxbill.app import Application
from pbxbill.billing.codes.calling_cards import add_card, add_known_caller, card_by_id
from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.ivr.access_number import AccessTerms
from pbxbill.ivr.access_numbers import put_access_number
from pbxbill.store.accounts import account_by_code, add_endpoint
from pbxbill.store.engine import transaction

ACCESS, TRUSTING, PAID_ACCESS = "33155501", "33155502", "33155503"
"""With a PIN; without one for known callers; with a PIN, the line itself charged to a DID's owner."""
PIN = "13579246"
CARD = 1
CALLER = "33612345678"


def hold_card(application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    """alice's card, with the PIN that recordings and scenarios hold, and a phone that is known."""
    now_us = application.clock.now_us()
    terms = AccessTerms(pin_digits=len(PIN), answer_s=3, digit_s=2, max_lines=6)
    with transaction(application.database) as session:
        with monkeypatch.context() as drawing:
            drawing.setattr(secrets, "randbelow", lambda _below: int(PIN))
            card = add_card(session, account_by_code(session, "alice"), now_us, digits=len(PIN))
        assert (card.card_id, card.pin) == (CARD, PIN)
        add_known_caller(session, card_by_id(session, CARD), CALLER, now_us)
        add_endpoint(session, account_by_code(session, "alice"), "did", PAID_ACCESS)
        operator = issuer_by_code(session, None)
        for number in (ACCESS, PAID_ACCESS):
            put_access_number(session, operator, number, terms, now_us)
        trusting = AccessTerms(languages=("en", "fr"), known_callers=True, answer_s=3, digit_s=2)
        put_access_number(session, operator, TRUSTING, trusting, now_us)
