"""What the panel shows of an installation: its configuration without secrets, its switches, its jobs, and
how it can be tried out. Whoever starts the web process says so; the web itself reads no configuration."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Option:
    """One option of the configuration."""

    name: str
    value: str
    """As it is in force; of a secret only whether there is one."""
    is_default: bool
    about: str


@dataclass(frozen=True, slots=True)
class OptionTable:
    """One table of the configuration's file."""

    heading: str
    about: str
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class KnownSwitch:
    """A switch that is configured."""

    name: str
    kind: str
    address: str


@dataclass(frozen=True, slots=True)
class KnownJob:
    """Something that happens by itself."""

    name: str
    about: str
    every_s: int


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found: as `pbxbill doctor` says it."""

    check: str
    verdict: str
    """ok, warn or fail."""
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Installation:
    """One installation; of an empty one nothing is known."""

    config_path: str = ""
    tables: tuple[OptionTable, ...] = ()
    switches: tuple[KnownSwitch, ...] = ()
    jobs: tuple[KnownJob, ...] = ()
    diagnose: Callable[[], Iterable[Checked]] | None = None
    """Tries out what there is; takes some seconds where a switch does not answer."""
