"""The calls of the second port: which versions there are, which one is the default, and new tokens."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from zoo.serving.rest.inference import SECONDS
from zoo.serving.rest.tokens import RENEWAL, Tokens
from zoo.serving.rest.versions import Version, Versions
from zoo.serving.rest.worker import JSON, MOST_WAITING


class Management:
    """Describes versions as TorchServe does."""

    def __init__(self, versions: Versions, tokens: Tokens) -> None:
        self._versions, self._tokens = versions, tokens
        self.routes = [
            Route("/models", self._models),
            Route("/models/{model}", self._describe),
            Route("/models/{model}/{version}", self._describe),
            Route("/models/{model}/{version}/set-default", self._set_default, methods=["PUT"]),
            Route(RENEWAL, self._renew),
        ]

    async def _models(self, _: Request) -> Response:
        defaults = [self._versions.find(model) for model in self._versions.models]
        return _json({"models": [{"modelName": version.model, "modelUrl": version.file} for version in defaults]})

    async def _describe(self, request: Request) -> Response:
        model, name = request.path_params["model"], request.path_params.get("version")
        versions = self._versions.of(model) if name == "all" else [self._versions.find(model, name)]
        customized = request.query_params.get("customized", "").lower() == "true"
        return _json([await self._row(version, customized) for version in versions])

    async def _set_default(self, request: Request) -> Response:
        version = self._versions.find(request.path_params["model"], request.path_params["version"])
        self._versions.set_default(version)
        done = f'Default version successfully updated for model "{version.model}" to "{version.name}"'
        return _json({"status": done})

    async def _renew(self, request: Request) -> Response:
        self._tokens.renew(request.query_params.get("type", ""))
        return Response(media_type=JSON)

    async def _row(self, version: Version, customized: bool) -> dict[str, Any]:
        """A version in TorchServe's words."""
        waiting, workers = version.worker.waiting, await version.worker.processes()
        started = version.since.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "modelName": version.model,
            "modelVersion": version.name,
            "modelUrl": version.file,
            "runtime": "python",
            "minWorkers": len(workers),
            "maxWorkers": len(workers),
            "batchSize": 1,
            "maxBatchDelay": 0,
            "responseTimeout": SECONDS,
            "deviceType": "cpu",
            "loadedAtStartup": True,
            "defaultVersion": self._versions.is_default(version),
            "workers": [{"startTime": started, "gpu": False} | worker for worker in workers],
            "jobQueueStatus": {"remainingCapacity": max(0, MOST_WAITING - waiting), "pendingRequests": waiting},
        } | ({"customizedMetadata": _without_null(version.worker.entry)} if customized else {})


def _without_null(value: Any) -> Any:
    """JSON without the keys whose value is null, as TorchServe sends it."""
    if isinstance(value, Mapping):
        return {key: _without_null(inner) for key, inner in value.items() if inner is not None}
    return [_without_null(inner) for inner in value] if isinstance(value, list) else value


def _json(content: object) -> Response:
    return Response(json.dumps(content), media_type=JSON)
