"""Lists of what belongs to one thing, an account's parts or an invoice's lines; and many numbers at once."""

import csv
import io
import json
import re

import pytest
from sqlalchemy import select

from pbxbill.listing.invoice_lines import MOST_FOUND
from pbxbill.mediation.rerate import Definition
from pbxbill.mediation.tally import COUNTS
from pbxbill.store.accounts import add_endpoint
from pbxbill.store.billing_models import DidRow
from pbxbill.store.catalogue_models import AccountBundleRow, HeldCountryRow, ServiceTariffRow
from pbxbill.store.invoice_models import InvoiceLineRow, InvoiceRow
from pbxbill.store.mediation_models import MediationRunRow, MediationTallyRow
from pbxbill.store.models import AccountRow, TariffRow
from pbxbill.store.rerating_models import ReratingPlanRow
from pbxbill.web.panel import did_together
from tests.web.offices import Browser, Office
from tests.web.test_invoice_pages import issued, row, with_line
from tests.web.test_money_pages_unpaid import DAY_US, dun, overdue, written

COLLECTING = """hour = 0

[[level]]
days = 1
action = "collection"
"""


def rows_of(browser: Browser, path: str) -> list[dict[str, str]]:
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


def part(office: Office, code: str, name: str) -> str:
    return f"/panel/accounts/{office.account_id(code)}/{name}"


def identified(office: Office) -> None:
    with office.writing() as session:
        for code, values in (("alice", range(60)), ("olga", range(60, 62))):
            account = session.scalars(select(AccountRow).where(AccountRow.code == code)).one()
            for number in values:
                add_endpoint(session, account, "ip", f"192.0.2.{number}")


def test_what_identifies_an_account_is_searched_paged_and_a_file(office_on_each: Office) -> None:
    identified(office_on_each)
    reseller = office_on_each.seat("reseller")
    path = part(office_on_each, "alice", "endpoints")
    page = reseller.get(f"{path}?size=25&kind=ip").text
    assert 'rel="next"' in page
    assert "192.0.2.61" not in page
    assert "Account&#39;s code" not in page  # it is this account's
    found = rows_of(reseller, f"{path}.csv?q=2.5")
    assert [x["Value"] for x in found] == ["192.0.2.5", *(f"192.0.2.5{x}" for x in range(10))]
    assert "Account" not in found[0]
    assert len(rows_of(reseller, f"{path}.csv?account_id={office_on_each.account_id('olga')}&kind=ip")) == 60
    assert reseller.get(part(office_on_each, "olga", "endpoints.csv")).status_code == 404


def test_a_form_below_a_list_that_is_refused_keeps_the_list_and_what_was_written(office: Office) -> None:
    identified(office)
    admin, path = office.seat("admin"), part(office, "alice", "endpoints")
    refused = admin.post(path, {"kind": "ip", "value": "192.0.2.3", "tech_prefix": "12x"})
    assert refused.status_code == 200
    assert 'value="12x"' in refused.text
    assert "192.0.2.17" in refused.text
    services = part(office, "alice", "services")
    page = admin.post(services, {"service": "fax", "tariff": "no such"}).text
    assert "This could not be done yet" in page
    assert 'value="fax"' in page


def test_limits_and_countries_of_one_account(office_on_each: Office) -> None:
    office, admin = office_on_each, office_on_each.seat("admin")
    for code in ("alice", "olga"):
        limit = {"kind": "blocked", "destinations": "53, 88", "window": ""}
        assert admin.post(part(office, code, "limits"), limit).status_code == 303
    with office.writing() as session:
        alice = session.scalars(select(AccountRow.id).where(AccountRow.code == "alice")).one()
        for at, region in enumerate(("CU", "FR")):
            session.add(HeldCountryRow(account_id=alice, region=region, first_us=at + 1, released=False))
    page = admin.get(part(office, "alice", "limits")).text
    assert "53, 88" in page
    assert "Spent and held" not in page  # no limit of it has that
    assert len(rows_of(admin, part(office, "alice", "limits.csv"))) == 1
    assert rows_of(admin, part(office, "alice", "limits.csv") + "?destination=51") == []
    countries = part(office, "alice", "countries")
    assert [x["Country"] for x in rows_of(admin, f"{countries}.csv")] == ["FR", "CU"]
    assert rows_of(admin, part(office, "olga", "countries.csv")) == []
    watched = {"kind": "new_country", "destinations": "", "window": ""}
    assert admin.post(part(office, "alice", "limits"), watched).status_code == 303
    released = admin.post(f"{countries}/FR/release", page=countries)
    assert released.location.endswith("/countries")
    assert [x["Country"] for x in rows_of(admin, f"{countries}.csv?state=held")] == ["CU"]
    assert office.seat("other").get(countries).status_code == 404


