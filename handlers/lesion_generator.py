"""TorchServe's handler of a generator. Copied into archives.

TorchServe takes the one class of this file for the handler.
"""

from typing import Any

from handlers import adapter
from zoo.serving.generator import GeneratorService


class LesionGenerator:
    """One version of the model `lesion_generator`."""

    def initialize(self, context: Any) -> None:
        """Open the model of the archive that TorchServe unpacked. Raises `zoo.models.session.ModelError`."""
        self.service = GeneratorService(*adapter.contents(context))

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[Any]:
        """Answer each request of a batch, as `GeneratorService.answer` does."""
        return adapter.answer(self.service, data, context)
