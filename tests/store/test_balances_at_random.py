"""Random top-ups, transfers, calls, limits and thresholds: nobody's fall is lost, none is told twice, and
money is only what came in.
"""

import os
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest
from sqlalchemy.orm import Session

from pbxbill.billing.notices.noticing import NoticeKind
from pbxbill.billing.payments import balance_marks
from pbxbill.billing.payments.balance_thresholds import set_thresholds
from pbxbill.billing.payments.transfers import NewTransfer, transfer_funds
from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import (
    Adjust,
    Answer,
    Extend,
    Granted,
    Moved,
    SetCreditLimit,
    Settle,
    TopUp,
)
from pbxbill.errors import InputRefused
from pbxbill.ids import new_id
from pbxbill.money import minor_step
from pbxbill.store.driver import connect
from pbxbill.store.models import AccountRow, WalletRow
from pbxbill.store.thresholds import NOTICE
from tests.small_operator import EUR, eur
from tests.store.billed_accounts import MINUTE_US, BilledAccounts
from tests.store.invoiced_accounts import Invoicing

pytestmark = pytest.mark.timeout(300)
SEEDS = int(os.environ.get("PBXBILL_BALANCE_SEEDS", "5"))
STEPS = 80
CODES = ("bob", "hot", "carol")
AMOUNTS = ("0.05", "0.30", "1", "2.50", "7", "12")
EVENTS = ("top", "take", "take", "transfer", "call", "call", "talk", "end", "limit")
Key = tuple[int, int]
"""A wallet, and what a threshold of it is below."""


@dataclass
class Call:
    session_id: str
    answered_us: int | None = None


