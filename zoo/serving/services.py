"""An archive opened: a worker of it has answered a request."""

from collections.abc import Callable
from pathlib import Path

from lesions.errors import UserError
from zoo.kinds import KINDS
from zoo.kinds.classifier import CLASSIFIER
from zoo.kinds.generator import GENERATOR
from zoo.models.session import read_archive
from zoo.serving.classifier import ClassifierService
from zoo.serving.generator import GeneratorService
from zoo.serving.service import Call, Service

SERVICES: dict[str, Callable[..., Service]] = {CLASSIFIER.model: ClassifierService, GENERATOR.model: GeneratorService}
"""What answers for each model: made of an archive's `entry.json` and its `model.onnx`."""


def open_service(archive: Path) -> Service:
    """What answers for an archive, and has answered a small request. Raises `UserError`, or what opening it raises."""
    entry, model = read_archive(archive)
    kind = KINDS[entry["kind"]]
    service = SERVICES[kind.model](entry, model)
    content, content_type = kind.probe()
    [answer] = service.answer([Call({"body": content}, {"content-type": content_type})])
    if answer.status != 200:
        raise UserError(f"{archive} refuses a request that every {kind.name} answers: {answer.body['message']}")
    return service


def model_of(service: Service) -> str:
    """The model that an opened archive is a version of."""
    return KINDS[service.entry["kind"]].model


def reason(error: Exception) -> str:
    """Why an archive could not be opened: a person's mistake in words; else also what it was, as of a missing key."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
