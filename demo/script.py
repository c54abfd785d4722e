"""What happens in the demonstration: who calls whom when, and what must come of it."""

from dataclasses import dataclass, replace
from decimal import ROUND_UP, Decimal
from enum import StrEnum

from demo import site
from lab.sipp import Call, Calling

SHORTEST_S = 30
"""Below this, announcements and ringing alone would fill the time."""

MOROCCO = "212661000111"
PARIS = "33142000111"
LONDON = "442070000111"
KENYA = "254712000111"
NOWHERE = "999123456"
"""No rate has this prefix."""
EMERGENCY = "112"
EMERGENCY_TALK_MS = 2000

EVERYDAY_NUMBERS = (
    "12125550100",
    "493090018201",
    "34910000123",
    "81312340000",
    "5511990000000",
    "27110000000",
)
EVERYDAY_LAST_S = 9

MOROCCO_PER_MIN = Decimal("0.59")
HOSTILE_NAME = '"x%0AAccountCode: bruno%0Avariable_accountcode: bruno" '
"""Some of today's tools read such a name as headers of their own."""

MONEY = (402, 403, 603)
"""SIP answers to a call that may not be made, by switch."""
NUMBER = (404, 484, 604)
BUSY = (486, 600)
LINES = (503,)

LONGEST_TALK_MS = 60_000
"""What everybody who is to hang up himself can pay."""

BY_TIME_AT_S = 3
BY_TIME_TALK_MS = 12_000
"""Ends in the middle of an increment: the records that we reckon by are cut off at the millisecond."""
FILLED_FUNDS, FILLED_AMOUNT = "0.10", "1.00"
FILLED_TALK_MS = 15_000
"""Nearly twice as long as the funds last; what the card brings lasts."""
EVENING_AFTER_S = 8
"""From the moment when that call is placed: after its bundle's seconds, and well before its end."""


class Outcome(StrEnum):
    """What must have come of a scene's calls."""

    TALKED = "talked"
    """Answered, ended by one of the parties, charged."""
    CUT = "cut"
    """Ended by the switch when the money ended; not a step overspent."""
    UNANSWERED = "unanswered"
    """Authorized and never answered: nothing is charged."""
    DENIED = "denied"
    """Not let through, and nothing is charged."""
    FREE = "free"
    """Answered, and nobody pays."""


@dataclass(frozen=True, slots=True)
class TopUp:
    """Money that arrives while the scene's call is up."""

    after_s: float
    amount: str


@dataclass(frozen=True, slots=True)
class Scene:
    """Calls of one caller."""

    title: str
    account: str
    """Whom they are charged to; empty: nobody."""
    call: Call
    outcome: Outcome = Outcome.TALKED
    denial: str = ""
    """The reason in the records of calls that are denied."""
    from_carrier: bool = False
    topup: TopUp | None = None
    charges: int = 1
    """Rated CDRs of each call: a forwarded call is charged as two."""
    at_s: float = 0


