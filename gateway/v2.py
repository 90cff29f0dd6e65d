"""The calls below /v2: the Open Inference Protocol, which clients of KServe, Triton and MLServer speak."""

import asyncio
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from gateway import body, tensors
from gateway import classify as classifying
from gateway.access import Access, inside
from gateway.ask import while_connected
from gateway.context import Gateway, gateway_of
from gateway.description import BODY, INFERENCE, KEYED, problems
from gateway.keys import Key
from gateway.problems import OPEN_INFERENCE, Problem, try_later
from gateway.v1 import ClientId, Name
from lesions.labels import CLASSES
from zoo.kinds.classifier import CLASSIFIER

TAGS: list[str | Enum] = ["Open Inference Protocol"]
router = APIRouter(prefix=OPEN_INFERENCE, tags=TAGS, responses=KEYED)
health = APIRouter(prefix=f"{OPEN_INFERENCE}/health", tags=TAGS)
ModelName = Annotated[str, Path(description=f"{CLASSIFIER.model}, whose versions are the entries.")]
AnyKey = Annotated[Key, Depends(Access(None))]
Classify = Annotated[Key, Depends(Access("classify"))]
INPUTS: list[dict[str, Any]] = [
    {"name": tensors.IMAGE, "datatype": "BYTES", "shape": [-1]},
    {"name": tensors.PIXELS, "datatype": "UINT8", "shape": [-1, -1, -1, 3]},
]
"""A request has one of them."""
PROBABILITIES, LABEL, ID = "probabilities", "label", "id"
OUTPUTS: list[dict[str, Any]] = [
    {"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, len(CLASSES)]},
    {"name": LABEL, "datatype": "BYTES", "shape": [-1]},
    {"name": ID, "datatype": "BYTES", "shape": [-1]},
]
"""`id` is that of each answer, for feedback."""


@health.get("/live")
async def live() -> dict[str, bool]:
    """Whether the gateway runs. Needs no key."""
    return {"live": True}


@health.get("/ready", responses=problems(503))
async def ready(request: Request) -> dict[str, bool]:
    """Whether the runtime behind it answers, too. Needs no key."""
    if not await gateway_of(request).backend.is_ready():
        raise try_later("the runtime does not answer")
    return {"ready": True}


@router.get("")
async def server(key: AnyKey) -> dict[str, Any]:
    """The server's metadata."""
    try:
        number = version("lesion-zoo")
    except PackageNotFoundError:  # nothing is installed under that name: it runs from the checkout
        number = ""
    return {"name": "lesion-zoo", "version": number, "extensions": ["binary_tensor_data"]}


@router.get("/models/{model}")
@router.get("/models/{model}/versions/{entry}")
async def metadata(request: Request, model: ModelName, key: AnyKey, entry: Name | None = None) -> dict[str, Any]:
    """A model's metadata: versions, inputs, outputs."""
    names = await _versions(gateway_of(request), model, entry)
    return {"name": model, "versions": names, "platform": "onnx_onnxv1", "inputs": INPUTS, "outputs": OUTPUTS}


@router.get("/models/{model}/ready")
@router.get("/models/{model}/versions/{entry}/ready")
async def model_ready(request: Request, model: ModelName, key: AnyKey, entry: Name | None = None) -> dict[str, Any]:
    """Whether a version is served."""
    await _versions(gateway_of(request), model, entry)
    return {"name": model, "ready": True}


@router.post("/models/{model}/infer", openapi_extra=INFERENCE, responses=BODY)
@router.post("/models/{model}/versions/{entry}/infer", openapi_extra=INFERENCE, responses=BODY)
@inside
async def infer(
    request: Request, model: ModelName, key: Classify, entry: Name | None = None, client: ClientId = None
) -> Response:
    """Class probabilities of pictures; the first that cannot be read makes the whole request an error.

    Without a version, the champion answers, also while an experiment is running.
    """
    gateway = gateway_of(request)
    if model != CLASSIFIER.model:
        raise _no_model(model)
    content = await body.read(request, gateway.settings.max_request_bytes)
    length = request.headers.get(tensors.HEADER_LENGTH, "")
    asked, pictures = await run_in_threadpool(tensors.parse, content, length)
    known = [output["name"] for output in OUTPUTS]
    wanted = known if asked.outputs is None else [output.name for output in asked.outputs]
    if unknown := [name for name in wanted if name not in known]:
        raise Problem(422, f"no output {unknown[0]!r:.60}; there are: {', '.join(known)}")
    request.state.pictures = len(pictures)
    gateway.rates.count(key, len(pictures), counted=1)

    caller = classifying.caller(request, key, client, experiments=False)

    async def answers() -> list[dict[str, Any]]:
        calls = (classifying.classify(gateway, picture, entry, caller) for picture in pictures)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, Problem):
                raise Problem(outcome.status, f"picture {index}: {outcome}", outcome.headers)
            if isinstance(outcome, BaseException):
                raise outcome
        return [outcome.body for outcome in outcomes if not isinstance(outcome, BaseException)]

    rows = await while_connected(request, answers())
    data: dict[str, list[Any]] = {
        PROBABILITIES: [value for row in rows for value in row["probabilities"].values()],
        LABEL: [row["label"] for row in rows],
        ID: [row["id"] for row in rows],
    }
    outputs = [
        output | {"shape": [len(rows), *output["shape"][1:]], "data": data[output["name"]]}
        for output in OUTPUTS
        if output["name"] in wanted
    ]
    head = {"model_name": model, "model_version": rows[0]["entry"]} | ({"id": asked.id} if asked.id else {})
    return JSONResponse(head | {"outputs": outputs})


async def _versions(gateway: Gateway, model: str, entry: str | None) -> list[str]:
    """The served versions, or the one that is named. Raises `Problem` (404)."""
    names = await gateway.backend.versions(CLASSIFIER.model)
    if model != CLASSIFIER.model or not names:
        raise _no_model(model)
    if entry is not None and entry not in names:
        raise Problem(404, f"no version {entry!r} is served; there are: {', '.join(names)}")
    return [entry] if entry else names


def _no_model(model: str) -> Problem:
    return Problem(404, f"no model {model!r:.60}; there is {CLASSIFIER.model}")
