"""What is being talked about money now: open reservations with their cost so far and the funds left."""

from collections.abc import Sequence
from dataclasses import dataclass

from pbxbill.app import Application
from pbxbill.charging.batch import load
from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.events import Extend
from pbxbill.charging.levels import rated_levels
from pbxbill.charging.state import ChargingState
from pbxbill.ledger.reservation import Reservation
from pbxbill.money import Unit

OPEN = "SELECT session_id FROM reservations WHERE state IN ('reserved', 'answered')"
CODES = "SELECT id, code FROM accounts WHERE id {any_int}"


@dataclass(frozen=True, slots=True)
class OpenCall:
    """One call as the database knows it at a moment."""

    session_id: str
    switch: str
    call_id: str
    account: str
    direction: str
    caller: str
    called: str
    destination: str
    state: str
    unit: Unit | None
    """None: nobody pays, a call to a DID that is free, or to an emergency number."""
    elapsed_us: int
    granted_us: int
    final: bool
    cost: int
    funds_left: int
    """What the account could still spend, its live calls counted up to now."""


def open_calls(application: Application, catalogue: LoadedCatalogue) -> list[OpenCall]:
    """All calls in set-up or up, oldest first; the catalogue is kept from one time to the next."""
    now_us = application.clock.now_us()
    driver = application.connect()
    try:
        catalogue.refresh(driver, now_us)
        driver.begin_snapshot()
        session_ids = [row[0] for row in driver.select(OPEN)]
        # Questions that are never decided: they name the sessions that are to be read.
        questions = [Extend(session_id, 0, now_us) for session_id in session_ids]
        state = load(driver, questions, catalogue, now_us)
        reservations = sorted(state.reservations.values(), key=lambda x: (x.requested_us, x.session_id))
        codes: dict[int, str] = dict(driver.select(CODES, sorted({x.account_id for x in reservations})))
        driver.rollback()
    finally:
        driver.close()
    costs, left = _costs(reservations, state, now_us)
    return [_shown(x, codes[x.account_id], costs, left, state, now_us) for x in reservations]


def _costs(
    reservations: Sequence[Reservation], state: ChargingState, now_us: int
) -> tuple[dict[str, int], dict[tuple[int, str], int]]:
    """Per session the cost of its lowest level, per account and unit what is left once all are taken."""
    costs: dict[str, int] = {}
    left: dict[tuple[int, str], int] = {}
    for reservation in reservations:
        elapsed_us = _elapsed_us(reservation, now_us)
        for number, (rated, lines) in enumerate(rated_levels(reservation, state)):
            start_us = reservation.answered_us or reservation.requested_us
            cost = rated.charge(elapsed_us, start_us).total
            key = (rated.account.id, rated.tariff.unit.code)
            left.setdefault(key, rated.funds())
            reserved = rated.funds(lines) - rated.funds()
            left[key] += reserved - cost
            if number == 0:
                costs[reservation.session_id] = cost
    return costs, left


def _elapsed_us(reservation: Reservation, now_us: int) -> int:
    return 0 if reservation.answered_us is None else max(0, now_us - reservation.answered_us)


def _shown(
    reservation: Reservation,
    account: str,
    costs: dict[str, int],
    left: dict[tuple[int, str], int],
    state: ChargingState,
    now_us: int,
) -> OpenCall:
    unit = None
    funds_left = 0
    if reservation.levels:
        first = reservation.levels[0]
        unit = state.catalogue.tariff(first.tariff_version_id).unit
        funds_left = left[first.account_id, unit.code]
    return OpenCall(
        session_id=reservation.session_id,
        switch=reservation.switch,
        call_id=reservation.call_id,
        account=account,
        direction=reservation.direction,
        caller=reservation.caller,
        called=reservation.called,
        destination=reservation.destination,
        state=reservation.state,
        unit=unit,
        elapsed_us=_elapsed_us(reservation, now_us),
        granted_us=reservation.granted_us,
        final=reservation.final,
        cost=costs.get(reservation.session_id, 0),
        funds_left=funds_left,
    )
