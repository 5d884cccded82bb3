"""What Prometheus is told."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from bon.api import Observer
from bon.types import Result, Verdict

SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 600)


class Meters(Observer):
    """Counters of one server; watches its session. No label holds what a client wrote."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = Counter(
            "bon_requests",
            "Requests by route and status.",
            ("route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "bon_request_seconds",
            "Until the last byte of an answer.",
            ("route",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "bon_requests_in_flight", "Requests that are being answered.", registry=self.registry
        )
        self._comparisons = Counter(
            "bon_comparisons", "Judge calls by outcome.", ("outcome",), registry=self.registry
        )
        self._tokens = Counter(
            "bon_tokens", "Tokens by model and kind.", ("model", "kind"), registry=self.registry
        )
        self._tournaments = Counter(
            "bon_tournaments", "Tournaments by how they ended.", ("end",), registry=self.registry
        )

    def in_flight(self, count: Callable[[], int]) -> None:
        """Where the number of requests in flight is read."""
        self._in_flight.set_function(count)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """A request has its answer."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def heard(self, verdict: Verdict) -> None:
        self._comparisons.labels(verdict.outcome.value).inc()
        self._tokens.labels("judge", "prompt").inc(verdict.prompt_tokens)
        self._tokens.labels("judge", "cached").inc(verdict.cached_tokens)
        self._tokens.labels("judge", "output").inc(verdict.output_tokens)

    def finished(self, result: Result) -> None:
        self._tournaments.labels("cut short" if result.cut_short else "done").inc()

    def drawn(self, prompt_tokens: int, output_tokens: int) -> None:
        """The policy has sampled."""
        self._tokens.labels("policy", "prompt").inc(prompt_tokens)
        self._tokens.labels("policy", "output").inc(output_tokens)

    def text(self) -> bytes:
        """The page that Prometheus reads."""
        return generate_latest(self.registry)
