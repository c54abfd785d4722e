"""Life-cycle runs: their brake, what stops them, accounts that fail, notices, and what verify says."""

from datetime import date

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.life_cycle import life_cycle_runs, life_cycle_stages
from pbxbill.billing.life_cycle.life_cycle import Wanted, set_life_cycle
from pbxbill.billing.life_cycle.life_cycle_catalogue import (
    policies_of,
    policy_by_name,
    set_state,
)
from pbxbill.billing.life_cycle.life_cycle_runs import planned, run_life_cycles
from pbxbill.billing.life_cycle.status_promises import LIFE_CYCLES
from pbxbill.billing.parties import set_party
from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.verify import checked
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import NewAccount, account_by_code, open_account, open_wallet
from pbxbill.store.driver import connect
from pbxbill.store.dunning_models import LifeCycleRow
from pbxbill.store.engine import transaction
from pbxbill.store.invoice_models import MessageRow
from tests.store.living_accounts import POLICY, Living

MINUTE_US = 60 * SECOND_US


def many(living: Living, count: int) -> None:
    with living.shop.session() as session:
        for number in range(count):
            account = open_account(session, NewAccount(f"c{number}", f"C{number}", tariff="plain"), 0)
            open_wallet(session, account, "EUR")


def test_a_run_that_would_bar_everybody_stops_before_it_bars_anybody(living: Living) -> None:
    many(living, 20)
    living.run("2026-01-01")
    living.run("2026-01-31 09:00")
    living.shop.at("2026-02-02")
    with living.shop.session() as session:
        carol = account_by_code(session, "carol")
        set_life_cycle(session, carol, Wanted(stop_on=date(2026, 2, 1)), living.shop.now_us)
        would = [x for x in planned(session, living.shop.now_us) if x.bars]
    assert len(would) == 22
    run = living.run()
    assert len(run.stopped) == 1
    assert "would bar 22 accounts, 5 are allowed" in run.said
    assert living.shop.accounts.select("SELECT COUNT(*) FROM accounts WHERE status <> 'active'") == [(1,)]
    assert living.status("carol") == "suspended"  # agreed with her
    assert living.run().said == ""
    with living.shop.session() as session:
        set_state(session, issuer_by_code(session, None), "prepaid", "released", living.shop.now_us)
    assert living.run().done["stage"] == 22
    with living.shop.session() as session:
        assert [x.state for x in policies_of(session)] == ["active"]


def look_in(living: Living, codes: list[str], minutes: int) -> None:
    """Let accounts be looked at so many minutes from now."""
    with living.shop.session() as session:
        for code in codes:
            row = session.get_one(LifeCycleRow, account_by_code(session, code).id)
            row.next_us = living.shop.now_us + minutes * MINUTE_US


def late_by_the_minute(living: Living) -> list[str]:
    """Ten more accounts, of which one comes due each minute from now."""
    many(living, 10)
    living.run("2026-01-01")
    living.run("2026-01-31 09:00")
    living.shop.at("2026-02-02")
    codes = [f"c{number}" for number in range(10)]
    for number, code in enumerate(codes, 1):
        look_in(living, [code], number)
    return codes


def test_accounts_that_expire_minute_by_minute_do_not_pass_the_brake(living: Living) -> None:
    late_by_the_minute(living)
    assert living.run().done["stage"] == 2  # bob and hot
    for minute in (1, 2, 3):
        assert living.run(f"2026-02-02 00:0{minute}").said == "1 barred"
    assert "would bar 6 accounts, 5 are allowed" in living.run("2026-02-02 00:04").said
    assert living.run("2026-02-02 00:05").said == ""
    with living.shop.session() as session:
        set_state(session, issuer_by_code(session, None), "prepaid", "active", living.shop.now_us)
    living.shop.at("2026-02-03 00:04")
    look_in(living, [f"c{number}" for number in range(4, 10)], 60)
    look_in(living, ["c3"], 0)
    assert living.run().said == "1 barred", "what was barred is longer ago than a day"


