"""How people get in, and what keeps others out."""

import re

import pyotp
import pytest

from pbxbill.access.one_time_links import Purpose, make_link
from pbxbill.access.permissions import Role
from pbxbill.access.second_factor import turn_on
from pbxbill.access.users import disable, set_role
from pbxbill.clock import SECOND_US
from pbxbill.store.access_models import AuditRow, LoginSessionRow, UserRow
from pbxbill.store.models import AccountRow
from pbxbill.web.rules import WebRules
from tests.web.offices import PASSWORD, URL, Browser, Office, opened_office

MINUTE_US = 60 * SECOND_US
COOKIE = "__Host-pbxbill"


def cookie(browser: Browser, name: str = COOKIE) -> str:
    found = browser.client.get_cookie(name, domain="bill.example")
    return found.value if found else ""


def is_in(browser: Browser) -> bool:
    return browser.get("/me").status_code == 200


def test_somebody_logs_in_and_out(office_on_each: Office) -> None:
    browser = office_on_each.browser()
    assert browser.get("/me").location == "/log-in?next=/me"
    answer = browser.log_in("admin", next="/me")
    assert (answer.status_code, answer.location) == (303, "/me")
    assert "admin" in browser.get("/me").text
    kept = cookie(browser)
    answer = browser.post("/log-out", page="/me")
    assert answer.location == "/log-in"
    assert not is_in(browser)
    browser.client.set_cookie(COOKIE, kept, domain="bill.example", secure=True)
    assert not is_in(browser)


def test_cookies_are_for_us_alone(office: Office) -> None:
    browser = office.browser()
    answer = browser.log_in("Admin")
    said = [x for x in answer.headers.getlist("Set-Cookie") if x.startswith(COOKIE + "=")]
    assert len(said) == 1
    for word in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert word in said[0]
    assert "Domain" not in said[0]


def test_a_wrong_password_and_an_unknown_log_in_look_alike(office: Office) -> None:
    browser = office.browser()
    wrong, unknown = browser.log_in("admin", "x" * 12), browser.log_in("nobody-here", "x" * 12)
    assert (wrong.status_code, unknown.status_code) == (401, 401)
    strip = re.compile(r'value="[^"]*"')
    assert strip.sub("", wrong.text) == strip.sub("", unknown.text)
    assert "admin" in wrong.text  # what was entered is kept, but for the password
    assert "x" * 12 not in wrong.text


@pytest.mark.parametrize("login", ["admin", "nobody-here"])
def test_who_guesses_waits(office: Office, login: str) -> None:
    browser = office.browser()
    codes = [browser.log_in(login, "wrong wrong wrong").status_code for _ in range(6)]
    assert codes == [401] * 5 + [429]
    assert browser.log_in(login).status_code == 429  # the right one is not looked at either
    office.clock.advance(31 * SECOND_US)
    assert browser.log_in(login, "wrong wrong wrong").status_code == 401
    office.clock.advance(31 * SECOND_US)
    assert browser.log_in(login).status_code == 429  # twice as long
    office.clock.advance(30 * SECOND_US)
    assert browser.log_in(login).status_code == (303 if login == "admin" else 401)


def test_others_from_elsewhere_are_not_locked_out(office: Office) -> None:
    browser = office.browser()
    for _ in range(6):
        browser.log_in("admin", "wrong wrong wrong")
    token = browser.token("/log-in")
    sent = {"login": "admin", "password": PASSWORD, "csrf_token": token}
    elsewhere = browser.client.post(
        "/log-in", data=sent, base_url=URL, environ_overrides={"REMOTE_ADDR": "192.0.2.7"}
    )
    assert elsewhere.status_code == 303


def test_a_forged_cookie_is_a_fresh_log_in(office: Office) -> None:
    browser = office.browser()
    for forged in ("", "x", "A" * 43, "A" * 3000, "ä", "'; --"):
        browser.client.set_cookie(COOKIE, forged, domain="bill.example", secure=True)
        assert browser.get("/me").location == "/log-in?next=/me"
    browser.client.set_cookie(COOKIE + "-form", "eyJoYWxmIjp7InVzZXIiOjF9fQ.x.y", domain="bill.example")
    assert browser.get("/second-factor").location == "/log-in"


def test_a_token_is_made_anew_at_each_log_in(office: Office) -> None:
    browser = office.browser()
    token = browser.token("/log-in")
    browser.log_in("admin")
    first = cookie(browser)
    old = browser.client.post("/me/sessions/end", data={"csrf_token": token}, base_url=URL)
    assert old.status_code == 400  # what a form carried before
    browser.post("/log-out", page="/me")
    browser.log_in("admin")
    assert cookie(browser) not in ("", first)


