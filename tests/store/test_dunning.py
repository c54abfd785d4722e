"""Dunning: an overdue invoice reaches its levels one by one, and each way in which it stops by itself."""

from collections.abc import Iterator

import pytest

from pbxbill.billing.dunning.dunning_catalogue import (
    ACTIVE,
    STOPPED,
    all_policies,
    assign,
    import_policy,
    pause,
    release,
    set_groups,
)
from pbxbill.billing.dunning.dunning_policy import Action
from pbxbill.billing.dunning.dunning_runs import preview
from pbxbill.billing.invoices.disputes import dispute, settle_dispute
from pbxbill.billing.invoices.note_amounts import Whole
from pbxbill.billing.invoices.notes import credit
from pbxbill.billing.life_cycle.suspending import lift, suspend
from pbxbill.billing.profiles import ProfileTerms, set_profile
from pbxbill.charging.status import AccountStatus
from pbxbill.errors import InputRefused
from pbxbill.store.dunning_models import DunningPolicyRow
from pbxbill.store.models import AccountRow
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.dunned_accounts import POLICY, Dunned
from tests.store.invoiced_accounts import DAY_US, FEBRUARY, operator_id


@pytest.fixture
def dunned(accounts: BilledAccounts) -> Iterator[Dunned]:
    opened = Dunned(accounts)
    opened.open()
    yield opened
    opened.database.dispose()
    assert_books_in_order(accounts.url)


def test_an_overdue_invoice_is_reminded_charged_and_barred_until_it_is_paid(dunned: Dunned) -> None:
    dunned.until(2)
    assert dunned.steps() == []
    dunned.until(3)
    assert dunned.steps() == [(1, "remind")]
    ((kind, text),) = dunned.mail()
    assert kind == "overdue"
    assert "€12.00" in text
    dunned.until(10)
    assert dunned.steps()[1:] == [(2, "fee")]
    ((net, collection, kind),) = dunned.accounts.select(
        "SELECT net, collection, kind FROM charges WHERE kind = 'late_fee'"
    )
    assert (net, collection, kind) == (eur("5"), "invoice", "late_fee")
    assert "Dear Carol, €12.00 of" in dunned.mail()[1][1]
    assert dunned.may_call()
    dunned.until(20)
    assert dunned.steps()[2:] == [(3, "bar_outgoing")]
    assert dunned.status() == "no_outgoing"
    assert not dunned.may_call()
    assert dunned.may_call("112")
    paid = dunned.pay("12")
    assert paid.to_wallet == 0
    assert dunned.status() == "active"
    assert dunned.may_call()
    assert dunned.accounts.select("SELECT * FROM dunning_states") == []
    dunned.until(60)
    assert len(dunned.steps()) == 3


def test_nobody_is_dunned_through_two_levels_at_once_after_weeks_in_which_nothing_ran(dunned: Dunned) -> None:
    dunned.day(45)
    for _ in range(3):
        dunned.run()
    assert dunned.steps() == [(1, "remind")]
    dunned.day(51)
    dunned.run()
    assert len(dunned.steps()) == 1
    dunned.day(52)  # seven days lie between the first level and the second
    dunned.run()
    assert dunned.steps()[1:] == [(2, "fee")]
    dunned.until(62)
    assert dunned.steps()[2:] == [(3, "bar_outgoing")]


def test_a_clock_that_jumps_forth_and_back_does_nothing_twice(dunned: Dunned) -> None:
    dunned.until(3)
    dunned.day(400)
    dunned.run()
    assert len(dunned.steps()) == 2
    dunned.day(4)
    dunned.run()
    dunned.day(400)
    dunned.run()
    assert dunned.steps() == [(1, "remind"), (2, "fee")]
    assert len(dunned.mail()) == 2
    assert len(dunned.accounts.select("SELECT id FROM charges WHERE kind = 'late_fee'")) == 1


