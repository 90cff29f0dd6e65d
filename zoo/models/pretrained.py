"""The weights that transfer starts from: ImageNet's, from a package or timm's hub, or a file's."""

import httpx
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save

from lesions.files import atomic_write
from zoo.kinds.base import source_run
from zoo.models import imagenet, network
from zoo.models.weights import WeightsError
from zoo.study import ROOT, THESIS_ARCHITECTURE, Folders, Study

THESIS_TAG = "aa_in1k"
"""timm's tag of the weights that the bare name tf_efficientnet_b0 meant in 2021 (ImageNet, AutoAugment)."""


def make(folders: Folders, study: Study, own: str | None = None) -> None:
    """Write the pretrained weights of the study's network, or of an entry's `own`, without a classifier.

    To `weights.safetensors` in `runs/<study>/source/`, or in `runs/<study>/source.NETWORK/`. Raises `WeightsError`
    where a package is not what was published, the hub cannot be reached, or a file is of another network.
    """
    torch.set_num_threads(study.threads)
    architecture = own or study.arch
    model = network.build(architecture)
    if study.weights != "imagenet" and own is None:
        network.load(model, ROOT / study.weights, without_classifier=True)
        tensors = dict(model.state_dict())
    elif architecture in imagenet.PACKAGES:
        tensors = imagenet.load(architecture)
    else:
        tensors = _from_hub(architecture)
    head = network.classifier_prefixes(model)
    kept = {name: tensor.cpu().contiguous() for name, tensor in tensors.items() if not name.startswith(head)}
    target = folders.run(source_run(own)) / "weights.safetensors"
    atomic_write(target, save(kept))


def _from_hub(architecture: str) -> dict[str, torch.Tensor]:
    """The tensors that timm fetches. Raises `WeightsError`."""
    tagged = f"{architecture}.{THESIS_TAG}" if architecture == THESIS_ARCHITECTURE else architecture
    try:
        httpx.head(constants.ENDPOINT, timeout=10)
    except httpx.HTTPError:
        # Cached weights still load; without this, the hub's client would try for a minute.
        constants.HF_HUB_OFFLINE = True
    try:
        model = timm.create_model(tagged, pretrained=True, num_classes=0)
    except Exception as error:  # the hub's client raises many types, all of which mean the same to the user
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(
            f"WEIGHTS=imagenet: timm's hub did not give the weights of {tagged} ({reason}). With a network, try again; "
            "without one, set WEIGHTS to a .safetensors file of them, or ARCH to one of "
            f"{', '.join(imagenet.PACKAGES)}, whose weights are installed"
        ) from None
    tensors: dict[str, torch.Tensor] = model.state_dict()
    return tensors
