"""What the server counts, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Measures:
    """Counters of one server."""

    media_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.answers = Counter("transfigure_answers", "Answers to requests for a translation.", ["model", "status"], registry=self.registry)
        self.seconds = Histogram(
            "transfigure_seconds", "From a request's first byte to its answer.", ["model"], buckets=_SECONDS, registry=self.registry
        )
        self.passes = Histogram("transfigure_pass_seconds", "The network alone, for a batch.", buckets=_SECONDS, registry=self.registry)
        self.batch = Histogram("transfigure_batch_images", "Images of a batch.", buckets=(1, 2, 4, 8), registry=self.registry)
        self.accepted = Gauge("transfigure_accepted", "Requests that are being worked on.", registry=self.registry)
        self.waiting = Gauge("transfigure_waiting", "Images that wait for the network.", registry=self.registry)

    def passed(self, images: int, seconds: float) -> None:
        """The network has run."""
        self.batch.observe(images)
        self.passes.observe(seconds)

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self.registry)
