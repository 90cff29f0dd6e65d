"""An experiment: a small file, `runs/<study>/experiments/<name>.toml`."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def check_name(name: str) -> str:
    """An experiment's name, if it may be one: it is part of a path. Raises `ValueError`."""
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", name):
        raise ValueError(f"{name!r:.70} is no name: small letters, digits, _ and -; a letter first, 64 at most")
    return name


def _check_version(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise ValueError(f"{name!r:.70} is no version's name: small letters, digits and _; a letter first, 64 at most")
    return name


Version = Annotated[str, AfterValidator(_check_version)]
Metric = Literal["accuracy", "balanced_accuracy", "macro_f1"]
Time = Annotated[float, Field(ge=0, lt=253_402_300_800)]
"""Seconds since 1970, UTC; before the year 10,000, which is no date of Python's."""
Identity = tuple[str, float]
"""An experiment's name and when it was started: a file may be deleted, and its name used again."""
SUM = 1e-6
"""How far the sum of the shares may be from 1."""


class Guard(BaseModel):
    """When an arm is taken out by itself: its clients then belong to the others."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    errors: float = Field(0.05, gt=0, le=1)
    """The largest share of failures (5xx) among the last `answers` of an arm."""
    latency_ms: float = Field(10_000, gt=0)
    """The largest median of the time of an answer."""
    answers: int = Field(100, ge=10, le=10_000)
    """Over how many of an arm's last answers; before so many, no arm is taken out."""


class Removal(BaseModel):
    """An arm that was taken out: by the guard, or by a person."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: Time
    reason: str


class Earlier(BaseModel):
    """The shares until they were changed, or until an arm that was taken out came back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arms: dict[Version, Annotated[float, Field(ge=0, le=1)]]
    removed: dict[Version, Removal] = {}
    until: Time


class Experiment(BaseModel):
    """Arms with shares, and shadows, which answer unseen; how they are judged; and what has happened so far."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(check_name)]
    started: Time
    ended: Time | None = None
    metric: Metric = "accuracy"
    smallest_difference: float = Field(0.03, gt=0, lt=1)
    """Of interest: a loss smaller than this is no worse."""
    arms: dict[Version, Annotated[float, Field(ge=0, le=1)]]
    """Their shares, which add up to 1. The first is the reference."""
    earlier: tuple[Earlier, ...] = ()
    """Before each change, the oldest first: clients move as little as they can."""
    shadows: tuple[Version, ...] = ()
    guard: Guard = Guard()
    removed: dict[Version, Removal] = {}
    """Arms that were taken out; they keep their share in `arms`."""
    weights: dict[Version, str] = {}
    """The sha256 of the weights of each version when it began, or when `make experiment` first saw it served."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.arms or abs(sum(self.arms.values()) - 1) > SUM:
            raise ValueError(f"the shares of the arms add up to {sum(self.arms.values()):g}, not to 1")
        if any(one.arms.keys() != self.arms.keys() for one in self.earlier):
            raise ValueError("the arms of earlier shares are others")
        if both := sorted(set(self.arms) & set(self.shadows)):
            raise ValueError(f"{both[0]} is both an arm and a shadow")
        if len(set(self.shadows)) < len(self.shadows):
            raise ValueError(f"a shadow is named twice: {' '.join(self.shadows)}")
        if unknown := sorted(set(self.removed) - set(self.arms)):
            raise ValueError(f"{unknown[0]} is taken out, but is no arm")
        if len(self.removed) == len(self.arms):
            raise ValueError("every arm is taken out; set `ended`, which ends the experiment")
        if len(self.arms) + len(self.shadows) < 2:
            raise ValueError("one arm alone is no experiment; name another one, or a shadow")
        return self

    @property
    def reference(self) -> str:
        """The arm that the others are compared against."""
        return next(iter(self.arms))

    @property
    def changed(self) -> float:
        """When the present shares began to hold."""
        return self.earlier[-1].until if self.earlier else self.started

    @property
    def changes(self) -> list[float]:
        """When clients went to another arm: the shares changed, or an arm was taken out or came back. Sorted."""
        removals = [*self.removed.values(), *(one for step in self.earlier for one in step.removed.values())]
        return sorted([*(one.time for one in removals), *(step.until for step in self.earlier)])

    @property
    def identity(self) -> Identity:
        """Which experiment it is."""
        return self.name, self.started
