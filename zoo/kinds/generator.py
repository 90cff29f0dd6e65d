"""The kind `generator`: a conditional GAN that draws synthetic lesions (thesis section 4.10)."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from lesions.labels import CLASSES
from zoo.kinds.base import SOURCE, THESIS_TRAINING_IMAGES, Context, Entry, Kind, Positive, Recipe, check_options

DiffAugmentChange = Literal["colour", "translation", "cutout"]
Tempering = Annotated[float, Field(gt=0, lt=1)]
CriticName = Literal["sagan", "projected"]
Chooser = Literal["kid", "gan_train"]


class Generator(Entry):
    """The options of a generator. The defaults are the thesis's SAGAN.

    An option that is also a field of `GeneratorRecipe` is copied there.
    """

    kind: Literal["generator"]
    width: Annotated[int, Field(ge=8, le=256)] = 64
    """Channels of the outermost stage, at scale `paper`; smaller scales are narrower."""
    steps: Positive = 22_000
    """Updates of each network, at scale `paper`; smaller scales train for fewer."""
    batch: Annotated[int, Field(ge=2, le=4096)] = 20
    """Real images a step, and as many fake ones."""
    learning_rate_generator: Annotated[float, Field(gt=0, le=1)] = 1e-4
    learning_rate_discriminator: Annotated[float, Field(gt=0, le=1)] = 4e-4
    """Adam's, as are `betas` and `epsilon`."""
    betas: Annotated[
        tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]], Field(strict=False)
    ] = (0.0, 0.999)
    epsilon: Annotated[float, Field(gt=0, le=1)] = 1e-6
    critic: CriticName = "sagan"
    """What the generator learns from: the thesis's projection discriminator of pixels; or heads on the features of a
    frozen ImageNet network (Sauer et al. 2021)."""
    sampling: Literal["natural", "balanced"] | Tempering = "natural"
    """Of real images: each once a pass over the data; or each class equally often, as fake ones are; or classes, both
    of real and of fake images, in proportion to this power of their numbers of images."""
    turns: Literal["none", "mirror", "quarter_turns"] = "mirror"
    """Of real images: as they are; flipped left to right or not; or in one of the eight positions of a square."""
    diffaugment: Literal[False] | Annotated[list[DiffAugmentChange], Field(min_length=1)] = False
    """Change real and fake images alike before they are judged (Zhao et al. 2020), and how; false: as they are."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Serve a moving average of the generator's weights, with this decay; none: the weights themselves."""
    class_loss: Annotated[float, Field(ge=0, le=100)] = 0.0
    """The strength of a loss for telling classes, real images' in the one network and asked ones in the other; 0: none.

    The discriminator's projection is the classifier (Han et al. 2021).
    """
    class_loss_generator: Annotated[float, Field(ge=0, le=100)] | None = None
    """The strength in the generator's step, where it differs; a high one makes images more typical than real ones."""
    mode_seeking: Annotated[float, Field(ge=0, le=100)] = 0.0
    """The strength of a loss against images that differ less than their latent vectors do (Mao et al. 2019); 0: none.

    Without it a class may collapse to a few images.
    """
    lecam: Annotated[float, Field(ge=0, le=100)] = 0.0
    """The strength of LeCam's regularization of the discriminator (Tseng et al. 2021); 0: none."""
    lecam_from: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """The step (from 0, at scale `paper`) from which LeCam regularizes; till then its averages settle."""
    best_by: Chooser = "kid"
    """What chooses the step that is served, on validation images: the smallest KID; or the best GAN-train, which is how
    well a linear classifier learns the classes from synthetic images alone (Shmelkov et al. 2018)."""
    pool: Annotated[int, Field(ge=7, le=1_000_000)] = 33_000
    """Synthetic images drawn after training, the classes sharing them equally, at scales `small` and `paper`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_options(
            (self.lecam > 0 and self.lecam_from is None, "'lecam' needs 'lecam_from', the step it begins at"),
            (self.lecam == 0 and self.lecam_from is not None, "'lecam_from' needs a 'lecam' above 0"),
            ((self.lecam_from or 0) >= self.steps, "'lecam_from' lies behind the last of 'steps'"),
            (
                self.class_loss == 0 and bool(self.class_loss_generator),
                "'class_loss_generator' needs a 'class_loss' above 0: else the critic does not learn the classes",
            ),
            (self.width % 8 != 0, "'width' is a multiple of 8: scale `demo` takes an eighth of it"),
        )
        return self


class Scale(NamedTuple):
    """What a study's scale makes of a generator."""

    pixels: int
    width: float
    """Times the entry's width."""
    steps: float
    """Times the entry's steps."""
    batch: float
    """Times the entry's batch: of few images a second, many small steps teach more than few large ones."""
    rate_generator: float
    """Times the entry's learning rate: networks that train for few steps need larger ones."""
    rate_discriminator: float
    """Likewise. At four times the thesis's a narrow discriminator no longer tells real from fake (tried at `demo`)."""
    canvases: int
    """Steps from one sample canvas to the next."""
    judgments: int
    """Steps from one measurement of quality to the next; the best of them is served."""
    class_loss_generator: float = 1
    """Times the entry's: in few steps a generator learns what the classes are only if that counts for much."""


