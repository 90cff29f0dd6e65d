"""TorchServe's handler of a classifier. Copied into archives.

TorchServe takes the one class of this file for the handler.
"""

from typing import Any

from handlers import adapter
from zoo.serving.classifier import ClassifierService


class LesionClassifier:
    """One version of the model `lesion_classifier`."""

    def initialize(self, context: Any) -> None:
        """Open the model of the archive that TorchServe unpacked. Raises `zoo.models.session.ModelError`."""
        self.service = ClassifierService(*adapter.contents(context))

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[Any]:
        """Answer each request of a batch, as `ClassifierService.answer` does."""
        return adapter.answer(self.service, data, context)
