"""What accounts are told, and how, from the command line."""

import json
from pathlib import Path

import pytest

from pbxbill.billing.notices.notice_kinds import NoticeKind
from tests.notify.web_receivers import receiver
from tests.store.billed_accounts import BilledAccounts
from tests.store.command_line import Ok, Run


@pytest.fixture(autouse=True)
def _accounts(accounts: BilledAccounts) -> None:
    """Everybody is there."""


def kinds_of(ok: Ok, code: str) -> dict[str, dict[str, object]]:
    shown = json.loads(ok("notices", "show", code, "--json"))
    return {row["kind"]: row for row in shown["kinds"]}


def test_every_kind_is_listed_with_its_facts(ok: Ok) -> None:
    listed = {row["kind"]: row for row in json.loads(ok("notices", "kinds", "--json"))}
    assert set(listed) == {str(kind) for kind in NoticeKind}
    assert listed["low_balance"]["facts"] == ["balance", "threshold"]
    assert "balance, threshold" in ok("notices", "kinds")


def test_an_account_chooses_what_it_hears_and_where(ok: Ok, pbxbill: Run) -> None:
    ok("billing", "set", "alice", "--email", "alice@example.com")
    ok("notices", "choose", "alice", "top-up", "--off")
    ok("notices", "choose", "alice", "low_balance", "--email", "a@example.com", "--email", "b@example.com")
    found = kinds_of(ok, "alice")
    assert found["top_up"]["on"] is False
    assert found["low_balance"]["emails"] == ["a@example.com", "b@example.com"]
    assert found["refund"] == {"kind": "refund", "on": True, "emails": ["alice@example.com"]}
    assert "carrier_lost" not in found
    ok("notices", "choose", "alice", "top_up", "low_balance", "--usual")
    assert kinds_of(ok, "alice")["top_up"]["on"] is True
    refused = pbxbill("notices", "choose", "alice", "dunning", "--off")
    assert refused.exit_code == 2
    assert "cannot be switched off" in refused.output
    ok("notices", "choose", "alice", "all", "--off")
    still_on = {kind for kind, row in kinds_of(ok, "alice").items() if row["on"]}
    assert still_on == {"charge_back", "invoice", "overdue", "dunning", "promise_broken", "suspension"}
    assert pbxbill("notices", "choose", "alice", "nonsense", "--on").exit_code == 2
    assert pbxbill("notices", "choose", "alice", "refund", "--email", "x").exit_code == 2


def test_quiet_hours_and_digests(ok: Ok, pbxbill: Run) -> None:
    ok("notices", "times", "alice", "--quiet", "22:00-07:30", "--digest", "08:15")
    shown = json.loads(ok("notices", "show", "alice", "--json"))
    assert (shown["quiet_hours"], shown["digest"]) == ("22:00-07:30", "daily at 08:15")
    assert "22:00-07:30" in ok("notices", "show", "alice")
    ok("notices", "times", "alice", "--no-quiet", "--no-digest")
    shown = json.loads(ok("notices", "show", "alice", "--json"))
    assert (shown["quiet_hours"], shown["digest"]) == (None, None)
    for words in (("--quiet", "25:00-01:00"), ("--quiet", "22:00"), ("--digest", "8"), ()):
        assert pbxbill("notices", "times", "alice", *words).exit_code == 2


