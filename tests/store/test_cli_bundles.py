"""`pbxbill bundles`, on each database."""

import json

import pytest

from pbxbill.store.catalogue_models import CounterRow
from pbxbill.store.engine import open_engine, transaction
from tests.store.command_line import Ok, Run, by_commands


def begin(ok: Ok) -> None:
    ok("init")
    ok("accounts", "add", "reseller", "--kind", "reseller")
    ok("accounts", "add", "alice", "--parent", "reseller")
    ok("bundles", "add", "family", "--pieces", "36000", "--shared", "--zone", "Europe/Berlin")
    own = ("--pieces", "6000", "--rollover", "1", "--priority", "5", "--increments", "60/60", "--fee-owed")
    ok("bundles", "add", "mobile", *own, "--destination", "mobile", "--destination", "+4932")


BEGUN = {"operator": by_commands("bundles", begin)}


@pytest.fixture
def operator() -> None:
    """A reseller with a customer, and one bundle for each."""


def shown(ok: Ok, code: str, at: str) -> list[tuple[str, str, int, int, int, int]]:
    keys = ("bundle", "account", "allowed", "used", "reserved", "left")
    return [
        tuple(x[key] for key in keys) for x in json.loads(ok("bundles", "show", code, "--at", at, "--json"))
    ]


def use(url: str, window: tuple[int, int], allowed: int, used: int, reserved: int, ref_id: int = 1) -> None:
    """Write a counter as charging does."""
    database = open_engine(url)
    with transaction(database) as session:
        session.add(
            CounterRow(
                kind="bundle",
                account_id=3,
                ref_id=ref_id,
                window_from_us=window[0],
                window_to_us=window[1],
                allowed=allowed,
                used=used,
                reserved=reserved,
            )
        )
    database.dispose()


@pytest.mark.usefixtures("operator")
def test_bundles_are_listed_with_their_terms(ok: Ok) -> None:
    ok("bundles", "give", "alice", "mobile")
    ok("bundles", "give", "reseller", "mobile")
    family, mobile = json.loads(ok("bundles", "list", "--json"))
    assert family == {
        "name": "family",
        "pieces": 36_000,
        "measure": "seconds",
        "cycle": "month",
        "zone": "Europe/Berlin",
        "destinations": [],
        "shared": True,
        "rollover_cycles": 0,
        "priority": 0,
        "increments": "1/1",
        "fee_owed": False,
        "accounts": 0,
    }
    assert (mobile["destinations"], mobile["increments"], mobile["fee_owed"], mobile["accounts"]) == (
        ["mobile", "+4932"],
        "60/60",
        True,
        2,
    )
    assert "mobile" in ok("bundles", "list")


@pytest.mark.usefixtures("operator")
def test_an_account_is_served_by_its_own_bundles_and_shared_ones_above(ok: Ok) -> None:
    ok("bundles", "give", "reseller", "family", "--from", "2026-01-01")
    ok("bundles", "give", "alice", "mobile", "--from", "2026-01-10", "--until", "2026-03-10")
    told = ok("bundles", "give", "reseller", "mobile", "--from", "2026-01-01")
    assert told == "account reseller has bundle mobile from 2026-01-01T00:00:00.000Z\n"
    assert shown(ok, "alice", "2026-01-20") == [
        ("mobile", "alice", 6000, 0, 0, 6000),
        ("family", "reseller", 36_000, 0, 0, 36_000),
    ]
    assert [x[0] for x in shown(ok, "alice", "2026-03-10")] == ["family"]
    assert [x[0] for x in shown(ok, "reseller", "2026-03-10")] == ["mobile", "family"]
    assert "36000" in ok("bundles", "show", "reseller", "--at", "2026-03-10")


@pytest.mark.usefixtures("operator")
def test_what_is_left_comes_from_the_counter_of_the_window(ok: Ok, database_url: str) -> None:
    ok("bundles", "give", "alice", "mobile", "--from", "2026-01-10")
    (window,) = json.loads(ok("bundles", "show", "alice", "--at", "2026-01-20", "--json"))
    assert (window["from"], window["to"]) == ("2026-01-10T00:00:00.000Z", "2026-02-10T00:00:00.000Z")
    january = (1_768_003_200_000_000, 1_770_681_600_000_000)
    use(database_url, january, 6000, 1800, 120)
    assert shown(ok, "alice", "2026-01-20") == [("mobile", "alice", 6000, 1800, 120, 4080)]
    assert shown(ok, "alice", "2026-02-20") == [("mobile", "alice", 10_080, 0, 0, 10_080)], "4080 rolled over"
    assert shown(ok, "alice", "2026-03-20") == [("mobile", "alice", 12_000, 0, 0, 12_000)]


@pytest.mark.usefixtures("operator")
def test_a_bundle_is_taken(ok: Ok, pbxbill: Run) -> None:
    ok("bundles", "give", "alice", "mobile", "--from", "2026-01-01")
    ok("bundles", "give", "alice", "mobile", "--from", "2026-01-05")
    assert len(shown(ok, "alice", "2026-01-20")) == 2
    ok("bundles", "take", "alice", "mobile", "--at", "2026-01-15")
    assert len(shown(ok, "alice", "2026-01-14")) == 2
    assert len(shown(ok, "alice", "2026-01-15")) == 1
    ok("bundles", "take", "alice", "mobile", "--at", "2026-01-15")
    gone = pbxbill("bundles", "take", "alice", "mobile", "--at", "2026-01-15")
    assert gone.exit_code == 2
    assert "does not have bundle 'mobile' then" in gone.stderr


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize(
    "words,reason",
    [
        (("add", "family", "--pieces", "1"), "bundle 'family' exists already"),
        (("add", "x", "--pieces", "0"), "0 is not in the range"),
        (("add", "x", "--pieces", str(2**60)), "no more than can be counted"),
        (("add", "x", "--pieces", "1", "--zone", "Europe/Bonn"), "no time zone 'Europe/Bonn'"),
        (("add", "x", "--pieces", "1", "--zone", "/etc/passwd"), "no time zone"),
        (("add", "x", "--pieces", "1", "--increments", "60"), "write initial/following"),
        (("add", "x", "--pieces", "1", "--increments", "0/1"), "1 to 86400"),
        (("add", "x", "--pieces", "1", "--rollover", "-1"), "0 to 120 cycles"),
        (("add", "x", "--pieces", "1", "--destination", "Germny"), "no destination 'Germny'"),
        (("give", "alice", "none"), "no bundle 'none'"),
        (("give", "operator", "family"), "operator is charged for nothing"),
        (("give", "alice", "family", "--from", "2026-02-01", "--until", "2026-02-01"), "must end after"),
        (("take", "alice", "family"), "does not have bundle 'family' then"),
    ],
)
def test_what_cannot_be(pbxbill: Run, words: tuple[str, ...], reason: str) -> None:
    result = pbxbill("bundles", *words)
    assert result.exit_code == 2
    assert reason in result.stderr
