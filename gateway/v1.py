"""The calls below /v1: pictures in, answers out, and what is served."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, Response

from gateway import body, cards, description, pictures
from gateway import classify as classifying
from gateway.access import Access, inside
from gateway.ask import ask, ask_picture, not_served, while_connected
from gateway.backend import Question, Reply
from gateway.classify import Answered, ask_shadows
from gateway.context import Gateway, gateway_of
from gateway.events import clients
from gateway.keys import Key
from gateway.pictures import Picture, Sent
from gateway.problems import Problem
from zoo.kinds import MODELS
from zoo.kinds.generator import GENERATOR

Outcome = TypeVar("Outcome")
Name = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{0,63}$", description="A served entry.")]
ClientId = Annotated[
    str | None,
    Header(alias=clients.HEADER, pattern=clients.PATTERN, description="Who asks, as the client calls itself."),
]
Accept = Annotated[str, Header(include_in_schema=False)]
NAME: TypeAdapter[str] = TypeAdapter(Name)
CLIENT_ID: TypeAdapter[str | None] = TypeAdapter(ClientId)
CLASSIFY = Access("classify")


class ClassifyRoute(APIRoute):
    """A call that classifies. FastAPI documents it from its signature.

    The three parameters are read here: FastAPI's own way to them takes a fifth of the gateway's time for a request.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As in FastAPI."""

        async def handler(request: Request) -> Response:
            key = await CLASSIFY(request)
            client = _checked(CLIENT_ID, request.headers.get(clients.HEADER), "header", clients.HEADER)
            named = {place: _checked(NAME, name, "path", place) for place, name in request.path_params.items()}
            response: Response = await self.endpoint(request=request, key=key, client=client, **named)
            return response

        return handler


router = APIRouter(prefix="/v1", tags=["v1"], responses=description.KEYED)
classify_calls = APIRouter(prefix="/v1", tags=["v1"], responses=description.KEYED, route_class=ClassifyRoute)


@classify_calls.post("/classify", openapi_extra=description.PICTURES, responses=description.CLASSIFIED)
@inside
async def classify(request: Request, key: Annotated[Key, Depends(CLASSIFY)], client: ClientId = None) -> Response:
    """Class probabilities of a picture, or of several, by an arm of the running experiment, else by the champion."""
    return await _classified(request, key, client, None)


@classify_calls.post("/classify/{version}", openapi_extra=description.PICTURES, responses=description.CLASSIFIED)
@inside
async def classify_by(
    request: Request,
    version: Name,
    key: Annotated[Key, Depends(CLASSIFY)],
    client: ClientId = None,
) -> Response:
    """Class probabilities of a picture, or of several, by one version."""
    return await _classified(request, key, client, version)


@router.post("/explain/{version}", openapi_extra=description.PICTURES, responses=description.EXPLAINED)
@inside
async def explain(
    request: Request,
    version: Name,
    key: Annotated[Key, Depends(Access("explain"))],
    label: Annotated[str | None, Query(alias=pictures.CLASS, description="The class; else the predicted one.")] = None,
    accept: Accept = "",
) -> Response:
    """Where in a picture, or in several, a version sees a class. `Accept: image/png` asks for the overlay alone."""
    gateway, sent = await _sent(request, key, pictures.CLASS)
    label = label or sent.label

    async def answer(picture: Picture) -> Reply:
        one = "" if sent.several else accept
        return await ask_picture(gateway, version, picture, label, one, explain=True, key=key.name)

    if not sent.several:
        return _response(await while_connected(request, answer(sent.pictures[0])))
    outcomes = await while_connected(request, _each(sent.pictures, answer))
    return JSONResponse(_rows(sent.pictures, outcomes, lambda reply: json.loads(reply.body)))


@router.post("/synthesize/{name}", openapi_extra=description.GENERATION, responses=description.SYNTHESIZED)
@inside
async def synthesize(
    request: Request,
    name: Name,
    key: Annotated[Key, Depends(Access("synthesize"))],
    accept: Accept = "",
) -> Response:
    """Synthetic lesions of a class, by a generator."""
    gateway = gateway_of(request)
    _check_query(request)
    content = await body.read(request, gateway.settings.max_request_bytes)
    asked = ask(gateway, Question(GENERATOR.model, name, content, "application/json", accept, key=key.name))
    return _response(await while_connected(request, asked))


@router.get("/models")
async def models(request: Request, key: Annotated[Key, Depends(Access(None))]) -> list[description.Model]:
    """Every served version: classifiers, and generators."""
    backend, served = gateway_of(request).backend, []
    for model in MODELS:
        names = await backend.versions(model)
        default = await backend.default(model) if names else ""
        served += [description.Model(name=name, model=model, default=name == default) for name in names]
    return served


@router.get("/models/{name}")
async def entry(request: Request, name: Name, key: Annotated[Key, Depends(Access(None))]) -> dict[str, Any]:
    """The `entry.json` of a version: recipe, scores, license of its data, hashes."""
    gateway = gateway_of(request)
    return await gateway.backend.describe(await _model_of(gateway, name), name)


@router.get("/models/{name}/card", responses=description.CARD, response_class=Response)
async def card(request: Request, name: Name, key: Annotated[Key, Depends(Access(None))]) -> Response:
    """The model card of a version, in Markdown."""
    gateway = gateway_of(request)
    await _model_of(gateway, name)
    text = await cards.read(gateway.settings.archives, name)
    if text is None:
        raise Problem(404, f"the archive of {name} has no model card")
    return Response(text, media_type="text/markdown")


def _checked(allowed: TypeAdapter[Any], value: object, *place: str) -> object:
    """The value of a parameter. Raises `RequestValidationError`, as FastAPI does."""
    try:
        return allowed.validate_python(value)
    except ValidationError as error:
        raise RequestValidationError([problem | {"loc": place} for problem in error.errors()]) from None


async def _model_of(gateway: Gateway, name: str) -> str:
    """The model that a served entry is a version of. Raises `Problem` (404)."""
    for model in MODELS:
        if name in await gateway.backend.versions(model):
            return model
    raise Problem(404, not_served(name))


def _check_query(request: Request, *known: str) -> None:
    """Raise `Problem` (422) for a parameter in the address that is none of those `known`."""
    if unknown := sorted(request.query_params.keys() - set(known)):
        names = ", ".join(known) or "none"
        raise Problem(422, f"{unknown[0]:.70}: unknown in the address of this call; known there: {names}")


async def _sent(request: Request, key: Key, *query: str) -> tuple[Gateway, Sent]:
    """The pictures of a request, which are counted; `query` may be in its address. Raises `Problem`."""
    gateway = gateway_of(request)
    _check_query(request, *query)
    sent = await pictures.read(request, gateway.settings.max_request_bytes)
    request.state.pictures = len(sent.pictures)
    gateway.rates.count(key, len(sent.pictures), counted=1)
    return gateway, sent


async def _classified(request: Request, key: Key, client: str | None, version: str | None) -> Response:
    """Answer each picture of a request; then shadows are asked."""
    gateway, sent = await _sent(request, key)
    if sent.label:
        raise Problem(422, "a class is for an explanation; leave it out")
    caller = classifying.caller(request, key, client, version is None)

    async def answer(picture: Picture) -> Answered:
        return await classifying.classify(gateway, picture, version, caller, counts=picture is sent.pictures[0])

    if not sent.several:
        one = await while_connected(request, answer(sent.pictures[0]))
        return JSONResponse(one.body, background=BackgroundTask(ask_shadows, gateway, [one]))
    outcomes = await while_connected(request, _each(sent.pictures, answer))
    content = _rows(sent.pictures, outcomes, lambda answered: answered.body)
    answered = [one for one in outcomes if isinstance(one, Answered)]
    return JSONResponse(content, background=BackgroundTask(ask_shadows, gateway, answered))


async def _each(some: list[Picture], answer: Callable[[Picture], Awaitable[Outcome]]) -> list[Outcome | Problem]:
    """The answer to each picture, or its problem."""

    async def one(picture: Picture) -> Outcome | Problem:
        try:
            return await answer(picture)
        except Problem as problem:
            return problem

    return await asyncio.gather(*map(one, some))


def _rows(
    some: list[Picture], outcomes: list[Outcome | Problem], body_of: Callable[[Outcome], dict[str, Any]]
) -> dict[str, Any]:
    """The answers to several pictures. Raises the `Problem` that ails all of them."""
    for status in (404, 503):  # what ails all of them is not one picture's: no such version, or no runtime
        problems = [one for one in outcomes if isinstance(one, Problem) and one.status == status]
        if len(problems) == len(outcomes):
            raise problems[0]
    rows: list[dict[str, Any]] = []
    for index, (picture, outcome) in enumerate(zip(some, outcomes, strict=True)):
        row = {"index": index, "name": picture.name or None}
        if isinstance(outcome, Problem):
            rows.append(row | {"status": outcome.status, "error": outcome.body()})
        else:
            rows.append(row | {"status": 200, "answer": body_of(outcome)})
    return {"answers": rows}


def _response(reply: Reply) -> Response:
    return Response(reply.body, reply.status, media_type=reply.content_type)
