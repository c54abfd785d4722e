"""Days that people write on the command line are days of the account, or of its issuer."""

import json
from typing import Any

import pytest

from pbxbill.cli import context
from pbxbill.clock import ManualClock
from tests.store.command_line import Ok, Run, shown
from tests.store.documented import moment_us

PLAN = """
unit = "EUR"
collection = "invoice"
[[charge]]
name = "Line"
price = "31"
[[charge]]
name = "Connection"
type = "set_up"
price = "20"
[term]
months = 12
fee = "sliding"
amount = "365"
"""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    made = ManualClock(moment_us("2026-01-20 12:00"))
    monkeypatch.setattr(context, "SystemClock", lambda: made)
    return made


@pytest.fixture
def new_york(ok: Ok, clock: ManualClock, tmp_path: Any) -> None:
    """An issuer in Berlin, whose customer dora is there too, and yoko in New York."""
    (tmp_path / "office.toml").write_text(PLAN)
    ok("init")
    ok("issuers", "set", "--zone", "Europe/Berlin")
    for code in ("yoko", "dora"):
        ok("accounts", "add", code, "--mode", "postpaid", "--unit", "EUR", "--opened", "2026-01-01")
    ok("billing", "set", "yoko", "--zone", "America/New_York")
    ok("plans", "import", "office", "office.toml")


def step(clock: ManualClock, moment: str) -> None:
    clock.step(moment_us(moment) - clock.now_us())


@pytest.mark.usefixtures("new_york")
@pytest.mark.parametrize(
    "code,began,charged_to",
    [
        ("yoko", "2026-01-10T05:00:00.000Z", "2026-02-10T05:00:00.000Z"),
        ("dora", "2026-01-09T23:00:00.000Z", "2026-02-09T23:00:00.000Z"),
    ],
)
def test_a_day_is_the_accounts(ok: Ok, code: str, began: str, charged_to: str) -> None:
    ok("subscriptions", "add", code, "office", "--from", "2026-01-10")
    row = shown(ok, "subscriptions", "show", 1)
    assert (row["started"], row["charged_to"]) == (began, charged_to)
    ok("subscriptions", "cancel", 1, "--at", "2026-02-10")
    assert shown(ok, "subscriptions", "show", 1)["ends"] == charged_to
    at = shown(ok, "charges", "add", code, "Visit", 5, "--reason", "x", "--at", "2026-01-10")["at"]
    assert at == began


@pytest.mark.usefixtures("new_york")
def test_a_moment_with_an_hour_is_utc_unless_it_says_otherwise(ok: Ok) -> None:
    ok("subscriptions", "add", "yoko", "office", "--from", "2026-01-10T08:00")
    ok("subscriptions", "add", "yoko", "office", "--from", "2026-01-10T08:00-05:00")
    began = [x["started"] for x in shown(ok, "subscriptions", "list")]
    assert began == ["2026-01-10T08:00:00.000Z", "2026-01-10T13:00:00.000Z"]


@pytest.mark.usefixtures("new_york")
def test_a_refusal_tells_two_moments_of_one_day_apart(ok: Ok, pbxbill: Run) -> None:
    ok("subscriptions", "add", "yoko", "office", "--from", "2026-01-10T15:00")
    refused = pbxbill("subscriptions", "change", "1", "--quantity", "2", "--at", "2026-01-10")
    assert (
        "2026-01-10 00:00 is before what happened to subscription 1 last, on 2026-01-10 10:00"
        in refused.stderr
    )


@pytest.mark.usefixtures("new_york")
def test_an_accepted_request_happens_on_the_accounts_day(ok: Ok) -> None:
    ok("subscriptions", "add", "yoko", "office")
    ok("subscriptions", "request", 1, "--quantity", 3)
    said = ok("subscriptions", "accept", 2, "--at", "2026-02-01")
    assert said.splitlines()[-1] == "  it changes to quantity 3 from 2026-02-01T05:00:00.000Z on (change 3)"


@pytest.mark.usefixtures("new_york")
def test_what_is_planned_is_said(ok: Ok) -> None:
    ok("subscriptions", "add", "yoko", "office", "--from", "2026-01-10")
    said = ok("subscriptions", "change", 1, "--quantity", 3, "--at-cycle-end")
    assert said.splitlines() == [
        "subscription 1 is active",
        "  it changes to quantity 3 from 2026-02-10T05:00:00.000Z on (change 2)",
    ]
    answer = shown(ok, "subscriptions", "pause", 1, "--at", "2026-03-01")
    assert [(x["kind"], x["effective"]) for x in answer["planned"]] == [
        ("quantity", "2026-02-10T05:00:00.000Z"),
        ("pause", "2026-03-01T05:00:00.000Z"),
    ]
    assert "  it is active from 2026-05-01T04:00:00.000Z on" in ok(
        "subscriptions", "add", "yoko", "office", "--from", "2026-05-01"
    )


@pytest.mark.usefixtures("new_york")
def test_a_quote_holds_on_its_last_day(ok: Ok, pbxbill: Run, clock: ManualClock) -> None:
    offered = [
        shown(ok, "quotes", "new", "yoko", "--valid-until", "2026-03-01", "--line", "A", 1, 2),
        json.loads(ok("quotes", "new", "dora", "--valid-until", "2026-03-01", "--plan", "office", "--json")),
    ]
    assert {x["valid_until"] for x in offered} == {"2026-03-01T22:59:59.999Z"}  # the last one in Berlin
    assert {x["unit"] for x in offered} == {"EUR"}
    step(clock, "2026-03-01 22:30")
    ok("quotes", "accept", offered[0]["id"])
    step(clock, "2026-03-01 23:00")
    refused = pbxbill("quotes", "accept", str(offered[1]["id"]))
    assert (refused.exit_code, "is expired" in refused.stderr) == (2, True)


@pytest.mark.usefixtures("new_york")
def test_an_account_was_opened_on_a_day_of_its_issuer(ok: Ok, pbxbill: Run) -> None:
    assert shown(ok, "accounts", "show", "dora")["opened"] == "2025-12-31T23:00:00.000Z"
    later = pbxbill("accounts", "add", "eve", "--unit", "EUR", "--opened", "2026-01-21")
    assert (later.exit_code, "is to come" in later.stderr) == (2, True)
    ok("accounts", "add", "eve", "--unit", "EUR", "--opened", "2026-01-20")
