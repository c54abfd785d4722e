"""What operators have beside their customers: exchange rates, mail, roles, formats, keys given, who owes."""

import base64
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pbxbill.access.permissions import PERMISSIONS_OF, Permission, Role
from pbxbill.billing.dunning.dunning_written import FIRST_POLICY
from pbxbill.notify.smtp import settings_to_json
from pbxbill.reports.rendering import FORMATS
from pbxbill.store.billing_models import IssuerRow, PartyRow
from pbxbill.store.dunning_models import DunningStepRow
from pbxbill.store.engine import transaction
from tests.books_in_order import assert_books_in_order
from tests.notify.mail_servers import inbox
from tests.web.programs import Installation, Program, installation
from tests.web.test_api import fields, problem
from tests.web.test_api_catalogue import made

RATES = "from,to,rate,effective_from\nUSD,EUR,0.9,\nUSD,EUR,0.95,2040-01-01\nUSD,XXX,1,\n"


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[Installation]:
    with installation(sqlite_url) as opened:
        yield opened
    assert_books_in_order(sqlite_url)


@pytest.fixture
def on_each(database_url: str) -> Iterator[Installation]:
    with installation(database_url) as opened:
        yield opened
    assert_books_in_order(database_url)


def sheet(text: str) -> dict[str, str]:
    return {"file": base64.b64encode(text.encode()).decode()}


def test_exchange_rates_of_a_list_are_looked_at_and_set(installed: Installation) -> None:
    program = installed.program()
    made(program.post("/units", {"code": "USD", "kind": "currency"}))
    would = made(program.post("/exchange-rates/import/preview", sheet(RATES)), 200)
    assert (would["rates"], would["refused"]) == (2, 1)
    assert [(x["from_unit"], x["rate"]) for x in would["first_rates"]] == [("USD", "0.9"), ("USD", "0.95")]
    assert "USD,XXX,1," in would["kept_aside"]
    assert program.get("/exchange-rates").json["items"] == []
    done = made(program.post("/exchange-rates/import", sheet(RATES)))
    assert (done["rates"], done["refused"]) == (2, 1)
    listed = program.get("/exchange-rates").json["items"]
    assert [(x["from_unit"], x["rate"], x["to_unit"]) for x in listed] == [
        ("USD", "0.95", "EUR"),
        ("USD", "0.9", "EUR"),
    ]
    corrected = sheet(done["kept_aside"].replace("XXX", "EUR")) | {"since": "2041-01-01T00:00:00Z"}
    again = made(program.post("/exchange-rates/import", corrected))
    assert (again["rates"], again["first_rates"][0]["since"][:10]) == (1, "2041-01-01")
    assert again["kept_aside"] == ""
    assert fields(program.post("/exchange-rates/import", sheet("a,b\n"))) == ["body.file"]
    problem(
        installed.program("reseller", Permission.SETTINGS_READ).post("/exchange-rates/import", sheet(RATES)),
        403,
    )


def mail_of(installed: Installation, code: str, settings: str) -> None:
    with transaction(installed.invoicing.database) as session:
        id = installed.id(code)
        session.merge(IssuerRow(account_id=id, mail=settings))
        session.merge(PartyRow(account_id=id, legal_name="Phones", email="office@phones.example"))


def test_a_mail_server_is_shown_and_tried_and_its_password_is_not(installed: Installation) -> None:
    operator, reseller = installed.program(), installed.program("reseller", role=Role.RESELLER)
    shown = operator.get("/company/mail-server").json
    assert (shown["configured"], shown["own"], shown["host"]) == (False, True, None)
    problem(operator.post("/company/mail-server/test", {"address": "office@phones.example"}), 409)
    with inbox() as (kept, settings):
        mail_of(installed, "reseller", settings_to_json(replace(settings, password_file="/etc/mail-secret")))
        answer = reseller.get("/company/mail-server")
        assert "mail-secret" not in answer.text
        assert (answer.json["port"], answer.json["has_password"]) == (settings.port, True)
        assert answer.json["test_addresses"] == ["office@phones.example"]
        strange = {"address": "stranger@example.com"}
        assert fields(reseller.post("/company/mail-server/test", strange)) == ["body.address"]
        mail_of(installed, "reseller", settings_to_json(settings))
        body = {"address": "office@phones.example"}
        tried = made(reseller.post("/company/mail-server/test", body, key="once"))
        assert tried == {"taken": True, "why": None}
        assert made(reseller.post("/company/mail-server/test", body, key="once")) == tried
        assert [x.rcpt_tos for x in kept.messages] == [["office@phones.example"]]
        kept.answers["office@phones.example"] = "550 nobody here"
        refused = made(reseller.post("/company/mail-server/test", body))
        assert (refused["taken"], "nobody here" in refused["why"]) == (False, True)
    assert operator.get("/company/mail-server").json["host"] is None


def test_roles_and_what_they_permit(installed: Installation) -> None:
    roles = {x["name"]: x for x in installed.program().get("/roles").json["items"]}
    assert set(roles) == set(Role)
    told = {x["name"] for x in roles["finance"]["permissions"]}
    assert told == set(PERMISSIONS_OF[Role.FINANCE])
    assert roles["customer"]["account_kinds"] == ["reseller", "customer"]
    reseller = installed.program("reseller", role=Role.RESELLER).get("/roles").json["items"]
    assert {x["name"] for x in reseller} == {"reseller", "distributor", "customer"}
    problem(installed.program("bob", role=Role.CUSTOMER).get("/roles"), 403)


def test_formats_of_files(installed: Installation) -> None:
    told = installed.program("bob", role=Role.CUSTOMER).get("/formats").json
    assert [x["name"] for x in told["reports"]] == list(FORMATS)
    assert {x["name"]: x["media_type"] for x in told["invoices"]}["xml"] == "application/xml"


