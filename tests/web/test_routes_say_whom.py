"""Every route says whom it is for, and is for nobody else: walked over the whole URL map, for every role."""

import pytest

from pbxbill.access.actor import Actor, Scope
from pbxbill.access.api_keys import NewKey, make_key
from pbxbill.access.permissions import PERMISSIONS_OF, Permission, Role
from pbxbill.web.front import EVERYBODY, LOGGED_IN
from tests.web.offices import URL, USERS, Office
from tests.web.routes import Route, routes_of

OPEN = {
    "home", "healthz", "static", "bootstrap.static", "fonts.static", "webhooks.receive", "pay.pay",
    "pay.done", "pay.returned", "log_in.show", "log_in.second_factor", "links.choose", "links.forgotten",
    "passkeys.log_in", "passkeys.log_in_options", "security_txt.show", "api.health",
    "brand_files.logo", "brand_files.style",  # the page where people log in shows them
}  # fmt: skip
"""What everybody may ask for. A route that is added here needs a reason."""
OPEN_OF_API = {"document", "docs"}
"""Words in the endpoints of what the API tells everybody about itself."""


def asked(route: Route) -> str:
    """The route with values that name nothing."""
    return route.path(dict.fromkeys(route.parameters, "987654321"))


def guarded(walked: Office) -> list[Route]:
    found = [x for x in routes_of(walked.app) if x.needed != EVERYBODY]
    assert len(found) > 30
    return found


def test_every_route_says_whom_it_is_for(walked: Office) -> None:
    assert [x.endpoint for x in routes_of(walked.app) if x.needed is None] == []


def test_what_is_open_to_all_is_known(walked: Office) -> None:
    found = {x.endpoint for x in routes_of(walked.app) if x.needed == EVERYBODY}
    more = {x for x in found - OPEN if not any(word in x for word in OPEN_OF_API)}
    assert more == set()


def test_who_is_not_logged_in_is_asked_to_log_in(walked: Office) -> None:
    client = walked.app.test_client()
    for route in guarded(walked):
        answer = client.open(asked(route), method=route.method, base_url=URL)
        if route.is_api:
            assert answer.status_code == 401, route
            assert answer.mimetype == "application/problem+json", route
        else:
            assert answer.status_code == 303, route
            assert answer.location.startswith("/log-in"), route


@pytest.mark.parametrize("login", {role: login for login, (_, role) in USERS.items()}.values())
def test_who_may_not_is_refused(walked: Office, login: str) -> None:
    """One of each role: what somebody may is his role's."""
    browser = walked.seat(login)
    allowed = PERMISSIONS_OF[USERS[login][1]]
    token = browser.token("/me")
    for route in guarded(walked):
        if route.is_api or route.needed == LOGGED_IN or route.needed in allowed:
            continue
        answer = browser.client.open(
            asked(route), method=route.method, base_url=URL, headers={"X-CSRFToken": token}
        )
        assert answer.status_code == 403, (login, route)


@pytest.mark.parametrize("role", [Role.ADMIN, Role.RESELLER, Role.CUSTOMER])
def test_a_key_without_a_scope_is_refused(walked: Office, role: Role) -> None:
    """A key may one thing alone; every operation that needs another refuses it."""
    login = {Role.ADMIN: "admin", Role.RESELLER: "reseller", Role.CUSTOMER: "alice"}[role]
    held = Permission.OWN_PAY if role is Role.CUSTOMER else Permission.AUDIT_READ
    account_id = walked.user(login).account_id
    actor = Actor(login, Scope(account_id, "/"), PERMISSIONS_OF[role])
    with walked.writing() as session:
        _, shown = make_key(session, actor, NewKey("narrow", frozenset({held})), walked.clock.now_us())
    client = walked.app.test_client()
    for route in guarded(walked):
        if not route.is_api or route.needed in (LOGGED_IN, held):
            continue
        answer = client.open(
            asked(route), method=route.method, base_url=URL, headers={"Authorization": f"Bearer {shown}"}
        )
        assert answer.status_code == 403, route


def test_an_id_that_no_database_has_leads_nowhere(walked: Office) -> None:
    browser = walked.seat("admin")
    with_ids = [
        x for x in routes_of(walked.app) if "int" in x.converters and x.method == "GET" and not x.is_api
    ]
    assert len(with_ids) > 100
    for route in with_ids:
        answer = browser.get(route.path(dict.fromkeys(route.parameters, str(2**63))))
        assert answer.status_code == 404, route


def test_a_cookie_opens_nothing_of_the_api(walked: Office) -> None:
    browser = walked.seat("admin")
    for route in guarded(walked):
        if route.is_api:
            answer = browser.client.open(asked(route), method=route.method, base_url=URL)
            assert answer.status_code == 401, route


def test_what_changes_something_needs_the_token_of_its_form(walked: Office) -> None:
    """Another site can make a browser post, and cannot know the token."""
    admin, customer = walked.seat("admin"), walked.seat("alice")
    for route in routes_of(walked.app):
        is_page = not route.is_api and route.endpoint.partition(".")[0] not in ("webhooks", "pay")
        if route.method == "GET" or not is_page:
            continue
        own = isinstance(route.needed, Permission) and route.needed.value.startswith("own:")
        browser = customer if own else admin
        before = browser.client.get_cookie("__Host-pbxbill", domain="bill.example")
        answer = browser.client.open(
            asked(route), method=route.method, base_url=URL, data={"csrf_token": "x"}
        )
        assert answer.status_code in (400, 403), route
        assert browser.client.get_cookie("__Host-pbxbill", domain="bill.example") == before, route
