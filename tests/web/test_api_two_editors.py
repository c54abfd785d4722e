"""Two programs that change the same thing: the second is told, whatever it is; walked over all operations."""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pbxbill.access.permissions import Permission, Role
from pbxbill.billing.dunning.dunning_written import FIRST_PENALTY, FIRST_POLICY
from pbxbill.billing.life_cycle.life_cycle_written import FIRST_POLICY as FIRST_LIFE
from pbxbill.ids import new_id
from pbxbill.mediation.importer import Importer
from pbxbill.mediation.mapping import load_mapping
from pbxbill.mediation.sources import FileSource
from pbxbill.store.catalogue_models import AlertRow
from pbxbill.store.driver import connect
from pbxbill.store.engine import transaction
from pbxbill.store.payment_models import SavedMethodRow
from tests.books_in_order import assert_books_in_order
from tests.store.mediated_calls import MasterLine, write_master
from tests.web.programs import BASE, Installation, Program, installation
from tests.web.test_api import problem
from tests.web.test_api_catalogue import imported, made
from tests.web.test_api_desks import gateway
from tests.web.test_api_rules import PNG

STALE = f'"{"0" * 32}"'
TAG = re.compile(r'"[0-9a-f]{32}"')
LINE = {"unit": "EUR", "collection": "invoice", "charge": [{"name": "Line", "price": "9.90"}]}
METERED = 'unit = "EUR"\n[[component]]\nname = "energy"\nkind = "per_piece"\nprice = "0.50"\n'
WORDS = {"subject": "Dear customer", "text": "All is well."}
LIFTS = "It lifts, stops or forgets, and sets nothing: doing it twice is doing it once."
A_SWITCH = "It sets one thing of two or few, and says which."
TAKES_AWAY = "What it takes away is never changed."
NEED_NONE = {
    "DELETE /accounts/{account_id}/suspension": LIFTS,
    "DELETE /users/{user_id}/factors": LIFTS,
    "DELETE /own/users/{user_id}/factors": LIFTS,
    "DELETE /webhooks/{endpoint_id}/rotation": LIFTS,
    "DELETE /subscriptions/{subscription_id}/changes/{change_id}": LIFTS,
    "DELETE /own/subscription-requests/{request_id}": LIFTS,
    "PATCH /jobs/{name}": A_SWITCH,
    "PUT /voucher-batches/{batch_id}/block": A_SWITCH,
    "PUT /own/saved-methods/{method_id}/preference": A_SWITCH,
    "PUT /accounts/{account_id}/saved-methods/{method_id}/preference": A_SWITCH,
    "DELETE /accounts/{account_id}/notes/{note_id}": TAKES_AWAY,
    "DELETE /accounts/{account_id}/bundles/{bundle_id}": TAKES_AWAY,
    "DELETE /accounts/{account_id}/saved-methods/{method_id}": TAKES_AWAY,
    "DELETE /own/saved-methods/{method_id}": TAKES_AWAY,
    "DELETE /known-callers/{caller}": TAKES_AWAY,
}
"""Operations that change something and take no If-Match, with the reason."""


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[Installation]:
    with installation(sqlite_url) as opened:
        yield opened
    assert_books_in_order(sqlite_url)


@dataclass(frozen=True)
class Change:
    """A request that changes a thing, whose address is what GET is asked for."""

    program: Program
    method: str
    address: str
    body: Any
    thing: str

    def send(self, tag: str) -> Any:
        headers = {"If-Match": tag, "Idempotency-Key": new_id()}
        return self.program.ask(self.method, self.address, json=self.body, headers=headers)

    def tag(self) -> str:
        read = self.program.get(self.thing)
        assert read.status_code == 200, (self.thing, read.text)
        return str(read.headers["ETag"])


