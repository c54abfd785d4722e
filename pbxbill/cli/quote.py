"""What a call would cost now, decided by the code that would charge it, and nothing reserved."""

from dataclasses import dataclass

from pbxbill.app import Application
from pbxbill.charging.batch import load
from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.chain import Refusal, rated_chain
from pbxbill.charging.events import Authorize, Direction, TopUp
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.ids import new_id
from pbxbill.money import Unit
from pbxbill.rating.rater import Charge, affordable, charge
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
        driver.rollback()
    finally:
        driver.close()
    if account.id not in state.accounts:
        raise InputRefused(f"account {account_code} has no wallet")
    state.endpoints = {("sip", account_code): [("", account.id)]}
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
    longest_s = min(level.tariff.max_call_s for level in chain.levels)
    levels = tuple(
        QuotedLevel(
            account=level.account.code,
            tariff=level.tariff.name,
            unit=level.tariff.unit,
            rate=level.rate,
            charge=charge(level.rate, level.tariff, duration_us),
            available=level.wallet.available,
            lasts_us=affordable(level.rate, level.tariff, max(0, level.wallet.available), longest_s),
        )
        for level in chain.levels
    )
    longest_us = min((level.lasts_us for level in levels), default=longest_s * SECOND_US)
    return Quote(chain.called, levels[0].rate.destination, longest_us, levels)
