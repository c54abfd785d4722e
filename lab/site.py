"""Who is connected to a private switch: phones, carriers, and the numbers that carriers send to us."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phone:
    """A SIP device of a customer, with the account code that the administrator gave it."""

    name: str
    account_code: str = ""
    password: str = ""
    """Set: the switch asks for it. FreeSWITCH lets nobody call without."""
    port: int = 0
    """Where calls to this phone go (a SippServer); 0: it only calls."""
    language: str = ""
    open_on_failure: bool = False
    """Its calls pass while the daemon cannot be reached."""
    context: str = "phones"
    """Or "plain", which dials the same numbers without pbxbill."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A carrier: a SippServer's port."""

    name: str
    port: int
    suffix: str = ""
    """Numbers that end in these digits go here."""


@dataclass(frozen=True, slots=True)
class Did:
    """A number of ours that the carrier calls (as the phone named "carrier")."""

    number: str
    phone: str = ""
    """Rings this phone..."""
    forward_to: str = ""
    """... or is forwarded to this outside number, as a second, outbound charge."""
    cards: bool = False
    """... or is an access number of calling cards."""
    charged: bool = True
    """Whether a line at an access number is itself charged, as any call to a DID."""


CARRIER = Phone("carrier", context="carrier")
"""What inbound calls are placed as."""