def test_services_of_an_account_are_searched(office_on_each: Office) -> None:
    admin, path = office_on_each.seat("admin"), part(office_on_each, "reseller", "services")
    assert "uses nothing beside calls" in admin.get(path).text
    with office_on_each.writing() as session:
        tariff = session.scalars(select(TariffRow.id).limit(1)).one()
        for code, service in (("reseller", "messages"), ("reseller", "fax"), ("other", "fax")):
            account = session.scalars(select(AccountRow.id).where(AccountRow.code == code)).one()
            session.add(ServiceTariffRow(account_id=account, service=service, tariff_id=tariff))
    assert [x["Service"] for x in rows_of(admin, f"{path}.csv")] == ["fax", "messages"]
    assert [x["Service"] for x in rows_of(admin, f"{path}.csv?q=FA")] == ["fax"]
    assert "Nothing matches these filters" in admin.get(f"{path}?q=telex").text


def test_who_has_a_bundle_is_searched(office_on_each: Office) -> None:
    office, admin = office_on_each, office_on_each.seat("admin")
    facts = {
        "name": "World", "measure": "messages", "pieces": "100", "cycle": "month", "zone": "UTC",
        "rollover_cycles": "0", "priority": "0", "increments": "1/1",
    }  # fmt: skip
    path = admin.post("/panel/bundles/new", facts).location
    assert "No account has it yet" in admin.get(f"{path}/accounts").text
    for code in ("alice", "other"):
        assert admin.post(f"{path}/give", {"account": code}, page=path).status_code == 303
    assert "2" in admin.get(path).text
    assert [x["Account"] for x in rows_of(admin, f"{path}/accounts.csv")] == ["alice", "other"]
    assert [x["Account"] for x in rows_of(admin, f"{path}/accounts.csv?q=ALI")] == ["alice"]
    with office.writing() as session:
        for held in session.scalars(select(AccountBundleRow)):
            held.to_us = office.clock.now_us()
    assert rows_of(admin, f"{path}/accounts.csv") == []
    assert office.seat("reseller").get(f"{path}/accounts").status_code == 404


def test_notes_are_found_by_what_stands_in_them_by_whoever_wrote_them(office: Office) -> None:
    admin, path = office.seat("admin"), part(office, "alice", "notes")
    for text in ("Asks for Bob\non Mondays", "Pays late"):
        assert admin.post(path, {"text": text}).status_code == 303
    page = admin.get(f"{path}?q=bob").text
    assert '<span class="pre">Asks for Bob\non Mondays</span>' in page.replace("\r\n", "\n")
    assert "Pays late" not in page
    refused = admin.post(path, {"text": ""})
    assert refused.status_code == 200
    assert "Pays late" in refused.text
    assert len(rows_of(admin, f"{path}.csv")) == 2
    assert rows_of(office.seat("reseller"), f"{path}.csv") == []


