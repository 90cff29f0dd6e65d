"""The kind `classifier`: an experiment on telling seven classes of lesions apart (thesis sections 3 to 4)."""

import io
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from PIL import Image
from pydantic import Field, model_validator

from zoo.kinds.base import Context, Entry, Kind, Name, Parent, Positive, Random, Recipe, Stage, Start, check_options
from zoo.kinds.schedule import epoch_schedule

DEMO_BATCH = 20


class Classifier(Entry):
    """The options of a classifier. The defaults are the thesis's baseline.

    An option that is also a field of `ClassifierRecipe` is copied there.
    """

    kind: Literal["classifier"] = "classifier"
    weights: Literal["random", "pretrained"] = "random"
    """Where the backbone starts: random, or the study's WEIGHTS (the classification layer always starts at random)."""
    parent: Name | None = None
    """Another entry, whose trained weights this one starts from."""
    epochs: Annotated[int, Field(ge=1, le=1000)] = 10
    batch: Annotated[int, Field(ge=2, le=4096)] = 80
    """Images a step."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 3e-4
    """Adam's."""
    loss: Literal["cross_entropy", "weighted_cross_entropy"] = "cross_entropy"
    """Weighted: scikit-learn's "balanced" class weights of the labels as drawn, divided by their mean."""
    sampling: Literal["natural", "balanced"] = "natural"
    """Natural: each training image once an epoch. Balanced: drawn with replacement, each class equally often."""
    draws: Positive | list[Stage] | None = None
    """Balanced draws an epoch: one number; or stages `[[draws, epochs], ...]`, after which, as without this key, there
    are as many draws as training images."""
    trainable_tensors: Positive | None = None
    """Train only the last so many parameter tensors; batch norm stays in training mode (thesis section 4.9)."""
    normalise: Literal["data", "weights"] = "data"
    """Which channel statistics: the training split's, or those that the weights were trained with."""
    generator: Name | None = None
    """The generator entry whose pool of synthetic images is used."""
    fill_up: list[Stage] = Field(default=[])
    """Stages `[[images a class, epochs], ...]`: classes with fewer are filled up from the pool, anew each stage."""
    duplicates: bool = False
    """Fill up with copies of real images instead, each in one of the eight positions of a square."""
    real: bool = True
    """False: train on the generator's pool alone (classification accuracy score)."""

    @property
    def requires(self) -> dict[str, tuple[str, str]]:
        """The parent and the generator."""
        options = (("parent", self.parent, "classifier"), ("generator", self.generator, "generator"))
        return {option: (name, kind) for option, name, kind in options if name is not None}

    @model_validator(mode="after")
    def _check(self) -> Self:
        draw_stages = self.draws if isinstance(self.draws, list) else []
        starts_random = self.parent is None and self.weights == "random"
        unused = self.generator is not None and not self.fill_up and self.real
        check_options(
            (self.draws is not None and self.sampling != "balanced", "'draws' needs sampling = \"balanced\""),
            (sum(n for _, n in draw_stages) > self.epochs, "the stages of 'draws' are longer than 'epochs'"),
            (sum(n for _, n in self.fill_up) > self.epochs, "the stages of 'fill_up' are longer than 'epochs'"),
            (
                self.parent is not None and self.weights == "pretrained",
                "'parent' brings its own weights; leave 'weights' out",
            ),
            (
                bool(self.fill_up) and self.generator is None and not self.duplicates,
                "'fill_up' needs a 'generator', or duplicates = true",
            ),
            (self.duplicates and self.generator is not None, "'duplicates' are instead of a 'generator'"),
            (self.duplicates and not self.fill_up, "'duplicates' are used by 'fill_up' only"),
            (not self.real and self.generator is None, "real = false needs a 'generator'"),
            (
                not self.real and bool(self.fill_up),
                "'fill_up' fills up real images; with real = false there are none",
            ),
            (unused, "'generator' is used by 'fill_up' or real = false only"),
            (
                self.trainable_tensors is not None and starts_random,
                "'trainable_tensors' would freeze random weights; use weights = \"pretrained\" or a 'parent'",
            ),
            (
                self.normalise == "weights" and self.weights != "pretrained",
                'normalise = "weights" needs weights = "pretrained"',
            ),
        )
        return self