def test_who_does_nothing_logs_in_again(office: Office) -> None:
    browser = office.browser("admin")
    for _ in range(3):
        office.clock.advance(29 * MINUTE_US)
        assert is_in(browser)
    office.clock.advance(31 * MINUTE_US)
    assert not is_in(browser)


def test_after_twelve_hours_everybody_logs_in_again(office: Office) -> None:
    browser = office.browser("admin")
    for _ in range(29):
        office.clock.advance(25 * MINUTE_US - SECOND_US)
        if not is_in(browser):
            break
    began_us = office.user("admin").last_login_us or 0
    assert 28 * 25 <= (office.clock.now_us() - began_us) // MINUTE_US <= 30 * 25


@pytest.mark.parametrize("change", ["role", "disable", "password"])
def test_what_changes_a_users_rights_ends_his_sessions(office: Office, change: str) -> None:
    browser, other = office.browser("support"), office.browser("support")
    with office.writing() as session:
        user = session.get_one(UserRow, office.user("support").id)
        if change == "role":
            set_role(session, user, Role.FINANCE)
        elif change == "disable":
            disable(session, user)
    if change == "password":
        new = {"old": PASSWORD, "password": "eight green bottles", "again": "eight green bottles"}
        assert browser.post("/me/password", new).location == "/me"
        assert is_in(browser)
        assert not is_in(other)
        assert office.browser().log_in("support").status_code == 401
        return
    assert not is_in(browser)
    assert not is_in(other)
    assert office.browser().log_in("support").status_code == (401 if change == "disable" else 303)


def test_a_password_by_a_link_ends_what_was_open(office: Office) -> None:
    lost = office.browser("support")
    with office.writing() as session:
        user = session.get_one(UserRow, office.user("support").id)
        token = make_link(session, user, Purpose.RESET, office.clock.now_us())
    assert is_in(lost)  # until it is used
    good = {"password": "eight green bottles", "again": "eight green bottles"}
    assert office.browser().post(f"/link/{token}", good).status_code == 303
    assert not is_in(lost)


def test_who_is_with_us_no_more_is_logged_out(office: Office) -> None:
    alice, sold_to = office.browser("alice"), office.account_id("alice")
    with office.writing() as session:
        session.get_one(AccountRow, sold_to).status = "suspended"
    assert is_in(alice)  # he must be able to pay
    with office.writing() as session:
        session.get_one(AccountRow, sold_to).status = "terminated"
    assert not is_in(alice)
    assert office.browser().log_in("alice").status_code == 401


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example",
        "javascript:alert(1)", "/\t/evil.example", "https:evil.example", "///evil.example",
        " //evil.example", "evil",
    ],
)  # fmt: skip
def test_after_the_log_in_nobody_is_sent_to_another_site(office: Office, elsewhere: str) -> None:
    answer = office.browser().log_in("admin", next=elsewhere)
    assert (answer.status_code, answer.location) == (303, "/")
    browser = office.seat("admin")
    assert browser.get("/log-in", query_string={"next": elsewhere}).location == "/"


