"""Parties, issuers and how accounts are billed, by command; and periods after a change of cycle."""

from collections.abc import Iterator
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from pbxbill.billing.period import BillingCycle, Period, day_start_us
from pbxbill.billing.profiles import Profile, ProfileTerms, billed_up_to, profile_of
from pbxbill.store.accounts import account_by_code
from pbxbill.store.billing_models import BillingProfileRow
from pbxbill.store.engine import open_engine, transaction
from tests.store.command_line import Ok, Run, shown

BERLIN = "Europe/Berlin"


@pytest.fixture
def alice(ok: Ok) -> None:
    ok("init")
    ok("issuers", "set", "--zone", BERLIN, "--payment-days", "30")
    ok("accounts", "add", "alice", "--unit", "EUR", "--language", "fr")


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.mark.usefixtures("alice")
def test_who_an_account_is(ok: Ok, pbxbill: Run) -> None:
    assert shown(ok, "parties", "show", "alice")["legal_name"] == "alice"
    told = pbxbill("parties", "set", "alice", "--legal-name", "Alice  SARL", "--country", "fr")
    assert told.stdout == "changed legal name, country of alice\n"
    assert "for an invoice its address lacks: street, city" in told.stderr
    told = pbxbill(
        "parties", "set", "alice", "--street", "1 rue Neuve", "--city", "Lyon", "--vat-id", "40 303 265 045",
        "--iban", "FR14 2004 1010 0505 0001 3M02 606", "--email", "compta@alice.fr",
    )  # fmt: skip
    assert told.stderr == ""
    party = shown(ok, "parties", "show", "alice")
    assert (party["legal_name"], party["vat_id"]) == ("Alice SARL", "FR40303265045")
    assert (party["iban"], party["city"]) == ("FR1420041010050500013M02606", "Lyon")
    assert shown(ok, "billing", "show", "alice")["emails"] == ["compta@alice.fr"]
    ok("parties", "set", "alice", "--vat-id", "")
    assert shown(ok, "parties", "show", "alice")["vat_id"] == ""


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize(
    "words, reason",
    [
        ((), "nothing to change"),
        (("--country", "Deutschland"), "is no country"),
        (("--vat-id", "DE136695976"), "set the country too"),
        (("--country", "DE", "--vat-id", "DE136695977"), "is no VAT id of DE"),
        (("--iban", "DE1"), "is no IBAN"),
        (("--bic", "X"), "is no BIC"),
        (("--email", "alice"), "is no e-mail address"),
        (("--legal-name", ""), "a party has a legal name"),
        (("--postal-code", "1" * 21), "postal code: use up to 20"),
        (("--city", "Ly\x1bon"), "city: use up to 100 printable"),
    ],
)
def test_parties_that_cannot_be(ok: Ok, pbxbill: Run, words: tuple[str, ...], reason: str) -> None:
    result = pbxbill("parties", "set", "alice", *words)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert shown(ok, "parties", "show", "alice")["country"] == ""


@pytest.mark.usefixtures("alice")
def test_an_issuer_and_his_numbers(ok: Ok, pbxbill: Run) -> None:
    issuer = shown(ok, "issuers", "show")
    assert (issuer["zone"], issuer["payment_days"], issuer["tax_rounding"]) == (BERLIN, 30, "invoice")
    assert issuer["numbers"]["invoice"] == {"prefix": "INV-{year}-", "padding": 5, "yearly": True}
    told = ok("issuers", "numbering", "invoice", "--prefix", "RE-", "--padding", "4", "--counting-on")
    assert told == "invoices are numbered like RE-0123\n"
    assert shown(ok, "issuers", "show")["numbers"]["invoice"]["prefix"] == "RE-"
    ok("accounts", "add", "acme", "--unit", "EUR", "--kind", "reseller")
    ok("issuers", "set", "acme", "--tax-rounding", "line", "--payment-terms", "Net, no discount")
    assert shown(ok, "issuers", "show", "acme")["tax_rounding"] == "line"
    assert "RE-0123" in ok("issuers", "show")
    for words, reason in (
        (("set", "alice", "--zone", "UTC"), "is a customer"),
        (("set", "--zone", "Europe/Atlantis"), "there is no time zone"),
        (("set", "--payment-days", "-1"), "within 0 to 3650 days"),
        (("set", "--template", "blue"), "there is no template 'blue'"),
        (("set",), "nothing to change"),
        (("numbering", "quote", "--prefix", "RE-", "--counting-on"), "invoices are numbered RE-... already"),
        (("numbering", "quote", "--prefix", "Q"), "need {year} in their prefix"),
        (("numbering", "quote"), "nothing to change"),
    ):
        result = pbxbill("issuers", *words)
        assert result.exit_code == 2
        assert reason in result.stderr


