"""The versions that are served: found by model and name."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from zoo.serving.rest.errors import RequestError
from zoo.serving.rest.worker import Worker


@dataclass(eq=False)
class Version:
    """One served version of a model."""

    model: str
    name: str
    file: str
    """The archive's, below the store."""
    worker: Worker
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
