"""Books by the API: wallets corrected, the trial balance, the journal; services of accounts."""

import csv
import io
from collections.abc import Iterator
from decimal import Decimal

import pytest

from pbxbill.access.permissions import Role
from tests.books_in_order import assert_books_in_order
from tests.store.billed_accounts import talk_to_germany_and_france
from tests.web.programs import Installation, installation
from tests.web.test_api import fields


@pytest.fixture
def talked(database_url: str) -> Iterator[Installation]:
    with installation(database_url) as made:
        talk_to_germany_and_france(made.accounts)
        yield made
    assert_books_in_order(database_url)


def test_a_corrected_wallet_stands_in_the_books(talked: Installation) -> None:
    program = talked.program()
    alice = talked.id("alice")
    sent = {"way": "out", "money": {"amount": "1.50", "currency": "EUR"}, "reason": "counted wrong"}
    made = program.post(f"/accounts/{alice}/adjustments", sent)
    assert made.status_code == 201, made.json
    entry = program.get(f"/journal-entries/{made.json['entry']}").json
    assert [(x["account"], x["holder"], x["amount"]["amount"]) for x in entry["postings"]] == [
        ("wallet", "alice", "1.50"),
        ("adjustment", None, "-1.50"),
    ]
    books = program.get(f"/trial-balance?issuer={entry['issuer']}").json["items"]
    (euro,) = [x for x in books if x["unit"] == "EUR"]
    closing = {x["account"]: x["closing"]["amount"] for x in euro["accounts"]}
    assert closing["adjustment"] == "-1.50"
    listed = program.get("/journal-entries?account=alice&ledger=adjustment").json["items"]
    assert [x["id"] for x in listed] == [made.json["entry"]]
    assert program.get("/journal-entries?kind=usage").json["items"]
    assert program.get("/trial-balance?issuer=nobody").status_code == 422
    assert program.get(f"/journal-entries/{'0' * 32}").status_code == 404
    assert program.get(f"/accounts/{alice}/services").json == {"items": []}
    wrong = program.post(f"/accounts/{alice}/services", {"service": "faxes", "tariff": "none such"})
    assert wrong.status_code == 422
    assert program.post(f"/accounts/{alice}/services/removal", {"service": "faxes"}).status_code == 409


def test_the_journal_goes_to_accounting_programs(talked: Installation) -> None:
    operator, reseller = talked.program(), talked.program("reseller", role=Role.RESELLER)
    days = "first=1971-01-01&last=2040-01-01"
    file = operator.get(f"/journal-export.csv?{days}")
    assert file.mimetype == "text/csv"
    assert "journal-operator-1971-01-01" in file.headers["Content-Disposition"]
    lines = list(csv.DictReader(io.StringIO(file.text)))
    assert "usage" in {x["kind"] for x in lines}
    assert sum(Decimal(x["debit"] or 0) - Decimal(x["credit"] or 0) for x in lines) == 0
    summed = operator.get(f"/journal-export.csv?{days}&by_day=true")
    assert len(summed.text.splitlines()) < len(lines) + 1
    beancount = reseller.get(f"/journal-export.beancount?{days}")
    assert beancount.mimetype == "text/plain"
    assert " balance " in beancount.text
    assert reseller.get(f"/journal-export.csv?{days}").text != file.text
    own = operator.get(f"/journal-export.csv?{days}&issuer=reseller").text
    assert own == reseller.get(f"/journal-export.csv?{days}").text
    assert fields(reseller.get(f"/journal-export.csv?{days}&issuer=operator")) == ["query.issuer"]
    assert fields(operator.get("/journal-export.csv?first=2026-01-02&last=2026-01-01")) == ["query.last"]
    assert fields(operator.get("/journal-export.csv?first=2026-01-02")) == ["query.last"]
