"""Re-rating: what a period should have cost, corrected beside what was charged, once."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pbxbill.charging.events import Adjust
from pbxbill.charging.writing import write
from pbxbill.cli.output import moment
from pbxbill.errors import InputRefused
from pbxbill.mediation.rerate import Definition, Rerating
from pbxbill.store.decks import add_deck_version
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.tariffs import NewTariff, add_tariff_version
from tests.small_operator import eur
from tests.store.billed_accounts import (
    CLOCK,
    BilledAccounts,
    rate,
    talk_to_germany_and_france,
)
from tests.store.command_line import Ok, Run

EVER = (0, 2**60)


@pytest.fixture
def accounts(accounts: BilledAccounts) -> BilledAccounts:
    """alice below a reseller and bob, each with money and two minutes to Germany, one to France."""
    talk_to_germany_and_france(accounts)
    return accounts


def new_deck(accounts: BilledAccounts, name: str, *rates: tuple[str, ...]) -> None:
    """A corrected version, in force since ever."""
    database = open_engine(accounts.url)
    with transaction(database) as session:
        add_deck_version(
            session,
            deck_name=name,
            unit="EUR",
            rates=[rate(*row) for row in rates],
            effective_from_us=0,
            source="corrected.csv",
            now_us=1,
        )
    database.dispose()


def run(accounts: BilledAccounts, *codes: str, **instead: Any) -> Rerating:
    return Rerating(lambda: connect(accounts.url), CLOCK, Definition(*EVER, codes, **instead))


def told(_calls: int, _of: int) -> None:
    pass


def changes(accounts: BilledAccounts, rerated: Rerating) -> dict[str, tuple[int, int, int, int]]:
    """charges, old, new and charges without a rate, by code."""
    codes = {id: code for code, id in accounts.ids.items()}
    found = rerated.preview(told).accounts
    return {codes[id]: (x.calls, x.old, x.new, x.unrated) for (id, _), x in found.items()}


def test_nothing_changes_as_long_as_nothing_has_changed(accounts: BilledAccounts) -> None:
    assert all(old == new for _, old, new, _ in changes(accounts, run(accounts)).values())
    before = accounts.wallet("alice")
    _, posted = run(accounts).apply(told)
    assert posted == []
    assert accounts.wallet("alice") == before


def test_a_preview_changes_nothing(accounts: BilledAccounts) -> None:
    new_deck(accounts, "retail", ("49", "Germany", "0.24"))
    before = accounts.wallet("bob")
    assert changes(accounts, run(accounts))["bob"] == (2, eur("0.24"), eur("0.48"), 1)
    assert accounts.wallet("bob") == before
    assert accounts.select("SELECT COUNT(*) FROM rerating_runs") == [(0,)]


def test_a_cheaper_deck_gives_back_at_every_level(accounts: BilledAccounts) -> None:
    new_deck(accounts, "retail", ("49", "Germany", "0.06"), ("33", "France", "0.30"))
    new_deck(accounts, "wholesale", ("49", "Germany", "0.03"), ("33", "France", "0.15"))
    alice, reseller = accounts.wallet("alice")[0], accounts.wallet("reseller")[0]
    run(accounts).apply(told)
    # Germany: 2 x 0.12 becomes 2 x 0.06; France loses its connection fee of 0.05; both with 19 % tax.
    assert accounts.wallet("alice")[0] - alice == eur("0.2023")
    assert accounts.wallet("reseller")[0] - reseller == eur("0.06")
    taxes = accounts.select("SELECT SUM(tax_delta) FROM call_corrections")
    assert taxes == [(-eur("0.0323"),)]
    assert accounts.problems() == []


def test_a_second_run_finds_nothing_left(accounts: BilledAccounts) -> None:
    new_deck(accounts, "retail", ("49", "Germany", "0.24"))
    run(accounts).apply(told)
    after = accounts.wallet("bob")
    _, posted = run(accounts).apply(told)
    assert posted == []
    assert accounts.wallet("bob") == after
    assert changes(accounts, run(accounts))["bob"] == (2, eur("0.48"), eur("0.48"), 1)


def test_a_correction_can_be_corrected(accounts: BilledAccounts) -> None:
    before = accounts.wallet("bob")
    for price in ("0.50", "0.01", "0.12"):
        new_deck(accounts, "retail", ("49", "Germany", price), ("33", "France", "0.30", "0.05", "60/60"))
        run(accounts).apply(told)
        assert accounts.problems() == []
    assert accounts.wallet("bob") == before


def test_what_funds_cannot_pay_is_uncollected(accounts: BilledAccounts) -> None:
    posted, _, _ = accounts.wallet("bob")
    with accounts.engine() as engine:
        left = eur("0.10")
        engine.execute(Adjust("out", accounts.ids["bob"], "EUR", left - posted, CLOCK.now_us()))
    new_deck(accounts, "retail", ("49", "Germany", "0.24"))
    run(accounts, "bob").apply(told)
    assert accounts.wallet("bob") == (0, 0, 0)
    rows = accounts.select("SELECT old_total, new_total, uncollected_delta FROM call_corrections")
    assert rows == [(eur("0.24"), eur("0.34"), eur("0.14"))]
    assert accounts.problems() == []
    # Cheaper again: what was never collected is forgiven first.
    new_deck(accounts, "retail", ("49", "Germany", "0.20"))
    run(accounts, "bob").apply(told)
    assert accounts.wallet("bob") == (0, 0, 0)
    assert accounts.select("SELECT SUM(uncollected_delta) FROM call_corrections") == [(eur("0.06"),)]
    assert accounts.problems() == []


def test_only_calls_of_an_account_by_another_tariff(accounts: BilledAccounts) -> None:
    new_deck(accounts, "flat", ("", "Everywhere", "0.01"))
    database = open_engine(accounts.url)
    with transaction(database) as session:
        add_tariff_version(session, NewTariff("flat", "flat"), 1)
    database.dispose()
    bob = accounts.wallet("bob")
    run(accounts, "alice", tariff="flat").apply(told)
    assert accounts.wallet("bob") == bob
    assert accounts.wallet("alice")[0] == eur("4.97")
    assert accounts.problems() == []


def test_another_deck_under_the_same_terms(accounts: BilledAccounts) -> None:
    new_deck(accounts, "flat", ("", "Everywhere", "0.01"))
    run(accounts, "alice", deck="flat").apply(told)
    assert accounts.wallet("alice")[0] == eur("4.9643")
    assert accounts.problems() == []


def test_a_run_that_was_stopped_goes_on(accounts: BilledAccounts, monkeypatch: pytest.MonkeyPatch) -> None:
    new_deck(accounts, "retail", ("49", "Germany", "0.06"), ("33", "France", "0.10"))
    monkeypatch.setattr("pbxbill.mediation.rerate.CALLS_PER_TRANSACTION", 1)
    stopped = run(accounts)
    written: list[object] = []

    def dies(*arguments: object) -> None:
        written.append(arguments)
        if len(written) == 3:
            raise KeyboardInterrupt
        write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("pbxbill.mediation.rerate.write", dies)
    with pytest.raises(KeyboardInterrupt):
        stopped.apply(told)
    assert accounts.select("SELECT state FROM rerating_runs") == [("running",)]
    assert accounts.problems() == []
    monkeypatch.setattr("pbxbill.mediation.rerate.write", write)
    run_id, posted = run(accounts).apply(told)
    assert accounts.select("SELECT id, state, calls FROM rerating_runs") == [(run_id, "done", 4)]
    assert sum(x.calls for x in posted) == 4
    assert accounts.wallet("bob")[0] == eur("4.78")
    assert accounts.problems() == []


def test_invoiced_calls_ask_for_a_note(accounts: BilledAccounts) -> None:
    new_deck(accounts, "retail", ("49", "Germany", "0.06"), ("33", "France", "0.90", "0.05", "60/60"))
    definition = Definition(*EVER, ("bob",))
    invoiced = {
        (id, level, 0): 1 for id, level in accounts.select("SELECT session_id, level FROM call_charges")
    }
    rerating = Rerating(lambda: connect(accounts.url), CLOCK, definition, lambda driver, ids: invoiced)
    rerating.apply(told)
    notes = accounts.select("SELECT account_id, kind, calls, total FROM correction_notes ORDER BY kind")
    bob = accounts.ids["bob"]
    assert notes == [(bob, "credit", 1, eur("0.12")), (bob, "debit", 1, eur("0.60"))]


@pytest.mark.parametrize(
    "definition",
    [
        Definition(*EVER, ("nobody",)),
        Definition(*EVER, (), "no such tariff"),
        Definition(*EVER, (), None, "no such deck"),
        Definition(*EVER, (), "plain", "retail"),
    ],
)
def test_what_does_not_exist_is_refused(accounts: BilledAccounts, definition: Definition) -> None:
    with pytest.raises(InputRefused):
        Rerating(lambda: connect(accounts.url), CLOCK, definition).preview(told)


def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(InputRefused, match="ends before it begins"):
        Rerating(lambda: connect("sqlite:///none"), CLOCK, Definition(5, 5))


def test_from_the_command_line(accounts: BilledAccounts, ok: Ok) -> None:
    new_deck(accounts, "retail", ("49", "Germany", "0.24"))
    words = ("rerate", "--from", "2020-01-01", "--to", moment(CLOCK.now_us()), "--account", "bob")
    shown = ok(*words)
    assert "Nothing was changed" in shown
    assert "1 charges stay as they are: no rate" in shown
    before = accounts.wallet("bob")[0]
    applied = json.loads(ok(*words, "--apply", "--json"))
    (row,) = applied["corrected"]
    assert row == {
        "account": "bob",
        "charges": 1,
        "taken": "0.24",
        "tax": "0.00",
        "uncollected": "0.00",
        "unit": "EUR",
    }
    assert before - accounts.wallet("bob")[0] == eur("0.24")


def test_a_period_that_is_not_over_is_refused(pbxbill: Run, accounts: BilledAccounts) -> None:
    result = pbxbill("rerate", "--from", "2020-01-01", "--to", "2999-01-01")
    assert result.exit_code == 2
    assert "not over" in result.stderr


def test_a_killed_run_goes_on(accounts: BilledAccounts, tmp_path: Path) -> None:
    new_deck(accounts, "retail", ("49", "Germany", "0.06"), ("33", "France", "0.10"))
    program = (
        "import os, sys\n"
        "from pbxbill.clock import SystemClock\n"
        "from pbxbill.mediation import rerate\n"
        "from pbxbill.store.driver import connect\n"
        "rerate.CALLS_PER_TRANSACTION = 1\n"
        "done = []\n"
        "first = rerate.write\n"
        "def write(*arguments):\n"
        "    done.append(1)\n"
        "    if len(done) == 3:\n"
        "        os.kill(os.getpid(), 9)\n"
        "    first(*arguments)\n"
        "rerate.write = write\n"
        f"rerate.Rerating(lambda: connect({accounts.url!r}), SystemClock(), rerate.Definition(0, 2**60))"
        ".apply(lambda calls, of: None)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert killed.returncode == -9
    assert accounts.select("SELECT COUNT(DISTINCT session_id) FROM call_corrections") == [(2,)]
    assert accounts.problems() == []
    run(accounts).apply(told)
    assert accounts.select("SELECT state, calls FROM rerating_runs") == [("done", 4)]
    assert accounts.wallet("bob")[0] == eur("4.78")
    assert accounts.problems() == []


def test_calls_that_cost_more_and_calls_that_cost_less_may_come_to_nothing(accounts: BilledAccounts) -> None:
    before = accounts.wallet("bob")
    # Two minutes to Germany cost 0.10 more, one to France 0.10 less.
    new_deck(accounts, "retail", ("49", "Germany", "0.17"), ("33", "France", "0.20", "0.05", "60/60"))
    run(accounts, "bob").apply(told)
    assert accounts.wallet("bob") == before
    assert accounts.select("SELECT COUNT(*) FROM call_corrections") == [(2,)]
    assert accounts.problems() == []


def test_of_two_at_once_the_second_is_told_so(
    accounts: BilledAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took its number before the first had written its own."""
    new_deck(accounts, "retail", ("49", "Germany", "0.06"))
    first, _ = run(accounts).apply(told)
    corrections = accounts.select("SELECT COUNT(*) FROM call_corrections")
    monkeypatch.setattr("pbxbill.mediation.rerate._NEXT_RUN", f"SELECT {first}")
    with pytest.raises(InputRefused, match="another re-rating of these calls is running or has just ended"):
        run(accounts).apply(told)
    assert accounts.select("SELECT COUNT(*) FROM call_corrections") == corrections
    assert accounts.select("SELECT COUNT(*) FROM rerating_runs") == [(1,)]
