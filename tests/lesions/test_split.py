"""The splits: the thesis's, image by image, with and without siblings; the one by lesion: its shares, and no leak."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesions import split
from lesions.index import DataError, Index

HAM10000 = (327, 514, 1099, 115, 1113, 6705, 142)


def index(labels: list[int], lesions: list[str]) -> Index:
    return Index(tuple(f"i{k}" for k in range(len(labels))), np.array(labels, dtype=np.int64), tuple(lesions))


def counts(
    labels: np.ndarray[tuple[int], np.dtype[np.int64]], parts: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> list[list[int]]:
    return [np.bincount(labels[parts == part], minlength=7).tolist() for part in range(3)]


def test_the_thesis_split_is_the_thesis_split() -> None:
    # It depends only on positions in the order of ImageFolder, so HAM10000's class counts are enough to compute it.
    labels = np.repeat(np.arange(7), HAM10000)
    train, valid, test = counts(labels, split.thesis(len(labels)))
    assert train == [233, 353, 767, 79, 758, 4711, 110]
    assert valid == [49, 81, 157, 18, 179, 998, 20]
    assert test == [45, 80, 175, 18, 176, 996, 12]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(1, 6), min_size=15, max_size=80), min_size=7, max_size=7))
def test_no_lesion_is_in_two_parts_and_every_class_gets_its_share(sizes: list[list[int]]) -> None:
    labels, lesions = [], []
    for label, class_sizes in enumerate(sizes):
        for number, images in enumerate(class_sizes):
            labels += [label] * images
            lesions += [f"{label}.{number}"] * images
    data = index(labels, lesions)
    parts = split.by_lesion(data)
    parts_by_lesion: dict[str, set[int]] = {}
    for lesion, part in zip(data.lesions, parts.tolist(), strict=True):
        parts_by_lesion.setdefault(lesion, set()).add(part)
    assert all(len(parts_of_lesion) == 1 for parts_of_lesion in parts_by_lesion.values())
    for class_sizes, counted in zip(sizes, np.array(counts(data.labels, parts)).T, strict=True):
        # Within one percent, or within the size of the largest lesion.
        tolerance = max(0.01 * sum(class_sizes), max(class_sizes))
        assert np.abs(counted - np.array(split.SHARES) * sum(class_sizes)).max() <= tolerance


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("lesion", "c6a1bbd32fd8b59d19438e997816eef62ba1ff70b3b849b00f23ca513f38dc7f"),
        ("thesis", "9844cf990ed426acaad15f388f9886c879da24de71eb46d33e490bc4fe09024d"),
        ("fold1", "a78d9cd9fd9a1503099fbdf54ea1644d5d8fdbe371327a9a762c2353c65ce9ea"),
        ("fold5", "6bde9134be7c3f687c4e279804bd2168e36917d2c1f6c9c201d88492438fe778"),
    ],
)
def test_no_image_ever_moves_to_another_part(name: split.SplitName, sha256: str, tmp_path: Path) -> None:
    lesions = [k % 520 for k in range(700)]  # of some there are two images
    data = index([lesion % 7 for lesion in lesions], [f"l{lesion}" for lesion in lesions])
    assert split.write(tmp_path / "split.csv", data, split.split(data, name)) == sha256


def test_lesions_with_several_images_are_shared_as_the_others_are() -> None:
    """They are no random sample: of HAM10000's, three times as many are melanomas."""
    lesions = [k % 1000 for k in range(1200)]
    data = index([5] * len(lesions), [f"l{lesion}" for lesion in lesions])
    parts = split.by_lesion(data)
    twice = np.bincount(parts[1000:], minlength=3)  # of lesions with two images
    assert np.abs(twice / twice.sum() - np.array(split.SHARES)).max() <= 0.01


def test_a_part_without_a_class_is_an_error() -> None:
    labels = [0] + [k % 6 + 1 for k in range(600)]
    with pytest.raises(DataError, match="none of akiec for the"):
        split.split(index(labels, [f"l{k}" for k in range(601)]), "lesion")


