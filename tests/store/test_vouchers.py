"""Vouchers: made once, redeemed once, and what somebody hears who has a code that brings nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from pbxbill.billing.codes import voucher_batches
from pbxbill.billing.codes.guessing import PATIENCE, GuessKind
from pbxbill.billing.codes.voucher_batches import block_batch, block_serials, find_batch, statistics
from pbxbill.billing.codes.voucher_codes import drawn
from pbxbill.billing.codes.vouchers import NotRedeemed, Redeemed, WhyNot
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.money import Unit
from pbxbill.store.accounts import ensure_unit
from tests.books_in_order import assert_books_in_order, problems_of
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.invoiced_accounts import DAY_US
from tests.store.voucher_shop import VoucherShop

SMALL_CHUNK = 3


@pytest.fixture
def shop(accounts: BilledAccounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VoucherShop]:
    monkeypatch.setattr(voucher_batches, "CHUNK", SMALL_CHUNK)
    made = VoucherShop(accounts, folder=tmp_path)
    yield made
    made.database.dispose()
    assert_books_in_order(accounts.url)


def test_a_voucher_fills_the_wallet_once(shop: VoucherShop) -> None:
    code, *_ = shop.made()
    outcome = shop.redeem(code)
    assert isinstance(outcome, Redeemed)
    assert (outcome.batch, outcome.serial, outcome.amount) == ("spring", 1, eur("10"))
    assert outcome.available == shop.accounts.wallet("bob")[0] == eur("10")
    assert shop.balance(LedgerCode.VOUCHERS) == eur("10")
    assert shop.why(code) == "used_by_you"
    assert shop.why(code, "hot") == "used"
    assert shop.accounts.wallet("hot")[0] == 0


def test_a_code_may_be_typed_as_it_is_printed(shop: VoucherShop) -> None:
    code, *_ = shop.made()
    assert isinstance(shop.redeem(f" {code[:4]}-{code[4:8]} {code[8:]} "), Redeemed)


def test_codes_are_in_their_file_and_only_hashes_in_the_database(shop: VoucherShop) -> None:
    codes = shop.made()
    (file,) = shop.folder.glob("*.csv")
    assert file.stat().st_mode & 0o777 == 0o600
    stored = str(
        shop.accounts.select("SELECT * FROM vouchers") + shop.accounts.select("SELECT * FROM voucher_batches")
    )
    assert not [code for code in codes if code in stored]
    assert file.read_text().splitlines()[1].startswith(f"spring,1,{codes[0][:4]} {codes[0][4:8]} ")


def test_only_customers_of_the_issuer_can_redeem(shop: VoucherShop) -> None:
    (of_operator,) = shop.made("operator's", 1)
    (of_reseller,) = shop.made("reseller's", 1, issuer="reseller")
    assert shop.why(of_operator, "alice") == "other_issuer"
    assert shop.why(of_reseller, "bob") == "other_issuer"
    assert shop.why(of_reseller, "reseller") == "other_issuer"
    assert isinstance(shop.redeem(of_reseller, "alice"), Redeemed)
    assert isinstance(shop.redeem(of_operator, "reseller"), Redeemed)
    assert shop.balance(LedgerCode.VOUCHERS, "reseller") == eur("10")


def test_who_holds_a_real_code_hears_why_it_is_worth_nothing(shop: VoucherShop) -> None:
    now_us = shop.clock.now_us()
    (early,) = shop.made("early", 1, from_us=now_us + DAY_US)
    (late,) = shop.made("late", 1, to_us=now_us + 1)
    (yen,) = _in_yen(shop)
    blocked, single, *_ = shop.made("blocked", 2)
    with shop.transaction() as session:
        block_serials(session, find_batch(session, "blocked").id, 2, 2, blocked=True)
    assert shop.why(single) == "blocked"
    with shop.transaction() as session:
        assert block_batch(session, find_batch(session, "blocked").id, blocked=True) == "blocked"
    shop.clock.step(2)
    assert shop.why(early) == "not_yet"
    assert shop.why(late) == "expired"
    assert shop.why(blocked) == "blocked"
    assert shop.why(yen) == "wrong_unit"
    # None of these was a guess.
    assert shop.accounts.select("SELECT * FROM guesses") == []
    with shop.transaction() as session:
        block_batch(session, find_batch(session, "blocked").id, blocked=False)
    assert isinstance(shop.redeem(blocked), Redeemed)


def _in_yen(shop: VoucherShop) -> list[str]:
    with shop.transaction() as session:
        ensure_unit(session, Unit("JPY", 2, 0))
    return shop.made("yen", 1, unit="JPY", value=100_000)


def test_a_closed_account_redeems_nothing(shop: VoucherShop) -> None:
    (code,) = shop.made(count=1)
    with shop.transaction() as session:
        session.execute(
            text(f"UPDATE accounts SET status = 'terminated' WHERE id = {shop.accounts.ids['bob']}")
        )
    assert shop.why(code) == "account_closed"
    assert isinstance(shop.redeem(code, "hot"), Redeemed)
    with shop.transaction() as session:
        session.execute(text(f"UPDATE accounts SET status = 'active' WHERE id = {shop.accounts.ids['bob']}"))


def test_typing_mistakes_are_told_and_are_no_guesses(shop: VoucherShop) -> None:
    (code,) = shop.made(count=1)
    wrong = code[:-1] + str((int(code[-1]) + 1) % 10)
    assert {shop.why(text) for text in (wrong, code[:-1], "", "abc")} == {"mistyped"}
    assert shop.accounts.select("SELECT * FROM guesses") == []


def test_guessing_is_slower_and_slower_and_a_lock_out_tells_nothing(shop: VoucherShop) -> None:
    (code,) = shop.made(count=1)
    patience = PATIENCE[GuessKind.VOUCHER_ACCOUNT]
    for failures in range(1, patience.lock_after + 1):
        assert shop.why(drawn()) == "unknown"
        wait_s = patience.wait_s(failures)
        if wait_s:
            right, wrong = shop.redeem(code), shop.redeem(drawn())
            assert right == wrong == NotRedeemed(WhyNot.LOCKED, shop.clock.now_us() + wait_s * SECOND_US)
            shop.clock.step(wait_s * SECOND_US)
    assert isinstance(shop.redeem(code), Redeemed)
    assert shop.accounts.select("SELECT * FROM guesses") == []


def test_a_caller_is_locked_out_whichever_account_he_fills(shop: VoucherShop) -> None:
    (code,) = shop.made(count=1)
    for account in ("bob", "hot", "carol"):
        assert shop.why(drawn(), account, caller="493099") == "unknown"
    assert shop.why(code, "hot", caller="493099") == "locked"
    assert isinstance(shop.redeem(code, "hot", caller="493011"), Redeemed)


def test_time_forgives_wrong_tries(shop: VoucherShop) -> None:
    for _ in range(2):
        assert shop.why(drawn()) == "unknown"
    shop.clock.step(3 * 3_600 * SECOND_US)
    for _ in range(2):
        assert shop.why(drawn()) == "unknown"
    assert shop.why(drawn()) == "unknown"
    assert shop.why(drawn()) == "locked"


def test_a_clock_that_was_ahead_locks_nobody_out_for_long(shop: VoucherShop) -> None:
    shop.clock.step(1_000 * DAY_US)
    for _ in range(3):
        shop.why(drawn())
    shop.clock.step(-1_000 * DAY_US)
    assert shop.why(drawn()) == "unknown"


def test_making_goes_on_where_it_was_stopped(shop: VoucherShop) -> None:
    batch_id = shop.batch(count=8)
    assert shop.fill(batch_id, chunks=1) == (SMALL_CHUNK, 8, False)
    first = shop.codes(batch_id)
    assert shop.why(first[0]) == "not_yet"
    assert shop.fill(batch_id, new=False) == (8, 8, True)
    codes = shop.codes(batch_id)
    assert codes[:SMALL_CHUNK] == first
    assert len(set(codes)) == 8
    assert all(isinstance(shop.redeem(code), Redeemed) for code in codes)


def test_codes_that_only_the_file_had_are_taken_from_it(shop: VoucherShop) -> None:
    """As after a kill between the two writes; the last line was cut off in the middle."""
    batch_id = shop.batch(count=8)
    shop.fill(batch_id, chunks=2)
    with shop.transaction() as session:
        session.execute(text("DELETE FROM vouchers WHERE serial > 2"))
    with shop.path(batch_id).open("a") as file:
        file.write("spring,7,12")
    before = shop.path(batch_id).read_text().splitlines()[1:7]
    assert shop.fill(batch_id, new=False) == (8, 8, True)
    assert shop.path(batch_id).read_text().splitlines()[1:7] == before
    assert all(isinstance(shop.redeem(code), Redeemed) for code in shop.codes(batch_id))


def test_a_wrong_or_missing_file_is_refused(shop: VoucherShop) -> None:
    first, second = shop.batch("first", 8), shop.batch("second", 8)
    for batch_id in (first, second):
        shop.fill(batch_id, chunks=1)
    lines = shop.path(first).read_text()
    with pytest.raises(InputRefused, match="exists already"):
        shop.file(first)
    shop.path(first).write_text(shop.path(second).read_text())
    with pytest.raises(InputRefused, match="of another batch"):
        shop.fill(first, new=False)
    shop.path(first).write_text(shop.path(second).read_text().replace("second", "first"))
    with pytest.raises(InputRefused, match="this file holds others"):
        shop.fill(first, new=False)
    shop.path(first).unlink()
    with pytest.raises(InputRefused, match="cannot be recovered"):
        shop.fill(first, new=False)
    shop.path(first).write_text(lines)
    other = shop.file(first, new=False)
    with pytest.raises(InputRefused, match="another process"):
        shop.file(first, new=False)
    other.close()
    assert shop.fill(first, new=False).active


@pytest.mark.parametrize(
    "terms",
    [
        {"value": 0},
        {"value": -1},
        {"value": 1},
        {"value": 2**63},
        {"count": 0},
        {"count": 1_000_001},
        {"digits": 15},
        {"digits": 25},
        {"to_us": 1},
        {"unit": "XXX"},
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 65},
        {"validity_days": 0},
        {"issuer": "bob"},
    ],
)
def test_what_can_be_no_batch_is_refused(shop: VoucherShop, terms: dict[str, object]) -> None:
    with pytest.raises(InputRefused):
        shop.batch(**terms)  # type: ignore[arg-type]
    assert shop.accounts.select("SELECT * FROM voucher_batches") == []


def test_a_name_is_used_once_per_issuer(shop: VoucherShop) -> None:
    shop.batch("spring")
    shop.batch("spring", issuer="reseller")
    with pytest.raises(InputRefused, match="already"):
        shop.batch("spring")


def test_statistics_say_what_is_outstanding(shop: VoucherShop) -> None:
    codes = shop.made(count=6, to_us=shop.clock.now_us() + DAY_US)
    shop.redeem(codes[0])
    with shop.transaction() as session:
        batch = find_batch(session, "spring")
        block_serials(session, batch.id, 1, 3, blocked=True)
        counted = statistics(session, [batch], shop.clock.now_us())[batch.id]
        assert counted == (3, 1, 0, 2, eur("10"), eur("30"))
        counted = statistics(session, [batch], shop.clock.now_us() + 2 * DAY_US)[batch.id]
        assert counted == (0, 1, 3, 2, eur("10"), 0)


def test_verify_finds_what_was_changed_by_hand(shop: VoucherShop) -> None:
    codes = shop.made(count=3)
    shop.redeem(codes[0])
    for change, found in (
        ("UPDATE vouchers SET state = 'redeemed' WHERE serial = 2", "no entry put its value"),
        ("UPDATE vouchers SET state = 'new' WHERE serial = 1", "an entry or account is said to have it"),
        ("UPDATE vouchers SET account_id = account_id + 1 WHERE serial = 1", "not in the wallet of whom"),
        ("UPDATE voucher_batches SET value = value + 1", "its entry put 10000000"),
        (
            "UPDATE vouchers SET state = 'new', entry_id = NULL, account_id = NULL WHERE serial = 1",
            "and 0 vouchers",
        ),
        ("DELETE FROM vouchers WHERE serial = 3", "is of 3 vouchers and has 2"),
    ):
        with shop.transaction() as session:
            kept = session.execute(text("SELECT * FROM vouchers")).mappings().all()
            value = session.execute(text("SELECT value FROM voucher_batches")).scalar_one()
            session.execute(text(change))
        assert any(found in problem for problem in problems_of(shop.accounts.url)), (
            found,
            problems_of(shop.accounts.url),
        )
        with shop.transaction() as session:
            session.execute(text("DELETE FROM vouchers"))
            session.execute(text("UPDATE voucher_batches SET value = :value"), {"value": value})
            for row in kept:
                names = ", ".join(f'"{name}"' for name in row)
                values = ", ".join(f":{name}" for name in row)
                session.execute(text(f"INSERT INTO vouchers ({names}) VALUES ({values})"), dict(row))
