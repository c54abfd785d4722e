"""Taxes from the command line: rates, exemptions, what a line would be taxed and why, and what is refused."""

from typing import Any

import pytest

from tests.store.command_line import Ok, Run, by_commands, shown


def begin(ok: Ok) -> None:
    ok("init")
    ok("issuers", "set", "--zone", "Europe/Berlin")
    ok("parties", "set", "operator", "--legal-name", "Netz GmbH", "--country", "de", "--vat-id", "136695976")
    ok("taxes", "add", "USt", "19", "--country", "DE", "--from", "2021-01-01")
    ok("taxes", "add", "USt", "7", "--country", "DE", "--class", "books", "--from", "2021-01-01")
    for code, *party in (
        ("alice", "--country", "DE"),
        ("fanny", "--country", "FR", "--vat-id", "40303265045"),
        ("bob", "--country", "US", "--region", "NY"),
        ("acme", "--country", "CA", "--region", "QC"),
    ):
        kind = "reseller" if code == "acme" else "customer"
        ok("accounts", "add", code, "--unit", "EUR", "--kind", kind)
        ok("parties", "set", code, *party)


BEGUN = {"germany": by_commands("taxes", begin)}


@pytest.fixture
def germany() -> None:
    """An operator in Germany with 19 % and 7 %, a reseller in Canada, and customers here and there."""


def taxed(ok: Ok, *words: object) -> dict[str, Any]:
    found: dict[str, Any] = shown(ok, "taxes", "test", *words)
    return found


@pytest.mark.usefixtures("germany")
def test_a_line_and_why_it_is_taxed_so(ok: Ok) -> None:
    found = taxed(ok, "alice", "100")
    assert (found["net"], found["tax"], found["total"]) == ("100.00", "19.00", "119.00")
    assert found["why"] == "rates of DE"
    assert taxed(ok, "alice", "9.99", "--class", "books")["total"] == "10.69"  # 9.99 x 7 % = 0.6993

    found = taxed(ok, "fanny", "100")
    assert (found["total"], found["taxes"][0]["category"]) == ("100.00", "AE")
    assert found["why"] == "the VAT id FR40303265045 is of another member state"
    assert "Articles 44 and 196" in found["taxes"][0]["reason"]

    found = taxed(ok, "bob", "100")
    assert (found["total"], found["taxes"][0]["category"]) == ("100.00", "G")
    assert found["why"] == "US is outside the EU's VAT area"

    told = ok("taxes", "test", "alice", "100")
    assert "USt 19 % (S)" in told
    assert "119.00" in told


@pytest.mark.usefixtures("germany")
def test_a_rate_changes_at_midnight_of_the_issuer(ok: Ok, pbxbill: Run) -> None:
    """16 % from 1 July to 31 December 2030."""
    ok("taxes", "end", 1, "--last-day", "2030-06-30")
    ok("taxes", "add", "USt", "16", "--country", "DE", "--from", "2030-07-01", "--last-day", "2030-12-31")
    ok("taxes", "add", "USt", "19", "--country", "DE", "--from", "2031-01-01")
    days = {"2030-06-30": "19", "2030-07-01": "16", "2030-12-31": "16", "2031-01-01": "19"}
    for day, percent in days.items():
        assert taxed(ok, "alice", "100", "--day", day)["taxes"][0]["percent"] == percent
    listed = shown(ok, "taxes", "list")
    assert [(x["percent"], x["from"], x["last_day"]) for x in listed if not x["class"]] == [
        ("19", "2021-01-01", "2030-06-30"),
        ("16", "2030-07-01", "2030-12-31"),
        ("19", "2031-01-01", None),
    ]
    refused = pbxbill("taxes", "end", 1, "--last-day", "2030-07-01")
    assert (refused.exit_code, "it cannot end so late" in refused.stderr) == (2, True)


@pytest.mark.usefixtures("germany")
def test_a_reseller_has_taxes_of_his_own(ok: Ok) -> None:
    ok("taxes", "add", "GST", "5", "--country", "CA", "--reseller", "acme", "--from", "2008-01-01")
    for words in (("QST", "9.975", "--region", "QC"), ("PST", "7", "--region", "BC")):
        ok(
            "taxes", "add", *words, "--country", "CA", "--position", "1", "--from", "2013-01-01",
            "--reseller", "acme",
        )  # fmt: skip
    ok("accounts", "add", "dora", "--unit", "EUR", "--parent", "acme")
    ok("parties", "set", "dora", "--country", "CA", "--region", "BC")
    found = taxed(ok, "dora", "49.99")
    # 49.99 x 5 % = 2.4995 -> 2.50, x 7 % = 3.4993 -> 3.50
    assert [(x["name"], x["base"], x["tax"]) for x in found["taxes"]] == [
        ("GST", "49.99", "2.50"),
        ("PST", "49.99", "3.50"),
    ]
    assert found["total"] == "55.99"
    ok("parties", "set", "dora", "--region", "QC")
    assert taxed(ok, "dora", "100")["total"] == "114.98"  # 5.00 + 9.975 -> 9.98


