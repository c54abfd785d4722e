"""Accounts in their life-cycle: runs on a moved clock, money that brings back, what rests and what ends."""

from dataclasses import replace
from datetime import date

import pytest

from pbxbill.billing.life_cycle.life_cycle import Wanted, revive, set_life_cycle
from pbxbill.billing.life_cycle.suspending import HAND, all_in_force, lift, suspend
from pbxbill.billing.life_cycle.terminating import terminate
from pbxbill.billing.subscriptions.did_inventory import add_did
from pbxbill.billing.subscriptions.dids import Assignment, assign_did
from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.billing.subscriptions.subscribing import When, pause
from pbxbill.charging.events import Answer, Granted, Settle
from pbxbill.charging.status import AccountStatus
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import account_by_code
from tests.small_operator import eur
from tests.store.living_accounts import PLAN, POLICY, Living
from tests.store.subscribed_accounts import moment_us


def test_a_prepaid_account_that_is_not_filled_is_told_and_barred_stage_by_stage(living: Living) -> None:
    assert living.run().entered == 2  # bob and hot; alice is the reseller's, carol postpaid
    assert living.valid_to("bob") == moment_us("2026-02-01")
    living.days("2026-01-01", "2026-05-01")
    assert living.events("bob", "alerted", "status") == [
        ("2026-01-25", "alerted", "no_outgoing on 2026-02-01"),
        ("2026-01-31", "alerted", "no_outgoing on 2026-02-01"),
        ("2026-02-01", "status", "active -> no_outgoing"),
        ("2026-02-04", "alerted", "suspended on 2026-02-11"),
        ("2026-02-10", "alerted", "suspended on 2026-02-11"),
        ("2026-02-11", "status", "no_outgoing -> suspended"),
        ("2026-02-14", "alerted", "inactive on 2026-02-21"),
        ("2026-02-20", "alerted", "inactive on 2026-02-21"),
        ("2026-02-21", "status", "suspended -> inactive"),
        ("2026-03-06", "alerted", "terminated on 2026-03-13"),
        ("2026-03-12", "alerted", "terminated on 2026-03-13"),
        ("2026-03-13", "status", "inactive -> terminated"),
    ]
    assert living.run().said == ""


@pytest.mark.parametrize(
    "stage, day", [("no_outgoing", "02-02"), ("suspended", "02-12"), ("inactive", "02-22")]
)
def test_a_top_up_brings_back_at_once(living: Living, stage: str, day: str) -> None:
    living.days("2026-01-01", f"2026-{day}")
    assert living.status("bob") == stage
    living.top_up("bob", "4.99")
    assert living.status("bob") == stage  # too small
    living.top_up("bob", "5")
    assert living.status("bob") == "active"
    assert living.valid_to("bob") == moment_us(f"2026-{day}") + 30 * 86_400_000_000
    living.run()
    assert living.status("bob") == "active"


def test_of_a_terminated_account_money_stays_and_an_operator_decides(living: Living) -> None:
    living.days("2026-01-01", "2026-03-14")
    living.top_up("bob", "50")
    assert living.status("bob") == "terminated"
    assert living.events("bob", "not_revived")
    with living.shop.session() as session:
        revive(session, account_by_code(session, "bob").id, living.shop.now_us, by="eve")
    assert living.status("bob") == "active"
    living.days("2026-03-14", "2026-04-10")
    assert living.status("bob") == "active"
    with living.shop.session() as session, pytest.raises(InputRefused, match="bars nothing"):
        revive(session, account_by_code(session, "bob").id, living.shop.now_us)


def test_a_voucher_prolongs_by_its_own_days_and_nothing_is_ever_shortened(living: Living) -> None:
    living.run("2026-01-01")
    living.top_up("bob", "1", validity_days=90)
    assert living.valid_to("bob") == moment_us("2026-04-02")
    living.top_up("bob", "20")
    living.top_up("bob", "1", validity_days=1)
    assert living.valid_to("bob") == moment_us("2026-04-02")
    living.days("2026-03-01", "2026-04-01")
    assert living.status("bob") == "active"
    assert living.status("hot") == "inactive"


