"""What the web application is run with: keys, when a log-in ends, how much may be asked and sent."""

from dataclasses import dataclass, field

from pbxbill.access.login_sessions import SessionLimits
from pbxbill.access.sealing import Sealer, fresh_sealer
from pbxbill.notify.smtp import MailSettings
from pbxbill.web.installation import Installation


@dataclass(frozen=True, slots=True)
class WebRules:
    """Of one application."""

    sealer: Sealer = field(default_factory=fresh_sealer)
    """Unless it is given, nobody stays logged in when the process ends."""
    limits: SessionLimits = field(default_factory=SessionLimits)
    requests_per_min: int = 600
    wrong_keys_per_min: int = 60
    """From one address, to the API; programs whose keys are right go on."""
    most_streams: int = 4
    """Each holds a thread while somebody watches: half of the threads that serve."""
    upload_bytes: int = 64_000_000
    mail: MailSettings = field(default_factory=MailSettings)
    """The operator's, where his issuer has none."""
    installation: Installation = field(default_factory=Installation)
    """What the panel shows of how it is set up, and what it can try out."""