def test_policies_and_penalty_classes_are_searched_and_files(office_on_each: Office) -> None:
    reseller = office_on_each.seat("reseller")
    written(office_on_each)
    written(office_on_each, name="soft", standard="")
    assert [x["Policy"] for x in rows_of(reseller, "/panel/dunning/policies.csv")] == ["soft", "strict"]
    (strict,) = rows_of(reseller, "/panel/dunning/policies.csv?q=str&state=active")
    assert (strict["Levels"], strict["Standard"]) == ("2", "yes")
    assert (
        office_on_each.seat("admin").get("/panel/dunning/policies").text.count("There is no dunning policy")
    )
    terms = 'unit = "EUR"\nfixed = "5"\npercent = "2.5"\nper = "customer"\nproduct_class = "fee"\n'
    sent = {"name": "late", "terms": terms}
    assert reseller.post("/panel/dunning/penalties/new/text", sent).status_code == 303
    (late,) = rows_of(reseller, "/panel/dunning/penalties.csv?q=LATE")
    assert (late["Fixed"], late["Unit"], late["Of what is overdue"]) == ("5.00", "EUR", "2.5000")
    assert late["Of"] == "all that an account owes"
    assert "late" in reseller.get("/panel/dunning/penalties").text
    assert rows_of(office_on_each.seat("other"), "/panel/dunning/penalties.csv") == []


def test_the_list_for_collection_is_narrowed_and_whole_as_a_file(office_on_each: Office) -> None:
    office, reseller = office_on_each, office_on_each.seat("reseller")
    written(office, terms=COLLECTING)
    id = overdue(office)
    assert "Nothing is for a collection agency" in reseller.get("/panel/dunning/collection").text
    dun(office)
    number = row(office, id).number
    page = reseller.get("/panel/dunning/collection?q=alice").text
    assert number
    assert number in page
    (found,) = rows_of(reseller, f"/panel/dunning/collection.csv?q={number}")
    assert (found["Account"], found["Overdue"], found["Unit"]) == ("alice", "20.00", "EUR")
    assert "Postal code" in found
    assert len(rows_of(office.seat("admin"), "/panel/dunning/collection.csv?issuer=reseller")) == 1
    assert rows_of(office.seat("other"), "/panel/dunning/collection.csv") == []
    with office.writing() as session:
        session.get_one(InvoiceRow, id).open = 0
    assert rows_of(reseller, "/panel/dunning/collection.csv") == []


def many_lines(office: Office, invoice_id: int, number: int) -> None:
    """More lines of an invoice, with nothing to pay."""
    with office.writing() as session:
        first = session.scalars(select(InvoiceLineRow).where(InvoiceLineRow.invoice_id == invoice_id)).one()
        facts = {x.name: getattr(first, x.name) for x in InvoiceLineRow.__table__.columns if x.name != "id"}
        for at in range(number):
            more = {"position": at + 2, "description": f"Item {at:04d}", "net": 0, "net_exact": 0}
            session.add(InvoiceLineRow(**facts | more))


def test_lines_of_a_long_invoice_are_found_by_whoever_made_it_and_whoever_gets_it(
    office_on_each: Office,
) -> None:
    office, reseller, alice = office_on_each, office_on_each.seat("reseller"), office_on_each.seat("alice")
    id = issued(office, "alice", "reseller")
    many_lines(office, id, 300)
    page = reseller.get(f"/panel/invoices/{id}").text
    assert "The first 100 lines are shown." in page
    assert "Item 0099" not in page
    lines = f"/panel/invoices/{id}/lines"
    assert "Item 0299" in reseller.get(f"{lines}?q=item 029").text
    assert len(rows_of(reseller, f"{lines}.csv")) == 301
    assert [x["Net"] for x in rows_of(reseller, f"{lines}.csv?q=router")] == ["20.00"]
    assert office.seat("other").get(lines).status_code == 404
    mine = f"/my/invoices/{id}/lines"
    assert "Item 0299" not in alice.get(f"/my/invoices/{id}").text
    assert "Item 0299" in alice.get(f"{mine}?q=0299").text
    assert len(rows_of(alice, f"{mine}.csv")) == 301
    assert office.seat("olga").get(f"{mine}.csv").status_code == 404
    draft = with_line(office, "alice", "reseller")
    assert "Remove" in reseller.get(f"/panel/invoices/{draft}/lines").text
    assert alice.get(f"/my/invoices/{draft}/lines").status_code == 404


