"""Counters for ``/metrics`` in Prometheus's own format; one registry for each server, none global."""

from __future__ import annotations

import re
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from famulus.engine.protocol import Delta, Done, Failed, FromWorker
from famulus.engine.supervisor import Supervisor

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics(Collector):
    """Counts what passes by; the gauges are read from the supervisor when somebody asks."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._tokens = Counter("famulus_tokens", "Tokens by kind.", ["kind"], registry=self.registry)
        self._ended = Counter("famulus_requests", "Requests by how they ended.", ["end"], registry=self.registry)
        self.http = Counter("famulus_http_responses", "HTTP answers by status.", ["status"], registry=self.registry)
        self.follow(supervisor)
        self.registry.register(self)

    def follow(self, supervisor: Supervisor) -> None:
        """From now on the gauges are those of ``supervisor``; what was counted stays."""
        self._supervisor = supervisor
        supervisor.on_event = self.observe

    def observe(self, event: FromWorker) -> None:
        """Count an event from the worker."""
        match event:
            case Delta():
                self._tokens.labels("generated").inc(event.tokens)
            case Done():
                self._tokens.labels("prompt").inc(event.usage.prompt)
                self._tokens.labels("cached").inc(event.usage.cached)
                self._ended.labels("done").inc()
            case Failed():
                self._ended.labels(event.code).inc()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges: state, open requests, restarts, and what the worker's last heartbeat reported."""
        supervisor = self._supervisor
        yield GaugeMetricFamily("famulus_ready", "1 when requests are answered.", value=supervisor.state == "ready")
        yield GaugeMetricFamily("famulus_open_requests", "Waiting or running.", value=supervisor.open_requests)
        yield GaugeMetricFamily("famulus_worker_restarts", "Since the start.", value=supervisor.restarts)
        for name, value in supervisor.stats.items():
            safe = re.sub(r"[^a-zA-Z0-9_]", "_", name)
            yield GaugeMetricFamily(f"famulus_worker_{safe}", "As the worker reports it.", value=value)

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)