def rows(installed: Installation, folder: Path) -> tuple[int, int]:
    """An alert and a saved card, as the daemon and gateways leave them."""
    bob = installed.id("bob")
    gateway_id = made(installed.program().post("/payment-gateways", gateway(folder)))["id"]
    with transaction(installed.invoicing.database) as session:
        alert = AlertRow(kind="test", subject="x", detail="y", at_us=1)
        card = SavedMethodRow(
            account_id=bob, gateway_id=gateway_id, customer_ref="c", method_ref="m", brand="visa",
            last4="4242", expires="2031-03", state="active", preferred=True, created_us=0,
        )  # fmt: skip
        session.add_all((alert, card))
        session.flush()
        return alert.id, gateway_id


def quarantined(installed: Installation, folder: Path) -> int:
    """A record of somebody whom nobody knows."""
    mapping = load_mapping("asterisk-csv", zone="UTC", ambiguous=None)
    url = installed.accounts.url
    importer = Importer(
        installed.invoicing.database, lambda: connect(url), installed.invoicing.clock, mapping, "pbx1"
    )
    try:
        importer.run(FileSource(write_master(folder / "Master.csv", MasterLine(1, account="who")), mapping))
    finally:
        importer.close()
    return int(installed.program().get("/quarantine").json["items"][0]["id"])


