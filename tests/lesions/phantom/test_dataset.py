"""The phantom: HAM10000's layout and imbalance, the same bytes for the same seed, complete or not there."""

import csv
import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lesions.labels import CLASSES
from lesions.phantom import dataset
from lesions.phantom.canvas import HEIGHT, WIDTH
from lesions.phantom.patch import Traits, patch
from lesions.phantom.structures import STRUCTURES
from lesions.sources import open_source

HAM10000_COUNTS = {"akiec": 327, "bcc": 514, "bkl": 1099, "df": 115, "mel": 1113, "nv": 6705, "vasc": 142}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "phantom"
    dataset.draw(folder)
    return folder


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "HAM10000_metadata.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def draw_lesion(folder: Path, lesion: dataset._Lesion, seed: int) -> list[bytes]:
    folder.mkdir()
    dataset._draw_lesion(lesion, folder.parent, dict.fromkeys(lesion.images, folder.name), seed)
    return [(folder / f"{name}.jpg").read_bytes() for name in lesion.images]


def test_it_has_the_layout_of_ham10000(phantom: Path) -> None:
    assert sorted(path.name for path in phantom.iterdir()) == [
        "HAM10000_images_part_1", "HAM10000_images_part_2", "HAM10000_metadata.csv", "PHANTOM.txt",
    ]  # fmt: skip
    assert "not patients' data" in (phantom / "PHANTOM.txt").read_text()
    assert not list(phantom.parent.glob("*.partial"))
    index = open_source(phantom).index
    assert len(index) == len(list(phantom.glob("*/*.jpg"))) == sum(dataset.TRAITS["images"])


def test_a_log_gets_a_line_and_no_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    few = dataset._lesions(123)[:3]
    monkeypatch.setattr(dataset, "_lesions", lambda seed: few)
    dataset.draw(tmp_path / "phantom", workers=1)
    assert capfd.readouterr().err == "Drawing the phantom: 3 lesions, about half a minute\n"
    assert len(list((tmp_path / "phantom").glob("*/*.jpg"))) == sum(len(lesion.images) for lesion in few)


def test_images_have_the_size_and_are_not_blank(phantom: Path) -> None:
    for path in sorted(phantom.glob("*/*.jpg"))[::50]:
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (WIDTH, HEIGHT))
            assert np.asarray(image).std() > 5


def test_classes_are_imbalanced_as_in_ham10000_with_a_floor(phantom: Path) -> None:
    rows = rows_of(phantom)
    images = Counter(row["dx"] for row in rows)
    lesions = Counter(dx for _, dx in {(row["lesion_id"], row["dx"]) for row in rows})
    assert sorted(images, key=lambda dx: images[dx]) == sorted(CLASSES, key=lambda dx: HAM10000_COUNTS[dx])
    assert min(images.values()) >= 60
    assert min(lesions.values()) >= 40
    assert len({row["lesion_id"] for row in rows}) == sum(lesions.values()), "a lesion has one class"


def test_metadata_are_plausible_and_clearly_of_no_patient(phantom: Path) -> None:
    rows = rows_of(phantom)
    assert tuple(rows[0]) == dataset.COLUMNS
    views = Counter(row["lesion_id"] for row in rows)
    assert set(views.values()) == {1, 2, 3, 4}
    for row in rows:
        assert row["lesion_id"].startswith("PHANTOM_")
        assert row["image_id"].startswith("PHANTOM_")
        assert row["dx_type"] in ("histo", "follow_up", "consensus", "confocal")
        assert row["sex"] in ("male", "female", "unknown")
        assert row["age"] == "" or float(row["age"]) % 5 == 0
    assert not {row["lesion_id"] for row in rows} & {row["image_id"] for row in rows}


def test_a_lesion_does_not_depend_on_the_others(phantom: Path, tmp_path: Path) -> None:
    for lesion in dataset._lesions(123)[:4]:
        images = draw_lesion(tmp_path / str(lesion.number), lesion, 123)
        assert images == [next(phantom.glob(f"*/{name}.jpg")).read_bytes() for name in lesion.images]


def test_another_seed_draws_another_lesion(tmp_path: Path) -> None:
    lesion = dataset._lesions(123)[0]
    assert draw_lesion(tmp_path / "a", lesion, 1) != draw_lesion(tmp_path / "b", lesion, 2)


def test_views_of_a_lesion_differ(tmp_path: Path) -> None:
    lesion = next(lesion for lesion in dataset._lesions(123) if len(lesion.images) > 1)
    first, second, *_ = draw_lesion(tmp_path / "a", lesion, 123)
    assert first != second


def test_tables_have_a_column_for_each_class() -> None:
    traits = dataset.TRAITS
    assert list(traits["structures"]) == list(STRUCTURES)
    rows = [traits["images"], traits["lesions"], traits["age"], *traits["structures"].values()]
    rows += [*traits["sites"].values(), *(pigment["weights"] for pigment in traits["pigments"].values())]
    assert {len(row) for row in rows} == {len(CLASSES)}
    assert {len(row) for row in traits["shape"].values()} == {len(CLASSES) + 3}


def test_a_failed_draw_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> list[tuple[str, ...]]:
        raise OSError("disk full")

    monkeypatch.setattr(dataset, "_rows", fail)
    with pytest.raises(OSError, match="disk full"):
        dataset.draw(tmp_path / "phantom")
    assert not list(tmp_path.iterdir())


def test_a_folder_with_files_is_kept(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="delete it"):
        dataset.draw(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


PLAIN = Traits(
    skin=(0.86, 0.67, 0.63),
    colors=[(0.66, 0.47, 0.38)],
    size=0.6,
    elongation=1.2,
    irregularity=0.1,
    asymmetry=0.4,
    softness=0.2,
    opacity=0.8,
    structures={},
    hair=0.0,
)


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_structure_is_seen_and_more_of_it_the_stronger_it_is(name: str) -> None:
    without, weak, strong = (
        np.asarray(patch(dataclasses.replace(PLAIN, structures=structures), np.random.default_rng(7))).astype(int)
        for structures in ({}, {name: 0.3}, {name: 1.0})
    )
    weakly, strongly = (np.abs(painted - without).mean() for painted in (weak, strong))
    assert strongly > 0.1
    assert not np.array_equal(weak, strong)
    assert weakly > 0


def test_lesions_have_the_traits_of_their_class() -> None:
    structures = dataset.TRAITS["structures"]
    for column, dx in enumerate(CLASSES):
        drawn = [dataset._traits(dx, np.random.default_rng([7, number])) for number in range(400)]
        for name, probabilities in structures.items():
            share = sum(name in traits.structures for traits in drawn) / len(drawn)
            assert share == pytest.approx(probabilities[column], abs=0.11), (dx, name)  # more than four deviations
        sizes = [traits.size for traits in drawn]
        assert np.mean(sizes) == pytest.approx(dataset.TRAITS["shape"]["size"][column], abs=0.05), dx
