"""Requests, migrations, renewals with reminders, charges by hand: on each database."""

from typing import Any

import pytest
from sqlalchemy import select

from pbxbill.billing.charge import ChargeKind, Collection
from pbxbill.billing.invoices.templates import StoredTemplate, save_template
from pbxbill.billing.render.template import Template
from pbxbill.billing.subscriptions.charges_by_hand import (
    HandCharge,
    add_charge,
    list_charges,
    withdraw_charge,
)
from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code, plan_by_name, retire_plan
from pbxbill.billing.subscriptions.plan_terms import ChangeAt
from pbxbill.billing.subscriptions.renewals import due_accounts, renew_account
from pbxbill.billing.subscriptions.requests import (
    Decision,
    Request,
    decide_request,
    request_change,
    waiting_requests,
    withdraw_request,
)
from pbxbill.billing.subscriptions.subscribing import Wanted, change, migrate_plan, to_migrate
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import account_by_code
from pbxbill.store.billing_models import BillingProfileRow, IssuerRow, PartyRow, SubscriptionChangeRow
from pbxbill.store.bundles import NewBundle, add_bundle, bundles_serving
from pbxbill.store.invoice_models import MessageRow, TemplateRow
from pbxbill.store.models import AccountRow, TariffRow
from tests.small_operator import eur
from tests.store.subscribed_accounts import Shop, moment_us

LINE = 'unit = "EUR"\n[[charge]]\nname = "Line"\nprice = "31"\n'
BETTER = 'unit = "EUR"\n[[charge]]\nname = "Better line"\nprice = "62"\n'


# --- requests ----------------------------------------------------------------------------------


def asked(shop: Shop, id: int, request: Request) -> int:
    with shop.session() as session:
        return request_change(session, id, request, shop.now_us).id


def decided(shop: Shop, request: int, decision: Decision) -> None:
    with shop.session() as session:
        decide_request(session, shop.books, request, decision, shop.now_us)


def test_a_customers_request_is_accepted(shop: Shop) -> None:
    shop.plan("line", LINE)
    better = shop.plan("better", BETTER)
    id = shop.subscribe("carol", "line")
    shop.at("2026-01-11")
    request = asked(shop, id, Request(version=better, reason="we grow", by="carol"))
    assert len(shop.charges("carol")) == 1
    with shop.session() as session:
        assert [(code, of) for _, code, of in waiting_requests(session)] == [("carol", id)]
        assert waiting_requests(session, account_by_code(session, "reseller")) == []
    shop.at("2026-01-21")
    decided(shop, request, Decision(True, "ann"))
    assert shop.charges("carol")[1:] == [
        ("2026-01-21", "line: Line, given back", "-11.00"),
        ("2026-01-21", "better: Better line", "22.00"),
    ]
    assert sorted(shop.history(id)) == [("change", "accepted"), ("change", "done"), ("subscribe", "done")]
    with pytest.raises(InputRefused, match="waits to be decided: it is accepted"):
        decided(shop, request, Decision(True, "ann"))


def test_a_request_is_refused_with_a_reason_or_withdrawn(shop: Shop) -> None:
    shop.plan("line", LINE)
    id = shop.subscribe("carol", "line")
    refused = asked(shop, id, Request(quantity=5))
    with pytest.raises(InputRefused, match="say why"):
        decided(shop, refused, Decision(False, "ann"))
    decided(shop, refused, Decision(False, "ann", "no ports left"))
    taken_back = asked(shop, id, Request(cancel=True))
    with shop.session() as session:
        withdraw_request(session, taken_back, shop.now_us, "carol")
    with shop.session() as session:
        rows = session.scalars(select(SubscriptionChangeRow).order_by(SubscriptionChangeRow.id)).all()
        told = [(row.kind, row.state, row.reason, row.decided_by) for row in rows[1:]]
    assert told == [
        ("quantity", "refused", "refused: no ports left", "ann"),
        ("cancel", "withdrawn", "", "carol"),
    ]
    assert shop.state(id) == "active"