def changes(installed: Installation, folder: Path) -> Iterator[Change]:  # noqa: PLR0915  # one for each
    """One for each operation. What it needs is made before it."""
    program, own = installed.program(), installed.program("bob", role=Role.CUSTOMER)
    bob = f"/accounts/{installed.id('bob')}"

    def post(path: str, body: Any, status: int = 201) -> Any:
        return made(program.post(path, body), status)

    def of(method: str, address: str, body: Any = None, thing: str = "", by: Program = program) -> Change:
        return Change(by, method, address, body, thing or address)

    alert, gateway_id = rows(installed, folder)
    post("/life-cycle-policies", {"name": "other", "toml": FIRST_LIFE})
    life = post("/life-cycle-policies", {"name": "x", "toml": FIRST_LIFE, "standard": True})["id"]
    dunning = post("/dunning-policies", {"name": "usual", "toml": FIRST_POLICY})["id"]
    post("/penalty-classes", {"name": "late", "toml": FIRST_PENALTY.format(unit="EUR")})
    # --- of accounts
    yield of("PATCH", bob, {"name": "Robert"})
    yield of("PATCH", f"{bob}/billing-profile", {"payment_days": 7})
    yield of("PATCH", f"{bob}/address", {"city": "Cork"})
    yield of("PATCH", f"{bob}/life-cycle", {"policy": "other"})
    yield of("PUT", f"{bob}/dunning-policy", {"policy": "usual"})
    yield of("PUT", f"{bob}/penalty-class", {"penalty_class": "late"}, f"{bob}/dunning-policy")
    yield of("PATCH", f"{bob}/notice-choices", {"digest": "daily"})
    yield of("PUT", f"{bob}/notice-thresholds/EUR", {"amounts": ["5"]}, f"{bob}/notice-thresholds")
    yield of("PUT", f"{bob}/wallets/EUR/credit-limit", {"credit_limit": "10"}, f"{bob}/wallets/EUR")
    endpoint = f"{bob}/endpoints/{post(f'{bob}/endpoints', {'kind': 'sip', 'value': '4711'})['id']}"
    yield of("PATCH", endpoint, {"status": "suspended"}, f"{bob}/endpoints")
    yield of("DELETE", endpoint, thing=f"{bob}/endpoints")
    limit = post(f"{bob}/limits", {"kind": "new_country", "destinations": ["DE"]})["id"]
    yield of("PUT", f"{bob}/countries/FR", {"released": True}, f"{bob}/limits")
    yield of("DELETE", f"{bob}/limits/{limit}", thing=f"{bob}/limits")
    top_up = {"below": "1", "amount": "5"}
    made(program.ask("PUT", f"{bob}/wallets/EUR/auto-top-up", json=top_up), 200)
    yield of("PUT", f"{bob}/wallets/EUR/auto-top-up", top_up | {"amount": "7"})
    yield of("DELETE", f"{bob}/wallets/EUR/auto-top-up")
    card = post(f"{bob}/cards", {"name": "travel"})["card_id"]
    yield of("PATCH", f"/cards/{card}", {"blocked": True})
    # --- of one's own
    yield of("PATCH", "/own/details", {"phone": "+353 21 1"}, by=own)
    yield of("PATCH", "/own/notice-choices", {"digest": ""}, by=own)
    yield of("PUT", "/own/notice-thresholds/EUR", {"amounts": ["6"]}, "/own/notice-thresholds", by=own)
    made(own.ask("PUT", "/own/wallets/EUR/auto-top-up", json=top_up), 200)
    yield of("PUT", "/own/wallets/EUR/auto-top-up", top_up | {"amount": "9"}, by=own)
    yield of("DELETE", "/own/wallets/EUR/auto-top-up", by=own)
    user = made(own.post("/own/users", {"login": "eve@example.com", "name": "Eve"}))["user_id"]
    yield of("PATCH", f"/own/users/{user}", {"name": "Eva"}, by=own)
    key = made(own.post("/own/api-keys", {"name": "phone", "scopes": ["own:read"]}))["id"]
    yield of("DELETE", f"/own/api-keys/{key}", by=own)
    # --- of the catalogue
    plan = post("/plans", {"name": "line", "terms": LINE})
    dearer = plan["terms"] | {"charge": [{"name": "Line", "price": "10.90"}]}
    yield of("POST", f"/plans/{plan['id']}/versions", {"terms": dearer}, f"/plans/{plan['id']}")
    tariff = f"/tariffs/{post('/tariffs', {'name': 'new', 'deck': 'retail'})['id']}"
    yield of("POST", f"{tariff}/versions", {"deck": "wholesale"}, tariff)
    yield of("DELETE", f"/rate-imports/{imported(program, 'fresh', unit='EUR')['id']}")
    germany = post("/destinations", {"name": "Berlin", "kind": "international", "prefixes": ["4930"]})["id"]
    yield of("DELETE", f"/destinations/{germany}")
    rule = f"/dialling-rules/{post('/dialling-rules', {'name': 'berlin', 'region': 'DE'})['id']}"
    yield of("PUT", rule, {"region": "FR"})
    yield of("DELETE", rule)
    number = f"/dids/{post('/dids', {'number': '+493012345'})['id']}"
    yield of("PATCH", number, {"country": "FR"})
    yield of("DELETE", number)
    meters = f"/meter-tariffs/{post('/meter-tariffs', {'name': 'power', 'toml': METERED})['id']}"
    yield of("POST", f"{meters}/versions", {"toml": METERED.replace("5", "6")}, meters)
    yield of("PATCH", f"/carriers/{post('/carriers', {'name': 'c', 'tariff': 'plain'})['id']}", {
        "tariff": "wholesale"
    })  # fmt: skip
    post("/access-numbers", {"number": "+493055555", "seller": "reseller"})
    yield of("PUT", "/access-numbers/493055555", {"max_lines": 5})
    yield of("DELETE", "/access-numbers/493055555")
    held = post(f"{bob}/subscriptions", {"plan": "line"})["subscription"]["id"]
    yield of("PATCH", f"/subscriptions/{held}", {"quantity": 2})
    # --- of the office
    draft = f"/invoices/{post(f'{bob}/drafts', {'unit': 'EUR'})['id']}"
    line = {"description": "Work", "unit_price": "100", "reason": "order 7"}
    place = f"{draft}/lines/{post(f'{draft}/lines', line)['lines'][0]['id']}"
    yield of("PATCH", place, {"net": "80", "reason": "agreed"}, draft)
    template = post("/invoice-templates", {"name": "red"})["id"]
    versions = f"/invoice-templates/{template}/versions"
    yield of("POST", versions, {"colours": {"accent": "#aa0000"}}, f"/invoice-templates/{template}")
    yield of("PUT", "/invoice-templates/in-use", {"template_id": template})
    yield of("PATCH", "/company/address", {"city": "Paris"}, "/company")
    yield of("PATCH", "/company/terms", {"payment_days": 30}, "/company")
    yield of("PUT", "/company/numbers/invoice", {"prefix": "I-{year}-", "padding": 4}, "/company")
    yield of("PUT", "/brand", {"name": "Rings"})
    made(program.ask("PUT", "/brand/logo", json={"content": PNG}), 200)
    yield of("PUT", "/brand/logo", {"content": PNG})
    yield of("DELETE", "/brand/logo")
    yield of("PATCH", f"/dunning-policies/{dunning}", {"groups": ["gold"]})
    yield of("PATCH", f"/life-cycle-policies/{life}", {"standard": False})
    yield of("PUT", "/notice-templates/low_balance/en", WORDS)
    yield of("DELETE", "/notice-templates/low_balance/en")
    yield of("PUT", "/notice-thresholds/EUR", {"amounts": ["2"]}, "/notice-thresholds")
    yield of("PATCH", f"/payment-gateways/{gateway_id}", {"enabled": False})
    post("/units", {"code": "SEK", "kind": "currency", "name": "Krona"})
    yield of("PATCH", "/units/SEK", {"symbol": "kr"})
    mailed = {
        "name": "monthly",
        "report": "revenue",
        "format": "xlsx",
        "every": "month",
        "emails": ["a@b.de"],
    }
    schedule = f"/report-schedules/{post('/report-schedules', mailed)['id']}"
    yield of("PATCH", schedule, {"enabled": False})
    yield of("DELETE", schedule)
    somebody = {"login": "dora@example.com", "name": "Dora", "role": "support"}
    yield of("PATCH", f"/users/{post('/users', somebody)['user_id']}", {"name": "Theodora"})
    made_key = post("/api-keys", {"name": "shop", "scopes": [Permission.ACCOUNTS_READ.value]})["id"]
    yield of("DELETE", f"/api-keys/{made_key}")
    given_key = post(f"{bob}/api-keys", {"name": "phone", "scopes": ["own:read"]})["id"]
    yield of("DELETE", f"/account-api-keys/{given_key}")
    hook = post("/webhooks", {"url": "https://shop.example/hook", "kinds": ["payment"]})["id"]
    yield of("PATCH", f"/webhooks/{hook}", {"active": False})
    yield of("DELETE", f"/webhooks/{hook}")
    yield of("PATCH", f"/alerts/{alert}", {"done": True})
    record = quarantined(installed, folder)
    column = program.get(f"/quarantine/{record}").json["known_columns"][0]
    yield of("PATCH", f"/quarantine/{record}", {"columns": {column: "bob"}})


