"""What all kinds of entries share: the schema, where a training starts, the recipe, and what a kind declares."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from lesions.errors import UserError
from zoo.study import Study

CLOSED = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
SOURCE = "source"
"""The run that holds a study's pretrained weights."""


def source_run(network: str | None) -> str:
    """The run that holds the ImageNet weights of an entry's own `network`; none: those of the study."""
    return SOURCE if network is None else f"{SOURCE}.{network}"


def source_network(run: str) -> str | None:
    """The network of a run that `source_run` named."""
    return run.removeprefix(SOURCE).removeprefix(".") or None


THESIS_TRAINING_IMAGES = 7011
"""The thesis's training images; scale `demo` has numbers of images in proportion to its own."""
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Stage = Annotated[tuple[Positive, Positive], Field(strict=False)]  # TOML has arrays, not tuples


class RecipeError(UserError):
    """An entry that is impossible at the study's scale, or a damaged recipe."""


class Thesis(BaseModel):
    """Where the thesis describes an experiment, and what it reported on its test split."""

    model_config = CLOSED

    section: str
    macro_f1: Annotated[float, Field(ge=0, le=1)] | None = None
    accuracy: Annotated[float, Field(ge=0, le=1)] | None = None


class Entry(BaseModel):
    """One entry of the catalog. A kind adds its options; an option at its default leaves the recipe as it is."""

    model_config = CLOSED

    kind: str
    about: Annotated[str, Field(min_length=1)]
    """The question that this experiment asks, in one sentence."""
    thesis: Thesis | None = None

    @property
    def requires(self) -> dict[str, tuple[str, str]]:
        """The entries that this one needs, by option: name and kind."""
        return {}


def check_options(*problems: tuple[bool, str]) -> None:
    """Raise `ValueError` for the first problem that is present."""
    for present, message in problems:
        if present:
            raise ValueError(message)


# ---- where a training starts


@dataclass(frozen=True)
class Random:
    """Random weights."""

    run: ClassVar[None] = None

    def __str__(self) -> str:
        return "random"


@dataclass(frozen=True)
class Pretrained:
    """The study's pretrained weights (its setting WEIGHTS); the classification layer starts at random."""

    source: str
    """`imagenet`, or a file's name."""
    sha256: str | None = None
    """Of the file, if they come from one."""
    run: ClassVar[str] = SOURCE

    def __str__(self) -> str:
        return self.source if self.sha256 is None else f"{self.source} sha256 {self.sha256}"


@dataclass(frozen=True)
class Parent:
    """The trained weights of another entry."""

    entry: str

    @property
    def run(self) -> str:
        """The run that holds the weights."""
        return self.entry

    def __str__(self) -> str:
        return f"parent {self.entry}"


def parse_start(start: object) -> Random | Pretrained | Parent:
    """The start that `str(start)` wrote into a recipe."""
    if isinstance(start, Random | Pretrained | Parent):
        return start
    text = str(start)
    source, with_digest, digest = text.partition(" sha256 ")
    if with_digest:
        return Pretrained(source, digest)
    if match := re.fullmatch(r"parent (\S+)", text):
        return Parent(match[1])
    return Random() if text == "random" else Pretrained(text)


Start = Annotated[Random | Pretrained | Parent, BeforeValidator(parse_start), PlainSerializer(str, return_type=str)]
"""Where a training starts; in a recipe's file: `random`, `parent NAME`, or what the pretrained weights are."""


# ---- recipes


class Data(BaseModel):
    """What a study knows of its data."""

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
    """An entry with every default filled in, at a study's scale: all that decides the weights of a training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]

    @property
    def training_images(self) -> int:
        """How many images a training sees, as far as the recipe says: long trainings start first."""
        return 0

    @property
    def text(self) -> str:
        """The file's content. A field at its default is left out: a new option changes no recipe that is without it."""
        return self.model_dump_json(indent=1, exclude_defaults=True) + "\n"

    @property
    def sha256(self) -> str:
        """The digest (hex) by which checkpoints, archives and other recipes know this one."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @classmethod
    def read(cls, file: Path) -> Self:
        """The recipe in `file`. Raises `RecipeError` where it is damaged."""
        return read_json(cls, file)


Model = TypeVar("Model", bound=BaseModel)


def read_json(schema: type[Model], file: Path) -> Model:
    """The model in a `file` that `make zoo` wrote. Raises `RecipeError` where it is damaged."""
    try:
        return schema.model_validate_json(file.read_bytes())
    except ValidationError:
        raise RecipeError(f"{file} is damaged; `make zoo` writes it again") from None


class Context(NamedTuple):
    """What a recipe is made of, beside its entry."""

    study: Study
    data: Data
    pretrained: Pretrained
    """The study's pretrained weights."""
    recipes: Mapping[str, Any] = {}
    """Recipes of the entries that the entry requires, by name."""


@dataclass(frozen=True)
class Kind:
    """All that is special about one kind of entry, declared in one place."""

    name: str
    """The value of `kind` in an entry."""
    schema: type[Entry]
    """What an entry may say."""
    recipe: type[Recipe]
    resolve: Callable[[str, Any, Context], Recipe]
    """From name, entry and context to the recipe. Raises `RecipeError` for an entry that is impossible there."""
    needs: Callable[[Any], list[str]]
    """From a recipe to the files that must be there before it is trained, below `runs/<study>/`."""
    trainer: str
    """The command that trains it: `python -m TRAINER NAME`."""
    files: tuple[str, ...]
    """What a finished run has beside its weights."""
    model: str
    """The model's name on the server, and its handler's in `handlers/`; an entry is one version of it."""
    batch: int
    """Requests that the server answers together."""
    probe: Callable[[], tuple[bytes, str]]
    """A small request that a working version answers: body and content type."""
    describe: Callable[[Any, Mapping[str, Any]], dict[str, Any]]
    """From a recipe and `scores.json` to what an archive's `entry.json` says of this kind alone."""
    scored: bool = True
    """Whether `scores.json` has scores of the validation and the test split."""
    draws_pool: bool = False
    """Whether a pool of synthetic images is drawn after training, for entries that require this one."""
