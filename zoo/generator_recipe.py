"""A generator's recipe: its entry, every default settled, at a study's scale. Its training depends on this alone."""

import hashlib
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from lesions.labels import CLASSES
from zoo.entry import Change, Generator
from zoo.recipe import THESIS_TRAINING_IMAGES, Data, parsed
from zoo.study import Study


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


# Those at `demo` were chosen among twenty by how well two small networks, trained on the phantom's training images,
# name the classes of what is drawn; no test image had a part in it. At `small` they are one choice, tried once.
SCALES: dict[str, Scale] = {
    "demo": Scale(32, 1 / 8, 2800 / 22_000, 1 / 2, 2, 2, 200, 400),
    "small": Scale(64, 1 / 2, 3000 / 22_000, 1, 2, 2, 250, 500),
    "paper": Scale(128, 1, 1, 1, 1, 1, 500, 2000),
}


class GeneratorRecipe(BaseModel):
    """All that decides the weights and the pool of one generator."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    sampling: Literal["natural", "balanced"]
    turns: Literal["none", "mirror", "quarter_turns"]
    diffaugment: Literal[False] | list[Change]
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

    @property
    def text(self) -> str:
        """The file's content."""
        return self.model_dump_json(indent=1) + "\n"

    @property
    def sha256(self) -> str:
        """The digest (hex) by which checkpoints, pools and classifiers know this recipe."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def resolve(name: str, entry: Generator, study: Study, data: Data, source: str) -> GeneratorRecipe:
    """The recipe of `entry` in `study`; `source` says what the study's pretrained weights are."""
    scale = SCALES[study.scale]
    steps = max(1, round(entry.steps * scale.steps))
    images = entry.pool
    if study.scale == "demo":
        images = max(len(CLASSES), round(images * sum(data.counts["train"]) / THESIS_TRAINING_IMAGES))
    each, more = divmod(images, len(CLASSES))
    return GeneratorRecipe(
        entry=name,
        pixels=scale.pixels,
        width=max(1, round(entry.width * scale.width)),
        seed=study.generator_seed,
        threads=study.threads,
        store_sha256=data.store_sha256,
        split_sha256=data.split_sha256,
        architecture=study.arch,
        source=source,
        steps=steps,
        batch=max(2, round(entry.batch * scale.batch)),
        learning_rate_generator=entry.learning_rate_generator * scale.rate_generator,
        learning_rate_discriminator=entry.learning_rate_discriminator * scale.rate_discriminator,
        betas=entry.betas,
        epsilon=entry.epsilon,
        sampling=entry.sampling,
        turns=entry.turns,
        diffaugment=entry.diffaugment,
        # A short training must not be averaged with where it began: a tenth of it counts at most.
        ema=None if entry.ema is None else min(entry.ema, max(0.0, 1 - 10 / steps)),
        ema_from=min(1000, steps // 4),
        class_loss=entry.class_loss,
        lecam=entry.lecam,
        lecam_from=min(entry.lecam_from or 0, steps // 4),
        canvas_every=min(scale.canvases, steps),
        quality_every=min(scale.judgments, steps),
        pool={label: each + (place < more) for place, label in enumerate(CLASSES)},
    )


def read(file: Path) -> GeneratorRecipe:
    """The recipe in `file`, as `resolve` made it. Raises `RecipeError` where it is damaged."""
    return parsed(GeneratorRecipe, file)
