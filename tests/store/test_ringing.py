"""Post-dial delay from the switch's word to the record, also where a daemon died in between."""

import pytest

from pbxbill.charging import statement as explained
from pbxbill.charging.events import Answer, Expire, Settle, SettleOffline, TopUp, Void
from pbxbill.charging.explain import explain
from pbxbill.charging.verify import verify
from pbxbill.store.driver import connect
from tests.small_operator import eur, seconds
from tests.store.billed_accounts import CLOCK, BilledAccounts

NOW_US = CLOCK.now_us()
RANG_US = 2_345_678


def kept(accounts: BilledAccounts, session_id: str) -> int | None:
    driver = connect(accounts.url)
    try:
        ((ringing_us,),) = driver.select(
            "SELECT ringing_us FROM cdrs WHERE session_id {any_text}", [session_id]
        )
        assert [x.name for x in verify(driver, CLOCK) if not x.holds] == []
    finally:
        driver.close()
    return None if ringing_us is None else int(ringing_us)


@pytest.mark.parametrize(
    "answer, end, found",
    [
        (RANG_US, RANG_US, RANG_US),
        (RANG_US, None, RANG_US),
        (None, RANG_US, RANG_US),
        (None, None, None),
        (0, None, 0),
    ],
    ids=["both tell it", "the answer tells it", "the end tells it", "nobody tells it", "at once"],
)
def test_what_is_told_with_the_answer_or_the_end_is_kept(
    accounts: BilledAccounts, answer: int | None, end: int | None, found: int | None
) -> None:
    with accounts.engine() as engine:
        engine.execute(TopUp("first", accounts.ids["alice"], "EUR", eur("5"), NOW_US))
        session_id = accounts.call(engine, "alice").session_id
        engine.execute(Answer(session_id, NOW_US, "leg", ringing_us=answer))
    with accounts.engine() as engine:  # another process
        settle = Settle(session_id, NOW_US, NOW_US + seconds(30), 16, ringing_us=end)
        assert engine.execute(settle) == engine.execute(settle)
    assert kept(accounts, session_id) == found


def test_a_call_of_which_nothing_else_is_left_keeps_what_its_answer_told(accounts: BilledAccounts) -> None:
    with accounts.engine() as engine:
        engine.execute(TopUp("first", accounts.ids["alice"], "EUR", eur("5"), NOW_US))
        session_id = accounts.call(engine, "alice").session_id
        engine.execute(Answer(session_id, NOW_US, "leg", ringing_us=RANG_US))
        engine.execute(Expire(session_id, NOW_US + seconds(60)))
    assert kept(accounts, session_id) == RANG_US


def test_unanswered_calls_and_those_that_passed_unasked_have_it_too(accounts: BilledAccounts) -> None:
    with accounts.engine() as engine:
        engine.execute(TopUp("first", accounts.ids["alice"], "EUR", eur("5"), NOW_US))
        unanswered = accounts.call(engine, "alice").session_id
        engine.execute(Void(unanswered, NOW_US, 19, ringing_us=RANG_US))
        cancelled = accounts.call(engine, "alice").session_id
        engine.execute(Settle(cancelled, None, NOW_US, 16, ringing_us=RANG_US))
        request = accounts.request("carol")
        engine.execute(SettleOffline(request, NOW_US, NOW_US + seconds(5), 16, ringing_us=RANG_US))
    for session_id in (unanswered, cancelled, request.session_id):
        assert kept(accounts, session_id) == RANG_US


@pytest.mark.parametrize("audience", list(explained.Audience))
def test_explain_says_it(accounts: BilledAccounts, audience: explained.Audience) -> None:
    with accounts.engine() as engine:
        engine.execute(TopUp("first", accounts.ids["alice"], "EUR", eur("5"), NOW_US))
        session_id = accounts.call(engine, "alice").session_id
        engine.execute(Answer(session_id, NOW_US, "leg", ringing_us=RANG_US))
        engine.execute(Settle(session_id, NOW_US, NOW_US + seconds(30), 16))
    driver = connect(accounts.url)
    try:
        (explanation,) = explain(driver, session_id)
    finally:
        driver.close()
    assert "  rang         2.345678 s after it was dialled\n" in explained.statement(explanation, audience)