# Those at `demo` were chosen by how well networks that were trained on the phantom's training images name the classes
# of what is drawn: the SAGAN's among twenty, the projected critic's among three. No test image had a part in it. At
# `small` they are one choice, tried once.
SMALL = Scale(64, 1 / 2, 3000 / 22_000, 1, 2, 2, 250, 500)
SCALES: dict[str, Scale] = {
    "demo": Scale(32, 1 / 8, 2800 / 22_000, 1 / 2, 2, 2, 200, 700),
    "small": SMALL,
    "medium": SMALL,
    "paper": Scale(128, 1, 1, 1, 1, 1, 500, 2000),
}
DEMO_SCALES: dict[CriticName, Scale] = {"projected": Scale(32, 1 / 4, 1200 / 30_000, 1 / 2, 4, 4, 200, 400, 50)}
"""That of `demo` for other critics. A frozen network takes most of a step's time, and teaches in fewer steps."""


class GeneratorRecipe(Recipe):
    """All that decides the weights and the pool of one generator. New fields go to the end and have a default."""

    kind: ClassVar[str] = "generator"

    entry: str
    pixels: int
    width: int
    seed: int
    threads: int
    store_sha256: str
    split_sha256: str
    architecture: str
    """The backbone whose features choose the best step."""
    source: str
    """What the backbone's weights are."""
    steps: int
    batch: int
    learning_rate_generator: float
    learning_rate_discriminator: float
    betas: tuple[float, float]
    epsilon: float
    sampling: Literal["natural", "balanced"] | Tempering
    turns: Literal["none", "mirror", "quarter_turns"]
    diffaugment: Literal[False] | list[DiffAugmentChange]
    ema: float | None
    ema_from: int
    """The step (from 0) from which weights are averaged."""
    class_loss: float
    lecam: float
    lecam_from: int
    canvas_every: int
    quality_every: int
    pool: dict[str, int]
    """Synthetic images of each class."""
    critic: CriticName = "sagan"
    class_loss_generator: float | None = None
    mode_seeking: float = 0.0
    best_by: Chooser = "kid"


def resolve(name: str, entry: Generator, context: Context) -> GeneratorRecipe:
    """The recipe of `entry` in a study."""
    study, data = context.study, context.data
    scale = DEMO_SCALES.get(entry.critic, SCALES["demo"]) if study.scale == "demo" else SCALES[study.scale]
    steps = max(1, round(entry.steps * scale.steps))
    images = entry.pool
    if study.scale == "demo":
        images = max(len(CLASSES), round(images * sum(data.counts["train"]) / THESIS_TRAINING_IMAGES))
    each, more = divmod(images, len(CLASSES))
    options = {
        option: getattr(entry, option) for option in Generator.model_fields.keys() & GeneratorRecipe.model_fields
    }
    settled = {
        "entry": name,
        "pixels": scale.pixels,
        "width": max(1, round(entry.width * scale.width)),
        "seed": study.generator_seed,
        "threads": study.threads,
        "store_sha256": data.store_sha256,
        "split_sha256": data.split_sha256,
        "architecture": study.arch,
        "source": str(context.pretrained),
        "steps": steps,
        "batch": max(2, round(entry.batch * scale.batch)),
        "learning_rate_generator": entry.learning_rate_generator * scale.rate_generator,
        "learning_rate_discriminator": entry.learning_rate_discriminator * scale.rate_discriminator,
        "class_loss_generator": None
        if entry.class_loss_generator is None
        else entry.class_loss_generator * scale.class_loss_generator,
        # A short training must not be averaged with its beginning: a tenth of it counts at most.
        "ema": None if entry.ema is None else min(entry.ema, max(0.0, 1 - 10 / steps)),
        "ema_from": min(1000, steps // 4),
        # Of a training that is cut short, three quarters are regularized at least.
        "lecam_from": min(entry.lecam_from or 0, steps // 4 if scale.steps < 1 else steps),
        "canvas_every": min(scale.canvases, steps),
        "quality_every": min(scale.judgments, steps),
        "pool": {label: each + (place < more) for place, label in enumerate(CLASSES)},
    }
    return GeneratorRecipe.model_validate(options | settled)


def describe(recipe: GeneratorRecipe, scores: Mapping[str, Any]) -> dict[str, Any]:
    """What only a generator's `entry.json` has."""
    scores = {key: value for key, value in scores.items() if key != "history"}
    return {"pixels": recipe.pixels, "width": recipe.width, "scores": scores}


GENERATOR = Kind(
    name="generator",
    schema=Generator,
    recipe=GeneratorRecipe,
    resolve=resolve,
    needs=lambda _: [f"{SOURCE}/weights.safetensors"],  # its quality is measured by the pretrained backbone's features
    trainer="gan",
    files=("scores.json", "training.json", "model.onnx"),
    model="lesion_generator",
    batch=1,
    probe=lambda: (b'{"class": "nv"}', "application/json"),
    describe=describe,
    scored=False,
    draws_pool=True,
)