def test_what_else_bars_an_account_stays_when_money_comes(living: Living) -> None:
    living.days("2026-01-01", "2026-02-02")
    with living.shop.session() as session:
        bob = account_by_code(session, "bob").id
        suspend(session, bob, AccountStatus.SUSPENDED, cause=HAND, reason="fraud", now_us=living.shop.now_us)
    living.top_up("bob", "10")
    assert living.status("bob") == "suspended"
    with living.shop.session() as session:
        assert [row.cause for row in all_in_force(session, bob)] == [HAND]
        lift(session, bob, cause=HAND, now_us=living.shop.now_us)
    assert living.status("bob") == "active"


def test_after_months_without_a_run_nobody_finds_himself_terminated(living: Living) -> None:
    living.run("2026-01-01")
    living.run("2026-08-01")
    assert living.status("bob") == "active"
    assert living.events("bob", "alerted") == [("2026-08-01", "alerted", "no_outgoing on 2026-08-02")]
    living.run("2026-08-02")
    assert living.status("bob") == "no_outgoing"
    living.run("2026-12-01")
    assert living.status("bob") == "no_outgoing"  # told first, again
    living.run("2026-12-02")
    assert living.status("bob") == "suspended"


def test_a_clock_that_jumps_a_year_ahead_and_back_bars_nobody(living: Living) -> None:
    living.run("2026-01-01")
    living.run("2026-12-15")
    living.run("2026-01-02")
    assert living.status("bob") == "active"
    living.days("2026-01-03", "2026-01-31")
    assert living.status("bob") == "active"


def test_inactive_accounts_are_not_charged_and_go_on_when_they_are_used(living: Living) -> None:
    shop = living.shop
    shop.plan("line", PLAN)
    shop.top_up("bob", "30")
    living.run("2026-01-01")
    kept = shop.subscribe("bob", "line")
    shop.charge("bob")
    living.days("2026-01-02", "2026-02-22")
    shop.charge("bob", "2026-02-22")
    assert living.status("bob") == "inactive"
    assert shop.state(kept) == "paused"
    paid = shop.wallet("bob")
    shop.charge("bob", "2026-03-10")
    assert shop.wallet("bob") == paid
    living.top_up("bob", "5")
    assert living.status("bob") == "active"
    assert living.run().go_on == 1
    assert shop.state(kept) == "active"
    assert living.run().go_on == 0
    shop.charge("bob")
    assert eur(shop.wallet("bob")) < eur(paid) + eur("5")
    assert [kind for kind, _ in shop.history(kept)] == ["subscribe", "pause", "resume"]


def test_what_an_account_paused_itself_stays_paused(living: Living) -> None:
    shop = living.shop
    shop.plan("line", PLAN)
    shop.top_up("bob", "30")
    kept = shop.subscribe("bob", "line")
    shop.does(pause, kept, When(by="bob"))
    living.days("2026-01-02", "2026-02-25")
    living.top_up("bob", "5")
    assert living.run().go_on == 0
    assert shop.state(kept) == "paused"


def test_a_terminated_account_has_no_subscriptions_and_no_dids(living: Living) -> None:
    shop = living.shop
    shop.plan("line", PLAN)
    shop.top_up("bob", "30")
    kept = shop.subscribe("bob", "line")
    with shop.session() as session:
        add_did(session, issuer_by_code(session, None), "4930555", shop.now_us)
        assign_did(session, shop.books, "4930555", account_by_code(session, "bob"), Assignment(), shop.now_us)
    living.days("2026-01-02", "2026-03-20")
    assert living.status("bob") == "terminated"
    assert shop.state(kept) == "ended"
    assert shop.accounts.select("SELECT state, account_id FROM dids") == [("quarantined", None)]
    assert ("1 subscriptions ended; DID 4930555 released") in [x[2] for x in living.events("bob", "ended")]


