"""Destinations and dialling rules as an administrator keeps them, on each database."""

from pathlib import Path

import pytest

from pbxbill.charging.batch import load
from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.events import Authorize, Direction
from pbxbill.charging.levels import dialling_rule
from pbxbill.clock import SECOND_US
from pbxbill.rating.destination import DiallingRule
from pbxbill.rating.destination_map import DestinationMap
from pbxbill.store import destinations as store_destinations
from pbxbill.store.accounts import account_by_code
from pbxbill.store.destinations import DESTINATION_ROWS, load_dialling_rules
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine, transaction
from tests.store.command_line import Ok, Run, shown

NOON_US = 1_767_268_800 * SECOND_US


def test_destinations_come_from_a_file_and_follow_it(
    alice_and_her_phones: None, ok: Ok, tmp_path: Path
) -> None:
    assert "4 destinations with 6 prefixes: 6 new" in ok("destinations", "import", "destinations.csv")
    listed = shown(ok, "destinations", "list")
    assert {"name": "Germany mobile", "class": "mobile", "prefixes": 3, "first_prefix": "4915"} in listed
    assert "0 new, 0 moved from another destination, 0 removed" in ok(
        "destinations", "import", "destinations.csv"
    )

    (tmp_path / "more.csv").write_text("name;class;prefixes\nHamburg;local;4940 4930\n")
    said = ok("destinations", "import", "more.csv", "--add")
    assert "1 new, 1 moved from another destination, 0 removed" in said
    names = [row["name"] for row in shown(ok, "destinations", "list")]
    assert names == ["Germany", "Germany mobile", "Germany premium", "Hamburg"]

    said = ok("destinations", "import", "destinations.csv")
    assert "0 new, 1 moved from another destination, 1 removed" in said
    assert shown(ok, "destinations", "show", "+4940123456")["destination"] == "Germany"


def test_a_long_list_is_written_in_parts_to_the_same_end(
    alice_and_her_phones: None, ok: Ok, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_destinations, "MOST_TOGETHER", 2)
    assert "4 destinations with 6 prefixes: 6 new" in ok("destinations", "import", "destinations.csv")
    (tmp_path / "other.csv").write_text(
        "name;class;prefixes\nHamburg;local;4930 4940\nGermany;mobile;4915 4916\nSwiss;international;41\n"
    )
    said = ok("destinations", "import", "other.csv")
    assert "3 destinations with 5 prefixes: 2 new, 3 moved from another destination, 3 removed" in said
    listed = {row["name"]: (row["class"], row["prefixes"]) for row in shown(ok, "destinations", "list")}
    assert listed == {"Hamburg": ("local", 2), "Germany": ("mobile", 2), "Swiss": ("international", 1)}


def test_what_cannot_be_used_is_kept_aside(alice_and_her_phones: None, pbxbill: Run, tmp_path: Path) -> None:
    good = (tmp_path / "destinations.csv").read_text()
    (tmp_path / "bad.csv").write_text(good + "France;abroad;33\n")
    result = pbxbill("destinations", "import", "bad.csv")
    assert result.exit_code == 3
    assert "line 6: class: 'abroad' is none of" in result.stderr
    assert "4 destinations" in result.stdout
    assert "France;abroad;33" in (tmp_path / "bad.refused.csv").read_text()
    (tmp_path / "worse.csv").write_text("name;class;prefixes\nFrance;abroad;33\n")
    result = pbxbill("destinations", "import", "worse.csv")
    assert result.exit_code == 2
    assert "no usable row; nothing was changed" in result.stderr


def test_a_limit_that_names_a_lost_destination_is_told(
    alice_and_her_phones: None, ok: Ok, pbxbill: Run, tmp_path: Path
) -> None:
    ok("destinations", "import", "destinations.csv")
    ok("limits", "set", "alice", "blocked", "--destination", "germany premium", "--destination", "+4915")
    (tmp_path / "less.csv").write_text("name;class;prefixes\nGermany;national;49\n")
    result = pbxbill("destinations", "import", "less.csv")
    assert result.exit_code == 0
    assert (
        "a bundle or limit names 'Germany premium', and no destination is called so any more" in result.stderr
    )


