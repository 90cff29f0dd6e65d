"""A study: what every entry of one zoo is trained on. Its name keeps its runs and archives apart from others'."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lesions.errors import UserError
from lesions.split import SplitName, fold_number

ROOT = Path(__file__).resolve().parents[1]
"""The checkout, by the place of this package."""
SCALES: dict[str, int] = {"demo": 64, "small": 64, "medium": 160, "paper": 224}
"""The classifier's pixels at each scale."""
THESIS_ARCHITECTURE = "tf_efficientnet_b0"
"""The thesis's backbone (timm's name): the default at scale `paper`."""
SMALL_ARCHITECTURE = "tf_efficientnet_lite0"
"""The default elsewhere: its ImageNet weights come with the installation."""

EXAMPLES = {
    "data": "phantom, or a folder, zip file or table of images with their classes",
    "weights": "imagenet, or a .safetensors file",
    "arch": "a timm network, say mobilenetv2_100",
}


class StudyError(UserError):
    """Impossible settings, or settings that contradict those that a study was made with."""


class Study(BaseModel):
    """The settings of a study, with every default filled in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Annotated[str, Field(min_length=1)] = "phantom"
    """`phantom`, or the path of labeled images, such as HAM10000 as downloaded (`lesions.sources`): absolute, or ./path
    below the checkout, which may be moved.
    """
    scale: Literal["demo", "small", "medium", "paper"] = "demo"
    split: SplitName = "lesion"
    weights: Annotated[str, Field(min_length=1)] = "imagenet"
    """Where transfer starts: `imagenet`, or the path of a safetensors file, as for `data`."""
    arch: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$")] = SMALL_ARCHITECTURE
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 123
    """Of classifiers; the default of a fold is its number."""
    generator_seed: Annotated[int, Field(ge=0, lt=2**31)] = 123
    """Of generators, which another `seed` leaves as they are."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """Threads of one training: another number rounds differently, and so gives other weights."""
    scc: Literal["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"] | None = None
    """The class that squamous cell carcinomas of the data count as; none: they are left out."""

    @property
    def pixels(self) -> int:
        """The classifier's image size."""
        return SCALES[self.scale]

    @property
    def data_name(self) -> str:
        """A short name of the data, for people."""
        return "phantom" if self.data == "phantom" else _slug(Path(self.data).stem)

    @property
    def name(self) -> str:
        """The study's own name: data and scale, then whatever differs from the default."""
        defaults = default_study(self.data, self.scale, self.split)
        parts = [self.data_name, self.scale]
        if self.arch != defaults.arch:
            parts.append(self.arch)
        if self.weights != defaults.weights:
            parts.append(_slug(Path(self.weights).stem.removeprefix(f"{self.arch}_")))
        if self.split != defaults.split:
            parts.append(self.split)
        numbers = {key: getattr(self, key) for key in ("seed", "generator_seed", "threads")}
        parts += [f"{key}{value}" for key, value in numbers.items() if value != getattr(defaults, key)]
        if self.scc:
            parts.append(f"scc_{self.scc}")
        return "-".join(parts)


def default_study(data: str, scale: str | None = None, split: str | None = None) -> Study:
    """The defaults, which depend on the data (a demo for the phantom, the thesis's figures for the real thing), on the
    scale, and on the fold.
    """
    scale = scale or ("demo" if data == "phantom" else "paper")
    study = Study.model_validate({"data": data, "scale": scale, "arch": default_architecture(scale)})
    # Each fold has a seed of its own, so that differences between folds have that of the seeds in them, too.
    fold = None if split not in get_args(SplitName) else fold_number(cast(SplitName, split))
    return study if fold is None else study.model_copy(update={"seed": fold, "generator_seed": fold})


def default_architecture(scale: str) -> str:
    """The network of a scale, unless ARCH names another one."""
    return THESIS_ARCHITECTURE if scale == "paper" else SMALL_ARCHITECTURE


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9_.]+", "_", name.lower()).strip("_.") or "data"


def _default_root() -> Path:
    """The checkout, or the folder in LESION_ZOO_ROOT; as a relative path if it is the working folder."""
    root = Path(os.environ.get("LESION_ZOO_ROOT") or ROOT)
    return Path() if root == Path.cwd() else root


