"""Calls to a DID that has a tariff of its own."""

from pbxbill.charging.events import Granted, Settle
from pbxbill.charging.state import ChargedAccount, KnownEndpoint
from tests.small_operator import INBOUND, SmallOperator, eur, minutes

DEAR = "4930 Berlin 0.05 fee 0.10 min 0.00 1/1"


def called(operator: SmallOperator, did: str) -> Granted:
    granted = operator.do(operator.inbound_request(did))
    assert isinstance(granted, Granted), granted
    answered_us = operator.now_us
    operator.do(Settle(granted.session_id, answered_us, answered_us + minutes(1), 16))
    return granted


def owner_of_two(operator: SmallOperator, retail: int, inbound: int | None) -> ChargedAccount:
    reseller = operator.account("reseller", tariff=retail, inbound=operator.tariff(INBOUND), funds="5")
    owner = operator.account("owner", tariff=retail, inbound=inbound, funds="5", below=reseller)
    operator.did("493055", owner)
    own = KnownEndpoint("", owner.id, 77, tariff_id=operator.tariff(DEAR))
    operator.state.endpoints["did", "493056"] = [own]
    return owner


def test_a_did_with_a_tariff_is_charged_by_it_and_the_others_by_the_accounts(
    operator: SmallOperator, retail: int
) -> None:
    owner = owner_of_two(operator, retail, operator.tariff(INBOUND))
    called(operator, "493055")
    assert operator.wallet(owner).posted == eur("4.98")
    called(operator, "493056")
    assert operator.wallet(owner).posted == eur("4.83"), "0.10 for the call and 0.05 for the minute"


def test_the_level_above_pays_by_its_own_inbound_tariff(operator: SmallOperator, retail: int) -> None:
    owner = owner_of_two(operator, retail, None)
    called(operator, "493055")
    assert operator.wallet(owner).posted == eur("5"), "calls to its other DID are free"
    called(operator, "493056")
    assert operator.wallet(owner).posted == eur("4.85")
    reseller = operator.state.accounts[owner.chain[1]]
    assert operator.wallet(reseller).posted == eur("4.96"), "two minutes at 0.02"
