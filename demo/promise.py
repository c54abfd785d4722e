"""A promise with the evidence that it was kept."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Promise:
    """One line of the verdict."""

    text: str
    kept: bool
    evidence: str
