"""Suspensions: each cause bars for itself, the worst counts, and every engine obeys with the next call."""

import json
from collections.abc import Iterator

import pytest
from alembic import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from pbxbill.billing.life_cycle.account_events import events_of
from pbxbill.billing.life_cycle.suspending import all_in_force, cut_calls, lift, suspend, worst_of
from pbxbill.billing.promises import verify_all
from pbxbill.charging.events import Answer, Authorize, Denied, Direction, Extend, Extended, Granted, Settle
from pbxbill.charging.status import WORSE, AccountStatus
from pbxbill.errors import InputRefused
from pbxbill.ids import new_id
from pbxbill.store.accounts import add_endpoint, bump_catalogue
from pbxbill.store.billing_models import IssuerRow
from pbxbill.store.driver import connect
from pbxbill.store.dunning_models import SuspensionRow
from pbxbill.store.engine import _alembic, migrate, open_engine, transaction
from pbxbill.store.models import AccountRow
from tests.small_operator import eur, seconds
from tests.store.billed_accounts import CLOCK, FRANCE, GERMANY, BilledAccounts
from tests.store.command_line import Ok, Run
from tests.store.other_process import Process, line, started

BARRING = (
    AccountStatus.NO_OUTGOING,
    AccountStatus.SUSPENDED,
    AccountStatus.INACTIVE,
    AccountStatus.TERMINATED,
)


@pytest.fixture
def database(accounts: BilledAccounts) -> Iterator[Engine]:
    """At the end all promises must hold."""
    opened = open_engine(accounts.url)
    yield opened
    opened.dispose()
    assert accounts.problems() == []


def bar(
    database: Engine, account_id: int, status: AccountStatus, cause: str = "hand", *, cut: bool = False
) -> None:
    with transaction(database) as session:
        suspend(session, account_id, status, cause=cause, reason="why", now_us=CLOCK.now_us(), cut=cut)


def unbar(database: Engine, account_id: int, cause: str = "hand") -> bool:
    with transaction(database) as session:
        return lift(session, account_id, cause=cause, now_us=CLOCK.now_us())


def status_of(database: Engine, account_id: int) -> str:
    with transaction(database) as session:
        return session.get_one(AccountRow, account_id).status


def ask(process: Process, code: str, number: str = GERMANY) -> str:
    process.stdin.write(f"{code} {number}\n")
    process.stdin.flush()
    return line(process)


def test_the_worst_cause_counts_and_each_is_lifted_for_itself(
    accounts: BilledAccounts, database: Engine
) -> None:
    alice = accounts.ids["alice"]
    bar(database, alice, AccountStatus.NO_OUTGOING, "dunning:7")
    bar(database, alice, AccountStatus.INACTIVE, "life_cycle")
    bar(database, alice, AccountStatus.SUSPENDED)
    assert status_of(database, alice) == "inactive"
    assert unbar(database, alice, "life_cycle")
    assert status_of(database, alice) == "suspended"
    assert unbar(database, alice)
    assert not unbar(database, alice)
    assert status_of(database, alice) == "no_outgoing"
    assert unbar(database, alice, "dunning:7")
    assert status_of(database, alice) == "active"
    with transaction(database) as session:
        kinds = [(row.kind, row.detail) for row in events_of(session, alice)]
    assert kinds[:2] == [("status", "no_outgoing -> active"), ("lifted", "no_outgoing for dunning:7: why")]
    assert kinds[-1] == ("suspended", "no_outgoing for dunning:7: why")


def test_said_twice_it_bars_once_and_with_another_status_that_one_counts(
    accounts: BilledAccounts, database: Engine
) -> None:
    alice = accounts.ids["alice"]
    for status in (AccountStatus.INACTIVE, AccountStatus.INACTIVE, AccountStatus.NO_OUTGOING):
        bar(database, alice, status)
    assert status_of(database, alice) == "no_outgoing"
    with transaction(database) as session:
        rows = session.scalars(select(SuspensionRow).order_by(SuspensionRow.id)).all()
        assert [(row.status, row.lifted_us is None) for row in rows] == [
            ("inactive", False),
            ("no_outgoing", True),
        ]


