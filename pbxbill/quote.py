"""What a call would cost now, and whether it would be let out, decided by the code that would charge it.

Nothing is reserved.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from pbxbill.app import Application
from pbxbill.charging.authorizing import authorize
from pbxbill.charging.batch import load
from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.chain import Chain, Refusal, rated_chain
from pbxbill.charging.counting import Counted, load_counted
from pbxbill.charging.events import Authorize, Denied, Direction, Granted, TopUp
from pbxbill.charging.levels import dialling_rule
from pbxbill.charging.state import ChargingState, KnownEndpoint
from pbxbill.errors import InputRefused, check
from pbxbill.ids import new_id
from pbxbill.money import Unit
from pbxbill.rating.destination_map import Destination
from pbxbill.rating.mark_up import calendar_of
from pbxbill.rating.rater import Charge
from pbxbill.rating.stretch import Walk
from pbxbill.rating.tariff import Rate
from pbxbill.store.accounts import account_by_code
from pbxbill.store.engine import reading, transaction
from pbxbill.store.limits import list_endpoints


@dataclass(frozen=True, slots=True)
class QuotedLevel:
    """One level of the chain."""

    account: str
    tariff: str
    unit: Unit
    rate: Rate
    price_per_min: int
    """Of the band in force now."""
    charge: Charge
    available: int
    lasts_us: int


class Decided(NamedTuple):
    """What the engine would say to the call if it came from an endpoint now."""

    endpoint: str
    """Kind and value; empty: the account has none."""
    refused: str = ""
    """Why it would be refused: the reason and its details; empty: it would be granted."""
    watched: str = ""
    """Why it would have been refused, were the account not in shadow mode."""
    longest_us: int = 0


@dataclass(frozen=True, slots=True)
class Quote:
    """The whole chain."""

    called: str
    destination: Destination
    """By the destinations table, which bundles and limits go by; each level's rate has a name of its own."""
    levels: tuple[QuotedLevel, ...]
    decided: tuple[Decided, ...]
    """By endpoint of the account, since each may be suspended or limited by itself."""

    @property
    def longest_us(self) -> int:
        """How long the call could last from the endpoint that may call longest."""
        return max(x.longest_us for x in self.decided)

    @property
    def refused(self) -> str:
        """Why no endpoint of the account could place the call; empty: one could."""
        return self.decided[0].refused if all(x.refused for x in self.decided) else ""


def quote(application: Application, account_code: str, number: str, duration_us: int) -> Quote:
    """Rate a call of an account; InputRefused if it could not be rated."""
    with transaction(reading(application.database)) as session:
        account = account_by_code(session, account_code)
        own = [
            (
                " ".join(filter(None, (row.kind, row.value, row.tech_prefix))),
                KnownEndpoint("", account.id, row.id, row.status),
            )
            for row, _ in list_endpoints(session, account)
            if row.kind != "did"
        ]
    endpoints = own or [("", KnownEndpoint("", account.id))]
    now_us = application.clock.now_us()
    chain_ids = [int(part) for part in account.path.split("/") if part]
    state = _loaded(application, chain_ids, Counted(account.id, now_us))
    if account.id not in state.accounts:
        raise InputRefused(f"account {account_code} has no wallet")
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
    state.endpoints = {("sip", account_code): [endpoints[0][1]]}
    chain = rated_chain(request, state)
    if isinstance(chain, Refusal):
        raise InputRefused(chain.detail)
    if not chain.levels:
        raise InputRefused(f"{number} is an emergency number: calls to it are free and always pass")
    rule = dialling_rule(chain.account, state)
    destination = state.catalogue.offers.destinations.classify(chain.called, rule)
    decided = tuple(_decided(request, name, endpoint, state) for name, endpoint in endpoints)
    return Quote(chain.called, destination, _levels(chain, duration_us, now_us), decided)


def _loaded(application: Application, chain_ids: Sequence[int], call: Counted) -> ChargingState:
    driver = application.connect()
    try:
        catalogue = LoadedCatalogue(application.connect, serving=False)
        catalogue.refresh(driver, call.at_us)
        driver.begin_snapshot()
        # Money commands that are never executed: they name the accounts whose wallets are to be read.
        readers = [TopUp(new_id(), member, "", 0, call.at_us) for member in chain_ids]
        state = load(driver, readers, catalogue, call.at_us)
        load_counted(driver, state, [call], [])
        driver.rollback()
    finally:
        driver.close()
    return state


def _levels(chain: Chain, duration_us: int, now_us: int) -> tuple[QuotedLevel, ...]:
    longest_s = min(level.tariff.max_call_s for level in chain.levels)
    return tuple(
        QuotedLevel(
            account=level.account.code,
            tariff=level.tariff.name,
            unit=level.tariff.unit,
            rate=level.rate,
            price_per_min=Walk(
                level.rate, calendar_of(level.rate, level.tariff), now_us, (), 1
            ).start.price_per_min,
            charge=level.charge(duration_us, now_us),
            available=level.funds(),
            lasts_us=level.lasts_us(level.funds(), longest_s, (now_us,)),
        )
        for level in chain.levels
    )


def _decided(request: Authorize, name: str, endpoint: KnownEndpoint, state: ChargingState) -> Decided:
    state.endpoints = {("sip", request.account_code): [endpoint]}
    outcome, _ = authorize(request, state)
    if isinstance(outcome, Denied):
        return Decided(name, refused=f"{outcome.reason}: {outcome.detail}")
    check(isinstance(outcome, Granted), "a request was answered by {}", outcome)
    assert isinstance(outcome, Granted)
    if not outcome.shadow:
        return Decided(name, longest_us=outcome.affordable_us)
    enforced, _ = authorize(request, _enforcing(state))
    watched = f"{enforced.reason}: {enforced.detail}" if isinstance(enforced, Denied) else ""
    return Decided(name, watched=watched, longest_us=outcome.max_call_us)


def _enforcing(state: ChargingState) -> ChargingState:
    accounts = {id: replace(account, shadow=False) for id, account in state.accounts.items()}
    return replace(state, accounts=accounts)
