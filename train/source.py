"""The weights that transfer starts from: ImageNet's, a file's, or those of a source task made here."""

import os
from pathlib import Path

import httpx
import pytorch_lightning as pl
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save
from torch.utils.data import DataLoader, TensorDataset

from lesions import shapes
from train.module import Classification
from train.progress import Progress
from zoo import network
from zoo.study import DEFAULT_ARCHITECTURE, Folders, Study

THESIS_TAG = "aa_in1k"
"""timm's tag of the weights that the bare name tf_efficientnet_b0 meant in 2021 (ImageNet, AutoAugment)."""

PROCEDURAL_IMAGES, PROCEDURAL_BATCH, PROCEDURAL_PIXELS = 6000, 20, 64


class NoWeights(RuntimeError):
    """Pretrained weights that cannot be had; `str()` says what to do."""


def make(folders: Folders, study: Study) -> None:
    """Write the study's pretrained weights, without a classifier, to `runs/<study>/source/weights.safetensors`.

    Raises `NoWeights` where a hub cannot be reached, and `WrongWeights` for a file of another network.
    """
    target = folders.run("source") / "weights.safetensors"
    torch.set_num_threads(study.threads)
    if study.weights == "imagenet":
        tensors = _imagenet(study.arch)
    elif study.weights == "procedural":
        tensors = _procedural(study)
    else:
        built = network.build(study.arch)
        network.load(built, Path(study.weights), without_classifier=True)
        tensors = built.state_dict()
        tensors = {
            name: tensor for name, tensor in tensors.items() if not name.startswith(network.classifier_name(built))
        }
    aside = target.with_suffix(".part")
    aside.write_bytes(save({name: tensor.contiguous() for name, tensor in tensors.items()}))
    os.replace(aside, target)


def _imagenet(architecture: str) -> dict[str, torch.Tensor]:
    tagged = f"{architecture}.{THESIS_TAG}" if architecture == DEFAULT_ARCHITECTURE else architecture
    try:
        httpx.head(constants.ENDPOINT, timeout=10)
    except httpx.HTTPError:
        # What was fetched before still serves; without this, the hub's client would go on trying for a minute.
        constants.HF_HUB_OFFLINE = True
    try:
        built = timm.create_model(tagged, pretrained=True, num_classes=0)
    except Exception as error:  # the hub's client raises many types, all of which mean the same to the user
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise NoWeights(
            f"WEIGHTS=imagenet: timm's hub did not give the weights of {tagged} ({reason}). With a network, try again; "
            "without one, set WEIGHTS to a .safetensors file of them, or WEIGHTS=procedural for a source task made here"
        ) from None
    tensors: dict[str, torch.Tensor] = built.state_dict()
    return tensors


def _procedural(study: Study) -> dict[str, torch.Tensor]:
    """Train the backbone to recognise formula-drawn shapes and textures, each image seen once."""
    pl.seed_everything(study.seed, verbose=False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    count = PROCEDURAL_IMAGES + 480
    images, labels = (torch.from_numpy(array) for array in shapes.draw(count, PROCEDURAL_PIXELS, study.seed))
    training = TensorDataset(images[:PROCEDURAL_IMAGES], labels[:PROCEDURAL_IMAGES])
    held_out = TensorDataset(images[PROCEDURAL_IMAGES:], labels[PROCEDURAL_IMAGES:])
    built = network.build(study.arch, len(shapes.SHAPES))
    module = Classification(
        built, len(shapes.SHAPES), mean=(0.5,) * 3, deviation=(0.5,) * 3, learning_rate=1e-3, seed=study.seed
    )
    trainer = pl.Trainer(
        accelerator="auto",
        devices=1,
        max_epochs=1,
        logger=False,
        callbacks=[Progress("source", [PROCEDURAL_IMAGES])],
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(training, PROCEDURAL_BATCH), DataLoader(held_out, 80))
    head = network.classifier_name(built)
    return {name: tensor.cpu() for name, tensor in built.state_dict().items() if not name.startswith(head)}
