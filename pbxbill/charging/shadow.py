"""What of a decision reaches a switch that runs in shadow: calls go on, nothing is said, nothing is timed."""

from pbxbill.charging.events import Announcement, Authorize, Denied, FailurePolicy, Granted
from pbxbill.money import Unit

_NO_UNIT = Unit("NONE", scale=0, digits=0)
_SILENCE = Announcement(denial=False)


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
