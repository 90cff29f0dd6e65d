"""Recipes and data of generators that are small enough to train in a second."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gan.data import Images
from lesions.labels import CLASSES
from tests.networks import share_graphs
from zoo.build import prepare
from zoo.kinds.base import Context, Data, Pretrained
from zoo.kinds.generator import Generator, GeneratorRecipe, resolve
from zoo.models import network
from zoo.study import Folders, Study, settle

EVERYTHING = Generator(
    kind="generator",
    about="x",
    sampling="balanced",
    turns="quarter_turns",
    diffaugment=["colour", "translation", "cutout"],
    ema=0.9,
    class_loss=0.5,
    lecam=0.3,
    lecam_from=1000,
)
"""An entry that uses every option but those of the projected critic."""

TINY: dict[str, object] = {"width": 2, "batch": 4}


@pytest.fixture(scope="session")
def tiny_recipe() -> GeneratorRecipe:
    data = Data(
        store_sha256="",
        split_sha256="",
        counts={"train": [10] * len(CLASSES)},
        mean=[0.5] * 3,
        std=[0.5] * 3,
    )
    resolved = resolve("x", EVERYTHING, Context(Study(), data, Pretrained("imagenet")))
    return resolved.model_copy(update=TINY)


@pytest.fixture
def batch() -> Images:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(256, (4, 32, 32, 3), generator=random, dtype=torch.uint8)
    return Images(images, torch.tensor([0, 2, 4, 6]))


@pytest.fixture
def folders(tiny: Path, tmp_path: Path, tiny_recipe: GeneratorRecipe) -> Iterator[Folders]:
    """A study with recipes of three generators, twelve steps each; the backbone is timm's network for tests."""
    torch.manual_seed(0)
    built = network.build("test_efficientnet", classes=0)
    settings = {"data": str(tiny), "scale": "demo", "arch": "test_efficientnet", "weights": "imagenet"}
    folders, study = settle(settings, "mine", tmp_path)
    described = prepare.make_data(folders, study)
    folders.run("source").mkdir()
    tensors = {name: tensor.contiguous() for name, tensor in built.state_dict().items()}
    save_file(tensors, folders.run("source") / "weights.safetensors")
    (folders.runs / "study.json").write_text(study.model_dump_json())
    entries = {
        "everything": EVERYTHING,
        "plain": Generator(kind="generator", about="x"),
        "projected": Generator(
            kind="generator",
            about="x",
            critic="projected",
            sampling=0.5,
            ema=0.9,
            class_loss=0.5,
            mode_seeking=0.2,
            best_by="gan_train",
        ),
    }
    share_graphs(folders)
    for name, entry in entries.items():
        resolved = resolve(name, entry, Context(study, described, Pretrained("imagenet")))
        short = {"steps": 12, "canvas_every": 3, "quality_every": 4, "ema_from": 2, "lecam_from": 3}
        pool = dict.fromkeys(CLASSES, 5)
        folders.run(name).mkdir()
        (folders.run(name) / "recipe.json").write_text(resolved.model_copy(update=TINY | short | {"pool": pool}).text)
    threads = torch.get_num_threads()
    yield folders
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)
