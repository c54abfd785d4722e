"""decide() under any order of any commands: hypothesis searches for one that breaks a promise."""

from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from pbxbill.charging.cdr import RatedCdr
from pbxbill.charging.events import (
    Adjust,
    Answer,
    Authorize,
    Expire,
    Extend,
    FailurePolicy,
    SetCreditLimit,
    Settle,
    Settled,
    SettleOffline,
    TopUp,
    Void,
    Voided,
)
from pbxbill.charging.state import ChargedAccount
from pbxbill.rating.tariff import TaxMode
from tests.simulation.offered import Offered, a_moment
from tests.small_operator import RETAIL, WHOLESALE, SmallOperator, eur, seconds

NUMBERS = st.sampled_from(["4930", "3361", "1212", "441", "800", "7700", "999", "nonsense"])
DURATIONS_US = st.integers(-seconds(5), seconds(400)) | st.sampled_from([0, 1, seconds(60), seconds(60) + 1])
AMOUNTS = st.integers(1, eur("3"))


class Charging(RuleBasedStateMachine):
    """Commands may name any session there ever was, early, late, twice, or none."""

    sessions = Bundle("sessions")

    def __init__(self) -> None:
        super().__init__()
        self.operator = SmallOperator()
        self.accounts: list[ChargedAccount] = []
        self.records: dict[str, RatedCdr] = {}
        self.keys = 0

    @initialize(mode=st.sampled_from(TaxMode), funds=st.sampled_from(["0", "0.37", "2"]))
    def open_accounts(self, mode: TaxMode, funds: str) -> None:
        operator = self.operator
        retail = operator.tariff(RETAIL, mode, 190_000)
        reseller = operator.account("reseller", tariff=operator.tariff(WHOLESALE), funds="0.50")
        self.accounts = [
            operator.account("prepaid", tariff=retail, funds=funds),
            operator.account("below", tariff=retail, funds="2", below=reseller),
            operator.account(
                "open", tariff=retail, limit="0.50", policy=FailurePolicy.OPEN, allowance="0.20"
            ),
            reseller,
        ]

    def account(self, index: int) -> ChargedAccount:
        return self.accounts[index % len(self.accounts)]

    @rule(target=sessions, index=st.integers(0, 3), number=NUMBERS)
    def authorize(self, index: int, number: str) -> Authorize:
        request = self.operator.request(self.account(index), number)
        self.operator.do(request)
        return request

    @rule(target=sessions, index=st.integers(0, 3), number=NUMBERS)
    def ask_later(self, index: int, number: str) -> Authorize:
        """A session whose request has not come yet, though other commands may."""
        return self.operator.request(self.account(index), number)

    @rule(request=sessions)
    def ask_again(self, request: Authorize) -> None:
        self.operator.do(request)

    @rule(request=sessions, late_us=DURATIONS_US)
    def answer(self, request: Authorize, late_us: int) -> None:
        self.operator.do(Answer(request.session_id, request.at_us + late_us, "leg"))

    @rule(request=sessions, want_us=DURATIONS_US)
    def extend(self, request: Authorize, want_us: int) -> None:
        self.operator.do(Extend(request.session_id, want_us, self.operator.now_us))

    @rule(request=sessions, lasted_us=DURATIONS_US)
    def settle(self, request: Authorize, lasted_us: int) -> None:
        command = Settle(request.session_id, request.at_us, request.at_us + lasted_us, 16)
        first, again = self.operator.do(command), self.operator.do(command)
        assert type(first) is type(again)
        if isinstance(first, Settled):
            assert first == again

    @rule(request=sessions)
    def void(self, request: Authorize) -> None:
        outcome = self.operator.do(Void(request.session_id, self.operator.now_us, 17))
        if isinstance(outcome, Voided):
            assert self.operator.cdr(request.session_id).charges == ()

    @rule(request=sessions, seen_us=st.none() | DURATIONS_US)
    def expire(self, request: Authorize, seen_us: int | None) -> None:
        seen_us = None if seen_us is None else request.at_us + seen_us
        self.operator.do(Expire(request.session_id, self.operator.now_us, seen_us))

    @rule(request=sessions, lasted_us=DURATIONS_US)
    def settle_offline(self, request: Authorize, lasted_us: int) -> None:
        self.operator.do(SettleOffline(request, request.at_us, request.at_us + lasted_us, 16))

    @rule(index=st.integers(0, 3), amount=AMOUNTS, again=st.booleans())
    def top_up(self, index: int, amount: int, again: bool) -> None:
        self.keys += 1
        command = TopUp(f"key-{self.keys}", self.account(index).id, "EUR", amount, self.operator.now_us)
        before = self.operator.wallet(self.account(index)).posted
        for _ in range(2 if again else 1):
            self.operator.do(command)
        assert self.operator.wallet(self.account(index)).posted == before + amount

    @rule(index=st.integers(0, 3), amount=AMOUNTS | AMOUNTS.map(lambda amount: -amount))
    def adjust(self, index: int, amount: int) -> None:
        self.keys += 1
        command = Adjust(f"key-{self.keys}", self.account(index).id, "EUR", amount, self.operator.now_us)
        self.operator.do(command)

    @rule(index=st.integers(0, 3), limit=st.integers(0, eur("2")))
    def limit(self, index: int, limit: int) -> None:
        self.operator.do(SetCreditLimit(self.account(index).id, "EUR", limit, self.operator.now_us))

    @rule(duration_us=st.integers(0, seconds(100)))
    def time_passes(self, duration_us: int) -> None:
        self.operator.clock.advance(duration_us)

    @invariant()
    def promises_hold(self) -> None:
        assert self.operator.broken_promises() == []

    @invariant()
    def records_never_change(self) -> None:
        for session_id, record in self.records.items():
            assert self.operator.cdr(session_id) == record
        self.records = dict(self.operator.state.cdrs)


class MixedCharging(Charging):
    """The same for operators that offer everything, and change their minds."""

    @initialize(seed=st.integers(0, 10**6))
    def open_accounts(self, seed: int) -> None:
        chance = Random(seed)
        self.operator = SmallOperator(a_moment(chance))
        self.offered = Offered(self.operator, chance)
        self.accounts = self.offered.accounts()

    @rule(index=st.integers(0, 5))
    def change_offers(self, index: int) -> None:
        self.offered.change(self.account(index))

    @rule(index=st.integers(0, 5), amount=AMOUNTS, which=st.integers(0, 3))
    def withdraw(self, index: int, amount: int, which: int) -> None:
        self.keys += 1
        account = self.account(index)
        units = [unit for account_id, unit in self.operator.state.wallet_ids if account_id == account.id]
        unit = units[which % len(units)]
        self.operator.do(Adjust(f"key-{self.keys}", account.id, unit, -amount, self.operator.now_us))


TestCharging = Charging.TestCase
TestCharging.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestMixedCharging = MixedCharging.TestCase
TestMixedCharging.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