def test_a_credit_note_finds_lines_of_a_long_invoice_and_keeps_the_chosen(office: Office) -> None:
    admin, id = office.seat("admin"), issued(office)
    many_lines(office, id, 300)
    with office.reading() as session:
        ids = {x.description: x.id for x in session.scalars(select(InvoiceLineRow))}
    credit, router, far = f"/panel/invoices/{id}/credit", ids["Router"], ids["Item 0250"]
    page = admin.get(credit).text
    assert "These are not all of its lines" in page
    assert page.count('name="line"') == MOST_FOUND
    written = {"what": "lines", "line": str(router), f"net-{router}": "5", "reason": "late"}
    found = admin.post(credit, written | {"q": "item 025", "find": "yes"})
    assert found.status_code == 200
    assert f'value="{far}"' in found.text
    assert re.search(rf'value="{router}" id="line-{router}" checked', found.text)
    assert 'value="late"' in found.text
    assert row(office, id).open == 20_000_000
    assert admin.post(credit, written | {"q": "item 025"}).status_code == 303
    assert row(office, id).open == 15_000_000
    crowd = {"what": "lines", "line": [str(x) for x in range(1_001)], "reason": "late"}
    refused = admin.post(credit, crowd)
    assert refused.status_code == 200
    assert "1,000 lines" in refused.text


def a_number(issuer_id: int, number: str) -> DidRow:
    return DidRow(issuer_id=issuer_id, number=number, country="DE", state="free", created_us=1)


def numbered(office: Office, many: int) -> None:
    with office.writing() as session:
        issuer = session.scalars(select(AccountRow.id).where(AccountRow.code == "reseller")).one()
        for at in range(many):
            session.add(
                DidRow(issuer_id=issuer, number=f"4930{at:05d}", country="DE", state="free", created_us=1)
            )


def test_all_numbers_that_the_filters_leave_are_changed_on_every_page(office_on_each: Office) -> None:
    numbered(office_on_each, 130)
    reseller = office_on_each.seat("reseller")
    assert "All that the filters leave" in reseller.get("/panel/numbers?number=493000").text
    several = "/panel/numbers/several?do=country&all=yes&number=49300012"
    page = reseller.get(several).text
    assert "10 numbers" in page
    done = reseller.post("/panel/numbers/several?do=country&all=yes&number=49300", {"country": "FR"})
    assert done.location.endswith("/panel/numbers?number=49300")
    with office_on_each.reading() as session:
        assert set(session.scalars(select(DidRow.country))) == {"FR"}
    assert office_on_each.seat("other").get(several).status_code == 303  # they are none of his


