"""Settings of `make manifests`: names of images, places of archives, and what fits into a container."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.manifests import kserve, kuberay, settings
from gateway.manifests.__main__ import main
from lesions.errors import UserError
from zoo.study import ROOT


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (settings.archives, "model_store/phantom-demo"),
        (settings.archives, "pvc://"),
        (settings.archives, "s3://bucket/a b"),
        (settings.replicas, "0"),
        (settings.replicas, "4-1"),
        (settings.replicas, "many"),
        (settings.share, "0"),
        (settings.share, "100"),
        (settings.image, "Lesion Zoo"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(read: Any, text: str) -> None:
    with pytest.raises(UserError) as raised:
        read(text)
    assert text[:20] in str(raised.value)


@pytest.mark.parametrize(
    "image",
    [
        "lesion-zoo",
        "localhost:5000/lesion-zoo:1",
        "ghcr.io/you/lesion-zoo:v1-RC1",
        "ghcr.io/you/lesion-zoo@sha256:" + 64 * "a",
        "ghcr.io/you/lesion-zoo:1@sha256:" + 64 * "a",
    ],
)
def test_names_of_images(image: str, tmp_path: Path) -> None:
    assert settings.image(image) == image
    if "@" in image:
        with pytest.raises(SystemExit):
            main(container=image, out=tmp_path)
        assert not list(tmp_path.iterdir())
    main(container=image, ray_container="ray:1" if "@" in image else "", out=tmp_path)
    texts = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert f"image: {image}\n" in texts["kserve.yaml"]
    name, colon, tag = image.rpartition(":")
    with_ray = "ray:1" if "@" in image else f"{name}-ray:{tag}" if colon else f"{image}-ray"
    assert f"image: {with_ray}\n" in texts["kuberay.yaml"]


@pytest.mark.parametrize("image", ["Lesion", "a b", "a:", "a@sha256:xyz", "-a", "a:b:C D"])
def test_names_that_are_of_no_image(image: str) -> None:
    with pytest.raises(UserError, match="CONTAINER="):
        settings.image(image)


def test_manifests_of_an_earlier_place_do_not_stay(tmp_path: Path) -> None:
    main(archives="s3://bucket/one", out=tmp_path)
    assert (tmp_path / "kserve.yaml").exists()
    main(archives="https://example.org/two", out=tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"kuberay.yaml"}


DECODING = """
import io, resource
from PIL import Image
from lesions.images import MAX_PIXELS, center_square, decode
side = int(MAX_PIXELS**0.5)
content = io.BytesIO()
Image.new("RGBA", (side, side), (9, 9, 9, 99)).save(content, "PNG", compress_level=1)
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # forget the peak so far
center_square(decode(content.getvalue()), 64)
print([line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1])
"""


def test_the_largest_pictures_fit_into_the_container() -> None:
    done = subprocess.run([sys.executable, "-c", DECODING], cwd=ROOT, capture_output=True, text=True, check=True)
    picture = int(done.stdout) * 1024  # with a process of its own, of 50 MB or so
    assert picture < 1.1e9, "docs/security.md and kserve.MEMORY say 1 GB"
    [served] = re.findall(r"28 versions take (\d+) MiB", (ROOT / "gateway" / "manifests" / "kserve.py").read_text())
    memory = int(kserve.MEMORY["limits"].removesuffix("Gi")) * 2**30
    assert memory > (kserve.CPUS + 1) * picture + int(served) * 2**20


def test_versions_in_containers_are_those_of_the_lock() -> None:
    locked = dict(re.findall(r"^(\S+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    container = (ROOT / "Containerfile").read_text()
    with_ray = (ROOT / "deploy" / "Containerfile.ray").read_text()
    pinned = re.findall(r'"([a-z]+)\[\w+\]==([\d.]+)"', container + with_ray)
    assert {name for name, _ in pinned} == {"psycopg", "ray"}
    assert {name: locked[name] for name, _ in pinned} == dict(pinned)
    assert locked["ray"] == kuberay.RAY_VERSION
