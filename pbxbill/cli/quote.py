"""What a call would cost now, decided by the code that would charge it, and nothing reserved."""

from dataclasses import dataclass

from pbxbill.app import Application
from pbxbill.charging.batch import load
from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.chain import Refusal, rated_chain
from pbxbill.charging.counting import Counted, load_counted
from pbxbill.charging.events import Authorize, Direction, TopUp
from pbxbill.charging.state import KnownEndpoint
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.ids import new_id
from pbxbill.money import Unit
from pbxbill.rating.rater import Charge
from pbxbill.rating.tariff import Rate
from pbxbill.store.accounts import account_by_code
from pbxbill.store.engine import reading, transaction


@dataclass(frozen=True, slots=True)
class QuotedLevel:
    """One level of the chain."""

    account: str
    tariff: str
    unit: Unit
    rate: Rate
    charge: Charge
    available: int
    lasts_us: int


@dataclass(frozen=True, slots=True)
class Quote:
    """The whole chain."""

    called: str
    destination: str
    longest_us: int
    levels: tuple[QuotedLevel, ...]


def quote(application: Application, account_code: str, number: str, duration_us: int) -> Quote:
    """Rate a call of an account; InputRefused if it could not be rated."""
    with transaction(reading(application.database)) as session:
        account = account_by_code(session, account_code)
    now_us = application.clock.now_us()
    chain_ids = [int(part) for part in account.path.split("/") if part]
    driver = application.connect()
    try:
        catalogue = LoadedCatalogue(application.connect, serving=False)
        catalogue.refresh(driver, now_us)
        driver.begin()
        # Money commands that are never executed: they name the accounts whose wallets are to be read.
        readers = [TopUp(new_id(), member, "", 0, now_us) for member in chain_ids]
        state = load(driver, readers, catalogue, now_us)
        load_counted(driver, state, [Counted(account.id, now_us)], [])
        driver.rollback()
    finally:
        driver.close()
    if account.id not in state.accounts:
        raise InputRefused(f"account {account_code} has no wallet")
    state.endpoints = {("sip", account_code): [KnownEndpoint("", account.id)]}
    request = Authorize(
        session_id=new_id(),
        switch="",
        call_id="",
        direction=Direction.OUTBOUND,
        dialled=number,
        caller="",
        at_us=now_us,
        account_code=account_code,
    )
    chain = rated_chain(request, state)
    if isinstance(chain, Refusal):
        raise InputRefused(chain.detail)
    if not chain.levels:
        raise InputRefused(f"{number} is an emergency number: calls to it are free and always pass")
    longest_s = min(level.tariff.max_call_s for level in chain.levels)
    levels = tuple(
        QuotedLevel(
            account=level.account.code,
            tariff=level.tariff.name,
            unit=level.tariff.unit,
            rate=level.rate,
            charge=level.charge(duration_us, now_us),
            available=level.funds(),
            lasts_us=level.lasts_us(level.funds(), longest_s, (now_us,)),
        )
        for level in chain.levels
    )
    longest_us = min((level.lasts_us for level in levels), default=longest_s * SECOND_US)
    return Quote(chain.called, levels[0].rate.destination, longest_us, levels)
