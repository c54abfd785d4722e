"""What a live call costs so far is what settling it at that moment takes, whatever it is priced by."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from pbxbill.charging.events import Answer, Extend, Extended, Granted, Settle, Settled
from pbxbill.charging.live_calls import PricedCall, price_open_call
from pbxbill.ledger.reservation import OPEN_STATES
from tests.simulation.offered import Offered, a_moment
from tests.small_operator import SmallOperator, seconds

NUMBERS = ("4912345", "3312345", "112345", "77001", "80012")


def taken(call: PricedCall) -> dict[tuple[int, int], int]:
    return {(level.level, wallet.id): amount for level in call.levels for wallet, amount in level.taken}


@settings(max_examples=150)
@given(st.integers(0, 10**9), st.lists(st.integers(0, 400_000_000), min_size=1, max_size=5))
def test_the_cost_so_far_is_what_the_call_is_settled_for(seed: int, talked_us: list[int]) -> None:
    chance = Random(seed)
    operator = SmallOperator(a_moment(chance))
    accounts = Offered(operator, chance).accounts()
    for for_us in talked_us:
        account = chance.choice(accounts)
        granted = operator.do(operator.request(account, chance.choice(NUMBERS)))
        if not isinstance(granted, Granted):
            continue
        session_id, answered_us = granted.session_id, operator.now_us
        ringing = price_open_call(operator.state.reservations[session_id], operator.state, answered_us)
        assert sum(x.total for x in ringing.costs) == 0
        operator.do(Answer(session_id, answered_us, "leg"))
        extended = operator.do(Extend(session_id, for_us, answered_us))
        assert isinstance(extended, Extended)
        if not granted.shadow:
            for_us = min(for_us, extended.granted_us)  # noqa: PLW2901 the switch ends it there
        operator.clock.advance(for_us)
        settle = Settle(session_id, answered_us, answered_us + for_us, 16)
        if operator.catalogue.offers.counted:
            operator.rows.load(settle, operator.state)
        reservation = operator.state.reservations[session_id]
        assert reservation.state in OPEN_STATES
        priced = price_open_call(reservation, operator.state, answered_us + for_us)
        assert isinstance(operator.do(settle), Settled)
        charges = operator.cdr(session_id).charges
        assert all(charge.uncollected == 0 for charge in charges)
        assert {(x.level, x.wallet_id): x.total for x in charges} == taken(priced)
        assert priced.elapsed_us == for_us
        operator.clock.advance(seconds(1))
    assert operator.broken_promises() == []
