"""The schema of an entry: what one TOML file in `zoo/entries/` may say. The defaults are the thesis's baseline."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from lesions.errors import UserError

ENTRIES = Path(__file__).parent / "entries"
"""Where the catalog lives; the file's name is the entry's name."""

CLOSED = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class EntryError(UserError):
    """An entry that cannot be: `str()` names the file, the key and what is allowed."""


class Thesis(BaseModel):
    """Where the thesis describes this experiment, and what it reported on its test split."""

    model_config = CLOSED

    section: str
    macro_f1: Annotated[float, Field(ge=0, le=1)] | None = None
    accuracy: Annotated[float, Field(ge=0, le=1)] | None = None


RESERVED = ("source", "serve", "pool", "report")
"""Names that the zoo uses itself, in `runs/<study>/` or as a command."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Change = Literal["colour", "translation", "cutout"]
Stage = Annotated[tuple[Positive, Positive], Field(strict=False)]  # TOML has arrays, not tuples


class Classifier(BaseModel):
    """One experiment on the classifier (thesis sections 3 to 4)."""

    model_config = CLOSED

    kind: Literal["classifier"] = "classifier"
    about: Annotated[str, Field(min_length=1)]
    """The question that this experiment asks, in one sentence."""
    thesis: Thesis | None = None
    weights: Literal["random", "pretrained"] = "random"
    """Where the backbone starts: random, or the study's WEIGHTS (the classifier itself always starts at random)."""
    parent: Name | None = None
    """Another entry, whose trained weights this one goes on from."""
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
    """The generator entry whose synthetic pool is used."""
    fill_up: list[Stage] = []
    """Stages `[[images a class, epochs], ...]`: classes with fewer are filled up from the pool, anew each stage."""
    real: bool = True
    """False: train on the generator's pool alone (classification accuracy score)."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        lasting = self.draws if isinstance(self.draws, list) else []
        synthetic_only, filled_up = not self.real, bool(self.fill_up)
        child, pretrained = self.parent is not None, self.weights == "pretrained"
        problems = (
            (self.draws is not None and self.sampling != "balanced", "'draws' needs sampling = \"balanced\""),
            (sum(n for _, n in lasting) > self.epochs, "the stages of 'draws' are longer than 'epochs'"),
            (sum(n for _, n in self.fill_up) > self.epochs, "the stages of 'fill_up' are longer than 'epochs'"),
            (child and pretrained, "'parent' brings its own weights; leave 'weights' out"),
            (filled_up and self.generator is None, "'fill_up' needs a 'generator'"),
            (synthetic_only and self.generator is None, "real = false needs a 'generator'"),
            (synthetic_only and filled_up, "'fill_up' fills up real images; with real = false there are none"),
            (
                self.generator is not None and not filled_up and not synthetic_only,
                "'generator' is used by 'fill_up' or real = false only",
            ),
            (
                self.trainable_tensors is not None and not child and not pretrained,
                "'trainable_tensors' would freeze random weights; use weights = \"pretrained\" or a 'parent'",
            ),
            (self.normalise == "weights" and not pretrained, 'normalise = "weights" needs weights = "pretrained"'),
        )
        for present, problem in problems:
            if present:
                raise ValueError(problem)
        return self


class Generator(BaseModel):
    """One conditional GAN that draws synthetic lesions (thesis section 4.10). The defaults are the thesis's SAGAN."""

    model_config = CLOSED

    kind: Literal["generator"]
    about: Annotated[str, Field(min_length=1)]
    thesis: Thesis | None = None
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
    sampling: Literal["natural", "balanced"] = "natural"
    """Of real images: each once a pass over the data; or each class equally often, as fake ones are."""
    turns: Literal["none", "mirror", "quarter_turns"] = "mirror"
    """Of real images: as they are; flipped left to right or not; or in one of the eight positions of a square."""
    diffaugment: Literal[False] | Annotated[list[Change], Field(min_length=1)] = False
    """Change real and fake images alike before they are judged (Zhao et al. 2020), and how; false: as they are."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Serve a moving average of the generator's weights, with this decay; none: the weights themselves."""
    class_loss: Annotated[float, Field(ge=0, le=100)] = 0.0
    """The strength of a loss for telling classes, real images' in the one network and asked ones in the other; 0: none.

    The discriminator's projection is the classifier (Han et al. 2021).
    """
    lecam: Annotated[float, Field(ge=0, le=100)] = 0.0
    """The strength of LeCam's regularization of the discriminator (Tseng et al. 2021); 0: none."""
    lecam_from: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """The step (from 0, at scale `paper`) from which LeCam regularizes; till then its averages settle."""
    pool: Annotated[int, Field(ge=7, le=1_000_000)] = 33_000
    """Synthetic images drawn after training, the classes sharing them equally, at scales `small` and `paper`."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        problems = (
            (self.lecam > 0 and self.lecam_from is None, "'lecam' needs 'lecam_from', the step it begins at"),
            (self.lecam == 0 and self.lecam_from is not None, "'lecam_from' needs a 'lecam' above 0"),
            (
                self.lecam_from is not None and self.lecam_from >= self.steps,
                "'lecam_from' lies behind the last of 'steps'",
            ),
            (self.width % 8 != 0, "'width' is a multiple of 8: scale `demo` takes an eighth of it"),
        )
        for present, problem in problems:
            if present:
                raise ValueError(problem)
        return self


Entry = Classifier | Generator
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="kind")])


def read(file: Path) -> Entry:
    """The entry in one TOML `file`. Raises `EntryError`."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise EntryError(f"{file}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is not all that tomllib raises
        raise EntryError(f"{file}: not TOML: {error}") from None
    try:
        return _ENTRY.validate_python({"kind": "classifier"} | content)
    except ValidationError as error:
        problems = "; ".join(_explain(content, problem) for problem in error.errors())  # type: ignore[arg-type]
        raise EntryError(f"{file}: {problems}") from None


