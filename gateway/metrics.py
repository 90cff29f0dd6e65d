"""What is counted since the start, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
"""Upper bounds of the histogram of times."""


class Metrics:
    """The metrics of one gateway. No label holds what a client may choose: each would be kept for ever."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.inside = Gauge("gateway_requests_inside", "Requests that are not answered yet.", registry=self._registry)
        self._requests = Counter(
            "gateway_requests", "Requests, by path and status.", ("route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "gateway_request_seconds",
            "From a request's headers to the last byte of its answer.",
            ("route",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self.pictures = Counter(
            "gateway_pictures", "Pictures, by call and status.", ("call", "status"), registry=self._registry
        )
        self.written = Counter("gateway_events_written", "Rows of events in the database.", registry=self._registry)
        self.waiting = Gauge("gateway_events_waiting", "Rows that wait for the database.", registry=self._registry)
        self.lost = Counter("gateway_events_lost", "Rows that could not be written.", registry=self._registry)
        self.feedback = Counter(
            "gateway_feedback",
            "Feedback: the first, the same again, another.",
            ("kind",),
            registry=self._registry,
        )
        self.shadows = Counter(
            "gateway_shadows", "Pictures for shadows, by what came of them.", ("outcome",), registry=self._registry
        )

    def count(self, route: str, status: int, seconds: float) -> None:
        """Count an answer; `route` is the path as the code has it, empty where there is no such path."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All of them in Prometheus's text format."""
        return generate_latest(self._registry)
