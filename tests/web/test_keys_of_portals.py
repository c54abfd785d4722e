"""API keys that open the portal of an account: made by its own people, or by who sells to it."""

import re

from tests.web.offices import Browser, Office

OWN: dict[str, object] = {"name": "softphone", "scopes": ["own:read"], "days": "30", "per_minute": "60"}


def made_key(browser: Browser, path: str, **more: object) -> str:
    found = re.search(r'value="(pbx_[^"]+)"', browser.post(path, OWN | more).text)
    assert found is not None
    return found[1]


def status(office: Office, key: str, path: str = "/api/v1/balance") -> int:
    return office.app.test_client().get(path, headers={"Authorization": f"Bearer {key}"}).status_code


def first_key(browser: Browser, path: str) -> str:
    found = re.search(rf'href="({path}/\d+)"', browser.get(path).text)
    assert found is not None
    return found[1]


def test_a_customer_makes_a_key_that_shows_his_balance_and_ends_it(office: Office) -> None:
    alice = office.seat("alice")
    assert "softphone" in alice.get("/my/api-keys").text  # what an empty list says
    key = made_key(alice, "/my/api-keys/new")
    assert status(office, key) == 200
    assert status(office, key, "/api/v1/accounts") == 403
    page = first_key(alice, "/my/api-keys")
    assert key not in alice.get(page).text
    assert "own:read" in alice.get(page).text
    assert office.seat("olga").get(page).status_code == 404
    assert alice.post(f"{page}/revoke").status_code == 303
    assert status(office, key) == 401


def test_a_key_of_a_portal_opens_nothing_else_whoever_makes_it(office: Office) -> None:
    wrong = OWN | {"scopes": ["accounts:read"]}
    for login, path in (("alice", "/my"), ("reseller", "/my"), ("reseller", "/panel/accounts/{alice}")):
        new = path.format(alice=office.account_id("alice")) + "/api-keys/new"
        assert "pbx_" not in office.seat(login).post(new, wrong).text


def test_who_sells_makes_a_key_for_his_customer_and_both_see_it(office: Office) -> None:
    reseller, alice = office.seat("reseller"), office.seat("alice")
    path = f"/panel/accounts/{office.account_id('alice')}/api-keys"
    key = made_key(reseller, f"{path}/new")
    assert status(office, key) == 200
    page = reseller.get(first_key(reseller, path)).text
    assert re.search(r"<dd>reseller</dd>", page)
    own = alice.get(first_key(alice, "/my/api-keys")).text
    assert not re.search(r"<dd>reseller</dd>", own)
    assert office.seat("support").get(path).status_code == 403
    user = office.user("reseller").id
    assert "softphone" in office.seat("admin").get(f"/panel/users/{user}/disable").text
    assert alice.post(first_key(alice, "/my/api-keys") + "/revoke").status_code == 303
    assert status(office, key) == 401


def test_nobody_makes_or_sees_keys_of_accounts_that_are_not_below_him(office: Office) -> None:
    reseller = office.seat("reseller")
    for code in ("olga", "operator", "reseller"):
        path = f"/panel/accounts/{office.account_id(code)}/api-keys"
        assert reseller.get(path).status_code == 404
        assert reseller.get(f"{path}.csv").status_code == 404
        assert reseller.get(f"{path}/new").status_code == 404


def test_a_portal_does_not_list_keys_that_open_the_panel(office: Office) -> None:
    reseller = office.seat("reseller")
    made_key(reseller, "/panel/api-keys/new", name="books", scopes=["accounts:read"])
    page = first_key(reseller, "/panel/api-keys")
    assert "books" not in reseller.get("/my/api-keys").text
    assert reseller.get(page.replace("/panel", "/my")).status_code == 404