class ClassifierRecipe(Recipe):
    """All that decides the weights of one classifier. New fields go to the end and have a default."""

    kind: ClassVar[str] = "classifier"

    entry: str
    architecture: str
    pixels: int
    seed: int
    threads: int
    store_sha256: str
    split_sha256: str
    start: Start
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
    fill_up: list[int] = Field(default=[])
    """For each epoch, how many images a class is filled up to; 0 for none."""
    real: bool = True
    """False: synthetic images alone."""
    duplicates: bool = False
    """Classes are filled up with copies of real images."""

    @property
    def epochs(self) -> int:
        """How many epochs are trained."""
        return len(self.draws)

    @property
    def training_images(self) -> int:
        """The images drawn in all epochs."""
        return sum(self.draws)


def resolve(name: str, entry: Classifier, context: Context) -> ClassifierRecipe:
    """The recipe of `entry` in a study. Raises `RecipeError` where the generator's pool is too small for `fill_up`."""
    study, data = context.study, context.data
    demo = study.scale == "demo"
    parent = None if entry.parent is None else context.recipes[entry.parent]
    generator = None if entry.generator is None else context.recipes[entry.generator]
    pool = None if generator is None else list(generator.pool.values())
    fill_up, draws = epoch_schedule(entry, data.counts["train"], pool, demo)
    options = {
        option: getattr(entry, option) for option in Classifier.model_fields.keys() & ClassifierRecipe.model_fields
    }
    settled = {
        "entry": name,
        "architecture": study.arch,
        "pixels": study.pixels,
        "seed": study.seed,
        "threads": study.threads,
        "store_sha256": data.store_sha256,
        "split_sha256": data.split_sha256,
        "start": Parent(parent.entry) if parent else Random() if entry.weights == "random" else context.pretrained,
        "parent_sha256": parent and parent.sha256,
        "batch": min(entry.batch, DEMO_BATCH) if demo else entry.batch,
        "draws": draws,
        "generator_sha256": generator and generator.sha256,
        "fill_up": fill_up if entry.fill_up else [],
    }
    return ClassifierRecipe.model_validate(options | settled)


def needs(recipe: ClassifierRecipe) -> list[str]:
    """The weights that it starts from, and its generator's pool."""
    start = [] if recipe.start.run is None else [f"{recipe.start.run}/weights.safetensors"]
    return start + ([] if recipe.generator is None else [f"{recipe.generator}/pool/manifest.json"])


def describe(recipe: ClassifierRecipe, scores: Mapping[str, Any]) -> dict[str, Any]:
    """What only a classifier's `entry.json` has."""
    return {
        "architecture": recipe.architecture,
        "pixels": recipe.pixels,
        "mean": scores["mean"],
        "deviation": scores["deviation"],
        "scores": {key: scores[key] for key in ("best_epoch", "valid", "test", "last_epoch")},
    } | ({"calibration": scores["calibration"]} if "calibration" in scores else {})


def probe() -> tuple[bytes, str]:
    """A small picture."""
    content = io.BytesIO()
    Image.new("RGB", (64, 64), "tan").save(content, "PNG")
    return content.getvalue(), "image/png"


CLASSIFIER = Kind(
    name="classifier",
    schema=Classifier,
    recipe=ClassifierRecipe,
    resolve=resolve,
    needs=needs,
    trainer="train",
    files=("scores.json", "training.json", "predictions.csv", "model.onnx"),
    model="lesion_classifier",
    batch=8,
    probe=probe,
    describe=describe,
)