def test_levels_go_on_to_the_end_and_a_payment_opens_no_account_that_was_closed(dunned: Dunned) -> None:
    dunned.until(70)
    assert [action for _, action in dunned.steps()] == [
        "remind",
        "fee",
        "bar_outgoing",
        "suspend",
        "terminate",
        "collection",
    ]
    days = dunned.accounts.select("SELECT at_us FROM dunning_steps ORDER BY level")
    first = days[0][0]
    assert [(at - first) // DAY_US for (at,) in days] == [0, 7, 17, 27, 37, 42]
    dunned.pay("12")
    assert dunned.status() == "terminated"
    assert dunned.accounts.select("SELECT action FROM dunning_steps WHERE ended_us IS NULL") == [
        ("remind",),
        ("fee",),
        ("terminate",),
    ]


def test_a_partial_payment_stops_nothing(dunned: Dunned) -> None:
    dunned.until(20)
    dunned.pay("11.99")
    assert dunned.status() == "no_outgoing"
    dunned.until(30)
    assert dunned.status() == "suspended"


def test_what_is_below_the_minimum_is_left_alone(accounts: BilledAccounts) -> None:
    dunned = Dunned(accounts)
    dunned.open('minimum = { EUR = "2" }\n' + POLICY)
    dunned.until(20)
    assert dunned.status() == "no_outgoing"
    dunned.pay("10.01")
    assert dunned.status() == "active"
    dunned.until(80)
    assert len(dunned.steps()) == 3
    dunned.database.dispose()


def test_another_overdue_invoice_holds_the_bar_that_is_its_own(accounts: BilledAccounts) -> None:
    dunned = Dunned(accounts)
    dunned.open("[[level]]\ndays = 20\naction = 'bar_outgoing'\n[[level]]\ndays = 40\naction = 'suspend'\n")
    dunned.call("carol", 600, 35)
    dunned.invoice("carol", FEBRUARY)  # due four weeks after the first
    dunned.until(48)
    assert dunned.status() == "suspended"
    dunned.pay("12")
    assert dunned.status() == "no_outgoing"
    dunned.pay("1.20")
    assert dunned.status() == "active"
    dunned.database.dispose()


def test_a_disputed_part_is_not_dunned_and_the_rest_is(dunned: Dunned) -> None:
    dunned.until(20)
    with dunned.session() as session:
        dispute(session, dunned.invoice_id, reason="not me", now_us=dunned.clock.now_us(), amount=eur("7"))
    assert dunned.status() == "no_outgoing"
    with dunned.session() as session:
        dispute(session, dunned.invoice_id, reason="none of it", now_us=dunned.clock.now_us())
    assert dunned.status() == "active"
    dunned.until(40)
    assert len(dunned.steps()) == 3
    with dunned.session() as session:
        settle_dispute(session, dunned.invoice_id, reason="it was", now_us=dunned.clock.now_us())
    assert dunned.status() == "active"
    dunned.run()
    # Back to dunning: what was lifted is put back, and the next level comes its days later.
    assert dunned.status() == "no_outgoing"
    dunned.until(49)
    assert len(dunned.steps()) == 3
    dunned.until(50)
    assert dunned.status() == "suspended"


def test_a_credit_note_stops_it(dunned: Dunned) -> None:
    dunned.until(20)
    with dunned.session() as session:
        credit(session, dunned.books, dunned.invoice_id, Whole(), "wrong", dunned.clock.now_us())
    assert dunned.status() == "active"
    assert dunned.accounts.select("SELECT * FROM dunning_states") == []


def test_a_payment_that_bounces_puts_the_bar_back_with_the_next_run(dunned: Dunned) -> None:
    dunned.until(20)
    entry_id = dunned.pay("12").entry_id
    assert dunned.status() == "active"
    dunned.until(25)
    dunned.take_back(entry_id)
    assert dunned.may_call()
    dunned.run()
    assert not dunned.may_call()
    dunned.until(34)
    assert len(dunned.steps()) == 3
    dunned.until(35)
    assert dunned.steps()[3:] == [(4, "suspend")]


def test_an_account_that_somebody_closed_is_left_alone(dunned: Dunned) -> None:
    dunned.until(3)
    with dunned.session() as session:
        now_us = dunned.clock.now_us()
        suspend(session, dunned.accounts.ids["carol"], AccountStatus.TERMINATED, cause="hand", reason="bye",
                now_us=now_us)  # fmt: skip
    dunned.until(30)
    assert len(dunned.steps()) == 1
    with dunned.session() as session:
        lift(session, dunned.accounts.ids["carol"], cause="hand", now_us=dunned.clock.now_us())
    dunned.until(31)
    assert dunned.steps()[1:] == [(2, "fee")]


def test_what_an_operator_barred_by_hand_no_payment_lifts(dunned: Dunned) -> None:
    dunned.until(20)
    with dunned.session() as session:
        suspend(session, dunned.accounts.ids["carol"], AccountStatus.SUSPENDED, cause="hand", reason="fraud",
                now_us=dunned.clock.now_us())  # fmt: skip
    dunned.pay("12")
    assert dunned.status() == "suspended"


def test_quiet_days_and_the_hour_of_the_account_are_kept(accounts: BilledAccounts) -> None:
    dunned = Dunned(accounts)
    # The third day after 15 February 2026 is a Wednesday.
    dunned.open('quiet_weekdays = ["wednesday", "thursday"]\nquiet_days = [2026-02-20]\n' + POLICY)
    for day, hour in ((3, 12), (4, 12), (5, 12), (6, 7)):
        dunned.day(day, hour)
        dunned.run()
        assert dunned.steps() == []
    dunned.day(6, 8)
    dunned.run()
    assert dunned.steps() == [(1, "remind")]
    dunned.database.dispose()


def test_a_paused_policy_does_nothing_until_it_is_released(dunned: Dunned) -> None:
    with dunned.session() as session:
        pause(session, dunned.policy.id)
    dunned.until(10)
    assert dunned.steps() == []
    with dunned.session() as session:
        release(session, dunned.policy.id, dunned.clock.now_us())
    dunned.run()
    assert dunned.steps() == [(1, "remind")]


def test_the_brake_stops_a_policy_that_would_bar_too_many(accounts: BilledAccounts) -> None:
    dunned = Dunned(accounts)
    dunned.open(POLICY.replace("brake_accounts = 5", 'brake_accounts = 0\nbrake = "10"'))
    dunned.until(19)
    dunned.day(20)
    seen = preview(dunned.database, dunned.clock.now_us())
    assert [(x.account, x.level, x.action) for x in seen.planned] == [("carol", 3, Action.BAR_OUTGOING)]
    assert [(x.accounts, x.allowed, x.of) for x in seen.brakes] == [(1, 0, 4)]
    assert len(dunned.steps()) == 2
    done = dunned.run()
    assert [x.policy for x in done.brakes] == ["standard"]
    assert dunned.status() == "active"
    with dunned.session() as session:
        assert [x.state for x in all_policies(session)] == [STOPPED]
    assert dunned.accounts.select("SELECT subject FROM alerts WHERE kind = 'dunning_stopped'") == [
        ("policy standard",)
    ]
    dunned.day(21)
    assert dunned.run().steps == {}
    with dunned.session() as session:
        release(session, dunned.policy.id, dunned.clock.now_us())
        assert [x.state for x in all_policies(session)] == [ACTIVE]
    assert dunned.run().steps == {Action.BAR_OUTGOING: 1}
    assert dunned.status() == "no_outgoing"
    dunned.database.dispose()


def test_a_dry_run_changes_nothing(dunned: Dunned) -> None:
    dunned.day(3)
    seen = preview(dunned.database, dunned.clock.now_us())
    assert [(x.account, x.level, x.overdue) for x in seen.planned] == [("carol", 1, eur("12"))]
    assert dunned.accounts.select("SELECT * FROM dunning_states") == []
    assert dunned.steps() == []


def test_each_step_says_what_was_done(dunned: Dunned) -> None:
    dunned.until(20)
    assert dunned.accounts.select("SELECT detail FROM dunning_steps ORDER BY level") == [
        ("reminded; 1 message",),
        ("fee 5.00 EUR; 1 message",),
        ("calls to the outside barred; 1 message",),
    ]
    assert dunned.accounts.select(
        f"SELECT dunning_step FROM invoices WHERE id = {dunned.invoice_id}"
    ) == [(3,)]  # fmt: skip


def test_resellers_dun_their_customers_by_their_own_policies(accounts: BilledAccounts) -> None:
    dunned = Dunned(accounts)
    dunned.open()
    dunned.charge("alice", "10")
    second = dunned.invoice("alice").invoice_id
    dunned.until(20)
    assert dunned.status("alice") == "active"
    with dunned.session() as session:
        reseller = session.get_one(AccountRow, accounts.ids["reseller"])
        own = import_policy(session, reseller, "own", '[[level]]\ndays = 1\naction = "suspend"\n', 0)
        alice = session.get_one(AccountRow, accounts.ids["alice"])
        with pytest.raises(InputRefused, match="another issuer"):
            assign(session, alice, dunned.policy, 0)
        assign(session, alice, own, dunned.clock.now_us())
    dunned.run()
    assert dunned.status("alice") == "suspended"
    assert dunned.accounts.select(
        f"SELECT policy_id FROM dunning_steps WHERE invoice_id = {second}"
    ) == [(own.id,)]  # fmt: skip
    dunned.database.dispose()


def test_a_group_goes_by_its_policy_and_a_new_version_goes_on_where_the_old_one_was(dunned: Dunned) -> None:
    dunned.until(3)
    with dunned.session() as session:
        operator = session.get_one(AccountRow, operator_id(session))
        gentle = import_policy(session, operator, "gentle", "[[level]]\ndays = 3\n[[level]]\ndays = 90\n", 0)
        set_groups(session, gentle.id, ["friends"], dunned.clock.now_us())
        carol = dunned.accounts.ids["carol"]
        set_profile(session, carol, ProfileTerms(group_name="friends", emails=("carol@example.net",)))
    dunned.until(60)
    assert len(dunned.steps()) == 1
    with dunned.session() as session:
        text = "[[level]]\ndays = 3\n[[level]]\ndays = 50\n"
        import_policy(session, operator, "gentle", text, dunned.clock.now_us())
    dunned.run()
    assert len(dunned.steps()) == 2
    assert dunned.accounts.select("SELECT policy_version FROM dunning_steps ORDER BY level") == [(1,), (2,)]


def test_a_clock_that_was_a_year_ahead_neither_stops_dunning_nor_its_brake(dunned: Dunned) -> None:
    dunned.until(3)
    dunned.day(370)
    dunned.run()
    assert len(dunned.steps()) == 2
    with dunned.session() as session:
        session.get_one(DunningPolicyRow, dunned.policy.id).state = STOPPED
        release(session, dunned.policy.id, dunned.clock.now_us())
    dunned.day(4)
    dunned.until(13)
    assert len(dunned.steps()) == 2
    with dunned.transaction() as session:
        operator = session.get_one(AccountRow, operator_id(session))
        import_policy(session, operator, "standard", "brake_accounts = 0\n" + POLICY.partition("\n\n")[2], 0)
    dunned.until(20)
    assert len(dunned.steps()) == 2
    assert dunned.status() == "active"
    with dunned.session() as session:
        assert [x.state for x in all_policies(session)] == [STOPPED]
        release(session, dunned.policy.id, dunned.clock.now_us())
    dunned.until(20)
    assert dunned.steps()[2:] == [(3, "bar_outgoing")]


def test_what_is_not_due_by_a_clock_that_was_put_right_bars_nobody(dunned: Dunned) -> None:
    policy = '[[level]]\ndays = 3\naction = "bar_outgoing"\n'
    with dunned.transaction() as session:
        import_policy(session, session.get_one(AccountRow, operator_id(session)), "standard", policy, 0)
    dunned.day(370)
    dunned.run()
    assert dunned.status() == "no_outgoing"
    dunned.day(-5)
    dunned.run()
    assert dunned.status() == "active"
    dunned.until(3)
    assert dunned.status() == "no_outgoing"
