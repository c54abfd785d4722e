"""/my/users is a list as others are: searched, as a file, with those of the account alone."""

from tests.web.offices import Office
from tests.web.test_users_pages import new_user


def test_an_account_lists_whom_it_let_in(office: Office) -> None:
    alice = office.seat("alice")
    assert alice.post("/my/users/new", new_user("al", "customer")).status_code in (200, 303)
    rows = alice.get("/my/users.csv").text.splitlines()
    assert [x.split(",")[0] for x in rows[1:]] == ["al", "alice"]
    assert "Account" not in rows[0]
    found = alice.get("/my/users?q=al&state=active").text
    assert "/my/users.csv" in found
    assert alice.get("/my/users.xlsx").data[:2] == b"PK"
    assert "alice" not in office.seat("olga").get("/my/users.csv").text
