"""What every answer carries, and how faults look to people, gateways and programs."""

import re
from pathlib import Path

import pytest

from pbxbill.errors import StoreUnavailable
from pbxbill.web import front as front_module
from tests.web.offices import URL, USERS, Office

STRICT = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@pytest.mark.parametrize("path", ["/log-in", "/me", "/panel/users", "/nowhere"])
def test_pages_carry_what_keeps_others_out(office: Office, path: str) -> None:
    answer = office.seat("admin").get(path)
    for name, value in STRICT.items():
        assert answer.headers[name] == value
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
    assert not re.search(r"<script(?![^>]*\ssrc=)|\son[a-z]+=|\sstyle=|<style", answer.text)


@pytest.mark.parametrize(
    "path", ["/me", "/me/password", "/panel/users", "/panel/users/new", "/panel/api-keys", "/panel/audit-log"]
)
def test_a_lost_database_gives_a_plain_page(
    office: Office, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    browser = office.seat("admin")

    def lost(*_arguments: object) -> None:
        raise StoreUnavailable("the database is away")

    monkeypatch.setattr(front_module, "transaction", lost)
    answer = browser.get(path)
    assert (answer.status_code, answer.mimetype) == (503, "text/html")
    assert answer.headers["Retry-After"]
    assert "the database is away" not in answer.text
    api = office.app.test_client().get(
        "/api/v1/accounts", base_url=URL, headers={"Authorization": "Bearer pbx_aaaaaaaaaaaa_" + "A" * 43}
    )
    assert (api.status_code, api.mimetype) == (503, "application/problem+json")


def test_what_was_typed_is_sent_again_once_the_database_is_back(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = office.seat("admin")
    company = {"legal_name": "Blue", "street": "High Street 1", "city": "London", "country": "GB"}
    changing = front_module.Front.changing

    def busy(*_arguments: object, **_more: object) -> None:
        raise StoreUnavailable("the database is locked")

    monkeypatch.setattr(front_module.Front, "changing", busy)
    answer = browser.post("/panel/first-steps/company", company)
    monkeypatch.setattr(front_module.Front, "changing", changing)
    assert answer.status_code == 503
    assert "Try again" in answer.text
    assert 'value="High Street 1"' in answer.text
    assert ">pbxbill<" not in answer.text


def test_a_database_that_is_really_gone(office: Office) -> None:
    browser = office.seat("admin")
    path = Path(office.url.removeprefix("sqlite:///"))
    office.application.database.dispose()
    path.rename(path.with_suffix(".away"))
    path.mkdir()
    try:
        assert browser.get("/me").status_code == 503
        assert browser.get("/log-in").status_code in (200, 503)
        assert browser.get("/healthz").status_code == 503
    finally:
        path.rmdir()
        path.with_suffix(".away").rename(path)
    assert browser.get("/me").status_code == 200


def test_errors_fit_who_asks(office: Office) -> None:
    browser = office.seat("admin")
    assert (browser.get("/nowhere").status_code, browser.get("/nowhere").mimetype) == (404, "text/html")
    program = office.app.test_client().get("/api/v1/nowhere", base_url=URL)
    assert (program.status_code, program.mimetype) == (404, "application/problem+json")
    gateway = office.app.test_client().get("/webhooks/cards", base_url=URL)
    assert (gateway.status_code, gateway.mimetype) == (405, "text/plain")


def test_who_to_tell_of_a_weakness(office: Office) -> None:
    assert office.browser().get("/.well-known/security.txt").status_code == 404  # nobody is named yet


STARTS = {
    "admin": "/panel", "finance": "/panel", "support": "/panel", "reseller": "/panel", "other": "/panel",
    "cashier": "/panel/till", "shop": "/panel/till",
    "alice": "/my", "olga": "/my", "reseller-books": "/my",
}  # fmt: skip


def test_everybody_starts_where_he_belongs(office: Office) -> None:
    assert office.browser().get("/").location == "/log-in"
    found = {login: office.seat(login).get("/").location.rstrip("/") for login in USERS}
    assert found == STARTS
    assert {office.seat(login).get(office.seat(login).get("/").location).status_code for login in USERS} == {
        200
    }


def test_a_huge_upload_is_refused(office: Office) -> None:
    browser = office.seat("admin")
    sent = {"csrf_token": browser.token("/me"), "login": "x" * 2_000_000}
    assert browser.client.post("/me", data=sent, base_url=URL).status_code == 413