# --- versions ----------------------------------------------------------------------------------


def test_subscriptions_keep_their_version_until_they_are_migrated(shop: Shop) -> None:
    shop.plan("line", LINE)
    first, other = shop.subscribe("carol", "line"), shop.subscribe("carol", "line")
    version = shop.plan("line", LINE.replace("31", "40"))
    assert version.number == 2
    assert shop.plan("line", LINE.replace("31", "40")).number == 2, "the same terms are no new version"
    shop.charge("carol", "2026-02-01")
    assert [amount for _, _, amount in shop.charges("carol")] == ["31.00"] * 4
    with shop.session() as session:
        plan = plan_by_name(session, issuer_by_code(session, None), "line")
        assert to_migrate(session, plan, []) == [first, other]
        assert to_migrate(session, plan, [account_by_code(session, "bob")]) == []
        for _ in range(2):  # the second time nothing is left to do
            migrate_plan(session, shop.books, plan, first, Wanted(), shop.now_us)
    shop.charge("carol", "2026-03-01")
    assert [amount for _, _, amount in shop.charges("carol")[4:]] == ["40.00", "31.00"]
    assert shop.history(first) == [("subscribe", "done"), ("migrate", "done")]


def test_a_retired_plan_stays_with_who_has_it(shop: Shop) -> None:
    shop.plan("line", LINE)
    shop.subscribe("carol", "line")
    with shop.session() as session:
        retire_plan(session, plan_by_name(session, issuer_by_code(session, None), "line"), shop.now_us)
    with pytest.raises(InputRefused, match="retired"):
        shop.subscribe("bob", "line")
    assert len(shop.charge("carol", "2026-02-01").charge_ids) == 1


def test_a_reseller_sells_his_own_plans_to_his_own_customers(shop: Shop) -> None:
    shop.plan("line", LINE)
    shop.plan("line", LINE.replace("31", "62"), issuer="reseller")
    shop.top_up("alice", "100")
    shop.subscribe("alice", "line")
    assert shop.wallet("alice") == "38.00"
    assert shop.balances("reseller") == {"cash": "100.00", "deferred:revenue": "-62.00"}
    with shop.session() as session:
        operators = plan_by_name(session, issuer_by_code(session, None), "line")
        assert operators.issuer_id != account_by_code(session, "alice").parent_id


# --- renewals ----------------------------------------------------------------------------------


def test_a_term_renews_itself_after_a_reminder(shop: Shop) -> None:
    term = 'renewal = "term"\nremind_days_before = 14\n[term]\nmonths = 3\nfee = "fixed"\namount = "25"\n'
    shop.plan("line", term.replace("[term]", LINE + "[term]"))
    with shop.session() as session:
        carol = account_by_code(session, "carol")
        session.add(PartyRow(account_id=carol.id, legal_name="Carol", email="carol@example.org"))
        account_id = carol.id
    id = shop.subscribe("carol", "line")
    told: list[tuple[str, str, int]] = []
    for day in ("2026-02-01", "2026-03-01", "2026-03-17 23:00", "2026-03-18", "2026-03-20"):
        now_us = shop.at(day)
        with shop.session() as session:
            if account_id in due_accounts(session, now_us):
                renew_account(session, shop.books, account_id, now_us)
        with shop.session() as session:
            messages = session.scalars(select(MessageRow)).all()
            told = [(x.recipient, x.subject, x.created_us) for x in messages]
        if day < "2026-03-18":
            assert told == [], day
    subject = "Your subscription to line is renewed on 1 Apr 2026"
    assert told == [("carol@example.org", subject, moment_us("2026-03-18"))]
    shop.charge("carol", "2026-04-02")
    assert ("renew", "done") in shop.history(id)
    shop.charge("carol", "2026-06-30")
    with shop.session() as session:
        rows = session.scalars(select(MessageRow).order_by(MessageRow.id)).all()
        dates = [row.subject[-10:] for row in rows if row.kind == "renewal_ahead"]
    assert dates == ["1 Apr 2026", "1 Jul 2026"]


