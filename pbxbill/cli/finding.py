"""What a check of `pbxbill doctor` found."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """Works, but not as well as it could."""
    FAIL = "fail"
    """Calls cannot be charged, or not safely; or what is set up for payments or mail cannot work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line."""

    check: str
    verdict: Verdict
    detail: str
    remedy: str = ""
    """What to do; empty when nothing must be done."""
