"""Two who save the same thing at the same moment: one is told, from whatever page or program."""

import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from pbxbill.access.actor import Actor, Scope
from pbxbill.access.api_keys import NewKey, make_key
from pbxbill.access.permissions import Permission
from pbxbill.store.models import AccountRow
from pbxbill.web import editions
from pbxbill.web.api import etags
from tests.web.offices import Office
from tests.web.programs import BASE, Program
from tests.web.test_two_editors import TOLD, forms_of

SECOND_WAITS_S = 1.0
PATIENCE_S = 30.0
Save = Callable[[], bool]


@pytest.fixture
def both_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has looked whether his edition holds waits until the other has, unless the other has to wait."""
    looked = threading.Barrier(2)

    def wait() -> None:
        try:
            looked.wait(SECOND_WAITS_S)
        except threading.BrokenBarrierError:
            pass  # the other waits for this transaction, or was told

    def slow(form: Any, facts: Any) -> None:
        editions.check_edition(form, facts)
        wait()

    for name in ("panel.accounts", "panel.issuer", "portal.details"):
        monkeypatch.setattr(import_module(f"pbxbill.web.{name}"), "check_edition", slow)
    guard = etags.Guard.check

    def slow_guard(self: etags.Guard, change: Any) -> None:
        guard(self, change)
        wait()

    monkeypatch.setattr(etags.Guard, "check", slow_guard)


def saved_by_form(office: Office, login: str, path: str, **changed: str) -> Save:
    """A form as it is shown now, which is sent later; whether it was taken."""
    browser = office.browser(login)
    form = next(x for x in forms_of(browser.get(path).text) if x.edition)

    def save() -> bool:
        answer = browser.post(path, form.data(**changed), page=path)
        assert answer.status_code == 303 or TOLD in answer.text, answer.text
        return answer.status_code == 303

    return save


def saved_by_program(office: Office, address: str, body: dict[str, Any]) -> Save:
    """A thing as it is read now, which is changed later."""
    with office.writing() as session:
        operator = session.query(AccountRow).filter_by(kind="operator").one()
        maker = Actor("test", Scope(operator.id, operator.path), frozenset(Permission))
        _, key = make_key(session, maker, NewKey("sync", frozenset(Permission)), office.clock.now_us())
    program = Program(office.app, key)
    tag = program.get(address).headers["ETag"]

    def save() -> bool:
        answer = program.ask("PATCH", address, json=body, headers={"If-Match": tag})
        assert answer.status_code in (200, 412), answer.text
        return bool(answer.status_code == 200)

    return save


def taken(*saves: Save) -> list[bool]:
    """Save all at once; of each whether it was taken."""
    found: list[bool] = []
    threads = [threading.Thread(target=lambda save=x: found.append(save())) for x in saves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    return sorted(found)


@pytest.mark.usefixtures("both_look")
def test_of_two_who_save_a_form_at_once_one_is_told(office_on_each: Office) -> None:
    office = office_on_each
    path = f"/panel/accounts/{office.account_id('alice')}/edit"
    first = saved_by_form(office, "admin", path, name="Alice and daughters")
    second = saved_by_form(office, "reseller", path, name="Alice and sons")
    assert taken(first, second) == [False, True]


@pytest.mark.usefixtures("both_look")
def test_of_a_form_and_a_program_at_once_one_is_told(office_on_each: Office) -> None:
    office = office_on_each
    id = office.account_id("alice")
    form = saved_by_form(office, "reseller", f"/panel/accounts/{id}/edit", name="Alice and daughters")
    program = saved_by_program(office, f"{BASE}/accounts/{id}", {"name": "Alice and sons"})
    assert taken(form, program) == [False, True]


@pytest.mark.usefixtures("both_look")
def test_of_a_customer_and_his_seller_at_once_one_is_told(office_on_each: Office) -> None:
    office = office_on_each
    seller = f"/panel/accounts/{office.account_id('alice')}/address"
    first = saved_by_form(office, "reseller", seller, city="Lyon")
    second = saved_by_form(office, "alice", "/my/details/edit", city="Nice")
    assert taken(first, second) == [False, True]