def test_without_siblings_only_training_images_are_left_out() -> None:
    data = index([k % 7 for k in range(1400)], [f"l{k % 700}" for k in range(1400)])  # two images a lesion
    parts, without = split.split(data, "thesis"), split.split(data, "thesis_without_siblings")
    test_lesions = {lesion for lesion, part in zip(data.lesions, parts, strict=True) if part == 2}
    left_out = np.flatnonzero(parts != without)
    assert len(left_out) > 0
    assert set(parts[left_out]) == {0}
    assert set(without[left_out]) == {split.LEFT_OUT}
    assert not test_lesions & {lesion for lesion, part in zip(data.lesions, without, strict=True) if part == 0}
    leaking = [lesion in test_lesions for lesion, part in zip(data.lesions, parts, strict=True) if part == 0]
    assert sum(leaking) == len(left_out)


def test_names_may_have_commas(tmp_path: Path) -> None:
    several = Index.of([('mel/a, "b".jpg', 4, "Lésion 1, left"), ("nv/c.jpg", 5, "L")])
    split.write(tmp_path / "split.csv", several, np.array([0, 2]))
    loaded = split.load(tmp_path / "split.csv")
    assert loaded.index.images == several.images
    assert loaded.part("train").lesions == ("Lésion 1, left",)


def test_left_out_images_are_written_and_read(tmp_path: Path) -> None:
    data = index([k % 7 for k in range(1400)], [f"l{k % 700}" for k in range(1400)])
    parts = split.split(data, "thesis_without_siblings")
    digest = split.write(tmp_path / "split.csv", data, parts)
    assert ",left out\n" in (tmp_path / "split.csv").read_text()
    assert split.read(tmp_path / "split.csv", data.images).tolist() == parts.tolist()
    assert split.digest(tmp_path / "split.csv") == digest
    assert digest != split.write(tmp_path / "other.csv", data, split.split(data, "thesis"))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.integers(1, 4), min_size=60, max_size=90), min_size=7, max_size=7))
def test_folds_test_on_each_image_once_and_keep_lesions_together(sizes: list[list[int]]) -> None:
    lesions = [
        (label, number) for label, of_class in enumerate(sizes) for number, n in enumerate(of_class) for _ in range(n)
    ]
    data = index([label for label, _ in lesions], [f"{label}.{number}" for label, number in lesions])
    names: list[split.SplitName] = ["fold1", "fold2", "fold3", "fold4", "fold5"]
    folds = [split.split(data, name) for name in names]
    assert np.sum([parts == 2 for parts in folds], axis=0).tolist() == [1] * len(data)
    for parts in folds:
        of_lesion: dict[str, set[int]] = {}
        for lesion, part in zip(data.lesions, parts.tolist(), strict=True):
            of_lesion.setdefault(lesion, set()).add(part)
        assert all(len(parts) == 1 for parts in of_lesion.values())
        shares = np.bincount(parts, minlength=3) / len(data)
        assert shares == pytest.approx([0.72, 0.08, 0.20], abs=0.03)
        by_class = [(parts[data.labels == label] == 2).mean() for label in range(7)]
        assert by_class == pytest.approx([0.2] * 7, abs=0.06), "stratified by class"
    assert split.split(data, "fold1").tolist() == folds[0].tolist()


@pytest.mark.parametrize("lesions", [11, 1], ids=["few images", "one lesion each"])
def test_too_few_images_for_folds(lesions: int) -> None:
    data = index([k % 7 for k in range(77)], [f"{k % 7}.{k // 7 % lesions}" for k in range(77)])
    with pytest.raises(DataError, match="too few images or lesions for 10 folds"):
        split.split(data, "fold1")


def test_the_numbers_of_folds() -> None:
    assert split.fold_number("fold3") == 3
    assert split.fold_number("thesis") is None