def operations(installed: Installation) -> dict[str, Any]:
    """All that change something, by "METHOD /address", as the document has them."""
    document = installed.app.test_client().get(f"{BASE}/openapi.json").json
    assert document is not None
    return {
        f"{method.upper()} {path.removeprefix(BASE)}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method != "get"
    }


def takes_tag(operation: Any) -> bool:
    return any(x["name"] == "If-Match" for x in operation["parameters"])


def test_the_second_is_told_and_nothing_is_overwritten(installed: Installation, tmp_path: Path) -> None:
    known = operations(installed)
    matcher = installed.app.url_map.bind("bill.example")
    tried = set()
    for change in changes(installed, tmp_path):
        rule, _values = matcher.match(BASE + change.address, method=change.method, return_rule=True)
        named = re.sub(r"<(?:[^:<>]+:)?(\w+)>", r"{\1}", str(rule.rule)).removeprefix(BASE)
        tried.add(f"{change.method} {named}")
        tag = change.tag()
        assert TAG.fullmatch(tag)
        late = change.send(STALE)
        assert late.status_code == 412, (change, late.text)
        assert "read it again" in problem(late, 412)["detail"]
        assert late.headers["ETag"] == change.tag() == tag, change
        done = change.send(tag)
        assert done.status_code in (200, 201, 204), (change, done.text)
        if done.data:
            assert done.headers["ETag"] == change.tag(), change
            assert done.headers["ETag"] != tag or "logo" in change.address, change
    assert {x for x, operation in known.items() if takes_tag(operation)} == tried