def _explain(content: dict[str, object], problem: dict[str, object]) -> str:
    """One of pydantic's problems, in the words of the person who wrote the file."""
    location = [str(part) for part in problem["loc"] if part not in ("classifier", "generator")]  # type: ignore[attr-defined]
    key = ".".join(location) or "entry"
    schema = Generator if content.get("kind") == "generator" else Classifier
    if problem["type"] == "extra_forbidden":
        allowed = Thesis.model_fields if location[:-1] == ["thesis"] else schema.model_fields
        return f"unknown key {key!r}; allowed: {', '.join(allowed)}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return message if key == "entry" else f"{key}: {message}"


def catalog(folder: Path = ENTRIES) -> dict[str, Entry]:
    """Every entry of `folder` by name, parents before their children.

    Raises `EntryError` for the first file that is wrong, a parent or generator that is not there, or a circle.
    """
    entries: dict[str, Entry] = {}
    for file in sorted(folder.glob("*.toml")):
        try:
            TypeAdapter(Name).validate_python(file.stem)
        except ValidationError:
            raise EntryError(f"{file}: a name has small letters, digits and _ only, and begins with a letter") from None
        if file.stem in RESERVED:
            raise EntryError(
                f"{file}: {file.stem!r} is what a folder beside the entries' runs is called; name it otherwise"
            )
        entries[file.stem] = read(file)
    ordered: dict[str, Entry] = {}
    for name in entries:
        _place(name, entries, ordered, folder, ())
    return ordered


def _place(
    name: str, entries: dict[str, Entry], ordered: dict[str, Entry], folder: Path, trail: tuple[str, ...]
) -> None:
    entry = entries[name]
    if name in trail:
        raise EntryError(f"{folder / name}.toml: parents go round in a circle: {' -> '.join((*trail, name))}")
    if name in ordered:
        return
    if isinstance(entry, Classifier):
        for key, other, kind in (("parent", entry.parent, Classifier), ("generator", entry.generator, Generator)):
            if other is not None and not isinstance(entries.get(other), kind):
                names = ", ".join(n for n, e in entries.items() if isinstance(e, kind) and n != name) or "none yet"
                raise EntryError(f"{folder / name}.toml: {key}: no such entry {other!r}; there are: {names}")
            if other is not None:
                _place(other, entries, ordered, folder, (*trail, name))
    ordered[name] = entry
