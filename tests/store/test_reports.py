"""Reports as people ask for them: what they say, to whom, what they refuse."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.billing.period import local_date
from pbxbill.errors import InputRefused
from pbxbill.money import format_amount
from pbxbill.reports import record_count
from pbxbill.reports.catalogue import REPORTS, made, page_of, reports_of
from pbxbill.reports.making import TooLarge
from pbxbill.reports.report import OTHER_DAYS, Asked, ParameterRefused, Table
from pbxbill.reports.rollups import roll_up
from pbxbill.store.billing_models import ChargeRow, IssuerRow
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.models import AccountRow
from tests.small_operator import EUR, eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.reported_calls import DAY_US, Reported, open_reported

TENTH_US = int(datetime(2026, 1, 10, 12, tzinfo=UTC).timestamp()) * 1_000_000
NOW_US = TENTH_US + 5 * DAY_US
DAYS = {"from": "2026-01-01", "to": "2026-01-31"}
DOCS = Path(__file__).parents[2] / "docs" / "reports.md"


@pytest.fixture
def reported(accounts: BilledAccounts) -> Reported:
    return open_reported(accounts)


@pytest.fixture(params=["rolled up", "not yet"])
def story(reported: Reported, request: pytest.FixtureRequest) -> Reported:
    """The example of the docs; whether it is rolled up changes nothing."""
    database = open_engine(reported.accounts.url)
    with transaction(database) as session:
        charged = [(eur("0.4284"), eur("0.0684")), (eur("0.18"), 0)]
        reported.exact_call(session, "alice", "Germany", TENTH_US, 180, charged, eur("0.09"), 1_200_000)
        reported.exact_call(session, "bob", "France", TENTH_US + 1, 120, [(eur("0.65"), 0)])
        reported.exact_call(session, "bob", "France", TENTH_US + 2, 0, [], ringing_us=2_600_999)
    if request.param == "rolled up":
        assert roll_up(database, NOW_US).days == 1
    database.dispose()
    return reported


def scope(session: Session, code: str = "") -> Scope:
    wanted = AccountRow.code == code if code else AccountRow.kind == "operator"
    account = session.query(AccountRow).filter(wanted).one()
    return Scope(account.id, account.path)


def table(reported: Reported, name: str, code: str = "", **values: str) -> Table:
    database = open_engine(reported.accounts.url)
    try:
        with transaction(database) as session:
            asked = Asked(scope(session, code), values, "UTC", NOW_US)
            return made(session, REPORTS[name], asked)
    finally:
        database.dispose()


def documented(after: str) -> list[list[str]]:
    """The rows of the first table behind a sentence of the docs."""
    lines = DOCS.read_text().partition(after)[2].splitlines()
    rows: list[list[str]] = []
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            break
    return rows[2:]


def said(row: dict[str, Any]) -> list[str]:
    amounts = [format_amount(row[key], EUR) for key in ("net", "cost", "margin")]
    return [row.get("code", "total"), str(row["answered"]), *amounts, str(row["unknown"])]


@pytest.mark.parametrize("sentence, code", [("margin by customer:", ""), ("The reseller's:", "reseller")])
def test_the_margin_is_as_the_docs_tell_it(story: Reported, sentence: str, code: str) -> None:
    found = table(story, "margin", code, group="customer", **DAYS)
    assert [said(row) for row in (*found.rows, *found.totals)] == documented(sentence)


def test_the_quality_is_as_the_docs_tell_it(story: Reported) -> None:
    (total,) = table(story, "quality", group="day", **DAYS).totals
    assert "3 calls, 2 answered, ASR 66.6 %, ACD 0:02:30, PDD 1900 ms of 2 calls" in DOCS.read_text()
    assert (total["calls"], total["answered"], total["asr_ppm"], total["acd_s"]) == (3, 2, 666_666, 150)
    assert total["wait_s"] == 4
    assert (total["rung"], total["pdd_ms"]) == (2, 1900)


@pytest.mark.parametrize(
    "name, group, code, found",
    [
        ("quality", "customer", "", {"bob": (1, 2600), "reseller": (1, 1200)}),
        ("quality", "customer", "reseller", {"alice": (1, 1200)}),
        ("quality", "destination", "", {"France": (1, 2600), "Germany": (1, 1200)}),
        ("carriers", "carrier", "", {"carrier": (1, 1200), "": (1, 2600)}),
    ],
)
def test_post_dial_delay_is_told_as_the_rest_of_quality_is(
    story: Reported, name: str, group: str, code: str, found: dict[str, tuple[int, int]]
) -> None:
    key = {"customer": "code"}.get(group, group)
    rows = table(story, name, code, group=group, **DAYS).rows
    assert {row[key]: (row["rung"], row["pdd_ms"]) for row in rows} == found


@pytest.mark.parametrize(
    "group", ["day", "week", "month", "customer", "destination", "carrier", "rate", "direction"]
)
def test_revenue_is_the_same_however_it_is_summed_up(story: Reported, group: str) -> None:
    found = table(story, "revenue", group=group, **DAYS)
    assert sum(row.get("net") or 0 for row in found.rows) == eur("0.83")
    assert [x["net"] for x in found.totals] == [eur("0.83")]
    assert sum(row.get("charges") or 0 for row in found.rows) == 2


def in_zone(session: Session, zone: str) -> None:
    """The operator's books are in a zone from now on."""
    id = session.query(AccountRow).filter(AccountRow.kind == "operator").one().id
    session.merge(IssuerRow(account_id=id, zone=zone))
    session.flush()


