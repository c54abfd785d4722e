"""Shadow mode: calls go on, nothing is said, nothing is timed, and what would have been done is written down.

A record's `shadow` holds None for a call that was steered, "" for one in shadow that would have gone no
otherwise, else words of the engine's that read_words() takes apart.
"""

import re
from dataclasses import dataclass

from pbxbill.charging.events import Announcement, Authorize, Denied, FailurePolicy, Granted
from pbxbill.clock import SECOND_US
from pbxbill.money import Unit

_NO_UNIT = Unit("NONE", scale=0, digits=0)
_SILENCE = Announcement(denial=False)


_DENIED = re.compile(r"would have been denied: (?P<reason>[a-z_]+)(?::.*)?", re.DOTALL)
_CUT = re.compile(r"would have been cut after (?P<after_s>[0-9]{1,9}) s(?::.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class WouldDeny:
    """The call would not have been let out."""

    reason: str


@dataclass(frozen=True, slots=True)
class WouldCut:
    """The call would have been ended so long after its answer."""

    after_us: int


@dataclass(frozen=True, slots=True)
class WouldNot:
    """Nothing else would have happened."""


def read_words(words: str) -> WouldDeny | WouldCut | WouldNot:
    """What a record's words say; words of others say nothing."""
    if (denied := _DENIED.fullmatch(words)) is not None:
        return WouldDeny(denied["reason"])
    if (cut := _CUT.fullmatch(words)) is not None:
        return WouldCut(int(cut["after_s"]) * SECOND_US)
    return WouldNot()


def for_the_switch(outcome: Granted | Denied, request: Authorize) -> Granted | Denied:
    """The decision as the adapter carries it out.

    The engine grants in shadow what it would have denied. What is denied all the same is what nobody could
    decide in time: it passes as well, and is charged afterwards from the switch's CDR log.
    """
    if isinstance(outcome, Granted):
        shadow = outcome.shadow or request.shadow
        return outcome._replace(shadow=True, announcement=_SILENCE) if shadow else outcome
    return _undecided(request) if request.shadow else outcome


def _undecided(request: Authorize) -> Granted:
    return Granted(
        session_id=request.session_id,
        account_id=0,
        account_code=request.account_code,
        destination="",
        called="",
        unit=_NO_UNIT,
        available=0,
        affordable_us=0,
        granted_us=0,
        final=True,
        slice_us=0,
        renew_before_us=0,
        max_call_us=0,
        announcement=_SILENCE,
        failure_policy=FailurePolicy.OPEN,
        wallet_ids=(),
        offline=True,
        shadow=True,
    )