def test_what_was_released_is_not_counted_again(living: Living) -> None:
    codes = late_by_the_minute(living)
    look_in(living, codes[:9], 0)
    assert "would bar 11 accounts" in living.run().said
    with living.shop.session() as session:
        set_state(session, issuer_by_code(session, None), "prepaid", "released", living.shop.now_us)
    look_in(living, codes[9:], 10)
    assert living.run("2026-02-02 00:01").said == "11 barred"
    assert living.run("2026-02-02 00:11").said == "1 barred"


def test_a_run_that_is_stopped_goes_on_where_it_was(living: Living) -> None:
    many(living, 3)
    living.run("2026-01-01")
    living.run("2026-01-31 09:00")
    living.shop.at("2026-02-02")
    asked = iter([False, False, False, True])
    shop = living.shop
    first = run_life_cycles(shop.database, living.billing, shop.clock, lambda: next(asked, True))
    second = living.run()
    assert first.done["stage"] + second.done["stage"] == 5
    assert first.done["stage"] in {1, 2}


def test_an_account_that_fails_stops_nothing(living: Living, monkeypatch: pytest.MonkeyPatch) -> None:
    living.run("2026-01-01")
    living.run("2026-01-31 09:00")
    living.shop.at("2026-02-02")
    done = life_cycle_stages.look_at

    def faulty(session: Session, books: Bookkeeper, account_id: int, now_us: int) -> object:
        found = done(session, books, account_id, now_us)
        if account_id == living.shop.accounts.ids["bob"]:
            raise InputRefused("a fault")
        return found

    monkeypatch.setattr(life_cycle_runs, "look_at", faulty)
    run = living.run()
    assert (run.failed, run.done["stage"]) == (1, 1)
    assert living.run().failed == 1
    told = living.shop.accounts.select("SELECT subject, detail FROM alerts WHERE kind = 'life_cycle_failed'")
    bob_id = living.shop.accounts.ids["bob"]
    assert told == [(f"account {bob_id}", "InputRefused: a fault")]  # once an hour, not with each run
    assert (living.status("bob"), living.status("hot")) == ("active", "no_outgoing")
    monkeypatch.undo()
    assert living.run().done["stage"] == 1


def test_each_alert_is_one_notice(living: Living) -> None:
    with living.shop.session() as session:
        set_party(session, account_by_code(session, "bob").id, {"email": "bob@example.com"})
    living.days("2026-01-01", "2026-02-02")
    with living.shop.session() as session:
        kinds = session.scalars(select(MessageRow.kind).order_by(MessageRow.id)).all()
    assert kinds == ["expiry_ahead", "expiry_ahead", "suspension"]


def test_verify_finds_a_stage_that_bars_nothing(living: Living) -> None:
    living.run("2026-01-01")
    with transaction(living.shop.database) as session:
        session.get_one(LifeCycleRow, living.shop.accounts.ids["bob"]).stage = "suspended"
    driver = connect(living.shop.accounts.url)
    assert not checked(driver, LIFE_CYCLES).holds
    driver.close()
    with transaction(living.shop.database) as session:
        session.get_one(LifeCycleRow, living.shop.accounts.ids["bob"]).stage = "active"


def test_a_policy_of_its_own_counts_for_an_account(living: Living) -> None:
    living.policy(POLICY.replace("days = 30", "days = 300"), "long", standard=False)
    with living.shop.session() as session:
        policy = policy_by_name(session, issuer_by_code(session, None), "long")
        bob = account_by_code(session, "bob")
        set_life_cycle(session, bob, Wanted(policy=policy), living.shop.now_us)
        alice = account_by_code(session, "alice")
        with pytest.raises(InputRefused, match="not of the issuer"):
            set_life_cycle(session, alice, Wanted(policy=policy), living.shop.now_us)
    living.days("2026-01-01", "2026-03-01")
    assert (living.status("bob"), living.status("hot")) == ("active", "inactive")


def test_a_clock_that_was_a_year_ahead_puts_nothing_off_for_a_year(living: Living) -> None:
    living.policy()
    living.run("2026-01-01")
    living.run("2027-01-10")
    living.run("2026-01-02")
    living.days("2026-01-03", "2026-02-20")
    stages = living.shop.accounts.select("SELECT DISTINCT stage FROM life_cycles")
    assert stages == [("suspended",)]