class Fortune:
    """Does one thing after another to three accounts, and watches."""

    def __init__(self, site: Invoicing, seed: int) -> None:
        self.site = site
        self.random = Random(seed)
        self.engine = ChargingEngine(lambda: connect(site.accounts.url), site.clock)
        self.calls: list[Call] = []
        self.brought = 0
        self.told: list[tuple[int, str]] = []
        self.rose: dict[Key, bool] = {}
        """Whether a wallet was above a threshold at any time since it was told of it."""
        self.filled: set[int] = set()
        """Accounts that got money, or a higher limit, since the job ran."""
        self.seen = dict.fromkeys(("told", "transfers", "calls", "refused", "again"), 0)

    def tell(self, _session: Session, account_id: int, kind: NoticeKind, **_named: Any) -> int:
        self.told.append((account_id, str(kind)))
        return 1

    # --- what happens ---

    def step(self) -> None:
        code = self.random.choice(CODES)
        amount = eur(self.random.choice(AMOUNTS))
        what = self.random.choice((*EVENTS * 3, "thresholds"))
        now_us = self.site.clock.now_us()
        account_id = self.site.accounts.ids[code]
        match what:
            case "top":
                self.money(TopUp(new_id(), account_id, "EUR", amount, now_us), amount)
            case "take":
                self.money(Adjust(new_id(), account_id, "EUR", -amount, now_us), -amount)
            case "limit":
                limit = eur(self.random.choice(("0", "1", "5")))
                self.money(SetCreditLimit(account_id, "EUR", limit, now_us), 0)
            case "transfer":
                self._transfer(code, self.random.choice(CODES), amount)
            case "call":
                granted = self.engine.execute(replace(self.site.accounts.request(code), at_us=now_us))
                if isinstance(granted, Granted):
                    self.calls.append(Call(granted.session_id))
            case "talk" | "end" if self.calls:
                self._go_on(self.random.choice(self.calls), ends=what == "end")
            case "thresholds":
                self.thresholds(code)
            case _:  # there is no call
                return

    def money(self, command: TopUp | Adjust | SetCreditLimit, amount: int) -> None:
        if self.random.random() < 0.5:
            outcome = self.engine.execute(command)
        else:
            with self.site.transaction() as session:
                (outcome,) = self.site.books.post(session, [command])
        if isinstance(outcome, Moved):
            self.brought += amount
            if amount > 0:
                self.filled.add(command.account_id)
        else:
            self.seen["refused"] += 1

    def _transfer(self, giver: str, taker: str, amount: int) -> None:
        with self.site.transaction() as session:
            rows = [session.get_one(AccountRow, self.site.accounts.ids[x]) for x in (giver, taker)]
            new = NewTransfer(amount, "EUR", new_id(), "gift")
            wallet = session.query(WalletRow).filter_by(account_id=rows[0].id).one()
            most = wallet.posted - wallet.reserved
            try:
                transfer_funds(session, self.site.books, rows[0], rows[1], new, self.site.clock.now_us())
            except InputRefused:
                assert giver == taker or amount > most
                self.seen["refused"] += 1
            else:
                assert amount <= most
                self.seen["transfers"] += 1
                self.filled.add(rows[1].id)

    def _go_on(self, call: Call, *, ends: bool) -> None:
        now_us = self.site.clock.now_us()
        if ends:
            ended_us = now_us if call.answered_us is None else call.answered_us + MINUTE_US
            self.engine.execute(Settle(call.session_id, call.answered_us, ended_us, 16))
            self.calls.remove(call)
        elif call.answered_us is None:
            call.answered_us = now_us
            self.engine.execute(Answer(call.session_id, now_us, "leg"))
            self.seen["calls"] += 1
        else:
            self.engine.execute(Extend(call.session_id, self.random.choice((2, 5, 9)) * MINUTE_US, now_us))

    def thresholds(self, code: str) -> None:
        chosen = self.random.sample(
            (0, eur("0.50"), eur("2"), eur("5"), eur("10")), self.random.randint(2, 5)
        )
        with self.site.transaction() as session:
            wallet = session.query(WalletRow).filter_by(account_id=self.site.accounts.ids[code]).one()
            set_thresholds(session, wallet, NOTICE, chosen, self.site.clock.now_us())

    # --- what must be so ---

    def _rows(self) -> list[tuple[int, int, int, int, int | None]]:
        """Wallet, account, threshold, what the wallet can spend, since when it is below."""
        rows = self.site.accounts.select(
            "SELECT w.id, w.account_id, t.below, w.posted - w.reserved + w.credit_limit, t.reached_us "
            "FROM balance_thresholds t JOIN wallets w ON w.id = t.wallet_id ORDER BY w.id, t.below"
        )
        return [tuple(row) for row in rows]

    def watch(self) -> None:
        """After each step: remember which thresholds a wallet is above."""
        for wallet_id, _, below, left, _ in self._rows():
            if left >= max(below, minor_step(EUR)):
                self.rose[wallet_id, below] = True

    def look(self) -> None:
        """The job runs: who fell is told, once, and whoever was filled is listened for again."""
        before = {(row[0], row[2]): row[4] for row in self._rows()}
        balance_marks.read_marks(self.site.database, self.site.clock)
        expected: list[tuple[int, str]] = []
        for wallet_id, account_id, below, left, reached_us in self._rows():
            key = (wallet_id, below)
            is_below = left < max(below, minor_step(EUR))
            assert not is_below or reached_us is not None, "a fall was lost"
            if account_id in self.filled and not is_below:
                assert reached_us is None, "what was filled is not listened for"
            if reached_us is not None and before[key] != reached_us:
                assert self.rose.get(key), "told twice for one fall"
                self.rose[key] = False
                if all(account_id != other for other, _ in expected):  # the lowest comes first
                    expected.append((account_id, "low_balance" if below else "balance_used_up"))
        assert sorted(self.told) == sorted(expected)
        self.seen["told"] += len(self.told)
        self.told.clear()
        self.filled.clear()

    def end(self) -> None:
        for call in list(self.calls):
            self._go_on(call, ends=True)
        self.watch()
        self.look()
        ((held,),) = self.site.accounts.select("SELECT CAST(SUM(posted) AS BIGINT) FROM wallets")
        ((charged,),) = self.site.accounts.select(
            "SELECT CAST(COALESCE(SUM(total), 0) AS BIGINT) FROM call_charges"
        )
        assert held == self.brought - charged
        assert self.site.accounts.select("SELECT COUNT(*) FROM balance_marks") == [(0,)]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_marks_are_the_falls_and_money_is_what_came_in(
    accounts: BilledAccounts, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    site = Invoicing(accounts)
    run = Fortune(site, seed)
    monkeypatch.setattr(balance_marks, "tell", run.tell)
    run.engine.start()
    try:
        for code in CODES:
            run.money(TopUp(new_id(), accounts.ids[code], "EUR", eur("11"), site.clock.now_us()), eur("11"))
            run.thresholds(code)
        run.watch()
        for _ in range(STEPS):
            site.clock.advance(1_000_000)
            run.step()
            run.watch()
            if run.random.random() < 0.7:
                run.look()
        run.end()
    finally:
        run.engine.stop()
        site.database.dispose()
    assert run.seen["told"]
    assert run.seen["calls"]
    assert accounts.problems() == []
