"""The kind `ensemble`: several classifiers that predict together, as one model."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from zoo.kinds.base import Context, Entry, Kind, Name, Recipe, check_options
from zoo.kinds.classifier import CLASSIFIER, EVALUATED


class Ensemble(Entry):
    """The options of an ensemble. Nothing is trained: weights and temperature are fitted on validation."""

    kind: Literal["ensemble"]
    members: Annotated[list[Name], Field(min_length=2, max_length=16)]
    """The classifiers; it predicts by a weighted mean of the logarithms of their probabilities."""

    @property
    def requires(self) -> dict[str, tuple[str, str]]:
        """The members."""
        return {f"members[{number}]": (name, CLASSIFIER.name) for number, name in enumerate(self.members)}

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_options((len(set(self.members)) < len(self.members), "'members' names a classifier twice"))
        return self


class EnsembleRecipe(Recipe):
    """All that decides an ensemble. New fields go to the end and have a default."""

    kind: ClassVar[str] = "ensemble"

    entry: str
    pixels: int
    store_sha256: str
    split_sha256: str
    members: dict[str, str]
    """The digest of each member's recipe, by entry."""


def resolve(name: str, entry: Ensemble, context: Context) -> EnsembleRecipe:
    """The recipe of `entry` in a study."""
    return EnsembleRecipe(
        entry=name,
        pixels=context.study.pixels,
        store_sha256=context.data.store_sha256,
        split_sha256=context.data.split_sha256,
        members={member: context.recipes[member].sha256 for member in entry.members},
    )


def describe(recipe: EnsembleRecipe, scores: Mapping[str, Any]) -> dict[str, Any]:
    """What an ensemble's `entry.json` has beside that of every entry."""
    return {
        "pixels": recipe.pixels,
        "members": scores["members"],
        "scores": {key: scores[key] for key in EVALUATED},
        "calibration": scores["calibration"],
    }


ENSEMBLE = Kind(
    name="ensemble",
    schema=Ensemble,
    recipe=EnsembleRecipe,
    resolve=resolve,
    needs=lambda recipe: [f"{member}/weights.safetensors" for member in recipe.members],
    trainer="zoo ensemble",
    files=CLASSIFIER.files,
    model=CLASSIFIER.model,
    batch=CLASSIFIER.batch,
    probe=CLASSIFIER.probe,
    describe=describe,
)