def test_dialling_rules_are_made_tried_and_removed(
    alice_and_her_phones: None, ok: Ok, tmp_path: Path
) -> None:
    ok("destinations", "import", "destinations.csv")
    ok(
        "dialling",
        "set",
        "berlin",
        "--region",
        "de",
        "--area-code",
        "30",
        "--short-code",
        "22833",
        "--short-code",
        "*11=4930555111",
        "--emergency",
        "19222",
    )
    tried = shown(ok, "dialling", "try", "123456", "--rule", "berlin")
    assert tried == {
        "dialled": "123456",
        "called": "4930123456",
        "emergency": False,
        "destination": "Berlin",
        "class": "local",
        "prefix": "4930",
        "country": "DE",
        "foreign": False,
    }
    assert shown(ok, "dialling", "try", "1 1 2", "--rule", "berlin")["emergency"] is True
    assert shown(ok, "dialling", "try", "19222", "--rule", "berlin")["emergency"] is True
    assert shown(ok, "dialling", "try", "*11", "--rule", "berlin")["called"] == "4930555111"
    assert "yes" in ok("dialling", "try", "110", "--rule", "berlin")
    rule = shown(ok, "dialling", "show", "berlin")
    assert (rule["international_prefix"], rule["national_prefix"]) == ("00", "0")

    (tmp_path / "rule.toml").write_text(
        'region = "US"\narea_code = "212"\ntechnical_prefix = "9"\n[short_codes]\n100 = "12125550100"\n'
    )
    ok("dialling", "set", "new york", "--file", "rule.toml")
    assert shown(ok, "dialling", "try", "95551234", "--rule", "new york")["called"] == "12125551234"
    assert [row["name"] for row in shown(ok, "dialling", "list")] == ["berlin", "new york"]
    ok("dialling", "remove", "new york")
    assert "berlin" in ok("dialling", "list")


def test_an_account_dials_as_the_one_above_it(alice_and_her_phones: None, ok: Ok, database_url: str) -> None:
    ok("dialling", "set", "berlin", "--region", "DE", "--area-code", "30")
    ok("dialling", "set", "paris", "--region", "FR")
    database = open_engine(database_url)
    with transaction(database) as session:
        rules = load_dialling_rules(session)
        ids = {rule.name: rule_id for rule_id, rule in rules.items()}
    assert _rule_of_alice(database_url) is None
    with transaction(database) as session:
        account_by_code(session, "acme").dialling_rule_id = ids["berlin"]
    assert _rule_of_alice(database_url) == DiallingRule("berlin", "DE", area_code="30")
    with transaction(database) as session:
        account_by_code(session, "alice").dialling_rule_id = ids["paris"]
    assert _rule_of_alice(database_url) == DiallingRule("paris", "FR")
    database.dispose()


def _rule_of_alice(database_url: str) -> DiallingRule | None:
    """As a call of hers is charged by."""
    call = Authorize(
        "s", "switch", "c", Direction.OUTBOUND, "030123456", "2001", NOON_US, account_code="2001"
    )
    driver = connect(database_url)
    catalogue = LoadedCatalogue(lambda: connect(database_url), serving=False)
    catalogue.refresh(driver, NOON_US)
    driver.begin()
    state = load(driver, [call], catalogue, NOON_US)
    driver.rollback()
    driver.close()
    (alice,) = [account for account in state.accounts.values() if account.code == "alice"]
    return dialling_rule(alice, state)


def test_the_charging_path_reads_destinations(alice_and_her_phones: None, ok: Ok, database_url: str) -> None:
    ok("destinations", "import", "destinations.csv")
    driver = connect(database_url)
    found = DestinationMap(driver.stream(DESTINATION_ROWS)).find("4916012345")
    driver.close()
    assert found is not None
    assert found.name == "Germany mobile"