@pytest.mark.parametrize(
    "zone, day, hour",
    [("UTC", 10, 12), ("Pacific/Auckland", 11, 1), ("Asia/Kolkata", 10, 17), ("Asia/Kathmandu", 10, 17)],
)
@pytest.mark.parametrize("is_made_again", [True, False])
def test_days_are_those_of_the_books(
    story: Reported, zone: str, day: int, hour: int, is_made_again: bool
) -> None:
    database = open_engine(story.accounts.url)
    with transaction(database) as session:
        in_zone(session, zone)
    if is_made_again:
        roll_up(database, NOW_US)
    with transaction(database) as session:
        operator = scope(session)
        for reader in ("UTC", "America/New_York", zone):
            asked = Asked(operator, {"group": "day", **DAYS}, reader, NOW_US)
            rows = [row for row in made(session, REPORTS["usage"], asked).rows if row["calls"]]
            assert [(local_date(x["period_us"], reader).day, x["calls"]) for x in rows] == [(day, 3)]
            one_day = {"from": f"2026-01-{day}", "to": f"2026-01-{day}"}
            found = made(session, REPORTS["usage"], Asked(operator, one_day, reader, NOW_US))
            assert found.totals[0]["calls"] == 3
            assert (OTHER_DAYS in found.notes) == (reader != zone)
            by_customer = Asked(operator, {"group": "customer", **one_day}, reader, NOW_US)
            rows = made(session, REPORTS["revenue"], by_customer).rows
            assert {row["code"]: row["net"] for row in rows} == {"bob": eur("0.65"), "reseller": eur("0.18")}
            few = {"from": "2026-01-05", "to": "2026-01-20"}
            found = made(session, REPORTS["hours"], Asked(operator, few, reader, NOW_US))
            assert [row["hour"] for row in found.rows if row["calls"]] == [f"{hour:02d}:00"]
    database.dispose()


def test_filters_leave_what_they_name(story: Reported) -> None:
    assert table(story, "usage", group="day", account="bob", **DAYS).totals[0]["calls"] == 2
    assert table(story, "usage", group="day", account="alice", **DAYS).totals[0]["calls"] == 1
    assert (
        table(story, "usage", group="destination", account="bob", **DAYS).rows[0]["destination"] == "France"
    )
    assert table(story, "usage", group="day", destination="Germany", **DAYS).totals[0]["answered"] == 1
    by_carrier = table(story, "margin", group="customer", carrier="carrier", **DAYS)
    assert [(x["code"], x["cost"]) for x in by_carrier.rows] == [("reseller", eur("0.09"))]
    as_reseller = table(story, "margin", group="customer", reseller="reseller", **DAYS)
    assert [x["code"] for x in as_reseller.rows] == ["alice"]


def test_a_reseller_sees_his_own_customers_only(story: Reported) -> None:
    with pytest.raises(ParameterRefused, match="no account 'bob'"):
        table(story, "revenue", "reseller", account="bob", **DAYS)
    with pytest.raises(ParameterRefused, match="no such parameter"):
        table(story, "revenue", "reseller", carrier="carrier", **DAYS)
    with pytest.raises(ParameterRefused, match="carriers are the operator's"):
        table(story, "revenue", "reseller", group="carrier", **DAYS)
    names = [x.name for x in reports_of(Scope(2, "/1/2/"))]
    assert set(REPORTS) - set(names) == {"carriers", "simulation", "shadow"}
    for name in names:
        rows = table(story, name, "reseller").rows
        assert not {"bob", "carol", "hot", "reseller"} & {row.get("code") for row in rows}, name
    assert [x.name for x in reports_of(Scope(1, "/1/", own=True))] == ["usage"]