def test_who_sells_makes_keys_for_programs_of_his_customer(installed: Installation) -> None:
    reseller = installed.program("reseller", role=Role.RESELLER)
    address = f"/accounts/{installed.id('alice')}/api-keys"
    phone = made(reseller.post(address, {"name": "softphone", "scopes": ["own:read"], "per_minute": 60}))
    customer = Program(installed.app, phone["key"])
    assert customer.get("/balance").json["account"] == "alice"
    problem(customer.get("/accounts"), 403)
    (listed,) = reseller.get(f"/account-api-keys?account_id={installed.id('alice')}").json["items"]
    assert (listed["id"], listed["name"]) == (phone["id"], "softphone")
    one = f"/account-api-keys/{phone['id']}"
    assert "key" not in reseller.get(one).json
    assert fields(reseller.post(address, {"name": "x", "scopes": ["accounts:read"]})) == ["body.scopes.0"]
    problem(reseller.post(address.replace(str(installed.id("alice")), str(installed.id("bob"))), {
        "name": "x", "scopes": ["own:read"]
    }), 404)  # fmt: skip
    assert reseller.ask("DELETE", one).status_code == 204
    problem(customer.get("/balance"), 401)
    own = made(reseller.post("/api-keys", {"name": "shop", "scopes": ["calls:read"]}))["id"]
    problem(reseller.get(f"/account-api-keys/{own}"), 404)


def test_a_key_given_to_an_account_ends_with_its_maker(installed: Installation) -> None:
    operator = installed.program()
    scopes = [Permission.USERS_READ, Permission.USERS_WRITE]
    shop = made(operator.post("/api-keys", {"name": "shop", "scopes": scopes}))
    address = f"/accounts/{installed.id('bob')}/api-keys"
    given = Program(installed.app, shop["key"]).post(address, {"name": "phone", "scopes": ["own:read"]})
    phone = Program(installed.app, made(given)["key"])
    assert phone.get("/balance").status_code == 200
    assert operator.ask("DELETE", f"/api-keys/{shop['id']}").status_code == 204
    problem(phone.get("/balance"), 401)


def test_the_language_and_zone_of_a_user_are_changed(installed: Installation) -> None:
    program = installed.program()
    user = made(program.post("/users", {"login": "dora@example.com", "name": "Dora", "role": "support"}))
    address = f"/users/{user['user_id']}"
    changed = program.ask("PATCH", address, json={"language": "fr", "zone": "Europe/Paris"})
    assert (changed.json["language"], changed.json["zone"]) == ("fr", "Europe/Paris")
    assert (changed.json["name"], changed.json["email"]) == ("Dora", "dora@example.com")
    assert fields(program.ask("PATCH", address, json={"zone": "Nowhere"})) == ["body.zone"]
    assert fields(program.ask("PATCH", address, json={"language": "xx"})) == ["body.language"]


def owing(installed: Installation) -> int:
    """An invoice of bob's that is issued; its id."""
    program = installed.program()
    draft = made(program.post(f"/accounts/{installed.id('bob')}/drafts", {"unit": "EUR"}))
    line = {"description": "Visit", "unit_price": "80", "reason": "order"}
    made(program.post(f"/invoices/{draft['id']}/lines", line))
    made(program.post(f"/invoices/{draft['id']}/issue", None))
    return int(draft["id"])


def test_what_an_account_owes_and_how_it_has_paid(on_each: Installation) -> None:
    owing(on_each)
    program, bob = on_each.program(), f"/accounts/{on_each.id('bob')}/ageing"
    found = program.get(bob).json
    assert [(x["invoices"], x["open"]["amount"]) for x in found["owed"]] == [(1, "80.00")]
    assert [(x["open"]["amount"], x["days_late"]) for x in found["invoices"]] == [("80.00", 0)]
    assert (found["behaviour"]["paid"], found["behaviour"]["promises"]) == (0, 0)
    assert program.get(f"{bob}?at=2020-01-01").json["owed"] == []
    assert program.get("/ageing").json["sums"][0]["open"] == {"amount": "80.00", "currency": "EUR"}
    assert program.get("/ageing?at=2020-01-01").json == {"items": [], "total": 0, "sums": []}
    assert fields(program.get("/ageing?at=x")) == ["query.at"]
    reseller = on_each.program("reseller", role=Role.RESELLER)
    problem(reseller.get(bob), 404)
    assert reseller.get("/ageing").json["total"] == 0


@pytest.fixture
def in_collection(sqlite_url: str) -> Iterator[Installation]:
    """bob owes what goes to an agency. Nothing dunned for it, so that not all books are in order."""
    with installation(sqlite_url) as opened:
        yield opened


def test_what_goes_to_collection(in_collection: Installation) -> None:
    installed = in_collection
    invoice_id, program = owing(installed), installed.program()
    policy = made(program.post("/dunning-policies", {"name": "usual", "toml": FIRST_POLICY}))
    assert program.get("/collection").json["items"] == []
    with transaction(installed.invoicing.database) as session:
        session.add(
            DunningStepRow(
                invoice_id=invoice_id, level=1, policy_id=policy["id"], policy_version=1,
                action="collection", at_us=1, open=1, detail="",
            )
        )  # fmt: skip
    (found,) = program.get("/collection?q=bob").json["items"]
    assert (found["account"], found["overdue"]) == ("bob", {"amount": "80.00", "currency": "EUR"})
    lines = program.get("/collection.csv").text.splitlines()
    assert (len(lines), lines[-1]) == (3, "# end")
    assert installed.program("reseller", role=Role.RESELLER).get("/collection").json["items"] == []
