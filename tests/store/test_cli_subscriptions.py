"""`pbxbill plans`, `subscriptions`, `charges` and `dids`, on each database."""

from pathlib import Path

import pytest

from tests.store.command_line import Ok, Run, by_commands, shown

OFFICE = """
unit = "EUR"
[[charge]]
name = "Line"
price = 9.90
[[charge]]
name = "Connection"
type = "set_up"
price = "20"
[term]
months = 12
fee = "fixed"
amount = "50"
"""
NUMBER = 'unit = "EUR"\nkind = "did"\n[[charge]]\nname = "Number"\nprice = "2"\n'


def begin(ok: Ok) -> None:
    Path("office.toml").write_text(OFFICE)
    Path("number.toml").write_text(NUMBER)
    ok("init")
    ok("accounts", "add", "carol", "--mode", "postpaid", "--unit", "EUR")
    ok("accounts", "add", "bob", "--unit", "EUR")
    ok("accounts", "add", "acme", "--kind", "reseller", "--mode", "postpaid", "--unit", "EUR")
    ok("accounts", "add", "alice", "--parent", "acme", "--unit", "EUR")
    ok("plans", "import", "office", "office.toml")
    ok("plans", "import", "number", "number.toml")


BEGUN = {"operator": by_commands("subscriptions", begin)}


@pytest.fixture
def operator(tmp_path: Path) -> None:
    """A postpaid and a prepaid customer, a reseller with one; a plan and a plan for DIDs."""
    (tmp_path / "office.toml").write_text(OFFICE)
    (tmp_path / "number.toml").write_text(NUMBER)


