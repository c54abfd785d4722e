"""What the Asterisk daemon counts, for Prometheus."""

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram


class AsteriskMetrics:
    """One set per daemon and registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.connected = Gauge("pbxbill_ami_connected", "1 while both AMI sessions are up", registry=registry)
        self.events = Counter("pbxbill_ami_events", "AMI events handled", registry=registry)
        self.bad_messages = Counter(
            "pbxbill_ami_bad_messages", "AMI messages or events that could not be used", registry=registry
        )
        self.reconnects = Counter("pbxbill_ami_reconnects", "AMI connections lost", registry=registry)
        self.failed_actions = Counter(
            "pbxbill_ami_failed_actions",
            "AMI actions refused, timed out or lost",
            ["action"],
            registry=registry,
        )
        self.requests = Counter(
            "pbxbill_agi_requests", "FastAGI requests by outcome", ["outcome"], registry=registry
        )
        self.request_seconds = Histogram(
            "pbxbill_agi_request_seconds",
            "From the FastAGI connection to the verdict taken by Asterisk",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
            registry=registry,
        )
        self.live_calls = Gauge("pbxbill_ami_live_calls", "Calls that the daemon steers", registry=registry)
        self.hangups = Counter(
            "pbxbill_ami_hangups", "Hang-ups sent because the money ended", registry=registry
        )
        self.alarms = Counter("pbxbill_ami_alarms", "Things an operator must know", registry=registry)
        self.unpaid_legs = Counter(
            "pbxbill_ami_unpaid_legs", "Legs ended because their grant was used already", registry=registry
        )
        self.lost_events = Counter(
            "pbxbill_ami_lost_events", "Calls found gone without their events", registry=registry
        )
        self.missing_words = Counter(
            "pbxbill_ami_missing_words", "Words told by a tone for want of a sound", registry=registry
        )
        self.bad_cdr_lines = Counter(
            "pbxbill_ami_bad_cdr_lines", "CDR log lines kept aside", registry=registry
        )
