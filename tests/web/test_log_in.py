"""How people get in, and what keeps others out."""

from tests.web.offices import Office


def test_somebody_logs_in_and_out(office_on_each: Office) -> None:
    browser = office_on_each.browser()
    assert browser.get("/me").location == "/log-in?next=/me"
    answer = browser.log_in("admin", next="/me")
    assert (answer.status_code, answer.location) == (303, "/me")
    assert "admin" in browser.get("/me").text
    answer = browser.post("/log-out", page="/me")
    assert answer.location == "/log-in"
    assert browser.get("/me").status_code == 303
