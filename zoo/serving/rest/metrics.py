"""Counts and times of requests in Prometheus's text format, under TorchServe's names."""

from collections import Counter

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from zoo.serving.rest.versions import Version

FAMILIES = {
    "ts_inference_requests_total": "Requests to a version.",
    "ts_inference_latency_microseconds": "Their time from the last byte of the request to the answer, in all.",
    "ts_queue_latency_microseconds": "What of that they waited for a thread, in all.",
}
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What is counted since the start."""

    def __init__(self) -> None:
        self._sums: Counter[tuple[str, str, str]] = Counter()
        self.routes = [Route("/metrics", self._show)]

    def count(self, version: Version, seconds: float, waited: float) -> None:
        """Count one request, which took `seconds`, `waited` of them for a thread."""
        for family, value in zip(FAMILIES, (1, round(seconds * 1e6), round(waited * 1e6)), strict=True):
            self._sums[family, version.model, version.name] += value

    async def _show(self, _: Request) -> Response:
        lines = []
        for family, about in FAMILIES.items():
            lines += [f"# HELP {family} {about}", f"# TYPE {family} counter"]
            lines += [  # names of models and versions have no letter that would need escaping
                f'{family}{{model_name="{model}",model_version="{name}"}} {value}'
                for (own, model, name), value in sorted(self._sums.items())
                if own == family
            ]
        return Response("\n".join(lines) + "\n", media_type=None, headers={"Content-Type": CONTENT_TYPE})