def test_the_operator_is_not_suspended(database: Engine) -> None:
    with transaction(database) as session:
        operator = session.scalars(select(AccountRow).where(AccountRow.parent_id.is_(None))).one()
        with pytest.raises(InputRefused, match="operator itself"):
            suspend(session, operator.id, AccountStatus.SUSPENDED, cause="hand", reason="", now_us=1)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(("hand", "life_cycle2", "dunning:1")), st.sampled_from((*BARRING, None))),
        max_size=12,
    )
)
def test_whatever_bars_and_lifts_the_status_is_the_worst_in_force(
    accounts: BilledAccounts, steps: list[tuple[str, AccountStatus | None]]
) -> None:
    database = open_engine(accounts.url)
    account_id = accounts.ids["bob"]
    with transaction(database) as session:
        for row in all_in_force(session, account_id):
            lift(session, account_id, cause=row.cause, now_us=1)
        meant: dict[str, AccountStatus] = {}
        for now_us, (cause, status) in enumerate(steps):
            if status is None:
                assert lift(session, account_id, cause=cause, now_us=now_us) is (cause in meant)
                meant.pop(cause, None)
            else:
                suspend(session, account_id, status, cause=cause, reason="", now_us=now_us)
                meant[cause] = status
            account = session.get_one(AccountRow, account_id)
            assert account.status == worst_of(meant.values())
            assert {x.cause: x.status for x in all_in_force(session, account_id)} == meant
            worst = max((WORSE[x] for x in meant.values()), default=0)
            assert WORSE[AccountStatus(account.status)] == worst
    database.dispose()


def test_an_engine_of_another_process_obeys_with_the_next_call(
    accounts: BilledAccounts, database: Engine
) -> None:
    accounts.top_up("bob", "5")
    accounts.top_up("alice", "5")
    bob, reseller = accounts.ids["bob"], accounts.ids["reseller"]
    with started("asking_process", accounts.url) as process:
        assert line(process) == "ready"
        assert ask(process, "bob") == "granted"
        bar(database, bob, AccountStatus.NO_OUTGOING)
        assert ask(process, "bob") == "end_user_service_denied: account bob may not call out"
        assert ask(process, "bob", "112") == "granted"
        unbar(database, bob)
        assert ask(process, "bob") == "granted"
        bar(database, reseller, AccountStatus.SUSPENDED)
        assert ask(process, "alice") == "end_user_service_denied: account reseller is suspended"
        unbar(database, reseller)
        assert ask(process, "alice") == "granted"
        with transaction(database) as session:
            session.get_one(AccountRow, bob).minimum_balance = eur("5.01")
        assert ask(process, "bob") == "credit_limit_reached: account bob has less than its minimum balance"


def test_support_numbers_pass_once_they_are_named(accounts: BilledAccounts, database: Engine) -> None:
    accounts.top_up("bob", "5")
    bob = accounts.ids["bob"]
    bar(database, bob, AccountStatus.INACTIVE)
    with accounts.engine() as engine:
        assert isinstance(engine.execute(accounts.request("bob", FRANCE)), Denied)
    with transaction(database) as session:
        operator = session.get_one(AccountRow, bob).parent_id
        assert operator is not None
        session.add(IssuerRow(account_id=operator, support_numbers=f"49800\n{FRANCE}"))
        bump_catalogue(session)
    with accounts.engine() as engine:
        granted = accounts.call(engine, "bob", FRANCE)
        engine.execute(Settle(granted.session_id, 1, 1 + seconds(60), 16))
        assert accounts.wallet("bob")[0] == eur("5") - eur("0.35")
        bar(database, bob, AccountStatus.TERMINATED, "life_cycle2")
        assert isinstance(engine.execute(accounts.request("bob", FRANCE)), Denied)


@pytest.mark.parametrize("whose", ["alice", "reseller"])
def test_calls_that_are_up_go_on_unless_they_are_cut(
    accounts: BilledAccounts, database: Engine, whose: str
) -> None:
    accounts.top_up("alice", "5")
    with accounts.engine() as engine:
        session_id = accounts.call(engine, "alice").session_id
        help_id = accounts.call(engine, "alice", "112").session_id
        now_us = CLOCK.now_us()
        engine.execute(Answer(session_id, now_us, "leg"))
        bar(database, accounts.ids[whose], AccountStatus.SUSPENDED)
        grown = engine.execute(Extend(session_id, seconds(120), now_us))
        assert isinstance(grown, Extended)
        assert (grown.granted_us, grown.final) == (seconds(120), False)
        before = accounts.select("SELECT MAX(told_us) FROM wallets")
        bar(database, accounts.ids[whose], AccountStatus.SUSPENDED, cut=True)
        assert accounts.select("SELECT MAX(told_us) FROM wallets") > before  # its daemon hears of it
        ended = engine.execute(Extend(session_id, seconds(180), now_us))
        assert isinstance(ended, Extended)
        assert (ended.granted_us, ended.final) == (seconds(120), True)
        assert accounts.select(f"SELECT max_call_s FROM reservations WHERE session_id = '{help_id}'") == [
            (14400,)
        ]
        engine.execute(Settle(session_id, now_us, now_us + seconds(120), 16))
        engine.execute(Settle(help_id, now_us, now_us + seconds(3000), 16))
        assert accounts.wallet("alice")[1] == 0


