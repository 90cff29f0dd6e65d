"""A recipe: an entry with every default settled, at a study's scale. Training depends on this and nothing else."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from zoo.entry import Classifier
from zoo.study import Study

THESIS_TRAINING_IMAGES = 7011
"""The thesis's training images; `demo` scales numbers of images by its own over these."""

DEMO_EPOCHS, DEMO_LEAST_EPOCHS, DEMO_BATCH = 0.2, 3, 20


class Data(BaseModel):
    """What a study's data turned out to be."""

    model_config = ConfigDict(frozen=True)

    store_sha256: str
    split_sha256: str
    counts: dict[str, list[int]]
    """Images of each class, for each part of the split."""
    mean: list[float]
    """Of the training split's red, green and blue, on the scale 0 to 1."""
    deviation: list[float]


class Recipe(BaseModel):
    """All that decides the weights of one classifier."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entry: str
    architecture: str
    pixels: int
    seed: int
    threads: int
    store_sha256: str
    split_sha256: str
    start: str
    """`random`, or what the backbone's weights are, or `parent NAME`."""
    parent_sha256: str | None
    """The digest of the parent's recipe."""
    batch: int
    learning_rate: float
    loss: Literal["cross_entropy", "weighted_cross_entropy"]
    sampling: Literal["natural", "balanced"]
    draws: Annotated[list[int], Field(min_length=1)]
    """Images drawn in each epoch; its length is the number of epochs."""
    trainable_tensors: int | None
    normalise: Literal["data", "weights"]

    @property
    def epochs(self) -> int:
        """How many epochs are trained."""
        return len(self.draws)

    @property
    def text(self) -> str:
        """The file's content."""
        return self.model_dump_json(indent=1) + "\n"

    @property
    def sha256(self) -> str:
        """The digest (hex) by which children and checkpoints know this recipe."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def resolve(name: str, entry: Classifier, study: Study, data: Data, start: str, parent: Recipe | None) -> Recipe:
    """The recipe of `entry` in `study`; `start` names the pretrained weights."""
    demo = study.scale == "demo"
    training_images = sum(data.counts["train"])
    begins = {"random": "random", "pretrained": start}[entry.weights]
    return Recipe(
        entry=name,
        architecture=study.arch,
        pixels=study.pixels,
        seed=study.seed,
        threads=study.threads,
        store_sha256=data.store_sha256,
        split_sha256=data.split_sha256,
        start=begins if parent is None else f"parent {parent.entry}",
        parent_sha256=None if parent is None else parent.sha256,
        batch=min(entry.batch, DEMO_BATCH) if demo else entry.batch,
        learning_rate=entry.learning_rate,
        loss=entry.loss,
        sampling=entry.sampling,
        draws=_draws(entry, training_images, demo),
        trainable_tensors=entry.trainable_tensors,
        normalise=entry.normalise,
    )


def read(file: Path) -> Recipe:
    """The recipe in `file`, as `resolve` made it."""
    return Recipe.model_validate_json(file.read_text(encoding="utf-8"))


def _draws(entry: Classifier, training_images: int, demo: bool) -> list[int]:
    """Images drawn in each epoch."""
    if entry.draws is None:
        stages: list[tuple[int, int]] = []
    elif isinstance(entry.draws, int):
        stages = [(entry.draws, entry.epochs)]
    else:
        stages = entry.draws
    rest = entry.epochs - sum(epochs for _, epochs in stages)
    epochs = entry.epochs
    if demo:
        # Every stage is kept, one epoch at least; what comes after the stages counts as one.
        stages = [(_in_proportion(draws, training_images), _fewer(n)) for draws, n in stages]
        epochs = max(DEMO_LEAST_EPOCHS, round(epochs * DEMO_EPOCHS), sum(n for _, n in stages) + (rest > 0))
        if stages and rest == 0:
            stages[-1] = (stages[-1][0], epochs - sum(n for _, n in stages[:-1]))
    drawn = [draws for draws, n in stages for _ in range(n)]
    return drawn + [training_images] * (epochs - len(drawn))


def _in_proportion(images: int, training_images: int) -> int:
    return max(1, round(images * training_images / THESIS_TRAINING_IMAGES))


def _fewer(epochs: int) -> int:
    return max(1, round(epochs * DEMO_EPOCHS))