def test_a_second_factor_is_asked_for_and_no_code_is_taken_twice(office_on_each: Office) -> None:
    office = office_on_each
    secret = pyotp.random_base32()
    rules = office.app.extensions["pbxbill_rules"]
    with office.writing() as session:
        codes = turn_on(session, rules.sealer, session.get_one(UserRow, office.user("admin").id), secret, 0)
    code = pyotp.TOTP(secret).at(office.clock.now_us() // SECOND_US)
    browser = office.browser()
    assert browser.log_in("admin").location == "/second-factor"
    assert not is_in(browser)
    assert browser.post("/second-factor", {"code": "000000"}).status_code == 401
    assert browser.post("/second-factor", {"code": code}).status_code == 303
    assert is_in(browser)
    again = office.browser()
    again.log_in("admin")
    assert again.post("/second-factor", {"code": code}).status_code == 401
    assert again.post("/second-factor", {"code": codes[0].upper()}).status_code == 303
    third = office.browser()
    third.log_in("admin")
    assert third.post("/second-factor", {"code": codes[0]}).status_code == 401
    office.clock.advance(6 * MINUTE_US)
    assert third.get("/second-factor").location == "/log-in"


def test_codes_are_not_guessed(office: Office) -> None:
    with office.writing() as session:
        user = session.get_one(UserRow, office.user("admin").id)
        turn_on(session, office.app.extensions["pbxbill_rules"].sealer, user, pyotp.random_base32(), 0)
    browser = office.browser()
    browser.log_in("admin")
    codes = [browser.post("/second-factor", {"code": "000000"}).status_code for _ in range(6)]
    assert codes == [401] * 5 + [429]


def test_somebody_turns_the_second_factor_on(office: Office) -> None:
    browser = office.browser("admin")
    page = browser.get("/me/second-factor").text
    assert 'src="data:image/svg+xml' in page
    secret = re.search(r"<code>([A-Z2-7]+)</code>", page)
    sealed = re.search(r'name="sealed"[^>]*value="([^"]+)"', page)
    assert secret is not None
    assert sealed is not None
    assert secret[1] not in sealed[1]
    code = pyotp.TOTP(secret[1]).at(office.clock.now_us() // SECOND_US)
    done = browser.post("/me/second-factor", {"sealed": sealed[1], "code": code})
    codes = re.findall(r"<li><code>([a-z0-9-]{14})</code></li>", done.text)
    assert len(codes) == 10
    assert secret[1] not in office.user("admin").totp
    assert office.browser().log_in("admin").location == "/second-factor"


def test_a_link_lets_its_holder_choose_a_password_once(office_on_each: Office) -> None:
    office = office_on_each
    with office.writing() as session:
        user = session.get_one(UserRow, office.user("support").id)
        user.password_hash = ""
        token = make_link(session, user, Purpose.INVITATION, office.clock.now_us())
    assert office.browser().log_in("support", "").status_code == 200
    browser = office.browser()
    path = f"/link/{token}"
    assert browser.get(path).status_code == browser.get(path).status_code == 200
    short = browser.post(path, {"password": "short", "again": "short"})
    assert "at least 12" in short.text.lower()
    worst = browser.post(path, {"password": "password12345", "again": "password12345"})
    assert "first that others try" in worst.text
    good = {"password": "eight green bottles", "again": "eight green bottles"}
    assert browser.post(path, good).status_code == 303
    assert is_in(browser)
    assert office.browser().get(path).status_code == 404
    assert office.browser().log_in("support", "eight green bottles").status_code == 303


def test_a_link_ends(office: Office) -> None:
    with office.writing() as session:
        user = session.get_one(UserRow, office.user("support").id)
        token = make_link(session, user, Purpose.RESET, office.clock.now_us())
    office.clock.advance(61 * MINUTE_US)
    assert office.browser().get(f"/link/{token}").status_code == 404


def test_what_opens_doors_asks_for_the_password_again(office: Office) -> None:
    browser = office.browser("admin")
    assert browser.get("/panel/users/new").status_code == 200
    office.clock.advance(16 * MINUTE_US)
    asked = browser.get("/panel/users/new")
    assert asked.location == "/me/prove?next=/panel/users/new"
    assert browser.post(asked.location, {"password": "wrong wrong wrong"}).status_code == 401
    assert browser.post(asked.location, {"password": PASSWORD}).location == "/panel/users/new"
    assert browser.get("/panel/users/new").status_code == 200


def test_ones_sessions_are_seen_and_ended(office: Office) -> None:
    browser, other = office.browser("admin"), office.browser("admin")
    ends = re.findall(r'action="(/me/sessions/[0-9a-f]{64}/end)"', browser.get("/me").text)
    assert len(ends) == 1
    browser.post(ends[0], page="/me")
    assert is_in(browser)
    assert not is_in(other)


def test_what_is_kept_of_a_log_in_opens_nothing(office: Office) -> None:
    browser = office.browser("admin")
    with office.reading() as session:
        kept = session.query(LoginSessionRow).one().token_hash
        said = session.query(AuditRow).filter_by(action="user.log-in").one()
    assert cookie(browser) not in (kept, said.changes)
    assert kept not in said.changes
    forger = office.browser()
    forger.client.set_cookie(COOKIE, kept, domain="bill.example", secure=True)
    assert not is_in(forger)


def test_too_many_tries_from_one_address_are_refused(sqlite_url: str) -> None:
    with opened_office(sqlite_url, WebRules()) as office:
        office.app.extensions["pbxbill_limiter"].enabled = True
        browser = office.browser()
        token = browser.token("/log-in/forgotten")
        sent = {"login": "nobody-here", "csrf_token": token}
        codes = [
            browser.client.post("/log-in/forgotten", data=sent, base_url=URL).status_code for _ in range(21)
        ]
    assert codes == [303] * 20 + [429]


def test_people_of_one_office_all_get_in(sqlite_url: str) -> None:
    with opened_office(sqlite_url) as office:
        office.app.extensions["pbxbill_limiter"].enabled = True
        assert [office.browser().log_in("admin").status_code for _ in range(22)] == [303] * 22