def own(story: Reported, code: str, group: str) -> Table:
    database = open_engine(story.accounts.url)
    try:
        with transaction(database) as session:
            account = session.query(AccountRow).filter_by(code=code).one()
            scope = Scope(account.id, account.path, own=True)
            return page_of(session, "usage", scope, {**DAYS, "group": group}, now_us=NOW_US)
    finally:
        database.dispose()


@pytest.mark.parametrize("group", ["month", "destination", "day"])
def test_an_account_sees_its_own_calls_and_nothing_of_what_they_cost_its_seller(
    story: Reported, group: str
) -> None:
    for code, total in (("alice", "0.4284"), ("reseller", "0.18"), ("bob", "0.65")):
        found = own(story, code, group)
        assert [(x["unit"], x["total"]) for x in found.totals] == [("EUR", eur(total))], code
        for row in (*found.rows, *found.totals):
            assert not {"cost", "margin", "margin_ppm", "unknown", "account_id"} & set(row), code


@pytest.mark.parametrize(
    "values, told",
    [
        ({"from": "yesterday"}, "is not a day"),
        ({"from": "2026-02-01", "to": "2026-01-01"}, "before the first day"),
        ({"from": "2000-01-01", "to": "2026-01-01"}, "ten years"),
        ({"from": "2023-01-01", "to": "2026-01-01"}, "more than 800 periods"),
        ({"group": "moon"}, "is none of"),
        ({"account": "nobody"}, "there is no account"),
        ({"reseller": "alice"}, "is no reseller"),
        ({"colour": "red"}, "no such parameter"),
        ({"destination": "x" * 300}, "up to 200"),
    ],
)
def test_what_cannot_be_is_refused_by_name(story: Reported, values: dict[str, str], told: str) -> None:
    with pytest.raises(ParameterRefused, match=told) as refused:
        table(story, "revenue", **({"to": "2026-01-31"} | values))
    assert refused.value.field in values


def test_other_charges_stand_beside_calls(story: Reported) -> None:
    database = open_engine(story.accounts.url)
    with transaction(database) as session:
        for number, (code, unit, net) in enumerate((("bob", "EUR", "10"), ("carol", "EUR", "5"))):
            session.add(
                ChargeRow(
                    key=str(number), account_id=story.accounts.ids[code], kind="recurring", description="x",
                    product_class="", unit=unit, quantity=1, unit_price=1, net=eur(net), at_us=TENTH_US,
                    collection="wallet", created_us=1,
                )
            )  # fmt: skip
    with transaction(database) as session:
        first = made(
            session, REPORTS["revenue"], Asked(scope(session), DAYS | {"group": "customer"}, "UTC", NOW_US, 1)
        )
        assert [(row["code"], row["income"]) for row in first.rows] == [("bob", eur("10.65"))]
        assert first.totals[0]["income"] == eur("15.83")
    database.dispose()
    by_customer = table(story, "revenue", group="customer", **DAYS)
    found = {row["code"]: (row.get("net"), row["income"], row["name"]) for row in by_customer.rows}
    assert found["bob"] == (eur("0.65"), eur("10.65"), "Bob")
    assert found["carol"] == (None, eur("5"), "Carol")
    assert by_customer.totals[0]["income"] == eur("15.83")
    by_day = table(story, "revenue", group="day", **DAYS)
    assert [row["income"] for row in by_day.rows if row.get("income")] == [eur("15.83")]


def test_a_page_has_the_first_rows_and_totals_of_all(story: Reported) -> None:
    database = open_engine(story.accounts.url)
    with transaction(database) as session:
        asked = Asked(scope(session), DAYS, "UTC", NOW_US, limit=1)
        found = made(session, REPORTS["top-accounts"], asked)
        assert [row["code"] for row in found.rows] == ["bob"]
        assert found.rows[0]["calls"] == 2
        assert found.is_cut
        assert found.totals[0]["total"] == eur("0.83")
        assert page_of(session, "revenue", scope(session), {}, zone="UTC", now_us=NOW_US).rows
        with pytest.raises(InputRefused, match="no report"):
            page_of(session, "nonsense", scope(session), {}, zone="UTC", now_us=NOW_US)
    database.dispose()