def test_a_reminder_speaks_the_customers_language_in_the_issuers_words(shop: Shop) -> None:
    shop.plan("Leitung", 'renewal = "ends"\nremind_days_before = 14\n' + LINE + "[term]\nmonths = 2\n")
    with shop.session() as session:
        carol = account_by_code(session, "carol")
        session.add(PartyRow(account_id=carol.id, legal_name="Carol GmbH", email="carol@example.org"))
        session.add(BillingProfileRow(account_id=carol.id, language="de"))
        operator = session.get_one(AccountRow, carol.parent_id)
        texts = {"de": {"ending_subject": "Zum $day: $plan ($unknown)"}}
        stored = StoredTemplate("ours", 0, Template(texts=texts), None)
        save_template(session, operator, "ours", stored, shop.now_us)
        template = session.scalars(select(TemplateRow)).one()
        session.add(IssuerRow(account_id=operator.id, template_id=template.id))
        account_id = carol.id
    id = shop.subscribe("carol", "Leitung")
    now_us = shop.at("2026-02-20")
    with shop.session() as session:
        renew_account(session, shop.books, account_id, now_us)
        (message,) = session.scalars(select(MessageRow))
        assert message.subject == "Zum 01.03.2026: Leitung ($unknown)"
        assert message.text == (
            f"Guten Tag Carol GmbH,\n\nIhr Vertrag Leitung (Nummer {id}) endet am 01.03.2026.\n\nOperator\n"
        )


def test_a_plan_that_is_not_renewed_ends_by_itself(shop: Shop) -> None:
    shop.plan("season", 'renewal = "ends"\n' + LINE + "[term]\nmonths = 2\n")
    id = shop.subscribe("carol", "season")
    shop.charge("carol", "2026-06-01")
    assert [day for day, _, _ in shop.charges("carol")] == ["2026-01-01", "2026-02-01"]
    assert (shop.state(id), shop.history(id)) == ("ended", [("subscribe", "done"), ("end", "done")])


# --- what a plan brings ------------------------------------------------------------------------


def test_a_plan_brings_its_tariff_and_bundles_while_it_is_paid(shop: Shop) -> None:
    with shop.session() as session:
        add_bundle(session, NewBundle("talk", "seconds", 600))
    text = 'bundles = ["talk"]\ntariff = "taxed"\n' + LINE
    shop.plan("talker", text)
    shop.top_up("bob", "31")
    shop.subscribe("bob", "talker")

    def serving() -> tuple[str | None, list[str]]:
        with shop.session() as session:
            bob = account_by_code(session, "bob")
            tariff = None if bob.tariff_id is None else session.get_one(TariffRow, bob.tariff_id).name
            return tariff, [x.held.bundle.name for x in bundles_serving(session, bob, shop.now_us)]

    assert serving() == ("taxed", ["talk"])
    shop.charge("bob", "2026-02-01")
    assert serving() == (None, [])
    shop.at("2026-02-10")
    shop.top_up("bob", "31")
    with shop.session() as session:
        bob_id = account_by_code(session, "bob").id
        # The top-up is news of the wallet: whoever looks for what is due finds the account before its time.
        assert bob_id in due_accounts(session, shop.now_us)
        renew_account(session, shop.books, bob_id, shop.now_us)
    assert serving() == ("taxed", ["talk"])
    with shop.session() as session:
        assert bob_id not in due_accounts(session, shop.now_us)


# --- charges by hand ---------------------------------------------------------------------------


def charged(shop: Shop, code: str, **terms: Any) -> int:
    with shop.session() as session:
        values: dict[str, Any] = {
            "description": "Visit",
            "unit": "EUR",
            "unit_price": eur("50"),
            "reason": "asked for",
        } | terms
        account = account_by_code(session, code)
        return add_charge(session, shop.books, account, HandCharge(**values), shop.now_us).id


