"""Generator entries and their recipes at each scale: the thesis's figures at `paper`."""

from pathlib import Path

import pytest

from zoo.entry import EntryError, catalog, read
from zoo.kinds.base import Context, Data, Pretrained
from zoo.kinds.generator import Generator, GeneratorRecipe, resolve
from zoo.study import Study

TRAINING = [233, 353, 767, 79, 758, 4711, 110]
DATA = Data(store_sha256="a", split_sha256="b", counts={"train": TRAINING}, mean=[0.5] * 3, std=[0.5] * 3)


def test_the_thesis_at_its_own_scale() -> None:
    entry = catalog()["sagan"]
    assert isinstance(entry, Generator)
    recipe = resolve("sagan", entry, Context(Study(scale="paper"), DATA, Pretrained("imagenet")))
    assert (recipe.pixels, recipe.width, recipe.batch, recipe.steps) == (128, 64, 20, 22_000)
    assert (recipe.learning_rate_generator, recipe.learning_rate_discriminator) == (1e-4, 4e-4)
    assert (recipe.betas, recipe.epsilon, recipe.ema, recipe.lecam) == ((0, 0.999), 1e-6, None, 0)
    assert (recipe.sampling, recipe.turns, recipe.diffaugment) == ("natural", "mirror", False)
    assert sum(recipe.pool.values()) == 33_000


def test_lecam_begins_where_the_entry_has_it_or_earlier_in_a_short_training() -> None:
    entry = Generator(kind="generator", about="x", steps=22_000, lecam=0.1, lecam_from=10_000)
    paper, small = (
        resolve("x", entry, Context(Study(scale=scale), DATA, Pretrained("imagenet"))) for scale in ("paper", "small")
    )
    assert paper.lecam_from == 10_000
    assert small.lecam_from == small.steps // 4


@pytest.mark.parametrize("scale", ["demo", "small", "paper"])
def test_pools_suffice_for_the_schedules(scale: str) -> None:
    entry = catalog()["sagan"]
    assert isinstance(entry, Generator)
    counts = TRAINING if scale != "demo" else [56, 70, 105, 42, 109, 277, 46]
    data = DATA.model_copy(update={"counts": {"train": counts}})
    recipe = resolve("sagan", entry, Context(Study(scale=scale), data, Pretrained("imagenet")))
    most = 4700 if scale != "demo" else round(4700 * sum(counts) / 7011)
    assert all(pool >= most - count for pool, count in zip(recipe.pool.values(), counts, strict=True))


def test_a_recipe_reads_back_and_knows_its_digest(tmp_path: Path) -> None:
    entry = catalog()["projected"]
    assert isinstance(entry, Generator)
    recipe = resolve("x", entry, Context(Study(), DATA, Pretrained("imagenet")))
    (tmp_path / "recipe.json").write_text(recipe.text)
    again = GeneratorRecipe.read(tmp_path / "recipe.json")
    assert again == recipe
    assert again.sha256 == recipe.sha256
    assert recipe.sha256 != resolve("x", entry, Context(Study(generator_seed=5), DATA, Pretrained("imagenet"))).sha256


@pytest.mark.parametrize(
    ("line", "output"),
    [
        ("lecam = 0.3", "'lecam' needs 'lecam_from'"),
        ("lecam_from = 10", "needs a 'lecam' above 0"),
        ("lecam = 0.3\nlecam_from = 30000", "lies behind the last of 'steps'"),
        ("class_loss_generator = 0.1", "'class_loss_generator' needs a 'class_loss' above 0"),
        ("sampling = 1.0", "sampling: Input should be 'natural' or 'balanced'; sampling: Input should be less than 1"),
        ("critic = 'r3'", "critic: Input should be 'sagan' or 'projected'"),
        ("best_by = 'fid'", "best_by: Input should be 'kid' or 'gan_train'"),
        ("ema = 1.0", "ema: Input should be less than 1"),
        ("turns = 'upside_down'", "turns: Input should be 'none', 'mirror' or 'quarter_turns'"),
        ("epochs = 3", "unknown key 'epochs'; allowed: kind, about, thesis, width, steps"),
        ("width = 30", "'width' is a multiple of 8"),
        ("betas = [0.0, 1.0]", "betas.1: Input should be less than 1"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, line: str, output: str) -> None:
    file = tmp_path / "x.toml"
    file.write_text(f"kind = 'generator'\nabout = 'x'\n{line}\n")
    with pytest.raises(EntryError) as refused:
        read(file)
    assert output in str(refused.value)