def test_terminating_by_hand_ends_what_the_account_has(living: Living) -> None:
    shop = living.shop
    shop.plan("line", PLAN)
    shop.top_up("bob", "30")
    kept = shop.subscribe("bob", "line")
    with shop.session() as session:
        bob = account_by_code(session, "bob").id
        terminate(session, shop.books, bob, cause=HAND, reason="left", now_us=shop.now_us, by="eve")
    assert (living.status("bob"), shop.state(kept)) == ("terminated", "ended")
    living.days("2026-01-02", "2026-05-01")
    assert living.events("bob", "alerted") == []  # nobody is told that a closed account will be closed


def test_funds_are_forfeited_only_where_the_policy_says_and_by_an_entry(living: Living) -> None:
    living.policy('forfeit = "suspended"\n' + POLICY)
    living.shop.top_up("bob", "7.50")
    living.days("2026-01-01", "2026-02-10")
    assert living.shop.wallet("bob") == "7.50"
    living.days("2026-02-10", "2026-02-12")
    assert living.shop.wallet("bob") == "0.00"
    assert living.events("bob", "forfeited") == [("2026-02-11", "forfeited", "forfeited 7.50 EUR")]
    assert living.shop.balances() == {"cash": "7.50", "adjustment": "-7.50"}
    living.run()
    assert len(living.events("bob", "forfeited")) == 1


def test_silence_ends_with_a_call(living: Living) -> None:
    text = "alerts = []\n[inactivity]\ndays = 60\n[stages]\nsuspended = 0\n"
    living.policy(text, "silent")
    living.run("2026-01-01")
    shop = living.shop
    shop.top_up("bob", "5")
    with shop.accounts.engine() as engine:
        asked = replace(shop.accounts.request("bob"), at_us=moment_us("2026-02-20"))
        session_id = asked.session_id
        assert isinstance(engine.execute(asked), Granted)
        engine.execute(Answer(session_id, moment_us("2026-02-20"), "leg"))
        engine.execute(Settle(session_id, moment_us("2026-02-20"), moment_us("2026-02-20") + 9_000_000, 16))
    living.run("2026-03-03")
    assert (living.status("bob"), living.status("hot")) == ("active", "suspended")
    living.run("2026-04-21")
    assert living.status("bob") == "active"
    living.run("2026-04-22")
    assert living.status("bob") == "suspended"
    living.top_up("bob", "0.01")  # any money is a sign of life where nothing is said of a least amount
    assert living.status("bob") == "active"


def test_a_stop_date_ends_service_whatever_is_paid_until_it_is_changed(living: Living) -> None:
    shop = living.shop
    with shop.session() as session:
        carol = account_by_code(session, "carol")  # postpaid: no policy is for her
        set_life_cycle(session, carol, Wanted(stop_on=date(2026, 3, 10)), shop.now_us, by="eve")
    living.days("2026-01-02", "2026-03-10")
    assert living.status("carol") == "active"
    assert [x[0] for x in living.events("carol", "alerted")] == ["2026-03-03", "2026-03-09"]
    living.run("2026-03-10")
    assert living.status("carol") == "suspended"
    living.top_up("carol", "100")
    living.run("2026-03-11")
    assert living.status("carol") == "suspended"
    with shop.session() as session:
        carol = account_by_code(session, "carol")
        set_life_cycle(session, carol, Wanted(stop_on=date(2026, 12, 10)), shop.now_us)
    assert living.status("carol") == "active"
    living.run("2026-03-12")
    assert living.status("carol") == "active"


def test_days_are_the_accounts_own(living: Living) -> None:
    living.shop.local_zone("America/New_York")
    living.shop.at("2026-01-01 20:00")  # the second in UTC
    living.run()
    assert living.valid_to("bob") == moment_us("2026-02-01", "America/New_York")
