"""life-cycle, accounts terminate and support numbers, as an operator types them."""

import json
from pathlib import Path

import pytest

from tests.store.command_line import Ok, Run

POLICY = """
[validity]
days = 30
[stages]
no_outgoing = 0
terminated = 90
"""


@pytest.fixture
def policy(ok: Ok, tmp_path: Path) -> Path:
    """bob is prepaid; a file with a policy."""
    ok("init")
    ok("accounts", "add", "bob", "--unit", "EUR")
    file = tmp_path / "prepaid.toml"
    file.write_text(POLICY)
    return file


def shown(ok: Ok, code: str = "bob") -> dict[str, object]:
    found: dict[str, object] = json.loads(ok("life-cycle", "show", code, "--json"))
    return found


def test_a_policy_is_kept_and_counts_for_prepaid_customers(ok: Ok, policy: Path) -> None:
    assert ok("life-cycle", "import", "prepaid", policy, "--standard") == (
        "policy prepaid, version 1, is the standard one\n"
    )
    (listed,) = json.loads(ok("life-cycle", "policies", "--json"))
    assert (listed["stages"], listed["state"]) == ({"no_outgoing": 0, "terminated": 90}, "active")
    assert "prepaid" in ok("life-cycle", "policies")
    assert shown(ok)["stage"] is None
    assert ok("life-cycle", "run") == "1 accounts entered\n"
    assert shown(ok)["policy"] == "prepaid"
    assert shown(ok)["stage"] == "active"
    assert ok("life-cycle", "run") == "nothing was due\n"
    for command, state in (("pause", "paused"), ("resume", "active"), ("release", "released")):
        ok("life-cycle", command, "prepaid")
        assert json.loads(ok("life-cycle", "policies", "--json"))[0]["state"] == state
    ok("life-cycle", "standard", "none")
    assert shown(ok)["policy"] is None
    ok("verify")


def test_a_stop_date_that_has_come_bars_and_is_lifted_by_another(ok: Ok, pbxbill: Run, policy: Path) -> None:
    ok("life-cycle", "import", "prepaid", policy)
    assert "stop on 2020-01-01" in ok("life-cycle", "set", "bob", "--stop-on", "2020-01-01", "--by", "eve")
    steps = json.loads(ok("life-cycle", "run", "--dry-run", "--json"))["steps"]
    assert [(x["account"], x["what"], x["status"]) for x in steps] == [("bob", "stop", "suspended")]
    assert "bob" in ok("life-cycle", "run", "--dry-run")
    assert shown(ok)["status"] == "active"
    assert json.loads(ok("life-cycle", "run", "--json"))["done"] == {"stop": 1}
    assert (shown(ok)["status"], shown(ok)["barred_by"]) == ("suspended", ["stop_date"])
    refused = pbxbill("accounts", "resume", "bob", "--all")
    assert refused.exit_code == 2
    assert "life-cycle set bob --stop-on none" in refused.output
    ok("life-cycle", "set", "bob", "--stop-on", "none")
    assert "active" in ok("life-cycle", "show", "bob")
    ok("life-cycle", "set", "bob", "--policy", "prepaid", "--valid-to", "2099-12-31")
    assert (shown(ok)["policy"], shown(ok)["valid_to"]) == ("prepaid", "2099-12-31")
    ok("life-cycle", "set", "bob", "--policy", "standard", "--valid-to", "none")
    assert (shown(ok)["policy"], shown(ok)["valid_to"]) == (None, None)
    ok("verify")


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("set", "bob"), "nothing to change"),
        (("set", "bob", "--stop-on", "tomorrow"), "is no day"),
        (("set", "bob", "--policy", "gold"), "there is: none"),
        (("set", "operator", "--stop-on", "2030-01-01"), "the operator itself"),
        (("revive", "bob"), "bars nothing"),
        (("pause", "gold"), "there is: none"),
        (("import", "gold", "pbxbill.toml"), "there is no key"),
    ],
)
def test_what_cannot_be_done_is_refused_by_a_sentence(
    policy: Path, pbxbill: Run, words: tuple[str, ...], sentence: str
) -> None:
    result = pbxbill("life-cycle", *words)
    assert result.exit_code == 2
    assert sentence in result.output


def test_an_account_is_closed_by_hand_and_can_be_opened_again(ok: Ok, policy: Path) -> None:
    assert ok("accounts", "terminate", "bob", "--reason", "moved away", "--yes") == (
        "account bob is terminated: hand (terminated)\n"
    )
    ok("verify")
    assert ok("accounts", "resume", "bob") == "account bob is active\n"


def test_support_numbers_are_kept_as_they_are_called(ok: Ok, pbxbill: Run, policy: Path) -> None:
    ok("issuers", "set", "--support-numbers", "+49 (30) 111-22, 0033800, 611,")
    assert json.loads(ok("issuers", "show", "--json"))["support_numbers"] == "493011122, 33800, 611"
    refused = pbxbill("issuers", "set", "--support-numbers", "help")
    assert refused.exit_code == 2
    assert "support numbers are up to" in refused.output
    ok("issuers", "set", "--support-numbers", "")
    assert json.loads(ok("issuers", "show", "--json"))["support_numbers"] == ""
