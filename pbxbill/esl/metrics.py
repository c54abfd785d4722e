"""What the FreeSWITCH adapter counts."""

from typing import Protocol

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram


class EslMetrics(Protocol):
    """Where the adapter's counts go; tests pass their own."""

    def count(self, event: str) -> None:
        """One more of event, a name from docs/freeswitch.md."""
        ...

    def live_calls(self, calls: int) -> None:
        """How many charged calls are up."""
        ...

    def cut(self, late_s: float) -> None:
        """A call was ended because its money ended, so many seconds after that moment."""
        ...

    def connected(self, up: bool) -> None:
        """Whether the event connection stands."""
        ...


class PrometheusMetrics:
    """EslMetrics as Prometheus series, labelled with the switch."""

    def __init__(self, switch: str, registry: CollectorRegistry = REGISTRY) -> None:
        self._switch = switch
        self._events = Counter(
            "pbxbill_esl_events", "What the FreeSWITCH adapter saw", ["switch", "event"], registry=registry
        )
        self._live = Gauge(
            "pbxbill_esl_live_calls", "Charged calls that are up", ["switch"], registry=registry
        )
        self._up = Gauge(
            "pbxbill_esl_connected", "1 while the event connection stands", ["switch"], registry=registry
        )
        self._late = Histogram(
            "pbxbill_esl_cut_late_seconds",
            "When a call really ended minus when its money ended",
            ["switch"],
            buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5),
            registry=registry,
        )

    def count(self, event: str) -> None:
        self._events.labels(self._switch, event).inc()

    def live_calls(self, calls: int) -> None:
        self._live.labels(self._switch).set(calls)

    def cut(self, late_s: float) -> None:
        self._late.labels(self._switch).observe(late_s)

    def connected(self, up: bool) -> None:
        self._up.labels(self._switch).set(1 if up else 0)


class NoMetrics:
    """EslMetrics that forget."""

    def count(self, event: str) -> None:
        pass

    def live_calls(self, calls: int) -> None:
        pass

    def cut(self, late_s: float) -> None:
        pass

    def connected(self, up: bool) -> None:
        pass