def test_too_many_numbers_at_once_are_refused_and_none_is_left_out_silently(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(did_together, "MOST_TOGETHER", 4)
    numbered(office, 5)
    reseller = office.seat("reseller")
    with office.reading() as session:
        ids = session.scalars(select(DidRow.id)).all()
    ticked = "&".join(f"chosen={x}" for x in ids)
    for which in (ticked, "all=yes"):
        answer = reseller.get(f"/panel/numbers/several?do=country&{which}")
        assert answer.status_code == 303
        assert "Up to 4 numbers" in reseller.get(answer.location).text


def test_numbers_that_came_since_they_were_looked_at_are_not_changed_unseen(office: Office) -> None:
    numbered(office, 3)
    reseller, path = office.seat("reseller"), "/panel/numbers/several?do=country&all=yes"
    seen = re.search(r'name="seen" value="([^"]*)"', reseller.get(path).text)
    assert seen
    with office.writing() as session:
        session.add(
            DidRow(
                issuer_id=office.account_id("reseller"),
                number="49311",
                country="DE",
                state="free",
                created_us=1,
            )
        )
    refused = reseller.post(path, {"country": "FR", "seen": seen[1].replace("&#34;", '"')})
    assert "other numbers now than you saw" in refused.text
    with office.reading() as session:
        assert set(session.scalars(select(DidRow.country))) == {"DE"}


def test_re_ratings_are_found_by_account_and_day(office_on_each: Office) -> None:
    now_us = office_on_each.clock.now_us()
    with office_on_each.writing() as session:
        for accounts, at_us in ((("alice", "bo_b"), now_us), ((), now_us - 3 * DAY_US)):
            definition = Definition(1, 2, accounts, "tariff-olga" if accounts else None).as_json()
            session.add(
                ReratingPlanRow(
                    by="admin", definition=definition, state="done", created_us=at_us, beaten_us=at_us
                )
            )
    admin, path = office_on_each.seat("admin"), "/panel/rerating.csv"
    assert [x["Accounts"] for x in rows_of(admin, f"{path}?account=alice")] == ["alice, bo_b"]
    assert len(rows_of(admin, f"{path}?account=bo_b")) == 1
    for nobody in ("tariff-olga", "lice", "bo%25", "boxb"):
        assert rows_of(admin, f"{path}?account={nobody}") == []
    assert len(rows_of(admin, f"{path}?by=adm")) == 2


def test_a_re_rating_of_very_many_accounts_shows_some_and_has_all_as_a_file(office: Office) -> None:
    now_us, known = office.clock.now_us(), office.account_id("alice")
    facts = {"unit": "EUR", "calls": 1, "changed": 1, "old": 0, "unrated": 0, "kept": 0}
    accounts = [facts | {"account_id": 1_000_000 + at, "new": at} for at in range(40_000)]
    accounts.append(facts | {"account_id": known, "new": -5_000_000})
    with office.writing() as session:
        plan = ReratingPlanRow(
            by="admin",
            definition=Definition(1, 2).as_json(),
            state="ready",
            preview=json.dumps({"calls": len(accounts), "accounts": accounts, "reasons": {}}),
            created_us=now_us,
            beaten_us=now_us,
        )
        session.add(plan)
        session.flush()
        id = plan.id
    page = office.seat("admin").get(f"/panel/rerating/{id}").text
    assert "The 200 accounts whose charges change most are shown, of 40,001." in page
    assert page.index(">alice<") < page.index(">1039999<")
    found = rows_of(office.seat("admin"), f"/panel/rerating/{id}/accounts.csv")
    assert len(found) == len(accounts)
    assert (found[-1]["Account"], found[-1]["Difference"]) == ("alice", "-5.00")
    assert office.seat("reseller").get(f"/panel/rerating/{id}/accounts.csv").status_code in (403, 404)


def test_what_an_import_charged_is_a_list(office_on_each: Office) -> None:
    office, now_us = office_on_each, office_on_each.clock.now_us()
    with office.writing() as session:
        numbers = ("head_bytes", "position", "line", *COUNTS)
        texts = ("file", "mapping", "switch", "detail", "head_hash")
        facts = (
            dict.fromkeys(numbers, 0) | dict.fromkeys(texts, "") | {"source": "/calls.csv", "state": "done"}
        )
        run = MediationRunRow(**facts, started_us=now_us, updated_us=now_us, ended_us=now_us)
        session.add(run)
        session.flush()
        id = run.id
        amounts = {"records": 2, "total": 3_000_000, "uncollected": 0}
        for name, subject in (
            ("money", office.account_id("alice")),
            ("money", 2),
            ("reason", "rate_missing"),
        ):
            unit = "EUR" if name == "money" else ""
            session.add(MediationTallyRow(run_id=id, name=name, subject=str(subject), unit=unit, **amounts))
    admin = office.seat("admin")
    page = admin.get(f"/panel/imports/{id}").text
    assert "What accounts were charged" in page
    assert "alice" in page
    (found,) = rows_of(admin, f"/panel/imports/{id}/charged.csv?q=ali")
    assert (found["Records"], found["Charged"], found["Unit"]) == ("2", "3.00", "EUR")
    assert len(rows_of(admin, f"/panel/imports/{id}/charged.csv")) == 2
    assert admin.get("/panel/imports/99/charged").status_code == 404
