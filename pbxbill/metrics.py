"""Prometheus metrics of a daemon: the charging engine's figures, and the server that shows them all."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pbxbill.errors import ConfigurationError


class CountedEngine(Protocol):
    """What is read from the charging engine."""

    batches: int
    commands: int

    @property
    def waiting(self) -> int:
        """Commands in the queue now."""
        ...


class EngineCollector(Collector):
    """Reads the engine's figures whenever Prometheus asks; nothing is counted twice."""

    def __init__(self, engine: CountedEngine) -> None:
        self._engine = engine

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "pbxbill_charging_queue", "Commands that wait for the charging engine", value=self._engine.waiting
        )
        yield CounterMetricFamily(
            "pbxbill_charging_batches", "Transactions committed", value=self._engine.batches
        )
        yield CounterMetricFamily(
            "pbxbill_charging_commands", "Commands answered", value=self._engine.commands
        )


@contextmanager
def metrics_server(host: str, port: int, registry: CollectorRegistry = REGISTRY) -> Iterator[None]:
    """Serve the registry's metrics over HTTP until the context ends."""
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise ConfigurationError(
            f"metrics cannot be served on {host}:{port}: {error.strerror}; change metrics.port"
        ) from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
