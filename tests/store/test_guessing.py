"""The guard against guessing, on real databases: what is counted, for how long, and in how many rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from pbxbill.billing.codes import guessing
from pbxbill.billing.codes.code_hashing import Purpose, hashed, hashed_with, salt_of
from pbxbill.billing.codes.guessing import PATIENCE, GuessKind, Locked, failed, forget, guarded, succeeded
from pbxbill.clock import SECOND_US
from pbxbill.errors import InvariantBroken
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.payment_models import GuessRow, InstallationRow

NOW_US = 1_767_225_600 * SECOND_US
HOUR_US = 3_600 * SECOND_US
CARD, NUMBER = GuessKind.PIN_CARD, GuessKind.PIN_ACCESS_NUMBER


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@contextmanager
def within(database: Engine) -> Iterator[Session]:
    with transaction(database) as session:
        yield session


def test_subjects_and_kinds_are_counted_apart(database: Engine) -> None:
    with within(database) as session:
        for _ in range(5):
            failed(session, CARD, "7", NOW_US)
        assert isinstance(guarded(session, CARD, "7", NOW_US), Locked)
        assert guarded(session, CARD, "8", NOW_US) is None
        assert guarded(session, GuessKind.PIN_CALLER, "7", NOW_US) is None


def test_a_right_one_forgives_a_card_and_not_an_access_number(database: Engine) -> None:
    with within(database) as session:
        for kind in (CARD, NUMBER):
            for _ in range(PATIENCE[kind].lock_after):
                failed(session, kind, "7", NOW_US)
            assert guarded(session, kind, "7", NOW_US) is not None
            succeeded(session, kind, "7")
        assert guarded(session, CARD, "7", NOW_US) is None
        assert guarded(session, NUMBER, "7", NOW_US) is not None


def test_waiting_out_a_lock_out_buys_one_guess_an_hour(database: Engine) -> None:
    tries = 0
    now_us = NOW_US
    while now_us < NOW_US + 24 * HOUR_US:
        with within(database) as session:
            locked = guarded(session, CARD, "7", now_us)
            if locked is None:
                failed(session, CARD, "7", now_us)
                tries += 1
            else:
                now_us = locked.until_us
    assert tries <= PATIENCE[CARD].lock_after + 24


def test_an_access_number_gives_everybody_together_ten_guesses_a_minute(database: Engine) -> None:
    tries = 0
    now_us = NOW_US
    while now_us < NOW_US + HOUR_US // 6:
        with within(database) as session:
            if guarded(session, NUMBER, "49800", now_us) is None:
                failed(session, NUMBER, "49800", now_us)
                tries += 1
            else:
                now_us += SECOND_US
    assert tries <= PATIENCE[NUMBER].lock_after + 100


@pytest.mark.parametrize("subject", ["", "x" * 10_000, "a\x00b", "\ud800", "' OR 1=1 --"])
def test_any_caller_can_be_counted(database: Engine, subject: str) -> None:
    with within(database) as session:
        for _ in range(5):
            failed(session, CARD, subject, NOW_US)
        assert guarded(session, CARD, subject, NOW_US) is not None


def test_a_flood_of_callers_fills_no_table(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guessing, "MOST_ROWS", 20)
    monkeypatch.setattr(guessing, "_PUSHED_OUT", 5)
    with within(database) as session:
        for number in range(60):
            failed(session, CARD, str(number), NOW_US + number)
        assert (session.scalar(select(func.count()).select_from(GuessRow)) or 0) <= 20
        assert session.get(GuessRow, (CARD, "59")) is not None


def test_what_is_forgiven_is_removed(database: Engine) -> None:
    with within(database) as session:
        for _ in range(3):
            failed(session, CARD, "old", NOW_US)
        failed(session, CARD, "new", NOW_US + 3 * HOUR_US)
        assert forget(session, NOW_US + 3 * HOUR_US) == 1
        assert forget(session, NOW_US + 3 * HOUR_US) == 0
        assert session.get(GuessRow, (CARD, "new")) is not None


def test_guesses_on_many_lines_at_once_are_counted_each(database: Engine) -> None:
    def guess() -> None:
        with within(database) as session:
            failed(session, CARD, "7", NOW_US)

    threads = [Thread(target=guess) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    with within(database) as session:
        assert session.get_one(GuessRow, (CARD, "7")).failures == 8


def test_hashes_differ_by_purpose_and_by_installation(database: Engine) -> None:
    with within(database) as session:
        assert hashed(session, "1234", Purpose.PIN) == hashed(session, "1234", Purpose.PIN)
        assert hashed(session, "1234", Purpose.PIN) != hashed(session, "1234", Purpose.VOUCHER)
        salt = salt_of(session)
        assert len(salt) == 64
        assert hashed_with(salt, "1234", Purpose.PIN) != hashed_with("0" * 64, "1234", Purpose.PIN)
        session.delete(session.get_one(InstallationRow, "code_salt"))
        session.flush()
        with pytest.raises(InvariantBroken, match="restore it"):
            hashed(session, "1234", Purpose.PIN)
        session.rollback()