def withdrawn(shop: Shop, charge_id: int) -> None:
    with shop.session() as session:
        withdraw_charge(session, shop.books, charge_id, "a mistake", shop.now_us, "ann")


def test_a_charge_for_the_next_invoice_takes_nothing_yet(shop: Shop) -> None:
    id = charged(shop, "bob", quantity=1_500_000, key="visit-7")
    assert charged(shop, "bob", quantity=1_500_000, key="visit-7") == id
    assert shop.charges("bob") == [("2026-01-01", "Visit", "75.00")]
    assert (shop.wallet("bob"), shop.balances()) == ("0.00", {})
    with pytest.raises(InputRefused, match="used for another charge"):
        charged(shop, "bob", description="Other", key="visit-7")
    withdrawn(shop, id)
    with shop.session() as session:
        assert list_charges(session, open_only=True) == []
        assert [row.collection for row, _ in list_charges(session)] == ["void"]
    with pytest.raises(InputRefused, match="withdrawn already"):
        withdrawn(shop, id)


def test_a_charge_from_the_wallet_comes_back_when_it_is_withdrawn(shop: Shop) -> None:
    shop.top_up("bob", "60")
    id = charged(shop, "bob", collection=Collection.WALLET)
    assert (shop.wallet("bob"), shop.balances()["revenue:one-time"]) == ("10.00", "-50.00")
    with pytest.raises(InputRefused, match=r"50.00 EUR are not in the wallet: 10.00 are free"):
        charged(shop, "bob", collection=Collection.WALLET)
    withdrawn(shop, id)
    assert (shop.wallet("bob"), shop.balances()) == ("60.00", {"cash": "60.00"})
    assert shop.charges("bob")[1] == ("2026-01-01", "Withdrawn: Visit", "-50.00")
    with pytest.raises(InputRefused, match="withdrawn already"):
        withdrawn(shop, id)


def test_a_discount_gives_back(shop: Shop) -> None:
    charged(shop, "bob", kind=ChargeKind.CREDIT, collection=Collection.WALLET, description="Sorry")
    assert (shop.wallet("bob"), shop.charges("bob")) == ("50.00", [("2026-01-01", "Sorry", "-50.00")])


@pytest.mark.parametrize(
    "terms,reason",
    [
        ({"reason": " "}, "say why"),
        ({"unit_price": -1}, "above 0"),
        ({"unit_price": 2**61, "quantity": 10**9}, "out of range"),
        ({"quantity": 0}, "a quantity is above 0"),
        ({"description": ""}, "a description has 1 to"),
        ({"kind": ChargeKind.RECURRING}, "a charge by hand is one of"),
        ({"unit": "XXX"}, "no unit"),
    ],
)
def test_what_cannot_be_charged(shop: Shop, terms: dict, reason: str) -> None:
    with pytest.raises(InputRefused, match=reason):
        charged(shop, "bob", **terms)


def test_a_change_of_the_zone_of_the_issuer_is_a_change_of_days(shop: Shop) -> None:
    shop.local_zone("Pacific/Auckland")
    shop.plan("line", LINE)
    better = shop.plan("better", BETTER)
    shop.at("2026-04-01 08:00")
    id = shop.subscribe("carol", "line")
    shop.at("2026-04-05 02:30")  # the clock was put from 3:00 to 2:00: this day has 25 hours
    shop.does(change, id, Wanted(version=better, at=ChangeAt.NOW))
    # April has 30 days: 4 were used, 26 come back of 31.00, and 26 days of 62.00 are charged.
    assert shop.charges("carol")[1:] == [
        ("2026-04-05", "line: Line, given back", "-26.866667"),
        ("2026-04-05", "better: Better line", "53.733333"),
    ]
