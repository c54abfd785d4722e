"""What the daemon must know about one Asterisk. Plain data: the configuration file is read elsewhere."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class AsteriskSettings:
    """One Asterisk and how patient to be with it."""

    name: str
    """The switch's name in sessions and CDRs."""
    host: str = "127.0.0.1"
    port: int = 5038
    username: str = "pbxbill"
    secret: str = field(default="", repr=False)
    agi_host: str = "127.0.0.1"
    agi_port: int = 4573
    cdr_file: Path | None = None
    """The file that the cdr_custom mapping we ship writes; None: there is no CDR log to reconcile with."""
    sounds_dir: Path | None = Path("/usr/share/asterisk/sounds")
    """Where to look which words there are; None: take it that every core sound is there."""
    prompt_prefix: str = "pbxbill"
    """Folder inside sounds/LANGUAGE for words that Asterisk's own sets lack."""
    action_timeout_s: float = 3.0
    ping_interval_s: float = 5.0
    ping_timeout_s: float = 3.0
    connect_timeout_s: float = 5.0
    reconnect_first_s: float = 0.2
    reconnect_most_s: float = 10.0
    refused_retry_s: float = 60.0
    """How long to wait after Asterisk refused the secret: somebody must change a file first."""
    event_queue: int = 10_000
    authorize_timeout_s: float = 2.0
    """How long the engine may take; the dialplan gives up after 5 s, so this must be shorter."""
    engine_timeout_s: float = 10.0
    agi_connections: int = 500
    agi_read_timeout_s: float = 3.0
    shadow: bool = False
    """Everything is charged and recorded, and nobody is denied or cut."""
    offline_ceiling_us: int = 3_600_000_000
    sweep_interval_s: float = 30.0
    """How often the switch's channels are compared with the calls we know, for events that never came."""
    cdr_interval_s: float = 30.0
    cdr_backlog_bytes: int = 64 * 1024 * 1024
    """How much of an old CDR log is read at start."""
