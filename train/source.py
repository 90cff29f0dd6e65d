"""The weights that transfer starts from: ImageNet's, a file's, or those of a source task made here."""

import json
from pathlib import Path

import httpx
import pytorch_lightning as pl
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save
from torch.utils.data import DataLoader, TensorDataset

from lesions import shapes
from lesions.errors import UserError
from lesions.files import atomic_write
from train.module import ClassifierModule
from train.progress import Progress
from zoo.build.prepare import SOURCE_BATCH, SOURCE_IMAGES, SOURCE_PIXELS
from zoo.models import network
from zoo.study import DEFAULT_ARCHITECTURE, Folders, Study

THESIS_TAG = "aa_in1k"
"""timm's tag of the weights that the bare name tf_efficientnet_b0 meant in 2021 (ImageNet, AutoAugment)."""
SOURCE_STATISTICS = ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])
"""Mean and standard deviation of the source task's images: their colors are uniform."""


class WeightsUnavailable(UserError):
    """Pretrained weights that are not available."""


def make(folders: Folders, study: Study) -> None:
    """Write the study's pretrained weights, without a classifier, to `runs/<study>/source/weights.safetensors`.

    Its metadata say what channel statistics they were trained with.
    Raises `WeightsUnavailable` where a hub cannot be reached, and `WrongWeights` for a file of another network.
    """
    target = folders.run("source") / "weights.safetensors"
    torch.set_num_threads(study.threads)
    model = network.build(study.arch)
    statistics = network.pretrained_statistics(model)
    if study.weights == "imagenet":
        tensors = _imagenet(study.arch)
    elif study.weights == "procedural":
        tensors, statistics = _procedural(study), SOURCE_STATISTICS
    else:
        network.load(model, Path(study.weights), without_classifier=True)
        tensors = model.state_dict()
    head = network.classifier_name(model)
    kept = {name: tensor.cpu().contiguous() for name, tensor in tensors.items() if not name.startswith(head)}
    atomic_write(target, save(kept, {"statistics": json.dumps(statistics)}))


def _imagenet(architecture: str) -> dict[str, torch.Tensor]:
    tagged = f"{architecture}.{THESIS_TAG}" if architecture == DEFAULT_ARCHITECTURE else architecture
    try:
        httpx.head(constants.ENDPOINT, timeout=10)
    except httpx.HTTPError:
        # Cached weights still load; without this, the hub's client would try for a minute.
        constants.HF_HUB_OFFLINE = True
    try:
        model = timm.create_model(tagged, pretrained=True, num_classes=0)
    except Exception as error:  # the hub's client raises many types, all of which mean the same to the user
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsUnavailable(
            f"WEIGHTS=imagenet: timm's hub did not give the weights of {tagged} ({reason}). With a network, try again; "
            "without one, set WEIGHTS to a .safetensors file of them, or WEIGHTS=procedural for a source task made here"
        ) from None
    tensors: dict[str, torch.Tensor] = model.state_dict()
    return tensors


def _procedural(study: Study) -> dict[str, torch.Tensor]:
    """Train the backbone to recognize formula-drawn shapes and textures, each image seen once."""
    seed = study.generator_seed
    pl.seed_everything(seed, verbose=False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    count = SOURCE_IMAGES + 480
    images, labels = (torch.from_numpy(array) for array in shapes.draw(count, SOURCE_PIXELS, seed))
    training = TensorDataset(images[:SOURCE_IMAGES], labels[:SOURCE_IMAGES])
    held_out = TensorDataset(images[SOURCE_IMAGES:], labels[SOURCE_IMAGES:])
    model = network.build(study.arch, len(shapes.SHAPES))
    module = ClassifierModule(model, len(shapes.SHAPES), *SOURCE_STATISTICS, learning_rate=1e-3, seed=seed)
    trainer = pl.Trainer(
        accelerator="auto",
        devices=1,
        max_epochs=1,
        gradient_clip_val=1.0,
        logger=False,
        callbacks=[Progress("source", [SOURCE_IMAGES])],
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(training, SOURCE_BATCH), DataLoader(held_out, 80))
    return dict(model.state_dict())