@pytest.mark.usefixtures("operator")
def test_plans_are_versioned_shown_and_retired(ok: Ok, pbxbill: Run, tmp_path: Path) -> None:
    (tmp_path / "office.toml").write_text(OFFICE.replace("9.90", '"12.50"'))
    assert ok("plans", "import", "office", "office.toml") == "plan office has version 2\n"
    assert (
        ok("plans", "import", "office", "office.toml", "--reseller", "acme") == "plan office has version 1\n"
    )
    rows = [(x["name"], x["issuer"], x["version"], x["prices"]) for x in shown(ok, "plans", "list")]
    assert rows == [
        ("number", "operator", 1, "Number 2.00"),
        ("office", "operator", 2, "Line 12.50, Connection 20.00"),
        ("office", "acme", 1, "Line 12.50, Connection 20.00"),
    ]
    assert len(shown(ok, "plans", "list", "--reseller", "acme")) == 1
    facts = shown(ok, "plans", "show", "office", "--version", "1")
    assert (facts["term"], facts["cancellation_fee"]) == ("12 months", "fixed 50.00")
    assert [charge["price"] for charge in facts["charges"]] == ["9.90", "20.00"]
    assert [x["version"] for x in facts["versions"]] == [1, 2]
    assert "Connection" in ok("plans", "show", "office")
    ok("plans", "retire", "office")
    refused = pbxbill("subscriptions", "add", "carol", "office")
    assert (refused.exit_code, "retired" in refused.stderr) == (2, True)


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize(
    "text,reason",
    [
        ('unit = "EUR"', "the plan has no price"),
        ('unit = "EUR"\n[[charge]]\nname = "x"', "it has no price"),
        ('unit = "XXX"\n[[charge]]\nname = "x"\nprice = 1', "there is no 'XXX'"),
        ("unit = ", "not TOML"),
        ('unit = "EUR"\nbundles = ["b"]\n[[charge]]\nname = "x"\nprice = 1', "no bundle 'b'"),
        ('unit = "EUR"\ntariff = "t"', "no tariff 't'"),
        ('unit = "EUR"\nkind = "did"\n[[charge]]\nname = "x"\nprice = 1', "is of the kind service"),
    ],
)
def test_what_is_no_plan_is_refused(pbxbill: Run, tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    refused = pbxbill("plans", "import", "office", "bad.toml")
    assert refused.exit_code == 2
    assert reason in refused.stderr


@pytest.mark.usefixtures("operator")
def test_a_subscription_from_sign_up_to_its_end(ok: Ok, pbxbill: Run) -> None:
    told = ok(
        "subscriptions", "add", "carol", "office", "--quantity", "3", "--price", "Line=9", "--by", "ann"
    )
    assert told.splitlines() == [
        "subscription 1 is active",
        "  office: Connection: 60.00 EUR, from the wallet",
        "  office: Line: 27.00 EUR, from the wallet",
    ]
    (listed,) = shown(ok, "subscriptions", "list", "--account", "carol")
    assert (listed["plan"], listed["quantity"], listed["prices"]) == ("office", 3, {"Line": "9.00"})
    assert listed["term_ends"] is not None
    ok("subscriptions", "change", "1", "--quantity", "4", "--at-cycle-end")
    history = shown(ok, "subscriptions", "show", "1")["history"]
    assert [(x["kind"], x["state"], x["by"]) for x in history] == [
        ("subscribe", "done", "ann"),
        ("quantity", "planned", ""),
    ]
    ok("subscriptions", "withdraw-change", str(history[1]["change"]))
    assert ok("subscriptions", "pause", "1", "--reason", "holiday").startswith("subscription 1 is paused")
    assert ok("subscriptions", "resume", "1").startswith("subscription 1 is active")
    ended = ok("subscriptions", "cancel", "1", "--reason", "moves")
    assert "Cancellation fee: 50.00 EUR" in ended
    assert shown(ok, "subscriptions", "list", "--state", "ended")[0]["id"] == 1
    again = pbxbill("subscriptions", "cancel", "1")
    assert (again.exit_code, "has ended" in again.stderr) == (2, True)
    assert "subscribe" in ok("subscriptions", "show", "1")
    assert "carol" in ok("subscriptions", "list")
    ok("verify")


@pytest.mark.usefixtures("operator")
def test_who_cannot_pay_is_unpaid_until_a_top_up(ok: Ok) -> None:
    told = ok("subscriptions", "add", "bob", "office")
    assert told.splitlines() == [
        "subscription 1 is unpaid",
        "  it costs 29.90 EUR, and 0.00 are free in the wallet: top it up",
    ]
    assert shown(ok, "subscriptions", "renew") == {"accounts": 0, "charges": 0, "unpaid": [], "failed": []}
    ok("topup", "bob", "30")
    assert shown(ok, "subscriptions", "renew") == {"accounts": 1, "charges": 2, "unpaid": [], "failed": []}
    assert shown(ok, "subscriptions", "list")[0]["state"] == "active"
    assert shown(ok, "subscriptions", "renew", "--account", "bob")["charges"] == 0


@pytest.mark.usefixtures("operator")
def test_a_customer_asks_and_an_operator_decides(ok: Ok, pbxbill: Run, tmp_path: Path) -> None:
    (tmp_path / "better.toml").write_text(OFFICE.replace("9.90", "19.90"))
    ok("plans", "import", "better", "better.toml")
    ok("subscriptions", "add", "carol", "office")
    assert ok("subscriptions", "request", "1", "--plan", "better", "--by", "carol").startswith(
        "request 2 waits"
    )
    (waiting,) = shown(ok, "subscriptions", "requests")
    assert (waiting["account"], waiting["kind"], waiting["plan"]) == ("carol", "change", "better (version 1)")
    assert shown(ok, "subscriptions", "requests", "--reseller", "acme") == []
    ok("subscriptions", "refuse", "2", "--reason", "not for you")
    assert pbxbill("subscriptions", "accept", "2").exit_code == 2
    ok("subscriptions", "request", "1", "--plan", "better")
    ok("subscriptions", "accept", "3", "--now", "--by", "ann")
    assert shown(ok, "subscriptions", "list")[0]["plan"] == "better"
    ok("subscriptions", "request", "1", "--cancel")
    ok("subscriptions", "withdraw-request", "5")
    assert ok("subscriptions", "requests").count("carol") == 0


@pytest.mark.usefixtures("operator")
def test_subscriptions_are_migrated(ok: Ok, tmp_path: Path) -> None:
    ok("subscriptions", "add", "carol", "office")
    (tmp_path / "office.toml").write_text(OFFICE.replace("9.90", "12.50"))
    ok("plans", "import", "office", "office.toml")
    assert shown(ok, "plans", "migrate", "office", "--account", "bob") == {"migrated": [], "failed": []}
    assert shown(ok, "plans", "migrate", "office", "--now") == {"migrated": [1], "failed": []}
    assert shown(ok, "subscriptions", "list")[0]["version"] == 2


@pytest.mark.usefixtures("operator")
def test_charges_by_hand(ok: Ok, pbxbill: Run) -> None:
    words = ("charges", "add", "carol", "Visit", "50", "--reason", "called us", "--quantity", "1.5")
    assert ok(*words) == "charge 1: 75.00 EUR without tax, invoice\n"
    made = shown(
        ok, "charges", "add", "carol", "Sorry", "5", "--kind", "credit", "--wallet", "--reason", "late"
    )
    assert (made["net"], made["collection"], made["explanation"]["reason"]) == ("-5.00", "wallet", "late")
    assert [x["id"] for x in shown(ok, "charges", "list", "--account", "carol", "--open")] == [2, 1]
    assert ok("charges", "withdraw", "1", "--reason", "a mistake") == "charge 1 is withdrawn\n"
    ok("charges", "withdraw", "2", "--reason", "a mistake")
    assert shown(ok, "accounts", "show", "carol")["wallets"][0]["balance"] == "0.00"
    assert "Withdrawn: Sorry" in ok("charges", "list")
    for bad, reason in (("-5", "above 0"), ("x", "not a number")):
        refused = pbxbill("charges", "add", "carol", "Visit", bad, "--reason", "called us")
        assert refused.exit_code == 2
        assert reason in refused.stderr
    short = pbxbill("charges", "add", "bob", "Visit", "5", "--reason", "called us", "--wallet")
    assert "5.00 EUR are not in the wallet: 0.00 are free" in short.stderr


@pytest.mark.usefixtures("operator")
def test_dids_go_through_hands(ok: Ok, pbxbill: Run, tmp_path: Path) -> None:
    (tmp_path / "dids.csv").write_text("number;country\n49301;DE\n49302;DE\nx;DE\n")
    imported = pbxbill("dids", "import", "dids.csv")
    assert imported.exit_code == 3
    assert imported.stdout == "DIDs added: 2; in the inventory already: 0\n"
    assert "line 4: 'x' is no number" in imported.stderr
    assert (tmp_path / "dids.refused.csv").read_text().splitlines()[1].startswith("4;")
    ok("dids", "add", "49303", "--country", "fr")
    told = ok("dids", "assign", "49301", "carol", "--plan", "number", "--price", "Number=1.50")
    assert told.splitlines() == [
        "DID 49301 is assigned to account carol",
        "subscription 1 is active",
        "  number: Number: 1.50 EUR, from the wallet",
    ]
    taken = pbxbill("dids", "assign", "49301", "bob")
    assert (taken.exit_code, "is assigned to account carol" in taken.stderr) == (2, True)
    removed = pbxbill("accounts", "endpoint", "carol", "did", "49301", "--remove")
    assert removed.exit_code == 2
    assert "pbxbill dids release" in removed.stderr
    ok("dids", "hand-over", "49302", "acme")
    ok("dids", "assign", "49302", "alice")
    states = {x["number"]: (x["state"], x["inventory"], x["account"]) for x in shown(ok, "dids", "list")}
    assert states == {
        "49301": ("assigned", "operator", "carol"),
        "49302": ("assigned", "acme", "alice"),
        "49303": ("free", "operator", None),
    }
    assert [x["number"] for x in shown(ok, "dids", "list", "--account", "carol")] == ["49301"]
    assert [x["number"] for x in shown(ok, "dids", "list", "--reseller", "acme")] == ["49302"]
    assert "is quarantined until" in ok("dids", "release", "49301")
    facts = shown(ok, "dids", "show", "49301")
    assert (facts["state"], [x["account"] for x in facts["history"]]) == ("quarantined", ["carol"])
    assert "49301" in ok("dids", "list", "--state", "quarantined", "--prefix", "4930")
    ok("dids", "withdraw", "49303")
    assert "withdrawn" in ok("dids", "show", "49303")
