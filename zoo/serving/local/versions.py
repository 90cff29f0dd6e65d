"""The archives that are served: opened side by side, found by model and version."""

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from lesions.errors import UserError
from zoo.kinds import KINDS
from zoo.kinds.classifier import CLASSIFIER
from zoo.kinds.generator import GENERATOR
from zoo.models.session import read_archive
from zoo.serving.classifier import ClassifierService
from zoo.serving.generator import GeneratorService
from zoo.serving.local.errors import RequestError
from zoo.serving.local.quota import within_quota
from zoo.serving.service import Call, Service

SERVICES: dict[str, Callable[..., Service]] = {CLASSIFIER.model: ClassifierService, GENERATOR.model: GeneratorService}
"""What answers for each model: made of an archive's `entry.json` and its `model.onnx`."""


@dataclass(eq=False)
class Version:
    """One served version of a model."""

    model: str
    name: str
    file: str
    """The archive's, below the store."""
    service: Service
    since: datetime = field(default_factory=lambda: datetime.now(UTC))


class Versions:
    """All of them. A model's first version, by name, is its default until another one is made so."""

    def __init__(self, versions: Iterable[Version]) -> None:
        self._by_model: dict[str, dict[str, Version]] = {}
        for version in sorted(versions, key=lambda version: (version.model, version.name)):
            self._by_model.setdefault(version.model, {})[version.name] = version
        self._defaults = {model: next(iter(named)) for model, named in self._by_model.items()}

    @property
    def models(self) -> list[str]:
        """The names of the models, sorted."""
        return list(self._by_model)

    def of(self, model: str) -> list[Version]:
        """Every version of a model, sorted. Raises `RequestError`."""
        try:
            return list(self._by_model[model].values())
        except KeyError:
            raise RequestError(404, "ModelNotFoundException", f"Model not found: {model}") from None

    def find(self, model: str, name: str | None = None) -> Version:
        """A version of a model; the default one where none is named. Raises `RequestError`."""
        self.of(model)
        name = self._defaults[model] if name is None else name
        try:
            return self._by_model[model][name]
        except KeyError:
            message = f"Model version: {name} does not exist for model: {model}"
            raise RequestError(404, "ModelVersionNotFoundException", message) from None

    def is_default(self, version: Version) -> bool:
        """Whether it answers where a call names none."""
        return self._defaults[version.model] == version.name

    def set_default(self, version: Version) -> None:
        """Let it answer where a call names none."""
        self._defaults[version.model] = version.name


def processors() -> int:
    """How many processors this process may use."""
    return within_quota(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def open_all(store: Path, files: Mapping[str, str], note: Callable[[str, str], None]) -> Versions:
    """Open archives of the folder `store`, as many at a time as there are processors.

    `files` has the version's name by file name. `note` is called with the name of each version as soon as that has
    answered a small request, with "", or with the reason why it cannot be served.
    """
    versions: list[Version] = []
    with ThreadPoolExecutor(processors()) as pool:
        opening = {pool.submit(_open, store / file): name for file, name in files.items()}
        for opened in as_completed(opening):
            try:
                versions.append(opened.result())
                note(opening[opened], "")
            except UserError as error:
                note(opening[opened], str(error))
            except Exception as error:  # an entry without a key that is needed, say
                note(opening[opened], f"{type(error).__name__}: {error}")
    return Versions(versions)


def _open(archive: Path) -> Version:
    """The version in an archive, which has answered a request. Raises `UserError`, or what opening it raises."""
    entry, model = read_archive(archive)
    kind = KINDS[entry["kind"]]
    service = SERVICES[kind.model](entry, model)
    content, content_type = kind.probe()
    [answer] = service.answer([Call({"body": content}, {"content-type": content_type})])
    if answer.status != 200:
        raise UserError(f"{archive} refuses a request that every {kind.name} answers: {answer.body['message']}")
    return Version(kind.model, entry["entry"], archive.name, service)
