"""The kind `classifier`: an experiment on telling seven classes of lesions apart (thesis sections 3 to 4)."""

import io
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from PIL import Image
from pydantic import Field, model_validator

from lesions.split import fold_number
from zoo.kinds.base import (
    Context,
    Entry,
    Kind,
    Name,
    Parent,
    Positive,
    Pretrained,
    Random,
    Recipe,
    RecipeError,
    Stage,
    Start,
    check_options,
    source_run,
)
from zoo.kinds.schedule import epoch_schedule

DEMO_BATCH = 20
CYCLE_STEPS = 10
"""The fewest steps that have a rise (a fifth of them) and a fall."""
EVALUATED = ("valid", "test", "challenge", "malignancy")
"""The keys of `scores.json` that `zoo.metrics.evaluation` fills."""
UNTRAINED = frozenset({"kind", "about", "thesis", "parent", "epochs", "views"})
"""The keys of an entry that trains for no epochs."""


class Classifier(Entry):
    """The options of a classifier. The defaults are the thesis's baseline.

    An option that is also a field of `ClassifierRecipe` is copied there.
    """

    kind: Literal["classifier"] = "classifier"
    network: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$")] | None = None
    """A network of timm instead of the study's ARCH. Its pretrained weights are ImageNet's."""
    weights: Literal["random", "pretrained"] = "random"
    """Where the backbone starts: random, or the study's WEIGHTS (the classification layer always starts at random)."""
    parent: Name | None = None
    """Another entry, whose trained weights this one starts from."""
    epochs: Annotated[int, Field(ge=0, le=1000)] = 10
    """0: the parent's weights as they are, with other `views`."""
    batch: Annotated[int, Field(ge=2, le=4096)] = 80
    """Images a step."""
    optimizer: Literal["adam", "adamw"] = "adam"
    """AdamW decouples `weight_decay` from the gradients (Loshchilov & Hutter, ICLR 2019)."""
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """AdamW's; norms and biases have none."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 3e-4
    """The optimizer's; of one cycle, the peak."""
    schedule: Literal["constant", "one_cycle"] = "constant"
    """One cycle (Smith & Topin 2018): the learning rate rises for a fifth of the steps, then falls to nearly 0."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Validate and keep a moving average of the weights, with this decay; none: the weights themselves."""
    drop: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of features dropped before the classification layer in training (dropout)."""
    keep: Literal["best", "last"] = "best"
    """Which epoch's weights: those with the best macro F1 on validation, or the last."""
    augment: Literal["none", "flips", "standard"] = "none"
    """How training images are changed, anew in each step (`train.augment`)."""
    views: Literal[1, 8] = 1
    """8: predict from the mean of the feature maps of an image's eight positions of a square (`zoo.models.views`)."""
    loss: Literal["cross_entropy", "weighted_cross_entropy"] = "cross_entropy"
    """Weighted: scikit-learn's "balanced" class weights of the labels as drawn, divided by their mean."""
    logit_adjustment: Annotated[float, Field(ge=0, le=2)] = 0.0
    """In training, add this many times the logarithm of the classes' shares to the logits (Menon et al., ICLR 2021)."""
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
            (self.parent is not None and self.network is not None, "'parent' brings its own network"),
            (self.weight_decay > 0 and self.optimizer == "adam", "'weight_decay' needs optimizer = \"adamw\""),
            (
                self.logit_adjustment > 0 and self.loss != "cross_entropy",
                "'logit_adjustment' and a weighted loss both correct for the classes' shares; use one",
            ),
            (
                self.logit_adjustment > 0 and self.sampling == "balanced",
                "'logit_adjustment' does nothing where classes are drawn equally often",
            ),
            (
                self.logit_adjustment > 0 and (bool(self.fill_up) or not self.real),
                "'logit_adjustment' needs the natural shares of classes, which 'fill_up' and real = false change",
            ),
            (self.epochs == 0 and self.parent is None, "epochs = 0 needs a 'parent', whose weights are used"),
            (
                self.epochs == 0 and not self.model_fields_set <= UNTRAINED,
                "epochs = 0 trains nothing: of the options, only 'parent' and 'views' have a meaning",
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
    draws: list[int]
    """Images drawn in each epoch; its length is the number of epochs. None: the parent's weights as they are."""
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
    network: str | None = None
    """The entry's own network, whose pretrained weights are ImageNet's; none: the study's."""
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: float = 0.0
    schedule: Literal["constant", "one_cycle"] = "constant"
    ema: float | None = None
    drop: float = 0.0
    keep: Literal["best", "last"] = "best"
    augment: Literal["none", "flips", "standard"] = "none"
    views: Literal[1, 8] = 1
    logit_adjustment: float = 0.0

    @property
    def start_run(self) -> str | None:
        """The run whose weights it starts from; none for random weights."""
        return source_run(self.network) if isinstance(self.start, Pretrained) else self.start.run

    @property
    def epochs(self) -> int:
        """How many epochs are trained."""
        return len(self.draws)

    @property
    def training_images(self) -> int:
        """The images drawn in all epochs."""
        return sum(self.draws)


def resolve(name: str, entry: Classifier, context: Context) -> ClassifierRecipe:
    """The recipe of `entry` in a study.

    Raises `RecipeError` where the generator's pool is too small for `fill_up`, or one cycle would have too few steps.
    """
    study, data = context.study, context.data
    demo = study.scale == "demo"
    parent = None if entry.parent is None else context.recipes[entry.parent]
    generator = None if entry.generator is None else context.recipes[entry.generator]
    if entry.epochs == 0:
        assert isinstance(parent, ClassifierRecipe)
        return parent.model_copy(
            update={"entry": name, "start": Parent(parent.entry), "parent_sha256": parent.sha256, "draws": []}
            | {"fill_up": [], "views": entry.views}
        )
    network = None if entry.network == study.arch else entry.network
    pool = None if generator is None else list(generator.pool.values())
    fill_up, draws = epoch_schedule(entry, data.counts["train"], pool, demo)
    batch = min(entry.batch, DEMO_BATCH) if demo else entry.batch
    if entry.schedule == "one_cycle" and (steps := sum(-(-images // batch) for images in draws)) < CYCLE_STEPS:
        few = f"one cycle needs {CYCLE_STEPS} steps at least, these images and epochs give {steps}"
        raise RecipeError(f"{name}: {few}; leave it out: make zoo ENTRIES=...")
    options = {
        option: getattr(entry, option) for option in Classifier.model_fields.keys() & ClassifierRecipe.model_fields
    }
    settled = {
        "entry": name,
        "architecture": parent.architecture if parent else network or study.arch,
        "network": parent.network if parent else network,
        "pixels": study.pixels,
        "seed": study.seed,
        "threads": study.threads,
        "store_sha256": data.store_sha256,
        "split_sha256": data.split_sha256,
        "start": _start(entry, network, context),
        "parent_sha256": parent and parent.sha256,
        "batch": batch,
        "draws": draws,
        "generator_sha256": generator and generator.sha256,
        "fill_up": fill_up if entry.fill_up else [],
        # Over folds, recipes are compared: the choice of an epoch on few validation images is no part of them.
        "keep": entry.keep if fold_number(study.split) is None else "last",
    }
    return ClassifierRecipe.model_validate(options | settled)


def _start(entry: Classifier, network: str | None, context: Context) -> Random | Pretrained | Parent:
    """Where the training of `entry` starts; WEIGHTS, where it is a file, is of the study's own network."""
    if entry.parent is not None:
        return Parent(entry.parent)
    if entry.weights == "random":
        return Random()
    return context.pretrained if network is None else Pretrained("imagenet")


def needs(recipe: ClassifierRecipe) -> list[str]:
    """The weights that it starts from, and its generator's pool."""
    start = [] if recipe.start_run is None else [f"{recipe.start_run}/weights.safetensors"]
    return start + ([] if recipe.generator is None else [f"{recipe.generator}/pool/manifest.json"])


def describe(recipe: ClassifierRecipe, scores: Mapping[str, Any]) -> dict[str, Any]:
    """What only a classifier's `entry.json` has."""
    return {
        "architecture": recipe.architecture,
        "pixels": recipe.pixels,
        "mean": scores["mean"],
        "deviation": scores["deviation"],
        "scores": {key: scores[key] for key in ("best_epoch", "last_epoch", *EVALUATED) if key in scores},
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