@pytest.mark.usefixtures("germany")
def test_prices_with_the_tax_inside_and_a_tax_on_top(ok: Ok) -> None:
    ok("taxes", "add", "Fee", "2", "--compound", "--from", "2021-01-01", "--position", "1")
    # Of 119: 2 % = 2.38
    assert taxed(ok, "alice", "100")["total"] == "121.38"
    ok("taxes", "end", 1, "--last-day", "2025-12-31")
    ok("taxes", "add", "USt", "19", "--inclusive", "--country", "DE", "--from", "2026-01-01")
    found = taxed(ok, "alice", "119")
    assert (found["net"], found["tax"], found["total"]) == ("100.00", "21.38", "121.38")


@pytest.mark.usefixtures("germany")
def test_an_exemption_from_its_day_to_its_end(ok: Ok, pbxbill: Run) -> None:
    ok("taxes", "exempt", "alice", "--reason", "Embassy", "--certificate", "E-17", "--from", "2030-03-01")
    assert taxed(ok, "alice", "100", "--day", "2030-02-28")["tax"] == "19.00"
    found = taxed(ok, "alice", "100", "--day", "2030-03-01")
    assert (found["tax"], found["taxes"][0]["category"], found["why"]) == ("0.00", "E", "exempt: Embassy")
    assert found["taxes"][0]["reason"] == "Embassy"
    again = pbxbill("taxes", "exempt", "alice", "--reason", "Embassy", "--from", "2031-01-01")
    assert "is exempt from it in that time already" in again.stderr
    ok("taxes", "end-exemption", "alice", "--last-day", "2030-03-31")
    assert taxed(ok, "alice", "100", "--day", "2030-04-01")["tax"] == "19.00"
    (listed,) = shown(ok, "taxes", "exemptions", "alice")
    assert (listed["certificate"], listed["from"], listed["last_day"]) == ("E-17", "2030-03-01", "2030-03-31")


@pytest.mark.usefixtures("germany")
def test_reverse_charge_that_is_set_needs_a_vat_id(ok: Ok, pbxbill: Run) -> None:
    refused = pbxbill("billing", "set", "alice", "--tax-treatment", "reverse_charge")
    assert "reverse charge needs the VAT id of the account" in refused.stderr
    ok("parties", "set", "alice", "--vat-id", "DE136695976")
    ok("billing", "set", "alice", "--tax-treatment", "reverse_charge")
    assert taxed(ok, "alice", "100")["taxes"][0]["category"] == "AE"
    refused = pbxbill("parties", "set", "alice", "--vat-id", "")
    assert "set another tax treatment first" in refused.stderr


@pytest.mark.usefixtures("germany")
@pytest.mark.parametrize(
    "words, reason",
    [
        (("USt", "100.1"), "a tax rate lies between 0 and 100 percent, not at 100.1"),
        (("USt", "-1"), "No such option"),
        (("USt", "19.00001"), "up to four digits"),
        (("USt", "x"), "is not a number"),
        (("USt", "20", "--country", "DE"), "in that time already, 19 %; end it where the new one begins"),
        (("USt", "20", "--category", "X"), "'X' is no category; use one of S (standard or reduced rate), Z"),
        (("USt", "20", "--category", "AE"), "category AE (reverse charge) has a rate of 0, not of 20 %"),
        (("USt", "0"), "category S has a rate above 0"),
        (("USt", "0", "--category", "E"), "category E needs a --reason"),
        (("USt", "9", "--region", "NY"), "a region needs its country"),
        (("USt", "9", "--country", "Germany"), "'Germany' is no country; write its two letters"),
        (("USt", "9", "--from", "2026-02-30"), "'2026-02-30' is no day"),
        (("USt", "9", "--from", "2026-03-01", "--last-day", "2026-02-01"), "end lies before its beginning"),
        (("USt", "9", "--class", "Big Books"), "product class 'Big Books': use up to 32 of a-z"),
        (("", "9"), "a tax's name has 1 to 40"),
        (("USt", "9", "--reseller", "alice"), "account alice is a customer"),
    ],
)
def test_taxes_that_cannot_be(ok: Ok, pbxbill: Run, words: tuple[str, ...], reason: str) -> None:
    before = shown(ok, "taxes", "list")
    result = pbxbill("taxes", "add", *words)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert shown(ok, "taxes", "list") == before


@pytest.mark.usefixtures("germany")
@pytest.mark.parametrize(
    "words, reason",
    [
        (("exempt", "alice", "--reason", "x", "--tax", "VAT"), "the issuer has no tax 'VAT'; his are: USt"),
        (("exempt", "operator", "--reason", "x"), "the operator is billed by nobody"),
        (("exempt", "alice", "--reason", " "), "a reason has 1 to 300"),
        (("end-exemption", "alice", "--last-day", "2026-01-01"), "is not exempt from it then"),
        (("end", "99", "--last-day", "2026-01-01"), "there is no tax rate 99"),
        (("end", "1", "--last-day", "2020-01-01"), "ends after it has begun"),
        (("test", "alice", "x"), "is not a number"),
        (("test", "nobody", "1"), "no account 'nobody'"),
    ],
)
def test_what_else_cannot_be(pbxbill: Run, words: tuple[str, ...], reason: str) -> None:
    result = pbxbill("taxes", *words)
    assert result.exit_code == 2
    assert reason in result.stderr
