"""A served classifier: pictures in, class probabilities or an explanation out. Copied into archives."""

import base64
import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesions.images import SECONDS, UnreadableImage, center_square, decode
from zoo.models.explanation import LARGEST, overlay
from zoo.models.features import FeatureReference
from zoo.models.predictor import Predictor
from zoo.serving.request import parse
from zoo.serving.service import Answer, Call, origin, prefers_png, refuse, refuse_encoding

Explained = tuple[NDArray[np.uint8], str | None]
"""The picture that heat is drawn on, uint8 [side, side, 3], and the class to explain (none: the predicted one)."""


class ClassifierService:
    """One version of the model `lesion_classifier` (`zoo.serving.service.Service`)."""

    def __init__(self, entry: dict[str, Any], model: bytes | Path) -> None:
        """Open an archive's model. Raises `zoo.models.session.ModelError`."""
        self.entry = entry
        self.predictor = Predictor.from_entry(entry, model)
        self.reference = FeatureReference.from_entry(entry)

    def answer(self, calls: Sequence[Call]) -> list[Answer]:
        """Answer each call on its own.

        A prediction has the keys label, probabilities (by class name; calibrated), distance (of the features from those
        of validation, about 1 where they are alike; not of an archive without a reference), entry, study and notice. An
        explanation has label, class (the one that is explained: as asked, else the label), overlay (base64 PNG of the
        picture's center square, at most 512 px), blank (whether nothing in the picture speaks for that class), entry,
        study and notice; where the header Accept asks for it, it is the overlay alone, as PNG. A refusal has code (400;
        413 for a picture with too many pixels; 415 for a compressed body; 501 for an explanation by a network that has
        none), type and message.
        """
        answers: dict[int, Answer] = {}
        pictures: dict[int, NDArray[np.uint8]] = {}
        explained: dict[int, Explained] = {}
        for index, call in enumerate(calls):
            if refused := refuse_encoding(call.headers):
                answers[index] = refused
                continue
            if call.explain and not self.predictor.explains:
                answers[index] = refuse(501, f"{self.entry['entry']} cannot explain: its maps do not equal Grad-CAM")
                continue
            try:
                request = parse(call.fields, call.headers)
                image = decode(request.content, SECONDS)
            except UnreadableImage as error:
                answers[index] = refuse(413 if error.too_large else 400, str(error))
                continue
            if call.explain:
                if request.label not in (None, *self.entry["classes"]):
                    message = f"no class {request.label!r:.60}; there are: {', '.join(self.entry['classes'])}"
                    answers[index] = refuse(400, message)
                    continue
                explained[index] = center_square(image, min(LARGEST, *image.size)), request.label
            pictures[index] = center_square(image, self.entry["pixels"])
        if pictures:
            for index, prediction in zip(pictures, self.predict(np.stack(list(pictures.values()))), strict=True):
                answers[index] = prediction
        if explained:
            pngs = {index for index in explained if prefers_png(calls[index].headers)}
            self._explain(pictures, explained, answers, pngs)
        return [answers[index] for index in range(len(calls))]

    def predict(self, images: NDArray[np.uint8]) -> list[Answer]:
        """The prediction of each image, uint8 [n, pixels, pixels, 3]; the network runs once."""
        distances: list[dict[str, float]] = [{}] * len(images)
        if self.reference:
            probabilities, features = self.predictor.probabilities_and_features(images)
            distances = [{"distance": round(value, 4)} for value in self.reference.distance(features).tolist()]
        else:
            probabilities = self.predictor.probabilities(images)
        answers = []
        for row, distance in zip(probabilities.tolist(), distances, strict=True):
            by_class = dict(zip(self.entry["classes"], row, strict=True))
            label = max(by_class, key=by_class.__getitem__)
            answers.append(Answer(200, {"label": label, "probabilities": by_class, **distance, **origin(self.entry)}))
        return answers

    def _explain(
        self,
        pictures: Mapping[int, NDArray[np.uint8]],
        explained: Mapping[int, Explained],
        answers: dict[int, Answer],
        pngs: Collection[int],
    ) -> None:
        """Replace the answers to calls for an explanation by the explanation; to those of `pngs` as a PNG, too."""
        labels = {index: answers[index].body["label"] for index in explained}
        classes = {index: label or labels[index] for index, (_, label) in explained.items()}
        numbers = [self.entry["classes"].index(label) for label in classes.values()]
        heat_maps = self.predictor.heat_maps(np.stack([pictures[index] for index in classes]), numbers)
        for (index, label), heat in zip(classes.items(), heat_maps, strict=True):
            content = io.BytesIO()
            overlay(explained[index][0], heat).save(content, "PNG")
            body = {
                "label": labels[index],
                "class": label,
                "overlay": base64.b64encode(content.getvalue()).decode(),
                "blank": not heat.any(),
            }
            png = content.getvalue() if index in pngs else None
            answers[index] = Answer(200, body | origin(self.entry), png)
