"""`python -m gateway.manifests`: write manifests for Kubernetes into a folder."""

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from gateway.events.database import check_url
from gateway.manifests import kserve, kuberay, settings
from lesions.errors import UserError, exit_on_user_error
from lesions.files import atomic_write
from zoo.study import ROOT, Study

CLAIM = "pvc://lesion-zoo-archives"
"""A claim that you make, and put the archives into: deploy/README.md."""


def write(folder: Path, wanted: settings.Settings) -> list[Path]:
    """Write the manifests, but KServe's where it cannot fetch the archives; returns the files. Raises `UserError`."""
    manifests = {"kuberay.yaml": kuberay.service(wanted)}
    if not wanted.archives.startswith(settings.HTTP):
        if wanted.canary.startswith(settings.HTTP):
            raise UserError(
                f"CANARY={wanted.canary[:80]}: KServe fetches no folder from there; name a claim or a bucket"
            )
        manifests |= {"kserve.yaml": kserve.service(wanted), "kserve-canary.yaml": kserve.canary(wanted)}
    folder.mkdir(parents=True, exist_ok=True)
    for name in {"kserve.yaml", "kserve-canary.yaml"} - manifests.keys():
        (folder / name).unlink(missing_ok=True)  # they would have the archives of an earlier call
    for name, manifest in manifests.items():
        atomic_write(folder / name, "# `make manifests` writes this file: see deploy/README.md.\n" + _yaml(manifest))
    return [folder / name for name in manifests]


@exit_on_user_error()
def main(
    study_name: Annotated[str, typer.Option("--study", help="Whose archives are in the claim.")] = Study().name,
    container: Annotated[str, typer.Option(help="The image of the Containerfile.")] = "localhost/lesion-zoo:latest",
    ray_container: Annotated[str, typer.Option(help="The image of deploy/Containerfile.ray.")] = "",
    archives: Annotated[str, typer.Option(help="Where the archives are; default: the study's folder of a claim.")] = "",
    canary: Annotated[str, typer.Option(help="Where the next ones are; default: beside them, with -next.")] = "",
    share: Annotated[str, typer.Option(help="The per cent of calls that the canary gets.")] = "10",
    replicas: Annotated[str, typer.Option(help="How many, or the least and the most.")] = "1-4",
    entries: Annotated[str, typer.Option(help="Those that Ray serves, blanks between; default: all.")] = "",
    events: Annotated[str, typer.Option(help="Where events are kept: postgresql://zoo@db/events.")] = "",
    out: Annotated[Path, typer.Option(help="The folder.")] = ROOT / "deploy",
) -> None:
    """Write the manifests, and print their names."""
    image, place = settings.image(container), settings.archives(archives or f"{CLAIM}/{study_name}")
    wanted = settings.Settings(
        image=image,
        ray_image=settings.image(ray_container or _with_ray(image)),
        archives=place,
        canary=settings.archives(canary or f"{place}-next"),
        share=settings.share(share),
        replicas=settings.replicas(replicas),
        entries=tuple(entries.split()) or None,
        events=check_url(events) if events else "",
    )
    for file in write(out, wanted):
        print(file)
    if place.startswith(settings.HTTP):
        print("none for KServe, which fetches single files from such a URL, and no folder; earlier ones are removed")
    print("how to apply them, and what has been tried: deploy/README.md")


def _with_ray(image: str) -> str:
    """The image's name with -ray, before its tag. Raises `UserError` for one that is named by its digest."""
    if "@" in image:
        raise UserError(f"CONTAINER={image:.80}: by its digest, so name the one with Ray, too: RAY_CONTAINER=...")
    name, colon, tag = image.rpartition(":")
    return f"{name}-ray:{tag}" if colon and "/" not in tag else f"{image}-ray"


class _Dumper(yaml.SafeDumper):
    """Text of several lines as a block, so that people can read it; no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _yaml(manifest: dict[str, Any]) -> str:
    return yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=120)


if __name__ == "__main__":
    typer.run(main)
