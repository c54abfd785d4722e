"""Call records: a Cdr for every session, and what each level was charged for it (RatedCdr)."""

from typing import NamedTuple

from pbxbill.charging.events import Authorize, DenialReason, Evidence
from pbxbill.ledger.reservation import ReservedCount


class CallCharge(NamedTuple):
    """What one level of the chain was charged; total includes tax and is what was taken."""

    level: int
    account_id: int
    wallet_id: int
    tariff_version_id: int
    rate_id: int
    billable_s: int
    total: int
    tax: int
    uncollected: int
    """In the tariff's unit, on the level's last line."""
    entry_id: str | None
    line: int = 0
    exchange_id: int | None = None


class RatedCdr(NamedTuple):
    """One call as it was charged, not answered, or denied."""

    session_id: str
    switch: str
    call_id: str
    direction: str
    account_id: int | None
    caller: str
    dialled: str
    called: str
    destination: str
    started_us: int
    answered_us: int | None
    ended_us: int
    billed_us: int
    granted_us: int
    hangup_cause: int
    denial: DenialReason | None
    detail: str
    evidence: Evidence
    shadow: str | None = None
    """As in the reservation."""
    ringing_us: int | None = None
    """Post-dial delay: from dialling the paid leg to its first ringing; None: not known, or nothing rang."""
    charges: tuple[CallCharge, ...] = ()
    counts: tuple[ReservedCount, ...] = ()
    """What it took of counters, where no reservation says it."""


class CarrierCost(NamedTuple):
    """What a carrier asks for a call, without tax."""

    session_id: str
    gateway: str
    carrier_id: int
    tariff_version_id: int
    rate_id: int | None
    """None: its deck has no rate for the number."""
    unit: str
    billable_s: int
    cost: int


def record_of(request: Authorize, account_id: int | None, called: str) -> RatedCdr:
    """The record of a call of which nothing more is known than that it was asked for."""
    return RatedCdr(
        session_id=request.session_id,
        switch=request.switch,
        call_id=request.call_id,
        direction=request.direction,
        account_id=account_id,
        caller=request.caller,
        dialled=request.dialled,
        called=called,
        destination="",
        started_us=request.at_us,
        answered_us=None,
        ended_us=request.at_us,
        billed_us=0,
        granted_us=0,
        hangup_cause=0,
        denial=None,
        detail="",
        evidence=Evidence.EVENT,
    )
