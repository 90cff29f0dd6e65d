"""A recipe: an entry with every default settled, at a study's scale. Training depends on this and nothing else."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lesions.errors import UserError
from zoo.entry import Classifier
from zoo.study import Study

THESIS_TRAINING_IMAGES = 7011
"""The thesis's training images; `demo` scales numbers of images by its own over these."""

DEMO_EPOCHS, DEMO_LEAST_EPOCHS, DEMO_BATCH = 0.2, 3, 20

SOURCE_IMAGES, SOURCE_BATCH, SOURCE_PIXELS = 9000, 20, 64
"""The procedural source task: a minute and a half on one core, for features that are weak beside ImageNet's.

Chosen after four trials, by fine-tuned macro F1 on the phantom's validation and test images together."""


class Data(BaseModel):
    """What a study's data turned out to be."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)

    store_sha256: str
    split_sha256: str
    counts: dict[str, list[int]]
    """Images of each class, for each part of the split, and for what is left out, if anything is."""
    mean: list[float]
    """Of the training split's red, green and blue, on the scale 0 to 1."""
    std: list[float] = Field(alias="deviation")  # the file's key
    """The standard deviation of each, likewise."""


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
    generator: str | None = None
    """Whose synthetic images are added."""
    generator_sha256: str | None = None
    """The digest of the generator's recipe."""
    fill_up: list[int] = []
    """For each epoch, how many images a class is filled up to; 0 for none."""
    real: bool = True
    """False: synthetic images alone."""

    @property
    def epochs(self) -> int:
        """How many epochs are trained."""
        return len(self.draws)

    @property
    def text(self) -> str:
        """The file's content. What an entry does without is left out: new possibilities change no old recipe."""
        return self.model_dump_json(indent=1, exclude_defaults=True) + "\n"

    @property
    def sha256(self) -> str:
        """The digest (hex) by which children and checkpoints know this recipe."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class RecipeError(UserError):
    """An entry that cannot be at this scale, or a damaged recipe; `str()` says why."""


class Pool(NamedTuple):
    """What a recipe has to know of the synthetic images that a generator will draw."""

    recipe_sha256: str
    counts: Sequence[int]
    """Images of each class."""


def resolve(
    name: str, entry: Classifier, study: Study, data: Data, start: str, parent: Recipe | None, pool: Pool | None = None
) -> Recipe:
    """The recipe of `entry` in `study`; `start` names the pretrained weights, `pool` is its generator's.

    Raises `RecipeError` where classes are filled up with more images than the pool has.
    """
    demo = study.scale == "demo"
    begins = {"random": "random", "pretrained": start}[entry.weights]
    fill_up, draws = _schedules(entry, data.counts["train"], pool, demo)
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
        draws=draws,
        trainable_tensors=entry.trainable_tensors,
        normalise=entry.normalise,
        generator=entry.generator,
        generator_sha256=None if pool is None else pool.recipe_sha256,
        fill_up=fill_up if entry.fill_up else [],
        real=entry.real,
    )


def read(file: Path) -> Recipe:
    """The recipe in `file`, as `resolve` made it. Raises `RecipeError` where it is damaged."""
    return parsed(Recipe, file)


def read_data(file: Path) -> Data:
    """What `file` says of a study's data. Raises `RecipeError` where it is damaged."""
    return parsed(Data, file)


Written = TypeVar("Written", bound=BaseModel)


def parsed(schema: type[Written], file: Path) -> Written:
    """What is in `file`, which `make zoo` wrote by `schema`. Raises `RecipeError` where it is damaged."""
    try:
        return schema.model_validate_json(file.read_bytes())
    except ValidationError:
        raise RecipeError(f"{file} is damaged; `make zoo` writes it again") from None


def _schedules(entry: Classifier, real: Sequence[int], pool: Pool | None, demo: bool) -> tuple[list[int], list[int]]:
    """For each epoch: what classes are filled up to (0: nothing), and how many images are drawn."""
    stages = {
        "draws": [(entry.draws, entry.epochs)] if isinstance(entry.draws, int) else (entry.draws or []),
        "fill_up": entry.fill_up,
    }
    epochs = entry.epochs
    if demo:
        # Every stage is kept, one epoch at least; what comes after the stages counts as one.
        after = {key: entry.epochs > sum(n for _, n in several) for key, several in stages.items()}
        stages = {
            key: [(_in_proportion(images, sum(real)), _fewer(n)) for images, n in several]
            for key, several in stages.items()
        }
        least = [sum(n for _, n in several) + after[key] for key, several in stages.items()]
        epochs = max(DEMO_LEAST_EPOCHS, round(epochs * DEMO_EPOCHS), *least)
        stages = {key: _stretched(several, epochs, after[key]) for key, several in stages.items()}
    fill_up = _by_epoch(stages["fill_up"], epochs)
    draws = _by_epoch(stages["draws"], epochs)
    return fill_up, [drawn or _images(entry, real, target, pool) for drawn, target in zip(draws, fill_up, strict=True)]


def _images(entry: Classifier, real: Sequence[int], target: int, pool: Pool | None) -> int:
    """How many images there are to train on in an epoch whose classes are filled up to `target`."""
    if not entry.real:
        assert pool is not None
        return sum(pool.counts)
    if target:
        assert pool is not None
        if max(target - have - more for have, more in zip(real, pool.counts, strict=True)) > 0:
            raise RecipeError(
                f"classes filled up to {target} images: the pool of {entry.generator} is too small for it"
            )
    return sum(max(have, target) for have in real)


def _by_epoch(stages: Sequence[tuple[int, int]], epochs: int) -> list[int]:
    """What each epoch's stage says, 0 behind the last."""
    said = [images for images, n in stages for _ in range(n)]
    return said + [0] * (epochs - len(said))


def _stretched(stages: list[tuple[int, int]], epochs: int, something_after: bool) -> list[tuple[int, int]]:
    """The stages, the last as long as it takes if they are to fill all epochs."""
    if not stages or something_after:
        return stages
    return [*stages[:-1], (stages[-1][0], epochs - sum(n for _, n in stages[:-1]))]


def _in_proportion(images: int, training_images: int) -> int:
    return max(1, round(images * training_images / THESIS_TRAINING_IMAGES))


def _fewer(epochs: int) -> int:
    return max(1, round(epochs * DEMO_EPOCHS))