@pytest.mark.parametrize(
    "values", [{"group": "customer", "destination": "Germany"}, {"group": "destination", "account": "bob"}]
)
def test_a_page_does_not_wait_for_many_records(
    story: Reported, monkeypatch: pytest.MonkeyPatch, values: dict[str, str]
) -> None:
    database = open_engine(story.accounts.url)
    with transaction(database) as session:

        def page(most: int) -> Table:
            for name in ("MOST_IN_A_ROW", "MOST_SCATTERED"):
                monkeypatch.setattr(record_count, name, most)
            asked = DAYS | values
            return page_of(session, "usage", scope(session), asked, zone="UTC", now_us=NOW_US)

        shown = page(10)
        assert shown.totals
        with pytest.raises(TooLarge, match="background"):
            page(0)
        kept = Asked(scope(session), DAYS | values, "UTC", NOW_US)
        assert made(session, REPORTS["usage"], kept).totals == shown.totals
    database.dispose()


def test_what_takes_too_long_is_for_the_background(reported: Reported) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n"
    database = open_engine(reported.accounts.url)
    with transaction(database) as session:
        from sqlalchemy import text

        from pbxbill.reports.report import Report

        def make(session: Session, asked: Asked) -> Table:
            return Table((), [dict(session.execute(text(endless)).one()._mapping)])

        slow = Report("slow", "", "", (), make)
        with pytest.raises(TooLarge, match="background"):
            made(session, slow, Asked(scope(session)), timeout_ms=100)
        session.rollback()
    database.dispose()


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_with_every_grouping_can_be_made(story: Reported, name: str) -> None:
    report = REPORTS[name]
    groups = next((x.choices for x in report.parameters if x.key == "group"), (("", ""),))
    for group, _ in groups:
        found = table(story, name, **({"group": group} if group else {}))
        keys = {column.key for column in found.columns}
        assert all(row.keys() - {"unit"} for row in found.rows)
        assert found.chart is None or {found.chart.x, *found.chart.series} <= keys, group


def test_the_command_line_shows_and_writes(ok: Any, tmp_path: Path) -> None:
    ok("init")
    ok("accounts", "add", "alice", "--unit", "EUR")
    listed = ok("reports", "list", "--json")
    assert {x["report"] for x in json.loads(listed)} == set(REPORTS)
    assert "alice" not in ok("reports", "show", "revenue")
    shown = json.loads(ok("reports", "show", "prepaid", "--group", "customer", "--json"))
    assert [row["code"] for row in shown["rows"]] == ["alice"]
    for kind in ("csv", "xlsx", "docx", "pdf", "html"):
        ok("reports", "show", "prepaid", "--format", kind, "--out", tmp_path / f"file.{kind}")
        assert (tmp_path / f"file.{kind}").stat().st_size
    ok("reports", "rebuild")
    assert "0 hours lacked calls" in ok("reports", "check")
    ok("reports", "schedule", "add", "revenue", "--every", "month", "--mail", "a@example.com")
    assert json.loads(ok("reports", "schedule", "list", "--json"))[0]["mail"] == "a@example.com"
    ok("reports", "schedule", "remove", 1)
    assert json.loads(ok("reports", "runs", "--json")) == []


def test_hours_are_narrowed_as_other_reports_are(story: Reported) -> None:
    def calls(**values: str) -> int:
        (total,) = table(story, "hours", **DAYS | values).totals
        return int(total["calls"])

    assert calls() == 3
    assert calls(account="bob") == calls(destination="France") == 2
    assert calls(carrier="carrier") == 1
    assert calls(account="bob", destination="Germany") == 0


@pytest.mark.parametrize("name, key", [("usage", "calls"), ("margin", "net"), ("quality", "calls")])
def test_rates_resellers_and_directions_add_up_to_all(story: Reported, name: str, key: str) -> None:
    whole = table(story, name, group="day", **DAYS).totals[0][key]
    for group in {"rate", "direction"} & {x for x, _ in REPORTS[name].parameters[2].choices}:
        found = table(story, name, group=group, **DAYS)
        assert sum(x.get(key) or 0 for x in found.rows) == found.totals[0][key] == whole
    by_reseller = table(story, name, group="reseller", **DAYS)
    assert [x["code"] for x in by_reseller.rows] == ["reseller"]