def test_templates_are_tried_kept_used_and_cleared(ok: Ok, pbxbill: Run, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(
        'subject = "{{ amount }} ist da"\ntext = "Hallo {{ name }}!"\nhtml = "<b>{{ name }}</b>"\n'
    )
    bad.write_text('subject = "x"\ntext = """\nHallo\n{{ nmae }}"""\n')
    assert ok("notices", "templates", "check", "top_up", good) == "it can be used\n"
    checked = pbxbill("notices", "templates", "check", "top_up", bad)
    assert (checked.exit_code, checked.output) == (3, "text: line 2: 'nmae' is undefined\n")
    ok("notices", "templates", "set", "top_up", good, "--language", "de")
    kept = pbxbill("notices", "templates", "set", "top_up", bad, "--language", "de")
    assert kept.exit_code == 3
    (row,) = json.loads(ok("notices", "templates", "list", "--json"))
    assert (row["kind"], row["language"], row["in_use"], row["newest"]) == ("top_up", "de", 1, 2)
    assert row["error"] == "text: line 2: 'nmae' is undefined"
    assert "Hallo {{ name }}!" in ok("notices", "templates", "show", "top_up", "--language", "de")
    page = tmp_path / "out.html"
    shown = ok("notices", "templates", "preview", "top_up", "--language", "de", "--out", page)
    assert shown == "Subject: 25,00 € ist da\n\nHallo Acme & Sons Ltd!\n"
    assert "<b>Acme &amp; Sons Ltd</b>" in page.read_text()
    ok("notices", "templates", "clear", "top_up", "--language", "de")
    assert "built in" in ok("notices", "templates", "show", "top_up", "--language", "de")


def test_what_show_prints_can_be_set(ok: Ok, tmp_path: Path) -> None:
    for kind in NoticeKind:
        file = tmp_path / f"{kind}.toml"
        file.write_text(ok("notices", "templates", "show", kind, "--language", "fr"))
        assert ok("notices", "templates", "check", kind, file, "--language", "fr") == "it can be used\n"


@pytest.mark.parametrize(
    "text", ["", "subject = 1\ntext = 'x'", "subject = 'x'", "a = 1", "[", "subject='x'\ntext='y'\nother='z'"]
)
def test_files_that_are_no_words(pbxbill: Run, tmp_path: Path, text: str) -> None:
    file = tmp_path / "words.toml"
    file.write_text(text)
    assert pbxbill("notices", "templates", "set", "top_up", file).exit_code == 2


def test_an_endpoint_is_added_tried_rotated_switched_and_removed(
    ok: Ok, pbxbill: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver() as kept:
        assert pbxbill("webhooks", "add", "operator", kept.url).exit_code == 2
        monkeypatch.setenv("PBXBILL_WEBHOOKS__PRIVATE_ADDRESSES", "true")
        assert pbxbill("webhooks", "add", "alice", kept.url).exit_code == 2
        added = ok("webhooks", "add", "operator", kept.url, "--kind", "top-up")
        assert "secret whsec_" in added
        assert "took it" in ok("webhooks", "test", 1)
        assert json.loads(kept.hooks[0].body)["type"] == "test"
        rotated = ok("webhooks", "rotate", 1)
        assert "whsec_" in rotated
        ok("webhooks", "test", 1)
        assert len(kept.hooks[1].headers["webhook-signature"].split()) == 2
        ok("webhooks", "rotate", 1, "--finish")
        ok("webhooks", "test", 1)
        assert len(kept.hooks[2].headers["webhook-signature"].split()) == 1
        kept.status = 503
        refused = pbxbill("webhooks", "test", 1)
        assert refused.exit_code == 2
        assert "it answered 503" in refused.output
    (row,) = json.loads(ok("webhooks", "list", "--json"))
    assert (row["account"], row["kinds"], row["state"]) == ("operator", ["top_up"], "active")
    assert "whsec_" not in ok("webhooks", "list", "--json")
    ok("webhooks", "off", 1)
    assert json.loads(ok("webhooks", "list", "--json"))[0]["state"] == "off"
    assert pbxbill("webhooks", "retry", 1).exit_code == 2
    ok("webhooks", "on", 1)
    assert ok("webhooks", "retry", 1) == "0 wait again\n"
    assert ok("webhooks", "send") == "0 sent, 0 tried again later, 0 given up\n"
    ok("webhooks", "remove", 1)
    assert json.loads(ok("webhooks", "list", "--json")) == []
    assert json.loads(ok("webhooks", "deliveries", "--json")) == []
