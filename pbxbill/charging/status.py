"""What an account may do, from everything to nothing. Emergency calls pass in every status."""

from enum import StrEnum


class AccountStatus(StrEnum):
    """The status of an account, best first; that of its worst suspension in force."""

    ACTIVE = "active"
    NO_OUTGOING = "no_outgoing"
    """Calls to the outside are barred, but for support numbers; calls to its DIDs come in."""
    SUSPENDED = "suspended"
    """Neither; support numbers are reached."""
    INACTIVE = "inactive"
    """The same, and its recurring charges rest."""
    TERMINATED = "terminated"
    """It is over: nothing but emergency calls; what is in the books stays."""


WORSE = {status: rank for rank, status in enumerate(AccountStatus)}