@dataclass(frozen=True)
class Folders:
    """Where a study keeps its files, below a root: the checkout unless LESION_ZOO_ROOT names another folder."""

    name: str
    root: Path = field(default_factory=_default_root)

    @property
    def runs(self) -> Path:
        """Everything that training writes."""
        return self.root / "runs" / self.name

    @property
    def data(self) -> Path:
        """What the study knows of its data (`zoo.kinds.base.Data`)."""
        return self.runs / "data.json"

    @property
    def serve(self) -> Path:
        """What belongs to the study's server: settings, logs, credentials."""
        return self.runs / "serve"

    @property
    def reports(self) -> Path:
        """What `make compare` writes."""
        return self.root / "reports" / self.name

    @property
    def split(self) -> Path:
        """Which image is in which part."""
        return self.runs / "split.csv"

    @property
    def archives(self) -> Path:
        """The study's part of the model store."""
        return self.root / "model_store" / self.name

    def run(self, entry: str) -> Path:
        """One entry's run."""
        return self.runs / entry

    def source(self, study: Study) -> Path:
        """The data as downloaded, or as drawn."""
        return self.root / "data" / "phantom" if study.data == "phantom" else ROOT / study.data

    def store(self, study: Study) -> Path:
        """The decoded cache, which studies of the same data and size share."""
        where = "" if study.data == "phantom" else f"-{hashlib.sha256(study.data.encode()).hexdigest()[:8]}"
        scc = f"-scc_{study.scc}" if study.scc else ""  # other images, and another order
        return self.root / "data" / "cache" / f"{study.data_name}{where}-{study.pixels}{scc}"

    @property
    def graphs(self) -> Path:
        """The graphs of exported networks without their weights, which studies share."""
        return self.root / "data" / "cache" / "graphs"

    def pool(self, generator: str, study: Study) -> Path:
        """The decoded cache of a generator's synthetic images, at the classifier's size."""
        return self.run(generator) / f"pool-{study.pixels}"

    def read(self) -> Study:
        """The study's settings. Raises `StudyError` where there is no such study."""
        try:
            study = Study.model_validate_json((self.runs / "study.json").read_bytes())
            # Earlier versions wrote absolute paths.
            return study.model_copy(update={"data": _movable(study.data), "weights": _movable(study.weights)})
        except FileNotFoundError:
            raise self._missing("study.json") from None
        except ValidationError:
            raise StudyError(f"{self.runs / 'study.json'} is damaged; delete it, and run `make zoo` again") from None

    def existing(self) -> "Folders":
        """The same. Raises `StudyError` where there is no such study, nor a folder of archives served by that name.

        What `make clean` keeps of a study, people's answers, is enough.
        """
        marks = ("study.json", "serve", "experiments", "events.*")
        if not any(any(self.runs.glob(mark)) for mark in marks):
            raise self._missing(*marks)
        return self

    def _missing(self, *marks: str) -> StudyError:
        """That there is no such study; the others are those whose folder has one of the `marks`."""
        known = sorted({file.parent.name for mark in marks for file in (self.root / "runs").glob(f"*/{mark}")})
        there = f"there are: {', '.join(known)}" if known else "there is none yet: `make zoo` makes one"
        return StudyError(f"no study {self.name!r}; {there}")


def settle(given: Mapping[str, str], name: str | None = None, root: Path | None = None) -> tuple[Folders, Study]:
    """The study that the `given` settings (and the `name`, if any) ask for, and its folders.

    Paths are made absolute, or ./path below the checkout; `~` is expanded. Raises `StudyError` for settings that cannot
    be, or that contradict those with which a study of that name was made.
    """
    settings = {key: _settled(key, value) for key, value in given.items()}
    if name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", name):
        raise StudyError(f"STUDY={name}: a name has letters, digits and - _ . only")
    try:
        defaults = default_study(settings.get("data", "phantom"), settings.get("scale"), settings.get("split"))
        study = Study.model_validate(defaults.model_dump() | settings)
    except ValidationError as error:
        problem = error.errors()[0]
        key = str(problem["loc"][0])
        allowed = f" ({EXAMPLES[key]})" if key in EXAMPLES else ""
        raise StudyError(f"{key.upper()}={settings.get(key, '')}: {problem['msg']}{allowed}") from None
    _exists(study)
    folders = Folders(name or study.name) if root is None else Folders(name or study.name, root)
    file = folders.runs / "study.json"
    if file.is_file():
        made_with = folders.read()
        if name is not None:
            study = made_with.model_copy(update={key: getattr(study, key) for key in settings})
        if differing := [key for key in Study.model_fields if getattr(study, key) != getattr(made_with, key)]:
            was = ", ".join(f"{key.upper()}={getattr(made_with, key)}" for key in differing)
            raise StudyError(
                f"the study {folders.name!r} was made with {was}; name another one with STUDY=, "
                f"or delete {folders.runs} and {folders.archives}"
            )
    return folders, study


def _settled(key: str, value: str) -> str:
    if not value:  # the current folder is not meant
        return value
    if (key == "data" and value != "phantom") or (key == "weights" and value != "imagenet"):
        try:
            return _movable(str(Path(value).expanduser().resolve()))
        except (OSError, RuntimeError) as error:  # no such user, or links in a circle
            raise StudyError(f"{key.upper()}={value}: {error}") from None
    return value.lower() if key == "scc" else value


def _movable(path: str) -> str:
    """An absolute path below the checkout, which may be moved, as ./path; all else as it is."""
    return f"./{Path(path).relative_to(ROOT)}" if Path(path).is_relative_to(ROOT) else path


def _exists(study: Study) -> None:
    if study.data != "phantom" and not (ROOT / study.data).exists():
        raise StudyError(f"DATA={study.data}: no such folder or file; it is {EXAMPLES['data']}")
    if study.weights != "imagenet" and not (ROOT / study.weights).is_file():
        raise StudyError(f"WEIGHTS={study.weights}: no such file; it is {EXAMPLES['weights']}")