@pytest.mark.usefixtures("alice")
def test_an_account_is_billed_by_the_defaults_and_by_what_is_said(ok: Ok) -> None:
    profile = shown(ok, "billing", "show", "alice")
    assert (profile["invoicing"], profile["cycle"], profile["every"]) == ("draft", "month", 1)
    assert (profile["zone"], profile["language"], profile["payment_days"]) == (BERLIN, "fr", 30)
    ok(
        "billing", "set", "alice", "--invoicing", "issue", "--language", "en", "--format", "pdf", "--format",
        "xml", "--email", "a@example.org", "--email", "b@example.org", "--purchase-order", "PO 7",
        "--payment-days", "7", "--call-list", "file", "--previous-balance", "--minimum-total", "2.50",
        "--group", "north",
    )  # fmt: skip
    profile = shown(ok, "billing", "show", "alice")
    assert (profile["formats"], profile["emails"]) == (["pdf", "xml"], ["a@example.org", "b@example.org"])
    assert (profile["minimum_total"], profile["payment_days"], profile["group"]) == ("2.50", 7, "north")
    ok("billing", "set", "alice", "--payment-days", "", "--email", "", "--language", "")
    profile = shown(ok, "billing", "show", "alice")
    assert (profile["payment_days"], profile["emails"], profile["language"]) == (30, [], "fr")
    assert profile["purchase_order"] == "PO 7"  # what was not named stays
    ok("billing", "set", "alice", "--invoicing", "none")
    assert shown(ok, "billing", "show", "alice")["next_period"] is None


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize(
    "words, reason",
    [
        ((), "nothing to change"),
        (("--every", "0"), "a period has 1 to 120 months, not 0"),
        (("--anchor", "2026-02-30"), "is no day"),
        (("--zone", "Nowhere"), "there is no time zone"),
        (("--language", "french"), "is no language"),
        (("--email", "x"), "is no e-mail address"),
        (("--format", "csv"), "an invoice is a pdf or an xml"),
        (("--payment-days", "soon"), "'soon' is no number of days"),
        (("--minimum-total", "-1"), "cannot be negative"),
        (("--template", "blue"), "there is no template 'blue'"),
        (("--group", "x" * 65), "a group's name has up to 64"),
    ],
)
def test_billing_that_cannot_be(pbxbill: Run, words: tuple[str, ...], reason: str) -> None:
    result = pbxbill("billing", "set", "alice", *words)
    assert result.exit_code == 2
    assert reason in result.stderr


def test_the_operator_is_billed_by_nobody(ok: Ok, pbxbill: Run) -> None:
    ok("init")
    assert "the operator is billed by nobody" in pbxbill("billing", "show", "operator").stderr


def day(text: str) -> int:
    return day_start_us(date.fromisoformat(text), BERLIN)


@pytest.mark.usefixtures("alice")
def test_the_first_period_after_a_change_is_short(ok: Ok, database: Engine) -> None:
    """Months from the 1st, billed to 31 March; from then on weeks that begin on Mondays, in UTC."""
    ok("billing", "set", "alice", "--anchor", "2026-01-01")
    with transaction(database) as session:
        account = account_by_code(session, "alice")
        account.created_us = day("2026-01-10")
        session.flush()
        assert profile_of(session, account.id).next_period() == Period(day("2026-01-10"), day("2026-02-01"))
        billed_up_to(session, account.id, day("2026-04-01"))
        row = session.get_one(BillingProfileRow, account.id)
        assert row.next_us == day("2026-05-01")
    told = ok("billing", "set", "alice", "--cycle", "week", "--anchor", "2026-01-05")
    assert "its next period: 2026-04-01 to 2026-04-05" in told  # Wednesday to Sunday
    with transaction(database) as session:
        row = session.get_one(BillingProfileRow, account.id)
        assert (row.billed_to_us, row.next_us) == (day("2026-04-01"), day("2026-04-06"))
    assert shown(ok, "billing", "show", "alice")["billed_to"] == "2026-03-31"


cycles = st.builds(
    BillingCycle,
    st.sampled_from(["day", "week", "month", "quarter", "year"]),
    st.integers(1, 4),
    st.dates(date(2020, 1, 1), date(2027, 12, 31)),
    st.sampled_from(["UTC", BERLIN, "America/St_Johns", "Pacific/Apia", "Asia/Beirut"]),
)


@given(st.lists(st.tuples(cycles, st.integers(1, 5)), min_size=1, max_size=6))
def test_no_change_of_cycle_makes_periods_overlap_or_leaves_a_gap(
    changes: list[tuple[BillingCycle, int]],
) -> None:
    billed_to_us: int | None = None
    first_us = day("2024-02-28") + 12 * 3_600_000_000
    for cycle, periods in changes:
        for _ in range(periods):
            profile = Profile(1, 2, ProfileTerms(), cycle, first_us, billed_to_us, "en", (), 14, None)
            period = profile.next_period()
            assert period.from_us == (billed_to_us or period.from_us)
            whole = cycle.period_of(period.to_us - 1)
            assert period.to_us == whole.to_us  # it ends where one of the cycle's does
            length_us = period.to_us - period.from_us
            assert length_us >= min(86_400_000_000, whole.to_us - whole.from_us)
            assert next(profile.periods_until(period.to_us)) == period
            assert list(profile.periods_until(period.to_us - 1)) == []
            billed_to_us = period.to_us
