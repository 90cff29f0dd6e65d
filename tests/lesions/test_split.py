"""The splits: the thesis's, to the image, with siblings and without; the one by lesion, with its shares and no leak."""

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
    # It goes by place in ImageFolder order alone, so HAM10000's class counts are enough to compute it.
    labels = np.repeat(np.arange(7), HAM10000)
    train, valid, test = counts(labels, split.thesis(len(labels)))
    assert train == [233, 353, 767, 79, 758, 4711, 110]
    assert valid == [49, 81, 157, 18, 179, 998, 20]
    assert test == [45, 80, 175, 18, 176, 996, 12]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(1, 6), min_size=15, max_size=80), min_size=7, max_size=7))
def test_no_lesion_is_in_two_parts_and_every_class_gets_its_share(sizes: list[list[int]]) -> None:
    labels, lesions = [], []
    for label, members in enumerate(sizes):
        for number, images in enumerate(members):
            labels += [label] * images
            lesions += [f"{label}.{number}"] * images
    made = index(labels, lesions)
    parts = split.by_lesion(made)
    where: dict[str, set[int]] = {}
    for lesion, part in zip(made.lesions, parts.tolist(), strict=True):
        where.setdefault(lesion, set()).add(part)
    assert all(len(several) == 1 for several in where.values())
    for members, found in zip(sizes, np.array(counts(made.labels, parts)).T, strict=True):
        # Within one point, or within what the size of a lesion allows.
        allowed = max(0.01 * sum(members), max(members))
        assert np.abs(found - np.array(split.SHARES) * sum(members)).max() <= allowed


def test_it_is_the_same_every_time() -> None:
    made = index([k % 7 for k in range(700)], [f"l{k}" for k in range(700)])
    assert split.by_lesion(made).tolist() == split.by_lesion(made).tolist()


def test_a_class_that_a_part_would_lack_is_an_error() -> None:
    labels = [0] + [k % 6 + 1 for k in range(600)]
    with pytest.raises(DataError, match="none of akiec for the"):
        split.split(index(labels, [f"l{k}" for k in range(601)]), "lesion")


def test_without_siblings_only_training_images_are_left_out() -> None:
    made = index([k % 7 for k in range(1400)], [f"l{k % 700}" for k in range(1400)])  # two images a lesion
    parts, without = split.split(made, "thesis"), split.split(made, "thesis_without_siblings")
    tested = {lesion for lesion, part in zip(made.lesions, parts, strict=True) if part == 2}
    moved = np.flatnonzero(parts != without)
    assert len(moved) > 0
    assert set(parts[moved]) == {0}
    assert set(without[moved]) == {split.LEFT_OUT}
    assert not tested & {lesion for lesion, part in zip(made.lesions, without, strict=True) if part == 0}
    assert sum(lesion in tested for lesion, part in zip(made.lesions, parts, strict=True) if part == 0) == len(moved)


def test_what_is_left_out_is_written_and_read(tmp_path: Path) -> None:
    made = index([k % 7 for k in range(1400)], [f"l{k % 700}" for k in range(1400)])
    parts = split.split(made, "thesis_without_siblings")
    digest = split.write(tmp_path / "split.csv", made, parts)
    assert ",left out\n" in (tmp_path / "split.csv").read_text()
    assert split.read(tmp_path / "split.csv", made.images).tolist() == parts.tolist()
    assert split.digest(tmp_path / "split.csv") == digest
    assert digest != split.write(tmp_path / "other.csv", made, split.split(made, "thesis"))