def scenes(seconds: int) -> list[Scene]:
    """The whole script, stretched over so many seconds."""
    length_s = max(seconds, SHORTEST_S)
    talk_ms = min(length_s * 150, LONGEST_TALK_MS)
    anna, bruno, chen, fay = site.ANNA, site.BRUNO, site.CHEN, site.FAY
    more = TopUp(length_s * 0.1, cost_in_morocco(length_s // 5))
    nobody = replace(anna, phone=site.UNKNOWN_PHONE.name)
    busy, ringing, hanging_up = site.BUSY_SUFFIX, site.RINGING_SUFFIX, site.HANGING_UP_SUFFIX
    script = [
        Scene("answered, hung up by the caller", "anna", _talk(anna, PARIS, talk_ms)),
        Scene("busy", "bruno", _refused(bruno, PARIS + busy, BUSY), Outcome.UNANSWERED),
        Scene("cancelled while ringing", "bruno", _cancelled(bruno, LONDON + ringing), Outcome.UNANSWERED),
        Scene("unknown account", "", _refused(nobody, PARIS, MONEY), Outcome.DENIED, "user_unknown"),
        Scene("unknown destination", "", _refused(chen, NOWHERE, NUMBER), Outcome.DENIED, "rating_failed"),
        Scene(
            "insufficient funds", "", _refused(fay, MOROCCO, MONEY), Outcome.DENIED, "credit_limit_reached"
        ),
        Scene("help without funds", "fay", _talk(fay, EMERGENCY, EMERGENCY_TALK_MS), Outcome.FREE),
        Scene("six at once until the money ends", "dora", _cut(site.DORA, MOROCCO, count=6), Outcome.CUT),
        Scene("topped up while talking", "emil", _cut(site.EMIL, MOROCCO), Outcome.CUT, topup=more),
        Scene("funds first, then credit", "chen", _talk(chen, MOROCCO, talk_ms)),
        Scene(
            "one more than may be up", "", _refused(chen, LONDON, LINES), Outcome.DENIED, "simultaneous_calls"
        ),
        Scene("inbound to a DID", "gita", _inbound(site.GITA_DID, talk_ms), from_carrier=True),
        Scene(
            "DID forwarded outside",
            "gita",
            _inbound(site.GITA_FORWARDED_DID, talk_ms),
            from_carrier=True,
            charges=2,
        ),
        Scene(
            "a name that bills others", "anna", replace(_talk(anna, LONDON, talk_ms), display=HOSTILE_NAME)
        ),
        Scene("hung up by the far side", "bruno", _cut(bruno, PARIS + hanging_up)),
    ]
    placed = [replace(scene, at_s=place * 0.7) for place, scene in enumerate(script)]
    by_time = Scene(
        "bundle, day and evening", "ines", _talk(site.INES, KENYA, BY_TIME_TALK_MS), at_s=BY_TIME_AT_S
    )
    filled = Scene(
        "filled from a card while talking",
        "vera",
        _talk(site.VERA, MOROCCO, FILLED_TALK_MS),
        at_s=BY_TIME_AT_S,
    )
    return [*placed, by_time, filled, *_everyday_calls(length_s)]


def _everyday_calls(length_s: int) -> list[Scene]:
    """Short calls around the world, until shortly before the end."""
    made = []
    for place, at_s in enumerate(range(10, length_s - EVERYDAY_LAST_S, 2)):
        number = EVERYDAY_NUMBERS[place % len(EVERYDAY_NUMBERS)]
        call = _talk(site.HUGO, number, hold_ms=1500 + place % 5 * 1000)
        made.append(Scene("everyday call", "hugo", call, at_s=at_s))
    return made


def funds(subscriber: site.Subscriber, seconds: int) -> str:
    """What an account starts with: Dora's and Emil's money is to end inside the demonstration."""
    length_s = max(seconds, SHORTEST_S)
    if subscriber is site.DORA:
        return cost_in_morocco(6 * length_s // 4)
    if subscriber is site.EMIL:
        return cost_in_morocco(length_s // 4)
    return subscriber.funds


def cost_in_morocco(talk_s: int) -> str:
    """What talking so long costs, tax included, to the whole cent above."""
    exact = MOROCCO_PER_MIN * talk_s / 60 * (100 + Decimal(site.RETAIL.tax_percent)) / 100
    return str(exact.quantize(Decimal("0.01"), ROUND_UP))


def _talk(caller: site.Subscriber, number: str, hold_ms: int) -> Call:
    return Call(number, caller.phone, hold_ms=hold_ms, password=site.PASSWORD)


def _cut(caller: site.Subscriber, number: str, count: int = 1) -> Call:
    return Call(number, caller.phone, Calling.WAIT, count=count, password=site.PASSWORD)


def _cancelled(caller: site.Subscriber, number: str) -> Call:
    return Call(number, caller.phone, Calling.CANCEL, hold_ms=2000, password=site.PASSWORD)


def _refused(caller: site.Subscriber, number: str, answers: tuple[int, ...]) -> Call:
    return Call(number, caller.phone, Calling.REJECTED, rejections=answers, password=site.PASSWORD)


def _inbound(did: str, hold_ms: int) -> Call:
    return Call(did, "carrier", hold_ms=hold_ms)
