"""What the page asks the runtime, and what it shows of the answers. A question that fails ends in one message."""

import asyncio
import base64
import binascii
import json
from http import HTTPStatus
from typing import Any

from gateway import cards
from gateway.ask import ask, ask_picture
from gateway.backend import Question, Unavailable
from gateway.context import Gateway
from gateway.page import views
from gateway.page.views import Answered
from gateway.pictures import Picture
from gateway.problems import Problem
from zoo.kinds.classifier import CLASSIFIER
from zoo.kinds.generator import GENERATOR


class Questions:
    """The questions of one page. What they are asked comes from outside, and may be anything."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway, self._backend = gateway, gateway.backend

    async def served(self) -> tuple[list[str], list[str]]:
        """The classifiers, the default one first, and the generators. None where no runtime answers."""
        try:
            classifiers, generators = [await self._backend.versions(kind.model) for kind in (CLASSIFIER, GENERATOR)]
            default = await self._backend.default(CLASSIFIER.model) if classifiers else ""
        except Unavailable:
            return [], []
        return sorted(classifiers, key=lambda name: (name != default, name)), generators

    async def classify(self, url: Any, versions: Any) -> tuple[str, str]:
        """A problem, and the answers of `versions` to the picture in a data URL; both as HTML."""
        if not url:
            return "", ""
        try:
            picture, default = _picture(url), await self._backend.default(CLASSIFIER.model)
            names = [
                await self._check(CLASSIFIER.model, name) for name in (versions if isinstance(versions, list) else ())
            ]
            answered = await asyncio.gather(*(self._answered(picture, name, name == default) for name in names))
        except (Problem, Unavailable) as error:
            return views.problem(str(error)), ""
        return "", views.answers(answered)

    async def explain(self, url: Any, version: Any, label: Any) -> str:
        """Where `version` sees a class, the predicted one where `label` is empty; or why that is not known."""
        if not url or not version:
            return ""
        try:
            name, picture = await self._check(CLASSIFIER.model, version), _picture(url)
            reply = await ask_picture(self._gateway, name, picture, label, "", explain=True)
        except (Problem, Unavailable) as error:
            cannot = isinstance(error, Problem) and error.status == HTTPStatus.NOT_IMPLEMENTED
            return views.problem(f"{error}{'; choose another version' if cannot else ''}")
        return views.explanation(name, json.loads(reply.body))

    async def synthesize(self, generator: Any, label: Any, count: Any, seed: Any) -> str:
        """A grid of synthetic lesions of a class, or why there is none."""
        if not generator:
            return views.problem("no generator is served; train one: make zoo")
        body = json.dumps({"class": label, "count": count, "seed": seed, "format": "grid"}).encode()
        try:
            name = await self._check(GENERATOR.model, generator)
            reply = await ask(self._gateway, Question(GENERATOR.model, name, body, "application/json"))
        except (Problem, Unavailable) as error:
            return views.problem(str(error))
        return views.synthetic(name, json.loads(reply.body))

    async def card(self, version: Any) -> str:
        """The model card of a version, in Markdown; empty where there is none."""
        if not any(version in names for names in await self.served()):
            return ""
        return await cards.read(self._gateway.settings.archives, version) or f"The archive of {version} has no card."

    async def _check(self, model: str, name: Any) -> str:
        """`name`, if such a version is served. Raises `Problem` (404), `Unavailable`."""
        if name not in await self._backend.versions(model):
            raise Problem(404, f"{name!r:.60} is not served; load the page again")
        return str(name)

    async def _answered(self, picture: Picture, version: str, default: bool) -> Answered:
        reply = await ask_picture(self._gateway, version, picture, None, "", explain=False)
        entry = await self._backend.describe(CLASSIFIER.model, version)
        return Answered(version, default, json.loads(reply.body), entry)


def _picture(url: Any) -> Picture:
    """The picture in a data URL. Raises `Problem` (422)."""
    try:
        content = base64.b64decode(str(url).partition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if not content:
        raise Problem(422, "the browser sent no picture, or an empty one; choose it again")
    return Picture(content)
