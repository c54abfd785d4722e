"""What the FreeSWITCH adapter needs to know; the application maps its configuration to this."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FreeSwitchSettings:
    """One FreeSWITCH. Times are seconds and may be fractions: they bound waiting, never money."""

    name: str
    """The switch's name in reservations and CDRs."""
    host: str = "127.0.0.1"
    port: int = 8021
    password: str = ""
    outbound_host: str = "127.0.0.1"
    """Where the dialplan's socket application finds the daemon."""
    outbound_port: int = 8084
    sounds_dir: str = ""
    """Folder that holds LANG/DIALECT/VOICE; empty: no sounds are known and tones are played."""
    cdr_dir: str = ""
    """Folder of mod_json_cdr's files, or of the cdr_csv Master.csv; empty: no CDR log."""
    connect_timeout_s: float = 5.0
    command_timeout_s: float = 5.0
    authorize_timeout_s: float = 2.0
    """How long a call waits for the charging engine before the failure policy decides."""
    announce_timeout_s: float = 30.0
    """The longest announcement before a call; also bounds the prompt of a denial."""
    keepalive_s: float = 10.0
    stall_timeout_s: float = 5.0
    """A full event queue that does not move for so long closes the connection."""
    retry_first_s: float = 0.5
    retry_most_s: float = 15.0
    max_sessions: int = 500
    """Calls that may be in authorization or announcement at once; more are refused."""
    event_queue: int = 5000
    shadow: bool = False
    """Everything is charged and recorded, and nobody is denied or cut."""
    max_setup_s: float = 300.0
    """A call that is authorized and shows no channel for so long is voided."""

    def __repr__(self) -> str:
        """Without the password: a settings object may end up in a log."""
        return f"FreeSwitchSettings(name={self.name!r}, host={self.host!r}, port={self.port})"
