"""How many replicas a version has, what each may use, and where nodes fetch archives."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from lesions.errors import UserError

MOST_REPLICAS = 1000
DOOR_CPUS = 0.1
"""What the door of an application reserves: with 0, Ray may put it on a head that is to serve nothing."""
RANGE = re.compile(r"([1-9]\d{0,3})(?:-([1-9]\d{0,3}))?")


class Settings(BaseModel):
    """The settings of `RUNTIME=ray`. They can be held in JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    replicas: str = "1"
    """Of each version: a number, or least and most for autoscaling, as in 1-4."""
    cpus: float = Field(default=0, ge=0, le=1000, multiple_of=0.0001)
    """What a replica reserves, and how many requests it works on at a time; with 0 there may be any number on a node.

    Ray counts in steps of 0.0001.
    """
    archives: str = ""
    """A folder that every node sees, or an fsspec URL; empty: the folder of the archives themselves."""
    address: str = ""
    """Of a cluster that is there; empty: a Ray of its own, on this machine."""

    @field_validator("replicas", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        """A number as YAML has it is text here."""
        return str(value) if isinstance(value, int) else value

    @field_validator("replicas")
    @classmethod
    def _range(cls, value: str) -> str:
        least_and_most(value)
        return value

    @property
    def least(self) -> int:
        """The least replicas of a version."""
        return least_and_most(self.replicas)[0]

    @property
    def most(self) -> int:
        """The most replicas of a version."""
        return least_and_most(self.replicas)[1]


def least_and_most(text: str) -> tuple[int, int]:
    """The two numbers of a setting such as 1-4, or 2, which is both. Raises `ValueError`."""
    matched = RANGE.fullmatch(text.strip())
    least, most = (int(matched[1]), int(matched[2] or matched[1])) if matched else (1, 0)
    if not least <= most <= MOST_REPLICAS:
        raise ValueError(f"replicas are a number from 1 to {MOST_REPLICAS}, or two, as in 1-4")
    return least, most


def settings(replicas: str = "", cpus: str = "", archives_url: str = "") -> Settings:
    """What was typed; an empty text is the default. Raises `UserError`."""
    given = Settings()
    if replicas:
        try:
            least_and_most(replicas)
        except ValueError as error:
            raise UserError(f"REPLICAS={replicas[:60]}: {error}") from None
        given = given.model_copy(update={"replicas": replicas.strip()})
    if cpus:
        try:
            number = Settings.model_validate({"cpus": cpus}).cpus
        except ValidationError:
            raise UserError(
                f"CPUS={cpus[:60]}: what a replica reserves, from 0 to 1000 in steps of 0.0001, as in 0.5"
            ) from None
        given = given.model_copy(update={"cpus": number})
    return given.model_copy(update={"archives": archives_url})
