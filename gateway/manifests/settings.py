"""What manifests are made from."""

import re
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from lesions.errors import UserError
from zoo.serving.ray.settings import least_and_most

ARCHIVES = re.compile(r"(pvc|s3|gs|https?)://[^\s/][^\s]*")
HTTP = ("http://", "https://")
IMAGE = re.compile(r"[a-z0-9]([a-z0-9._/:-]{0,253}[a-z0-9])?(:[A-Za-z0-9._-]{1,128})?(@sha256:[0-9a-f]{1,64})?")


class Replicas(NamedTuple):
    """How many there are at the least and at the most."""

    least: int
    most: int


class Settings(BaseModel):
    """The settings of one set of manifests."""

    model_config = ConfigDict(frozen=True)

    name: str = "lesion-zoo"
    """Of the services, and the beginning of the names of all else."""
    image: str
    """Of the Containerfile."""
    ray_image: str
    """The same with Ray (deploy/Containerfile.ray)."""
    archives: str
    """A folder of archives and their manifest.json: pvc://CLAIM/FOLDER, s3://..., gs://..., https://..."""
    canary: str
    """The same, of what comes next."""
    share: int
    """The per cent of calls that the canary gets, 1 to 99."""
    replicas: Replicas
    entries: tuple[str, ...] | None = None
    """Those that Ray serves; none for all."""
    events: str = ""
    """The URL of PostgreSQL, which all pods write their events to; SQLite in each pod where it is empty."""


def archives(text: str) -> str:
    """The place of archives in a setting. Raises `UserError` for what is none."""
    if not ARCHIVES.fullmatch(text):
        raise UserError(
            f"ARCHIVES={text[:80]}: a cluster sees no folder of this machine; name a claim or a bucket, "
            "as in pvc://lesion-zoo-archives/phantom-demo or s3://bucket/phantom-demo"
        )
    return text.rstrip("/")


def replicas(text: str) -> Replicas:
    """The numbers in a setting, "2" or "1-4". Raises `UserError`."""
    try:
        return Replicas(*least_and_most(text))
    except ValueError as error:
        raise UserError(f"REPLICAS={text[:40]}: {error}") from None


def image(text: str) -> str:
    """The name of a container image in a setting. Raises `UserError`."""
    if not IMAGE.fullmatch(text):
        raise UserError(f"CONTAINER={text[:80]}: an image has a registry, a name and a tag: ghcr.io/you/lesion-zoo:1")
    return text


def share(text: str) -> int:
    """The canary's share in a setting. Raises `UserError`."""
    if not re.fullmatch(r"[1-9][0-9]?", text):
        raise UserError(f"SHARE={text[:40]}: the per cent of calls that the canary gets, from 1 to 99")
    return int(text)