def test_what_takes_no_tag_has_a_reason(installed: Installation) -> None:
    changing = {x: y for x, y in operations(installed).items() if not x.startswith("POST ")}
    assert {x for x, operation in changing.items() if not takes_tag(operation)} == set(NEED_NONE)


def test_the_document_tells_of_tags(installed: Installation) -> None:
    document = installed.app.test_client().get(f"{BASE}/openapi.json").json
    assert document is not None
    told = document["paths"][f"{BASE}/accounts/{{account_id}}"]
    for method in ("get", "patch"):
        assert told[method]["responses"]["200"]["headers"]["ETag"]["schema"]["pattern"]
    assert "412" in told["patch"]["responses"]
    assert "412" not in told["get"]["responses"]
    plain = document["paths"][f"{BASE}/figures"]["get"]
    assert "headers" not in plain["responses"]["200"]


def test_what_moves_by_itself_is_no_change(installed: Installation) -> None:
    program = installed.program()
    wallet = f"/accounts/{installed.id('bob')}/wallets/EUR"
    tag = program.get(wallet).headers["ETag"]
    paid = {"money": {"amount": "5.00", "currency": "EUR"}, "method": "cash", "receipt": False}
    made(program.post(f"/accounts/{installed.id('bob')}/top-ups", paid))
    assert program.get(wallet).headers["ETag"] == tag


def test_wrong_tags_and_any(installed: Installation) -> None:
    program, bob = installed.program(), f"/accounts/{installed.id('bob')}"
    change = {"json": {"name": "Rob"}}
    wrong = problem(program.ask("PATCH", bob, headers={"If-Match": "abc"}, **change), 422)
    assert [x["field"] for x in wrong["errors"]] == ["header.If-Match"]
    assert program.ask("PATCH", bob, headers={"If-Match": "*"}, **change).status_code == 200
    # What is not there is not there, whatever is sent.
    problem(program.ask("PATCH", "/accounts/999999", headers={"If-Match": STALE}, **change), 404)


def test_a_change_that_comes_again_is_answered_as_before(installed: Installation) -> None:
    """Whoever lost the answer is not told that it was himself who changed it."""
    program, bob = installed.program(), f"/accounts/{installed.id('bob')}"
    headers = {"If-Match": program.get(bob).headers["ETag"], "Idempotency-Key": new_id()}
    first, again = (program.ask("PATCH", bob, json={"name": "Rob"}, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code, again.json) == (200, 200, first.json)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert first.headers["ETag"] == again.headers["ETag"] == program.get(bob).headers["ETag"]
    assert "Idempotent-Replayed" not in first.headers


def test_an_answer_without_a_body_comes_again_as_it_was(installed: Installation) -> None:
    program, bob = installed.program(), f"/accounts/{installed.id('bob')}"
    made(program.post(f"{bob}/suspension", {"reason": "it was stolen"}))
    headers = {"Idempotency-Key": new_id()}
    first, again = (program.ask("DELETE", f"{bob}/suspension", headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (204, 204), (first.text, again.text)
    assert "Content-Type" not in again.headers
    assert again.headers["Idempotent-Replayed"] == "true"


def test_of_two_at_once_one_is_told(database_url: str) -> None:
    """On each database: the second waits for the first, and then sees what it wrote."""
    with installation(database_url) as installed:
        program, bob = installed.program(), f"/accounts/{installed.id('bob')}"
        tag = program.get(bob).headers["ETag"]
        answers: list[int] = []
        start = threading.Barrier(4)

        def change(name: str) -> None:
            start.wait(10)
            answer = program.ask("PATCH", bob, json={"name": name}, headers={"If-Match": tag})
            answers.append(answer.status_code)

        threads = [threading.Thread(target=change, args=(f"Bob {x}",)) for x in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(answers) == [200, 412, 412, 412]
