"""Vouchers and points from the command line: batches with their papers, redeeming, rules, jobs."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pypdf
import pytest

from tests.store.command_line import Ok, Run
from tests.store.other_process import REPOSITORY


@pytest.fixture(autouse=True)
def _operator(alice_and_her_phones: None, ok: Ok) -> None:
    ok("accounts", "add", "bob", "--unit", "EUR", "--sip", "2003")
    ok("accounts", "add", "carol", "--unit", "EUR", "--sip", "2004")


def _codes(path: Path) -> list[str]:
    return [line.split(",")[2] for line in path.read_text().splitlines()[1:]]


def _make(ok: Ok, *more: object, name: str = "spring", count: int = 3) -> list[str]:
    ok(
        "vouchers",
        "make",
        name,
        "--count",
        count,
        "--value",
        10,
        "--unit",
        "EUR",
        "--csv",
        f"{name}.csv",
        *more,
    )
    return _codes(Path(f"{name}.csv"))


def test_a_batch_with_its_papers(ok: Ok, pbxbill: Run) -> None:
    told = ok(
        "vouchers", "make", "spring", "--count", 12, "--value", 10, "--unit", "EUR", "--to", "2099-12-31",
        "--csv", "v.csv", "--pdf", "v.pdf", "--language", "de", "--note", "Einlösen: *123#",
    )  # fmt: skip
    assert "cannot be recovered" in told
    codes = _codes(Path("v.csv"))
    assert len(set(codes)) == 12
    assert all(re.fullmatch(r"\d{4}( \d{4}){3}", code) for code in codes)
    pages = [page.extract_text() for page in pypdf.PdfReader("v.pdf").pages]
    assert len(pages) == 2
    text = " ".join("".join(pages).split())
    assert all(code in text for code in codes)
    assert "Gutschein" in text
    assert "Gültig bis 2099-12-31" in text
    assert Path("v.pdf").stat().st_mode & 0o777 == 0o600
    ok("vouchers", "print", "v.csv", "again.pdf", "--language", "de", "--note", "Einlösen: *123#")
    assert Path("again.pdf").read_bytes() == Path("v.pdf").read_bytes()
    again = pbxbill("vouchers", "make", "x", "--count", 1, "--value", 1, "--unit", "EUR", "--csv", "v.csv")
    assert again.exit_code == 2
    assert "exists already" in again.stderr
    assert [x["batch"] for x in json.loads(ok("vouchers", "list", "--json"))] == ["spring"]


def test_what_markup_a_batch_is_named_by_is_only_shown(ok: Ok) -> None:
    _make(ok, "--pdf", "v.pdf", "--note", "<img src=x><b>no</b>", name="<i>x<i>")
    text = "".join(page.extract_text() for page in pypdf.PdfReader("v.pdf").pages)
    assert "<i>x<i>" in text
    assert "<img src=x><b>no</b>" in text


def test_redeeming_and_what_the_list_shows(ok: Ok, pbxbill: Run) -> None:
    codes = _make(ok)
    assert "10.00 EUR redeemed; 10.00 EUR to spend" in ok("vouchers", "redeem", "bob", codes[0])
    assert json.loads(ok("vouchers", "redeem", "bob", codes[1], "--json"))["available"] == "20.00"
    again = pbxbill("vouchers", "redeem", "carol", codes[0])
    assert again.exit_code == 1
    assert "has been used" in again.stderr
    unknown = pbxbill("vouchers", "redeem", "carol", "1234 5678 9012 3456", "--json")
    assert json.loads(unknown.stdout) == {"redeemed": False, "why": "mistyped", "until": None}
    (batch,) = json.loads(ok("vouchers", "list", "--json"))
    assert (batch["new"], batch["redeemed"], batch["outstanding"]) == (1, 2, "10.00")
    listed = json.loads(ok("vouchers", "list", "spring", "--json"))
    assert [x["account"] for x in listed] == ["bob", "bob", None]
    assert not any(code.replace(" ", "") in ok("vouchers", "list", "spring") for code in codes)
    assert "spring" in ok("vouchers", "list")


def test_lost_vouchers_are_blocked(ok: Ok, pbxbill: Run) -> None:
    codes = _make(ok)
    assert "2 vouchers blocked" in ok("vouchers", "block", "spring", "--serial", "2-3")
    assert "is blocked" in pbxbill("vouchers", "redeem", "bob", codes[1]).stderr
    assert "1 vouchers unblocked" in ok("vouchers", "unblock", "spring", "--serial", "2")
    ok("vouchers", "redeem", "bob", codes[1])
    assert "batch spring is blocked" in ok("vouchers", "block", "spring")
    assert "is blocked" in pbxbill("vouchers", "redeem", "bob", codes[0]).stderr
    assert "batch spring is active" in ok("vouchers", "unblock", "spring")
    for words in (("--serial", "x"), ("--serial", "1-2-3"), ("--issuer", "acme")):
        assert pbxbill("vouchers", "block", "spring", *words).exit_code == 2


def test_resellers_issue_their_own(ok: Ok, pbxbill: Run) -> None:
    (code,) = _make(ok, "--issuer", "acme", count=1)
    assert "another seller" in pbxbill("vouchers", "redeem", "bob", code).stderr
    ok("vouchers", "redeem", "alice", code)


def test_nothing_is_left_to_resume_of_a_whole_batch(ok: Ok, pbxbill: Run) -> None:
    _make(ok)
    assert "nothing of it is left" in pbxbill("vouchers", "resume", "spring", "--csv", "spring.csv").stderr


def test_points_from_rule_to_funds(ok: Ok, pbxbill: Run) -> None:
    ok("units", "add", "PTS", "--kind", "items")
    told = ok(
        "points", "rules", "add", "top_up", "--points-unit", "PTS", "--unit", "EUR", "--per", 1,
        "--points", 2, "--worth", "0.01", "--valid-days", 365,
    )  # fmt: skip
    assert "2 PTS for each top-up of 1.00 EUR" in told
    ok(
        "points",
        "rules",
        "add",
        "referral",
        "--points-unit",
        "PTS",
        "--unit",
        "EUR",
        "--per",
        5,
        "--points",
        50,
    )
    ok("points", "refer", "bob", "carol")
    (code, *_) = _make(ok)
    ok("vouchers", "redeem", "bob", code)
    (held,) = json.loads(ok("points", "show", "bob", "--json"))["points"]
    assert held["left"] == 20
    assert "50 points for referrals" in ok("jobs", "run", "referrals")
    assert json.loads(ok("points", "show", "carol", "--json"))["points"][0]["left"] == 50
    ok("topup", "bob", 5)  # the only wallet of funds is meant
    assert "became 0.30 EUR" in ok("points", "spend", "bob", 30, "--points-unit", "PTS", "--unit", "EUR")
    assert pbxbill("points", "spend", "bob", 1, "--points-unit", "PTS", "--unit", "EUR").exit_code == 2
    for words in (("topup", "bob", 5, "--unit", "PTS"), ("adjust", "bob", 5, "--unit", "PTS", "--memo", "x")):
        refused = pbxbill(*words)
        assert refused.exit_code == 2
        assert "are points" in refused.stderr
    ok("points", "give", "bob", 7, "--rule", 1, "--reason", "sorry", "--key", "k")
    assert "given before" in ok("points", "give", "bob", 7, "--rule", 1, "--reason", "sorry", "--key", "k")
    assert "carol" in ok("points", "referrals")
    assert "ended" in ok("points", "rules", "end", 1)
    assert "top_up of 1.00 EUR" in ok("points", "rules", "list")
    for job in ("points", "points-expiry", "guesses"):
        ok("jobs", "run", job)
    ok("verify")


def test_a_making_that_is_interrupted_says_how_it_goes_on(ok: Ok, pbxbill: Run, tmp_path: Path) -> None:
    path = tmp_path / "big.csv"
    words = (
        "vouchers",
        "make",
        "big",
        "--count",
        "1200",
        "--value",
        "1",
        "--unit",
        "EUR",
        "--csv",
        str(path),
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "pbxbill", "--config", str(tmp_path / "pbxbill.toml"), *words],
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline_s = time.monotonic() + 60
    while not (path.exists() and path.read_text().count("\n") > 1) and time.monotonic() < deadline_s:
        time.sleep(0.02)  # nothing of the file's growth can be awaited
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "none is valid yet" in told
    assert f"--csv {path}` goes on" in told
    (batch,) = json.loads(ok("vouchers", "list", "--json"))
    assert (batch["state"], batch["outstanding"]) == ("making", "0.00")
    (first, *_) = _codes(path)
    assert "not valid yet" in pbxbill("vouchers", "redeem", "bob", first).stderr
    ok("vouchers", "resume", "big", "--csv", path)
    assert len(set(_codes(path))) == 1200
    ok("vouchers", "redeem", "bob", first)
