"""The zoo in a notebook or a script, without a server: `from zoo import load`."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from PIL import Image

from lesions.errors import UserError
from lesions.images import UnreadableImage, center_square, convert, decode
from lesions.sources.files import SUFFIXES
from zoo.kinds import KINDS
from zoo.kinds.classifier import CLASSIFIER
from zoo.metrics import predictions
from zoo.metrics.predictions import PredictionTable
from zoo.models.explanation import LARGEST, overlay
from zoo.models.predictor import CHUNK, Predictor
from zoo.models.session import ModelError, read_archive
from zoo.study import Folders, Study

PREDICTING = [kind.name for kind in KINDS.values() if kind.model == CLASSIFIER.model]
"""The kinds of entries that predict classes: classifiers and ensembles."""
Picture = str | Path | bytes | Image.Image
"""A picture's file, the bytes of such a file, or a decoded picture."""


class LoadError(UserError):
    """An entry that cannot be loaded, or a picture that cannot be read."""


class Prediction(NamedTuple):
    """What a classifier predicts of one picture."""

    image: str
    """The picture's path; empty if it was given as bytes or as an image."""
    label: str
    """The class with the highest probability."""
    probabilities: dict[str, float]
    """Calibrated, by class name; they add up to 1."""


class Explanation(NamedTuple):
    """Where in a picture a classifier sees a class."""

    image: str
    label: str
    """The predicted class."""
    explained: str
    """The class that is explained."""
    overlay: Image.Image
    """Grad-CAM as colors on the picture's center square, at most 512 x 512 px (Selvaraju et al., ICCV 2017)."""
    blank: bool
    """Whether nothing in the picture speaks for the class: the overlay then has no colors."""


class Classifier:
    """A trained classifier. `predictor` is its model, and takes arrays of pixels. torch is not needed."""

    def __init__(self, entry: Mapping[str, Any], predictor: Predictor) -> None:
        self.entry = entry
        """The archive's `entry.json`: name, recipe, scores, origins, license."""
        self.predictor = predictor

    def __repr__(self) -> str:
        return f"<Classifier {self.entry['entry']} of study {self.entry['study']}>"

    @overload
    def predict(self, pictures: bytes | Image.Image) -> Prediction: ...
    @overload
    def predict(self, pictures: str | Path) -> Any: ...
    @overload
    def predict(self, pictures: Iterable[Picture]) -> list[Prediction]: ...
    def predict(self, pictures: Picture | Iterable[Picture]) -> Prediction | list[Prediction]:
        """The prediction of a picture; a list of them for a folder, in the order of names, or for several pictures.

        Of a folder, files with the suffix of a picture are read, but no hidden ones. Raises `LoadError` for a picture
        that cannot be read.
        """
        if isinstance(pictures, bytes | Image.Image):
            return self._predict([pictures])[0]
        if isinstance(pictures, str | Path):
            path = Path(pictures)
            if not path.is_dir():
                return self._predict([path])[0]
            files = [file for file in sorted(path.iterdir()) if file.suffix.lower() in SUFFIXES]
            pictures = [file for file in files if file.is_file() and not file.name.startswith(".")]
        return self._predict(list(pictures))

    def explain(self, picture: Picture, label: str | None = None) -> Explanation:
        """Where in a picture the classifier sees the class `label`; the predicted one unless given.

        Raises `LoadError` for a picture that cannot be read, or an unknown class; `NoMapsError` where the network has
        no maps that equal Grad-CAM (`predictor.explains`).
        """
        classes, image = self.entry["classes"], _read(picture)
        if label not in (None, *classes):
            raise LoadError(f"no class {label!r}; there are: {', '.join(classes)}")
        pixels = center_square(image, self.entry["pixels"])[None]
        predicted = classes[int(self.predictor.probabilities(pixels)[0].argmax())]
        explained = label or predicted
        heat = self.predictor.heat_maps(pixels, [classes.index(explained)])[0]
        shown = center_square(image, min(LARGEST, *image.size))
        return Explanation(_name(picture), predicted, explained, overlay(shown, heat), not heat.any())

    def _predict(self, pictures: list[Picture]) -> list[Prediction]:
        classes, pixels = self.entry["classes"], self.entry["pixels"]
        predictions = []
        for start in range(0, len(pictures), CHUNK):  # a folder's pictures together may not fit into memory
            some = pictures[start : start + CHUNK]
            rows = self.predictor.probabilities(np.stack([center_square(_read(picture), pixels) for picture in some]))
            predictions += [
                Prediction(_name(picture), classes[int(row.argmax())], dict(zip(classes, row.tolist(), strict=True)))
                for picture, row in zip(some, rows, strict=True)
            ]
        return predictions


class Predictions(NamedTuple):
    """What an entry predicted of the images that it was not trained on."""

    valid: PredictionTable
    test: PredictionTable


def load(entry: str | Path, study: str = Study().name) -> Classifier:
    """A trained classifier: the archive of an entry of a `study` that `make zoo` built, or any archive by its path.

    Nothing of the archive is run but its `model.onnx`, by onnxruntime. Raises `LoadError` where there is no such
    archive, or it is none of a classifier; `ModelError` where its model is damaged, or does not fit.
    """
    file = Path(entry) if str(entry).endswith(".mar") else Folders(study).archives / f"{entry}.mar"
    if not file.is_file():
        known = ", ".join(sorted(archive.stem for archive in file.parent.glob("*.mar"))) or "none; first: make zoo"
        raise LoadError(f"no archive {file}; there are: {known}")
    try:
        described, model = read_archive(file)
    except ModelError as error:
        raise LoadError(str(error)) from None
    if described.get("kind") not in PREDICTING:
        raise LoadError(f"{file}: a {described.get('kind')}, and no classifier; ask it by: make synthesize")
    return Classifier(described, Predictor.from_entry(described, model))


def load_predictions(entry: str, study: str = Study().name) -> Predictions:
    """Names, labels and probabilities of the validation and the test images, as training left them.

    Raises `DataError` where the entry is not trained in that study.
    """
    table = predictions.read(Folders(study).run(entry) / "predictions.csv")
    return Predictions(table.part("valid"), table.part("test"))


def _read(picture: Picture) -> Image.Image:
    """The picture as upright 8-bit RGB."""
    try:
        if isinstance(picture, Image.Image):
            return _convert(picture)
        if not isinstance(picture, str | Path | bytes):
            kind = type(picture).__name__
            raise LoadError(f"a picture is a path, the bytes of a file, or an image of Pillow's, not of type {kind}")
        return decode(picture if isinstance(picture, bytes) else Path(picture).read_bytes())
    except OSError as error:
        raise LoadError(f"{_name(picture) or 'the picture'}: {error.strerror or error}") from None
    except UnreadableImage as error:
        raise LoadError(f"{_name(picture) or 'the picture'}: {error}") from None


def _convert(image: Image.Image) -> Image.Image:
    """As `lesions.images.convert`; a damaged image is an `UnreadableImage`, whatever Pillow raises."""
    try:
        return convert(image)
    except (OSError, UnreadableImage):
        raise
    except Exception as error:
        raise UnreadableImage(f"the image is damaged or cut short ({error!s:.200})") from None


def _name(picture: Picture) -> str:
    return str(picture) if isinstance(picture, str | Path) else ""