def test_terminating_always_cuts(accounts: BilledAccounts, database: Engine) -> None:
    accounts.top_up("bob", "5")
    with accounts.engine() as engine:
        session_id = accounts.call(engine, "bob").session_id
        bar(database, accounts.ids["bob"], AccountStatus.TERMINATED)
        grown = engine.execute(Extend(session_id, seconds(120), 1))
        assert isinstance(grown, Extended)
        assert (grown.granted_us, grown.final) == (seconds(60), True)
        with transaction(database) as session:
            assert cut_calls(session, accounts.ids["bob"], CLOCK.now_us()) == 0
        engine.execute(Settle(session_id, 1, 1 + seconds(60), 16))


def test_calls_to_its_dids_are_not_cut_where_they_may_still_come_in(
    accounts: BilledAccounts, database: Engine
) -> None:
    with transaction(database) as session:
        add_endpoint(session, session.get_one(AccountRow, accounts.ids["bob"]), "did", "4930777")
    with accounts.engine() as engine:
        session_id, now_us = new_id(), CLOCK.now_us()
        inbound = Authorize(
            session_id, "s1", session_id, Direction.INBOUND, "4930777", "331", now_us, did="4930777"
        )
        assert isinstance(engine.execute(inbound), Granted)
        bar(database, accounts.ids["bob"], AccountStatus.NO_OUTGOING, cut=True)
        grown = engine.execute(Extend(session_id, seconds(120), now_us))
        assert isinstance(grown, Extended)
        assert (grown.granted_us, grown.final) == (seconds(120), False)
        engine.execute(Settle(session_id, now_us, now_us + seconds(90), 16))


@pytest.mark.parametrize(
    "statement, sentence",
    [
        ("UPDATE accounts SET status = 'suspended' WHERE code = 'bob'", "account bob is suspended, while"),
        ("UPDATE suspensions SET lifted_us = from_us", "account alice is inactive, while"),
        ("UPDATE suspensions SET status = 'closed'", "which is no status"),
        ("UPDATE suspensions SET lifted_us = from_us - 1", "was lifted before it began"),
    ],
)
def test_verify_finds_a_status_that_nothing_bars(
    accounts: BilledAccounts, statement: str, sentence: str
) -> None:
    database = open_engine(accounts.url)
    bar(database, accounts.ids["alice"], AccountStatus.INACTIVE)
    with database.begin() as connection:
        connection.exec_driver_sql(statement)
    database.dispose()
    driver = connect(accounts.url)
    problems = [problem for x in verify_all(driver, CLOCK) for problem in x.problems]
    driver.close()
    assert any(sentence in problem for problem in problems), problems


def test_operators_bar_and_lift_by_hand(ok: Ok, pbxbill: Run) -> None:
    ok("init")
    ok("accounts", "add", "alice", "--unit", "EUR")
    assert ok("accounts", "suspend", "alice", "--status", "no_outgoing", "--reason", "fraud?", "--cut") == (
        "account alice is no_outgoing: hand (no_outgoing)\n"
    )
    shown = json.loads(ok("accounts", "show", "alice", "--json"))
    assert [(x["cause"], x["status"], x["reason"]) for x in shown["barred_by"]] == [
        ("hand", "no_outgoing", "fraud?")
    ]
    refused = pbxbill("accounts", "resume", "alice", "--cause", "dunning:3")
    assert refused.exit_code == 2
    assert "there is: hand" in refused.output
    assert ok("accounts", "resume", "alice", "--by", "eve") == "account alice is active\n"
    told = json.loads(ok("accounts", "history", "alice", "--json"))
    assert [(x["kind"], x["by"]) for x in told] == [
        ("status", ""),
        ("lifted", "eve"),
        ("status", ""),
        ("suspended", ""),
    ]
    assert pbxbill("accounts", "set", "alice", "--minimum-balance", "1").exit_code == 2
    ok("verify")


def test_what_was_suspended_before_there_were_causes_is_so_by_hand(empty_database_url: str) -> None:
    command.upgrade(_alembic(empty_database_url), "0007")
    database = open_engine(empty_database_url)
    columns = "id, parent_id, path, kind, code, name, status, mode, language, failure_policy"
    with database.begin() as connection:
        for id, parent, status in ((1, "NULL", "active"), (2, "1", "suspended"), (3, "1", "active")):
            connection.exec_driver_sql(
                f"INSERT INTO accounts ({columns}, offline_allowance, created_us) VALUES ({id}, {parent}, "
                f"'/{id}/', 'customer', 'c{id}', 'C', '{status}', 'prepaid', 'en', 'closed', 0, 7)"
            )
    migrate(empty_database_url)
    with transaction(database) as session:
        rows = session.scalars(select(SuspensionRow)).all()
        assert [(x.account_id, x.cause, x.status, x.lifted_us) for x in rows] == [
            (2, "hand", "suspended", None)
        ]
        assert lift(session, 2, cause="hand", now_us=9)
        assert session.get_one(AccountRow, 2).status == "active"
    database.dispose()
